//! Right configurations: what they mean in the runtime model, every spelling that Envoy takes, merging of texts, and
//! that the bytes are Envoy's. The examples are here too, and random damage, which must never be fatal.

use nuncio::access_log::config::Sink;
use nuncio::api::envoy::config::bootstrap::v3::Bootstrap;
use nuncio::config::{Diagnostics, Source, bootstrap};
use nuncio::http::config::{CodecType, HcmConfig, Terminal};
use nuncio::listener::config::NetworkTerminal;
use nuncio::router::config::{
    Action, ClusterChoice, Forward, HeaderTest, HostRewrite, PathRewrite, Redirect, RedirectPath,
};
use nuncio::server::compile::load;
use nuncio::server::snapshot::Snapshot;
use nuncio::upstream::config::{CircuitLimits, ClusterId, LoadBalancing};
use nuncio_codec::h1::HeaderCase;
use nuncio_codec::h2::Settings;
use prost::Message;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every field of the schema once, and the same as bytes that protobuf's own library made of it with Envoy's own
/// `.proto` files.
const EVERYTHING: &str = include_str!("everything.yaml");
const EVERYTHING_BYTES: &[u8] = include_bytes!("everything.binpb");

/// As little as possible.
const LEAST: &str = r#"
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: 8080}}
    filter_chains:
    - filters:
      - typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: app}
          http_filters:
          - typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: app
    load_assignment:
      cluster_name: app
      endpoints: {lb_endpoints: {endpoint: {address: {pipe: {path: /run/app.sock}}}}}
"#;

