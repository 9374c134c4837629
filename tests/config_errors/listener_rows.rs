//! Wrong listeners: addresses, sockets, filter chains, listener filters, limits.

use super::rows::{LISTENER, Row, row};

/// Where an option of the listener can stand.
const OPTION: &str = "    filter_chains:\n    - filters:";
/// Where an option of the bootstrap can stand.
const ROOT: &str = "static_resources:\n";
/// The listener's address.
const ADDRESS: &str = "      socket_address: {address: 127.0.0.1, port_value: 8080}\n";

/// A further filter chain behind these words, without the end of the line.
macro_rules! chain {
    ($match:literal) => {
        concat!(
            "    filter_chains:\n    - ",
            $match,
            "\n      filters: [{typed_config: {\"@type\": ",
            "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, ",
            "stat_prefix: x, route_config: {}, http_filters: [{typed_config: {\"@type\": ",
            "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]\n    - filters:"
        )
    };
}

/// A listener filter with this type and these options.
macro_rules! filter {
    ($type:literal, $options:literal) => {
        concat!(
            "    listener_filters: [{name: x, typed_config: {\"@type\": ",
            "type.googleapis.com/envoy.extensions.filters.listener.",
            $type,
            $options,
            "}}]\n    filter_chains:\n    - filters:"
        )
    };
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "no filter chain",
        &[(
            "  - name: front",
            "  - »address: {socket_address: {address: 127.0.0.1, port_value: 8081}}\n  - name: front",
        )],
        (LISTENER, ""),
        &["one of `filter_chains`, `default_filter_chain` is required"],
    ),
    row(
        "PROXY headers in the second filter chain only",
        &[
            (OPTION, chain!("filter_chain_match: {server_names: [a.example]}")),
            (
                "\n    - filters:\n      - name: http",
                "\n    - use_proxy_proto: »true\n      filters:\n      - name: http",
            ),
        ],
        (LISTENER, ".filter_chains[1].use_proxy_proto"),
        &["the first filter chain"],
    ),
    row(
        "two filter chains for everything",
        &[(
            OPTION,
            "    filter_chains:\n    - name: x\n      filters: [{typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: x, route_config: {}, http_filters: [{typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]\n    - »filters:",
        )],
        (LISTENER, ".filter_chains[1].filter_chain_match"),
        &["filter chain 0 has an equal claim"],
    ),
    row(
        "two filter chains with one name in common",
        &[
            (OPTION, chain!("filter_chain_match: {server_names: [a.example, b.example]}")),
            (
                "\n    - filters:\n      - name: http",
                "\n    - filter_chain_match: »{server_names: [c.example, B.example]}\n      filters:\n      - name: http",
            ),
        ],
        (LISTENER, ".filter_chains[1].filter_chain_match"),
        &["filter chain 0 has an equal claim"],
    ),
    row(
        "a star inside a name",
        &[(OPTION, chain!("filter_chain_match: {server_names: [»\"a*.example\"]}"))],
        (LISTENER, ".filter_chains[0].filter_chain_match.server_names[0]"),
        &["`a*.example` is not a server name", "*.example.com"],
    ),
    row(
        "port 0",
        &[(OPTION, chain!("filter_chain_match: {source_ports: [1, »0]}"))],
        (LISTENER, ".filter_chains[0].filter_chain_match.source_ports[1]"),
        &["0 is not a port: 1 to 65535"],
    ),
    row(
        "a destination port that is too large",
        &[(OPTION, chain!("filter_chain_match: {destination_port: »70000}"))],
        (LISTENER, ".filter_chains[0].filter_chain_match.destination_port"),
        &["70000 is not a port: 1 to 65535"],
    ),
    row(
        "a range without an address",
        &[(OPTION, chain!("filter_chain_match: {direct_source_prefix_ranges: [»{prefix_len: 8}]}"))],
        (LISTENER, ".filter_chains[0].filter_chain_match.direct_source_prefix_ranges[0]"),
        &["`address_prefix` is required"],
    ),
    row(
        "Envoy's field that does nothing there either",
        &[(OPTION, chain!("filter_chain_match: {»address_suffix: a}"))],
        (LISTENER, ".filter_chains[0].filter_chain_match.address_suffix"),
        &["Envoy's field `address_suffix`"],
    ),
    row(
        "a match for the default chain",
        &[(
            OPTION,
            "    default_filter_chain:\n      filter_chain_match: »{}\n      filters: [{typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: x, route_config: {}, http_filters: [{typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]\n    filter_chains:\n    - filters:",
        )],
        (LISTENER, ".default_filter_chain.filter_chain_match"),
        &["the default filter chain is for all that others are not for"],
    ),
    row(
        "an HTTP filter among listener filters",
        &[(
            OPTION,
            "    listener_filters: [{name: x, typed_config: »{\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]\n    filter_chains:\n    - filters:",
        )],
        (LISTENER, ".listener_filters[0].typed_config"),
        &[
            "`envoy.extensions.filters.http.router.v3.Router` is not a supported listener filter",
            "tls_inspector.v3.TlsInspector",
        ],
    ),
    row(
        "a hello that is too small",
        &[(OPTION, filter!("tls_inspector.v3.TlsInspector", ", max_client_hello_size: »255"))],
        (LISTENER, ".listener_filters[0].typed_config.max_client_hello_size"),
        &["out of range: 256 to 16384"],
    ),
    row(
        "no version of PROXY allowed",
        &[(OPTION, filter!("proxy_protocol.v3.ProxyProtocol", ", disallowed_versions: »[V1, V2]"))],
        (LISTENER, ".listener_filters[0].typed_config.disallowed_versions"),
        &["both versions are refused"],
    ),
    row(
        "an extension of PROXY with a type that is too large",
        &[(
            OPTION,
            filter!(
                "proxy_protocol.v3.ProxyProtocol",
                ", rules: [{tlv_type: »256, on_tlv_present: {key: a}}]"
            ),
        )],
        (LISTENER, ".listener_filters[0].typed_config.rules[0].tlv_type"),
        &["256 is not a type of an extension: 0 to 255"],
    ),
    row(
        "a rate that never comes back",
        &[(
            OPTION,
            filter!(
                "local_ratelimit.v3.LocalRateLimit",
                ", stat_prefix: a, token_bucket: {max_tokens: 1, fill_interval: »0.01s}"
            ),
        )],
        (LISTENER, ".listener_filters[0].typed_config.token_bucket.fill_interval"),
        &["at least 50ms"],
    ),
    row(
        "a condition with one part",
        &[(
            OPTION,
            "    listener_filters: [{name: x, filter_disabled: {or_match: »{rules: [{any_match: true}]}}, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]\n    filter_chains:\n    - filters:",
        )],
        (LISTENER, ".listener_filters[0].filter_disabled.or_match"),
        &["`rules` must have at least 2 entries"],
    ),
    row(
        "a range of no ports",
        &[(
            OPTION,
            "    listener_filters: [{name: x, filter_disabled: {destination_port_range: »{start: 5, end: 5}}, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]\n    filter_chains:\n    - filters:",
        )],
        (LISTENER, ".listener_filters[0].filter_disabled.destination_port_range"),
        &["the range is empty"],
    ),
    row(
        "two stacks at an address of one",
        &[(ADDRESS, "      socket_address: {address: 127.0.0.1, port_value: 8080, ipv4_compat: »true}\n")],
        (LISTENER, ".address.socket_address.ipv4_compat"),
        &["needs the address `::`"],
    ),
    row(
        "two stacks of a host",
        &[("port_value: 9001}}", "port_value: 9001, ipv4_compat: »true}}")],
        (
            "static_resources.clusters[0]",
            ".load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.ipv4_compat",
        ),
        &["is about addresses of listeners"],
    ),
    row(
        "Multipath TCP on a unix socket",
        &[
            (ADDRESS, ""),
            (
                "    address:\n    filter_chains",
                "    address: »{pipe: {path: /tmp/x}}\n    enable_mptcp: true\n    filter_chains",
            ),
        ],
        (LISTENER, ".address"),
        &["`enable_mptcp` needs IP addresses"],
    ),
    row(
        "the same address twice in one listener",
        &[
            (
                OPTION,
                "    additional_addresses: [{address: {socket_address: {address: 127.0.0.1, port_value: 8080}}}]\n    filter_chains:\n    - filters:",
            ),
            (
                "    address:\n      socket_address: {address: 127.0.0.1, port_value: 8080}",
                "    address:\n      »socket_address: {address: 127.0.0.1, port_value: 8080}",
            ),
        ],
        (LISTENER, ".address"),
        &["listener `front` has the same address, 127.0.0.1:8080"],
    ),
    row(
        "an option without a value",
        &[(OPTION, "    socket_options: [»{level: 1, name: 2}]\n    filter_chains:\n    - filters:")],
        (LISTENER, ".socket_options[0]"),
        &["one of `int_value`, `buf_value` is required"],
    ),
    row(
        "an option whose number is too large",
        &[(
            OPTION,
            "    socket_options: [{level: 1, name: »3000000000, int_value: 1}]\n    filter_chains:\n    - filters:",
        )],
        (LISTENER, ".socket_options[0].name"),
        &["3000000000 is out of range"],
    ),
    row(
        "no way of balancing",
        &[(OPTION, "    connection_balance_config: »{}\n    filter_chains:\n    - filters:")],
        (LISTENER, ".connection_balance_config"),
        &["one of `exact_balance` is required"],
    ),
    row(
        "no connection accepted",
        &[(OPTION, "    max_connections_to_accept_per_socket_event: »0\n    filter_chains:\n    - filters:")],
        (LISTENER, ".max_connections_to_accept_per_socket_event"),
        &["at least 1 connection must be accepted"],
    ),
    row(
        "a key that nothing looks up",
        &[(
            ROOT,
            "layered_runtime: {layers: [{name: a, static_layer: {envoy: {resource_limits: {listener: {back: {connection_limit: »3}}}}}}]}\nstatic_resources:\n",
        )],
        ("layered_runtime.layers[0].static_layer", ".envoy.resource_limits.listener.back.connection_limit"),
        &["nothing looks up the key `envoy.resource_limits.listener.back.connection_limit`"],
    ),
    row(
        "a list in the runtime",
        &[(ROOT, "layered_runtime: {layers: [{name: a, static_layer: {x: »[1]}}]}\nstatic_resources:\n")],
        ("layered_runtime.layers[0].static_layer", ".x"),
        &["a value is a number, a text, a boolean or an object"],
    ),
    row(
        "two layers with one name",
        &[(
            ROOT,
            "layered_runtime: {layers: [{name: a, static_layer: {}}, {name: »a, static_layer: {}}]}\nstatic_resources:\n",
        )],
        ("layered_runtime.layers[1]", ".name"),
        &["there is another layer called `a`"],
    ),
    row(
        "a layer of nothing",
        &[(ROOT, "layered_runtime: {layers: [»{name: a}]}\nstatic_resources:\n")],
        ("layered_runtime.layers[0]", ""),
        &["one of `static_layer` is required"],
    ),
    row(
        "no connections at all",
        &[(
            ROOT,
            "overload_manager: {resource_monitors: [{name: a, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: »0}}]}\nstatic_resources:\n",
        )],
        ("overload_manager.resource_monitors[0].typed_config", ".max_active_downstream_connections"),
        &["at least 1 connection is required"],
    ),
];
