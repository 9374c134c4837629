//! Listeners on the real Envoy and on us: the same configuration and the same first bytes; which filter chain answers,
//! how the connection ends, what is logged and what is counted must be the same.
//!
//! Envoy is looked for as `support::envoy` says; without it the test skips, except on CI. Where we differ on purpose,
//! the case says so, and then it must differ.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../listeners/config.rs"]
mod config;
#[path = "../support/mod.rs"]
mod support;

mod cases;
mod hello;
mod side;

use side::{Seen, Side};
use std::fmt::Write;
use std::process::Command;

#[test]
fn envoy_and_nuncio_do_the_same() {
    let Some(envoy) = support::envoy() else { return };
    let cases: Vec<_> = match std::env::var("CASES") {
        Ok(wanted) => cases::all().into_iter().filter(|case| case.name.contains(&wanted)).collect(),
        Err(_) => cases::all(),
    };
    let run = |mut command: Command| {
        let cases = cases.clone();
        command.args(["--file-flush-interval-msec", "20", "-l", "error"]);
        std::thread::spawn(move || Side::start(command).run(&cases))
    };
    let mut theirs = Command::new(envoy);
    theirs.arg("--use-dynamic-base-id");
    let (theirs, ours) = (run(theirs), run(Command::new(env!("CARGO_BIN_EXE_nuncio"))));
    let (theirs, ours) = (theirs.join().expect("Envoy's side"), ours.join().expect("our side"));
    let (mut report, mut wrong) = (String::new(), 0);
    for ((case, theirs), ours) in cases.iter().zip(&theirs).zip(&ours) {
        let differences = differences(theirs, ours);
        if std::env::var_os("SHOW").is_some() {
            println!("== {} on {}\n{ours:#?}\n{differences}", case.name, case.listener);
        }
        let right = match (case.differs, differences.is_empty()) {
            (None, same) => same,
            (Some(_), same) => !same,
        };
        if !right {
            wrong += 1;
            let why = case.differs.map_or(String::new(), |why| format!("should differ: {why}\n"));
            let _ = writeln!(report, "== {} on {}\n{why}{differences}", case.name, case.listener);
        }
    }
    println!(
        "{} cases, {} of them with an intended difference",
        cases.len(),
        cases.iter().filter(|case| case.differs.is_some()).count()
    );
    assert!(wrong == 0, "{wrong} of {} cases:\n{report}", cases.len());
}

/// What differs, as lines: `-` is Envoy's, `+` is ours.
fn differences(theirs: &Seen, ours: &Seen) -> String {
    let mut out = String::new();
    for (what, theirs, ours) in [
        ("client", &theirs.client, &ours.client),
        ("log", &theirs.log, &ours.log),
        ("counters", &theirs.counters, &ours.counters),
    ] {
        if theirs != ours {
            let _ = writeln!(out, "  {what}:\n    - {theirs}\n    + {ours}");
        }
    }
    out
}
