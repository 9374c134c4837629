//! Access logs of sessions and of the proxy.

use crate::support::{Folder, PATIENCE, Proxy};
use crate::udp_support::{Client, Host, Listener, udp};
use std::path::Path;
use std::time::Instant;

fn log(field: &str, path: &Path, format: &str) -> String {
    format!(
        "        {field}:\n        - name: log\n          typed_config:\n            \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog\n            path: {}\n            log_format: {{text_format_source: {{inline_string: \"{format}\\n\"}}}}\n",
        path.display()
    )
}

/// The lines of a file, once it has so many.
fn lines(path: &Path, count: usize) -> Vec<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < end, "{lines:?}");
        std::thread::yield_now();
    }
}

const FLAGS: [&str; 4] = ["--concurrency", "1", "--file-flush-interval-msec", "20"];

#[test]
fn a_session_has_a_line_at_its_end() {
    let folder = Folder::new();
    let path = folder.0.join("log");
    let host = Host::named("12");
    let format = "%ACCESS_LOG_TYPE% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% \
        %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %UPSTREAM_HOST% %UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_CLUSTER% \
        %DYNAMIC_METADATA(udp.proxy.session:cluster_name)% %DYNAMIC_METADATA(udp.proxy.session:datagrams_received)% \
        %DYNAMIC_METADATA(udp.proxy.session:datagrams_sent)% %DYNAMIC_METADATA(udp.proxy.session:errors_sent)% \
        %DYNAMIC_METADATA(udp.proxy.session:bytes_received)% %DYNAMIC_METADATA(udp.proxy.session:bytes_sent)%";
    let fields = format!("        idle_timeout: 0.3s\n{}", log("access_log", &path, format));
    let proxy = Proxy::start_with(&udp(&fields, &[host.address]), &FLAGS);
    let client = Client::connect(proxy.first());
    for _ in 0..3 {
        client.ask(b"hello");
    }
    let upstream = *host.senders().keys().next().expect("one");
    let wanted = format!(
        "UdpSessionEnd - 0 - 15 21 {} {} {} {upstream} - up 3 3 0 15 21",
        proxy.first(),
        client.address(),
        host.address
    );
    assert_eq!(lines(&path, 1), [wanted]);
}

#[test]
fn a_session_that_may_not_begin_has_a_line_too() {
    let folder = Folder::new();
    let path = folder.0.join("log");
    let host = Host::echo();
    let format =
        "%RESPONSE_FLAGS% %UPSTREAM_HOST% %DOWNSTREAM_REMOTE_ADDRESS% %DYNAMIC_METADATA(udp.proxy.session)%";
    let fields = log("access_log", &path, format);
    let cluster = "    circuit_breakers: {thresholds: [{max_connections: 0}]}\n";
    let yaml = Listener { proxy: &fields, cluster, ..Listener::default() }.config(&[host.address]);
    let proxy = Proxy::start_with(&yaml, &FLAGS);
    let client = Client::connect(proxy.first());
    client.send(b"hello");
    let metadata = r#"{"bytes_received":0,"bytes_sent":0,"cluster_name":"up","datagrams_received":0,"datagrams_sent":0,"errors_sent":0}"#;
    assert_eq!(lines(&path, 1), [format!("UO - {} {metadata}", client.address())]);
}

#[test]
fn a_session_that_goes_on_has_lines_meanwhile() {
    let folder = Folder::new();
    let path = folder.0.join("log");
    let host = Host::echo();
    let fields = format!(
        "        access_log_options: {{access_log_flush_interval: 0.1s}}\n{}",
        log("access_log", &path, "%ACCESS_LOG_TYPE% %BYTES_RECEIVED%")
    );
    let mut proxy = Proxy::start_with(&udp(&fields, &[host.address]), &FLAGS);
    let client = Client::connect(proxy.first());
    client.ask(b"12345");
    assert_eq!(lines(&path, 2)[..2], ["UdpPeriodic 5", "UdpPeriodic 5"]);
    client.ask(b"123");
    let seen = lines(&path, 1).len();
    assert_eq!(lines(&path, seen + 2)[seen + 1], "UdpPeriodic 8");
    // Whatever ends a session, it has its line.
    let quit = crate::support::Client::connect(proxy.admin()).post("/quitquitquit");
    assert_eq!(quit.status, 200);
    proxy.wait();
    assert_eq!(lines(&path, 1).last().map(String::as_str), Some("UdpSessionEnd 8"));
}

#[test]
fn the_proxy_has_a_line_for_each_worker() {
    let folder = Folder::new();
    let path = folder.0.join("log");
    let host = Host::echo();
    let number = |name: &str| format!("%DYNAMIC_METADATA(udp.proxy.proxy:{name})%");
    let names = ["session_total", "datagrams_received", "datagrams_sent", "bytes_received", "bytes_sent"];
    let format = format!("%ACCESS_LOG_TYPE% {}", names.map(number).join(" "));
    let fields = log("proxy_access_log", &path, &format);
    let mut proxy = Proxy::start_with(&udp(&fields, &[host.address]), &["--concurrency", "2"]);
    // All stay open: a port that is used again would be the same session.
    let clients: Vec<_> = (0..60).map(|_| Client::connect(proxy.first())).collect();
    for client in &clients {
        client.ask(b"abc");
    }
    proxy.await_stat("udp.test.downstream_sess_total", 60);
    assert_eq!(crate::support::Client::connect(proxy.admin()).post("/quitquitquit").status, 200);
    proxy.wait();
    let lines = lines(&path, 2);
    let numbers: Vec<Vec<u64>> = lines
        .iter()
        .map(|line| {
            let rest = line.strip_prefix("NotSet ").expect("its type");
            rest.split(' ').map(|part| part.parse().expect("a number")).collect()
        })
        .collect();
    let sum: Vec<_> = (0..names.len()).map(|at| numbers.iter().map(|row| row[at]).sum::<u64>()).collect();
    assert_eq!((numbers.len(), sum), (2, vec![60, 60, 60, 180, 180]));
    assert!(numbers.iter().all(|row| row[0] > 5), "both have sessions: {lines:?}");
}
