//! The cases.

use crate::side::Script;
use crate::udp_support::Host;

/// The hosts of a case's cluster.
#[derive(Clone, Copy, Debug)]
pub enum Hosts {
    /// One that sends everything back.
    Echo,
    /// One that answers with as many bytes as it is told, so many times: `LENGTH*TIMES`.
    Generous,
    /// One on IPv6 that sends everything back.
    Echo6,
    /// Two, whose answers begin with their names.
    Two,
    /// An address where nobody listens.
    Nobody,
    /// None.
    None,
}

impl Hosts {
    pub fn start(self) -> Vec<Host> {
        match self {
            Self::Echo => vec![Host::echo()],
            Self::Generous => vec![Host::start("127.0.0.1:0", |data| {
                let text = std::str::from_utf8(data).expect("a request");
                let (length, times) = text.split_once('*').expect("a request");
                vec![vec![b'y'; length.parse().expect("a number")]; times.parse().expect("a number")]
            })],
            Self::Echo6 => vec![Host::start("[::1]:0", |data| vec![data.to_vec()])],
            Self::Two => vec![Host::named("a"), Host::named("b")],
            Self::Nobody | Self::None => Vec::new(),
        }
    }
}

/// One case.
#[derive(Clone)]
pub struct Case {
    /// Also the name of its listener, cluster and statistics.
    pub name: &'static str,
    /// Where it is bound, and which of its addresses clients send to.
    pub address: &'static str,
    pub to: &'static str,
    pub listener: &'static str,
    pub proxy: &'static str,
    /// Empty: everything to the case's cluster.
    pub route: &'static str,
    pub cluster: &'static str,
    /// How the address of an endpoint begins.
    pub endpoint: &'static str,
    pub hosts: Hosts,
    pub script: fn(&mut Script<'_>),
    /// How many lines there are depends on the moment.
    pub periodic: bool,
    /// Why we differ.
    pub differs: Option<&'static str>,
}

const CASE: Case = Case {
    name: "",
    address: "127.0.0.1",
    to: "127.0.0.1",
    listener: "",
    proxy: "",
    route: "",
    cluster: "",
    endpoint: "socket_address: {",
    hosts: Hosts::Echo,
    script: |_| {},
    periodic: false,
    differs: None,
};

const LOCAL: &str = "127.0.0.1";

/// A route that is written shorter: `INPUT(Name)`, `TO` a match that leads to the case's cluster,
/// `NOTHING` one that leads to a matcher that finds nothing.
fn matcher(text: &str) -> &'static str {
    let to = "action: {name: r, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: up}}";
    let input = "{name: i, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.";
    let mut text = text.replace(
        "NOTHING",
        "{matcher: {matcher_tree: {input: INPUT(SourcePort), exact_match_map: {map: {'0': TO}}}}}",
    );
    for name in ["SourceIP", "SourcePort", "DestinationIP", "DestinationPort"] {
        text = text.replace(&format!("INPUT({name})"), &format!("{input}{name}Input}}}}"));
    }
    text = text.replace("RANGES", "custom_match: {name: t, typed_config: {\"@type\": type.googleapis.com/xds.type.matcher.v3.IPMatcher, range_matchers: ");
    text = text.replace("TO", &format!("{{{to}}}"));
    // For the life of the test, as the others.
    Box::leak(format!("matcher: {text}").into_boxed_str())
}

/// Asks from each address; those that are not answered are waited for as datagrams without a route.
fn from(script: &mut Script<'_>, routed: &[&str], lost: &[&str]) {
    for address in routed {
        let client = script.client(address);
        script.ask(client, b"hello");
    }
    for (n, address) in (1..).zip(lost) {
        let client = script.client(address);
        script.send(client, b"hello");
        script.wait("udp.S.downstream_sess_no_route", n);
    }
}

