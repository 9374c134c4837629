//! Wrong network filters.

use super::rows::{Row, row};

const CHAIN: &str = "static_resources.listeners[1].filter_chains[0]";
/// Where another listener can stand.
const HERE: &str = "  clusters:\n  - name: app\n";

/// Another listener, with these filters.
macro_rules! chain {
    ($($filter:literal)*) => {
        concat!(
            "  - name: tcp\n    address: {socket_address: {address: 127.0.0.1, port_value: 8081}}\n    filter_chains:\n    - filters:\n",
            $("      - ", $filter, "\n",)*
            "  clusters:\n  - name: app\n"
        )
    };
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "a TCP proxy without a cluster",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: »{"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config"),
        &["one of `cluster`, `weighted_clusters` is required"],
    ),
    row(
        "a TCP proxy without a prefix",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: »{"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, cluster: app}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config"),
        &["`stat_prefix` is required"],
    ),
    row(
        "a cluster without a name",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: »{"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: ""}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config"),
        &["must not be empty"],
    ),
    row(
        "no weighted clusters",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, weighted_clusters: »{}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.weighted_clusters"),
        &["at least one"],
    ),
    row(
        "a weight of nothing",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, weighted_clusters: {clusters: [»{name: app}]}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.weighted_clusters.clusters[0]"),
        &["`weight` is required"],
    ),
    row(
        "no attempt to connect",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, max_connect_attempts: »0}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.max_connect_attempts"),
        &["at least 1"],
    ),
    row(
        "a rest without a length",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, backoff_options: »{}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.backoff_options"),
        &["`base_interval` is required"],
    ),
    row(
        "a rest that is too short",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, backoff_options: {base_interval: »0.0001s}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.backoff_options.base_interval"),
        &["at least 1ms"],
    ),
    row(
        "a longest rest that is shorter",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, backoff_options: {base_interval: 1s, max_interval: »0.5s}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.backoff_options.max_interval"),
        &["must not be shorter"],
    ),
    row(
        "a session of no duration",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, max_downstream_connection_duration: »0s}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.max_downstream_connection_duration"),
        &["at least 1ms"],
    ),
    row(
        "too much jitter",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, max_downstream_connection_duration_jitter_percentage: {value: »101}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.max_downstream_connection_duration_jitter_percentage.value"),
        &["101 is out of range"],
    ),
    row(
        "waiting for data that may not come early",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: »{"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, upstream_connect_mode: ON_DOWNSTREAM_DATA}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config"),
        &["`max_early_data_bytes` is required"],
    ),
    row(
        "two hash policies",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, hash_policy: »[{source_ip: {}}, {source_ip: {}}]}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.hash_policy"),
        &["one policy at most"],
    ),
    row(
        "a hash of nothing",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, hash_policy: [{filter_state: »{}}]}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.hash_policy[0].filter_state"),
        &["`key` is required"],
    ),
    row(
        "options of the log in both places",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, access_log_flush_interval: »1s, access_log_options: {access_log_flush_interval: 1s}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.access_log_flush_interval"),
        &["given already"],
    ),
    row(
        "a tunnel to nowhere",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, tunneling_config: »{use_post: true}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.tunneling_config"),
        &["`hostname` is required"],
    ),
    row(
        "a tunnel to what is no format",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, tunneling_config: {hostname: »"%NOTHING%"}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.tunneling_config.hostname"),
        &["is no operator"],
    ),
    row(
        "a path without POST",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, tunneling_config: {hostname: "a:1", post_path: »/x}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.tunneling_config.post_path"),
        &["`use_post: true` only"],
    ),
    row(
        "a path that is none",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, tunneling_config: {hostname: "a:1", use_post: true, post_path: »x}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.tunneling_config.post_path"),
        &["begins with `/`"],
    ),
    row(
        "a host as a header of a tunnel",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, tunneling_config: {hostname: "a:1", headers_to_add: [{header: {key: »Host, value: b}}]}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.tunneling_config.headers_to_add[0].header.key"),
        &["must not be changed"],
    ),
    row(
        "a field of Envoy that is not supported",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, »on_demand: {}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.on_demand"),
        &["is not supported"],
    ),
    row(
        "a filter behind the last",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: »{"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}"#),
        )],
        (CHAIN, ".filters[0].typed_config"),
        &["must be the last one"],
    ),
    row(
        "a last filter that does not end the chain",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: »{"@type": type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config"),
        &["the last filter must end the chain"],
    ),
    row(
        "an unknown network filter",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: »{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config"),
        &["is not a supported network filter", "TcpProxy", "RBAC"],
    ),
    row(
        "rbac without a prefix",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: »{"@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config"),
        &["`stat_prefix` is required"],
    ),
    row(
        "a policy without principals",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: r, rules: {policies: {p: »{permissions: [{any: true}]}}}}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config.rules.policies.p"),
        &["`principals` is required"],
    ),
    row(
        "a permission for nothing",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: r, shadow_rules: {policies: {p: {permissions: [»{}], principals: [{any: true}]}}}}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config.shadow_rules.policies.p.permissions[0]"),
        &["one of `any`"],
    ),
    row(
        "a negative delay",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: r, delay_deny: »-1s}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config.delay_deny"),
        &["must not be negative"],
    ),
    row(
        "a header in a policy for connections",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: r, rules: {policies: {p: {permissions: [{»header: {name: a}}], principals: [{any: true}]}}}}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config.rules.policies.p.permissions[0].header"),
        &["is not supported"],
    ),
    row(
        "a limit of no connections",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: l, max_connections: »0}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config.max_connections"),
        &["at least 1"],
    ),
    row(
        "a limit without a number",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: »{"@type": type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: l}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config"),
        &["`max_connections` is required"],
    ),
    row(
        "more early data than can be kept",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app, max_early_data_bytes: »1048577}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.max_early_data_bytes"),
        &["at most 1048576"],
    ),
    row(
        "a rate without a bucket",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: »{"@type": type.googleapis.com/envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit, stat_prefix: l}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config"),
        &["`token_bucket` is required"],
    ),
    row(
        "a bucket without tokens",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit, stat_prefix: l, token_bucket: »{fill_interval: 1s}}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config.token_bucket"),
        &["`max_tokens` is required"],
    ),
    row(
        "a bucket that fills too often",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit, stat_prefix: l, token_bucket: {max_tokens: 1, fill_interval: »0.01s}}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config.token_bucket.fill_interval"),
        &["at least 50ms"],
    ),
    row(
        "no objects to set",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: »{"@type": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config"),
        &["`on_new_connection` is required"],
    ),
    row(
        "an object of no kind",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config, on_new_connection: [{object_key: »mine, format_string: {text_format_source: {inline_string: a}}}]}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config.on_new_connection[0].object_key"),
        &["`factory_key` must be one of", "envoy.string"],
    ),
    row(
        "an object of an unknown kind",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config, on_new_connection: [{object_key: mine, factory_key: »envoy.strin, format_string: {text_format_source: {inline_string: a}}}]}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config.on_new_connection[0].factory_key"),
        &["envoy.string"],
    ),
    row(
        "an object without a value",
        &[(
            HERE,
            chain!(r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config, on_new_connection: [»{object_key: mine, factory_key: envoy.string}]}}"# r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}"#),
        )],
        (CHAIN, ".filters[0].typed_config.on_new_connection[0]"),
        &["one of `format_string`"],
    ),
    row(
        "a direct response from a file that is not there",
        &[(
            HERE,
            chain!(
                r#"{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config, response: {filename: »/nothing/here}}}"#
            ),
        )],
        (CHAIN, ".filters[0].typed_config.response.filename"),
        &["cannot read"],
    ),
];
