//! The life of the process: start, signals, draining, admin interface, access logs, exit codes.

mod support;

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use support::{Client, Folder, PATIENCE, Proxy, Upstream, config, simple};

const TO_UP: &str = "- {match: {prefix: \"/\"}, route: {cluster: up}}";

/// Runs the binary to its end; gives exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_nuncio"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn sigterm_finishes_open_requests_and_exits_with_0() {
    let (told, request_came) = channel();
    let (go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |mut client, _| {
        client.request();
        told.send(()).expect("the test waits");
        wait.lock().expect("once").recv().expect("the test says go");
        client.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone");
    });
    let mut proxy = Proxy::start(&simple(upstream.address));
    let mut busy = proxy.connect();
    let mut idle = proxy.connect();
    busy.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    request_came.recv_timeout(PATIENCE).expect("the request comes");
    proxy.await_stat("http.test.downstream_cx_active", 2);
    let admin = proxy.admin();
    proxy.signal("TERM");
    // The connection without a request is closed, the other one goes on.
    idle.assert_closed();
    let ready = Client::connect(admin).get("/ready");
    assert_eq!((ready.status, ready.text().as_str()), (503, "DRAINING\n"));
    assert!(std::net::TcpStream::connect(proxy.first()).is_err(), "no new connections");
    go.send(()).expect("the upstream waits");
    let response = busy.response();
    assert_eq!((response.text().as_str(), response.header("connection")), ("done", Some("close")));
    busy.assert_closed();
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let upstream = Upstream::start(|mut client, _| while client.request().is_some() {});
    let mut proxy = Proxy::start(&simple(upstream.address));
    let mut busy = proxy.connect();
    busy.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    proxy.await_stat("http.test.downstream_rq_active", 1);
    proxy.signal("INT");
    let admin = proxy.admin();
    while Client::connect(admin).get("/ready").status != 503 {}
    proxy.signal("INT");
    busy.assert_closed();
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn the_drain_time_is_a_limit() {
    let upstream = Upstream::start(|mut client, _| while client.request().is_some() {});
    let mut proxy =
        Proxy::start_with(&simple(upstream.address), &["--drain-time-s", "0", "--concurrency", "1"]);
    let mut busy = proxy.connect();
    busy.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    proxy.await_stat("http.test.downstream_rq_active", 1);
    proxy.signal("TERM");
    busy.assert_closed();
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn admin_answers() {
    let upstream = Upstream::echo();
    let mut proxy = Proxy::start(&simple(upstream.address));
    proxy.connect().get("/");
    let get = |path: &str| Client::connect(proxy.admin()).get(path);
    let ready = get("/ready");
    assert_eq!((ready.status, ready.text().as_str()), (200, "LIVE\n"));
    assert_eq!(ready.header("content-type"), Some("text/plain; charset=UTF-8"));
    let info = get("/server_info");
    assert_eq!(info.header("content-type"), Some("application/json"));
    for part in ["\"version\": \"nuncio/", "\"state\": \"LIVE\"", "\"concurrency\": 1"] {
        assert!(info.text().contains(part), "{part} in {}", info.text());
    }
    let stats = get("/stats").text();
    for line in ["server.live: 1", "http.test.downstream_rq_total: 1", "cluster.up.upstream_rq_200: 1"] {
        assert!(stats.lines().any(|found| found == line), "{line} in {stats}");
    }
    // Counters and gauges first, then histograms; both by name.
    let rows: Vec<_> = stats.lines().map(|line| line.split_once(": ").expect("name and value")).collect();
    assert!(rows.is_sorted_by_key(|(name, value)| (value.parse::<u64>().is_err(), *name)));
    assert!(get("/listeners").text().starts_with("main::127.0.0.1:"));
    assert!(get("/help").text().contains("/quitquitquit (POST)"));
    assert_eq!(get("/").status, 200);
    assert_eq!(get("/nonsense").status, 404);
    // What changes something wants POST.
    let refused = get("/quitquitquit");
    assert_eq!((refused.status, refused.text().as_str()), (405, "Method GET not allowed, POST required."));
    let quit = Client::connect(proxy.admin()).post("/quitquitquit");
    assert_eq!((quit.status, quit.text().as_str()), (200, "OK\n"));
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn the_access_log_has_a_line_for_each_request_and_is_reopened() {
    let upstream = Upstream::echo();
    let folder = Folder::new();
    let log = folder.0.join("access.log");
    let hcm = format!(
        "access_log: [{{name: f, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {}}}}}]",
        log.display()
    );
    let yaml = config(&hcm, TO_UP, &[("up", &[upstream.address], "")]);
    let mut proxy = Proxy::start_with(&yaml, &["--concurrency", "1", "--file-flush-interval-msec", "5"]);
    let await_lines = |path: &std::path::Path, count: usize| loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count {
            return text;
        }
        std::thread::yield_now();
    };
    let mut client = proxy.connect();
    client.send("POST /a?b HTTP/1.1\r\nhost: here\r\nuser-agent: me\r\ncontent-length: 3\r\n\r\nabc");
    client.response();
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.response().status, 400);
    let text = await_lines(&log, 2);
    let lines: Vec<_> = text.lines().collect();
    let words: Vec<_> = lines[0].split(' ').collect();
    assert_eq!(&words[1..6], ["\"POST", "/a?b", "HTTP/1.1\"", "200", "-"], "{}", lines[0]);
    assert_eq!(words[6], "3", "bytes received");
    assert!(lines[0].contains(" \"-\" \"me\" \""), "{}", lines[0]);
    assert!(lines[0].ends_with(&format!("\"here\" \"{}\"", upstream.address)), "{}", lines[0]);
    assert!(lines[1].contains("\"- - HTTP/1.1\" 400 DPE 0 11 "), "{}", lines[1]);
    // Rotated: new lines go to a new file of the old name.
    let old = folder.0.join("old.log");
    std::fs::rename(&log, &old).expect("renamed");
    proxy.signal("USR1");
    loop {
        let mut client = proxy.connect();
        client.get("/again");
        if log.exists() {
            break;
        }
    }
    assert!(await_lines(&log, 1).contains("GET /again"));
    // What is not written yet is written at the end.
    proxy.connect().get("/last");
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    let all = std::fs::read_to_string(&log).expect("the log");
    assert!(all.contains("GET /last"), "{all}");
}

