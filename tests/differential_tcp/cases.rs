//! The listeners, the clusters and the cases.

use crate::side::{At, Stage};

/// A case: what clients and hosts do.
#[derive(Clone)]
pub struct Case {
    pub name: &'static str,
    pub run: fn(&mut Stage<'_>),
    /// Why the outcome is not the same, if that is intended.
    pub differs: Option<&'static str>,
}

/// Name, options, filters: the type behind `envoy.extensions.filters.network.` and its fields, with bars between them.
pub const LISTENERS: &[(&str, &str, &str)] = &[
    ("plain", "", "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, @LOG@"),
    (
        "small",
        "per_connection_buffer_limit_bytes: 10000",
        "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, @LOG@",
    ),
    ("refused", "", "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: refused, @LOG@"),
    ("thrice", "", "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: refused, max_connect_attempts: 3, @LOG@"),
    ("slow", "", "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: slow, max_connect_attempts: 2, @LOG@"),
    ("slow_idle", "", "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: never, idle_timeout: 0.2s, @LOG@"),
    ("empty", "", "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: none, @LOG@"),
    ("unknown", "", "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: not_there, @LOG@"),
    ("limited", "", "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: limited, @LOG@"),
    (
        "no_pending",
        "",
        "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: no_pending, max_connect_attempts: 2, @LOG@",
    ),
    ("no_requests", "", "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: no_requests, @LOG@"),
    ("idle", "", "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, idle_timeout: 0.2s, @LOG@"),
    (
        "old",
        "",
        "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, max_downstream_connection_duration: 0.2s, @LOG@",
    ),
    (
        "lines",
        "",
        "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, access_log_options: {flush_access_log_on_connected: true}, @LOG@",
    ),
    (
        "on_data",
        "",
        "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, upstream_connect_mode: ON_DOWNSTREAM_DATA, max_early_data_bytes: 100, @LOG@",
    ),
    ("early", "", "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, max_early_data_bytes: 100, @LOG@"),
    ("echo", "", "echo.v3.Echo"),
    ("direct", "", "direct_response.v3.Config, response: {inline_string: hello}"),
    (
        "allowed",
        "",
        "rbac.v3.RBAC, stat_prefix: r., rules: {policies: {p: {permissions: [{destination_ip: {address_prefix: 127.0.0.0, prefix_len: 8}}], principals: [{source_ip: {address_prefix: 127.0.0.1, prefix_len: 32}}]}}} | tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, @LOG@",
    ),
    (
        "unmatched",
        "",
        "rbac.v3.RBAC, stat_prefix: r, rules: {policies: {p: {permissions: [{destination_port_range: {start: 1, end: 9}}], principals: [{any: true}]}}} | tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, @LOG@",
    ),
    (
        "denied",
        "",
        "rbac.v3.RBAC, stat_prefix: r, rules: {action: DENY, policies: {a b: {permissions: [{any: true}], principals: [{not_id: {authenticated: {}}}]}}} | tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, @LOG@",
    ),
    (
        "continuous",
        "",
        "rbac.v3.RBAC, stat_prefix: r, enforcement_type: CONTINUOUS, rules: {action: LOG, policies: {p: {permissions: [{any: true}], principals: [{any: true}]}}}, shadow_rules: {action: DENY, policies: {p: {permissions: [{requested_server_name: {exact: x}}], principals: [{any: true}]}}}, shadow_rules_stat_prefix: s_ | tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, @LOG@",
    ),
    (
        "no_rules",
        "",
        "rbac.v3.RBAC, stat_prefix: r | tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, @LOG@",
    ),
    (
        "http_allowed",
        "",
        "rbac.v3.RBAC, stat_prefix: r, rules: {policies: {p: {permissions: [{any: true}], principals: [{any: true}]}}} | http_connection_manager.v3.HttpConnectionManager, stat_prefix: h, delayed_close_timeout: 0.02s, route_config: {name: r, virtual_hosts: [{name: v, domains: [\"*\"], routes: [{match: {prefix: /}, direct_response: {status: 204}}]}]}, http_filters: [{name: router, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]",
    ),
    (
        "http_denied",
        "",
        "rbac.v3.RBAC, stat_prefix: r, rules: {action: DENY, policies: {p: {permissions: [{any: true}], principals: [{any: true}]}}} | http_connection_manager.v3.HttpConnectionManager, stat_prefix: h, delayed_close_timeout: 0.02s, route_config: {name: r, virtual_hosts: [{name: v, domains: [\"*\"], routes: [{match: {prefix: /}, direct_response: {status: 204}}]}]}, http_filters: [{name: router, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]",
    ),
    (
        "few",
        "",
        "connection_limit.v3.ConnectionLimit, stat_prefix: few, max_connections: 1 | tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, @LOG@",
    ),
    (
        "few_late",
        "",
        "connection_limit.v3.ConnectionLimit, stat_prefix: late, max_connections: 1, delay: 0.1s | tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, @LOG@",
    ),
    (
        "rate",
        "",
        "local_ratelimit.v3.LocalRateLimit, stat_prefix: rate, token_bucket: {max_tokens: 1, fill_interval: 3600s} | tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, @LOG@",
    ),
    ("sni", "", "sni_cluster.v3.SniCluster | tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, @LOG@"),
    (
        "state",
        "",
        "set_filter_state.v3.Config, on_new_connection: [{object_key: who, factory_key: envoy.string, format_string: {text_format_source: {inline_string: 'by \"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\"'}}}, {object_key: envoy.tcp_proxy.cluster, format_string: {text_format_source: {inline_string: other}}}] | tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, @LOG@",
    ),
    (
        "state_wrong",
        "",
        "set_filter_state.v3.Config, on_new_connection: [{object_key: envoy.tcp_proxy.cluster, format_string: {text_format_source: {inline_string: not_there}}}] | tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, @LOG@",
    ),
    (
        "tunnel",
        "",
        "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, max_connect_attempts: 2, tunneling_config: {hostname: \"host.example:443\", headers_to_add: [{header: {key: x-a, value: \"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\"}}]}, @LOG@",
    ),
    (
        "tunnel_refused",
        "",
        "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: refused, max_connect_attempts: 2, tunneling_config: {hostname: \"host.example:443\"}, @LOG@",
    ),
    (
        "tunnel_idle",
        "",
        "tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, idle_timeout: 0.2s, tunneling_config: {hostname: \"host.example:443\"}, @LOG@",
    ),
];

/// Name, what its host is, options.
pub const CLUSTERS: [(&str, &str, &str); 9] = [
    ("up", "host", "per_connection_buffer_limit_bytes: 100000"),
    ("other", "host", ""),
    ("refused", "refusing", ""),
    ("slow", "unanswering", "connect_timeout: 0.15s"),
    ("never", "unanswering", "connect_timeout: 30s"),
    ("none", "empty", ""),
    ("limited", "host", "circuit_breakers: {thresholds: [{max_connections: 1}]}"),
    ("no_pending", "host", "circuit_breakers: {thresholds: [{max_pending_requests: 0}]}"),
    ("no_requests", "host", "circuit_breakers: {thresholds: [{max_requests: 0}]}"),
];

const C: At = At::Client(0);
const S: At = At::Server(0);

fn case(name: &'static str, run: fn(&mut Stage<'_>)) -> Case {
    Case { name, run, differs: None }
}

