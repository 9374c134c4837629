//! Which cluster and which host a session goes to.

use crate::support::Proxy;
use crate::udp_support::{Client, Host, Listener, endpoint, udp};
use std::net::SocketAddr;

/// A route by matcher: `INPUT` and `TO(cluster)` are filled in.
fn matcher(text: &str, input: &str) -> String {
    let url = format!("type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.{input}Input");
    let mut text = text.replace("INPUT", &format!("{{name: i, typed_config: {{\"@type\": {url}}}}}"));
    for name in ["up", "other"] {
        let url = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route";
        let action = format!("{{action: {{name: r, typed_config: {{\"@type\": {url}, cluster: {name}}}}}}}");
        text = text.replace(&format!("TO({name})"), &action);
    }
    format!("        matcher: {text}\n")
}

fn other(host: SocketAddr) -> String {
    format!(
        "  - name: other\n    load_assignment:\n      cluster_name: other\n      endpoints:\n      - lb_endpoints:\n{}",
        endpoint(host)
    )
}

#[test]
fn by_the_address_of_the_client() {
    let (up, second) = (Host::named("up "), Host::named("other "));
    let text = "{matcher_tree: {input: INPUT, custom_match: {name: ranges, typed_config: {\"@type\": type.googleapis.com/xds.type.matcher.v3.IPMatcher, range_matchers: [{ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}], on_match: TO(up)}, {ranges: [{address_prefix: 127.5.0.0, prefix_len: 16}], on_match: TO(other)}]}}}}";
    let route = matcher(text, "SourceIP");
    let clusters = other(second.address);
    let yaml = Listener { route: &route, clusters: &clusters, ..Listener::default() }.config(&[up.address]);
    let proxy = Proxy::start(&yaml);
    for (from, wanted) in [("127.0.0.1:0", "up x"), ("127.5.1.1:0", "other x"), ("127.6.1.1:0", "up x")] {
        let client = Client::from(from.parse().expect("an address"), proxy.first());
        assert_eq!(client.ask(b"x"), wanted.as_bytes(), "{from}");
    }
    proxy.await_stat("cluster.other.udp.sess_tx_datagrams", 1);
    proxy.await_stat("cluster.up.udp.sess_tx_datagrams", 2);
}

#[test]
fn by_the_address_that_was_sent_to() {
    let (up, second) = (Host::named("up "), Host::named("other "));
    let text =
        "{matcher_tree: {input: INPUT, exact_match_map: {map: {127.0.0.2: TO(other), 127.0.0.3: TO(up)}}}}";
    let route = matcher(text, "DestinationIP");
    let clusters = other(second.address);
    let options = Listener { address: "0.0.0.0", route: &route, clusters: &clusters, ..Listener::default() };
    let proxy = Proxy::start(&options.config(&[up.address]));
    let to = |ip: &str| SocketAddr::new(ip.parse().expect("an address"), proxy.first().port());
    assert_eq!(Client::connect(to("127.0.0.2")).ask(b"x"), b"other x");
    assert_eq!(Client::connect(to("127.0.0.3")).ask(b"x"), b"up x");
    let lost = Client::connect(to("127.0.0.4"));
    for n in 1..=3 {
        lost.send(b"x");
        proxy.await_stat("udp.test.downstream_sess_no_route", n);
    }
    proxy.await_stat("udp.test.downstream_sess_total", 2);
}

#[test]
fn by_conditions_on_ports() {
    let (up, second) = (Host::named("up "), Host::named("other "));
    let client = Client::connect("127.0.0.1:9".parse().expect("an address"));
    let port = client.address().port();
    let text = format!(
        "{{matcher_list: {{matchers: [{{predicate: {{single_predicate: {{input: INPUT, value_match: {{exact: '{port}'}}}}}}, on_match: TO(other)}}]}}, on_no_match: TO(up)}}"
    );
    let route = matcher(&text, "SourcePort");
    let clusters = other(second.address);
    let yaml = Listener { route: &route, clusters: &clusters, ..Listener::default() }.config(&[up.address]);
    let proxy = Proxy::start(&yaml);
    client.socket.connect(proxy.first()).expect("connected");
    assert_eq!(client.ask(b"x"), b"other x");
    assert_eq!(Client::connect(proxy.first()).ask(b"x"), b"up x");
}

