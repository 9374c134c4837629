//! Wrong options of the connection manager, of routes and of clusters.

use super::rows::{HCM, ROUTES, Row, row};

const APP: &str = "static_resources.clusters[0]";
/// Where an option of the connection manager can stand.
const OPTION: &str = "          request_timeout: 5s";
/// Where an option of a route's action can stand.
const ROUTE: &str = "                route: {cluster: app, timeout: 3s}";
/// Where an option of a cluster can stand.
const CLUSTER: &str = "    connect_timeout: 1s";

pub(crate) const ROWS: &[Row] = &[
    row(
        "both ways of stripping the port",
        &[(OPTION, "          strip_matching_host_port: true\n          strip_any_host_port: »true")],
        (HCM, ".strip_any_host_port"),
        &["only one of `strip_matching_host_port` and `strip_any_host_port`"],
    ),
    row(
        "a window smaller than HTTP/2 begins with",
        &[(OPTION, "          http2_protocol_options: {initial_stream_window_size: »65534}")],
        (HCM, ".http2_protocol_options.initial_stream_window_size"),
        &["65534 is out of range: 65535 to 2147483647"],
    ),
    row(
        "a window larger than there are",
        &[(OPTION, "          http2_protocol_options: {initial_connection_window_size: »2147483648}")],
        (HCM, ".http2_protocol_options.initial_connection_window_size"),
        &["2147483648 is out of range: 65535 to 2147483647"],
    ),
    row(
        "connections without streams",
        &[(OPTION, "          http2_protocol_options: {max_concurrent_streams: »0}")],
        (HCM, ".http2_protocol_options.max_concurrent_streams"),
        &["0 is out of range: 1 to 2147483647"],
    ),
    row(
        "no frames at all",
        &[(OPTION, "          http2_protocol_options: {max_outbound_frames: »0}")],
        (HCM, ".http2_protocol_options.max_outbound_frames"),
        &["0 is out of range: 1 to 4294967295"],
    ),
    row(
        "keep-alive that waits for ever",
        &[(OPTION, "          http2_protocol_options: {connection_keepalive: »{interval: 1s}}")],
        (HCM, ".http2_protocol_options.connection_keepalive"),
        &["`timeout` is required"],
    ),
    row(
        "keep-alive without a pause",
        &[(OPTION, "          http2_protocol_options: {connection_keepalive: {timeout: 1s, interval: »0s}}")],
        (HCM, ".http2_protocol_options.connection_keepalive.interval"),
        &["at least 0.001s is required"],
    ),
    row(
        "more jitter than all of it",
        &[(
            OPTION,
            "          http2_protocol_options: {connection_keepalive: {timeout: 1s, interval_jitter: »{value: 101}}}",
        )],
        (HCM, ".http2_protocol_options.connection_keepalive.interval_jitter"),
        &["101 is out of range: 0 to 100"],
    ),
    row(
        "an option of HTTP/2 that is not supported",
        &[(OPTION, "          http2_protocol_options: {»allow_metadata: true}")],
        (HCM, ".http2_protocol_options.allow_metadata"),
        &["`allow_metadata`"],
    ),
    row(
        "a range that is no address",
        &[(
            OPTION,
            "          internal_address_config: {cidr_ranges: [{address_prefix: »ten, prefix_len: 8}]}",
        )],
        (HCM, ".internal_address_config.cidr_ranges[0].address_prefix"),
        &["`ten` is not an IP address"],
    ),
    row(
        "a range with too many bits",
        &[(
            OPTION,
            "          internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: »33}]}",
        )],
        (HCM, ".internal_address_config.cidr_ranges[0].prefix_len"),
        &["33 is out of range: 0 to 32"],
    ),
    row(
        "an upgrade twice",
        &[(
            OPTION,
            "          upgrade_configs:\n          - upgrade_type: websocket\n          - »upgrade_type: WebSocket",
        )],
        (HCM, ".upgrade_configs[1]"),
        &["`WebSocket` is given twice"],
    ),
    row(
        "an upgrade without a name",
        &[(OPTION, "          upgrade_configs:\n          - »enabled: true")],
        (HCM, ".upgrade_configs[0]"),
        &["`upgrade_type` is required"],
    ),
    row(
        "a scheme that is none",
        &[(OPTION, "          scheme_header_transformation: {scheme_to_overwrite: »ftp}")],
        (HCM, ".scheme_header_transformation.scheme_to_overwrite"),
        &["`ftp` is neither http nor https"],
    ),
    row(
        "a server name with a line break",
        &[(OPTION, "          server_name: »\"a\\nb\"")],
        (HCM, ".server_name"),
        &["no control characters"],
    ),
    row(
        "a cluster's option in the connection manager",
        &[(OPTION, "          common_http_protocol_options: {max_response_headers_kb: »80}")],
        (HCM, ".common_http_protocol_options.max_response_headers_kb"),
        &["belongs into a cluster"],
    ),
    row(
        "cookie that would have to be made",
        &[(ROUTE, "                route: {cluster: app, hash_policy: [{cookie: {name: a, »ttl: 1s}}]}")],
        (ROUTES, "[0].routes[0].route.hash_policy[0].cookie.ttl"),
        &["Envoy's field `ttl`"],
    ),
    row(
        "hash policy of nothing",
        &[(ROUTE, "                route: {cluster: app, hash_policy: [»{terminal: true}]}")],
        (ROUTES, "[0].routes[0].route.hash_policy[0]"),
        &["`header`"],
    ),
    row(
        "source address that is none",
        &[(
            ROUTE,
            "                route: {cluster: app, hash_policy: [{connection_properties: {source_ip: »false}}]}",
        )],
        (ROUTES, "[0].routes[0].route.hash_policy[0].connection_properties.source_ip"),
        &["only `true`"],
    ),
    row(
        "two rewrites of the path",
        &[(
            ROUTE,
            "                route: »{cluster: app, prefix_rewrite: /a, regex_rewrite: {pattern: {regex: a}, substitution: b}}",
        )],
        (ROUTES, "[0].routes[0].route"),
        &["only one of `prefix_rewrite` and `regex_rewrite`"],
    ),
    row(
        "a group that the expression does not have",
        &[(
            ROUTE,
            "                route: {cluster: app, regex_rewrite: {pattern: {regex: \"(a)\"}, substitution: »'\\1\\2'}}",
        )],
        (ROUTES, "[0].routes[0].route.regex_rewrite.substitution"),
        &["there is no group \\2: the expression has 1 groups"],
    ),
    row(
        "a substitution that ends with a backslash",
        &[(
            ROUTE,
            "                route: {cluster: app, regex_rewrite: {pattern: {regex: a}, substitution: »'b\\'}}",
        )],
        (ROUTES, "[0].routes[0].route.regex_rewrite.substitution"),
        &["a digit or another"],
    ),
    row(
        "a rewrite without a pattern",
        &[(ROUTE, "                route: {cluster: app, regex_rewrite: »{substitution: b}}")],
        (ROUTES, "[0].routes[0].route.regex_rewrite"),
        &["`pattern` is required"],
    ),
    row(
        "a header to add that routes requests",
        &[(
            ROUTE,
            "                route: {cluster: app}\n                request_headers_to_add: [{header: {key: »Host, value: b}}]",
        )],
        (ROUTES, "[0].routes[0].request_headers_to_add[0].header.key"),
        &["`Host` must not be changed"],
    ),
    row(
        "a header to remove that routes requests",
        &[(
            ROUTE,
            "                route: {cluster: app}\n                request_headers_to_remove: [»':path']",
        )],
        (ROUTES, "[0].routes[0].request_headers_to_remove[0]"),
        &["`:path` must not be removed"],
    ),
    row(
        "a header to add without a name",
        &[(
            ROUTE,
            "                route: {cluster: app}\n                response_headers_to_add: [{header: »{value: b}}]",
        )],
        (ROUTES, "[0].routes[0].response_headers_to_add[0].header"),
        &["`key` is required"],
    ),
    row(
        "old and new ways of appending",
        &[(
            ROUTE,
            "                route: {cluster: app}\n                response_headers_to_add: [{header: {key: a, value: b}, append: »true, append_action: ADD_IF_ABSENT}]",
        )],
        (ROUTES, "[0].routes[0].response_headers_to_add[0].append"),
        &["must not be given together"],
    ),
    row(
        "a query parameter without a name",
        &[(
            "match: {prefix: \"/pay\"}",
            "match: {prefix: \"/pay\", query_parameters: [»{present_match: true}]}",
        )],
        (ROUTES, "[0].routes[0].match.query_parameters[0]"),
        &["`name` is required"],
    ),
    row(
        "protocol options without a protocol",
        &[(
            CLUSTER,
            "    typed_extension_protocol_options:\n      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n        »\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        )],
        (APP, ".typed_extension_protocol_options.envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
        &["one of `explicit_http_config`, `use_downstream_protocol_config`, `auto_config` is required"],
    ),
    row(
        "a client's limit in a cluster",
        &[(CLUSTER, "    common_http_protocol_options: {max_connection_duration_jitter: »{value: 5}}")],
        (APP, ".common_http_protocol_options.max_connection_duration_jitter"),
        &["is about connections of clients"],
    ),
    row(
        "a client's option in a cluster",
        &[(CLUSTER, "    http_protocol_options: {accept_http_10: »true}")],
        (APP, ".http_protocol_options.accept_http_10"),
        &["belongs into the connection manager"],
    ),
];
