//! Values just beyond what can be, found by comparing with Envoy field by field.

use super::rows::{HCM, LISTENER, ROUTES, Row, row};

const APP: &str = "static_resources.clusters[0]";
/// Where an option of the whole process can stand.
const TOP: &str = "static_resources:\n  listeners:";
/// Where an option of the connection manager can stand.
const OPTION: &str = "          request_timeout: 5s";
/// Where an option of a route's action can stand.
const ROUTE: &str = "                route: {cluster: app, timeout: 3s}";
/// Where an option of a cluster can stand.
const CLUSTER: &str = "    connect_timeout: 1s";

pub(crate) const ROWS: &[Row] = &[
    row(
        "more seconds than nanoseconds can be counted",
        &[("request_timeout: 5s", "request_timeout: »9223372036s")],
        (HCM, ".request_timeout"),
        &["expected a duration"],
    ),
    row(
        "the same in fields",
        &[("request_timeout: 5s", "request_timeout: »{seconds: 9223372036}")],
        (HCM, ".request_timeout"),
        &["not a duration: at most 9223372035 seconds"],
    ),
    row(
        "a number in a mapping that cannot be read is judged once",
        &[(CLUSTER, "    per_connection_buffer_limit_bytes: {»valu: 5}")],
        (APP, ".per_connection_buffer_limit_bytes.valu"),
        &["unknown field `valu` in UInt32Value"],
    ),
    row(
        "a ring whose size cannot be read is not too small",
        &[(
            "lb_policy: LEAST_REQUEST\n    least_request_lb_config: {choice_count: 3}",
            "lb_policy: RING_HASH\n    ring_hash_lb_config: {minimum_ring_size: »many, maximum_ring_size: 100}",
        )],
        (APP, ".ring_hash_lb_config.minimum_ring_size"),
        &["expected a whole number"],
    ),
    row(
        "a whole number is no text",
        &[("host_redirect: red.example", "host_redirect: »10")],
        (ROUTES, "[1].routes[0].redirect.host_redirect"),
        &["put it in quotes"],
    ),
    row(
        "control characters are shown, not obeyed",
        &[("host_redirect: red.example", r#"host_redirect: "red", port_redirect: »"\e[31m""#)],
        (ROUTES, "[1].routes[0].redirect.port_redirect"),
        &["expected a whole number"],
    ),
    row(
        "a control character in a domain",
        &[(r#"["shop.example", "*.shop.example"]"#, r#"["shop.example", »"*.shop\n.example"]"#)],
        (ROUTES, "[0].domains[1]"),
        &[r"`*.shop\n.example`: a domain has no control characters"],
    ),
    row(
        "a type URL without a host",
        &[(
            "\"@type\": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "\"@type\": »/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        )],
        (HCM, ".access_log[0].typed_config"),
        &["unknown or unsupported extension type `/envoy"],
    ),
    row(
        "a secret that cannot be read is wrong once",
        &[
            (
                TOP,
                "static_resources:\n  secrets:\n  - {name: v, validation_context: {system_root_certs: {}, match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: »[]}}]}}\n  listeners:",
            ),
            (
                CLUSTER,
                "    transport_socket: {name: tls, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {validation_context_sds_secret_config: {name: v}}}}",
            ),
        ],
        ("static_resources.secrets[0]", ".validation_context.match_typed_subject_alt_names[0].matcher.exact"),
        &["expected a string"],
    ),
    row(
        "no resource to watch",
        &[(TOP, "overload_manager: »{}\nstatic_resources:\n  listeners:")],
        ("overload_manager", ""),
        &["`resource_monitors` is required"],
    ),
    row(
        "a path with a NUL",
        &[("{pipe: {path: /run/old.sock}}", r#"{pipe: {path: »"/run/old\0"}}"#)],
        (
            "static_resources.clusters[1].load_assignment",
            ".endpoints[0].lb_endpoints[0].endpoint.address.pipe.path",
        ),
        &["no NUL"],
    ),
    row(
        "a route's upgrade twice",
        &[(
            ROUTE,
            "                route: {cluster: app, upgrade_configs: [{upgrade_type: a}, {upgrade_type: »A}]}",
        )],
        (ROUTES, "[0].routes[0].route.upgrade_configs[1].upgrade_type"),
        &["`A` is given twice"],
    ),
    row(
        "an upgrade with a line break",
        &[(OPTION, r#"          upgrade_configs: [{upgrade_type: »"a\nb"}]"#)],
        (HCM, ".upgrade_configs[0].upgrade_type"),
        &["no control characters"],
    ),
    row(
        "a cluster's header that cannot be read is not missing",
        &[(ROUTE, "                route: {cluster_header: »[]}")],
        (ROUTES, "[0].routes[0].route.cluster_header"),
        &["expected a string"],
    ),
    row(
        "a keep-alive when idle for no time",
        &[(
            OPTION,
            "          http2_protocol_options: {connection_keepalive: {timeout: 1s, connection_idle_interval: »0.0005s}}",
        )],
        (HCM, ".http2_protocol_options.connection_keepalive.connection_idle_interval"),
        &["at least 0.001s"],
    ),
    row(
        "a keep-alive of negative length is said once",
        &[(
            OPTION,
            "          http2_protocol_options: {connection_keepalive: {timeout: 1s, connection_idle_interval: »-1s}}",
        )],
        (HCM, ".http2_protocol_options.connection_keepalive.connection_idle_interval"),
        &["must not be negative"],
    ),
    row(
        "a text of fixed length cut",
        &[(
            "redirect: {host_redirect: red.example}",
            "direct_response: {status: 200}\n                response_headers_to_add: [{header: {key: a, value: »\"%PROTOCOL:5%\"}}]",
        )],
        (ROUTES, "[1].routes[0].response_headers_to_add[0].header.value"),
        &["%PROTOCOL% cannot be cut to a length"],
    ),
    row(
        "metadata of what has none",
        &[(
            "redirect: {host_redirect: red.example}",
            "direct_response: {status: 200}\n                response_headers_to_add: [{header: {key: a, value: »\"%METADATA(NODE:a)%\"}}]",
        )],
        (ROUTES, "[1].routes[0].response_headers_to_add[0].header.value"),
        &["`NODE` is none of DYNAMIC, "],
    ),
    row(
        "a dot in front of a server name is a star",
        &[(
            "  clusters:\n  - name: app\n",
            "    - filter_chain_match: {server_names: [\"*.a\"]}\n      filters: &f\n      - {name: e, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}\n    - filter_chain_match: »{server_names: [\".a\"]}\n      filters: *f\n  clusters:\n  - name: app\n",
        )],
        (LISTENER, ".filter_chains[2].filter_chain_match"),
        &["filter chain 1 has an equal claim"],
    ),
];
