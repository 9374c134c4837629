//! Configurations made of listeners whose filter chains answer with their names.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fmt::Write;

/// A filter chain: its name, the fields of its match, options of its connection manager. Every request is answered with
/// its name.
pub struct Chain<'a>(pub &'a str, pub &'a str, pub &'a str);

/// A listener at a port of 127.0.0.1 that the system chooses, with these lines of options.
pub fn listener(name: &str, options: &str, chains: &[Chain<'_>]) -> String {
    let address = "address: {socket_address: {address: 127.0.0.1, port_value: 0}}";
    listener_at(name, &format!("{address}\n{options}"), chains)
}

/// A listener with these lines of options, its address among them. A chain with `default` for its match is the default
/// chain.
pub fn listener_at(name: &str, options: &str, chains: &[Chain<'_>]) -> String {
    let mut text = format!("  - name: {name}\n");
    for line in options.lines().filter(|line| !line.trim().is_empty()) {
        let _ = writeln!(text, "    {line}");
    }
    let (default, others): (Vec<_>, Vec<_>) = chains.iter().partition(|chain| chain.1 == "default");
    if !others.is_empty() {
        text.push_str("    filter_chains:\n");
    }
    for chain in others {
        let _ = write!(
            text,
            "    - name: {}\n      filter_chain_match: {{{}}}\n{}",
            chain.0,
            chain.1,
            filters(chain)
        );
    }
    for chain in default {
        let _ = write!(text, "    default_filter_chain:\n      name: {}\n{}", chain.0, filters(chain));
    }
    text
}

fn filters(Chain(name, _, options): &Chain<'_>) -> String {
    format!(
        r#"      filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          {options}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {{match: {{prefix: "/up"}}, route: {{cluster: up}}}}
              - {{match: {{prefix: "/"}}, direct_response: {{status: 200, body: {{inline_string: "{name}"}}}}}}
          http_filters:
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"#
    )
}

/// A whole configuration of listeners, with more at its end. `up` is a cluster with this host.
pub fn config(listeners: &[String], upstream: &str, more: &str) -> String {
    let endpoint = match upstream.rsplit_once(':') {
        Some((ip, port)) => {
            format!("{{endpoint: {{address: {{socket_address: {{address: {ip}, port_value: {port}}}}}}}}}")
        }
        None => String::new(),
    };
    format!(
        r#"
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
{}
  clusters:
  - name: up
    type: STATIC
    load_assignment: {{cluster_name: up, endpoints: [{{lb_endpoints: [{endpoint}]}}]}}
{more}
"#,
        listeners.concat()
    )
}

/// A listener filter, for a list.
pub fn filter(name: &str, options: &str) -> String {
    let kind = match name {
        "tls_inspector" => "TlsInspector",
        "http_inspector" => "HttpInspector",
        "proxy_protocol" => "ProxyProtocol",
        "original_dst" => "OriginalDst",
        "local_ratelimit" => "LocalRateLimit",
        other => panic!("{other}"),
    };
    let comma = if options.is_empty() { "" } else { ", " };
    format!(
        "{{name: {name}, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.listener.{name}.v3.{kind}{comma}{options}}}}}"
    )
}

/// `listener_filters` with one filter.
pub fn only(name: &str, options: &str) -> String {
    format!("listener_filters: [{}]", filter(name, options))
}
