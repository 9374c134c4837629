//! Access logs of listeners: one line for each connection, and for each that comes to nothing.

use super::config::{Chain, config, filter, listener, only};
use super::support::{Client, Folder, Proxy, Upstream};
use std::path::Path;
use std::time::{Duration, Instant};

/// `access_log` with one file and this format.
pub fn file(path: &Path, format: &str) -> String {
    format!(
        "access_log: [{{name: f, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {path:?}, log_format: {{text_format_source: {{inline_string: \"{format}\\n\"}}}}}}}}]"
    )
}

/// A line of a file, when it is there.
pub fn line(path: &Path, at: usize) -> String {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        if let Some(line) = whole.lines().nth(at) {
            return line.to_owned();
        }
        assert!(Instant::now() < until, "line {at} of {text:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A proxy whose logs come soon.
pub fn start(yaml: &str) -> Proxy {
    Proxy::start_with(yaml, &["--file-flush-interval-msec", "10"])
}

const TCP: &str = r#"[{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up}}]"#;

#[test]
fn of_http_connections() {
    let folder = Folder::new();
    let log = folder.0.join("log");
    let format = "%PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %ACCESS_LOG_TYPE% %FILTER_CHAIN_NAME% %DOWNSTREAM_DETECTED_CLOSE_TYPE%";
    let proxy = start(&config(&[listener("main", &file(&log, format), &[Chain("one", "", "")])], "", ""));
    let at = proxy.address("main");
    let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    // Nothing but silence.
    drop(Client::connect(at));
    assert_eq!(line(&log, 0), "- 0 - 0 0 NotSet one Normal");
    // Two requests.
    let mut client = Client::connect(at);
    let mut sent = 0;
    for _ in 0..2 {
        client.send(get);
        let response = client.response();
        sent += response.body.len() + response.head.len();
    }
    drop(client);
    assert_eq!(line(&log, 1), format!("HTTP/1.1 0 - {} {sent} NotSet one Normal", 2 * get.len()));
    // Half a request.
    let mut client = Client::connect(at);
    client.send("GET / HT");
    proxy.await_stat("http.one.downstream_cx_rx_bytes_total", 2 * get.len() as u64 + 8);
    drop(client);
    assert_eq!(line(&log, 2), "HTTP/1.1 0 - 8 0 NotSet one Normal");
    // None.
    let mut client = Client::connect(at);
    client.send("NONSENSE\r\n\r\n");
    client.until_closed();
    drop(client);
    let refused = line(&log, 3);
    assert!(refused.starts_with("- 0 DPE 12 "), "{refused}");
    // HTTP/2.
    let mut client = Client::connect(at);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    client.exactly(9);
    drop(client);
    assert!(line(&log, 4).starts_with("HTTP/2 0 - 33 "), "{}", line(&log, 4));
}

#[test]
fn of_what_gets_no_chain_or_comes_to_nothing_before() {
    let folder = Folder::new();
    let log = folder.0.join("log");
    let format = "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %FILTER_CHAIN_NAME% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%";
    let options = format!("{}\n{}", file(&log, format), only("proxy_protocol", ""));
    let chain = Chain("far", "destination_port: 9", "");
    let proxy = start(&config(&[listener("main", &options, &[chain])], "", ""));
    let at = proxy.address("main");
    let mut client = Client::connect(at);
    client.send("PROXY TCP4 192.0.2.1 192.0.2.2 3 4\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n");
    client.assert_closed();
    assert_eq!(line(&log, 0), "NR filter_chain_not_found 0 - 192.0.2.1");
    let mut client = Client::connect(at);
    client.send("NONSENSE\r\n");
    client.assert_closed();
    assert_eq!(line(&log, 1), "- - 0 - 127.0.0.1");
    let mut client = Client::connect(at);
    client.send("PRO");
    proxy.await_stat("listener.127.0.0.1_0.downstream_pre_cx_active", 1);
    drop(client);
    assert_eq!(line(&log, 2), "- - 0 - 127.0.0.1");
}

#[test]
fn of_tcp_sessions_with_all_that_is_known_of_them() {
    let folder = Folder::new();
    let (log, own) = (folder.0.join("log"), folder.0.join("own"));
    let upstream = Upstream::start(|mut client, _| {
        client.exactly(5);
        client.send("answer");
    });
    let format = "%ACCESS_LOG_TYPE% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %DYNAMIC_METADATA(ns)% %DYNAMIC_METADATA(ns:k)% %DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_LOCAL_PORT%";
    let rules = "rules: [{tlv_type: 5, on_tlv_present: {metadata_namespace: ns, key: k}}]";
    let options = format!("{}\n{}", file(&log, format), only("proxy_protocol", rules));
    let tcp = TCP.replace("cluster: up", &format!("cluster: up, {}", file(&own, format)));
    let main = listener("main", &options, &[]) + &format!("    filter_chains: [{{filters: {tcp}}}]\n");
    let proxy = start(&config(&[main], &upstream.address.to_string(), ""));
    let at = proxy.address("main");
    let mut client = Client::connect(at);
    let ends = [192, 0, 2, 1, 192, 0, 2, 2, 0, 3, 0, 4];
    client.send([b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11", &ends[..], b"\x05\0\x02hi", b"hello"].concat());
    assert_eq!(client.until_closed(), b"answer");
    drop(client);
    let rest =
        format!("5 6 {} up {{\"k\":\"hi\"}} hi 192.0.2.1:3 192.0.2.2:4 {}", upstream.address, at.port());
    assert_eq!(line(&log, 0), format!("NotSet {rest}"));
    assert_eq!(line(&own, 0), format!("TcpConnectionEnd {rest}"));
}

#[test]
fn of_what_network_filters_do_with_what_was_read_before_them() {
    let folder = Folder::new();
    let log = folder.0.join("log");
    let format = "%CONNECTION_TERMINATION_DETAILS% %DOWNSTREAM_LOCAL_CLOSE_REASON% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT%";
    let rbac = r#"{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: r, rules: {action: ALLOW, policies: {p: {permissions: [{any: true}], principals: [{remote_ip: {address_prefix: 192.0.2.0, prefix_len: 24}}]}}}}}"#;
    let echo = r#"{name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}"#;
    let direct = r#"{name: d, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config, response: {inline_string: direct}}}"#;
    let options = |log: &Path| format!("{}\n{}", file(log, format), only("proxy_protocol", ""));
    let mut http = listener("http", &options(&log), &[Chain("one", "", "")]);
    http = http.replace("      filters:\n", &format!("      filters:\n      - {rbac}\n"));
    let upstream = Upstream::echo();
    let chain = |name: &str, filters: &str, log: &Path| {
        listener(name, &options(log), &[]) + &format!("    filter_chains: [{{filters: [{filters}]}}]\n")
    };
    let logs: Vec<_> = ["tcp", "echo", "direct"].map(|name| folder.0.join(name)).into();
    let listeners = [
        http,
        chain("tcp", &format!("{rbac}, {}", &TCP[1..TCP.len() - 1]), &logs[0]),
        chain("echo", &format!("{rbac}, {echo}"), &logs[1]),
        chain("direct", direct, &logs[2]),
    ];
    let proxy = start(&config(&listeners, &upstream.address.to_string(), ""));
    let header = |source: &str| format!("PROXY TCP4 {source} 192.0.2.9 3 4\r\n");
    let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let denied = "rbac_access_denied_matched_policy[none] rbac_deny_close -";

    // Who may come is served at once, who may not never is, although all came in one segment.
    for (name, log) in [("http", &log), ("tcp", &logs[0]), ("echo", &logs[1])] {
        let mut client = Client::connect(proxy.address(name));
        client.send(header("192.0.3.1") + get);
        assert_eq!(client.until_closed(), b"", "{name}");
        let line = line(log, 0);
        assert_eq!(line, format!("{denied} {} 0", get.len()), "{name}");
    }
    assert_eq!(proxy.stat("http.one.downstream_rq_total"), 0);
    let mut client = Client::connect(proxy.address("http"));
    client.send(header("192.0.2.1") + get);
    assert_eq!(client.response().text(), "one");
    for name in ["tcp", "echo"] {
        let mut client = Client::connect(proxy.address(name));
        client.send(header("192.0.2.1") + get);
        if name == "echo" {
            assert_eq!(client.exactly(get.len()), get.as_bytes());
        } else {
            assert_eq!(client.response().status, 200);
        }
    }
    assert_eq!(line(&logs[1], 1), format!("- - - {0} {0}", get.len()));
    let mut client = Client::connect(proxy.address("direct"));
    client.send(header("192.0.2.1"));
    assert_eq!(client.until_closed(), b"direct");
    assert_eq!(line(&logs[2], 0), "- - direct_response 0 6");
}

#[test]
fn fingerprints_and_failures_of_client_hellos() {
    let folder = Folder::new();
    let log = folder.0.join("log");
    let format = "%REQUESTED_SERVER_NAME% %TLS_JA3_FINGERPRINT% %TLS_JA4_FINGERPRINT% %DYNAMIC_METADATA(envoy.filters.listener.tls_inspector:failure_reason)%";
    let inspector =
        filter("tls_inspector", "enable_ja3_fingerprinting: true, enable_ja4_fingerprinting: true");
    let options = format!("{}\nlistener_filters: [{inspector}]", file(&log, format));
    let main = listener("main", &options, &[]) + &format!("    filter_chains: [{{filters: {TCP}}}]\n");
    let proxy = start(&config(&[main], "", ""));
    // TLS 1.2, one cipher suite, the name `a`.
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0, 0, 10, 0, 0, 0, 6, 0, 4, 0, 0, 1, b'a']);
    let mut hello = vec![22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
    hello.extend(&body);
    let mut client = Client::connect(proxy.address("main"));
    client.send(&hello);
    client.assert_closed();
    let line_0 = line(&log, 0);
    let parts: Vec<_> = line_0.split(' ').collect();
    assert_eq!((parts[0], parts[1].len(), parts[3]), ("a", 32, "-"), "{line_0}");
    assert!(parts[2].starts_with("t12d0101"), "{line_0}");
    let mut client = Client::connect(proxy.address("main"));
    client.send("hello");
    client.assert_closed();
    assert_eq!(line(&log, 1), "- - - ClientHelloNotDetected");
}
