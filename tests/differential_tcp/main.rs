//! The same TCP traffic on the real Envoy and on us: what clients and hosts see, the access log line and the counters
//! must be the same.
//!
//! Envoy is looked for as `support::envoy` says; without it the test skips, except on CI. `CASES=<part of a name>` runs
//! some cases only, `SHOW=1` prints what was seen.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;

mod cases;
mod side;

use side::{Seen, Side};
use std::fmt::Write;
use std::process::Command;

#[test]
fn envoy_and_nuncio_do_the_same_with_tcp() {
    let Some(envoy) = support::envoy() else { return };
    let wanted = std::env::var("CASES").unwrap_or_default();
    let cases: Vec<_> = cases::all().into_iter().filter(|case| case.name.contains(&wanted)).collect();
    // Times are shorter than the limits that are tested: each side in a thread of its own.
    let run = |command: Command| {
        let cases = cases.clone();
        std::thread::spawn(move || Side::start(command).run(&cases))
    };
    let theirs = run({
        let mut command = Command::new(envoy);
        command.args(["--use-dynamic-base-id", "-l", "error"]);
        command
    });
    let ours = run({
        let mut command = Command::new(env!("CARGO_BIN_EXE_nuncio"));
        command.args(["-l", "warn"]);
        command
    });
    let (theirs, ours) = (theirs.join().expect("Envoy's side"), ours.join().expect("our side"));
    let (mut report, mut wrong) = (String::new(), 0);
    for ((case, theirs), ours) in cases.iter().zip(&theirs).zip(&ours) {
        let differences = differences(theirs, ours);
        if std::env::var_os("SHOW").is_some() {
            println!("== {}\n{differences}{ours:#?}", case.name);
        }
        match (case.differs, differences.is_empty()) {
            (None, true) | (Some(_), false) => {}
            (None, false) => {
                wrong += 1;
                let _ = writeln!(report, "== {}\n{differences}", case.name);
            }
            (Some(why), true) => {
                wrong += 1;
                let _ = writeln!(report, "== {}\nshould differ, but does not: {why}", case.name);
            }
        }
    }
    println!("{} cases", cases.len());
    assert!(wrong == 0, "{wrong} of {} cases:\n{report}", cases.len());
}

/// What differs, as lines: `-` is Envoy's, `+` is ours.
fn differences(theirs: &Seen, ours: &Seen) -> String {
    let mut out = String::new();
    for (what, theirs, ours) in [
        ("seen", &theirs.seen, &ours.seen),
        ("log", &theirs.log, &ours.log),
        ("counters", &theirs.counters, &ours.counters),
    ] {
        if theirs == ours {
            continue;
        }
        let _ = writeln!(out, "  {what}:");
        for line in theirs.iter().filter(|line| !ours.contains(line)) {
            let _ = writeln!(out, "    - {line}");
        }
        for line in ours.iter().filter(|line| !theirs.contains(line)) {
            let _ = writeln!(out, "    + {line}");
        }
        if out.ends_with(":\n") {
            let _ = writeln!(out, "    order: - {theirs:?}\n           + {ours:?}");
        }
    }
    out
}
