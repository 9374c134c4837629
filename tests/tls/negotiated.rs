//! What is agreed on in TLS and what follows from it: versions of HTTP, names; and TLS under what is not HTTP.

use super::certs::{Authority, Pem};
use super::client::{Config, echo, request, serve};
use super::config::{Listener, Tunnel, server_tls, upstream_tls};
use super::support::h2::{self, Peer};
use super::support::{Client, Folder, Proxy};
use rustls::version::{TLS12, TLS13};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};

/// A cluster's options of HTTP.
fn http(options: &str) -> String {
    format!(
        "typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{\"@type\": \
         type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, {options}}}}}"
    )
}

/// A proxy with TLS that answers by itself and speaks these protocols.
fn host(pem: &Pem, folder: &Folder, alpn: &str) -> Proxy {
    let listener = Listener::new(&[pem], folder).common(format!("alpn_protocols: [{alpn}]"));
    Proxy::start(&listener.yaml())
}

/// Passes connections on to wherever it is told, so that a host can become another.
struct Switch {
    address: SocketAddr,
    targets: Sender<SocketAddr>,
}

impl Switch {
    fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (targets, told) = channel();
        std::thread::spawn(move || {
            let mut target = target;
            for near in listener.incoming() {
                let Ok(near) = near else { return };
                target = told.try_iter().last().unwrap_or(target);
                let Ok(far) = TcpStream::connect(target) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) =
                        (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
            }
        });
        Self { address, targets }
    }
}

#[test]
fn hosts_choose_the_version_of_http() {
    let folder = Folder::new();
    let pem = Authority::new("ca").issue(&["a.test"]);
    for (alpn, expected) in
        [("h2, http/1.1", [true, false]), ("http/1.1", [false, true]), ("", [false, true])]
    {
        let back = host(&pem, &folder, alpn);
        let options = http("auto_config: {}");
        let listener = Listener::default().cluster("up", back.first(), &[&upstream_tls(""), &options]);
        let front = Proxy::start(&listener.yaml());
        // Many at once wait for what is chosen.
        let clients: Vec<_> = (0..12)
            .map(|_| {
                let mut client = front.connect();
                client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
                client
            })
            .collect();
        for mut client in clients {
            let response = client.response();
            assert_eq!((response.status, &response.text()[..]), (200, "hello"), "{alpn}");
            assert_eq!(client.get("/").status, 200);
        }
        let both = ["cluster.up.upstream_cx_http2_total", "cluster.up.upstream_cx_http1_total"];
        assert_eq!(both.map(|name| front.stat(name) > 0), expected, "{alpn}");
        assert_eq!(front.stat("cluster.up.upstream_rq_200"), 24);
        assert_eq!(front.stat("cluster.up.upstream_rq_pending_active"), 0);
        assert_eq!(back.stat("http.test.downstream_cx_http2_total") > 0, expected[0]);
    }
}

#[test]
fn a_host_may_change_its_mind() {
    let folder = Folder::new();
    let pem = Authority::new("ca").issue(&["a.test"]);
    let (old, new) = (host(&pem, &folder, "http/1.1"), host(&pem, &folder, "h2, http/1.1"));
    let switch = Switch::to(old.first());
    // Connections that end after each request.
    let options = http("auto_config: {}, common_http_protocol_options: {max_requests_per_connection: 1}");
    let listener = Listener::default().cluster("up", switch.address, &[&upstream_tls(""), &options]);
    let front = Proxy::start(&listener.yaml());
    let both = ["cluster.up.upstream_cx_http1_total", "cluster.up.upstream_cx_http2_total"];
    for (target, expected) in [(&old, [2, 0]), (&new, [2, 2]), (&old, [4, 2])] {
        switch.targets.send(target.first()).expect("it listens");
        for _ in 0..2 {
            assert_eq!(front.connect().get("/").status, 200);
        }
        assert_eq!(both.map(|name| front.stat(name)), expected);
    }
    assert_eq!(front.stat("cluster.up.upstream_cx_total"), 6);
}

