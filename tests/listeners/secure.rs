//! TLS with what listeners do around it: a chain for each name, PROXY headers before the handshake on either side.

use super::certs::{Authority, Pem};
use super::config::{Chain, config, filter, listener};
use super::haproxy::Haproxy;
use super::support::{Client, Folder, Proxy, Upstream, tool};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// A transport socket of a chain with this certificate, as a line of its fields.
fn tls(folder: &Folder, name: &str, pem: &Pem) -> String {
    let certificate = folder.file(&format!("{name}.crt"), &pem.certificate);
    let key = folder.file(&format!("{name}.key"), &pem.key);
    format!(
        "transport_socket: {{name: tls, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {{tls_certificates: [{{certificate_chain: {{filename: {certificate:?}}}, private_key: {{filename: {key:?}}}}}]}}}}}}"
    )
}

/// Gives a chain with this match a transport socket.
fn secured(listener: &str, matching: &str, socket: &str) -> String {
    let line = format!("      filter_chain_match: {{{matching}}}\n");
    assert!(listener.contains(&line));
    listener.replace(&line, &format!("{line}      {socket}\n"))
}

/// What curl gets, or what it complains of, when it asks this name for `/`.
fn curl(address: SocketAddr, name: &str, authority: &Folder, options: &[&str]) -> String {
    let port = address.port();
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--cacert"])
        .arg(authority.0.join("ca.crt"))
        .args(["--resolve", &format!("{name}:{port}:127.0.0.1")])
        .args(options)
        .arg(format!("https://{name}:{port}/"))
        .stdin(Stdio::null())
        .output()
        .expect("curl runs");
    let text = if output.status.success() { output.stdout } else { output.stderr };
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn each_name_has_its_chain_and_its_certificate() {
    if !tool("curl") || !tool("openssl") {
        return;
    }
    let (folder, authority) = (Folder::new(), Authority::new("ca"));
    folder.file("ca.crt", &authority.pem);
    // A host that ends TLS itself, behind a chain that passes its bytes on.
    let inner = config(
        &[secured(
            &listener("inner", "", &[Chain("inner", "", "")]),
            "",
            &tls(&folder, "inner", &authority.issue(&["passed.test"])),
        )],
        "",
        "",
    );
    let inner = Proxy::start(&inner);
    let names = [("www", "server_names: [www.test]"), ("below", "server_names: [\"*.test\"]")];
    let chains = [
        Chain("www", names[0].1, "codec_type: AUTO"),
        Chain("below", names[1].1, ""),
        Chain("plain", "transport_protocol: raw_buffer", ""),
    ];
    let inspector = format!("listener_filters: [{}]", filter("tls_inspector", ""));
    let mut main = listener("main", &inspector, &chains);
    for (name, matching) in names {
        let pem = authority.issue(&[&format!("{name}.test")]);
        main = secured(&main, matching, &tls(&folder, name, &pem));
    }
    main.push_str(
        r#"    - name: passed
      filter_chain_match: {server_names: [passed.test]}
      filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: passed, cluster: up}}]
