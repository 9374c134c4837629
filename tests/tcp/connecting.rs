//! How a session gets its host.

use super::support::{Folder, Proxy};
use super::{
    Ended, Host, access_log, connect, echo, filter, lines, read, refusing, reset, rest, tcp_proxy, yaml,
};
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

const FORMAT: &str = "%RESPONSE_FLAGS% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %UPSTREAM_REQUEST_ATTEMPT_COUNT% \
    %UPSTREAM_TRANSPORT_FAILURE_REASON% %DOWNSTREAM_LOCAL_CLOSE_REASON%";

/// Starts a proxy whose listeners are `(name, fields of the TCP proxy)`, with a log of its sessions.
fn start(listeners: &[(&str, &str)], clusters: &[(&str, &[SocketAddr], &str)]) -> (Proxy, Folder) {
    let folder = Folder::new();
    let log = access_log(&folder.0.join("log").display().to_string(), FORMAT);
    let filters: Vec<_> =
        listeners.iter().map(|(_, fields)| [tcp_proxy(&format!("{fields}, {log}"))]).collect();
    let listeners: Vec<_> =
        listeners.iter().zip(&filters).map(|((name, _), filters)| (*name, &filters[..], "")).collect();
    let flags = ["--concurrency", "1", "--file-flush-interval-msec", "10"];
    (Proxy::start_with(&yaml(&listeners, clusters), &flags), folder)
}

/// A listening socket that answers no connection, since its queue is full.
fn unanswering() -> (SocketAddr, Socket, Vec<TcpStream>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("bound");
    socket.listen(0).expect("listens");
    let address = socket.local_addr().expect("bound").as_socket().expect("inet");
    let waiting = vec![TcpStream::connect(address).expect("the queue has one place")];
    (address, socket, waiting)
}

#[test]
fn a_host_that_refuses_is_tried_so_often_and_the_client_turned_away() {
    let (dead, _near, _far) = refusing();
    let (proxy, folder) = start(
        &[
            ("once", "cluster: dead"),
            ("thrice", "cluster: dead, max_connect_attempts: 3"),
            ("rests", "cluster: dead, max_connect_attempts: 3, backoff_options: {base_interval: 0.05s}"),
        ],
        &[("dead", &[dead], "")],
    );
    for name in ["once", "thrice", "rests"] {
        assert_eq!(rest(&mut connect(&proxy, name)), (Vec::new(), Ended::InOrder), "{name}");
    }
    let line = |attempts| {
        format!(
            "UF,URX dead {dead} {attempts} delayed_connect_error:_Connection_refused tcp_initializion_failure:0"
        )
    };
    assert_eq!(lines(&folder.0.join("log"), 3), [line(1), line(3), line(3)]);
    for (name, value) in [
        ("upstream_cx_total", 7),
        ("upstream_cx_destroy_remote", 7),
        ("upstream_cx_connect_fail", 7),
        ("upstream_cx_connect_attempts_exceeded", 3),
        ("upstream_rq_pending_failure_eject", 7),
        ("upstream_rq_pending_active", 0),
        ("upstream_cx_active", 0),
    ] {
        assert_eq!(proxy.stat(&format!("cluster.dead.{name}")), value, "{name}");
    }
}

#[test]
fn another_host_is_tried_when_one_refuses() {
    let (dead, _near, _far) = refusing();
    let (proxy, folder) =
        start(&[("main", "cluster: mixed, max_connect_attempts: 2")], &[("mixed", &[dead, echo()], "")]);
    for _ in 0..4 {
        let mut client = connect(&proxy, "main");
        client.write_all(b"hello").expect("sent");
        assert_eq!(read(&mut client, 5), b"hello");
    }
    let log = lines(&folder.0.join("log"), 4);
    assert!(log.iter().any(|line| line.starts_with("UF mixed")), "{log:?}");
    assert!(log.iter().all(|line| !line.contains("URX")), "{log:?}");
}

#[test]
fn a_host_that_does_not_answer_is_given_up_in_time() {
    let (address, _socket, _waiting) = unanswering();
    let (proxy, folder) = start(
        &[("main", "cluster: slow, max_connect_attempts: 2")],
        &[("slow", &[address], "connect_timeout: 0.2s")],
    );
    let started = Instant::now();
    assert_eq!(rest(&mut connect(&proxy, "main")), (Vec::new(), Ended::InOrder));
    assert!(started.elapsed().as_millis() >= 400, "{:?}", started.elapsed());
    let line = format!("UF,URX slow {address} 2 - tcp_initializion_failure:0");
    assert_eq!(lines(&folder.0.join("log"), 1), [line]);
    assert_eq!(proxy.stat("cluster.slow.upstream_cx_connect_timeout"), 2);
    assert_eq!(proxy.stat("cluster.slow.upstream_cx_destroy_local"), 2);
}