fn loaded(source: &Source) -> Snapshot {
    load(source).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

/// The message that a text stands for.
fn message(source: &Source) -> Bootstrap {
    let mut diagnostics = Diagnostics::default();
    let message = bootstrap(source, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{diagnostics}");
    message
}

fn hcm(snapshot: &Snapshot) -> &HcmConfig {
    let NetworkTerminal::Http(hcm) = &snapshot.listeners[0].filter_chains[0].terminal else {
        panic!("a connection manager");
    };
    hcm
}

fn forward(snapshot: &Snapshot, host: usize, route: usize) -> &Forward {
    match &hcm(snapshot).routes.virtual_hosts[host].routes[route].action {
        Action::Forward(forward) => forward,
        other => panic!("{other:?}"),
    }
}

fn file(name: &str, content: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).expect("the folder can be written");
    path
}

#[test]
fn defaults_are_envoys() {
    let snapshot = loaded(&Source::text(LEAST));
    assert!(snapshot.admin.is_none());
    assert_eq!((&snapshot.node.id[..], &snapshot.node.cluster[..], &snapshot.node.zone[..]), ("", "", ""));

    let listener = &snapshot.listeners[0];
    assert_eq!(listener.name, "127.0.0.1:8080");
    let options = &listener.addresses[0].options;
    assert_eq!((options.mode, options.reuse_port, options.backlog), (None, true, None));
    assert_eq!(listener.buffer_limit, 1024 * 1024);

    let hcm = hcm(&snapshot);
    assert_eq!(hcm.codec, CodecType::Auto);
    assert_eq!(hcm.request_timeout, None);
    assert_eq!(hcm.request_headers_timeout, None);
    assert_eq!(hcm.stream_idle_timeout, Some(Duration::from_secs(300)));
    assert_eq!(hcm.idle_timeout, Some(Duration::from_secs(3600)));
    assert_eq!(hcm.delayed_close_timeout, Some(Duration::from_secs(1)));
    assert!(hcm.access_log.is_empty());
    assert_eq!(hcm.http1.max_headers_bytes, 60 * 1024);
    assert_eq!(hcm.http1.max_headers_count, 100);
    assert!(hcm.http1.allow_absolute_url);
    assert!(!hcm.http1.accept_http_10 && !hcm.http1.enable_trailers);
    assert!(!hcm.http1.allow_chunked_length && !hcm.http1.allow_custom_methods);
    assert_eq!(hcm.http1.header_case, HeaderCase::Lower);
    assert!(matches!(&hcm.terminal, Terminal::Router(router) if !router.suppress_envoy_headers));

    let route = &hcm.routes.virtual_hosts[0].routes[0];
    assert!(route.matcher.case_sensitive && route.matcher.headers.is_empty());
    let forward = forward(&snapshot, 0, 0);
    assert_eq!(forward.timeout, Some(Duration::from_secs(15)));
    assert!(matches!(forward.cluster, ClusterChoice::One(ClusterId(0))));
    assert!(matches!((&forward.path_rewrite, &forward.host_rewrite), (PathRewrite::Keep, HostRewrite::Keep)));

    let cluster = &snapshot.clusters.clusters[0];
    assert_eq!(cluster.connect_timeout, Duration::from_secs(5));
    assert_eq!(cluster.policy, LoadBalancing::RoundRobin);
    assert_eq!(cluster.buffer_limit, 1024 * 1024);
    let limits = CircuitLimits::default();
    assert_eq!(cluster.limits, [limits; 2]);
    assert_eq!(cluster.http1.max_headers_bytes, 80 * 1024);
    assert_eq!(cluster.idle_timeout, Some(Duration::from_secs(3600)));
    assert_eq!((cluster.hosts[0].weight, &cluster.hosts[0].hostname[..]), (1, ""));
}

#[test]
fn every_field_reaches_the_model() {
    let snapshot = loaded(&Source::text(EVERYTHING));
    let node = &snapshot.node;
    assert_eq!((&node.id[..], &node.cluster[..], &node.zone[..]), ("n1", "edge", "eu-1"));
    let admin = snapshot.admin.as_ref().expect("there is one");
    assert_eq!(admin.address.to_string(), "[::1]:9901");
    assert_eq!(admin.access_log[0].sink, Sink::Stderr);

    let listener = &snapshot.listeners[0];
    assert_eq!(
        (&listener.name[..], listener.addresses[0].address.to_string()),
        ("front", "/run/front.sock".to_owned())
    );
    let options = &listener.addresses[0].options;
    assert_eq!((options.mode, options.reuse_port, options.backlog), (Some(0o600), false, Some(128)));
    assert_eq!((listener.buffer_limit, &listener.filter_chains[0].name[..]), (4096, "only"));

    let hcm = hcm(&snapshot);
    assert_eq!((hcm.codec, &hcm.stat_prefix[..]), (CodecType::Http1, "web:1"));
    assert_eq!(hcm.request_timeout, Some(Duration::from_secs(20)));
    assert_eq!(hcm.request_headers_timeout, Some(Duration::from_secs(10)));
    assert_eq!(hcm.stream_idle_timeout, Some(Duration::from_secs(30)));
    assert_eq!(hcm.idle_timeout, Some(Duration::from_secs(120)));
    assert_eq!(hcm.delayed_close_timeout, Some(Duration::from_millis(500)));
    let sinks: Vec<_> = hcm.access_log.iter().map(|log| log.sink.clone()).collect();
    assert_eq!(sinks, [Sink::File("/var/log/access.log".into()), Sink::Stdout]);
    assert_eq!((hcm.http1.max_headers_bytes, hcm.http1.max_headers_count), (96 * 1024, 50));
    assert!(!hcm.http1.allow_absolute_url);
    assert!(hcm.http1.accept_http_10 && hcm.http1.enable_trailers);
    assert!(hcm.http1.allow_chunked_length && hcm.http1.allow_custom_methods);
    assert_eq!(hcm.http1.header_case, HeaderCase::Preserve);
    assert!(matches!(&hcm.terminal, Terminal::Router(router) if router.suppress_envoy_headers));

    assert_eq!(hcm.routes.name, "main");
    // Two virtual hosts of one name are fine: Envoy takes them.
    let names: Vec<_> = hcm.routes.virtual_hosts.iter().map(|host| &host.name[..]).collect();
    assert_eq!(names, ["shop", "shop"]);
    let routes = &hcm.routes.virtual_hosts[0].routes;
    assert_eq!(routes[0].name, "pay");
    assert!(!routes[0].matcher.case_sensitive);
    let pay = forward(&snapshot, 0, 0);
    assert_eq!(pay.timeout, Some(Duration::from_millis(3250)));
    assert!(matches!(&pay.path_rewrite, PathRewrite::Prefix(path) if **path == *b"/p"));
    assert!(matches!(&pay.host_rewrite, HostRewrite::Literal(host) if **host == *b"pay.internal"));
    assert_eq!(forward(&snapshot, 0, 1).timeout, None);
    let paths: Vec<_> = routes.iter().map(|route| format!("{:?}", route.matcher.path)).collect();
    let kinds: Vec<_> = paths.iter().filter_map(|path| path.split('(').next()).collect();
    assert_eq!(kinds, ["Prefix", "Exact", "Regex", "SeparatedPrefix", "Prefix"]);
    match &forward(&snapshot, 0, 2).cluster {
        ClusterChoice::Weighted { total, entries } => {
            let entries: Vec<_> = entries.iter().map(|entry| (entry.weight, entry.cluster)).collect();
            assert_eq!((*total, &entries[..]), (100, &[(90, ClusterId(0)), (10, ClusterId(1))][..]));
        }
        other => panic!("{other:?}"),
    }

    let headers = &routes[3].matcher.headers;
    assert_eq!(headers.len(), 13);
    assert!(headers[1].invert && !headers[0].invert && headers[2].treat_missing_as_empty);
    let kinds = ["Exact", "Prefix", "Suffix", "Contains", "Regex"];
    // In string_match, and in the deprecated forms.
    for (at, kind) in kinds.iter().chain(&kinds).enumerate() {
        match &headers[at].test {
            HeaderTest::String(test) => {
                assert!(format!("{:?}", test.pattern).starts_with(kind), "{at}: {test:?}");
                assert_eq!(test.ignore_case, at == 0, "{at}");
            }
            other => panic!("{other:?}"),
        }
    }
    let range = &headers[10].test;
    assert!(matches!(range, HeaderTest::Range { start: -5, end: 9_007_199_254_740_993 }), "{range:?}");
    assert!(matches!(headers[11].test, HeaderTest::Present(true)));
    assert!(matches!(headers[12].test, HeaderTest::Present(true)));

    let redirect = |route: usize| match &routes[route].action {
        Action::Redirect(redirect) => redirect,
        other => panic!("{other:?}"),
    };
    let Redirect { scheme, host, port, path, status, strip_query } = redirect(3);
    assert_eq!((scheme.as_deref(), host.as_deref(), *port), (Some("wss"), Some("red.example"), Some(8443)));
    assert!(matches!(path, RedirectPath::Replace(path) if **path == *"/red"));
    assert_eq!((*status, *strip_query), (303, true));
    let second = redirect(4);
    assert_eq!((second.scheme.as_deref(), second.status), (Some("https"), 308));
    assert!(matches!(&second.path, RedirectPath::Prefix(path) if **path == *"/new/"));

    for (route, status, body) in [(0, 200, "täxt".as_bytes()), (1, 599, &[0, 0xff, 0xfe]), (2, 404, b"")] {
        match &hcm.routes.virtual_hosts[1].routes[route].action {
            Action::Direct(direct) => assert_eq!((direct.status, &direct.body[..]), (status, body)),
            other => panic!("{other:?}"),
        }
    }

    let app = &snapshot.clusters.clusters[0];
    assert_eq!(app.connect_timeout, Duration::from_millis(250));
    assert_eq!((app.policy.clone(), app.buffer_limit), (LoadBalancing::LeastRequest { choices: 5 }, 32768));
    assert_eq!(
        app.limits[0],
        CircuitLimits {
            max_connections: 1,
            max_pending_requests: 2,
            max_requests: 3,
            track_remaining: false
        }
    );
    let hosts: Vec<_> =
        app.hosts.iter().map(|host| (host.address.to_string(), host.weight, &host.hostname[..])).collect();
    assert_eq!(
        hosts,
        [
            ("127.0.0.1:9001".to_owned(), 2, "one"),
            ("@app".to_owned(), 1, ""),
            ("[::1]:65535".to_owned(), 1, "")
        ]
    );
    // A cluster may be empty, as in Envoy.
    let old = &snapshot.clusters.clusters[1];
    assert_eq!((old.policy.clone(), old.hosts.len()), (LoadBalancing::Random, 0));
}

#[test]
fn bytes_are_envoys() {
    let message = message(&Source::text(EVERYTHING));
    assert_eq!(Bootstrap::decode(EVERYTHING_BYTES).expect("valid"), message);
    assert_eq!(Bootstrap::decode(&message.encode_to_vec()[..]).expect("valid"), message);
}

#[test]
fn every_spelling_means_the_same() {
    let usual = message(&Source::text(LEAST));
    let json = r#"{"staticResources": {"listeners": [{"address": {"socketAddress": {"address": "127.0.0.1", "portValue": 8080}}, "filterChains": [{"filters": [{"typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "statPrefix": "web", "routeConfig": {"virtualHosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "\/"}, "route": {"cluster": "a\u0070p"}}]}]}, "httpFilters": [{"typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}], "clusters": [{"name": "app", "loadAssignment": {"clusterName": "app", "endpoints": [{"lbEndpoints": [{"endpoint": {"address": {"pipe": {"path": "/run/app.sock"}}}}]}]}}]}}"#;
    assert_eq!(message(&Source::text(json)), usual, "JSON");
    // Type URLs may have any prefix.
    let prefix = LEAST.replace("type.googleapis.com/", "example.com/types/");
    assert_eq!(message(&Source::text(&prefix)), usual, "prefix");
    let windows = LEAST.replace('\n', "\r\n");
    assert_eq!(message(&Source::text(&windows)), usual, "CRLF");
    let marked = format!("\u{feff}%YAML 1.2\n---\n{LEAST}...\n");
    assert_eq!(message(&Source::text(&marked)), usual, "marks of a document");
}

#[test]
fn values_in_every_form_that_envoy_takes() {
    // Parts of a cluster, each with the form to which it is equal.
    for (form, usual) in [
        ("connect_timeout: 0.5s", "connect_timeout: 0.500000000s"),
        ("connect_timeout: \"5s\"", "connect_timeout: 5s"),
        ("connect_timeout: {seconds: 5}", "connect_timeout: 5s"),
        ("connect_timeout: {seconds: 5, nanos: 1000000}", "connect_timeout: 5.001s"),
        ("connect_timeout: {}", "connect_timeout: 0s"),
        ("connect_timeout: ~", ""),
        ("connect_timeout:", ""),
        ("lb_policy: least_request", "lb_policy: LEAST_REQUEST"),
        ("lb_policy: Random", "lb_policy: RANDOM"),
        ("lb_policy: 3", "lb_policy: RANDOM"),
        ("lb_policy: \"3\"", "lb_policy: RANDOM"),
        ("lb_policy: ROUND_ROBIN", ""),
        ("lbPolicy: RANDOM", "lb_policy: RANDOM"),
        ("per_connection_buffer_limit_bytes: \"4096\"", "per_connection_buffer_limit_bytes: 4096"),
        ("per_connection_buffer_limit_bytes: 4096.0", "per_connection_buffer_limit_bytes: 4096"),
        ("per_connection_buffer_limit_bytes: \"4096.0\"", "per_connection_buffer_limit_bytes: 4096"),
        ("per_connection_buffer_limit_bytes: 4.096e3", "per_connection_buffer_limit_bytes: 4096"),
        ("per_connection_buffer_limit_bytes: 0x1000", "per_connection_buffer_limit_bytes: 4096"),
        ("per_connection_buffer_limit_bytes: 010000", "per_connection_buffer_limit_bytes: 4096"),
        ("per_connection_buffer_limit_bytes: +4096", "per_connection_buffer_limit_bytes: 4096"),
        ("per_connection_buffer_limit_bytes: {value: 4096}", "per_connection_buffer_limit_bytes: 4096"),
        ("per_connection_buffer_limit_bytes: \"0x1000\"", "per_connection_buffer_limit_bytes: 4096"),
        // Fractions where a text is wanted.
        ("alt_stat_name: 1.50", "alt_stat_name: \"1.50\""),
        ("alt_stat_name: &v 1e3 # a comment", "alt_stat_name: \"1e3\""),
        (
            "alt_stat_name: &v .5\n    load_assignment: {cluster_name: *v}",
            "alt_stat_name: \".5\"\n    load_assignment: {cluster_name: \".5\"}",
        ),
        (
            "circuit_breakers: {thresholds: {max_requests: 5}}",
            "circuit_breakers: {thresholds: [{max_requests: 5}]}",
        ),
        (
            "load_assignment:\n      cluster_name: >-\n        x\n        y",
            "load_assignment: {cluster_name: x y}",
        ),
        ("load_assignment: {cluster_name: 'it''s'}", "load_assignment: {cluster_name: \"it\\u0027s\"}"),
    ] {
        let text = |part: &str| format!("static_resources:\n  clusters:\n  - name: a\n    {part}\n");
        assert_eq!(message(&Source::text(&text(form))), message(&Source::text(&text(usual))), "{form}");
    }
    for (form, usual) in [
        ("yes", true),
        ("On", true),
        ("TRUE", true),
        ("tRue", true),
        ("\"true\"", true),
        ("\"1\"", true),
        ("\"f\"", false),
        ("n", false),
        ("off", false),
    ] {
        let text = |value: &str| format!("static_resources: {{listeners: [{{enable_reuse_port: {value}}}]}}");
        let usual = message(&Source::text(&text(&usual.to_string())));
        assert_eq!(message(&Source::text(&text(form))), usual, "{form}");
    }
}

#[test]
fn aliases_and_merge_keys_stand_for_what_they_name() {
    let text = "
static_resources:
  clusters:
  - &app
    name: app
    connect_timeout: &limit 2s
    load_assignment: &hosts
      cluster_name: app
      endpoints: []
  - name: second
    connect_timeout: *limit
    load_assignment: *hosts
  - <<: *app
    name: third
";
    let expanded = "
static_resources:
  clusters:
  - {name: app, connect_timeout: 2s, load_assignment: {cluster_name: app}}
  - {name: second, connect_timeout: 2s, load_assignment: {cluster_name: app}}
  - {name: third, connect_timeout: 2s, load_assignment: {cluster_name: app}}
";
    assert_eq!(message(&Source::text(text)), message(&Source::text(expanded)));
}

#[test]
fn a_large_configuration_loads() {
    // More nodes and aliases than a careful YAML reader takes from a stranger.
    let endpoints = "{}, ".repeat(260_000);
    let aliases = "  - {name: b, connect_timeout: *limit}\n".repeat(2000);
    let text = format!(
        "static_resources:\n  clusters:\n  - name: a\n    connect_timeout: &limit 1s\n    load_assignment: {{endpoints: [{{lb_endpoints: [{endpoints}]}}]}}\n{aliases}"
    );
    let clusters = message(&Source::text(&text)).static_resources.unwrap_or_default().clusters;
    assert_eq!(clusters.len(), 2001);
    let hosts = clusters[0].load_assignment.as_ref().map(|hosts| hosts.endpoints[0].lb_endpoints.len());
    assert_eq!(hosts, Some(260_000));
}

#[test]
fn yaml_on_the_command_line_is_merged_over_the_file() {
    let path = file(
        "base.yaml",
        "node: {id: file, cluster: edge}\nadmin: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}\nstatic_resources: {clusters: [{name: a}, {name: b}]}\n",
    );
    let merged = |yaml: &str| {
        message(&Source { path: Some(path.clone()), yaml: Some(yaml.to_owned()), embedded: None })
    };
    for (yaml, result) in [
        // Nothing.
        (
            "",
            "node: {id: file, cluster: edge}\nadmin: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}\nstatic_resources: {clusters: [{name: a}, {name: b}]}\n",
        ),
        // Single values are replaced, lists are appended to, the alternatives of a oneof exclude each other.
        (
            "node: {id: flag}\nadmin: {address: {pipe: {path: /run/admin}}}\nstatic_resources: {clusters: [{name: c}], listeners: [{name: l}]}\n",
            "node: {id: flag, cluster: edge}\nadmin: {address: {pipe: {path: /run/admin}}}\nstatic_resources: {clusters: [{name: a}, {name: b}, {name: c}], listeners: [{name: l}]}\n",
        ),
        // Messages are merged field by field.
        (
            "admin: {address: {socket_address: {port_value: 0}}}\n",
            "node: {id: file, cluster: edge}\nadmin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\nstatic_resources: {clusters: [{name: a}, {name: b}]}\n",
        ),
    ] {
        assert_eq!(merged(yaml), message(&Source::text(result)), "{yaml}");
    }
}

#[test]
fn the_embedded_text_is_only_used_without_another() {
    let embedded = Some(("embedded", "node: {id: embedded}"));
    let source = |yaml: Option<&str>| Source { path: None, yaml: yaml.map(str::to_owned), embedded };
    assert_eq!(loaded(&source(None)).node.id, "embedded");
    assert_eq!(loaded(&source(Some("node: {id: given}"))).node.id, "given");
}

#[test]
fn bodies_come_from_files_and_the_environment() {
    let path = file("body.txt", "from a file");
    let route = |body: &str| {
        LEAST.replace("route: {cluster: app}", &format!("direct_response: {{status: 200, body: {{{body}}}}}"))
    };
    let path = path.display();
    for (body, expected) in [
        (format!("filename: \"{path}\""), "from a file".to_owned()),
        ("environment_variable: CARGO_PKG_NAME".to_owned(), env!("CARGO_PKG_NAME").to_owned()),
    ] {
        let snapshot = loaded(&Source::text(&route(&body)));
        match &hcm(&snapshot).routes.virtual_hosts[0].routes[0].action {
            Action::Direct(direct) => assert_eq!(&direct.body[..], expected.as_bytes()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn no_limit_for_bodies_is_no_limit() {
    let text = LEAST
        .replace(
            "          route_config:\n",
            "          route_config:\n            max_direct_response_body_size_bytes: 0\n",
        )
        .replace(
            "route: {cluster: app}",
            &format!("direct_response: {{status: 200, body: {{inline_string: {}}}}}", "x".repeat(5000)),
        );
    loaded(&Source::text(&text));
}

#[test]
fn every_example_loads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let index = std::fs::read_to_string(folder.join("README.md")).expect("it is there");
    let mut examples = 0;
    for entry in std::fs::read_dir(&folder).expect("it is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let snapshot = loaded(&Source { path: Some(path.clone()), ..Source::default() });
            assert!(!snapshot.listeners.is_empty() || !snapshot.udp_listeners.is_empty(), "{path:?}");
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
            assert!(index.contains(&format!("[{name}]({name})")), "{name} is not in README.md");
            examples += 1;
        }
    }
    assert!(examples >= 7, "{examples}");
}

/// A few bits that look random, always the same for the same state (splitmix64).
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)) as usize >> 8
}