#[test]
fn what_is_offered_depends_on_what_will_be_spoken() {
    for (options, alpn, expected) in [
        ("explicit_http_config: {http_protocol_options: {}}", "", "http/1.1"),
        ("explicit_http_config: {http2_protocol_options: {}}", "", "h2"),
        ("auto_config: {}", "", "h2,http/1.1"),
        ("auto_config: {}", "foo", "foo"),
        ("explicit_http_config: {http_protocol_options: {}}", "foo, bar", "foo,bar"),
    ] {
        let (tell, told) = channel();
        let address = serve_hello(move |offered| tell.send(offered).expect("the test listens"));
        let context = format!("common_tls_context: {{alpn_protocols: [{alpn}]}}");
        let listener = Listener::default().cluster("up", address, &[&upstream_tls(&context), &http(options)]);
        let front = Proxy::start(&listener.yaml());
        assert_eq!(front.connect().get("/").status, 503);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [expected], "{options} {alpn}");
    }
}

/// A server that tells the protocols of a ClientHello and then hangs up.
fn serve_hello(tell: impl Fn(String) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            let mut acceptor = rustls::server::Acceptor::default();
            while let Ok(1..) = acceptor.read_tls(&mut socket) {
                if let Ok(Some(accepted)) = acceptor.accept() {
                    let hello = accepted.client_hello();
                    let names = hello.alpn().map_or(Vec::new(), |names| names.map(<[u8]>::to_vec).collect());
                    let names: Vec<_> =
                        names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
                    tell(names.join(","));
                    break;
                }
            }
        }
    });
    address
}

#[test]
fn clients_get_http2_by_alpn() {
    let folder = Folder::new();
    let pem = Authority::new("ca").issue(&["a.test"]);
    let proxy = host(&pem, &folder, "h2, http/1.1");
    for version in [&TLS12, &TLS13] {
        let client = Config::version(version).alpn(&["h2", "http/1.1"]).connect(proxy.first());
        let mut client = client.expect("a connection");
        assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"h2"[..]));
        let mut start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        start.extend(h2::frame(h2::SETTINGS, 0, 0, b""));
        start.extend(h2::frame(h2::HEADERS, h2::WHOLE, 1, &h2::block(&h2::get("/"))));
        client.stream.write_all(&start).expect("sent");
        client.until(b"hello").expect("an answer");
        // Who does not speak it is not made to.
        let mut client =
            Config::version(version).alpn(&["http/1.1"]).connect(proxy.first()).expect("a connection");
        assert_eq!(client.get("/").expect("an answer").text(), "hello");
    }
    // What was agreed on is what is spoken.
    let mut client = Config::new().alpn(&["h2"]).connect(proxy.first()).expect("a connection");
    client.stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    let (answer, _) = client.rest_and_end();
    assert!(!answer.windows(8).any(|part| part == b"HTTP/1.1"), "{answer:?}");
    proxy.await_stat("http.test.downstream_cx_active", 0);
    assert_eq!(proxy.stat("http.test.downstream_cx_http2_total"), 3);
    assert_eq!(proxy.stat("http.test.downstream_cx_http1_total"), 2);
    assert_eq!(proxy.stat("http.test.downstream_cx_ssl_total"), 5);
}

#[test]
fn http2_over_tls_on_both_sides_carries_large_bodies() {
    let folder = Folder::new();
    let pem = Authority::new("ca").issue(&["a.test"]);
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let sent = body.clone();
    let origin = super::support::Upstream::start(move |mut client, _| {
        client.until(b"\r\n\r\n");
        assert_eq!(client.exactly(sent.len()), sent);
        client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", sent.len()));
        client.send(&sent);
    });
    let back =
        Listener::new(&[&pem], &folder).common("alpn_protocols: [h2]").cluster("up", origin.address, &[]);
    let back = Proxy::start(&back.yaml());
    let options = http("explicit_http_config: {http2_protocol_options: {}}");
    let front = Listener::default().cluster("up", back.first(), &[&upstream_tls(""), &options]);
    let front = Proxy::start(&front.yaml());
    let mut client = Peer::ready(front.first());
    let length = body.len().to_string();
    let mut fields = h2::request("POST", "/");
    fields.push(("content-length", &length));
    client.headers(1, &fields, false);
    assert!(client.body(1, &body, true));
    let answer = client.message(1);
    assert_eq!(answer.status(), 200);
    assert!(answer.body == body);
    assert_eq!(back.stat("http.test.downstream_cx_http2_total"), 1);
    assert_eq!(back.stat("listener.main.ssl.connection_error"), 0);
}