/// A client that breaks off while its connection is being made is not waited for.
#[test]
fn nobody_is_connected_for_a_client_that_has_gone() {
    let (address, _socket, _waiting) = unanswering();
    let (proxy, _folder) =
        start(&[("main", "cluster: slow")], &[("slow", &[address], "connect_timeout: 600s")]);
    let client = connect(&proxy, "main");
    proxy.await_stat("cluster.slow.upstream_cx_active", 1);
    reset(client);
    proxy.await_stat("cluster.slow.upstream_cx_active", 0);
    assert_eq!(proxy.stat("cluster.slow.upstream_rq_cancelled"), 1);
    assert_eq!(proxy.stat("cluster.slow.upstream_rq_pending_active"), 0);
}

#[test]
fn limits_missing_hosts_and_missing_clusters_turn_clients_away() {
    let host = Host::start();
    let one = "circuit_breakers: {thresholds: [{max_connections: 1}]}";
    let (proxy, folder) = start(
        &[("limited", "cluster: limited"), ("empty", "cluster: empty"), ("unknown", "cluster: unknown")],
        &[("limited", &[host.address], one), ("empty", &[], "")],
    );
    let first = connect(&proxy, "limited");
    let server = host.next();
    assert_eq!(rest(&mut connect(&proxy, "limited")), (Vec::new(), Ended::InOrder));
    assert_eq!(rest(&mut connect(&proxy, "empty")), (Vec::new(), Ended::InOrder));
    assert_eq!(rest(&mut connect(&proxy, "unknown")), (Vec::new(), Ended::InOrder));
    assert_eq!(
        lines(&folder.0.join("log"), 3),
        [
            "UO limited - 0 - tcp_initializion_failure:2",
            "UH empty - 0 - tcp_initializion_failure:1",
            "NC - - 0 - tcp_initializion_failure:3",
        ]
    );
    assert_eq!(proxy.stat("cluster.limited.upstream_cx_overflow"), 1);
    assert_eq!(proxy.stat("cluster.empty.upstream_cx_none_healthy"), 1);
    assert_eq!(proxy.stat("tcp.t.downstream_cx_no_route"), 1);
    // The place is free again.
    drop((first, server));
    proxy.await_stat("cluster.limited.upstream_cx_active", 0);
    let _second = connect(&proxy, "limited");
    host.next();
}

#[test]
fn weights_share_connections_and_filters_choose_clusters() {
    let (a, b) = (Host::start(), Host::start());
    let chosen = filter(
        "set_filter_state.v3.Config",
        "on_new_connection: [{object_key: envoy.tcp_proxy.cluster, format_string: {text_format_source: {inline_string: b}}}]",
    );
    let weighted = "weighted_clusters: {clusters: [{name: a, weight: 3}, {name: b, weight: 1}]}";
    let proxy = Proxy::start(&yaml(
        &[("weighted", &[tcp_proxy(weighted)], ""), ("chosen", &[chosen, tcp_proxy("cluster: a")], "")],
        &[("a", &[a.address], ""), ("b", &[b.address], "")],
    ));
    let clients: Vec<_> = (0..400).map(|_| connect(&proxy, "weighted")).collect();
    proxy.await_stat_that("tcp.t.downstream_cx_total", |n| n == 400);
    let total = || proxy.stat("cluster.a.upstream_cx_total") + proxy.stat("cluster.b.upstream_cx_total");
    assert_eq!(total(), 400);
    let b_share = proxy.stat("cluster.b.upstream_cx_total");
    assert!((60..140).contains(&b_share), "{b_share} of 400");
    drop(clients);
    for _ in 0..b_share {
        b.next();
    }
    let mut client = connect(&proxy, "chosen");
    client.write_all(b"to b").expect("sent");
    assert_eq!(read(&mut b.next(), 4), b"to b");
}

#[test]
fn a_connection_may_wait_for_the_clients_first_byte() {
    let host = Host::start();
    let mode = "cluster: up, upstream_connect_mode: ON_DOWNSTREAM_DATA, max_early_data_bytes: 1000";
    let proxy = Proxy::start(&yaml(
        &[("main", &[tcp_proxy(mode)], ""), ("mark", &[tcp_proxy("cluster: up")], "")],
        &[("up", &[host.address], "")],
    ));
    let mut waiting = connect(&proxy, "main");
    proxy.await_stat("listener.main.downstream_cx_active", 1);
    // Something that comes later is connected first.
    let _mark = connect(&proxy, "mark");
    host.next();
    assert!(host.is_idle());
    waiting.write_all(&[7; 100_000]).expect("sent");
    waiting.shutdown(Shutdown::Write).expect("finished");
    let mut server = host.next();
    assert_eq!(rest(&mut server), (vec![7; 100_000], Ended::InOrder));
    assert_eq!(proxy.stat("tcp.t.early_data_received_count_total"), 1);
    // Who goes without a word is not connected for.
    let mut silent = connect(&proxy, "main");
    silent.shutdown(Shutdown::Write).expect("finished");
    assert_eq!(rest(&mut silent), (Vec::new(), Ended::InOrder));
    assert!(host.is_idle());
}
