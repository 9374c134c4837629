//! What a warm keep-alive request, or a round trip through the TCP proxy, costs in system calls, counted with strace: two
//! reads, two writes, and the waits between them. No epoll_ctl, no timer, nothing else. Nothing here is timed.

mod support;

use std::collections::HashMap;
use std::io::Read;
use std::process::Command;
use support::{Client, Folder, Proxy, Upstream, simple, tcp, tool};

const ROUNDS: usize = 200;

/// Runs the proxy under strace while `talk` does some rounds to warm up, then one that sends `/begin-count`, then
/// [`ROUNDS`], then one that sends `/end-count`; and checks what is between.
fn count(yaml: &str, talk: impl FnOnce(&Proxy)) {
    let folder = Folder::new();
    let trace = folder.0.join("trace");
    let config = folder.file("config.yaml", yaml);
    let mut command = Command::new("strace");
    command.args(["-f", "-s", "64", "-o"]).arg(&trace).arg(env!("CARGO_BIN_EXE_nuncio"));
    command.arg("-c").arg(&config).args(["--concurrency", "1"]);
    let mut proxy = Proxy::spawn(command, folder);
    talk(&proxy);
    // The proxy's own end, not strace's, so that the whole trace is written.
    let quit = Client::connect(proxy.admin()).post("/quitquitquit");
    assert_eq!(quit.status, 200);
    proxy.wait();
    let text = std::fs::read_to_string(&trace).expect("a trace");
    let (mut counting, mut worker) = (false, "");
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let call = rest.trim_start();
        if !counting && call.starts_with("recvfrom(") && call.contains("/begin-count") {
            (counting, worker) = (true, thread);
        } else if call.starts_with("recvfrom(") && call.contains("/end-count") {
            break;
        }
        if counting && thread == worker && !call.starts_with("<... ") {
            let name = call.split('(').next().unwrap_or_default();
            *counts.entry(name).or_default() += 1;
        }
    }
    // From the first read of /begin-count to just before that of /end-count.
    let exchanges = ROUNDS + 1;
    let take = |name: &str, counts: &mut HashMap<&str, usize>| counts.remove(name).unwrap_or(0);
    assert_eq!(take("recvfrom", &mut counts), 2 * exchanges, "reads");
    assert_eq!(take("sendto", &mut counts), 2 * exchanges, "writes");
    let waits = take("epoll_wait", &mut counts);
    assert!(waits <= 2 * exchanges + 1, "{waits} waits for {exchanges} exchanges");
    assert!(counts.is_empty(), "other system calls: {counts:?}");
}

#[test]
fn a_warm_request_takes_four_data_calls_and_its_waits() {
    if !tool("strace") {
        return;
    }
    let upstream = Upstream::echo();
    count(&simple(upstream.address), |proxy| {
        let mut client = proxy.connect();
        let mut get = |path: &str, times: usize| {
            for _ in 0..times {
                assert_eq!(client.get(path).status, 200);
            }
        };
        get("/warm", 100);
        get("/begin-count", 1);
        get("/counted", ROUNDS);
        get("/end-count", 1);
    });
}

#[test]
fn a_round_trip_through_the_tcp_proxy_takes_four_data_calls_and_its_waits() {
    if !tool("strace") {
        return;
    }
    let upstream = Upstream::start(|mut client, _| {
        loop {
            let mut block = [0; 64];
            match client.stream.read(&mut block) {
                Ok(0) | Err(_) => return,
                Ok(n) => client.send(&block[..n]),
            }
        }
    });
    count(&tcp(upstream.address), |proxy| {
        let mut client = proxy.connect();
        let mut round = |text: &str, times: usize| {
            for _ in 0..times {
                client.send(text);
                assert_eq!(client.exactly(text.len()), text.as_bytes());
            }
        };
        round("/warm", 100);
        round("/begin-count", 1);
        round("/counted", ROUNDS);
        round("/end-count", 1);
    });
}
