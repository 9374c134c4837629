//! Connections that wanted to go elsewhere: handing over between listeners, by what a PROXY header or the kernel's
//! redirection says.

use super::config::{Chain, config, filter, listener, listener_at};
use super::network::{curl, in_a_network};
use super::support::{Client, Proxy};

const VIRTUAL: &str = "bind_to_port: false\naddress: {socket_address: {address: ADDRESS, port_value: PORT}}";

fn virtual_at(name: &str, address: &str, port: u16, more: &str) -> String {
    let options = VIRTUAL.replace("ADDRESS", address).replace("PORT", &port.to_string());
    listener_at(name, &format!("{options}\n{more}"), &[Chain(name, "", "")])
}

#[test]
fn connections_are_handed_to_the_listener_that_they_are_for() {
    let front = format!("use_original_dst: true\nlistener_filters: [{}]", filter("proxy_protocol", ""));
    let limit = "layered_runtime: {layers: [{name: a, static_layer: {envoy.resource_limits.listener.front.connection_limit: 2}}]}";
    let listeners = [
        listener("front", &format!("stat_prefix: front\n{front}"), &[Chain("front", "", "")]),
        virtual_at("exact", "10.0.0.1", 80, "stat_prefix: exact"),
        virtual_at("any", "0.0.0.0", 81, &format!("listener_filters: [{}]", filter("http_inspector", ""))),
        virtual_at("six", "\"::\"", 81, ""),
        listener_at(
            "seven",
            "bind_to_port: false\naddress: {pipe: {path: \"@seven\"}}",
            &[Chain("seven", "", "")],
        ),
    ];
    let proxy = Proxy::start(&config(&listeners, "", limit));
    for (header, wanted) in [
        ("TCP4 1.1.1.1 10.0.0.1 1 80", "exact"),
        ("TCP4 1.1.1.1 10.0.0.2 1 80", "front"),
        ("TCP4 1.1.1.1 10.0.0.1 1 81", "any"),
        ("TCP6 1::1 2::2 1 81", "six"),
        ("TCP6 1::1 2::2 1 80", "front"),
        ("UNKNOWN", "front"),
    ] {
        let mut client = Client::connect(proxy.address("front"));
        client.send(format!("PROXY {header}\r\n"));
        assert_eq!(client.get("/").text(), wanted, "{header}");
    }
    assert_eq!(proxy.stat("listener.exact.downstream_cx_total"), 1);
    assert_eq!(proxy.stat("listener.front.downstream_cx_total"), 3);
    assert_eq!(proxy.stat("http_inspector.http11_found"), 1);
    // Each is counted where it has gone.
    let mut handed = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(proxy.address("front"));
        client.send("PROXY TCP4 1.1.1.1 10.0.0.1 1 80\r\n");
        assert_eq!(client.get("/").text(), "exact");
        handed.push(client);
    }
    assert_eq!(proxy.stat("listener.exact.downstream_cx_active"), 4);
    assert_eq!(proxy.stat("listener.front.downstream_cx_overflow"), 0);
}

#[test]
fn the_kernel_says_where_a_connection_wanted_to_go() {
    let access = "use_original_dst: true";
    let at = |name: &str, address: &str| {
        let options =
            format!("{access}\naddress: {{socket_address: {{address: {address}, port_value: 15001}}}}");
        listener_at(name, &options, &[Chain(name, "", ""), Chain("matched", "destination_port: 8083", "")])
    };
    let listeners = [
        at("four", "127.0.0.1"),
        at("six", "\"::1\""),
        virtual_at("v4", "127.0.0.1", 8081, ""),
        virtual_at("v6", "\"::1\"", 8081, ""),
    ];
    let commands = "iptables -t nat -A OUTPUT -p tcp -d 127.0.0.1 --dport 8080:8089 -j REDIRECT --to-port 15001\nip6tables -t nat -A OUTPUT -p tcp -d ::1 --dport 8080:8089 -j REDIRECT --to-port 15001";
    let Some(proxy) = in_a_network(commands, &config(&listeners, "", "")) else { return };
    for (url, wanted) in [
        ("http://127.0.0.1:8081/", "v4"),
        ("http://127.0.0.1:8082/", "four"),
        ("http://127.0.0.1:8083/", "matched"),
        ("http://127.0.0.1:15001/", "four"),
        ("http://[::1]:8081/", "v6"),
        ("http://[::1]:8082/", "six"),
        ("http://[::1]:8083/", "matched"),
    ] {
        assert_eq!(curl(&proxy, &[url]), wanted, "{url}");
    }
}

#[test]
fn a_transparent_socket_takes_connections_for_any_address() {
    let front = "transparent: true\nuse_original_dst: true\naddress: {socket_address: {address: 0.0.0.0, port_value: 8080}}";
    let listeners =
        [listener_at("front", front, &[Chain("front", "", "")]), virtual_at("one", "10.9.0.1", 8080, "")];
    let commands = "ip route add local 10.9.0.0/16 dev lo";
    let Some(proxy) = in_a_network(commands, &config(&listeners, "", "")) else { return };
    assert_eq!(curl(&proxy, &["http://10.9.0.1:8080/"]), "one");
    assert_eq!(curl(&proxy, &["http://10.9.0.2:8080/"]), "front");
}
