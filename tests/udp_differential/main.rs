//! The same UDP configuration and the same datagrams on the real Envoy and on us: what clients and hosts get, the access
//! logs and the counters must be the same.
//!
//! Envoy is looked for as `support::envoy` says; without it the tests skip, except on CI. Addresses of clients, hosts and
//! sockets in between are replaced by their names. Where we differ on purpose, the case says so, and then it must differ.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/udp.rs"]
mod udp_support;

mod cases;
mod side;
mod valid;

use side::{Seen, Side};
use std::fmt::Write;
use std::process::Command;

#[test]
fn envoy_and_nuncio_do_the_same_with_datagrams() {
    let Some(envoy) = support::envoy() else { return };
    let cases: Vec<_> = match std::env::var("CASES") {
        Ok(wanted) => cases::all().into_iter().filter(|case| case.name == wanted).collect(),
        Err(_) => cases::all(),
    };
    let run = |(command, listener): (Command, &'static str)| {
        let cases = cases.clone();
        std::thread::spawn(move || Side::start(command, listener).run(&cases))
    };
    // The system gives a port that others let be shared to whoever wants a shared one too: Envoy must not get ours.
    let theirs = run({
        let mut command = Command::new(envoy);
        command.args(["--use-dynamic-base-id", "-l", "error"]);
        (command, "enable_reuse_port: false\n")
    });
    let ours = run({
        let mut command = Command::new(env!("CARGO_BIN_EXE_nuncio"));
        command.args(["-l", "warn"]);
        (command, "")
    });
    let (theirs, ours) = (theirs.join().expect("Envoy's side"), ours.join().expect("our side"));
    let mut report = String::new();
    for ((case, theirs), ours) in cases.iter().zip(&theirs).zip(&ours) {
        let differences = differences(theirs, ours);
        match (case.differs, differences.is_empty()) {
            (None, true) | (Some(_), false) => {
                if std::env::var_os("SHOW").is_some() {
                    println!("== {}\n{differences}{ours:#?}", case.name);
                }
            }
            (None, false) => {
                let _ = writeln!(report, "== {}\n{differences}", case.name);
            }
            (Some(why), true) => {
                let _ = writeln!(report, "== {}\nshould differ, but does not: {why}", case.name);
            }
        }
    }
    println!("{} cases", cases.len());
    assert!(report.is_empty(), "{report}");
}

/// What differs, as lines: `-` is Envoy's, `+` is ours.
fn differences(theirs: &Seen, ours: &Seen) -> String {
    let mut out = String::new();
    for (what, theirs, ours) in [
        ("traffic", &theirs.traffic, &ours.traffic),
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
        let _ = writeln!(out, "    ({} and {} lines)", theirs.len(), ours.len());
    }
    out
}
