//! Statistics with the real binary: the formats of `/stats`, tags and matchers, resetting, and what a statsd server
//! receives.

mod support;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use support::{Client, PATIENCE, Proxy, Response, Upstream, config, simple};

const TO_UP: &str = "- {match: {prefix: \"/\"}, route: {cluster: up}}";

fn get(proxy: &Proxy, path: &str) -> Response {
    Client::connect(proxy.admin()).get(path)
}

fn text(proxy: &Proxy, path: &str) -> String {
    let response = get(proxy, path);
    assert_eq!(response.status, 200, "{path}");
    response.text()
}

/// A proxy that has answered one request, with this at the end of its configuration.
fn used(more: &str) -> Proxy {
    let upstream = Upstream::echo();
    let yaml = config("", TO_UP, &[("up", &[upstream.address], "")]) + more;
    let proxy = Proxy::start(&yaml);
    assert_eq!(proxy.connect().get("/").status, 200);
    proxy.await_stat("http.test.downstream_cx_destroy", 1);
    proxy
}

#[test]
fn text_and_json_are_filtered() {
    let proxy = used("");
    let rows = [
        ("/stats?filter=^http.test.rq_total$", "http.test.rq_total: 1\n"),
        (
            "/stats?filter=%5Ehttp.test.rq_(total|direct)",
            "http.test.rq_direct_response: 0\nhttp.test.rq_total: 1\n",
        ),
        ("/stats?usedonly&filter=^http.test.rq_", "http.test.rq_total: 1\n"),
        ("/stats?type=Gauges&filter=^(server.live|http.test.rq_total)$", "server.live: 1\n"),
        ("/stats?type=TextReadouts", ""),
        ("/stats?filter=nothing", ""),
        ("/stats?format=json&filter=nothing", "{\"stats\":[]}"),
        ("/stats?format=json&filter=^server.live$", "{\"stats\":[{\"name\":\"server.live\",\"value\":1}]}"),
        (
            "/stats?format=prometheus&filter=^http.test.downstream_rq_2xx$",
            "# TYPE envoy_http_downstream_rq_xx counter\nenvoy_http_downstream_rq_xx{envoy_response_code_class=\"2\",\
             envoy_http_conn_manager_prefix=\"test\"} 1\n",
        ),
        ("/stats?filter=worker_0.*total", "listener.127.0.0.1_0.worker_0.downstream_cx_total: 1\n"),
    ];
    for (path, wanted) in rows {
        assert_eq!(text(&proxy, path), wanted, "{path}");
    }
    let refused = [
        "format=yaml",
        "filter=(",
        "type=counters",
        "histogram_buckets=few",
        "format=prometheus&histogram_buckets=disjoint",
    ];
    for query in refused {
        assert_eq!(get(&proxy, &format!("/stats?{query}")).status, 400, "{query}");
    }
}

#[test]
fn histograms_are_shown_after_an_interval() {
    let proxy = used("stats_flush_interval: 0.01s\n");
    let name = "server.initialization_time_ms";
    let path = format!("/stats?filter={name}");
    let until = std::time::Instant::now() + PATIENCE;
    while text(&proxy, &path).ends_with("No recorded values\n") {
        assert!(std::time::Instant::now() < until, "never recorded");
    }
    // The interval has long ended: nothing in it, one value in all.
    let shown = text(&proxy, &path);
    assert!(shown.starts_with(&format!("{name}: P0(")) && shown.contains(" P99.5("), "{shown}");
    let detailed = text(&proxy, &format!("{path}&histogram_buckets=detailed"));
    assert!(detailed.contains("\n  totals=") && detailed.contains(":1\n  intervals="), "{detailed}");
    let json = text(&proxy, &format!("{path}&format=json&histogram_buckets=cumulative"));
    assert!(json.contains("{\"upper_bound\":3e+05,\"interval\":"), "{json}");
    assert!(json.ends_with(",\"cumulative\":1}]}]}]}"), "{json}");
    let summary = text(&proxy, &format!("/stats/prometheus?histogram_buckets=summary&filter={name}"));
    assert!(summary.starts_with("# TYPE envoy_server_initialization_time_ms summary\n"), "{summary}");
    assert!(summary.ends_with("envoy_server_initialization_time_ms_count{} 1\n"), "{summary}");
}

/// Reads the Prometheus text format; fails on anything that is not in it.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut values = BTreeMap::new();
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').expect("a name and a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(!families.contains(&name), "{name} stands in two places");
            families.push(name);
            continue;
        }
        let (metric, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = metric.split_once('{').expect("labels");
        let family = families.last().expect("a type comes first");
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{name} in the family {family}"));
        assert!(["", "_bucket", "_sum", "_count"].contains(&suffix), "{line}");
        let word = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        assert!(word(name), "{line}");
        let labels = labels.strip_suffix('}').expect("the end of labels");
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once('=').expect("a label");
            assert!(word(name) && value.starts_with('"') && value.ends_with('"'), "{line}");
        }
        let again = values.insert(metric.to_owned(), value.parse().expect("a number"));
        assert!(again.is_none(), "{metric} twice");
    }
    values
}

