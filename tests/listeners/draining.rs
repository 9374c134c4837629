//! Which listeners an operator's wishes are about.

use super::config::{Chain, config, listener};
use super::support::{Client, PATIENCE, Proxy};
use std::time::Instant;

#[test]
fn only_inbound_listeners_close() {
    let one = [Chain("one", "", "")];
    let listeners = [
        listener("in", "traffic_direction: INBOUND", &one),
        listener("out", "traffic_direction: OUTBOUND", &one),
    ];
    let proxy = Proxy::start_with(&config(&listeners, "", ""), &["--concurrency", "2"]);
    let mut open = Client::connect(proxy.address("in"));
    assert_eq!(open.get("/").text(), "one");
    assert_eq!(Client::connect(proxy.admin()).post("/drain_listeners?inboundonly").text(), "OK\n");
    let end = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(proxy.address("in")).is_ok() {
        assert!(Instant::now() < end, "the listener stays open");
    }
    assert_eq!(proxy.stat("listener_manager.total_listeners_active"), 1);
    proxy.await_stat("listener_manager.listener_stopped", 1);
    assert_eq!(open.get("/").text(), "one");
    assert_eq!(Client::connect(proxy.address("out")).get("/").text(), "one");
    assert_eq!(Client::connect(proxy.admin()).post("/drain_listeners").text(), "OK\n");
    proxy.await_stat("listener_manager.total_listeners_active", 0);
    proxy.await_stat("listener_manager.listener_stopped", 2);
}

#[test]
fn a_listener_may_keep_its_connections_while_the_process_looks_sick() {
    let one = [Chain("one", "", "")];
    let listeners = [listener("keeps", "drain_type: MODIFY_ONLY", &one), listener("sends", "", &one)];
    let proxy = Proxy::start(&config(&listeners, "", ""));
    let closes =
        |name: &str| Client::connect(proxy.address(name)).get("/").header("connection") == Some("close");
    assert_eq!((closes("keeps"), closes("sends")), (false, false));
    assert_eq!(Client::connect(proxy.admin()).post("/healthcheck/fail").text(), "OK\n");
    let end = Instant::now() + PATIENCE;
    while !closes("sends") {
        assert!(Instant::now() < end, "connections are kept");
    }
    assert!(!closes("keeps"));
    assert_eq!(Client::connect(proxy.admin()).post("/healthcheck/ok").text(), "OK\n");
    while closes("sends") {
        assert!(Instant::now() < end, "connections are sent away");
    }
}
