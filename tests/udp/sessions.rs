//! Sessions: what goes through, what does not, how they end.

use crate::support::{Folder, Proxy};
use crate::udp_support::{Client, Host, Listener, reserved, udp};
use crate::{await_descriptors, descriptors, stat};
use nuncio_reactor::{UdpConnectOptions, UdpSocket};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::Command;

#[test]
fn datagrams_go_there_and_back() {
    let host = Host::echo();
    let proxy = Proxy::start(&udp("", &[host.address]));
    let (one, two) = (Client::connect(proxy.first()), Client::connect(proxy.first()));
    for length in [0, 1, 100, 1472, 1500] {
        let data: Vec<u8> = (0..length).map(|n| n as u8).collect();
        assert_eq!(one.ask(&data), data);
        assert_eq!(two.ask(&data), data);
    }
    one.assert_silence();
    assert_eq!(host.senders().len(), 2, "a socket for each session");
    for (name, value) in [
        ("udp.test.downstream_sess_total", 2),
        ("udp.test.downstream_sess_active", 2),
        ("udp.test.downstream_sess_rx_datagrams", 10),
        ("udp.test.downstream_sess_tx_datagrams", 10),
        ("udp.test.downstream_sess_rx_bytes", 2 * 3073),
        ("udp.test.downstream_sess_tx_bytes", 2 * 3073),
        ("cluster.up.udp.sess_rx_datagrams", 10),
        ("cluster.up.udp.sess_tx_datagrams", 10),
        ("cluster.up.upstream_cx_rx_bytes_total", 2 * 3073),
        ("cluster.up.upstream_cx_tx_bytes_total", 2 * 3073),
        ("cluster.up.upstream_cx_total", 0),
        ("listener.127.0.0.1_0.udp.downstream_rx_datagram_dropped", 0),
    ] {
        // A datagram is counted after it has been sent.
        proxy.await_stat(name, value);
    }
}

#[test]
fn a_host_may_say_nothing_or_much() {
    let host = Host::start("127.0.0.1:0", |data| {
        let count = std::str::from_utf8(data).expect("a number").parse::<usize>().expect("a number");
        (0..count).map(|n| vec![n as u8; n]).collect()
    });
    let proxy = Proxy::start(&udp("", &[host.address]));
    let client = Client::connect(proxy.first());
    for count in [0, 1, 2, 3, 17, 64, 65, 200] {
        client.send(count.to_string().as_bytes());
        for n in 0..count {
            assert_eq!(client.receive(), vec![n as u8; n], "{n} of {count}");
        }
    }
    client.assert_silence();
}

#[test]
fn what_is_too_long_is_dropped_and_counted() {
    // A letter, and the length of the answer.
    let host = Host::start("127.0.0.1:0", |data| {
        let length = std::str::from_utf8(&data[..6]).expect("a number").trim().parse().expect("a number");
        vec![vec![b'y'; length]]
    });
    let ask = |length: usize, answer: usize| format!("{answer:<length$}").into_bytes();
    let dropped = "listener.127.0.0.1_0.udp.downstream_rx_datagram_dropped";
    for (listener, longest) in [
        ("", 1500),
        ("    udp_listener_config: {downstream_socket_config: {max_rx_datagram_size: 20}}\n", 20),
        ("    udp_listener_config: {downstream_socket_config: {max_rx_datagram_size: 65535}}\n", 65_507),
        ("    udp_listener_config: {downstream_socket_config: {prefer_gro: true}}\n", 65_507),
    ] {
        let yaml = Listener { listener, ..Listener::default() }.config(&[host.address]);
        let proxy = Proxy::start(&yaml);
        let client = Client::connect(proxy.first());
        let mut too_long = 0;
        for length in [longest - 1, longest, longest + 1, 65_507] {
            if length > 65_507 {
                continue;
            }
            client.send(&ask(length, 5));
            if length > longest {
                too_long += 1;
                proxy.await_stat(dropped, too_long);
            } else {
                assert_eq!(client.receive(), b"yyyyy", "{length} of {longest}");
            }
        }
        // Hosts may answer with any length.
        assert_eq!(client.ask(&ask(10, 65_507)).len(), 65_507);
        proxy.await_stat(dropped, too_long);
        proxy.await_stat("udp.test.downstream_sess_total", 1);
    }
    for (size, longest) in [("", 1500), ("max_rx_datagram_size: 9000, ", 9000)] {
        let fields = format!("        upstream_socket_config: {{{size}prefer_gro: false}}\n");
        let proxy = Proxy::start(&udp(&fields, &[host.address]));
        let client = Client::connect(proxy.first());
        client.send(&ask(10, longest + 1));
        client.send(&ask(10, longest));
        assert_eq!(client.receive().len(), longest);
        client.assert_silence();
        proxy.await_stat("cluster.up.udp.sess_rx_datagrams_dropped", 1);
        proxy.await_stat("cluster.up.udp.sess_rx_datagrams", 1);
    }
}

