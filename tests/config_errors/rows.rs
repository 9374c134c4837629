//! The table of wrong configurations: edits of one good document, and what must be said of them.
//!
//! `»` in an edit marks the place where the error must be reported; it is removed before the text is loaded.

/// A configuration that is right, with one of everything that the rows below break.
pub(crate) const BASE: &str = r#"admin:
  address:
    socket_address: {address: 127.0.0.1, port_value: 0}
static_resources:
  listeners:
  - name: front
    address:
      socket_address: {address: 127.0.0.1, port_value: 8080}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          request_timeout: 5s
          route_config:
            name: main
            virtual_hosts:
            - name: shop
              domains: ["shop.example", "*.shop.example"]
              routes:
              - match: {prefix: "/pay"}
                route: {cluster: app, timeout: 3s}
              - match: {safe_regex: {regex: "/item/[0-9]+"}}
                route:
                  weighted_clusters:
                    clusters:
                    - {name: app, weight: 90}
                    - {name: old, weight: 10}
            - name: rest
              domains: ["*"]
              routes:
              - match: {prefix: "/", headers: [{name: x-team, string_match: {exact: red}}]}
                redirect: {host_redirect: red.example}
              - match: {prefix: "/"}
                direct_response: {status: 404, body: {inline_string: "no\n"}}
          access_log:
          - name: out
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
          http_filters:
          - name: last
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: app
    type: STATIC
    connect_timeout: 1s
    lb_policy: LEAST_REQUEST
    least_request_lb_config: {choice_count: 3}
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9001}}}
          load_balancing_weight: 2
  - name: old
    load_assignment:
      cluster_name: old
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {pipe: {path: /run/old.sock}}}
"#;

pub(crate) const HCM: &str = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config";
pub(crate) const ROUTES: &str =
    "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts";
pub(crate) const LISTENER: &str = "static_resources.listeners[0]";
const LEAST: &str = "lb_policy: LEAST_REQUEST\n    least_request_lb_config: {choice_count: 3}";
const APP: &str = "static_resources.clusters[0]";
const HOST: &str = "static_resources.clusters[0].load_assignment.endpoints[0].lb_endpoints[0]";

/// One wrong configuration.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What of the base document is replaced by what; each must occur once.
    pub(crate) edits: &'static [(&'static str, &'static str)],
    /// The expected path, as a root and the rest.
    pub(crate) path: (&'static str, &'static str),
    /// What the message must say.
    pub(crate) says: &'static [&'static str],
}

pub(crate) const fn row(
    name: &'static str,
    edits: &'static [(&'static str, &'static str)],
    path: (&'static str, &'static str),
    says: &'static [&'static str],
) -> Row {
    Row { name, edits, path, says }
}

