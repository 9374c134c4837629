//! The PROXY protocol downstream: whose addresses are shown where, real senders, what is refused.

use super::config::{Chain, config, listener, only};
use super::haproxy::Haproxy;
use super::support::{Client, Folder, Proxy, Upstream, tool};
use std::net::Shutdown;
use std::process::Command;

/// A log line of the addresses.
const LOG: &str = r#"access_log: [{name: out, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: FILE, log_format: {text_format_source: {inline_string: "remote=%DOWNSTREAM_REMOTE_ADDRESS% direct=%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% local=%DOWNSTREAM_LOCAL_ADDRESS% xff=%REQ(X-FORWARDED-FOR)%\n"}}}}]"#;

/// A proxy with a listener for PROXY headers with these options, its upstream, and its log.
fn start(filter: &str) -> (Proxy, Upstream, Folder) {
    let (upstream, folder) = (Upstream::echo(), Folder::new());
    let log = LOG.replace("FILE", folder.0.join("log").to_str().expect("a plain path"));
    let options = format!("use_remote_address: true\n          {log}");
    let listeners = [listener("main", &only("proxy_protocol", filter), &[Chain("one", "", &options)])];
    let yaml = config(&listeners, &upstream.address.to_string(), "");
    let proxy = Proxy::start_with(&yaml, &["--concurrency", "1", "--file-flush-interval-msec", "20"]);
    (proxy, upstream, folder)
}

