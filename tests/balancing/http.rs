//! Hash policies of routes.

use super::Side;
use super::support::{Client, Upstream};
use std::collections::BTreeMap;

const HOSTS: u8 = 5;
const REQUESTS: usize = 30;

/// Name, policies, and the heads of requests; `#` is the number of the request, `@` the name.
const ROUTES: [(&str, &str, &str); 13] = [
    ("header", "{header: {header_name: X-User}}", "GET / HTTP/1.1\r\nhost: @\r\nx-user: u#\r\n\r\n"),
    (
        "headers",
        "{header: {header_name: x-user}}",
        "GET / HTTP/1.1\r\nhost: @\r\nx-user: v#\r\nx-user: u#\r\nx-user: u\r\n\r\n",
    ),
    ("pseudo", "{header: {header_name: \":path\"}}", "GET /#?q HTTP/1.1\r\nhost: @\r\n\r\n"),
    ("cookie", "{cookie: {name: id}}", "GET / HTTP/1.1\r\nhost: @\r\ncookie: a=1; id=c#; id=2\r\n\r\n"),
    ("quoted", "{cookie: {name: id}}", "GET / HTTP/1.1\r\nhost: @\r\ncookie: x;id=\"c#\"\r\n\r\n"),
    ("query", "{query_parameter: {name: k}}", "GET /?j=1&k=%41#&k=2 HTTP/1.1\r\nhost: @\r\n\r\n"),
    ("query_empty", "{query_parameter: {name: k}}", "GET /?k&j=# HTTP/1.1\r\nhost: @\r\n\r\n"),
    ("address", "{connection_properties: {source_ip: true}}", "GET / HTTP/1.1\r\nhost: @\r\n\r\n"),
    (
        "forwarded",
        "{connection_properties: {source_ip: true}}",
        "GET / HTTP/1.1\r\nhost: @\r\nx-forwarded-for: 10.1.2.#\r\n\r\n",
    ),
    ("state", "{filter_state: {key: mine}}", "GET /# HTTP/1.1\r\nhost: @\r\n\r\n"),
    (
        "both",
        "{header: {header_name: x-user}}, {query_parameter: {name: none}}, {query_parameter: {name: k}}",
        "GET /?k=# HTTP/1.1\r\nhost: @\r\nx-user: u#\r\n\r\n",
    ),
    (
        "terminal",
        "{header: {header_name: x-user}, terminal: true}, {query_parameter: {name: k}}",
        "GET /?k=# HTTP/1.1\r\nhost: @\r\nx-user: u\r\n\r\n",
    ),
    (
        "rewritten",
        "{header: {header_name: \":path\"}}], prefix_rewrite: \"/new/\", upgrade_configs: [",
        "GET /# HTTP/1.1\r\nhost: @\r\n\r\n",
    ),
];

/// Hosts that answer with their letter.
fn hosts() -> Vec<Upstream> {
    let answer = |letter: u8| format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{}", char::from(letter));
    let host = |letter: u8| {
        Upstream::start(move |mut client, _| {
            while client.request().is_some() {
                client.send(answer(letter));
            }
        })
    };
    (b'A'..b'A' + HOSTS).map(host).collect()
}

fn yaml(hosts: &[Upstream]) -> String {
    let virtual_hosts: Vec<_> = ROUTES
        .iter()
        .map(|(name, policies, _)| {
            format!("{{name: {name}, domains: [{name}], routes: [{{match: {{prefix: \"/\"}}, route: {{cluster: up, hash_policy: [{policies}]}}}}]}}")
        })
        .collect();
    let endpoints: Vec<_> = hosts
        .iter()
        .map(|host| {
            let port = host.address.port();
            format!(
                "{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}"
            )
        })
        .collect();
    format!(
        r#"
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - name: main
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - filters:
      - name: state
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config
          on_new_connection: [{{object_key: mine, factory_key: envoy.hashable_string, format_string: {{text_format_source: {{inline_string: mine}}}}}}]
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: t
          route_config: {{virtual_hosts: [{}]}}
          http_filters: [{{name: router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
  clusters:
  - {{name: up, lb_policy: RING_HASH, load_assignment: {{cluster_name: up, endpoints: [{{lb_endpoints: [{}]}}]}}}}
"#,
        virtual_hosts.join(", "),
        endpoints.join(", ")
    )
}

/// The letters that requests come to, for each route.
fn picks(side: &Side) -> BTreeMap<&'static str, String> {
    let mut client = Client::connect(side.listeners["main"]);
    ROUTES
        .iter()
        .map(|(name, _, head)| {
            let letters = (0..REQUESTS).map(|number| {
                client.send(head.replace('#', &number.to_string()).replace('@', name));
                let answer = client.response();
                assert_eq!(answer.status, 200, "{name}");
                answer.text()
            });
            (*name, letters.collect())
        })
        .collect()
}

#[test]
fn requests_find_their_hosts_and_those_of_envoy() {
    let hosts = hosts();
    let yaml = yaml(&hosts);
    let ours = picks(&Side::ours(&yaml, "2"));
    assert_eq!(ours, picks(&Side::ours(&yaml, "1")));
    for (name, letters) in &ours {
        let mut used: Vec<_> = letters.bytes().collect();
        used.sort_unstable();
        used.dedup();
        let one = ["address", "query_empty", "state", "terminal"].contains(name);
        assert!((used.len() == 1) == one, "{name}: {letters}");
    }
    assert_eq!(ours["cookie"], ours["quoted"]);
    if let Some(envoy) = Side::envoy(&yaml) {
        assert_eq!(picks(&envoy), ours);
    }
}
