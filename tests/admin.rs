//! The admin interface with the real binary, next to the real Envoy where that is installed.

mod support;

use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};
use support::{Client, Folder, PATIENCE, Proxy, Response, Upstream, config, simple};

fn ask(proxy: &Proxy, method: &str, path: &str) -> Response {
    let mut client = Client::connect(proxy.admin());
    client.send(format!("{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"));
    client.response_to(method)
}

fn get(proxy: &Proxy, path: &str) -> Response {
    ask(proxy, "GET", path)
}

fn json(proxy: &Proxy, path: &str) -> Value {
    let response = get(proxy, path);
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")), "{path}");
    serde_json::from_str(&response.text()).expect("JSON")
}

fn proxy() -> (Proxy, Upstream) {
    let upstream = Upstream::echo();
    (Proxy::start(&simple(upstream.address)), upstream)
}

#[test]
fn every_endpoint_answers_and_is_in_the_help() {
    let (proxy, _upstream) = proxy();
    let help = get(&proxy, "/help").text();
    let mut seen = 0;
    for line in help.lines().filter(|line| line.starts_with("  /")) {
        let (path, _) = line.trim().split_once(": ").expect("a path and what it is");
        let (path, post) = match path.strip_suffix(" (POST)") {
            Some(path) => (path, true),
            None => (path, false),
        };
        if post {
            let refused = get(&proxy, path);
            assert_eq!(refused.status, 405, "{path}");
            assert_eq!(refused.text(), "Method GET not allowed, POST required.");
        } else {
            let response = get(&proxy, path);
            assert_eq!(response.status, 200, "{path}");
            assert_eq!(response.header("cache-control"), Some("no-cache, max-age=0"));
            assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
            if response.header("content-type") == Some("application/json") {
                let _: Value = serde_json::from_str(&response.text()).expect("JSON");
            }
        }
        seen += 1;
    }
    assert!(seen >= 20, "{help}");
    let unknown = get(&proxy, "/nonsense");
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.text(), format!("invalid path. {help}"));
}

