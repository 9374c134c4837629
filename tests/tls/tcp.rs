//! TLS below the TCP proxy: ended on one side, begun on the other, and who is let in by certificate.

use super::certs::{Authority, Pem};
use super::client::{Client, Config, serve};
use super::config::{Tunnel, server_tls, upstream_tls};
use super::support::{Folder, PATIENCE, Proxy};
use rustls::version::{TLS12, TLS13};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

/// Plain TLS sessions to a host of TLS; `filters` stand before the proxy, `common` is more of the listener's TLS.
fn yaml(pem: &Pem, host: SocketAddr, filters: &str, common: &str, folder: &Folder) -> String {
    let log = format!(
        r#"          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {}
              log_format: {{text_format_source: {{inline_string: "%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_TLS_VERSION% %BYTES_RECEIVED% %BYTES_SENT% %CONNECTION_TERMINATION_DETAILS%\n"}}}}
"#,
        folder.0.join("log").display()
    );
    let (chain, cluster) = (server_tls(pem, folder, common), upstream_tls("sni: up.test"));
    Tunnel { chain: &chain, filters, proxy: &log, cluster: &cluster }.yaml(host)
}

fn start(yaml: &str) -> Proxy {
    Proxy::start_with(yaml, &["--concurrency", "1", "--file-flush-interval-msec", "10"])
}

/// A host of TLS that sends back what comes, and then the end.
fn echo(pem: &Pem) -> SocketAddr {
    serve(pem, &[&TLS13, &TLS12], |mut stream| {
        let mut block = vec![0; 65536];
        while let Ok(n) = stream.read(&mut block) {
            if n == 0 || stream.write_all(&block[..n]).is_err() {
                break;
            }
        }
        stream.conn.send_close_notify();
        let _ = stream.flush();
    })
}

fn say(client: &mut Client, text: &[u8]) {
    client.stream.write_all(text).expect("sent");
    let mut answer = vec![0; text.len()];
    client.stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, text);
}

/// The lines of the access log, once there are so many.
fn lines(folder: &Folder, count: usize) -> Vec<String> {
    let begin = Instant::now();
    loop {
        let text = std::fs::read_to_string(folder.0.join("log")).unwrap_or_default();
        if text.lines().count() >= count && text.ends_with('\n') {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(begin.elapsed() < PATIENCE, "{count} lines are expected: {text}");
        std::thread::yield_now();
    }
}

#[test]
fn sessions_are_carried_between_two_connections_of_tls() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let pem = authority.issue(&["a.test"]);
    let proxy = start(&yaml(&pem, echo(&authority.issue(&["up.test"])), "", "", &folder));
    for version in [&TLS12, &TLS13] {
        let mut client = Config::version(version).connect(proxy.first()).expect("a connection");
        say(&mut client, b"small");
        // Large both ways, byte for byte; one thread writes while the other reads.
        let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
        let mut received = Vec::new();
        for part in sent.chunks(50_000) {
            client.stream.write_all(part).expect("sent");
            let mut answer = vec![0; part.len()];
            client.stream.read_exact(&mut answer).expect("an answer");
            received.extend_from_slice(&answer);
        }
        assert!(received == sent, "what comes back is what was sent");
        // The client has no more to say; what it has said last is still answered, and the end comes in order.
        client.stream.write_all(b"last").expect("sent");
        client.stream.conn.send_close_notify();
        client.stream.flush().expect("sent");
        let (rest, clean) = client.rest_and_end();
        assert_eq!((&*rest, clean), (&b"last"[..], true));
    }
    let mut lines = lines(&folder, 2);
    lines.sort();
    assert_eq!(lines, ["- TLSv1.2 1000009 1000009 -", "- TLSv1.3 1000009 1000009 -"]);
    assert_eq!(proxy.stat("tcp.test.downstream_cx_rx_bytes_total"), 2 * 1_000_009);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_tx_bytes_total"), 2 * 1_000_009);
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
}

#[test]
fn certificates_say_who_may_come_in() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let pem = authority.issue(&["a.test"]);
    let ca = folder.file("ca.pem", &authority.pem);
    let rules = r#"      - name: rbac
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC
          stat_prefix: who.
          rules:
            action: ALLOW
            policies:
              web: {permissions: [{any: true}], principals: [{authenticated: {principal_name: {exact: "spiffe://test/web"}}}]}
"#;
    let context = format!("validation_context: {{trusted_ca: {{filename: {}}}}},", ca.display());
    let proxy = start(&yaml(&pem, echo(&authority.issue(&["up.test"])), rules, &context, &folder));
    let web = authority.issue(&["spiffe://test/web", "web.test"]);
    let mut client = Config::certificate(&web).connect(proxy.first()).expect("a connection");
    say(&mut client, b"let me in");
    drop(client);
    assert_eq!(lines(&folder, 1), ["spiffe://test/web TLSv1.3 9 9 -"]);
    // Another name, and none.
    let other = authority.issue(&["spiffe://test/other", "web.test"]);
    for config in [Config::certificate(&other), Config::new()] {
        let mut client = config.connect(proxy.first()).expect("a connection");
        let _ = client.stream.write_all(b"let me in");
        assert_eq!(client.rest_and_end().0, b"");
    }
    let lines = lines(&folder, 3);
    let denied = "rbac_access_denied_matched_policy[none]";
    assert_eq!(lines[1], format!("spiffe://test/other TLSv1.3 9 0 {denied}"));
    assert_eq!(lines[2], format!("- TLSv1.3 9 0 {denied}"));
    assert_eq!((proxy.stat("who.rbac.allowed"), proxy.stat("who.rbac.denied")), (1, 2));
}