/// The lines of the log, once there are so many.
fn lines(folder: &Folder, count: usize) -> Vec<String> {
    let end = std::time::Instant::now() + super::support::PATIENCE;
    loop {
        let text = std::fs::read_to_string(folder.0.join("log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(std::time::Instant::now() < end, "{count} lines in {text:?}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// A header of version 2 for IPv4, from 1.2.3.4:1111 to 5.6.7.8:2222, with extensions.
fn v2(extensions: &[u8]) -> Vec<u8> {
    let ends = [1, 2, 3, 4, 5, 6, 7, 8, 4, 87, 8, 174];
    let length = (ends.len() + extensions.len()) as u16;
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &length.to_be_bytes()[..], &ends, extensions].concat()
}

#[test]
fn the_addresses_of_the_header_are_those_of_the_connection() {
    let (proxy, _upstream, folder) = start("");
    let request = b"GET /up HTTP/1.1\r\nhost: a\r\n\r\n";
    let headers = [b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n".to_vec(), v2(b"\x04\0\x03abc")];
    for header in &headers {
        // At once, split behind the header, and byte by byte.
        let mut whole = Client::connect(proxy.address("main"));
        whole.send([&header[..], request].concat());
        let mut split = Client::connect(proxy.address("main"));
        split.send(header);
        let mut bytes = Client::connect(proxy.address("main"));
        [&header[..], request].concat().iter().for_each(|byte| bytes.send([*byte]));
        split.send(request);
        for client in [&mut whole, &mut split, &mut bytes] {
            let response = client.response();
            assert_eq!(response.status, 200);
            assert!(response.text().contains("x-forwarded-for: 1.2.3.4\r\n"), "{}", response.text());
            // And so for what follows on the connection.
            assert!(client.get("/up").text().contains("x-forwarded-for: 1.2.3.4\r\n"));
        }
    }
    let wanted = "remote=1.2.3.4:1111 direct=127.0.0.1 local=5.6.7.8:2222 xff=1.2.3.4";
    assert_eq!(lines(&folder, 12), vec![wanted; 12]);
    assert_eq!(proxy.stat("proxy_proto.versions.v1.found"), 3);
    assert_eq!(proxy.stat("proxy_proto.versions.v2.found"), 3);
}

#[test]
fn the_old_switch_stands_for_the_filter() {
    let main = listener("main", "", &[Chain("one", "", "")]);
    let main = main.replace("    - name: one\n", "    - name: one\n      use_proxy_proto: true\n");
    let proxy = Proxy::start(&config(&[main], "", ""));
    let mut client = Client::connect(proxy.address("main"));
    client.send("PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n");
    assert_eq!(client.get("/").text(), "one");
    let mut client = Client::connect(proxy.address("main"));
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    client.assert_closed();
    assert_eq!(proxy.stat("proxy_proto.versions.v1.found"), 1);
}

#[test]
fn without_addresses_the_peer_is_the_client() {
    let (proxy, _upstream, folder) = start("");
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for header in [&b"PROXY UNKNOWN\r\n"[..], local] {
        let mut client = Client::connect(proxy.address("main"));
        client.send(header);
        assert_eq!(client.get("/").text(), "one");
        let address = client.stream.local_addr().expect("bound");
        let line = lines(&folder, 1).pop().expect("a line");
        let wanted = format!("remote={address} direct=127.0.0.1 local={} ", proxy.address("main"));
        assert!(line.starts_with(&wanted), "{line}");
        std::fs::write(folder.0.join("log"), "").expect("writable");
    }
}

#[test]
fn what_is_refused_is_closed_and_counted() {
    let (proxy, _upstream, _folder) = start("");
    for (start, counter) in [
        (&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], "proxy_proto.not_found_disallowed"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 x\r\n", "proxy_proto.versions.v1.error"),
        (b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0", "proxy_proto.versions.v2.error"),
    ] {
        let mut client = Client::connect(proxy.address("main"));
        client.send(start);
        client.assert_closed();
        assert_eq!(proxy.stat(counter), 1, "{counter}");
    }
    assert_eq!(proxy.stat("downstream_cx_proxy_proto_error"), 3);
    let client = Client::connect(proxy.address("main"));
    client.stream.shutdown(Shutdown::Write).expect("open");
    proxy.await_stat("listener.127.0.0.1_0.downstream_listener_filter_remote_close", 1);
    assert_eq!(proxy.stat("listener.127.0.0.1_0.downstream_cx_total"), 0);
    proxy.await_stat("listener.127.0.0.1_0.downstream_pre_cx_active", 0);
}

#[test]
fn a_header_may_be_optional_and_a_version_refused() {
    let (proxy, _upstream, folder) =
        start("allow_requests_without_proxy_protocol: true, disallowed_versions: [V2], stat_prefix: edge");
    assert_eq!(Client::connect(proxy.address("main")).get("/").text(), "one");
    let mut client = Client::connect(proxy.address("main"));
    client.send("PROXY TCP6 1::2 3::4 5 6\r\n");
    assert_eq!(client.get("/").text(), "one");
    let seen = lines(&folder, 2);
    assert!(seen[0].starts_with("remote=127.0.0.1:"), "{seen:?}");
    assert!(seen[1].starts_with("remote=[1::2]:5 direct=127.0.0.1 local=[3::4]:6 "), "{seen:?}");
    assert_eq!(proxy.stat("proxy_proto.edge.not_found_allowed"), 1);
    // A version that is not looked for is no header, and no HTTP either.
    let mut client = Client::connect(proxy.address("main"));
    client.send(v2(b""));
    assert_eq!(client.response().status, 400);
    let (proxy, ..) = start("disallowed_versions: [V1]");
    let mut client = Client::connect(proxy.address("main"));
    client.send("PROXY UNKNOWN\r\n");
    client.assert_closed();
    assert_eq!(proxy.stat("proxy_proto.versions.v1.disallowed"), 1);
}

#[test]
fn curl_sends_headers() {
    if !tool("curl") {
        return;
    }
    let (proxy, _upstream, folder) = start("");
    let url = format!("http://{}/", proxy.address("main"));
    let curl = |option: &[&str]| {
        let output =
            Command::new("curl").args(["-sS", "-m", "20"]).args(option).arg(&url).output().expect("curl");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "one", "{output:?}");
    };
    curl(&["--haproxy-protocol"]);
    assert!(lines(&folder, 1)[0].contains(&format!("local={} ", proxy.address("main"))));
    let help = Command::new("curl").args(["--help", "all"]).output().expect("curl");
    if String::from_utf8_lossy(&help.stdout).contains("--haproxy-clientip") {
        curl(&["--haproxy-clientip", "9.8.7.6"]);
        assert!(lines(&folder, 2)[1].starts_with("remote=9.8.7.6:"));
    }
}

#[test]
fn haproxy_sends_headers() {
    if !tool("haproxy") || !tool("python3") {
        return;
    }
    for (option, version) in [("send-proxy", "v1"), ("send-proxy-v2", "v2"), ("send-proxy-v2-ssl-cn", "v2")] {
        let (proxy, _upstream, folder) = start("");
        let haproxy = Haproxy::start("", &format!("server s {} {option}", proxy.address("main")));
        let mut client = Client::connect(haproxy.address);
        assert_eq!(client.get("/").text(), "one");
        let mine = client.stream.local_addr().expect("bound");
        let line = lines(&folder, 1).pop().expect("a line");
        let wanted = format!("remote={mine} direct=127.0.0.1 local={} ", haproxy.address);
        assert!(line.starts_with(&wanted), "{option}: {line}");
        assert_eq!(proxy.stat(&format!("proxy_proto.versions.{version}.found")), 1);
    }
}
