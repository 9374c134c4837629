//! Matchers as they are written, and what they find.

use crate::config::Source;
use crate::matching::Addresses;
use crate::server::compile::load;
use std::net::SocketAddr;

/// The names of clusters that a matcher leads to; `-` is none.
fn found(matcher: &str, pairs: &[(&str, &str)]) -> Vec<String> {
    let text = config(matcher);
    let snapshot = load(&Source::text(&text)).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let proxy = &snapshot.udp_listeners[0].proxy;
    let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
    pairs
        .iter()
        .map(|(source, destination)| {
            let addresses = Addresses { source: address(source), destination: address(destination) };
            match proxy.routes.find(&addresses) {
                None => "-".to_owned(),
                Some(at) => {
                    let cluster = proxy.targets[*at as usize].cluster;
                    snapshot.clusters.clusters[cluster.0 as usize].name.clone()
                }
            }
        })
        .collect()
}

/// `INPUT(Name)` and `TO(cluster)` stand for an input and for a match that leads to a cluster.
fn config(matcher: &str) -> String {
    let mut text = matcher.to_owned();
    for name in ["SourceIP", "SourcePort", "DestinationIP", "DestinationPort"] {
        let url =
            format!("type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.{name}Input");
        text = text
            .replace(&format!("INPUT({name})"), &format!("{{name: i, typed_config: {{\"@type\": {url}}}}}"));
    }
    for name in ["a", "b", "c"] {
        let url = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route";
        let action = format!("action: {{name: r, typed_config: {{\"@type\": {url}, cluster: {name}}}}}");
        text = text.replace(&format!("TO({name})"), &format!("{{{action}}}"));
        text = text.replace(&format!("TO({name}+)"), &format!("{{{action}, keep_matching: true}}"));
    }
    let clusters: String = ["a", "b", "c"]
        .map(|name| format!("  - {{name: {name}, load_assignment: {{cluster_name: {name}}}}}\n"))
        .concat();
    format!(
        r#"
static_resources:
  listeners:
  - address: {{socket_address: {{protocol: UDP, address: 127.0.0.1, port_value: 53}}}}
    listener_filters:
    - typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig
        stat_prefix: x
        matcher: {text}
  clusters:
{clusters}"#
    )
}

const TO: &str = "127.0.0.1:53";

#[test]
fn what_matches_nothing_goes_where_it_is_told() {
    assert_eq!(found("{on_no_match: TO(b)}", &[("10.0.0.1:1", TO)]), ["b"]);
    assert_eq!(found("{}", &[("10.0.0.1:1", TO)]), ["-"]);
    assert_eq!(found("{on_no_match: TO(b+)}", &[("10.0.0.1:1", TO)]), ["-"]);
    assert_eq!(found("{on_no_match: {matcher: {on_no_match: TO(c)}}}", &[("10.0.0.1:1", TO)]), ["c"]);
}

#[test]
fn tables_of_values() {
    let exact = "{matcher_tree: {input: INPUT(SourceIP), exact_match_map: {map: {10.0.0.1: TO(a), '::1': TO(b)}}}, on_no_match: TO(c)}";
    assert_eq!(
        found(exact, &[("10.0.0.1:9", TO), ("[::1]:9", "[::1]:53"), ("10.0.0.10:9", TO)]),
        ["a", "b", "c"]
    );
    let port = "{matcher_tree: {input: INPUT(DestinationPort), exact_match_map: {map: {'53': TO(a)}}}}";
    assert_eq!(found(port, &[("10.0.0.1:53", TO), ("10.0.0.1:53", "127.0.0.1:54")]), ["a", "-"]);
    let prefix = "{matcher_tree: {input: INPUT(SourcePort), prefix_match_map: {map: {'1': TO(a), '12': TO(b), '123': TO(c+)}}}}";
    assert_eq!(
        found(prefix, &[("10.0.0.1:1", TO), ("10.0.0.1:12", TO), ("10.0.0.1:123", TO), ("10.0.0.1:2", TO)]),
        ["a", "b", "b", "-"]
    );
}