pub fn all() -> Vec<Case> {
    vec![
        Case {
            name: "echo",
            script: |script| {
                let client = script.client(LOCAL);
                for length in [0, 1, 100, 1472, 1500] {
                    script.ask(client, &vec![b'x'; length]);
                }
                script.senders(0);
            },
            ..CASE
        },
        Case {
            name: "clients",
            script: |script| {
                let clients: Vec<_> = (0..5).map(|_| script.client(LOCAL)).collect();
                for round in 0..3 {
                    for client in &clients {
                        script.ask(*client, format!("{client} {round}").as_bytes());
                    }
                }
                script.senders(0);
            },
            ..CASE
        },
        Case {
            name: "long",
            script: |script| {
                let client = script.client(LOCAL);
                for (n, length) in [(1, 1501), (2, 9000), (3, 65_507)] {
                    script.send(client, &vec![b'x'; length]);
                    script.wait("listener.S.udp.downstream_rx_datagram_dropped", n);
                }
                script.ask(client, b"short");
            },
            ..CASE
        },
        Case {
            name: "short",
            listener: "udp_listener_config: {downstream_socket_config: {max_rx_datagram_size: 100}}",
            script: |script| {
                let client = script.client(LOCAL);
                script.ask(client, &[b'x'; 100]);
                script.send(client, &[b'x'; 101]);
                script.wait("listener.S.udp.downstream_rx_datagram_dropped", 1);
            },
            ..CASE
        },
        Case {
            name: "longer",
            listener: "udp_listener_config: {downstream_socket_config: {max_rx_datagram_size: 9000}}",
            script: |script| {
                let client = script.client(LOCAL);
                script.ask(client, &[b'x'; 9000]);
                script.send(client, &[b'x'; 9001]);
                script.wait("listener.S.udp.downstream_rx_datagram_dropped", 1);
            },
            ..CASE
        },
        Case {
            name: "gro",
            listener: "udp_listener_config: {downstream_socket_config: {prefer_gro: true}}",
            script: |script| {
                let client = script.client(LOCAL);
                for length in [10, 1500, 1501, 9000] {
                    script.ask(client, &vec![b'x'; length]);
                }
            },
            ..CASE
        },
        Case {
            name: "answers",
            hosts: Hosts::Generous,
            script: |script| {
                let client = script.client(LOCAL);
                for (length, times) in [(0, 1), (1, 3), (1500, 2), (1501, 1), (9000, 1), (65_507, 1), (7, 40)]
                {
                    script.send(client, format!("{length}*{times}").as_bytes());
                    (0..times).for_each(|_| drop(script.hear(client)));
                }
                script.send(client, b"1*0");
                script.wait("cluster.S.udp.sess_tx_datagrams", 8);
            },
            ..CASE
        },
        Case {
            name: "no_gro",
            hosts: Hosts::Generous,
            proxy: "upstream_socket_config: {prefer_gro: false}",
            script: |script| {
                let client = script.client(LOCAL);
                script.send(client, b"1501*2");
                script.wait("cluster.S.udp.sess_rx_datagrams_dropped", 2);
                script.ask(client, b"1500*1");
            },
            ..CASE
        },
        Case {
            name: "no_gro_longer",
            hosts: Hosts::Generous,
            proxy: "upstream_socket_config: {prefer_gro: false, max_rx_datagram_size: 5000}",
            script: |script| {
                let client = script.client(LOCAL);
                script.send(client, b"5001*1");
                script.wait("cluster.S.udp.sess_rx_datagrams_dropped", 1);
                script.ask(client, b"5000*1");
            },
            ..CASE
        },
        Case {
            name: "refused",
            hosts: Hosts::Nobody,
            script: |script| {
                let client = script.client(LOCAL);
                for n in 1..=3 {
                    script.send(client, b"hello");
                    script.wait("cluster.S.udp.sess_rx_errors", n);
                }
            },
            ..CASE
        },
        Case {
            name: "hostless",
            hosts: Hosts::None,
            script: |script| {
                let client = script.client(LOCAL);
                for n in 1..=2 {
                    script.send(client, b"hello");
                    script.wait("cluster.S.upstream_cx_none_healthy", n);
                }
            },
            ..CASE
        },
        Case {
            name: "limit",
            cluster: "circuit_breakers: {thresholds: [{max_connections: 2}]}",
            script: |script| {
                let clients: Vec<_> = (0..3).map(|_| script.client(LOCAL)).collect();
                script.ask(clients[0], b"one");
                script.ask(clients[1], b"two");
                for n in 1..=3 {
                    script.send(clients[2], b"three");
                    script.wait("cluster.S.upstream_cx_overflow", n);
                }
                script.ask(clients[0], b"one");
                script.wait("udp.S.downstream_sess_active", 0);
                script.ask(clients[2], b"three");
            },
            ..CASE
        },
        Case {
            name: "no_sessions",
            cluster: "circuit_breakers: {thresholds: [{max_connections: 0}]}",
            script: |script| {
                let client = script.client(LOCAL);
                script.send(client, b"hello");
                script.wait("cluster.S.upstream_cx_overflow", 1);
            },
            ..CASE
        },
        Case {
            name: "idle",
            proxy: "",
            script: |script| {
                let client = script.client(LOCAL);
                script.ask(client, b"one");
                script.wait("udp.S.downstream_sess_active", 0);
                script.ask(client, b"two");
                script.wait("udp.S.idle_timeout", 2);
                script.senders(0);
            },
            ..CASE
        },
        Case {
            name: "each_datagram",
            hosts: Hosts::Two,
            proxy: "use_per_packet_load_balancing: true",
            script: |script| {
                let client = script.client(LOCAL);
                let mut names: Vec<_> = (0..6).map(|_| script.ask_quietly(client, b"")[0] as char).collect();
                let turns = names.windows(2).all(|pair| pair[0] != pair[1]);
                names.sort_unstable();
                script.note(format!("{names:?} in turn: {turns}"));
                script.senders(0);
                script.senders(1);
            },
            ..CASE
        },
        Case {
            name: "each_datagram_limit",
            hosts: Hosts::Two,
            proxy: "use_per_packet_load_balancing: true",
            cluster: "circuit_breakers: {thresholds: [{max_connections: 1}]}",
            script: |script| {
                let client = script.client(LOCAL);
                (0..6).for_each(|_| script.send(client, b""));
                script.wait("cluster.S.upstream_cx_overflow", 3);
            },
            ..CASE
        },
        Case {
            name: "sticky",
            hosts: Hosts::Two,
            proxy: "hash_policies: [{source_ip: true}]",
            script: |script| {
                let mut names = Vec::new();
                for _ in 0..4 {
                    let client = script.client(LOCAL);
                    let first = script.ask_quietly(client, b"")[0];
                    let same = (0..3).all(|_| script.ask_quietly(client, b"")[0] == first);
                    script.note(format!("same: {same}"));
                    names.push(first);
                }
                script.note(format!("in turn: {}", names.windows(2).all(|pair| pair[0] != pair[1])));
            },
            ..CASE
        },
        Case {
            name: "exact",
            route: matcher(
                "{matcher_tree: {input: INPUT(SourceIP), exact_match_map: {map: {127.0.0.2: TO}}}}",
            ),
            script: |script| from(script, &["127.0.0.2"], &["127.0.0.1", "127.0.0.3"]),
            ..CASE
        },
        Case {
            name: "prefix",
            route: matcher(
                "{matcher_tree: {input: INPUT(SourceIP), prefix_match_map: {map: {'127.0.': TO, '127.0.0.': NOTHING, '127.1': TO}}}}",
            ),
            script: |script| from(script, &["127.0.0.2", "127.0.3.4", "127.1.2.3"], &["127.2.0.1"]),
            ..CASE
        },
        Case {
            name: "ranges",
            route: matcher(
                "{matcher_tree: {input: INPUT(SourceIP), RANGES[\
                 {ranges: [{address_prefix: 127.0.0.0, prefix_len: 16}, {address_prefix: 127.4.0.0, prefix_len: 16}], on_match: TO},\
                 {ranges: [{address_prefix: 127.8.0.0, prefix_len: 16}], on_match: TO, exclusive: true},\
                 {ranges: [{address_prefix: 127.8.1.0, prefix_len: 24}], on_match: NOTHING},\
                 {ranges: [{address_prefix: 127.0.1.0, prefix_len: 24}], on_match: NOTHING},\
                 {ranges: [{address_prefix: 127.0.2.0, prefix_len: 24}], on_match: NOTHING, exclusive: true}]}}}}",
            ),
            script: |script| {
                let routed = ["127.0.0.2", "127.4.0.1", "127.0.1.1", "127.0.2.1", "127.8.2.1"];
                from(script, &routed, &["127.2.0.1", "127.8.1.1"]);
            },
            ..CASE
        },
        Case {
            name: "list",
            route: matcher(
                "{matcher_list: {matchers: [\
                 {predicate: {single_predicate: {input: INPUT(SourceIP), value_match: {exact: 127.0.0.2}}}, on_match: NOTHING},\
                 {predicate: {and_matcher: {predicate: [\
                   {single_predicate: {input: INPUT(SourceIP), value_match: {prefix: '127.0.'}}},\
                   {not_matcher: {single_predicate: {input: INPUT(SourceIP), value_match: {suffix: '.9'}}}}]}}, on_match: TO},\
                 {predicate: {or_matcher: {predicate: [\
                   {single_predicate: {input: INPUT(SourceIP), value_match: {contains: '.77.'}}},\
                   {single_predicate: {input: INPUT(SourceIP), value_match: {safe_regex: {google_re2: {}, regex: '127\\.88\\.[0-9.]+'}}}}]}}, on_match: TO}]}}",
            ),
            script: |script| {
                from(
                    script,
                    &["127.0.0.2", "127.0.0.1", "127.77.0.1", "127.88.1.1"],
                    &["127.0.0.9", "127.1.0.1"],
                )
            },
            ..CASE
        },
        Case {
            name: "otherwise",
            route: matcher(
                "{matcher_tree: {input: INPUT(SourceIP), exact_match_map: {map: {127.0.0.2: NOTHING}}}, on_no_match: TO}",
            ),
            script: |script| from(script, &["127.0.0.1", "127.0.0.2"], &[]),
            ..CASE
        },
        Case {
            name: "port",
            address: "0.0.0.0",
            to: "127.0.0.5",
            route: matcher(
                "{matcher_tree: {input: INPUT(DestinationIP), exact_match_map: {map: {127.0.0.5: TO}}}}",
            ),
            script: |script| {
                from(script, &["127.0.0.1"], &[]);
                script.senders(0);
            },
            ..CASE
        },
        Case { name: "older", route: "cluster: up", script: |script| from(script, &[LOCAL], &[]), ..CASE },
        Case {
            name: "six",
            address: "::1",
            to: "::1",
            hosts: Hosts::Echo6,
            script: |script| from(script, &["::1"], &[]),
            ..CASE
        },
        Case {
            name: "six_to_four",
            address: "::",
            to: "::1",
            script: |script| from(script, &["::1"], &[]),
            ..CASE
        },
        Case {
            name: "protocol",
            endpoint: "socket_address: {protocol: UDP, ",
            script: |script| from(script, &[LOCAL], &[]),
            ..CASE
        },
        Case {
            name: "periodic",
            proxy: "access_log_options: {access_log_flush_interval: 0.3s}",
            script: |script| {
                let client = script.client(LOCAL);
                script.ask(client, b"hello");
            },
            periodic: true,
            ..CASE
        },
    ]
}