#[test]
fn the_older_field_names_a_cluster() {
    let host = Host::echo();
    let yaml = Listener { route: "        cluster: up\n", ..Listener::default() }.config(&[host.address]);
    assert_eq!(Client::connect(Proxy::start(&yaml).first()).ask(b"x"), b"x");
}

#[test]
fn sessions_stay_with_a_host_and_datagrams_need_not() {
    let (a, b) = (Host::named("a"), Host::named("b"));
    let hosts = [a.address, b.address];
    let names = |client: &Client| (0..8).map(|_| client.ask(b"")[0]).collect::<Vec<_>>();
    // A hash is not what this policy chooses by.
    let proxy = Proxy::start(&udp("        hash_policies: [{source_ip: true}]\n", &hosts));
    let firsts: Vec<_> = (0..4)
        .map(|_| {
            let names = names(&Client::connect(proxy.first()));
            assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
            names[0]
        })
        .collect();
    assert!(firsts.windows(2).all(|pair| pair[0] != pair[1]), "sessions in turn: {firsts:?}");
    let proxy = Proxy::start(&udp("        use_per_packet_load_balancing: true\n", &hosts));
    let (one, two) = (Client::connect(proxy.first()), Client::connect(proxy.first()));
    for client in [&one, &two] {
        let names = names(client);
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "datagrams in turn: {names:?}");
    }
    proxy.await_stat("udp.test.downstream_sess_total", 4);
    // Bursts too.
    (0..50).for_each(|_| one.send(b""));
    let names: Vec<_> = (0..50).map(|_| one.receive()[0]).collect();
    assert_eq!(names.iter().filter(|name| **name == b'a').count(), 25);
}

#[test]
fn per_datagram_limits_and_absence() {
    let (a, b) = (Host::named("a"), Host::named("b"));
    let options = Listener {
        proxy: "        use_per_packet_load_balancing: true\n",
        cluster: "    circuit_breakers: {thresholds: [{max_connections: 1}]}\n",
        ..Listener::default()
    };
    let proxy = Proxy::start(&options.config(&[a.address, b.address]));
    let client = Client::connect(proxy.first());
    (0..10).for_each(|_| client.send(b""));
    let names: Vec<_> = (0..5).map(|_| client.receive()).collect();
    assert!(names.iter().all(|name| *name == names[0]), "only one of the hosts: {names:?}");
    proxy.await_stat("cluster.up.upstream_cx_overflow", 5);
    let proxy = Proxy::start(&options.config(&[]));
    Client::connect(proxy.first()).send(b"");
    proxy.await_stat("cluster.up.upstream_cx_none_healthy", 1);
}

#[test]
fn hosts_see_the_client_if_they_are_to() {
    let host = Host::echo();
    let yaml =
        Listener { proxy: "        use_original_src_ip: true\n", address: "0.0.0.0", ..Listener::default() }
            .config(&[host.address]);
    if let Err(error) = nuncio_reactor::may_be_transparent("0.0.0.0".parse().expect("an address")) {
        println!("not allowed here: {error}");
        let refused = nuncio::server::compile::load(&nuncio::config::Source::text(&yaml));
        let errors = refused.expect_err("the configuration is refused").to_string();
        assert!(errors.contains("CAP_NET_ADMIN"), "{errors}");
        return;
    }
    let proxy = Proxy::start(&yaml);
    for ip in ["127.0.0.1", "127.77.1.2"] {
        let from = SocketAddr::new(ip.parse().expect("an address"), 0);
        let server = SocketAddr::from(([127, 0, 0, 1], proxy.first().port()));
        // On this machine alone answers to the client's address come back to the proxy.
        assert_eq!(Client::from(from, server).ask(b"x"), b"x");
        assert!(host.senders().keys().any(|sender| sender.ip() == from.ip()), "{ip}");
    }
}