#[test]
fn hosts_are_counted() {
    let upstream = Upstream::start(|mut client, _| {
        while let Some(request) = client.request() {
            let status = if request.head.starts_with("GET /bad") { "500 Oops" } else { "200 OK" };
            if request.head.starts_with("GET /late") {
                return;
            }
            client.send(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"));
        }
    });
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    for (path, status) in [("/", 200), ("/", 200), ("/bad", 500), ("/late", 503)] {
        assert_eq!(client.get(path).status, status, "{path}");
    }
    let text = get(&proxy, "/clusters").text();
    let at = format!("up::{}::", upstream.address);
    for (name, value) in [
        ("rq_total", "5"),
        ("rq_success", "2"),
        ("rq_error", "2"),
        ("cx_total", "2"),
        ("cx_active", "0"),
        ("rq_active", "0"),
        ("cx_connect_fail", "0"),
        ("health_flags", "healthy"),
    ] {
        // The request that was cut off was sent once more, so it counts twice.
        let line = format!("{at}{name}::{value}");
        assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
    }
    let all = json(&proxy, "/clusters?format=json");
    let host = &all["cluster_statuses"][0]["host_statuses"][0];
    assert_eq!(host["address"]["socket_address"]["port_value"], upstream.address.port());
    let stats = host["stats"].as_array().expect("numbers");
    assert!(stats.iter().any(|stat| stat["name"] == "rq_total" && stat["value"] == "5"), "{stats:?}");
    assert_eq!(ask(&proxy, "POST", "/reset_counters").text(), "OK\n");
    assert!(get(&proxy, "/clusters").text().contains(&format!("{at}rq_total::0")));
    let none = get(&proxy, "/clusters?filter=^x");
    assert_eq!((none.text().as_str(), none.header("content-type")), ("", Some("text/plain; charset=UTF-8")));
    assert_eq!(get(&proxy, "/clusters?filter=(").status, 400);
}

#[test]
fn the_log_level_changes() {
    let (proxy, _upstream) = proxy();
    let active = |level: &str| format!("active loggers:\n  nuncio: {level}\n\n");
    assert_eq!(ask(&proxy, "POST", "/logging").text(), active("info"));
    assert_eq!(ask(&proxy, "POST", "/logging?level=off").text(), active("off"));
    ask(&proxy, "POST", "/reopen_logs");
    assert!(!proxy.log().contains("reopening access logs"));
    for change in ["level=info", "nuncio=info", "paths=nuncio:info"] {
        ask(&proxy, "POST", "/logging?level=error");
        assert_eq!(ask(&proxy, "POST", &format!("/logging?{change}")).text(), active("info"), "{change}");
    }
    for wrong in ["level=loud", "x=debug", "paths=nuncio", "paths=x:debug", "level=info&nuncio=info"] {
        let refused = ask(&proxy, "POST", &format!("/logging?{wrong}"));
        assert_eq!(refused.status, 400, "{wrong}");
        assert!(refused.text().starts_with("error: "), "{wrong}");
    }
}

#[test]
fn a_sick_process_says_so_and_sends_clients_away() {
    let (proxy, _upstream) = proxy();
    let mut client = proxy.connect();
    assert_eq!(client.get("/").header("connection"), None);
    assert_eq!(ask(&proxy, "POST", "/healthcheck/fail").text(), "OK\n");
    let ready = get(&proxy, "/ready");
    assert_eq!((ready.status, ready.text().as_str()), (503, "DRAINING\n"));
    assert_eq!(proxy.stat("server.live"), 0);
    assert_eq!(client.get("/").header("connection"), Some("close"));
    assert_eq!(client.until_closed(), b"");
    assert_eq!(proxy.stat("http.test.downstream_cx_drain_close"), 1);
    assert_eq!(ask(&proxy, "POST", "/healthcheck/ok").text(), "OK\n");
    assert_eq!(get(&proxy, "/ready").text(), "LIVE\n");
    assert_eq!(proxy.connect().get("/").header("connection"), None);
}

#[test]
fn listeners_drain() {
    let upstream = Upstream::echo();
    let flags = ["--concurrency", "1", "--drain-strategy", "immediate", "--drain-time-s", "1"];
    let proxy = Proxy::start_with(&simple(upstream.address), &flags);
    assert_eq!(ask(&proxy, "POST", "/drain_listeners?skip_exit").text(), "OK\n");
    assert_eq!(proxy.connect().get("/").header("connection"), Some("close"));
    assert_eq!(ask(&proxy, "POST", "/drain_listeners?inboundonly").text(), "OK\n");
    assert_eq!(ask(&proxy, "POST", "/drain_listeners?graceful").text(), "OK\n");
    // Open still, for a second.
    let mut open = proxy.connect();
    assert_eq!(proxy.stat("listener_manager.total_listeners_active"), 1);
    proxy.await_stat("listener_manager.total_listeners_active", 0);
    let end = std::time::Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(proxy.first()).is_ok() {
        assert!(std::time::Instant::now() < end, "the listener stays open");
    }
    // The process lives, and so does what was open.
    assert_eq!(open.get("/").status, 200);
    assert_eq!(get(&proxy, "/ready").status, 200);
    proxy.await_stat("listener_manager.listener_stopped", 1);
}

#[test]
fn listeners_drain_at_once() {
    let (mut proxy, _upstream) = proxy();
    let mut open = proxy.connect();
    assert_eq!(open.get("/").status, 200);
    ask(&proxy, "POST", "/drain_listeners");
    let end = std::time::Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(proxy.first()).is_ok() {
        assert!(std::time::Instant::now() < end, "the listener stays open");
    }
    assert_eq!(open.get("/").header("connection"), None);
    assert_eq!(ask(&proxy, "POST", "/quitquitquit").text(), "OK\n");
    assert!(proxy.wait().success());
}

#[test]
fn only_allowed_paths_are_answered() {
    let upstream = Upstream::echo();
    let yaml = simple(upstream.address).replacen(
        "admin: {",
        "admin: {allow_paths: [{exact: /ready}, {prefix: /stats}], ",
        1,
    );
    let proxy = Proxy::start(&yaml);
    assert_eq!(get(&proxy, "/ready").status, 200);
    assert_eq!(get(&proxy, "/stats?usedonly").status, 200);
    for path in ["/", "/help", "/config_dump", "/nonsense"] {
        let refused = get(&proxy, path);
        assert_eq!((refused.status, refused.text()), (403, format!("request to path {path} not allowed")));
    }
    assert_eq!(ask(&proxy, "POST", "/quitquitquit").status, 403);
}

#[test]
fn server_info_tells_how_the_process_was_started() {
    let upstream = Upstream::echo();
    let flags =
        ["--concurrency", "1", "--service-node", "me", "--service-cluster", "us", "--drain-time-s", "7"];
    let proxy = Proxy::start_with(&simple(upstream.address), &flags);
    let info = json(&proxy, "/server_info");
    assert_eq!(info["state"], "LIVE");
    assert_eq!(info["version"], format!("nuncio/{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(info["node"]["id"], "me");
    assert_eq!(info["node"]["cluster"], "us");
    let options = &info["command_line_options"];
    assert_eq!(options["concurrency"], 1);
    assert_eq!(options["drain_time"], "7s");
    assert_eq!(options["drain_strategy"], "Gradual");
    assert_eq!(options["file_flush_interval"], "10s");
    let memory = json(&proxy, "/memory");
    let bytes: u64 = memory["total_physical_bytes"].as_str().expect("text").parse().expect("a number");
    assert!(bytes > 1 << 20);
}

#[test]
fn what_envoy_shows_of_the_same_configuration() {
    let Some(envoy) = support::envoy() else { return };
    let upstream = Upstream::echo();
    let yaml = config(
        "request_timeout: 5s",
        "- {match: {prefix: \"/\"}, route: {cluster: up, timeout: 0.25s, prefix_rewrite: /x}}",
        &[
            ("up", &[upstream.address, upstream.address], "    circuit_breakers: {thresholds: [{priority: HIGH, max_requests: 7}]}\n    alt_stat_name: other\n"),
            ("another", &[], "    lb_policy: LEAST_REQUEST\n    connect_timeout: 1.5s\n"),
        ],
    )
    .replace("endpoints:\n      - lb_endpoints:\n        - endpoint", "endpoints:\n      - locality: {region: r, zone: z}\n        lb_endpoints:\n        - endpoint")
    .replace("      endpoints:\n      - lb_endpoints:\n", "");
    let ours = Proxy::start(&yaml);
    let folder = Folder::new();
    let address = folder.0.join("address");
    let mut theirs = Command::new(envoy)
        .arg("-c")
        .arg(folder.file("config.yaml", &yaml))
        .args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "off", "--admin-address-path"])
        .arg(&address)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Envoy runs");
    let end = std::time::Instant::now() + PATIENCE;
    let at = loop {
        let text = std::fs::read_to_string(&address).unwrap_or_default();
        if let Ok(at) = text.trim().parse::<std::net::SocketAddr>() {
            break at;
        }
        assert!(std::time::Instant::now() < end, "Envoy does not start");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let mut complaints = String::new();
    let times = regex::Regex::new(r#""last_updated": "[^"]*""#).expect("a pattern");
    for path in [
        // One at a time: Envoy shows them in no order.
        "/clusters?filter=^up$",
        "/clusters?filter=^another$",
        "/clusters?format=json&filter=^up$",
        "/clusters?format=json&filter=^another$",
        "/config_dump?resource=static_clusters",
        "/config_dump?resource=static_listeners",
        "/config_dump?resource=static_route_configs",
        "/config_dump?resource=static_clusters&mask=cluster.name",
        "/config_dump?resource=static_clusters&name_regex=^up",
        "/config_dump?mask=bootstrap.admin.address",
        "/config_dump?mask=nothing.of.that",
        "/config_dump?resource=nothing",
        "/certs",
        "/init_dump",
        "/runtime",
    ] {
        let shown = |response: Response| {
            let text = times.replace_all(&response.text(), "<time>").into_owned();
            // The order of fields is of no importance.
            let text = match serde_json::from_str::<Value>(&text.replace("<time>", "\"last_updated\": 0")) {
                Ok(mut value) => {
                    value.sort_all_objects();
                    format!("{value:#}")
                }
                Err(_) => text,
            };
            (response.status, text)
        };
        let (theirs, ours) = (shown(Client::connect(at).get(path)), shown(get(&ours, path)));
        if theirs != ours {
            complaints.push_str(&format!("{path}:\n- {} {}\n+ {} {}\n", theirs.0, theirs.1, ours.0, ours.1));
        }
    }
    let _ = theirs.kill();
    let _ = theirs.wait();
    let _ = std::io::stderr().flush();
    assert!(complaints.is_empty(), "{complaints}");
}
