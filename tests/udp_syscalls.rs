//! What a datagram of a warm session costs in system calls, counted with strace. Nothing here is timed.

mod support;
#[path = "support/udp.rs"]
mod udp_support;

use std::collections::HashMap;
use std::process::Command;
use udp_support::{Client, Host, udp};

#[test]
fn a_round_trip_takes_one_call_for_each_step() {
    if !support::tool("strace") {
        return;
    }
    const TRIPS: usize = 200;
    let host = Host::echo();
    let folder = support::Folder::new();
    let trace = folder.0.join("trace");
    let config = folder.file("config.yaml", &udp("", &[host.address]));
    let mut command = Command::new("strace");
    command.args(["-f", "-s", "16", "-o"]).arg(&trace).arg(env!("CARGO_BIN_EXE_nuncio"));
    command.arg("-c").arg(&config).args(["--concurrency", "1", "-l", "info"]);
    let mut proxy = support::Proxy::spawn(command, folder);
    let client = Client::connect(proxy.first());
    (0..20).for_each(|_| drop(client.ask(b"warm")));
    client.ask(b"begin");
    (0..TRIPS).for_each(|_| drop(client.ask(b"trip")));
    client.ask(b"end");
    assert_eq!(support::Client::connect(proxy.admin()).post("/quitquitquit").status, 200);
    proxy.wait();
    let text = std::fs::read_to_string(&trace).expect("a trace");
    let (mut counting, mut worker) = (false, "");
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if call.starts_with("sendto(") && call.contains("\"begin\"") {
            (counting, worker) = (true, thread);
        } else if call.starts_with("sendto(") && call.contains("\"end\"") {
            break;
        }
        if counting && thread == worker && !call.starts_with("<... ") {
            let name = call.split('(').next().unwrap_or_default();
            *counts.entry(name).or_default() += 1;
        }
    }
    let trips = TRIPS + 1;
    // To the host; from the host; to the client; from the client.
    let take = |name: &str, counts: &mut HashMap<&str, usize>| counts.remove(name).unwrap_or(0);
    assert_eq!(take("sendto", &mut counts), trips, "to the host");
    assert_eq!(take("sendmmsg", &mut counts), trips, "to the client");
    assert_eq!(take("recvmmsg", &mut counts), 2 * trips, "from either");
    let waits = take("epoll_wait", &mut counts);
    assert!(waits <= 2 * trips + 4 + trips / 10, "{waits} waits for {trips} round trips");
    // Whether the kernel has lost something is looked at now and then.
    assert!(take("getsockopt", &mut counts) <= 1 + trips / 10);
    assert!(counts.is_empty(), "other system calls: {counts:?}");
}