/// A socket that sends segments, or nothing where the kernel does not.
fn segmenting(server: SocketAddr) -> Option<UdpSocket> {
    let socket = UdpSocket::connect(server, &UdpConnectOptions::default()).expect("connected");
    let probe = UdpSocket::connect(server, &UdpConnectOptions::default()).expect("connected");
    match probe.send_pieces(&[IoSlice::new(&[0; 20])], 10) {
        Ok(()) => Some(socket),
        Err(error) => {
            println!("skipped: this kernel does not send segments: {error}");
            None
        }
    }
}

#[test]
fn runs_of_one_size_arrive_one_by_one() {
    let host = Host::sink();
    for listener in ["", "    udp_listener_config: {downstream_socket_config: {prefer_gro: true}}\n"] {
        let yaml = Listener { listener, ..Listener::default() }.config(&[host.address]);
        let proxy = Proxy::start(&yaml);
        let before = host.count();
        let Some(client) = segmenting(proxy.first()) else { return };
        // What was probed with.
        host.await_count(before + 2);
        let before = host.count();
        for round in 1..=20 {
            client.send_pieces(&[IoSlice::new(&[7; 25_300])], 1000).expect("sent");
            host.await_count(before + 26 * round);
        }
        proxy.await_stat("udp.test.downstream_sess_rx_datagrams", 2 + 20 * 26);
        proxy.await_stat("udp.test.downstream_sess_rx_bytes", 20 + 20 * 25_300);
        proxy.await_stat("cluster.up.udp.sess_tx_datagrams", 2 + 20 * 26);
        proxy.await_stat("cluster.up.upstream_cx_tx_bytes_total", 20 + 20 * 25_300);
        proxy.await_stat("cluster.up.udp.sess_tx_errors", 0);
    }
}

#[test]
fn a_host_that_sends_segments_reaches_its_client() {
    for fields in ["", "        upstream_socket_config: {prefer_gro: false}\n"] {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        let proxy = Proxy::start(&udp(fields, &[socket.local_addr().expect("bound")]));
        let client = Client::connect(proxy.first());
        client.send(b"hello");
        let (_, from) = socket.recv_from(&mut [0; 16]).expect("it comes");
        socket.connect(from).expect("connected");
        let segments = UdpSocket::from(OwnedFd::from(socket));
        let data: Vec<u8> = (0..=255).cycle().take(48_150).collect();
        if let Err(error) = segments.send_pieces(&[IoSlice::new(&data)], 1200) {
            println!("skipped: this kernel does not send segments: {error}");
            return;
        }
        for (n, wanted) in data.chunks(1200).enumerate() {
            assert_eq!(client.receive(), wanted, "{n}");
        }
        proxy.await_stat("cluster.up.udp.sess_rx_datagrams", 41);
        proxy.await_stat("udp.test.downstream_sess_tx_datagrams", 41);
        proxy.await_stat("udp.test.downstream_sess_tx_bytes", 48_150);
    }
}

#[test]
fn bursts_of_many_clients_are_not_mixed_up() {
    let host = Host::echo();
    let proxy = Proxy::start(&udp("", &[host.address]));
    let clients: Vec<_> = (0..40).map(|_| Client::connect(proxy.first())).collect();
    for round in 0..10u8 {
        for (n, client) in clients.iter().enumerate() {
            // Runs of one size and others.
            for k in 0..5u8 {
                client.send(&vec![n as u8; 1 + usize::from(k / 3 + round % 2 * k)]);
            }
        }
        for (n, client) in clients.iter().enumerate() {
            for k in 0..5u8 {
                assert_eq!(client.receive(), vec![n as u8; 1 + usize::from(k / 3 + round % 2 * k)]);
            }
        }
    }
    assert_eq!(host.senders().len(), 40);
}

#[test]
fn ipv6_on_either_side() {
    let four = Host::echo();
    let six = Host::start("[::1]:0", |data| vec![data.to_vec()]);
    for (address, host) in [("::1", six.address), ("::1", four.address), ("127.0.0.1", six.address)] {
        let proxy = Proxy::start(&Listener { address, ..Listener::default() }.config(&[host]));
        assert_eq!(Client::connect(proxy.first()).ask(b"six"), b"six");
    }
    // Of all addresses.
    let proxy = Proxy::start(&Listener { address: "::", ..Listener::default() }.config(&[six.address]));
    let client = Client::connect(SocketAddr::new("::1".parse().expect("an address"), proxy.first().port()));
    assert_eq!(client.ask(b"six"), b"six");
}