#[test]
fn the_access_log_goes_to_standard_output() {
    let upstream = Upstream::echo();
    let hcm = "access_log: [{name: s, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}]";
    let mut proxy = Proxy::start(&config(hcm, TO_UP, &[("up", &[upstream.address], "")]));
    proxy.connect().get("/x");
    proxy.signal("TERM");
    proxy.wait();
    let mut text = String::new();
    proxy.child.stdout.take().expect("piped").read_to_string(&mut text).expect("text");
    assert!(text.contains("\"GET /x HTTP/1.1\" 200 - 0 "), "{text}");
}

#[test]
fn a_full_disk_is_said_once_and_costs_no_request() {
    let upstream = Upstream::echo();
    let hcm = "access_log: [{name: f, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/full}}]";
    let yaml = config(hcm, TO_UP, &[("up", &[upstream.address], "")]);
    let proxy = Proxy::start_with(&yaml, &["--concurrency", "1", "--file-flush-interval-msec", "1"]);
    let before = proxy.log().lines().count();
    let mut client = proxy.connect();
    for failed in 1..=20 {
        assert_eq!(client.get("/").status, 200);
        proxy.await_stat("filesystem.write_failed", failed);
    }
    assert_eq!(proxy.log().lines().count(), before + 1);
}

#[test]
fn descriptors_that_run_out_are_said_once_and_come_back() {
    let upstream = Upstream::echo();
    let folder = Folder::new();
    let path = folder.file("config.yaml", &simple(upstream.address));
    let mut command = Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_nuncio");
    let run = format!("ulimit -n 40; exec {binary} -c {} -l info --concurrency 1", path.display());
    command.args(["-c", &run]);
    let proxy = Proxy::spawn(command, folder);
    let before = proxy.log().lines().count();
    // The system queues those that the proxy has no descriptor for; each of them is an edge at the socket.
    let crowd: Vec<_> = (0..80).map(|_| proxy.connect()).collect();
    drop(crowd);
    assert_eq!(proxy.connect().get("/").status, 200);
    let said = proxy.log().lines().count() - before;
    assert_eq!(said, 1, "{}", proxy.log());
}