#[test]
fn ranges_of_addresses() {
    let range = |ranges: &str, then: &str| format!("{{ranges: [{ranges}], on_match: {then}}}");
    let table = |ranges: &[String]| {
        format!(
            "{{matcher_tree: {{input: INPUT(DestinationIP), custom_match: {{name: t, typed_config: {{\"@type\": type.googleapis.com/xds.type.matcher.v3.IPMatcher, range_matchers: [{}]}}}}}}, on_no_match: TO(c)}}",
            ranges.join(", ")
        )
    };
    let wide = range(
        "{address_prefix: 10.0.0.0, prefix_len: 8}, {address_prefix: '2001:db8::', prefix_len: 32}",
        "TO(a)",
    );
    let narrow = range("{address_prefix: 10.1.0.0, prefix_len: 16}", "TO(b)");
    let asked = [
        ("1.1.1.1:1", "10.2.3.4:53"),
        ("1.1.1.1:1", "10.1.3.4:53"),
        ("[::2]:1", "[2001:db8::9]:53"),
        ("1.1.1.1:1", "11.0.0.1:53"),
    ];
    // Whatever their order, the smallest counts.
    for order in [[wide.clone(), narrow.clone()], [narrow, wide.clone()]] {
        assert_eq!(found(&table(&order), &asked), ["a", "b", "a", "c"]);
    }
    // One that finds nothing leaves it to the larger ones, unless those are exclusive.
    let nothing =
        "{matcher: {matcher_tree: {input: INPUT(SourcePort), exact_match_map: {map: {'7': TO(b)}}}}}";
    let narrow = range("{address_prefix: 10.1.0.0, prefix_len: 16}", nothing);
    assert_eq!(found(&table(&[wide.clone(), narrow.clone()]), &asked), ["a", "a", "a", "c"]);
    let exclusive = wide.replacen('{', "{exclusive: true, ", 1);
    assert_eq!(found(&table(&[exclusive, narrow]), &asked), ["a", "c", "a", "c"]);
}

#[test]
fn conditions_in_order() {
    let one = |input: &str, test: &str| {
        format!("{{single_predicate: {{input: INPUT({input}), value_match: {{{test}}}}}}}")
    };
    let list = |rows: &[(String, &str)]| {
        let rows: Vec<_> = rows
            .iter()
            .map(|(predicate, then)| format!("{{predicate: {predicate}, on_match: {then}}}"))
            .collect();
        format!("{{matcher_list: {{matchers: [{}]}}, on_no_match: TO(c)}}", rows.join(", "))
    };
    let ten = one("SourceIP", "prefix: '10.'");
    let low = one("SourcePort", "safe_regex: {regex: '[0-9]{1,3}'}");
    let asked = [("10.0.0.1:999", TO), ("10.0.0.1:1000", TO), ("11.0.0.1:999", TO), ("11.0.0.1:1000", TO)];
    let all = format!("{{and_matcher: {{predicate: [{ten}, {low}]}}}}");
    let any = format!("{{or_matcher: {{predicate: [{ten}, {low}]}}}}");
    let not = format!("{{not_matcher: {ten}}}");
    for (rows, wanted) in [
        (vec![(ten.clone(), "TO(a)"), (low.clone(), "TO(b)")], ["a", "a", "b", "c"]),
        (vec![(ten.clone(), "TO(a+)"), (low.clone(), "TO(b)")], ["b", "c", "b", "c"]),
        (vec![(all, "TO(a)")], ["a", "c", "c", "c"]),
        (vec![(any, "TO(a)")], ["a", "a", "a", "c"]),
        (vec![(not, "TO(a)")], ["c", "c", "a", "a"]),
        // A match that leads to nothing leaves it to the next.
        (vec![(ten, "{matcher: {}}"), (low, "TO(b)")], ["b", "c", "b", "c"]),
    ] {
        assert_eq!(found(&list(&rows), &asked), wanted, "{rows:?}");
    }
}