#[test]
fn one_socket_for_both_versions_of_ip() {
    let host = Host::echo();
    let folder = Folder::new();
    let path = folder.0.join("log");
    let fields = format!(
        "        idle_timeout: 0.2s\n        access_log:\n        - name: log\n          typed_config:\n            \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog\n            path: {}\n            log_format: {{text_format_source: {{inline_string: \"%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\\n\"}}}}\n",
        path.display()
    );
    let yaml = Listener { address: "::", proxy: &fields, ..Listener::default() }.config(&[host.address]);
    let yaml =
        yaml.replace("address: \"::\", port_value: 0", "address: \"::\", port_value: 0, ipv4_compat: true");
    let mut proxy = Proxy::start(&yaml);
    for ip in ["127.0.0.9", "::1"] {
        let server = SocketAddr::new(ip.parse().expect("an address"), proxy.first().port());
        // Only what comes from the address that was asked reaches this socket.
        assert_eq!(Client::connect(server).ask(b"either"), b"either", "{ip}");
    }
    proxy.await_stat("udp.test.downstream_sess_active", 0);
    proxy.signal("TERM");
    proxy.wait();
    let mut lines: Vec<_> =
        std::fs::read_to_string(&path).expect("a log").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["127.0.0.9 127.0.0.1", "::1 ::1"]);
}

#[test]
fn further_addresses_and_socket_options() {
    let host = Host::echo();
    // A small buffer, by its numbers (SOL_SOCKET, SO_RCVBUF), for sockets of datagrams at the second address only.
    let listener = "    additional_addresses:\n    - address: {socket_address: {protocol: UDP, address: \"::1\", port_value: 0}}\n    - address: {socket_address: {protocol: UDP, address: 127.0.0.2, port_value: 0}}\n      socket_options: {socket_options: [{level: 1, name: 8, int_value: 5000, type: {datagram: {}}}, {level: 1, name: 999, int_value: 1, type: {stream: {}}}]}\n";
    let proxy = Proxy::start(&Listener { listener, ..Listener::default() }.config(&[host.address]));
    let text = crate::support::Client::connect(proxy.admin()).get("/listeners").text();
    let addresses: Vec<SocketAddr> = text
        .lines()
        .map(|line| line.strip_prefix("main::").expect("its name").parse().expect("an address"))
        .collect();
    assert_eq!(addresses.len(), 3);
    for address in &addresses {
        assert_eq!(Client::connect(*address).ask(b"x"), b"x", "{address}");
    }
    proxy.await_stat("udp.test.downstream_sess_total", 3);
    // What the kernel says of the sockets: `sk` ... `rb` is the buffer, which it doubles.
    if crate::support::tool("ss") {
        let output = Command::new("ss").args(["-lunmH"]).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = |address: &SocketAddr| {
            let at = text.find(&format!("{address} ")).unwrap_or_else(|| panic!("{address} in {text}"));
            text[at..].lines().nth(1).unwrap_or_default().to_owned()
        };
        assert!(line(&addresses[2]).contains("rb10000,"), "{text}");
        assert!(!line(&addresses[0]).contains("rb10000,"), "{text}");
    }
}

#[test]
fn addresses_that_nobody_has_can_be_bound_freely() {
    let more = "    additional_addresses: [{address: {socket_address: {protocol: UDP, address: \"2001:db8::7\", port_value: 0}}}]\n    freebind: true\n";
    let yaml = Listener { address: "192.0.2.7", listener: more, ..Listener::default() }.config(&[]);
    let proxy = Proxy::start(&yaml);
    let text = crate::support::Client::connect(proxy.admin()).get("/listeners").text();
    assert!(text.contains("main::192.0.2.7:") && text.contains("main::[2001:db8::7]:"), "{text}");
    Proxy::refused(&yaml.replace("freebind: true", "freebind: false"), &[]);
}

