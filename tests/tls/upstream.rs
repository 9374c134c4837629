//! TLS to the hosts of a cluster: what is asked for, who is believed, what is told when it fails.

use super::certs::{Authority, expired};
use super::client::{echo, request, serve};
use super::config::{Listener, upstream_tls};
use super::support::{Client, Folder, Proxy, Upstream, tool};
use rustls::version::{TLS12, TLS13};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// A server that ends with the test.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        // A master that is only killed would leave its workers.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// A proxy without TLS downstream, with this TLS to `address`.
fn proxy(address: SocketAddr, context: &str, folder: &Folder) -> Proxy {
    let log = folder.0.join("access.log");
    let listener = Listener::default()
        .hcm(format!(
            "access_log: [{{name: f, typed_config: {{\"@type\": \
             type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {}, log_format: \
             {{text_format_source: {{inline_string: \"%RESPONSE_FLAGS% %UPSTREAM_TLS_VERSION% %UPSTREAM_PEER_SUBJECT% \
             %UPSTREAM_PEER_DNS_SAN% %UPSTREAM_TRANSPORT_FAILURE_REASON%\\n\"}}}}}}}}]",
            log.display()
        ))
        .cluster("up", address, &[&upstream_tls(context)]);
    Proxy::start(&listener.yaml())
}

fn ended(mut proxy: Proxy, folder: &Folder) -> String {
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    let path = folder.0.join("access.log");
    let log = std::fs::read_to_string(&path).expect("a log");
    std::fs::remove_file(path).expect("a log");
    log
}

#[test]
fn requests_go_over_tls_and_sessions_are_resumed() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    folder.file("ca.pem", &authority.pem);
    let ca = folder.0.join("ca.pem").display().to_string();
    let pem = authority.issue(&["b.test"]);
    for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
        // One response on each connection.
        let address = serve(&pem, &[version], |mut stream| {
            let sni = stream.conn.server_name().map(str::to_owned);
            let Some(head) = request(&mut stream) else { return };
            let sni = stream.conn.server_name().map(str::to_owned).or(sni).unwrap_or_default();
            let body = format!("{sni}\n{head}");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).expect("sent");
            stream.conn.send_close_notify();
            stream.flush().expect("sent");
        });
        let context = format!(
            "sni: b.test, common_tls_context: {{tls_params: {{tls_maximum_protocol_version: TLSv1_3}}, \
             validation_context: {{trusted_ca: {{filename: {ca}}}}}}}"
        );
        let proxy = proxy(address, &context, &folder);
        let mut client = proxy.connect();
        for _ in 0..5 {
            let response = client.get("/some");
            assert_eq!(response.status, 200);
            assert!(response.text().starts_with("b.test\nGET /some HTTP/1.1\r\n"), "{}", response.text());
        }
        assert_eq!(proxy.stat("cluster.up.ssl.handshake"), 5);
        assert_eq!(proxy.stat("cluster.up.ssl.session_reused"), 4);
        assert_eq!(proxy.stat(&format!("cluster.up.ssl.versions.{name}")), 5);
        assert_eq!(proxy.stat("cluster.up.upstream_cx_total"), 5);
        let log = ended(proxy, &folder);
        assert_eq!(log.lines().next(), Some(&format!("- {name} CN=b.test b.test -")[..]));
    }
}