#[test]
fn a_port_that_is_taken_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let upstream = Upstream::echo();
    let yaml = simple(upstream.address).replacen(
        "port_value: 0}}\n    filter_chains",
        &format!("port_value: {port}}}}}\n    filter_chains"),
        1,
    );
    let folder = Folder::new();
    let path = folder.file("c.yaml", &yaml);
    let (code, _, errors) = run(&["-c", path.to_str().expect("plain")]);
    assert_eq!(code, Some(1));
    assert!(errors.contains(&format!("cannot bind listener 'main' to 127.0.0.1:{port}")), "{errors}");
}

#[test]
fn the_admin_address_is_written_to_a_file() {
    let upstream = Upstream::echo();
    let folder = Folder::new();
    let path = folder.0.join("admin");
    let flags = ["--concurrency", "1", "--admin-address-path", path.to_str().expect("plain")];
    let proxy = Proxy::start_with(&simple(upstream.address), &flags);
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), proxy.admin().to_string());
}

#[test]
fn the_log_goes_to_a_file_and_is_reopened() {
    let folder = Folder::new();
    let (log, old) = (folder.0.join("log"), folder.0.join("old"));
    let path = folder.file("c.yaml", &simple(Upstream::echo().address));
    let mut proxy = Command::new(env!("CARGO_BIN_EXE_nuncio"))
        .args(["--concurrency", "1", "--log-format", "%n %v", "--log-path"])
        .args([log.as_os_str(), "-c".as_ref(), path.as_os_str()])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let signal = |name: &str| {
        let status = Command::new("kill").args(["-s", name, &proxy.id().to_string()]).status();
        assert!(status.expect("kill").success());
    };
    while !std::fs::read_to_string(&log).unwrap_or_default().contains("starting main dispatch loop\n") {
        std::thread::yield_now();
    }
    std::fs::rename(&log, &old).expect("renamed");
    signal("USR1");
    while !log.exists() {
        std::thread::yield_now();
    }
    signal("TERM");
    let mut said = String::new();
    proxy.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert_eq!((proxy.wait().expect("it ends").code(), said.as_str()), (Some(0), ""));
    assert!(!std::fs::read_to_string(&log).expect("the log").is_empty());
    let path = path.to_str().expect("plain");
    let (code, _, errors) = run(&["-c", path, "--log-path", "/nonexistent/log"]);
    assert!(code == Some(1) && errors.contains("--log-path /nonexistent/log"), "{errors}");
    let (code, _, errors) = run(&["-c", path, "--mode", "validate", "--log-path", "/nonexistent/log"]);
    assert_eq!(code, Some(0), "{errors}");
    let (code, _, errors) = run(&["-c", path, "--log-format", "%q"]);
    assert!(code == Some(1) && errors.contains("--log-format: `%q`"), "{errors}");
    assert_eq!(run(&["--hot-restart-version"]), (Some(0), String::new(), "disabled".to_owned()));
}

#[test]
fn version_and_help() {
    let (code, out, _) = run(&["--version"]);
    assert_eq!((code, out.trim()), (Some(0), concat!("nuncio ", env!("CARGO_PKG_VERSION"))));
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for part in ["--config-path", "--concurrency", "--mode", "critical", "Examples:", "SIGTERM"] {
        assert!(out.contains(part), "{part} in {out}");
    }
    // What start scripts written for Envoy have, and is as they ask already.
    assert_eq!(run(&["--disable-hot-restart", "--cpuset-threads", "--mode", "validate"]).0, Some(0));
}