/// A text with some damage: bytes and lines lost, doubled, moved, and replaced by what means something in YAML.
fn damaged(text: &str, state: &mut u64) -> String {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        "- ",
        "\n",
        "\t",
        "\"",
        "'",
        "&a ",
        "*a",
        "<<: *a\n",
        "|\n",
        ">",
        "!!int ",
        "? ",
        "#",
        "---\n",
        "...\n",
        "%",
        "~",
        "0",
        "-1",
        "99999999999999999999",
        "1e400",
        ".nan",
        "\u{feff}",
        "\u{0}",
        "é",
        "@type",
        "''",
        "type.googleapis.com/google.protobuf.Any",
        "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "1s",
        "-1s",
        "{}",
        "[]",
        "route: {cluster: blue}",
        "safe_regex: {regex: \"((((a{9}){9}){9}){9}){9}\"}",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..1 + next(state) % 4 {
        let at = next(state) % (bytes.len() + 1);
        let end = (at + next(state) % 40).min(bytes.len());
        match next(state) % 5 {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            2 => {
                let piece = PIECES[next(state) % PIECES.len()];
                drop(bytes.splice(at..end.min(at + next(state) % 4), piece.bytes()));
            }
            3 => {
                let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                let (one, other) = (next(state) % lines.len(), next(state) % lines.len());
                lines.swap(one, other);
                bytes = lines.concat();
            }
            _ => {
                // A whole value.
                let colon = bytes[at..]
                    .iter()
                    .position(|byte| *byte == b':')
                    .map_or(bytes.len(), |more| at + more + 1);
                let line = bytes[colon..]
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .map_or(bytes.len(), |more| colon + more);
                let piece = format!(" {}", PIECES[next(state) % PIECES.len()]);
                drop(bytes.splice(colon..line, piece.into_bytes()));
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn damage_is_never_fatal() {
    let quickstart = include_str!("../../examples/quickstart.yaml");
    let whole = file("whole.yaml", quickstart);
    let (mut accepted, mut refused) = (0, 0);
    // Kept, so that they are not decoded two thousand times.
    let _descriptors = nuncio::api::pool();
    for seed in 0..2000 {
        let text = if seed % 8 == 0 { EVERYTHING } else { quickstart };
        let text = damaged(text, &mut (seed as u64));
        // Now and then over a file.
        let path = (seed % 8 == 1).then(|| whole.clone());
        match std::panic::catch_unwind(|| load(&Source { path, yaml: Some(text.clone()), embedded: None })) {
            Ok(Ok(_)) => accepted += 1,
            Ok(Err(diagnostics)) => {
                refused += 1;
                assert!(!diagnostics.is_empty(), "seed {seed}");
                assert!(diagnostics.to_string().len() < 1 << 20, "seed {seed}");
            }
            Err(_) => panic!("seed {seed}:\n{text}"),
        }
    }
    // The damage is neither always noticed nor never.
    assert!(accepted > 50 && refused > 500, "{accepted} accepted, {refused} refused");
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
        for levels in [50, 99, 100, 101, 300, 20_000] {
            let text = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            let diagnostics = load(&Source::text(&text)).expect_err("senseless");
            let deep = diagnostics.errors()[0].message == "more than 100 mappings and lists in each other";
            assert_eq!(deep, levels > 100, "{levels} times {open}: {diagnostics}");
        }
    }
}

#[test]
fn aliases_cannot_grow_without_bound() {
    let mut text = "node: {id: &a0 [x, x, x, x, x, x, x, x, x, x]}\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{} ", level - 1);
        text += &format!("k{level}: &a{level} [{}]\n", [&before[..]; 10].join(", "));
    }
    assert!(load(&Source::text(&text)).is_err());
}

#[test]
fn what_is_only_shown_or_has_another_name_now_is_taken() {
    let yaml = r#"
node: {id: a, metadata: {team: edge, ports: [1, 2]}}
admin: {access_log_path: /dev/null, address: {socket_address: {address: 127.0.0.1, port_value: 1}}}
static_resources:
  listeners:
  - metadata: {filter_metadata: {a: {b: c}}}
    address: {socket_address: {address: 127.0.0.1, port_value: 2}}
    filter_chains:
    - use_proxy_proto: true
      metadata: {filter_metadata: {a: {b: c}}}
      filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: t
          metadata_match: {filter_metadata: {envoy.lb: {version: 1}}}
          weighted_clusters: {clusters: [{name: up, weight: 1, metadata_match: {filter_metadata: {envoy.lb: {version: 1}}}}]}
  clusters:
  - name: up
    metadata: {filter_metadata: {a: {b: c}}}
    load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 3}}}}]}]}
