//! The TLS inspector before chains that do not end TLS.

use super::config::{Chain, config, filter, listener};
use super::support::{Client, Proxy, tool};
use std::process::{Command, Stdio};

fn start(filter_options: &str) -> Proxy {
    let filters = format!("listener_filters: [{}]", filter("tls_inspector", filter_options));
    let chains = [
        Chain("exact", "server_names: [www.example.com]", ""),
        Chain("below", "server_names: [\"*.example.com\"]", ""),
        Chain("h2", "transport_protocol: tls, application_protocols: [h2]", ""),
        Chain("tls", "transport_protocol: tls", ""),
        Chain("plain", "transport_protocol: raw_buffer", ""),
    ];
    Proxy::start(&config(&[listener("main", &filters, &chains)], "", ""))
}

/// A handshake that comes to nothing, since nobody answers in TLS.
fn shake(proxy: &Proxy, options: &[&str]) {
    Command::new("openssl")
        .args(["s_client", "-connect", &proxy.address("main").to_string()])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("openssl runs");
}

#[test]
fn chains_by_name_and_protocol() {
    if !tool("openssl") {
        return;
    }
    let proxy = start("");
    for (options, chain) in [
        (&["-servername", "www.example.com"][..], "exact"),
        (&["-servername", "WWW.Example.Com", "-tls1_2"], "exact"),
        (&["-servername", "a.b.example.com"], "below"),
        (&["-servername", "example.com", "-alpn", "h2,http/1.1"], "h2"),
        (&["-noservername", "-alpn", "http/1.1"], "tls"),
        (&["-servername", "other.org", "-tls1_3"], "tls"),
    ] {
        let counter = format!("http.{chain}.downstream_cx_total");
        let before = proxy.stat(&counter);
        shake(&proxy, options);
        proxy.await_stat(&counter, before + 1);
    }
    assert_eq!(Client::connect(proxy.address("main")).get("/").text(), "plain");
    for (name, count) in [
        ("tls_found", 6),
        ("tls_not_found", 1),
        ("sni_found", 5),
        ("sni_not_found", 1),
        ("alpn_found", 2),
        ("alpn_not_found", 4),
        ("client_hello_too_large", 0),
    ] {
        assert_eq!(proxy.stat(&format!("tls_inspector.{name}")), count, "{name}");
    }
}

#[test]
fn a_hello_that_is_too_large_is_refused() {
    if !tool("openssl") {
        return;
    }
    let proxy = start("max_client_hello_size: 256");
    shake(&proxy, &["-servername", &"a".repeat(60), "-alpn", &"b".repeat(250)]);
    proxy.await_stat("tls_inspector.client_hello_too_large", 1);
    assert_eq!(proxy.stat("listener.127.0.0.1_0.downstream_cx_total"), 0);
}

#[test]
fn what_is_not_tls_may_be_refused() {
    let proxy = start("close_connection_on_client_hello_parsing_errors: true");
    let mut client = Client::connect(proxy.address("main"));
    client.send("GET / HTTP/1.1\r\n");
    client.assert_closed();
    assert_eq!(proxy.stat("listener.127.0.0.1_0.downstream_cx_total"), 0);
}
