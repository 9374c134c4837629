//! Many clients: workers, floods, and what is left when all is over.

use crate::support::{Folder, PATIENCE, Proxy};
use crate::udp_support::{Client, Host, Listener, source};
use crate::{await_descriptors, descriptors, stat};
use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

/// Sends one datagram from each of some sources, at a pace at which nothing is lost: `arrived` says how many have.
fn send_from(sources: impl Iterator<Item = u32>, to: SocketAddr, arrived: impl Fn(u64)) {
    let mut sent = 0;
    for number in sources {
        let socket = UdpSocket::bind(source(number)).expect("a port");
        socket.send_to(&number.to_be_bytes(), to).expect("sent");
        sent += 1;
        if sent % 100 == 0 {
            arrived(sent);
        }
    }
    arrived(sent);
}

#[test]
fn a_client_stays_with_its_worker() {
    const CLIENTS: u64 = 400;
    const ROUNDS: u64 = 5;
    let folder = Folder::new();
    let path = folder.0.join("log");
    let host = Host::echo();
    let proxy = format!(
        "        proxy_access_log:\n        - name: log\n          typed_config:\n            \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog\n            path: {}\n            log_format: {{text_format_source: {{inline_string: \"%DYNAMIC_METADATA(udp.proxy.proxy:session_total)%\\n\"}}}}\n",
        path.display()
    );
    let yaml = Listener { proxy: &proxy, ..Listener::default() }.config(&[host.address]);
    let mut proxy = Proxy::start_with(&yaml, &["--concurrency", "4"]);
    let clients: Vec<_> = (0..CLIENTS as u32).map(|n| Client::from(source(n * 331), proxy.first())).collect();
    for round in 0..ROUNDS {
        for client in &clients {
            client.send(&round.to_be_bytes());
        }
        for client in &clients {
            assert_eq!(client.receive(), round.to_be_bytes());
        }
    }
    // Had a datagram come to another worker, that one would have made a session of its own.
    proxy.await_stat("udp.test.downstream_sess_total", CLIENTS);
    let senders = host.senders();
    assert_eq!(senders.len() as u64, CLIENTS);
    assert!(senders.values().all(|count| *count == ROUNDS), "{senders:?}");
    assert_eq!(crate::support::Client::connect(proxy.admin()).post("/quitquitquit").status, 200);
    proxy.wait();
    let text = std::fs::read_to_string(&path).expect("a log");
    let shares: Vec<u64> = text.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!((shares.len(), shares.iter().sum::<u64>()), (4, CLIENTS));
    assert!(shares.iter().all(|share| (40..200).contains(share)), "spread over all workers: {shares:?}");
}

#[test]
fn a_hundred_thousand_sessions_leave_nothing_behind() {
    // What fits below the limit of descriptors at a time, in as many rounds as it takes.
    const ROUNDS: u32 = 10;
    const SESSIONS: u32 = 10_000;
    let host = Host::sink();
    let yaml = Listener {
        proxy: "        idle_timeout: 1.5s\n",
        cluster: "    circuit_breakers: {thresholds: [{max_connections: 100000}]}\n",
        ..Listener::default()
    }
    .config(&[host.address]);
    let proxy = Proxy::start(&yaml);
    let before = descriptors(&proxy);
    let (mut memory, mut most) = (vec![proxy.allocated()], 0);
    for round in 0..ROUNDS {
        let base = host.count();
        let first = round * SESSIONS;
        send_from(first..first + SESSIONS, proxy.first(), |sent| host.await_count(base + sent));
        most = most.max(stat(&proxy, "downstream_sess_active"));
        proxy.await_stat("udp.test.downstream_sess_active", 0);
        await_descriptors(&proxy, before);
        // The last session has ended a moment before its memory is given back.
        let end = Instant::now() + PATIENCE;
        while proxy.allocated() > memory[0] + (1 << 20) && Instant::now() < end {
            std::thread::yield_now();
        }
        memory.push(proxy.allocated());
    }
    proxy.await_stat("udp.test.downstream_sess_total", u64::from(ROUNDS * SESSIONS));
    proxy.await_stat("udp.test.idle_timeout", u64::from(ROUNDS * SESSIONS));
    assert!(most > u64::from(SESSIONS) / 2, "{most} at a time");
    assert_eq!(host.count(), u64::from(ROUNDS * SESSIONS));
    let (before, after) = (memory[0], &memory[1..]);
    assert!(
        after.iter().all(|now| *now < before + (1 << 20)),
        "bytes before and after each round: {memory:?}"
    );
}

#[test]
fn a_flood_of_sources_is_bounded() {
    const FLOOD: u32 = 20_000;
    let host = Host::echo();
    let yaml = Listener {
        cluster: "    circuit_breakers: {thresholds: [{max_connections: 50}]}\n",
        ..Listener::default()
    }
    .config(&[host.address]);
    let proxy = Proxy::start(&yaml);
    let client = Client::connect(proxy.first());
    client.ask(b"first");
    let before = descriptors(&proxy);
    let dropped = "listener.127.0.0.1_0.udp.downstream_rx_datagram_dropped";
    let mut memory = 0;
    for part in 0..4 {
        let range = part * FLOOD / 4..(part + 1) * FLOOD / 4;
        // At full speed: some are lost on the way.
        for number in range {
            let socket = UdpSocket::bind(source(number)).expect("a port");
            socket.send_to(b"flood", proxy.first()).expect("sent");
        }
        // What was lost meanwhile is asked again, as every client of UDP does.
        assert_eq!(client.ask_until_answered(b"still"), b"still");
        if part == 0 {
            memory = proxy.allocated();
        }
    }
    proxy.await_stat("udp.test.downstream_sess_active", 50);
    await_descriptors(&proxy, before + 49);
    let refused = proxy.stat("cluster.up.upstream_cx_overflow");
    assert!(refused > 1000, "{refused} refused");
    // Every datagram is accounted for, and what the client has asked again.
    let lost = u64::from(FLOOD) - 49 - refused;
    proxy.await_stat_that(dropped, |now| (lost..lost + 20).contains(&now));
    assert!(proxy.allocated() < memory + (1 << 20), "memory grows");
    let sockets: HashSet<_> = host.senders().into_keys().collect();
    assert_eq!(sockets.len(), 50);
}

#[test]
fn descriptors_may_run_out() {
    let host = Host::echo();
    let folder = Folder::new();
    let config = folder.file("config.yaml", &Listener::default().config(&[host.address]));
    let mut command = std::process::Command::new("sh");
    let run = format!(
        "ulimit -n 40; exec {} -c {} -l info --concurrency 1",
        env!("CARGO_BIN_EXE_nuncio"),
        config.display()
    );
    command.args(["-c", &run]);
    let proxy = Proxy::spawn(command, folder);
    let clients: Vec<_> = (0..60).map(|_| Client::connect(proxy.first())).collect();
    // The admin interface needs some too, so ask while it can still be asked.
    let first = clients[0].ask(b"first");
    assert_eq!(first, b"first");
    for client in &clients {
        client.send(b"x");
    }
    // Those that have a session keep it.
    for _ in 0..5 {
        assert!([&b"x"[..], b"again"].contains(&&clients[0].ask(b"again")[..]));
    }
}