#[test]
fn prometheus_output_is_well_formed() {
    let proxy = used("");
    let values = parse(&text(&proxy, "/stats/prometheus"));
    let rows = [
        ("envoy_cluster_upstream_rq_total{envoy_cluster_name=\"up\"}", 1.0),
        ("envoy_cluster_upstream_rq{envoy_response_code=\"200\",envoy_cluster_name=\"up\"}", 1.0),
        ("envoy_server_live{}", 1.0),
        ("envoy_cluster_membership_healthy{envoy_cluster_name=\"up\"}", 1.0),
        ("envoy_cluster_circuit_breakers_default_rq_open{envoy_cluster_name=\"up\"}", 0.0),
    ];
    for (metric, wanted) in rows {
        assert_eq!(values.get(metric), Some(&wanted), "{metric}");
    }
    let used_only = parse(&text(&proxy, "/stats/prometheus?usedonly"));
    assert!(used_only.len() < values.len() / 2, "{} of {}", used_only.len(), values.len());
    // Used gauges stay when they are back at 0, since a series must not end then.
    assert_eq!(
        used_only.get("envoy_http_downstream_rq_active{envoy_http_conn_manager_prefix=\"test\"}"),
        Some(&0.0)
    );
}

#[test]
fn the_configuration_chooses_tags_names_and_buckets() {
    let proxy = used(
        r#"stats_config:
  use_all_default_tags: false
  stats_tags:
  - {tag_name: envoy.cluster_name}
  - {tag_name: site, fixed_value: home}
  - {tag_name: hcm, regex: "^http\\.((.*?)\\.)"}
  stats_matcher: {inclusion_list: {patterns: [{prefix: server.}, {suffix: rq_total}, {suffix: _200}, {exact: http.test.downstream_cx_destroy}]}}
  histogram_bucket_settings: [{match: {prefix: server.}, buckets: [0.1, 1000000]}]
"#,
    );
    let values = parse(&text(&proxy, "/stats/prometheus"));
    let rows = [
        ("envoy_cluster_upstream_rq_total{site=\"home\",envoy_cluster_name=\"up\"}", Some(1.0)),
        ("envoy_cluster_upstream_rq_200{site=\"home\",envoy_cluster_name=\"up\"}", Some(1.0)),
        ("envoy_http_rq_total{site=\"home\",hcm=\"test\"}", Some(1.0)),
        ("envoy_server_live{site=\"home\"}", Some(1.0)),
    ];
    for (metric, wanted) in rows {
        assert_eq!(values.get(metric).copied(), wanted, "{metric}\n{values:?}");
    }
    assert!(!values.keys().any(|metric| metric.contains("downstream_cx_total")), "{values:?}");
    let buckets: Vec<_> = values.keys().filter(|metric| metric.contains("_bucket")).collect();
    assert_eq!(buckets.len(), 3, "{buckets:?}");
}

#[test]
fn counters_can_be_reset() {
    let proxy = used("");
    assert_eq!(get(&proxy, "/reset_counters").status, 405);
    assert_eq!(proxy.stat("http.test.rq_total"), 1);
    let response = Client::connect(proxy.admin()).post("/reset_counters");
    assert_eq!((response.status, response.text().as_str()), (200, "OK\n"));
    assert_eq!(proxy.stat("http.test.rq_total"), 0);
    assert_eq!(proxy.stat("cluster.up.upstream_rq_200"), 0);
    assert_eq!(proxy.stat("server.live"), 1);
    proxy.connect().get("/");
    assert_eq!(proxy.stat("http.test.rq_total"), 1);
    assert_eq!(proxy.stat("cluster.up.upstream_rq_200"), 1);
}

#[test]
fn a_statsd_server_receives_differences() {
    let socket = || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        socket
    };
    let (plain, dog) = (socket(), socket());
    let port = |socket: &UdpSocket| socket.local_addr().expect("bound").port();
    let upstream = Upstream::echo();
    let yaml = format!(
        r#"{}
stats_flush_interval: 0.05s
stats_sinks:
- name: envoy.stat_sinks.statsd
  typed_config:
    "@type": type.googleapis.com/envoy.config.metrics.v3.StatsdSink
    address: {{socket_address: {{protocol: UDP, address: 127.0.0.1, port_value: {}}}}}
- name: envoy.stat_sinks.dog_statsd
  typed_config:
    "@type": type.googleapis.com/envoy.config.metrics.v3.DogStatsdSink
    prefix: dog
    max_bytes_per_datagram: 512
    address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}
- name: nobody
  typed_config:
    "@type": type.googleapis.com/envoy.config.metrics.v3.StatsdSink
    address: {{socket_address: {{address: 127.0.0.1, port_value: 1}}}}
"#,
        simple(upstream.address),
        port(&plain),
        port(&dog)
    );
    let proxy = Proxy::start(&yaml);
    for _ in 0..3 {
        assert_eq!(proxy.connect().get("/").status, 200);
    }
    // The sum of all differences is the counter, however they fell into intervals.
    let receive = |socket: &UdpSocket, name: &str, rest: &str| {
        let (mut sum, mut buffer) = (0u64, [0; 1500]);
        while sum < 3 {
            let n = socket.recv(&mut buffer).expect("a datagram");
            for line in std::str::from_utf8(&buffer[..n]).expect("text").lines() {
                assert!(!line.contains("upstream_rq_timeout"), "unused: {line}");
                if let Some(value) = line.strip_prefix(name).and_then(|line| line.strip_suffix(rest)) {
                    sum += value.parse::<u64>().expect("a number");
                }
            }
        }
        sum
    };
    assert_eq!(receive(&plain, "envoy.cluster.up.upstream_rq_total:", "|c"), 3);
    assert_eq!(receive(&dog, "dog.cluster.upstream_rq_total:", "|c|#envoy.cluster_name:up"), 3);
    let wait = |socket: &UdpSocket, wanted: &str| {
        let mut buffer = [0; 1500];
        loop {
            let n = socket.recv(&mut buffer).expect("a datagram");
            let text = std::str::from_utf8(&buffer[..n]).expect("text");
            assert!(n <= 512, "{n}");
            if text.lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    wait(&plain, "envoy.server.live:1|g");
    wait(&dog, "dog.server.live:1|g");
}
