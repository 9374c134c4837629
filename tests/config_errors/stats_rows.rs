//! Wrong configurations of statistics; like the rows of `rows`.

use crate::rows::{Row, row};

const STATIC: &str = "static_resources:\n";

/// See [`crate::rows::ROWS`].
pub(crate) const ROWS: &[Row] = &[
    row(
        "flushed too often",
        &[(STATIC, "stats_flush_interval: »0.0001s\nstatic_resources:\n")],
        ("", "stats_flush_interval"),
        &["must be between 1ms and 5min"],
    ),
    row(
        "flushed too seldom",
        &[(STATIC, "stats_flush_interval: »301s\nstatic_resources:\n")],
        ("", "stats_flush_interval"),
        &["must be between 1ms and 5min"],
    ),
    row(
        "a tag of nothing",
        &[(STATIC, "stats_config: {stats_tags: [»{tag_name: mine}]}\nstatic_resources:\n")],
        ("stats_config", ".stats_tags[0]"),
        &["`mine` is no default tag"],
    ),
    row(
        "a tag twice",
        &[(STATIC, "stats_config: {stats_tags: [»{tag_name: envoy.cluster_name}]}\nstatic_resources:\n")],
        ("stats_config", ".stats_tags[0]"),
        &["another tag called `envoy.cluster_name`"],
    ),
    row(
        "a tag's expression without a group",
        &[(STATIC, "stats_config: {stats_tags: [{tag_name: mine, regex: »abc}]}\nstatic_resources:\n")],
        ("stats_config", ".stats_tags[0].regex"),
        &["`abc` has no group"],
    ),
    row(
        "a tag's expression that is none",
        &[(STATIC, "stats_config: {stats_tags: [{tag_name: mine, regex: »\"(\"}]}\nstatic_resources:\n")],
        ("stats_config", ".stats_tags[0].regex"),
        &["not a valid regular expression"],
    ),
    row(
        "a matcher of nothing",
        &[(STATIC, "stats_config: {stats_matcher: {inclusion_list: »{}}}\nstatic_resources:\n")],
        ("stats_config", ".stats_matcher.inclusion_list"),
        &["`patterns` is required"],
    ),
    row(
        "buckets downwards",
        &[(
            STATIC,
            "stats_config: {histogram_bucket_settings: [{match: {prefix: a}, buckets: »[2, 1]}]}\nstatic_resources:\n",
        )],
        ("stats_config", ".histogram_bucket_settings[0].buckets"),
        &["must be ascending"],
    ),
    row(
        "an unknown sink",
        &[(
            STATIC,
            "stats_sinks: [{name: a, typed_config: {\"@type\": »type.googleapis.com/envoy.config.metrics.v3.HystrixSink}}]\nstatic_resources:\n",
        )],
        ("stats_sinks", "[0].typed_config"),
        &["HystrixSink"],
    ),
    row(
        "a sink that sends nowhere",
        &[(
            STATIC,
            "stats_sinks: [{name: a, typed_config: »{\"@type\": type.googleapis.com/envoy.config.metrics.v3.StatsdSink}}]\nstatic_resources:\n",
        )],
        ("stats_sinks", "[0].typed_config"),
        &["`address` is required"],
    ),
    row(
        "connections over UDP",
        &[
            (
                "{address: 127.0.0.1, port_value: 8080}",
                "{protocol: UDP, address: 127.0.0.1, port_value: 8080}",
            ),
            ("    filter_chains:\n    - filters:", "    filter_chains:\n    - »filters:"),
        ],
        ("static_resources.listeners[0]", ".filter_chains"),
        &["about connections, which a UDP listener does not have"],
    ),
];