"#,
    );
    let proxy = Proxy::start(&config(&[main], &inner.address("inner").to_string(), ""));
    let at = proxy.address("main");
    assert_eq!(curl(at, "www.test", &folder, &[]), "www");
    assert_eq!(curl(at, "www.test", &folder, &["--http2", "--tls-max", "1.2"]), "www");
    assert_eq!(curl(at, "below.test", &folder, &[]), "below");
    assert_eq!(curl(at, "passed.test", &folder, &[]), "inner");
    assert!(curl(at, "other.org", &folder, &[]).contains("curl: "), "no chain for it");
    assert_eq!(Client::connect(at).get("/").text(), "plain");
    assert_eq!(proxy.stat("listener.127.0.0.1_0.no_filter_chain_match"), 1);
    assert_eq!(proxy.stat("listener.127.0.0.1_0.ssl.handshake"), 3);
    assert_eq!(proxy.stat("tcp.passed.downstream_cx_total"), 1);

    // The handshake in pieces, each in a segment of its own, goes on where the inspector has left it.
    let shaken = Command::new("openssl")
        .args(["s_client", "-connect", &at.to_string(), "-servername", "www.test", "-brief"])
        .args(["-split_send_frag", "512", "-max_send_frag", "512", "-mtu", "576"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("openssl runs");
    assert!(shaken.success());
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    if !tool("curl") {
        return;
    }
    let (folder, authority) = (Folder::new(), Authority::new("ca"));
    folder.file("ca.crt", &authority.pem);
    let log = folder.0.join("log");
    let filters = format!(
        "listener_filters: [{}, {}]\n{}",
        filter("proxy_protocol", ""),
        filter("tls_inspector", ""),
        super::logs::file(&log, "%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %BYTES_RECEIVED%")
    );
    let main = listener("main", &filters, &[Chain("one", "server_names: [one.test]", "")]);
    let pem = authority.issue(&["one.test"]);
    let main = secured(&main, "server_names: [one.test]", &tls(&folder, "one", &pem));
    let proxy = super::logs::start(&config(&[main], "", ""));
    let at = proxy.address("main");
    assert_eq!(curl(at, "one.test", &folder, &["--haproxy-protocol"]), "one");
    let line = super::logs::line(&log, 0);
    assert!(line.starts_with("127.0.0.1:") && line.contains(" one.test "), "{line}");
    let received: u64 = line.rsplit(' ').next().expect("a number").parse().expect("a number");
    // The request alone, as it was before it was sealed.
    assert!((60..200).contains(&received), "{line}");
    assert!(curl(at, "one.test", &folder, &[]).contains("curl: "), "without the header");
    assert_eq!(proxy.stat("proxy_proto.versions.v1.found"), 1);
}

#[test]
fn haproxy_sends_a_header_and_then_tls() {
    if !tool("haproxy") {
        return;
    }
    let (folder, authority) = (Folder::new(), Authority::new("ca"));
    let ca = folder.file("ca.crt", &authority.pem);
    let log = folder.0.join("log");
    let filters = format!(
        "listener_filters: [{}, {}]\n{}",
        filter("proxy_protocol", ""),
        filter("tls_inspector", ""),
        super::logs::file(&log, "%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME%")
    );
    let main = listener("main", &filters, &[Chain("one", "server_names: [one.test]", "")]);
    let pem = authority.issue(&["one.test"]);
    let main = secured(&main, "server_names: [one.test]", &tls(&folder, "one", &pem));
    let proxy = super::logs::start(&config(&[main], "", ""));
    for (at, header) in ["send-proxy", "send-proxy-v2"].into_iter().enumerate() {
        let ssl = format!("ssl verify required ca-file {} sni str(one.test)", ca.display());
        let haproxy = Haproxy::start(
            "",
            &format!("server s {} {header} {ssl} verifyhost one.test", proxy.address("main")),
        );
        let mut client = Client::connect(haproxy.address);
        for _ in 0..2 {
            assert_eq!(client.get("/").text(), "one", "{header}");
        }
        let mine = client.stream.local_addr().expect("bound");
        drop(client);
        assert_eq!(super::logs::line(&log, at), format!("{mine} one.test"), "{header}");
    }
    assert_eq!(proxy.stat("proxy_proto.versions.v1.found"), 1);
    assert_eq!(proxy.stat("proxy_proto.versions.v2.found"), 1);
}

#[test]
fn upstream_a_proxy_header_comes_before_the_handshake() {
    if !tool("haproxy") {
        return;
    }
    let (folder, authority) = (Folder::new(), Authority::new("ca"));
    let ca = folder.file("ca.crt", &authority.pem);
    let pem = authority.issue(&["up.test"]);
    let both = folder.file("both.pem", &format!("{}{}", pem.certificate, pem.key));
    let upstream = Upstream::start(|mut client, _| {
        let header = client.until(b"\r\n");
        let shown = header.escape_ascii().to_string();
        while client.request().is_some() {
            client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{shown}", shown.len()));
        }
    });
    // It takes a header and TLS, and sends the header on without.
    let bind = format!("accept-proxy ssl crt {}", both.display());
    let haproxy = Haproxy::start(&bind, &format!("server s {} send-proxy", upstream.address));
    for version in ["V1", "V2"] {
        let inner = format!(
            "{{name: tls, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: up.test, common_tls_context: {{validation_context: {{trusted_ca: {{filename: {ca:?}}}}}}}}}}}"
        );
        let socket = format!(
            "    transport_socket: {{name: p, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {{version: {version}}}, transport_socket: {inner}}}}}\n    load_assignment"
        );
        let main = listener("main", "", &[Chain("one", "", "")]);
        let tcp = r#"  - name: tcp
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up}}]}]
"#;
        let yaml = config(&[main, tcp.to_owned()], &haproxy.address.to_string(), "");
        let proxy = Proxy::start(&yaml.replace("    load_assignment", &socket));
        for (name, path) in [("main", "/up"), ("tcp", "/")] {
            let at = proxy.address(name);
            let mut client = Client::connect(at);
            let mine = client.stream.local_addr().expect("bound");
            let wanted = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\\r\\n", mine.port(), at.port());
            for _ in 0..2 {
                assert_eq!(client.get(path).text(), wanted, "{version} {name}");
            }
        }
        assert_eq!(proxy.stat("cluster.up.ssl.handshake"), 2);
        assert_eq!(proxy.stat("cluster.up.upstream_cx_total"), 2);
    }
}

#[test]
fn a_handshake_in_single_bytes_after_the_inspector() {
    if !tool("openssl") {
        return;
    }
    let (folder, authority) = (Folder::new(), Authority::new("ca"));
    let inspector = format!("listener_filters: [{}]", filter("tls_inspector", ""));
    let main = listener("main", &inspector, &[Chain("one", "server_names: [one.test]", "")]);
    let pem = authority.issue(&["one.test"]);
    let main = secured(&main, "server_names: [one.test]", &tls(&folder, "one", &pem));
    let proxy = Proxy::start(&config(&[main], "", ""));
    // A way that cuts everything that the client sends into single bytes.
    let at = proxy.address("main");
    let way = Upstream::start(move |client, _| {
        let (mut from, mut back) = (client.stream.try_clone().expect("a socket"), client.stream);
        let mut to = Client::connect(at).stream;
        to.set_nodelay(true).expect("an option");
        let mut answers = to.try_clone().expect("a socket");
        let other = std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = std::io::Read::read(&mut from, &mut buffer) {
            for byte in &buffer[..n] {
                if to.write_all(&[*byte]).is_err() {
                    break;
                }
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
        let _ = other.join();
    });
    let shaken = Command::new("openssl")
        .args(["s_client", "-connect", &way.address.to_string(), "-servername", "one.test", "-brief"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("openssl runs");
    assert!(shaken.success());
    proxy.await_stat("listener.127.0.0.1_0.ssl.handshake", 1);
    assert_eq!(proxy.stat("tls_inspector.sni_found"), 1);
}
