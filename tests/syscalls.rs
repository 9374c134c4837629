//! What a warm keep-alive request costs in system calls, counted with strace: two reads, two writes, and the waits
//! between them. No epoll_ctl, no timer, nothing else. Nothing here is timed.

mod support;

use std::collections::HashMap;
use std::process::Command;
use support::{Client, Folder, Proxy, Upstream, simple, tool};

#[test]
fn a_warm_request_takes_four_data_calls_and_its_waits() {
    if !tool("strace") {
        return;
    }
    const REQUESTS: usize = 200;
    let upstream = Upstream::echo();
    let folder = Folder::new();
    let trace = folder.0.join("trace");
    let config = folder.file("config.yaml", &simple(upstream.address));
    let mut command = Command::new("strace");
    command.args(["-f", "-s", "64", "-o"]).arg(&trace).arg(env!("CARGO_BIN_EXE_nuncio"));
    command.arg("-c").arg(&config).args(["--concurrency", "1"]);
    let mut proxy = Proxy::spawn(command, folder);
    let mut client = proxy.connect();
    let mut get = |path: &str, times: usize| {
        for _ in 0..times {
            assert_eq!(client.get(path).status, 200);
        }
    };
    get("/warm", 100);
    get("/begin-count", 1);
    get("/counted", REQUESTS);
    get("/end-count", 1);
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
        if call.starts_with("recvfrom(") && call.contains("GET /begin-count") {
            (counting, worker) = (true, thread);
        } else if call.starts_with("recvfrom(") && call.contains("GET /end-count") {
            break;
        }
        if counting && thread == worker && !call.starts_with("<... ") {
            let name = call.split('(').next().unwrap_or_default();
            *counts.entry(name).or_default() += 1;
        }
    }
    // From the first read of /begin-count to just before that of /end-count.
    let exchanges = REQUESTS + 1;
    let take = |name: &str, counts: &mut HashMap<&str, usize>| counts.remove(name).unwrap_or(0);
    assert_eq!(take("recvfrom", &mut counts), 2 * exchanges, "reads");
    assert_eq!(take("sendto", &mut counts), 2 * exchanges, "writes");
    let waits = take("epoll_wait", &mut counts);
    assert!(waits <= 2 * exchanges + 1, "{waits} waits for {exchanges} exchanges");
    assert!(counts.is_empty(), "other system calls: {counts:?}");
}