#[test]
fn listeners_stop_by_themselves() {
    let host = Host::echo();
    let first = Listener { listener: "    traffic_direction: INBOUND\n", ..Listener::default() };
    let second = "  - name: other\n    address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: 0}}\n    listener_filters:\n    - typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig, stat_prefix: other, cluster: up}\n  clusters:\n";
    let yaml = first.config(&[host.address]).replacen("  clusters:\n", second, 1);
    let proxy = Proxy::start(&yaml);
    let (one, two) = (Client::connect(proxy.address("main")), Client::connect(proxy.address("other")));
    one.ask(b"a");
    two.ask(b"a");
    assert_eq!(
        crate::support::Client::connect(proxy.admin()).post("/drain_listeners?inboundonly").status,
        200
    );
    proxy.await_stat("listener_manager.listener_stopped", 1);
    proxy.await_stat("listener_manager.total_listeners_active", 1);
    // No new session there, but at the other one; the old ones go on.
    let new = Client::connect(proxy.address("main"));
    new.send(b"b");
    assert_eq!(Client::connect(proxy.address("other")).ask(b"b"), b"b");
    assert_eq!((one.ask(b"c"), two.ask(b"c")), (b"c".to_vec(), b"c".to_vec()));
    new.assert_silence();
    proxy.await_stat("udp.test.downstream_sess_total", 1);
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    let host = Host::echo();
    let proxy = Proxy::start(&Listener { address: "0.0.0.0", ..Listener::default() }.config(&[host.address]));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(crate::udp_support::PATIENCE)).expect("a time-out");
    for ip in ["127.0.0.1", "127.0.0.5", "127.9.9.9"] {
        let server = SocketAddr::new(ip.parse().expect("an address"), proxy.first().port());
        socket.send_to(b"who", server).expect("sent");
        let mut room = [0; 16];
        assert_eq!(socket.recv_from(&mut room).expect("an answer"), (3, server));
    }
    proxy.await_stat("udp.test.downstream_sess_total", 3);
}

