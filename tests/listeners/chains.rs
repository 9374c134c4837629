//! Which filter chain a connection gets, by what the PROXY header says of it and by what it speaks.

use super::config::{Chain, config, filter, listener, only};
use super::support::{Client, Proxy};

/// The chain that answers behind this PROXY line.
fn chain(proxy: &Proxy, name: &str, header: &str) -> String {
    let mut client = Client::connect(proxy.address(name));
    client.send(format!("PROXY {header}\r\n"));
    client.get("/").text()
}

#[test]
fn by_addresses_and_ports() {
    let listeners = [listener(
        "main",
        &only("proxy_protocol", ""),
        &[
            Chain("rest", "default", ""),
            Chain("any", "", ""),
            Chain("port", "destination_port: 81", ""),
            Chain("net", "prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]", ""),
            Chain(
                "subnet",
                "prefix_ranges: [{address_prefix: 10.1.0.0, prefix_len: 16}, {address_prefix: \"fd00::\", prefix_len: 8}]",
                "",
            ),
            Chain(
                "narrow",
                "destination_port: 82, prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]",
                "",
            ),
            Chain("from", "source_prefix_ranges: [{address_prefix: 9.0.0.0, prefix_len: 8}]", ""),
            Chain(
                "from-port",
                "source_prefix_ranges: [{address_prefix: 9.0.0.0, prefix_len: 8}], source_ports: [7, 8]",
                "",
            ),
            Chain("local", "source_type: SAME_IP_OR_LOOPBACK", ""),
        ],
    )];
    let proxy = Proxy::start(&config(&listeners, "", ""));
    for (header, wanted) in [
        ("TCP4 8.8.8.8 7.7.7.7 1 80", "any"),
        ("TCP4 8.8.8.8 7.7.7.7 1 81", "port"),
        ("TCP4 8.8.8.8 10.1.1.1 1 81", "port"),
        ("TCP4 8.8.8.8 10.2.1.1 1 80", "net"),
        ("TCP4 8.8.8.8 10.1.1.1 1 80", "subnet"),
        ("TCP6 ::1 fd00::1 1 80", "subnet"),
        ("TCP4 8.8.8.8 10.1.1.1 1 82", "narrow"),
        // The port has chosen; there is no way back to `any`.
        ("TCP4 8.8.8.8 7.7.7.7 1 82", "rest"),
        ("TCP4 9.8.8.8 7.7.7.7 1 80", "from"),
        ("TCP4 9.8.8.8 7.7.7.7 8 80", "from-port"),
        ("TCP4 7.7.7.7 7.7.7.7 1 80", "local"),
        ("TCP4 127.0.0.1 7.7.7.7 1 80", "local"),
        // Without addresses those of the connection itself count.
        ("UNKNOWN", "local"),
    ] {
        assert_eq!(chain(&proxy, "main", header), wanted, "{header}");
    }
    assert_eq!(proxy.stat("listener.127.0.0.1_0.no_filter_chain_match"), 0);
    assert_eq!(proxy.stat("listener.127.0.0.1_0.http.subnet.downstream_rq_2xx"), 2);
}

#[test]
fn a_connection_for_nobody_is_closed() {
    let listeners =
        [listener("main", &only("proxy_protocol", ""), &[Chain("one", "destination_port: 81", "")])];
    let proxy = Proxy::start(&config(&listeners, "", ""));
    let mut client = Client::connect(proxy.address("main"));
    client.send("PROXY TCP4 8.8.8.8 7.7.7.7 1 80\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n");
    client.assert_closed();
    assert_eq!(proxy.stat("listener.127.0.0.1_0.no_filter_chain_match"), 1);
    assert_eq!(proxy.stat("listener.127.0.0.1_0.downstream_cx_total"), 0);
    assert_eq!(chain(&proxy, "main", "TCP4 8.8.8.8 7.7.7.7 1 81"), "one");
}

#[test]
fn by_version_of_http() {
    let chains = [
        Chain("old", "application_protocols: [http/1.0]", "http_protocol_options: {accept_http_10: true}"),
        Chain("new", "application_protocols: [http/1.1]", ""),
        Chain("two", "application_protocols: [h2c]", ""),
        Chain("other", "", ""),
    ];
    let listeners = [listener("main", &only("http_inspector", ""), &chains)];
    let proxy = Proxy::start(&config(&listeners, "", ""));
    for (request, wanted) in [
        ("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "new"),
        ("GET / HTTP/1.0\r\nhost: a\r\n\r\n", "old"),
    ] {
        // A byte at a time: what the inspector has looked at is still there for the codec.
        let mut client = Client::connect(proxy.address("main"));
        request.bytes().for_each(|byte| client.send([byte]));
        assert_eq!(client.response().text(), wanted);
    }
    let mut client = Client::connect(proxy.address("main"));
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    proxy.await_stat("http.two.downstream_cx_total", 1);
    let mut client = Client::connect(proxy.address("main"));
    client.send("\r\n");
    proxy.await_stat("http.other.downstream_cx_total", 1);
    for (name, count) in [("http10_found", 1), ("http11_found", 1), ("http2_found", 1), ("http_not_found", 1)]
    {
        assert_eq!(proxy.stat(&format!("http_inspector.{name}")), count, "{name}");
    }
}

#[test]
fn filters_run_in_order_and_can_be_left_out() {
    let inspector = filter("http_inspector", "").replacen(
        "{name:",
        "{filter_disabled: {and_match: {rules: [{destination_port_range: {start: 80, end: 90}}, {not_match: {destination_port_range: {start: 85, end: 86}}}]}}, name:",
        1,
    );
    let filters = format!("listener_filters: [{}, {inspector}]", filter("proxy_protocol", ""));
    let chains = [Chain("seen", "application_protocols: [http/1.1]", ""), Chain("unseen", "", "")];
    let proxy = Proxy::start(&config(&[listener("main", &filters, &chains)], "", ""));
    for (port, wanted) in
        [(79, "seen"), (80, "unseen"), (84, "unseen"), (85, "seen"), (86, "unseen"), (90, "seen")]
    {
        assert_eq!(chain(&proxy, "main", &format!("TCP4 8.8.8.8 7.7.7.7 1 {port}")), wanted, "{port}");
    }
}
