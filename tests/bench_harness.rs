//! The benchmark harness: it runs, and its load generator tells the truth. How fast anything is is not asserted.

mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Folder, Upstream, tool};

fn bench() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench")
}

/// Runs `load.c` on an upstream with 16-byte answers; each line is (requests, rate), each result what it printed.
fn load(upstream: &Upstream, connections: &str, runs: &[(u32, u32)]) -> Vec<Value> {
    let folder = Folder::new();
    let program = folder.0.join("load");
    let built =
        Command::new("cc").arg("-O1").arg("-o").arg(&program).arg(bench().join("load.c")).arg("-lm").status();
    assert!(built.expect("cc runs").success());
    let request = folder.file("request", "GET /x HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut child = Command::new(program)
        .arg(upstream.address.port().to_string())
        .arg(request)
        .args(["16", connections])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("piped");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let results = runs.iter().map(|(requests, rate)| {
        writeln!(input, "{requests} {rate}").expect("it reads");
        let line = lines.next().expect("a result").expect("text");
        serde_json::from_str(&line).expect("JSON")
    });
    let results = results.collect();
    drop(input);
    assert!(child.wait().expect("it ends").success());
    results
}

/// Answers with this many bytes; the request with this number waits first.
fn upstream(length: usize, stalled: usize, stall: Duration) -> Upstream {
    Upstream::start(move |mut client, _| {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length));
        let mut number = 0;
        while client.request().is_some() {
            if number == stalled {
                std::thread::sleep(stall);
            }
            number += 1;
            client.send(&answer);
        }
    })
}

#[test]
fn a_stall_shows_in_all_requests_that_were_due_in_it() {
    if !tool("cc") {
        return;
    }
    const STALL: Duration = Duration::from_millis(300);
    let results = load(&upstream(16, 150, STALL), "1", &[(100, 0), (300, 1000)]);
    for (result, requests) in results.iter().zip([100, 300]) {
        assert_eq!(
            (&result["requests"], &result["errors"], &result["unanswered"]),
            (&requests.into(), &0.into(), &0.into())
        );
    }
    // All but 50 of the second run were due during the stall; in a closed loop one request would have met it.
    let p90 = results[1]["p90"].as_f64().expect("a number");
    assert!(p90 > STALL.as_micros() as f64 / 2.0, "{results:?}");
}

#[test]
fn what_is_never_answered_counts_with_its_age() {
    if !tool("cc") {
        return;
    }
    let results = load(&upstream(16, 20, Duration::from_secs(4)), "1", &[(100, 1000)]);
    assert_eq!((&results[0]["requests"], &results[0]["unanswered"]), (&20.into(), &80.into()));
    assert!(results[0]["p50"].as_f64().expect("a number") > 1e6, "{results:?}");
}

#[test]
fn wrong_answers_are_errors() {
    if !tool("cc") {
        return;
    }
    let results = load(&upstream(17, 0, Duration::ZERO), "4", &[(50, 0)]);
    assert_eq!((&results[0]["requests"], &results[0]["errors"]), (&0.into(), &50.into()));
}

#[test]
fn it_measures_us_and_the_floor() {
    if !["python3", "cc", "nginx", "h2load"].map(tool).into_iter().all(|found| found) {
        return;
    }
    let folder = Folder::new();
    let json = folder.0.join("result.json");
    let run = Command::new("python3")
        .arg(bench().join("run"))
        .args(["--loads", "h1,h1-close,latency", "--proxies", "nuncio,floor"])
        .args([
            "--rounds",
            "1",
            "--seconds",
            "0.02",
            "--cpus",
            "0,0",
            "--binary",
            env!("CARGO_BIN_EXE_nuncio"),
        ])
        .arg("--json")
        .arg(&json)
        .output()
        .expect("it runs");
    assert!(
        run.status.success(),
        "{}{}",
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
    let result: Value = serde_json::from_str(&std::fs::read_to_string(json).expect("written")).expect("JSON");
    for (load, proxy) in [("h1", "nuncio"), ("h1", "floor"), ("h1-close", "nuncio"), ("h1-close", "floor")] {
        let sample = &result["loads"][load][proxy][0];
        assert!(sample["cpu"].as_f64().is_some_and(|cpu| cpu > 0.0), "{load} {proxy}: {sample}");
    }
    assert!(result["latency"]["rounds"]["nuncio"][0]["0.6"]["p99"].is_number(), "{result}");
}
