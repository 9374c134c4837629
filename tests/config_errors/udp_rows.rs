//! Wrong UDP listeners, proxies and matchers.

use super::{load, marked};
use nuncio::config::Source;

const BASE: &str = r#"
static_resources:
  listeners:
  - name: dns
    address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: 53}}
    listener_filters:
    - name: proxy
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig
        stat_prefix: dns
        matcher:
          on_no_match:
            action:
              name: route
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route
                cluster: app
  clusters:
  - name: app
    load_assignment:
      cluster_name: app
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 53}}}}]}]
"#;

const LISTENER: &str = "static_resources.listeners[0]";
const PROXY: &str = "static_resources.listeners[0].listener_filters[0].typed_config";
/// Where an option of the proxy can stand.
const OPTION: &str = "        stat_prefix: dns\n";
/// Where an option of the listener can stand.
const OF_LISTENER: &str = "    listener_filters:\n";
/// The whole matcher but for its first line.
const MATCHER: &str = r#"
          on_no_match:
            action:
              name: route
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route
                cluster: app
"#;

/// Name, what is replaced by what (the place is marked), path below a root, words of the message.
type Row = (&'static str, &'static str, &'static str, (&'static str, &'static str), &'static [&'static str]);

const ROWS: &[Row] = &[
    (
        "filter chains",
        OF_LISTENER,
        "    filter_chains: »[{filters: []}]\n    listener_filters:\n",
        (LISTENER, ".filter_chains"),
        &["about connections"],
    ),
    (
        "a default filter chain",
        OF_LISTENER,
        "    default_filter_chain: »{filters: []}\n    listener_filters:\n",
        (LISTENER, ".default_filter_chain"),
        &["about connections"],
    ),
    (
        "a buffer",
        OF_LISTENER,
        "    per_connection_buffer_limit_bytes: »1000\n    listener_filters:\n",
        (LISTENER, ".per_connection_buffer_limit_bytes"),
        &["about connections"],
    ),
    (
        "a backlog",
        OF_LISTENER,
        "    tcp_backlog_size: »5\n    listener_filters:\n",
        (LISTENER, ".tcp_backlog_size"),
        &["about connections"],
    ),
    (
        "use_original_dst",
        OF_LISTENER,
        "    use_original_dst: »true\n    listener_filters:\n",
        (LISTENER, ".use_original_dst"),
        &["about connections"],
    ),
    (
        "tcp_fast_open_queue_length",
        OF_LISTENER,
        "    tcp_fast_open_queue_length: »5\n    listener_filters:\n",
        (LISTENER, ".tcp_fast_open_queue_length"),
        &["about connections"],
    ),
    (
        "listener_filters_timeout",
        OF_LISTENER,
        "    listener_filters_timeout: »1s\n    listener_filters:\n",
        (LISTENER, ".listener_filters_timeout"),
        &["about connections"],
    ),
    (
        "connection_balance_config",
        OF_LISTENER,
        "    connection_balance_config: »{exact_balance: {}}\n    listener_filters:\n",
        (LISTENER, ".connection_balance_config"),
        &["about connections"],
    ),
    (
        "enable_mptcp",
        OF_LISTENER,
        "    enable_mptcp: »true\n    listener_filters:\n",
        (LISTENER, ".enable_mptcp"),
        &["about connections"],
    ),
    (
        "ignore_global_conn_limit",
        OF_LISTENER,
        "    ignore_global_conn_limit: »true\n    listener_filters:\n",
        (LISTENER, ".ignore_global_conn_limit"),
        &["about connections"],
    ),
    (
        "max_connections_to_accept_per_socket_event",
        OF_LISTENER,
        "    max_connections_to_accept_per_socket_event: »5\n    listener_filters:\n",
        (LISTENER, ".max_connections_to_accept_per_socket_event"),
        &["about connections"],
    ),
    (
        "tcp_keepalive",
        OF_LISTENER,
        "    tcp_keepalive: »{}\n    listener_filters:\n",
        (LISTENER, ".tcp_keepalive"),
        &["about connections"],
    ),
    (
        "no socket",
        OF_LISTENER,
        "    bind_to_port: »false\n    listener_filters:\n",
        (LISTENER, ".bind_to_port"),
        &["needs a socket"],
    ),
    (
        "addresses of two kinds",
        OF_LISTENER,
        "    additional_addresses: [{address: »{socket_address: {address: 127.0.0.2, port_value: 53}}}]\n    listener_filters:\n",
        (LISTENER, ".additional_addresses[0].address"),
        &["must be of one kind"],
    ),
    (
        "datagrams of no length",
        OF_LISTENER,
        "    udp_listener_config: {downstream_socket_config: {max_rx_datagram_size: »0}}\n    listener_filters:\n",
        (LISTENER, ".udp_listener_config.downstream_socket_config.max_rx_datagram_size"),
        &["0 is out of range: 1 to 65535"],
    ),
    (
        "datagrams that are too long",
        OPTION,
        "        stat_prefix: dns\n        upstream_socket_config: {max_rx_datagram_size: »65536}\n",
        (PROXY, ".upstream_socket_config.max_rx_datagram_size"),
        &["65536 is out of range: 1 to 65535"],
    ),
    (
        "QUIC",
        OF_LISTENER,
        "    udp_listener_config: {»quic_options: {}}\n    listener_filters:\n",
        (LISTENER, ".udp_listener_config.quic_options"),
        &["`quic_options` of UdpListenerConfig is not supported yet"],
    ),
    (
        "another filter",
        "\"@type\": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig\n        stat_prefix: dns\n        matcher:",
        "\"@type\": »type.googleapis.com/envoy.extensions.filters.udp.dns_filter.v3.DnsFilterConfig\n        matcher:",
        (PROXY, ""),
        &["dns_filter"],
    ),
    ("no stat_prefix", OPTION, "        idle_timeout: 1s\n", (PROXY, ""), &["`stat_prefix` is required"]),
    (
        "a negative time",
        OPTION,
        "        stat_prefix: dns\n        idle_timeout: »-1s\n",
        (PROXY, ".idle_timeout"),
        &["must not be negative"],
    ),
    (
        "two hashes",
        OPTION,
        "        stat_prefix: dns\n        hash_policies: »[{source_ip: true}, {key: a}]\n",
        (PROXY, ".hash_policies"),
        &["at most one"],
    ),
    (
        "a hash of nothing",
        OPTION,
        "        stat_prefix: dns\n        hash_policies: [»{}]\n",
        (PROXY, ".hash_policies[0]"),
        &["one of `source_ip`, `key` is required"],
    ),
    (
        "a hash that is off",
        OPTION,
        "        stat_prefix: dns\n        hash_policies: [{source_ip: »false}]\n",
        (PROXY, ".hash_policies[0].source_ip"),
        &["only `true`"],
    ),
    (
        "an empty key",
        OPTION,
        "        stat_prefix: dns\n        hash_policies: [»{key: ''}]\n",
        (PROXY, ".hash_policies[0]"),
        &["`key` is required and must not be empty"],
    ),
    (
        "a log without pause",
        OPTION,
        "        stat_prefix: dns\n        access_log_options: {access_log_flush_interval: »0s}\n",
        (PROXY, ".access_log_options.access_log_flush_interval"),
        &["at least 1 ms"],
    ),
    (
        "tunnelling",
        OPTION,
        "        stat_prefix: dns\n        »tunneling_config: {proxy_host: a}\n",
        (PROXY, ".tunneling_config"),
        &["`tunneling_config` of UdpProxyConfig is not supported yet"],
    ),
    (
        "session filters",
        OPTION,
        "        stat_prefix: dns\n        »session_filters: [{name: a}]\n",
        (PROXY, ".session_filters"),
        &["`session_filters` of UdpProxyConfig is not supported yet"],
    ),
    (
        "two routes",
        OPTION,
        "        stat_prefix: dns\n        cluster: app\n",
        (PROXY, ".matcher"),
        &["exclude each other"],
    ),
    ("no route", MATCHER, " ~\n", (PROXY, ""), &["one of `matcher`, `cluster` is required"]),
    (
        "a cluster that is not there",
        "                cluster: app\n",
        "                cluster: »ap\n",
        (PROXY, ".matcher.on_no_match.action.typed_config.cluster"),
        &["there is no cluster `ap`", "Did you mean `app`?"],
    ),
    (
        "an action of another kind",
        "\"@type\": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route\n                cluster: app\n",
        "»\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n",
        (PROXY, ".matcher.on_no_match.action.typed_config"),
        &["is not a supported action of a UDP proxy"],
    ),
    (
        "a match that leads nowhere",
        MATCHER,
        " {on_no_match: »{}}\n",
        (PROXY, ".matcher.on_no_match"),
        &["one of `action`, `matcher` is required"],
    ),
    (
        "an empty list",
        MATCHER,
        " {matcher_list: »{}}\n",
        (PROXY, ".matcher.matcher_list"),
        &["`matchers` is required"],
    ),
    (
        "an input that datagrams do not have",
        MATCHER,
        " {matcher_tree: {input: {name: i, typed_config: »{\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}, prefix_match_map: {map: {a: {matcher: {}}}}}}\n",
        (PROXY, ".matcher.matcher_tree.input.typed_config"),
        &["is not a supported input of a matcher", "SourceIPInput"],
    ),
    (
        "a table without entries",
        MATCHER,
        " {matcher_tree: {input: {name: i, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.SourceIPInput}}, exact_match_map: »{}}}\n",
        (PROXY, ".matcher.matcher_tree.exact_match_map"),
        &["`map` is required"],
    ),
    (
        "a range that is none",
        MATCHER,
        " {matcher_tree: {input: {name: i, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.SourceIPInput}}, custom_match: {name: c, typed_config: {\"@type\": type.googleapis.com/xds.type.matcher.v3.IPMatcher, range_matchers: [{ranges: [{address_prefix: 10.0.0.0, prefix_len: »40}], on_match: {matcher: {}}}]}}}}\n",
        (PROXY, ".matcher.matcher_tree.custom_match.typed_config.range_matchers[0].ranges[0].prefix_len"),
        &["40 is out of range: 0 to 32"],
    ),
    (
        "one condition of several",
        MATCHER,
        " {matcher_list: {matchers: [{predicate: {and_matcher: {predicate: [{not_matcher: {single_predicate: {input: {name: i, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.SourcePortInput}}, value_match: {exact: '1'}}}}]}}, on_match: {matcher: {}}}]}}\n",
        (PROXY, ".matcher.matcher_list.matchers[0].predicate.and_matcher"),
        &["at least two conditions"],
    ),
    (
        "a condition of another kind",
        MATCHER,
        " {matcher_list: {matchers: [{predicate: {single_predicate: {input: {name: i, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.SourcePortInput}}, »custom_match: {name: a}}}, on_match: {matcher: {}}}]}}\n",
        (PROXY, ".matcher.matcher_list.matchers[0].predicate.single_predicate.custom_match"),
        &["`custom_match` of SinglePredicate is not supported yet"],
    ),
    (
        "hosts that are no IP addresses",
        "socket_address: {address: 127.0.0.1, port_value: 53}}}}]}]",
        "pipe: {path: /run/app.sock}}}}]}]",
        (PROXY, ".matcher.on_no_match.action.typed_config.cluster"),
        &["unix socket"],
    ),
    (
        "two listeners at one address",
        "  clusters:\n",
        "  - name: again\n    address: »{socket_address: {protocol: UDP, address: 127.0.0.1, port_value: 53}}\n    listener_filters:\n    - typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig, stat_prefix: b, cluster: app}\n  clusters:\n",
        ("static_resources.listeners[1]", ".address"),
        &["listener `dns` has the same address"],
    ),
];

#[test]
fn wrong_udp_is_refused_with_its_place() {
    assert!(load(&Source::text(BASE)).is_ok());
    let mut failures = String::new();
    for (name, from, to, (root, rest), says) in ROWS {
        assert_eq!(BASE.matches(from).count(), 1, "{name}: {from:?} must occur once");
        let text = BASE.replacen(from, to, 1);
        let (text, place) = if text.contains('»') {
            let (text, place) = marked(&text);
            (text, Some(place))
        } else {
            (text, None)
        };
        let diagnostics = match load(&Source::text(&text)) {
            Ok(_) => {
                failures += &format!("--- {name}: accepted\n");
                continue;
            }
            Err(diagnostics) => diagnostics,
        };
        let path = format!("{root}{rest}");
        let right = diagnostics.errors().iter().any(|error| {
            error.path == path
                && place.is_none_or(|place| (error.place.1, error.place.2) == place)
                && says.iter().all(|part| error.message.contains(part))
        });
        // One mistake is one error: none follows from it.
        if !right || place.is_some() && diagnostics.errors().len() != 1 {
            failures +=
                &format!("--- {name}: expected {path} at {place:?} saying {says:?}, got\n{diagnostics}\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn exactly_one_listener_filter_is_required() {
    let (head, rest) = BASE.split_once(OF_LISTENER).expect("it has some");
    let (filter, clusters) = rest.split_at(rest.find("  clusters:").expect("it has some"));
    for (count, filters) in [(0, String::new()), (2, format!("{OF_LISTENER}{filter}{filter}"))] {
        let Err(diagnostics) = load(&Source::text(&format!("{head}{filters}{clusters}"))) else {
            panic!("accepted with {count}")
        };
        assert_eq!(diagnostics.errors().len(), 1, "{diagnostics}");
        assert!(diagnostics.errors()[0].message.ends_with(&format!("found {count}")), "{diagnostics}");
    }
}

#[test]
fn tcp_and_udp_may_share_an_address() {
    let tcp = r#"  - name: tcp
    address: {socket_address: {address: 127.0.0.1, port_value: 53}}
    filter_chains:
    - filters:
      - typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: app}}]}]}
          http_filters: [{typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
  clusters:
"#;
    let text = BASE.replacen("  clusters:\n", tcp, 1);
    let snapshot = load(&Source::text(&text)).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    assert_eq!((snapshot.listeners.len(), snapshot.udp_listeners.len()), (1, 1));
}
