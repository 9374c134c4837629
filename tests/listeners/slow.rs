//! Connections that take their time before they say what they are.

use super::config::{Chain, config, filter, listener};
use super::support::{Client, Proxy};
use std::time::{Duration, Instant};

const PRE: &str = "listener.127.0.0.1_0.downstream_pre_cx_active";
const TIMEOUTS: &str = "listener.127.0.0.1_0.downstream_pre_cx_timeout";

fn start(name: &str, options: &str) -> Proxy {
    let filters = format!("listener_filters: [{}]\n{options}", filter(name, ""));
    Proxy::start(&config(&[listener("main", &filters, &[Chain("one", "", "")])], "", ""))
}

#[test]
fn who_is_too_slow_is_closed_in_time() {
    for (name, start_of_it) in [
        ("proxy_protocol", &b"PROXY TCP4 1.2.3.4 "[..]),
        ("proxy_protocol", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"),
        ("tls_inspector", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("http_inspector", b"GET /"),
        ("tls_inspector", b""),
    ] {
        let proxy = start(name, "listener_filters_timeout: 0.8s");
        let began = Instant::now();
        let mut client = Client::connect(proxy.address("main"));
        client.send(start_of_it);
        proxy.await_stat(PRE, 1);
        // A drip does not help.
        let drip = client.stream.try_clone().expect("a second handle");
        let dripping = std::thread::spawn(move || {
            use std::io::Write;
            let mut drip = drip;
            while drip.write_all(b"1").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        if start_of_it.is_empty() {
            drop(dripping);
        } else {
            client.assert_closed();
            let waited = began.elapsed();
            assert!(waited >= Duration::from_millis(800) && waited < Duration::from_secs(5), "{waited:?}");
            assert_eq!(proxy.stat(TIMEOUTS), 1, "{name}");
            dripping.join().expect("it ends");
        }
        proxy.await_stat(PRE, 0);
    }
}

#[test]
fn a_connection_may_go_on_after_the_time() {
    let proxy =
        start("tls_inspector", "listener_filters_timeout: 0.2s\ncontinue_on_listener_filters_timeout: true");
    // It has said nothing yet: it may be waiting for us to speak first.
    let mut client = Client::connect(proxy.address("main"));
    proxy.await_stat(TIMEOUTS, 1);
    assert_eq!(client.get("/").text(), "one");
    assert_eq!(proxy.stat("listener.127.0.0.1_0.downstream_cx_total"), 1);
}

#[test]
fn without_a_limit_nobody_is_closed() {
    let proxy = start("proxy_protocol", "listener_filters_timeout: 0s");
    let mut client = Client::connect(proxy.address("main"));
    client.send("PROXY ");
    proxy.await_stat(PRE, 1);
    std::thread::sleep(Duration::from_millis(100));
    client.send("UNKNOWN\r\n");
    assert_eq!(client.get("/").text(), "one");
    assert_eq!(proxy.stat(TIMEOUTS), 0);
}

#[test]
fn who_has_said_nothing_does_not_hold_up_the_end() {
    let mut proxy = start("proxy_protocol", "");
    let mut silent = Client::connect(proxy.address("main"));
    proxy.await_stat(PRE, 1);
    let began = Instant::now();
    proxy.signal("TERM");
    silent.assert_closed();
    assert!(proxy.wait().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn many_slow_ones_cost_little_and_leave_nothing() {
    let proxy = start("proxy_protocol", "listener_filters_timeout: 2s");
    let connect = || {
        let mut client = Client::connect(proxy.address("main"));
        client.send("PROXY TCP4 1.2.3.4 5.6.7.8 ");
        client
    };
    // The program's own pages come in with the first one.
    let first = connect();
    proxy.await_stat(PRE, 1);
    drop(first);
    proxy.await_stat(PRE, 0);
    let before = proxy.resident();
    let clients: Vec<_> = (0..300).map(|_| connect()).collect();
    proxy.await_stat(PRE, 300);
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < 300 * 16 * 1024, "{grown} bytes for 300 connections");
    proxy.await_stat(TIMEOUTS, 300);
    proxy.await_stat(PRE, 0);
    drop(clients);
}