fn differs(name: &'static str, why: &'static str, run: fn(&mut Stage<'_>)) -> Case {
    Case { name, run, differs: Some(why) }
}

/// A question and an answer, then both close, the client first.
fn talk(stage: &mut Stage<'_>, listener: &str, cluster: &str) {
    stage.connect(listener).accept(cluster).send(C, "question").read(S, 8).send(S, "answer").read(C, 6);
    stage.finish(C).rest(S).close(S).rest(C);
}

/// The head of a request for a tunnel, and an answer to it.
fn tunnel<'a, 'b>(stage: &'b mut Stage<'a>, head: &str, answer: &str) -> &'b mut Stage<'a> {
    stage.connect("tunnel").accept("up").read(S, head.len()).send(S, answer)
}

const CONNECT: &str = "CONNECT host.example:443 HTTP/1.1\r\nhost: host.example:443\r\nx-a: 127.0.0.1\r\n\r\n";

/// All cases.
pub fn all() -> Vec<Case> {
    let all = vec![
        case("the client finishes first", |stage| talk(stage, "plain", "up")),
        case("the host finishes first", |stage| {
            stage.connect("plain").accept("up").send(S, "banner").finish(S).rest(C);
            stage.send(C, "last words").finish(C).rest(S);
        }),
        case("the host speaks first", |stage| {
            stage.connect("plain").accept("up").send(S, "220 hello").read(C, 9).send(C, "EHLO").read(S, 4);
            stage.close(S).rest(C).close(C);
        }),
        case("the client goes without a word", |stage| {
            stage.connect("plain").accept("up").close(C).rest(S).close(S);
        }),
        case("the host goes without a word", |stage| {
            stage.connect("plain").accept("up").close(S).rest(C).close(C);
        }),
        case("the client resets", |stage| {
            stage.connect("plain").accept("up").send(C, "x").read(S, 1).reset(C).rest(S);
        }),
        case("the host resets", |stage| {
            stage.connect("plain").accept("up").send(C, "x").read(S, 1).reset(S).rest(C);
        }),
        case("much in both directions", |stage| {
            stage.connect("plain").accept("up").transfer(C, S, 3_000_000).transfer(S, C, 5_000_000);
            stage.finish(C).rest(S).close(S).rest(C);
        }),
        case("much through small buffers", |stage| {
            stage.connect("small").accept("up").transfer(S, C, 1_000_000).transfer(C, S, 1_000_000);
            stage.finish(C).rest(S).close(S).rest(C);
        }),
        case("refused", |stage| {
            stage.connect("refused").rest(C);
        }),
        case("refused three times", |stage| {
            stage.connect("thrice").rest(C);
        }),
        case("no answer in time", |stage| {
            stage.connect("slow").rest(C);
        }),
        case("no answer, with something sent", |stage| {
            stage.connect("slow").send(C, "too early").over(C);
        }),
        case("no host", |stage| {
            stage.connect("empty").rest(C);
        }),
        case("no cluster", |stage| {
            stage.connect("unknown").rest(C);
        }),
        case("too many connections", |stage| {
            stage.connect("limited").accept("limited").connect("limited").rest(At::Client(1));
            stage.close(C).rest(S).close(S);
        }),
        case("none may wait", |stage| {
            stage.connect("no_pending").rest(C);
        }),
        case("the limit of requests is for requests", |stage| talk(stage, "no_requests", "no_requests")),
        case("idle", |stage| {
            stage.connect("idle").accept("up").send(C, "abc").read(S, 3).rest(C).rest(S);
        }),
        case("idle after the client's end", |stage| {
            stage.connect("idle").accept("up").send(C, "abc").finish(C).rest(S).rest(C);
            stage.close(S);
        }),
        case("too old", |stage| {
            stage.connect("old").accept("up").send(C, "abc").read(S, 3).rest(C).rest(S);
        }),
        case("a line when connected", |stage| talk(stage, "lines", "up")),
        case("connected on the first byte", |stage| {
            stage.connect("on_data").until("listener.on_data.downstream_cx_active", 1).look("up");
            stage.send(C, "first").accept("up").read(S, 5).send(S, "answer").read(C, 6);
            stage.finish(C).rest(S).close(S).rest(C);
        }),
        case("more than may come early", |stage| {
            stage.connect("on_data").send(C, [b'e'; 1000]).accept("up").read(S, 1000).finish(C).rest(S);
            stage.close(S).rest(C);
        }),
        case("early data is allowed and not used", |stage| {
            stage.connect("early").accept("up").send(S, "banner").read(C, 6).send(C, "x").read(S, 1);
            stage.close(C).rest(S).close(S);
        }),
        case("echo", |stage| {
            stage.connect("echo").send(C, "abc").read(C, 3).finish(C).rest(C);
        }),
        case("much echo", |stage| {
            stage.connect("echo").transfer(C, C, 2_000_000).finish(C).rest(C);
        }),
        case("direct response", |stage| {
            stage.connect("direct").rest(C).close(C);
        }),
        case("allowed by address", |stage| talk(stage, "allowed", "up")),
        case("not allowed by port", |stage| {
            stage.connect("unmatched").accept("up").send(S, "banner").read(C, 6).send(C, "x").over(C).over(S);
        }),
        case("denied", |stage| {
            stage.connect("denied").accept("up").send(S, "banner").read(C, 6).send(C, "x").over(C).over(S);
        }),
        case("denied at the end", |stage| {
            stage.connect("denied").accept("up").send(S, "banner").read(C, 6).finish(C).over(C).over(S);
        }),
        case("judged at each read", |stage| {
            stage.connect("continuous").accept("up").send(C, "a").read(S, 1).send(C, "b").read(S, 1);
            stage.finish(C).rest(S).close(S).rest(C);
        }),
        case("no rules", |stage| talk(stage, "no_rules", "up")),
        case("allowed before http", |stage| {
            stage.connect("http_allowed").send(C, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            stage.read(C, 24).close(C);
        }),
        case("denied before http", |stage| {
            stage.connect("http_denied").send(C, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").over(C);
        }),
        case("one too many", |stage| {
            stage.connect("few").accept("up").connect("few").rest(At::Client(1));
            stage.close(C).rest(S).close(S).until("connection_limit.few.active_connections", 0);
            stage.connect("few").accept("up").close(At::Client(2)).rest(At::Server(1));
        }),
        case("one too many, later", |stage| {
            stage.connect("few_late").accept("up").connect("few_late").rest(At::Client(1));
            stage.close(C).rest(S).close(S);
        }),
        case("too fast", |stage| {
            stage.connect("rate").accept("up").connect("rate").rest(At::Client(1));
            stage.close(C).rest(S).close(S);
        }),
        case("no server name", |stage| talk(stage, "sni", "up")),
        case("a filter chooses the cluster", |stage| talk(stage, "state", "other")),
        case("a filter chooses a cluster that is not there", |stage| {
            stage.connect("state_wrong").rest(C);
        }),
        case("what was sent is still delivered", |stage| {
            stage.connect("small").accept("up").finish(S).rest(C);
            stage.send(C, [b'f'; 300_000]).finish(C).close(C).rest(S);
        }),
        case("a tunnel", |stage| {
            tunnel(stage, CONNECT, "HTTP/1.1 200 OK\r\nx: y\r\n\r\n").send(S, "banner").read(C, 6);
            stage.send(C, "x").read(S, 1).reset(C).over(S);
        }),
        case("a tunnel to a host that refuses", |stage| {
            stage.connect("tunnel_refused").rest(C);
        }),
        case("no answer about a tunnel", |stage| {
            stage.connect("tunnel_idle").accept("up").rest(C);
        }),
        differs("a tunnel is refused twice", "a request that is answered is not active", |stage| {
            tunnel(stage, CONNECT, "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
            stage.accept("up").send(At::Server(1), "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").rest(C);
        }),
        differs("a tunnel is half closed", "Envoy ends it as a whole, and the answer is lost", |stage| {
            tunnel(stage, CONNECT, "HTTP/1.1 200 OK\r\n\r\n").send(S, "banner").read(C, 6);
            stage.send(C, "x").finish(C).rest(S).send(S, "answer").close(S).rest(C);
        }),
        differs("the host of a tunnel resets", "Envoy ends the client's connection in order", |stage| {
            tunnel(stage, CONNECT, "HTTP/1.1 200 OK\r\n\r\n").send(S, "banner").read(C, 6);
            stage.reset(S).rest(C);
        }),
        differs("the host resets after its end", "Envoy does not notice before the client closes", |stage| {
            stage.connect("plain").accept("up").send(S, "half").finish(S).rest(C).send(C, "x").read(S, 1);
            stage.reset(S).send(C, "y").close(C);
        }),
        differs("idle while connecting", "see what is counted for the attempt", |stage| {
            stage.connect("slow_idle").rest(C);
        }),
        differs("the client resets while connecting", "Envoy notices when the attempt has ended", |stage| {
            stage.connect("slow").until("cluster.slow.upstream_cx_active", 1).reset(C);
            stage.until("cluster.slow.upstream_cx_active", 0);
        }),
    ];
    for (at, case) in all.iter().enumerate() {
        assert!(!all[..at].iter().any(|other| other.name == case.name), "{} twice", case.name);
    }
    all
}