#[test]
fn servers_are_believed_by_their_certificates() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let folder = Folder::new();
    folder.file("ca.pem", &ours.pem);
    let ca = folder.0.join("ca.pem").display().to_string();
    let trusted = format!("trusted_ca: {{filename: {ca}}}");
    let good = ours.issue(&["b.test", "host.test"]);
    folder.file("self.pem", &theirs.issue(&["b.test"]).certificate);
    let serve = |pem| serve(&pem, &[&TLS13, &TLS12], echo);
    let (good, late, stranger) =
        (serve(good), serve(ours.issue_with(&["b.test"], expired)), serve(theirs.issue(&["b.test"])));
    let for_ciphers = |params: &mut rcgen::CertificateParams| {
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyEncipherment];
    };
    let mute = serve(ours.issue_with(&["b.test"], for_ciphers));
    let usage = "268435758:SSL_routines:OPENSSL_internal:KEY_USAGE_BIT_INCORRECT";
    let verify = "268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_";
    let x509 = format!("{verify}X509_verify_cert:_certificate_verification_error_at_depth_0:_");
    let names = |name: &str| {
        format!("{trusted}, match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: {name}}}}}]")
    };
    for (address, top, validation, reason) in [
        (stranger, "", String::new(), None),
        // What a key may be used for is respected even if nobody has to be believed.
        (mute, "", String::new(), Some(usage.to_owned())),
        (good, "", trusted.clone(), None),
        (late, "", trusted.clone(), Some(format!("{x509}certificate_has_expired"))),
        (late, "", format!("{trusted}, allow_expired_certificate: true"), None),
        (stranger, "", trusted.clone(), Some(format!("{x509}unable_to_get_local_issuer_certificate"))),
        (stranger, "", format!("{trusted}, trust_chain_verification: ACCEPT_UNTRUSTED"), None),
        (good, "", names("b.test"), None),
        (
            good,
            "",
            names("c.test"),
            Some(format!("{verify}SAN_matcher,_certificate_SANs_are_[b.test,_host.test]")),
        ),
        (
            good,
            "",
            format!("verify_certificate_hash: [{}]", "ab".repeat(32)),
            Some(format!("{verify}cert_hash_and_spki")),
        ),
        (good, "sni: b.test, auto_sni_san_validation: true, ", trusted.clone(), None),
        (
            good,
            "sni: c.test, auto_sni_san_validation: true, ",
            trusted.clone(),
            Some(format!("{verify}SAN_matcher,_certificate_SANs_are_[b.test,_host.test]")),
        ),
        (good, "auto_host_sni: true, auto_sni_san_validation: true, ", trusted, None),
    ] {
        let context = format!("{top}common_tls_context: {{validation_context: {{{validation}}}}}");
        let proxy = proxy(address, &context, &folder);
        let response = proxy.connect().get("/");
        assert_eq!(response.status == 200, reason.is_none(), "{context}: {}", response.text());
        if reason.is_some() {
            assert_eq!(
                (response.status, &response.text()[..]),
                (
                    503,
                    "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
                )
            );
            assert_eq!(proxy.stat("cluster.up.upstream_cx_connect_fail"), 1);
        }
        let log = ended(proxy, &folder);
        let tail = reason.map_or("-".to_owned(), |reason| format!("TLS_error:|{reason}:TLS_error_end"));
        assert!(log.trim_end().ends_with(&tail), "{log}");
        assert!(log.starts_with(if tail == "-" { "- " } else { "UF " }), "{log}");
    }
}

#[test]
fn what_is_no_tls_server_is_told_apart() {
    let folder = Folder::new();
    let authority = Authority::new("ca");
    let plain = Upstream::start(|mut client, _| client.send("HTTP/1.1 400 Bad Request\r\n\r\n"));
    let new = serve(&authority.issue(&["b.test"]), &[&TLS13], echo);
    let silent = Upstream::start(|mut client, _| {
        client.until_closed();
    });
    let rude = Upstream::start(|client, _| drop(client));
    for (address, more, errors, expected) in [
        (
            plain.address,
            "",
            1,
            "UF - - - TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end",
        ),
        // Clusters speak TLS 1.2 when nothing else is said.
        (
            new,
            "",
            1,
            "UF - - - TLS_error:|268436526:SSL_routines:OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION:TLS_error_end",
        ),
        (silent.address, "connect_timeout: 0.2s", 0, "UF - - - -"),
        // Who ends a handshake without a word makes no error of TLS.
        (rude.address, "", 0, "UF - - - -"),
    ] {
        let log = folder.0.join("access.log");
        let listener = Listener::default()
            .hcm(format!(
                "access_log: [{{name: f, typed_config: {{\"@type\": \
                 type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {}, log_format: \
                 {{text_format_source: {{inline_string: \"%RESPONSE_FLAGS% - - - %UPSTREAM_TRANSPORT_FAILURE_REASON%\\n\"}}}}}}}}]",
                log.display()
            ))
            .cluster("up", address, &[&upstream_tls(""), more]);
        let proxy = Proxy::start(&listener.yaml());
        assert_eq!(proxy.connect().get("/").status, 503);
        assert_eq!(proxy.stat("cluster.up.ssl.connection_error"), errors, "{expected}");
        assert_eq!(ended(proxy, &folder).trim_end(), expected);
    }
}