#[test]
fn the_name_can_come_from_the_request() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    folder.file("ca.pem", &authority.pem);
    let ca = folder.0.join("ca.pem").display().to_string();
    let pem = authority.issue(&["b.test", "c.test", "127.0.0.9"]);
    let address = serve(&pem, &[&TLS13, &TLS12], |mut stream| {
        while let Some(_head) = request(&mut stream) {
            let name = stream.conn.server_name().unwrap_or("-").to_owned();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    let context = format!(
        "sni: fixed.test, common_tls_context: {{validation_context: {{trusted_ca: {{filename: {ca}}}}}}}"
    );
    let explicit = "explicit_http_config: {http_protocol_options: {}}, upstream_http_protocol_options:";
    let ask = |proxy: &Proxy, headers: &str| {
        let mut client = proxy.connect();
        client.send(format!("GET / HTTP/1.1\r\n{headers}\r\n\r\n"));
        let response = client.response();
        if response.status == 200 { response.text() } else { response.status.to_string() }
    };
    let options = http(&format!("{explicit} {{auto_sni: true}}"));
    let proxy = Proxy::start(
        &Listener::default().cluster("up", address, &[&upstream_tls(&context), &options]).yaml(),
    );
    for _ in 0..2 {
        for (headers, expected) in [
            ("host: b.test", "b.test"),
            ("host: C.test:8080", "c.test"),
            ("host: d.test", "d.test"),
            // No names.
            ("host: 127.0.0.9", "fixed.test"),
            ("host: [::1]:80", "fixed.test"),
        ] {
            assert_eq!(ask(&proxy, headers).to_ascii_lowercase(), expected, "{headers}");
        }
    }
    // Each name has its own connections, which are used again.
    assert_eq!(proxy.stat("cluster.up.upstream_cx_total"), 5);
    let options = http(&format!(
        "{explicit} {{auto_sni: true, auto_san_validation: true, override_auto_sni_header: x-name}}"
    ));
    let proxy = Proxy::start(
        &Listener::default().cluster("up", address, &[&upstream_tls(&context), &options]).yaml(),
    );
    for (headers, expected) in [
        ("host: b.test", "b.test"),
        ("host: nobody.test", "503"),
        ("host: nobody.test\r\nx-name: c.test:1", "c.test"),
        ("host: b.test\r\nx-name: nobody.test", "503"),
        ("host: 127.0.0.9", "-"),
        ("host: 127.0.0.8", "503"),
        ("host: 0.0.0.0", "503"),
        ("host: b.test\r\nx-name: @@~", "503"),
    ] {
        assert_eq!(ask(&proxy, headers), expected, "{headers}");
    }
    assert_eq!(proxy.stat("cluster.up.ssl.fail_verify_san"), 3);
}

/// What the access log has of a session.
fn logged(path: &str) -> String {
    format!(
        "          access_log: [{{name: f, typed_config: {{\"@type\": \
         type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {path}, log_format: \
         {{text_format_source: {{inline_string: \"%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% \
         %DOWNSTREAM_TLS_VERSION% %UPSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_SUBJECT% %UPSTREAM_PEER_SUBJECT% \
         %DOWNSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_TRANSPORT_FAILURE_REASON%\\n\"}}}}}}}}]\n"
    )
}

#[test]
fn sessions_of_tcp_have_tls_on_both_sides() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    folder.file("ca.pem", &authority.pem);
    let trusted =
        format!("validation_context: {{trusted_ca: {{filename: {}}}}},", folder.0.join("ca.pem").display());
    let pem = authority.issue(&["a.test"]);
    // Sends back what it gets, the end too.
    let address = serve(&pem, &[&TLS12], |mut stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        if stream.write_all(&all).is_ok() {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    let log = folder.0.join("log").display().to_string();
    let (chain, cluster) = (server_tls(&pem, &folder, &trusted), upstream_tls(""));
    let tunnel = Tunnel { chain: &chain, proxy: &logged(&log), cluster: &cluster, ..Tunnel::default() };
    let mut proxy = Proxy::start(&tunnel.yaml(address));
    let body: Vec<u8> = (0..2_000_000u32).map(|n| (n % 253) as u8).collect();
    let me = authority.issue(&["me.test"]);
    let mut client = Config::certificate(&me).connect(proxy.first()).expect("a connection");
    // The server sends nothing before it has everything, so there is no need to read meanwhile.
    client.stream.write_all(&body).expect("sent");
    client.stream.conn.send_close_notify();
    client.stream.flush().expect("sent");
    let (back, clean) = client.rest_and_end();
    assert!(back == body && clean);
    proxy.await_stat("listener.main.downstream_cx_active", 0);
    // Not TLS at all.
    let mut client = Client::connect(proxy.first());
    client.send("GET / HTTP/1.1\r\n\r\n");
    client.until_closed();
    proxy.await_stat("listener.main.ssl.connection_error", 1);
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    let log = std::fs::read_to_string(log).expect("a log");
    let lines: Vec<_> = log.lines().collect();
    let n = body.len();
    assert_eq!(lines[0], format!("- {n} {n} TLSv1.3 TLSv1.2 CN=me.test CN=a.test - -"));
    let failed: Vec<_> = lines[1].split(' ').collect();
    assert!(
        failed[7].starts_with("TLS_error:|268435612:SSL_routines:OPENSSL_internal:HTTP_REQUEST"),
        "{failed:?}"
    );
}

#[test]
fn a_proxy_header_goes_before_tls() {
    let folder = Folder::new();
    let pem = Authority::new("ca").issue(&["a.test"]);
    let log = folder.0.join("log").display().to_string();
    // It is read by a listener filter before the handshake.
    let origin = super::support::Upstream::start(|mut client, _| {
        let all = client.until(b"ping");
        client.send([b"got ", &all[..]].concat());
    });
    let chain = server_tls(&pem, &folder, "");
    let back = Tunnel { chain: &chain, proxy: &logged(&log), ..Tunnel::default() }
        .yaml(origin.address)
        .replace("%RESPONSE_FLAGS%", "%DOWNSTREAM_REMOTE_ADDRESS%")
        .replace(
            "    filter_chains:\n",
            "    listener_filters: [{name: p, typed_config: {\"@type\": \
             type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}}]\n    \
             filter_chains:\n",
        );
    let mut back = Proxy::start(&back);
    let wrapped = format!(
        "transport_socket: {{name: p, typed_config: {{\"@type\": \
         type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, \
         config: {{version: V2}}, {}}}}}",
        upstream_tls("")
    );
    let front = Proxy::start(&Tunnel { cluster: &wrapped, ..Tunnel::default() }.yaml(back.first()));
    let mut client = front.connect();
    client.send("ping");
    client.until(b"got ping");
    let port = client.stream.local_addr().expect("connected").port();
    drop(client);
    back.await_stat("listener.main.downstream_cx_active", 0);
    back.signal("TERM");
    assert!(back.wait().success());
    let log = std::fs::read_to_string(log).expect("a log");
    assert!(log.starts_with(&format!("127.0.0.1:{port} 4 8 TLSv1.2 ")), "{log}");
}

#[test]
fn network_filters_know_the_certificate() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    folder.file("ca.pem", &authority.pem);
    let trusted =
        format!("validation_context: {{trusted_ca: {{filename: {}}}}},", folder.0.join("ca.pem").display());
    let pem = authority.issue(&["a.test"]);
    let address = serve(&pem, &[&TLS12], echo);
    let rbac = "      - name: rbac\n        typed_config: {\"@type\": \
                type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: r, rules: {action: ALLOW, \
                policies: {p: {permissions: [{any: true}], principals: [{authenticated: {principal_name: {exact: \
                \"spiffe://test/good\"}}}]}}}}\n";
    let (chain, cluster) = (server_tls(&pem, &folder, &trusted), upstream_tls(""));
    let tunnel = Tunnel { chain: &chain, filters: rbac, cluster: &cluster, ..Tunnel::default() };
    let proxy = Proxy::start(&tunnel.yaml(address));
    let good = authority.issue(&["x.test", "spiffe://test/good"]);
    let bad = authority.issue(&["x.test", "spiffe://test/bad"]);
    let answer = Config::certificate(&good).get(proxy.first(), "/").expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(Config::certificate(&bad).get(proxy.first(), "/").is_err());
    assert!(Config::new().get(proxy.first(), "/").is_err());
    assert_eq!((proxy.stat("r.rbac.allowed"), proxy.stat("r.rbac.denied")), (1, 2));
}
