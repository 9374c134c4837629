//! A rolling restart as an orchestrator does it: the next process starts on the same port, then the old one gets
//! SIGTERM. Clients that keep their connections, and close them when a response says so, lose nothing.
//!
//! A connection that the kernel has made but the old process has not accepted yet when it closes its socket is reset
//! by the kernel, unless `net.ipv4.tcp_migrate_req` is 1; so there are no clients here that make a connection for every
//! request (docs/operations.md).

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use support::{Client, Proxy, Upstream, config};

const ROUNDS: usize = 4;
const CLIENTS: usize = 16;
const FLAGS: [&str; 4] = ["--concurrency", "2", "--drain-time-s", "15"];

#[test]
fn no_request_is_lost() {
    let upstream = Upstream::start(|mut client, _| {
        while let Some(request) = client.request() {
            // Some answers take their time, so that requests are open when the end comes.
            if request.head.contains("/slow") {
                std::thread::sleep(std::time::Duration::from_millis(30));
            }
            let body = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
            client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        }
    });
    let yaml =
        config("", "- {match: {prefix: \"/\"}, route: {cluster: up}}", &[("up", &[upstream.address], "")]);
    let mut serving = Proxy::start_with(&yaml, &FLAGS);
    let address = serving.first();
    let yaml = yaml.replacen(
        "- name: main\n    address: {socket_address: {address: 127.0.0.1, port_value: 0}}",
        &format!(
            "- name: main\n    address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}",
            address.port()
        ),
        1,
    );

    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || ask(address, number, &stop, &answered))
        })
        .collect();
    for _ in 0..ROUNDS {
        reach(&answered, 400);
        let next = Proxy::start_with(&yaml, &FLAGS);
        reach(&answered, 400);
        serving.signal("TERM");
        assert!(serving.wait().success(), "{}", serving.log());
        assert!(!serving.log().contains("did not end"), "{}", serving.log());
        serving = next;
    }
    reach(&answered, 400);
    stop.store(true, Relaxed);
    let moved: usize = clients.into_iter().map(|client| client.join().expect("no request fails")).sum();
    // Every client was sent away in every round that it had a connection to the process that ended.
    assert!(moved >= ROUNDS, "only {moved} connections were closed by a response");
    assert_eq!(serving.stat("http.test.downstream_rq_5xx"), 0);
}

/// Waits until so many more requests are answered.
fn reach(answered: &AtomicUsize, more: usize) {
    let goal = answered.load(Relaxed) + more;
    let end = std::time::Instant::now() + support::PATIENCE;
    while answered.load(Relaxed) < goal {
        assert!(std::time::Instant::now() < end, "the clients are stuck");
        std::thread::yield_now();
    }
}

/// Asks until told to stop; says how many connections a response has closed.
fn ask(address: SocketAddr, number: usize, stop: &AtomicBool, answered: &AtomicUsize) -> usize {
    let mut client = Client::connect(address);
    let mut moved = 0;
    for round in 0.. {
        if stop.load(Relaxed) {
            break;
        }
        let path = format!("/{}/{number}/{round}", if number.is_multiple_of(4) { "slow" } else { "quick" });
        let response = client.get(&path);
        assert_eq!((response.status, response.text()), (200, path));
        answered.fetch_add(1, Relaxed);
        if response.header("connection") == Some("close") {
            assert_eq!(client.until_closed(), b"");
            client = Client::connect(address);
            moved += 1;
        }
    }
    moved
}