#[test]
fn we_show_our_certificate() {
    if !tool("openssl") {
        return;
    }
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let (ours, theirs) = (authority.issue(&["me.test"]), authority.issue(&["b.test"]));
    let path = |name: &str, text: &str| folder.file(name, text).display().to_string();
    let (ca, certificate, key) =
        (path("ca.pem", &authority.pem), path("c.pem", &ours.certificate), path("k.pem", &ours.key));
    let (their_certificate, their_key) = (path("tc.pem", &theirs.certificate), path("tk.pem", &theirs.key));
    let context = format!(
        "common_tls_context: {{tls_params: {{tls_maximum_protocol_version: TLSv1_3}}, tls_certificates: \
         [{{certificate_chain: {{filename: {certificate}}}, private_key: {{filename: {key}}}}}]}}"
    );
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    // -www answers every request itself, with what it knows of the client.
    let _server = Child(
        Command::new("openssl")
            .args(["s_server", "-accept", &port.to_string(), "-cert", &their_certificate, "-key", &their_key])
            .args(["-CAfile", &ca, "-Verify", "2", "-verify_return_error", "-www"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs"),
    );
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let end = std::time::Instant::now() + super::support::PATIENCE;
    while std::net::TcpStream::connect(address).is_err() {
        assert!(std::time::Instant::now() < end, "openssl does not listen");
        std::thread::yield_now();
    }
    let known = proxy(address, &context, &folder);
    let text = known.connect().get("/").text();
    assert!(text.contains("CN = me.test") || text.contains("CN=me.test"), "{text}");
    assert!(text.contains("TLSv1.3"), "{text}");
    let nobody = proxy(address, "", &folder);
    assert_eq!(nobody.connect().get("/").status, 503);
}

#[test]
fn a_response_that_is_cut_off_does_not_look_whole() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    for (orderly, whole) in [(true, true), (false, false)] {
        let address = serve(&authority.issue(&["b.test"]), &[&TLS13, &TLS12], move |mut stream| {
            let _ = request(&mut stream);
            // Only the end of the connection ends this body.
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nsome of it").expect("sent");
            if orderly {
                stream.conn.send_close_notify();
            }
            stream.flush().expect("sent");
        });
        let proxy = proxy(address, "", &folder);
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let bytes = client.until_closed_or(b"0\r\n\r\n");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("some of it"), "{text}");
        assert_eq!(text.ends_with("0\r\n\r\n"), whole, "{text}");
        let log = ended(proxy, &folder);
        assert!(log.starts_with(if whole { "- " } else { "UC " }), "{log}");
    }
}

trait UntilClosedOr {
    fn until_closed_or(&mut self, mark: &[u8]) -> Vec<u8>;
}

impl UntilClosedOr for Client {
    /// Everything until the proxy closes or this has come.
    fn until_closed_or(&mut self, mark: &[u8]) -> Vec<u8> {
        use std::io::Read;
        let mut bytes = Vec::new();
        let mut byte = [0; 1];
        while !bytes.ends_with(mark) && self.stream.read(&mut byte).is_ok_and(|n| n > 0) {
            bytes.push(byte[0]);
        }
        bytes
    }
}

#[test]
fn nginx_is_an_upstream() {
    if !tool("nginx") {
        return;
    }
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let pem = authority.issue(&["b.test"]);
    folder.file("ca.pem", &authority.pem);
    folder.file("cert.pem", &pem.certificate);
    folder.file("key.pem", &pem.key);
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let root = folder.0.display();
    std::fs::write(folder.0.join("big"), vec![b'x'; 3 << 20]).expect("a file");
    let config = folder.file(
        "nginx.conf",
        &format!(
            "daemon off; pid {root}/pid; error_log {root}/error.log; worker_processes 1; events {{}}\n\
             http {{ access_log off; client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;\n\
             uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5; client_max_body_size 0;\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem; root {root};\n\
             location /name {{ return 200 \"$ssl_server_name $ssl_protocol\"; }} location /post {{ return 200 \"ok\"; }} }} }}"
        ),
    );
    let _nginx = Child(
        Command::new("nginx")
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx runs"),
    );
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let end = std::time::Instant::now() + super::support::PATIENCE;
    while std::net::TcpStream::connect(address).is_err() {
        assert!(std::time::Instant::now() < end, "nginx does not listen");
        std::thread::yield_now();
    }
    let context = format!(
        "sni: b.test, auto_sni_san_validation: true, common_tls_context: {{tls_params: {{tls_maximum_protocol_version: \
         TLSv1_3}}, validation_context: {{trusted_ca: {{filename: {root}/ca.pem}}}}}}"
    );
    let proxy = proxy(address, &context, &folder);
    let mut client = proxy.connect();
    assert_eq!(client.get("/name").text(), "b.test TLSv1.3");
    for _ in 0..3 {
        assert!(client.get("/big").body == vec![b'x'; 3 << 20]);
    }
    client.send(format!("POST /post HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 2 << 20));
    client.send(vec![b'y'; 2 << 20]);
    assert_eq!(client.response().text(), "ok");
}