#[test]
fn idle_sessions_end_and_leave_nothing() {
    let host = Host::echo();
    let proxy = Proxy::start(&udp("        idle_timeout: 1.5s\n", &[host.address]));
    let busy = Client::connect(proxy.first());
    busy.ask(b"a");
    let before = descriptors(&proxy);
    let clients: Vec<_> = (0..50).map(|_| Client::connect(proxy.first())).collect();
    for client in &clients {
        client.ask(b"a");
    }
    await_descriptors(&proxy, before + 50);
    // One that goes on stays.
    let end = std::time::Instant::now() + crate::udp_support::PATIENCE;
    while stat(&proxy, "downstream_sess_active") > 1 {
        assert_eq!(busy.ask(b"b"), b"b");
        assert!(std::time::Instant::now() < end);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    await_descriptors(&proxy, before);
    proxy.await_stat("udp.test.idle_timeout", 50);
    proxy.await_stat("udp.test.downstream_sess_total", 51);
    // A new session gets a new socket.
    let senders = host.senders().len();
    clients[0].ask(b"c");
    assert_eq!(host.senders().len(), senders + 1);
}

#[test]
fn datagrams_in_one_direction_keep_a_session() {
    let pause = || std::thread::sleep(std::time::Duration::from_millis(80));
    let fields = "        idle_timeout: 1s\n";
    let host = Host::sink();
    let proxy = Proxy::start(&udp(fields, &[host.address]));
    let client = Client::connect(proxy.first());
    for n in 1..=25 {
        client.send(b"x");
        host.await_count(n);
        pause();
    }
    assert_eq!((stat(&proxy, "downstream_sess_total"), stat(&proxy, "downstream_sess_active")), (1, 1));
    let host = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let proxy = Proxy::start(&udp(fields, &[host.local_addr().expect("bound")]));
    let client = Client::connect(proxy.first());
    client.send(b"x");
    let (_, session) = host.recv_from(&mut [0; 8]).expect("it comes");
    for n in 1..=25u8 {
        host.send_to(&[n], session).expect("sent");
        assert_eq!(client.receive(), [n]);
        pause();
    }
    proxy.await_stat("udp.test.idle_timeout", 0);
}

#[test]
fn sessions_are_limited_as_connections() {
    let host = Host::echo();
    let cluster = "    circuit_breakers: {thresholds: [{max_connections: 2, track_remaining: true}]}\n";
    let proxy = "        idle_timeout: 1.5s\n";
    let yaml = Listener { proxy, cluster, ..Listener::default() }.config(&[host.address]);
    let proxy = Proxy::start(&yaml);
    let clients: Vec<_> = (0..3).map(|_| Client::connect(proxy.first())).collect();
    clients[0].ask(b"a");
    clients[1].ask(b"a");
    for n in 1..=3 {
        clients[2].send(b"a");
        proxy.await_stat("cluster.up.upstream_cx_overflow", n);
    }
    proxy.await_stat("cluster.up.circuit_breakers.default.cx_open", 1);
    proxy.await_stat("cluster.up.circuit_breakers.default.remaining_cx", 0);
    // Those that are in go on, and make room when they are idle.
    clients[0].ask(b"b");
    proxy.await_stat("udp.test.downstream_sess_active", 0);
    proxy.await_stat("cluster.up.circuit_breakers.default.remaining_cx", 2);
    assert_eq!(clients[2].ask(b"c"), b"c");
    assert_eq!(host.count(), 4);
}

#[test]
fn nobody_listens_and_then_somebody_does() {
    let reserved = reserved();
    let address = reserved.local_addr().expect("bound");
    let proxy = Proxy::start(&udp("", &[address]));
    let client = Client::connect(proxy.first());
    for n in 1..=3 {
        client.send(b"a");
        proxy.await_stat("cluster.up.udp.sess_rx_errors", n);
    }
    proxy.await_stat("cluster.up.udp.sess_tx_datagrams", 3);
    drop(reserved);
    let host = Host::start(&address.to_string(), |data| vec![data.to_vec()]);
    assert_eq!(client.ask(b"b"), b"b", "the same session");
    proxy.await_stat("udp.test.downstream_sess_total", 1);
    assert_eq!(host.count(), 1);
}

#[test]
fn a_cluster_without_hosts() {
    let proxy = Proxy::start(&udp("", &[]));
    let client = Client::connect(proxy.first());
    for n in 1..=2 {
        client.send(b"a");
        proxy.await_stat("cluster.up.upstream_cx_none_healthy", n);
    }
    proxy.await_stat("udp.test.downstream_sess_total", 0);
}

#[test]
fn a_client_that_is_gone_is_no_trouble() {
    let host = Host::start("127.0.0.1:0", |data| vec![data.to_vec(); 3]);
    let proxy = Proxy::start(&udp("", &[host.address]));
    for n in 1..=20 {
        Client::connect(proxy.first()).send(b"bye");
        host.await_count(n);
    }
    proxy.await_stat("udp.test.downstream_sess_tx_datagrams", 60);
    proxy.await_stat("udp.test.downstream_sess_tx_errors", 0);
    assert_eq!(Client::connect(proxy.first()).ask(b"still"), b"still");
}

#[test]
fn a_drain_lets_sessions_end_and_begins_none() {
    let host = Host::echo();
    let mut proxy = Proxy::start(&udp("        idle_timeout: 2s\n", &[host.address]));
    let old = Client::connect(proxy.first());
    old.ask(b"a");
    proxy.signal("TERM");
    // Once the worker has heard of it, no datagram begins a session.
    let dropped = "listener.127.0.0.1_0.udp.downstream_rx_datagram_dropped";
    while proxy.stat(dropped) == 0 {
        Client::connect(proxy.first()).send(b"b");
    }
    let (new, sessions) = (Client::connect(proxy.first()), stat(&proxy, "downstream_sess_total"));
    let before = proxy.stat(dropped);
    new.send(b"c");
    let start = std::time::Instant::now();
    assert_eq!(old.ask(b"d"), b"d");
    proxy.await_stat_that(dropped, |now| now > before);
    new.assert_silence();
    proxy.await_stat("udp.test.downstream_sess_total", sessions);
    assert!(proxy.wait().success());
    assert!(start.elapsed() > std::time::Duration::from_millis(1900), "not before the session was idle");
}

#[test]
fn a_drain_without_sessions_ends_at_once() {
    let host = Host::echo();
    let mut proxy = Proxy::start(&udp("", &[host.address]));
    proxy.signal("TERM");
    assert!(proxy.wait().success());
}

#[test]
fn one_socket_is_for_one_worker() {
    let host = Host::echo();
    let listener = "    enable_reuse_port: false\n";
    let yaml = Listener { listener, ..Listener::default() }.config(&[host.address]);
    let proxy = Proxy::start(&yaml);
    assert_eq!(Client::connect(proxy.first()).ask(b"a"), b"a");
    let error = Proxy::refused(&yaml, &["--concurrency", "2"]);
    assert!(error.contains("enable_reuse_port"), "{error}");
}

#[test]
fn an_address_is_taken_once() {
    let host = Host::echo();
    let listener = "    enable_reuse_port: false\n";
    let proxy = Proxy::start(&Listener { listener, ..Listener::default() }.config(&[host.address]));
    let again = Listener { port: proxy.first().port(), ..Listener::default() }.config(&[host.address]);
    let error = Proxy::refused(&again, &[]);
    assert!(error.contains("UDP listener 'main': cannot bind"), "{error}");
}