"#;
    let snapshot = loaded(&Source::text(yaml));
    assert_eq!(snapshot.listeners[0].listener_filters.len(), 1);
    let log = &snapshot.admin.as_ref().expect("there is one").access_log[0];
    assert_eq!(log.sink, Sink::File("/dev/null".into()));
}

#[test]
fn fields_of_http2_mean_what_they_say_on_both_sides() {
    let fields = "{hpack_table_size: 1000, max_concurrent_streams: 7, initial_stream_window_size: 70000, \
                  initial_connection_window_size: 200000, allow_connect: true, max_outbound_frames: 11, \
                  max_outbound_control_frames: 12, max_consecutive_inbound_frames_with_empty_payload: 13, \
                  max_inbound_priority_frames_per_stream: 14, max_inbound_window_update_frames_per_data_frame_sent: 15, \
                  override_stream_error_on_invalid_http_message: true, connection_keepalive: {interval: 3s, \
                  timeout: 2s, interval_jitter: {value: 20}, connection_idle_interval: 9s}}";
    let plain = loaded(&Source::text(LEAST));
    assert_eq!(hcm(&plain).http2.settings, Settings::default());
    assert!(hcm(&plain).http2.keepalive.is_none());
    let options = format!(
        "  - name: app\n    typed_extension_protocol_options:\n      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n        \
         \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n        \
         explicit_http_config: {{http2_protocol_options: {fields}}}\n"
    );
    let text = LEAST
        .replace("stat_prefix: web", &format!("stat_prefix: web\n          http2_protocol_options: {fields}"))
        .replace("  - name: app\n", &options);
    let snapshot = loaded(&Source::text(&text));
    for http2 in [&hcm(&snapshot).http2, &snapshot.clusters.clusters[0].http2] {
        let settings = &http2.settings;
        assert_eq!(settings.hpack_table_size, 1000);
        assert_eq!(settings.max_concurrent_streams, 7);
        assert_eq!(settings.initial_stream_window_size, 70_000);
        assert_eq!(settings.initial_connection_window_size, 200_000);
        assert!(settings.allow_connect && settings.stream_error_on_invalid_http_messaging);
        assert_eq!((settings.max_outbound_frames, settings.max_outbound_control_frames), (11, 12));
        assert_eq!(settings.max_consecutive_inbound_frames_with_empty_payload, 13);
        assert_eq!(settings.max_inbound_priority_frames_per_stream, 14);
        assert_eq!(settings.max_inbound_window_update_frames_per_data_frame_sent, 15);
        let keepalive = http2.keepalive.expect("a keep-alive");
        assert_eq!(
            (keepalive.interval, keepalive.idle),
            (Some(Duration::from_secs(3)), Some(Duration::from_secs(9)))
        );
        assert_eq!((keepalive.timeout, keepalive.jitter), (Duration::from_secs(2), 20));
    }
}
