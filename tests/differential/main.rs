//! The same configuration and the same traffic on the real Envoy and on us: what the client gets, what the upstream
//! gets, the access log line and the counters must be the same.
//!
//! Envoy is looked for as `support::envoy` says; without it the test skips, except on CI. Values that differ between
//! any two runs (ports, dates, ids, times) are replaced by their names first. Where we differ on purpose, the case
//! says so, and then it must differ.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;

mod cases;
mod config;
mod side;
mod wire;

use cases::Case;
use side::{Seen, Side};
use std::fmt::Write;
use std::process::Command;

/// One line for everything about a stream that does not depend on the moment.
const LOG: &str = "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL% code=%RESPONSE_CODE% \
    flags=%RESPONSE_FLAGS%/%RESPONSE_FLAGS_LONG% details=%RESPONSE_CODE_DETAILS% rx=%BYTES_RECEIVED% tx=%BYTES_SENT% \
    cluster=%UPSTREAM_CLUSTER% host=%UPSTREAM_HOST% hostname=%UPSTREAM_HOST_NAME% route=%ROUTE_NAME% \
    failure=%UPSTREAM_TRANSPORT_FAILURE_REASON% \
    attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% authority=%REQ(:AUTHORITY)% scheme=%REQ(:SCHEME)% xff=%REQ(X-FORWARDED-FOR)% \
    remote=%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% direct=%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% \
    local=%DOWNSTREAM_LOCAL_ADDRESS% headers=%REQUEST_HEADERS_BYTES%/%RESPONSE_HEADERS_BYTES%/%RESPONSE_TRAILERS_BYTES% \
    wire=%DOWNSTREAM_WIRE_BYTES_SENT%/%UPSTREAM_WIRE_BYTES_SENT%/%UPSTREAM_WIRE_BYTES_RECEIVED% \
    upstream=%UPSTREAM_PROTOCOL% closed=%CONNECTION_TERMINATION_DETAILS% grpc=%GRPC_STATUS% type=%RESP(CONTENT-TYPE)% \
    a=%QUERY_PARAM(a)% path=%PATH(NQ:ORIG)% time=%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% status=%RESP(:STATUS)% ends=%DOWNSTREAM_DETECTED_CLOSE_TYPE%/%UPSTREAM_DETECTED_CLOSE_TYPE% \
    virtual=%VIRTUAL_CLUSTER_NAME% chain=%FILTER_CHAIN_NAME%\\n";

#[test]
fn envoy_and_nuncio_do_the_same() {
    let Some(envoy) = support::envoy() else { return };
    let cases: Vec<Case> = match std::env::var("CASES") {
        Ok(wanted) => cases::all().into_iter().filter(|case| case.name.contains(&wanted)).collect(),
        Err(_) => cases::all(),
    };
    // A path is shorter than the limit and other tests run beside this one: each side in a thread of its own.
    let run = |command: Command| {
        let cases = cases.clone();
        std::thread::spawn(move || Side::start(command).run(&cases))
    };
    let theirs = run({
        let mut command = Command::new(envoy);
        command.args(["--use-dynamic-base-id", "--file-flush-interval-msec", "50", "-l", "error"]);
        command
    });
    let ours = run({
        let mut command = Command::new(env!("CARGO_BIN_EXE_nuncio"));
        command.args(["--file-flush-interval-msec", "50", "-l", "warn"]);
        command
    });
    let (theirs, ours) = (theirs.join().expect("Envoy's side"), ours.join().expect("our side"));
    let mut report = String::new();
    let mut wrong = 0;
    for ((case, theirs), ours) in cases.iter().zip(&theirs).zip(&ours) {
        let differences = differences(theirs, ours);
        match (&case.differs, differences.is_empty()) {
            (None, true) | (Some(_), false) => {
                if std::env::var_os("SHOW").is_some() {
                    println!("== {} ({})\n{differences}{ours:#?}", case.name, case.on);
                }
            }
            (None, false) => {
                wrong += 1;
                let _ = writeln!(report, "== {} ({})\n{differences}", case.name, case.on);
            }
            (Some(why), true) => {
                wrong += 1;
                let _ =
                    writeln!(report, "== {} ({})\nshould differ, but does not: {why}", case.name, case.on);
            }
        }
    }
    println!("{} cases, {} of them with an intended difference", cases.len(), {
        cases.iter().filter(|case| case.differs.is_some()).count()
    });
    assert!(wrong == 0, "{wrong} of {} cases:\n{report}", cases.len());
}

/// What differs, as lines: `-` is Envoy's, `+` is ours.
fn differences(theirs: &Seen, ours: &Seen) -> String {
    let mut out = String::new();
    for (what, theirs, ours) in [
        ("client", &theirs.client, &ours.client),
        ("upstream", &theirs.upstream, &ours.upstream),
        ("log", &theirs.log, &ours.log),
        ("counters", &theirs.counters, &ours.counters),
    ] {
        if theirs == ours {
            continue;
        }
        let _ = writeln!(out, "  {what}:");
        for line in theirs.lines().filter(|line| !ours.lines().any(|other| other == *line)) {
            let _ = writeln!(out, "    - {line}");
        }
        for line in ours.lines().filter(|line| !theirs.lines().any(|other| other == *line)) {
            let _ = writeln!(out, "    + {line}");
        }
        let mut sorted = [theirs, ours].map(|text| text.lines().collect::<Vec<_>>());
        sorted.iter_mut().for_each(|lines| lines.sort_unstable());
        if sorted[0] == sorted[1] {
            let _ = writeln!(out, "    order: - {theirs:?}\n           + {ours:?}");
        }
    }
    out
}