pub(crate) const ROWS: &[Row] = &[
    // Names of fields.
    row(
        "unknown field at the root",
        &[("admin:\n", "»admn:\n")],
        ("", "admn"),
        &["unknown field `admn` in Bootstrap", "Did you mean `admin`?", "static_resources"],
    ),
    row(
        "unknown field of a cluster",
        &[("    connect_timeout: 1s", "    »conect_timeout: 1s")],
        (APP, ".conect_timeout"),
        &["`conect_timeout` in Cluster", "Did you mean `connect_timeout`?"],
    ),
    row(
        "unknown field, far from any known one",
        &[("    connect_timeout: 1s", "    »xyzzy: 1s")],
        (APP, ".xyzzy"),
        &["`xyzzy` in Cluster. Supported: alt_stat_name, circuit_breakers, "],
    ),
    row(
        "unknown field in typed_config",
        &[("stat_prefix: front", "stat_prefix: front\n          »stat_perfix: x")],
        (HCM, ".stat_perfix"),
        &["`stat_perfix` in HttpConnectionManager", "Did you mean `stat_prefix`?"],
    ),
    row(
        "unknown field deep in typed_config",
        &[("{prefix: \"/pay\"}", "{prefix: \"/pay\", »case_sensitve: false}")],
        (ROUTES, "[0].routes[0].match.case_sensitve"),
        &["`case_sensitve` in RouteMatch", "Did you mean `case_sensitive`?"],
    ),
    row(
        "unknown field in a typed_config with one field",
        &[("stream.v3.StdoutAccessLog", "stream.v3.StdoutAccessLog\n              »path: /dev/stdout")],
        (HCM, ".access_log[0].typed_config.path"),
        &["`path` in StdoutAccessLog. Supported: log_format"],
    ),
    row(
        "key that is not a string",
        &[("    connect_timeout: 1s", "    »7: 1s")],
        (APP, ""),
        &["expected the name of a field, found a number"],
    ),
    row(
        "same key twice",
        &[("    connect_timeout: 1s", "    connect_timeout: 1s\n    »connect_timeout: 2s")],
        (APP, ".connect_timeout"),
        &["`connect_timeout` is given twice"],
    ),
    row(
        "same field in both spellings",
        &[("    connect_timeout: 1s", "    connect_timeout: 1s\n    »connectTimeout: 2s")],
        (APP, ".connect_timeout"),
        &["`connectTimeout` is given twice, first as `connect_timeout`"],
    ),
    row(
        "same key twice in typed_config",
        &[("stat_prefix: front", "stat_prefix: front\n          »stat_prefix: back")],
        (HCM, ".stat_prefix"),
        &["`stat_prefix` is given twice"],
    ),
    row(
        "two fields of a oneof",
        &[("{host_redirect: red.example}", "{path_redirect: /a, »prefix_rewrite: /b}")],
        (ROUTES, "[1].routes[0].redirect.prefix_rewrite"),
        &["`prefix_rewrite` and `path_redirect` exclude each other"],
    ),
    row(
        "two actions of a route",
        &[(
            "direct_response: {status: 404",
            "redirect: {host_redirect: h}\n                »direct_response: {status: 404",
        )],
        (ROUTES, "[1].routes[1].direct_response"),
        &["`direct_response` and `redirect` exclude each other"],
    ),
    // Extensions.
    row(
        "unknown @type",
        &[(
            "\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "\"@type\": »type.googleapis.com/envoy.extensions.filters.http.routr.v3.Router",
        )],
        (HCM, ".http_filters[0].typed_config"),
        &[
            "unknown or unsupported extension type `type.googleapis.com/envoy.extensions.filters.http.routr.v3.Router`",
            "Did you mean `type.googleapis.com/envoy.extensions.filters.http.router.v3.Router`?",
        ],
    ),
    row(
        "@type without the prefix of type URLs",
        &[(
            "\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "\"@type\": »envoy.extensions.filters.http.router.v3.Router",
        )],
        (HCM, ".http_filters[0].typed_config"),
        &["Did you mean `type.googleapis.com/envoy.extensions.filters.http.router.v3.Router`?"],
    ),
    row(
        "missing @type",
        &[(
            "\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "»suppress_envoy_headers: true",
        )],
        (HCM, ".http_filters[0].typed_config"),
        &["\"@type\" is missing"],
    ),
    row(
        "@type twice",
        &[(
            "stat_prefix: front",
            "»\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n          stat_prefix: front",
        )],
        (HCM, ""),
        &["\"@type\" is given twice"],
    ),
    row(
        "typed_config that is a string",
        &[(
            "typed_config:\n              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "typed_config: »router",
        )],
        (HCM, ".http_filters[0].typed_config"),
        &["expected a mapping with an \"@type\", found a string"],
    ),
    row(
        "extension of another kind",
        &[(
            "\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "»\"@type\": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        )],
        (HCM, ".http_filters[0].typed_config"),
        &[
            "`envoy.extensions.access_loggers.stream.v3.StdoutAccessLog` is not a supported HTTP filter",
            "supported here: envoy.extensions.filters.http.router.v3.Router",
        ],
    ),
    // Types of values.
    row(
        "string for a boolean",
        &[("{prefix: \"/pay\"}", "{prefix: \"/pay\", case_sensitive: »never}")],
        (ROUTES, "[0].routes[0].match.case_sensitive"),
        &["expected true or false, found a string"],
    ),
    row(
        "number for a boolean",
        &[("{prefix: \"/pay\"}", "{prefix: \"/pay\", case_sensitive: »1}")],
        (ROUTES, "[0].routes[0].match.case_sensitive"),
        &["expected true or false, found a number"],
    ),
    row(
        "number for a string",
        &[("stat_prefix: front", "stat_prefix: »17")],
        (HCM, ".stat_prefix"),
        &["expected a string, found a number: put it in quotes"],
    ),
    row(
        "boolean for a string",
        &[("stat_prefix: front", "stat_prefix: »true")],
        (HCM, ".stat_prefix"),
        &["expected a string, found a boolean: put it in quotes"],
    ),
    row(
        "ring that cannot be so small",
        &[(LEAST, "lb_policy: RING_HASH\n    ring_hash_lb_config: {maximum_ring_size: »512}")],
        (APP, ".ring_hash_lb_config.maximum_ring_size"),
        &["at most 512 places", "at least 1024"],
    ),
    row(
        "ring that is too large",
        &[(LEAST, "lb_policy: RING_HASH\n    ring_hash_lb_config: {minimum_ring_size: »8388609}")],
        (APP, ".ring_hash_lb_config.minimum_ring_size"),
        &["a ring has at most 8388608 places"],
    ),
    row(
        "table of no prime",
        &[(LEAST, "lb_policy: MAGLEV\n    maglev_lb_config: {table_size: »65536}")],
        (APP, ".maglev_lb_config.table_size"),
        &["a prime is required"],
    ),
    row(
        "string for a number",
        &[("choice_count: 3", "choice_count: »three")],
        (APP, ".least_request_lb_config.choice_count"),
        &["expected a whole number, found a string"],
    ),
    row(
        "fraction for a whole number",
        &[("choice_count: 3", "choice_count: »2.5")],
        (APP, ".least_request_lb_config.choice_count"),
        &["expected a whole number, found a fraction"],
    ),
    row(
        "negative number",
        &[("choice_count: 3", "choice_count: »-3")],
        (APP, ".least_request_lb_config.choice_count"),
        &["-3 is out of range: 0 to 4294967295"],
    ),
    row(
        "number of more than 32 bits",
        &[("choice_count: 3", "choice_count: »4294967296")],
        (APP, ".least_request_lb_config.choice_count"),
        &["4294967296 is out of range: 0 to 4294967295"],
    ),
    row(
        "list in a list",
        &[("domains: [\"*\"]", "domains: [»[\"*\"]]")],
        (ROUTES, "[1].domains[0]"),
        &["expected a string, found a list"],
    ),
    row(
        "nothing in a list",
        &[("domains: [\"*\"]", "domains: [\"*\", »~]")],
        (ROUTES, "[1].domains[1]"),
        &["expected a string, found null"],
    ),
    row(
        "string for a mapping",
        &[("{prefix: \"/pay\"}", "»/pay")],
        (ROUTES, "[0].routes[0].match"),
        &["expected a mapping with the fields of RouteMatch, found a string"],
    ),
    row(
        "list for a mapping",
        &[("{socket_address: {address: 127.0.0.1, port_value: 9001}}", "»[127.0.0.1, 9001]")],
        (HOST, ".endpoint.address"),
        &["expected a mapping with the fields of Address, found a list"],
    ),
    row(
        "bytes that are not base64",
        &[("inline_string: \"no\\n\"", "inline_bytes: »\"n$\"")],
        (ROUTES, "[1].routes[1].direct_response.body.inline_bytes"),
        &["not valid base64"],
    ),
    // Durations.
    row(
        "duration without a unit",
        &[("connect_timeout: 1s", "connect_timeout: »1")],
        (APP, ".connect_timeout"),
        &["expected a duration in seconds, such as \"0.25s\", found a number"],
    ),
    row(
        "duration in milliseconds",
        &[("connect_timeout: 1s", "connect_timeout: »250ms")],
        (APP, ".connect_timeout"),
        &["expected a duration in seconds, such as \"0.25s\", found `250ms`"],
    ),
    row(
        "negative duration",
        &[("connect_timeout: 1s", "connect_timeout: »-1s")],
        (APP, ".connect_timeout"),
        &["a duration must not be negative"],
    ),
    row(
        "negative duration in typed_config",
        &[("request_timeout: 5s", "request_timeout: »-0.001s")],
        (HCM, ".request_timeout"),
        &["a duration must not be negative"],
    ),
    row(
        "duration beyond the range",
        &[("timeout: 3s}", "timeout: »999999999999s}")],
        (ROUTES, "[0].routes[0].route.timeout"),
        &["expected a duration in seconds"],
    ),
    row(
        "negative duration of seconds and nanoseconds",
        &[("connect_timeout: 1s", "connect_timeout: »{seconds: -1}")],
        (APP, ".connect_timeout"),
        &["a duration must not be negative"],
    ),
    row(
        "duration of too many nanoseconds",
        &[("connect_timeout: 1s", "connect_timeout: »{nanos: 1000000000}")],
        (APP, ".connect_timeout"),
        &["not a duration: at most 9223372035 seconds and 999999999 nanos are possible"],
    ),
    row(
        "duration of minutes",
        &[("connect_timeout: 1s", "connect_timeout: {»minutes: 1}")],
        (APP, ".connect_timeout.minutes"),
        &["unknown field `minutes` in Duration. Supported: nanos, seconds"],
    ),
    row(
        "no time to connect",
        &[("connect_timeout: 1s", "connect_timeout: »0s")],
        (APP, ".connect_timeout"),
        &["must be greater than 0s"],
    ),
    // Enumerations.
    row(
        "unsupported type of cluster",
        &[("type: STATIC", "type: »STRICT_DNS")],
        (APP, ".type"),
        &["`STRICT_DNS` is not a supported value of DiscoveryType. Supported: STATIC"],
    ),
    row(
        "unsupported codec",
        &[("stat_prefix: front", "stat_prefix: front\n          codec_type: »HTTP3")],
        (HCM, ".codec_type"),
        &["`HTTP3` is not a supported value of CodecType. Supported: AUTO, HTTP1, HTTP2"],
    ),
    row(
        "unsupported load balancer",
        &[("lb_policy: LEAST_REQUEST", "lb_policy: »CLUSTER_PROVIDED")],
        (APP, ".lb_policy"),
        &[
            "`CLUSTER_PROVIDED` is not a supported value of LbPolicy. Supported: ROUND_ROBIN, LEAST_REQUEST, RING_HASH, RANDOM, MAGLEV",
        ],
    ),
    row(
        "load balancer by an unsupported number",
        &[("lb_policy: LEAST_REQUEST", "lb_policy: »6")],
        (APP, ".lb_policy"),
        &["6 is not a supported value of LbPolicy"],
    ),
    row(
        "value of an enumeration in another spelling",
        &[("lb_policy: LEAST_REQUEST", "lb_policy: »leastRequest")],
        (APP, ".lb_policy"),
        &[
            "`leastRequest` is not a supported value of LbPolicy. Supported: ROUND_ROBIN, LEAST_REQUEST, RING_HASH, RANDOM, MAGLEV",
        ],
    ),
    // Addresses.
    row(
        "port of a listener",
        &[("port_value: 8080", "port_value: »70000")],
        (LISTENER, ".address.socket_address.port_value"),
        &["70000 is not a port: 0 to 65535"],
    ),
    row(
        "port 0 of an endpoint",
        &[("port_value: 9001", "port_value: »0")],
        (HOST, ".endpoint.address.socket_address.port_value"),
        &["a port from 1 to 65535 is required"],
    ),
    row(
        "host name of an endpoint",
        &[("address: 127.0.0.1, port_value: 9001", "address: »app.internal, port_value: 9001")],
        (HOST, ".endpoint.address.socket_address.address"),
        &["`app.internal` is not an IP address", "not supported"],
    ),
    row(
        "host name of a listener",
        &[("address: 127.0.0.1, port_value: 8080", "address: »localhost, port_value: 8080")],
        (LISTENER, ".address.socket_address.address"),
        &["`localhost` is not an IP address"],
    ),
    row(
        "address without a port",
        &[(
            "socket_address: {address: 127.0.0.1, port_value: 8080}",
            "socket_address: »{address: 127.0.0.1}",
        )],
        (LISTENER, ".address.socket_address"),
        &["`port_value` is required"],
    ),
    row(
        "empty address",
        &[("socket_address: {address: 127.0.0.1, port_value: 8080}", "»{}")],
        (LISTENER, ".address"),
        &["one of `socket_address`, `pipe` is required"],
    ),
    row(
        "no address of a listener",
        &[
            ("  - name: front", "  - »name: front"),
            ("    address:\n      socket_address: {address: 127.0.0.1, port_value: 8080}\n", ""),
        ],
        (LISTENER, ""),
        &["`address` is required"],
    ),
    row(
        "path of a unix socket that is too long",
        &[(
            "path: /run/old.sock",
            "path: »/run/a-name-that-does-not-fit/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789",
        )],
        (
            "static_resources.clusters[1]",
            ".load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.pipe.path",
        ),
        &["bytes; the system allows 107"],
    ),
    row(
        "permission bits of a unix socket",
        &[("path: /run/old.sock", "path: /run/old.sock, mode: »01777")],
        (
            "static_resources.clusters[1]",
            ".load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.pipe.mode",
        ),
        &["1023 is more than 511 (octal 0777)"],
    ),
    row(
        "permission bits of an abstract unix socket",
        &[("path: /run/old.sock", "path: \"@old\", mode: »384")],
        (
            "static_resources.clusters[1]",
            ".load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.pipe.mode",
        ),
        &["a name in the abstract namespace has no file, and no mode"],
    ),
    // Clusters.
    row(
        "cluster without a name",
        &[("  - name: old\n    load_assignment", "  - »load_assignment"), ("- {name: old, weight: 10}", "")],
        ("static_resources.clusters[1]", ""),
        &["`name` is required and must not be empty"],
    ),
    row(
        "two clusters of one name",
        &[("  - name: old\n", "  - name: »app\n"), ("{name: old, weight: 10}", "{name: app, weight: 10}")],
        ("static_resources.clusters[1]", ".name"),
        &["there is another cluster called `app`"],
    ),
    row(
        "hosts by name of a discovery service",
        &[(
            "    load_assignment:\n      cluster_name: old",
            "    »eds_cluster_config: {}\n    load_assignment:\n      cluster_name: old",
        )],
        ("static_resources.clusters[1]", ".eds_cluster_config"),
        &["Envoy's field `eds_cluster_config` of Cluster is not supported yet. Supported: "],
    ),
    row(
        "assignment without a cluster's name",
        &[("      cluster_name: old\n      endpoints", "      »endpoints")],
        ("static_resources.clusters[1]", ".load_assignment"),
        &["`cluster_name` is required"],
    ),
    row(
        "endpoint of weight 0",
        &[("load_balancing_weight: 2", "load_balancing_weight: »0")],
        (HOST, ".load_balancing_weight"),
        &["a weight must be at least 1"],
    ),
    row(
        "entry without an endpoint",
        &[(
            "endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9001}}}\n          load",
            "»load",
        )],
        (HOST, ""),
        &["`endpoint` is required"],
    ),
    row(
        "a choice of one",
        &[("choice_count: 3", "choice_count: »1")],
        (APP, ".least_request_lb_config.choice_count"),
        &["at least 2 hosts must be compared"],
    ),
    // Listeners and filters.
    row(
        "two listeners of one name",
        &[(
            "  clusters:\n  - name: app",
            "  - name: »front\n    address: {socket_address: {address: 127.0.0.1, port_value: 8081}}\n    filter_chains:\n    - filters:\n      - typed_config:\n          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n          stat_prefix: second\n          route_config: {}\n          http_filters: [{name: r, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]\n  clusters:\n  - name: app",
        )],
        ("static_resources.listeners[1]", ".name"),
        &["there is another listener called `front`"],
    ),
    row(
        "two listeners at one address",
        &[(
            "  clusters:\n  - name: app",
            "  - address: »{socket_address: {address: 127.0.0.1, port_value: 8080}}\n    filter_chains:\n    - filters:\n      - typed_config:\n          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n          stat_prefix: second\n          route_config: {}\n          http_filters: [{name: r, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]\n  clusters:\n  - name: app",
        )],
        ("static_resources.listeners[1]", ".address"),
        &["listener `front` has the same address, 127.0.0.1:8080"],
    ),
    row(
        "no stat_prefix",
        &[
            (
                "\"@type\": type.googleapis.com/envoy.extensions.filters.network",
                "»\"@type\": type.googleapis.com/envoy.extensions.filters.network",
            ),
            ("          stat_prefix: front\n", ""),
        ],
        (HCM, ""),
        &["`stat_prefix` is required"],
    ),
    row(
        "no router",
        &[
            (
                "\"@type\": type.googleapis.com/envoy.extensions.filters.network",
                "»\"@type\": type.googleapis.com/envoy.extensions.filters.network",
            ),
            (
                "          http_filters:\n          - name: last\n            typed_config:\n              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n",
                "",
            ),
        ],
        (HCM, ""),
        &[
            "`http_filters` is required: its last entry must be envoy.extensions.filters.http.router.v3.Router",
        ],
    ),
    row(
        "router that is not the last",
        &[(
            "          - name: last\n",
            "          - typed_config: »{\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}\n          - name: last\n",
        )],
        (HCM, ".http_filters[0].typed_config"),
        &["it must be the last filter"],
    ),
    row(
        "filter without a configuration",
        &[(
            "          - name: last\n            typed_config:\n              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n",
            "          - »name: last\n",
        )],
        (HCM, ".http_filters[0]"),
        &["`typed_config` is required"],
    ),
    row(
        "headers of more than 8 MiB",
        &[("request_timeout: 5s", "max_request_headers_kb: »9000")],
        (HCM, ".max_request_headers_kb"),
        &["9000 is out of range: 1 to 8192"],
    ),
    row(
        "no header allowed",
        &[("request_timeout: 5s", "common_http_protocol_options: {max_headers_count: »0}")],
        (HCM, ".common_http_protocol_options.max_headers_count"),
        &["1 or more is required"],
    ),
    row(
        "spelling of headers by nothing",
        &[("request_timeout: 5s", "http_protocol_options: {header_key_format: »{}}")],
        (HCM, ".http_protocol_options.header_key_format"),
        &["one of `proper_case_words`, `stateful_formatter` is required"],
    ),
    row(
        "access log without a path",
        &[(
            "\"@type\": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "»\"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        )],
        (HCM, ".access_log[0].typed_config"),
        &["`path` is required and must not be empty"],
    ),
    // Routes.
    row(
        "virtual host without a name",
        &[("            - name: rest\n", "            - »name: \"\"\n")],
        (ROUTES, "[1]"),
        &["`name` is required and must not be empty"],
    ),
    row(
        "virtual host without domains",
        &[("            - name: rest\n              domains: [\"*\"]\n", "            - »name: rest\n")],
        (ROUTES, "[1]"),
        &["`domains` is required: at least one domain, or \"*\" for all"],
    ),
    row(
        "domain twice in two virtual hosts",
        &[("domains: [\"*\"]", "domains: [\"*\", »\"SHOP.example\"]")],
        (ROUTES, "[1].domains[1]"),
        &["`SHOP.example`: "],
    ),
    row(
        "domain twice in one virtual host",
        &[("\"*.shop.example\"]", "\"*.shop.example\", »shop.example]")],
        (ROUTES, "[0].domains[2]"),
        &["`shop.example`: "],
    ),
    row(
        "domain with a wildcard in the middle",
        &[("\"*.shop.example\"", "»\"a.*.example\"")],
        (ROUTES, "[0].domains[1]"),
        &["`a.*.example`: "],
    ),
    row(
        "cluster that does not exist",
        &[("{cluster: app, timeout: 3s}", "{cluster: »apt, timeout: 3s}")],
        (ROUTES, "[0].routes[0].route.cluster"),
        &["there is no cluster `apt`. Did you mean `app`? Clusters: app, old"],
    ),
    row(
        "weighted cluster that does not exist",
        &[("{name: old, weight: 10}", "{name: »older-still, weight: 10}")],
        (ROUTES, "[0].routes[1].route.weighted_clusters.clusters[1].name"),
        &["there is no cluster `older-still`. Clusters: app, old"],
    ),
    row(
        "cluster without a weight",
        &[("{name: old, weight: 10}", "»{name: old}")],
        (ROUTES, "[0].routes[1].route.weighted_clusters.clusters[1]"),
        &["`weight` is required"],
    ),
    row(
        "weights of 0",
        &[
            (
                "clusters:\n                    - {name: app, weight: 90}",
                "clusters:\n                    - »{name: app, weight: 0}",
            ),
            ("{name: old, weight: 10}", "{name: old, weight: 0}"),
        ],
        (ROUTES, "[0].routes[1].route.weighted_clusters.clusters"),
        &["the sum of all weights is 0"],
    ),
    row(
        "weights of more than 32 bits in sum",
        &[(
            "clusters:\n                    - {name: app, weight: 90}",
            "clusters:\n                    - »{name: app, weight: 4294967295}",
        )],
        (ROUTES, "[0].routes[1].route.weighted_clusters.clusters"),
        &["the sum of all weights is 4294967305"],
    ),
    row(
        "route to nowhere",
        &[("{cluster: app, timeout: 3s}", "»{timeout: 3s}")],
        (ROUTES, "[0].routes[0].route"),
        &["one of `cluster`, `weighted_clusters`, `cluster_header` is required"],
    ),
    row(
        "route without an action",
        &[(
            "- match: {prefix: \"/pay\"}\n                route: {cluster: app, timeout: 3s}",
            "- »match: {prefix: \"/pay\"}",
        )],
        (ROUTES, "[0].routes[0]"),
        &["one of `route`, `redirect`, `direct_response` is required"],
    ),
    row(
        "route without a match",
        &[("- match: {prefix: \"/pay\"}\n                route", "- »route")],
        (ROUTES, "[0].routes[0]"),
        &["`match` is required"],
    ),
    row(
        "match without a path",
        &[("{prefix: \"/pay\"}", "»{case_sensitive: true}")],
        (ROUTES, "[0].routes[0].match"),
        &["one of `prefix`, `path`, `safe_regex`, `path_separated_prefix`, `connect_matcher` is required"],
    ),
    row(
        "separated prefix with a slash at the end",
        &[("{prefix: \"/pay\"}", "{path_separated_prefix: »/pay/}")],
        (ROUTES, "[0].routes[0].match.path_separated_prefix"),
        &["`/pay/` must begin with `/`, not end with `/`"],
    ),
    row(
        "regular expression for a path",
        &[("\"/item/[0-9]+\"", "»\"/item/[0-9\"")],
        (ROUTES, "[0].routes[1].match.safe_regex.regex"),
        &["`/item/[0-9` is not a valid regular expression: unclosed character class"],
    ),
    row(
        "regular expression that is too large",
        &[("\"/item/[0-9]+\"", "»\"(\\\\pL{1000}){100}\"")],
        (ROUTES, "[0].routes[1].match.safe_regex.regex"),
        &["is not a valid regular expression", "size limit"],
    ),
    row(
        "regular expression for a header",
        &[("{exact: red}", "{safe_regex: {regex: »\"a**(\"}}")],
        (ROUTES, "[1].routes[0].match.headers[0].string_match.safe_regex.regex"),
        &["is not a valid regular expression"],
    ),
    row(
        "empty name of a header",
        &[("{name: x-team, string_match", "»{name: \"\", string_match")],
        (ROUTES, "[1].routes[0].match.headers[0]"),
        &["`name` is required and must not be empty"],
    ),
    row(
        "name of a header with a space",
        &[("{name: x-team, string_match", "{name: »\"x team\", string_match")],
        (ROUTES, "[1].routes[0].match.headers[0].name"),
        &["`x team` is"],
    ),
    row(
        "condition on a string that is none",
        &[("{exact: red}", "»{}")],
        (ROUTES, "[1].routes[0].match.headers[0].string_match"),
        &["one of `exact`, `prefix`, `suffix`, `contains`, `safe_regex` is required"],
    ),
    row(
        "empty prefix in a condition",
        &[("{exact: red}", "»{prefix: \"\"}")],
        (ROUTES, "[1].routes[0].match.headers[0].string_match"),
        &["`prefix` is required and must not be empty"],
    ),
    row(
        "status below 200",
        &[("status: 404", "status: »99")],
        (ROUTES, "[1].routes[1].direct_response.status"),
        &["99 is not a status from 200 to 599"],
    ),
    row(
        "body longer than allowed",
        &[
            ("            name: main", "            max_direct_response_body_size_bytes: 2"),
            ("body: {", "body: »{"),
        ],
        (ROUTES, "[1].routes[1].direct_response.body"),
        &["the body has 3 bytes", "`max_direct_response_body_size_bytes`", "allows 2"],
    ),
    row(
        "body from a file that is not there",
        &[("inline_string: \"no\\n\"", "filename: »/nonexistent/page.html")],
        (ROUTES, "[1].routes[1].direct_response.body.filename"),
        &["cannot read /nonexistent/page.html"],
    ),
    row(
        "space in what goes into a header",
        &[("{host_redirect: red.example}", "{host_redirect: »\"red example\"}")],
        (ROUTES, "[1].routes[0].redirect.host_redirect"),
        &["no spaces or control characters"],
    ),
    row(
        "port of a redirect",
        &[("{host_redirect: red.example}", "{port_redirect: »65536}")],
        (ROUTES, "[1].routes[0].redirect.port_redirect"),
        &["65536 is not a port"],
    ),
    // YAML.
    row(
        "tab as indentation",
        &[("    connect_timeout: 1s", "»\tconnect_timeout: 1s")],
        ("", ""),
        &["not valid YAML: a tab in the indentation; use spaces"],
    ),
    row(
        "bracket that is never closed",
        &[("domains: [\"*\"]\n              routes:", "domains: [\"*\"\n              routes»:")],
        ("", ""),
        &["not valid YAML: "],
    ),
    row(
        "line that is indented too little",
        &[(
            "          request_timeout: 5s\n          route_config:",
            "        request_timeout: 5s\n          route_config»:",
        )],
        ("", ""),
        &["not valid YAML: "],
    ),
    row(
        "two documents",
        &[("static_resources:", "---\n»static_resources:")],
        ("", ""),
        &["more than one YAML document"],
    ),
    row(
        "anchor that is not there",
        &[("    connect_timeout: 1s", "    connect_timeout: »*limit")],
        ("", ""),
        &["not valid YAML: "],
    ),
    row(
        "alias for a wrong value",
        &[
            ("  - name: front", "  - name: front\n    tcp_backlog_size: &big 66000"),
            ("address: 127.0.0.1, port_value: 8080", "address: 127.0.0.1, port_value: »*big"),
        ],
        (LISTENER, ".address.socket_address.port_value"),
        &["66000 is not a port"],
    ),
    row(
        "mistake in what an alias stands for",
        &[
            ("{cluster: app, timeout: 3s}", "&action {cluster: app, timeout: »3}"),
            ("direct_response: {status: 404, body: {inline_string: \"no\\n\"}}", "route: {cluster: app}"),
        ],
        (ROUTES, "[0].routes[0].route.timeout"),
        &["expected a duration"],
    ),
    row(
        "place after an anchor",
        &[
            ("{address: 127.0.0.1, port_value: 0}", "{address: &here 127.0.0.1, port_value: 0}"),
            ("address: 127.0.0.1, port_value: 8080", "address: *here, port_value: »80800"),
        ],
        (LISTENER, ".address.socket_address.port_value"),
        &["80800 is not a port"],
    ),
];
