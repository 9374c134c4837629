//! Listeners with TLS: what is negotiated, which certificate is shown, who is let in, what is told of it.

use super::certs::{Authority, expired};
use super::client::{Config, chain};
use super::config::Listener;
use super::support::{Folder, Proxy, Upstream};
use rustls::version::{TLS12, TLS13};
use std::io::{Read, Write};

#[test]
fn versions_and_protocols() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let listener =
        Listener::new(&[&authority.issue(&["a.test"])], &folder).common("alpn_protocols: [http/1.1]");
    let proxy = Proxy::start(&listener.yaml());
    for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
        for (offered, agreed) in
            [(&[][..], None), (&["h3", "http/1.1"][..], Some(&b"http/1.1"[..])), (&["nonsense"][..], None)]
        {
            let mut client =
                Config::version(version).alpn(offered).connect(proxy.first()).expect("a connection");
            assert_eq!(client.stream.conn.alpn_protocol(), agreed, "{name} {offered:?}");
            for _ in 0..3 {
                assert_eq!(client.get("/").expect("an answer").text(), "hello");
            }
        }
        assert_eq!(proxy.stat(&format!("listener.main.ssl.versions.{name}")), 3);
    }
    assert_eq!(proxy.stat("listener.main.ssl.handshake"), 6);
    assert_eq!(proxy.stat("listener.main.ssl.curves.X25519"), 6);
    assert_eq!(proxy.stat("http.test.downstream_cx_ssl_total"), 6);
    proxy.await_stat("http.test.downstream_cx_ssl_active", 0);
    assert_eq!(proxy.stat("listener.main.ssl.connection_error"), 0);
}

#[test]
fn parameters_bind() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let pem = authority.issue(&["a.test"]);
    let listener = Listener::new(&[&pem], &folder).common(
        "tls_params: {tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_2, \
         cipher_suites: [ECDHE-ECDSA-AES128-GCM-SHA256, \"[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]\"], \
         ecdh_curves: [P-384]}",
    );
    let proxy = Proxy::start(&listener.yaml());
    Config::version(&TLS13).get(proxy.first(), "/").expect_err("TLS 1.3 is off");
    let client = Config::new().connect(proxy.first()).expect("TLS 1.2 is on");
    let conn = &client.stream.conn;
    let suite = conn.negotiated_cipher_suite().expect("a suite").suite();
    assert_eq!(suite, rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
    assert_eq!(conn.negotiated_key_exchange_group().expect("a group").name(), rustls::NamedGroup::secp384r1);
    assert_eq!(proxy.stat("listener.main.ssl.connection_error"), 1);

    let listener = Listener::new(&[&pem], &folder).common("tls_params: {ecdh_curves: [X25519MLKEM768]}");
    let proxy = Proxy::start(&listener.yaml());
    let mut client = Config::new().connect(proxy.first()).expect("a connection");
    assert_eq!(client.get("/").expect("an answer").status, 200);
    let group = client.stream.conn.negotiated_key_exchange_group().expect("a group").name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(proxy.stat("listener.main.ssl.curves.X25519MLKEM768"), 1);
}

#[test]
fn certificates_are_chosen_by_name_and_by_what_clients_can_verify() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let first = authority.issue(&["first.test"]);
    let exact = authority.issue(&["a.test"]);
    let wild = authority.issue(&["*.wild.test"]);
    let rsa = authority.issue_rsa(&["both.test"]);
    let ecdsa = authority.issue(&["both.test"]);
    let pems = [&first, &exact, &wild, &rsa, &ecdsa];
    let plain = Proxy::start(&Listener::new(&pems, &folder).yaml());
    let scanning =
        Proxy::start(&Listener::new(&pems, &folder).context("full_scan_certs_on_sni_mismatch: true").yaml());
    let mut no_ecdsa = Config::version(&TLS12);
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).contains("RSA_WITH"));
    provider.cipher_suites.retain(|suite| !format!("{:?}", suite.suite()).contains("ECDSA"));
    no_ecdsa.rustls = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&TLS12])
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(no_ecdsa.rustls_verifier())
        .with_no_client_auth();
    for (config, name, expected, scanned) in [
        (Config::new(), "a.test", &exact, &exact),
        (Config::new(), "A.TEST", &exact, &exact),
        (Config::new(), "x.wild.test", &wild, &wild),
        (Config::new(), "x.y.wild.test", &first, &first),
        (Config::new(), "unknown.test", &first, &first),
        (Config::new(), "127.0.0.1", &first, &first),
        (Config::new(), "both.test", &ecdsa, &ecdsa),
        (Config::version(&TLS12), "both.test", &ecdsa, &ecdsa),
        (no_ecdsa.clone(), "both.test", &rsa, &rsa),
        (no_ecdsa.clone(), "127.0.0.1", &rsa, &rsa),
    ] {
        let client = config.clone().named(name).connect(plain.first()).expect("a connection");
        assert!(client.peer() == expected.der, "{name}");
        let client = config.named(name).connect(scanning.first()).expect("a connection");
        assert!(client.peer() == scanned.der, "{name}");
    }
    // A name that no certificate has: the first certificate, which this client cannot use, or any that it can.
    let config = no_ecdsa.named("unknown.test");
    config.connect(plain.first()).err().expect("refused");
    assert!(config.connect(scanning.first()).expect("a connection").peer() == rsa.der);
}

/// A validation context that trusts `ca.pem`, and whether clients must have a certificate.
fn mutual(folder: &Folder, required: bool, more: &str) -> Listener {
    let authority = Authority::new("server ca");
    let listener = Listener::new(&[&authority.issue(&["a.test", "spiffe://test/server"])], folder);
    let ca = folder.0.join("ca.pem");
    listener
        .context(format!("require_client_certificate: {required}"))
        .common(format!("validation_context: {{trusted_ca: {{filename: {}}}{more}}}", ca.display()))
}

/// Whether a client is let in.
fn is_welcome(config: &Config, proxy: &Proxy) -> bool {
    config.get(proxy.first(), "/").is_ok_and(|response| response.status == 200)
}

#[test]
fn clients_are_let_in_by_their_certificates() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let folder = Folder::new();
    folder.file("ca.pem", &ours.pem);
    let good = ours.issue(&["good.test", "spiffe://test/good"]);
    let revoked = ours.issue(&["revoked.test"]);
    let late = ours.issue_with(&["late.test"], expired);
    let stranger = theirs.issue(&["good.test"]);
    folder.file("crl.pem", &ours.revoke(&[&revoked]));
    let crl = format!(", crl: {{filename: {}}}", folder.0.join("crl.pem").display());
    for version in [&TLS12, &TLS13] {
        let client = |pem| Config::with(&[version], pem);
        for (required, more, row) in [
            (true, "", [false, true, true, false, false]),
            (false, "", [true, true, true, false, false]),
            (true, &crl[..], [false, true, false, false, false]),
            (true, ", allow_expired_certificate: true", [false, true, true, true, false]),
            (true, ", trust_chain_verification: ACCEPT_UNTRUSTED", [false, true, true, true, true]),
            (
                true,
                ", match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: \"spiffe://test/\"}}]",
                [false, true, false, false, false],
            ),
            (
                true,
                ", match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: revoked.test}}]",
                [false, false, true, false, false],
            ),
            (true, ", verify_certificate_hash: [HASH]", [false, true, false, false, false]),
            (true, ", verify_certificate_spki: [KEY]", [false, true, false, false, false]),
        ] {
            let hash: String = digest(&good.der).iter().map(|byte| format!("{byte:02X}:")).collect();
            let more = more.replace("HASH", &format!("\"{}\"", hash.trim_end_matches(':')));
            let more = more.replace("KEY", &format!("\"{}\"", key_pin(&good.der)));
            let proxy = Proxy::start(&mutual(&folder, required, &more).yaml());
            let clients = [None, Some(&good), Some(&revoked), Some(&late), Some(&stranger)];
            let welcome = clients.map(|pem| is_welcome(&client(pem), &proxy));
            assert_eq!(welcome, row, "none, good, revoked, late, stranger; {required} {more}");
            assert_eq!(proxy.stat("listener.main.ssl.fail_verify_no_cert"), u64::from(!row[0]));
        }
    }
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

fn key_pin(der: &[u8]) -> String {
    use base64::Engine;
    let der = rustls::pki_types::CertificateDer::from(der);
    let certificate = webpki::EndEntityCert::try_from(&der).expect("a certificate");
    base64::engine::general_purpose::STANDARD.encode(digest(&certificate.subject_public_key_info()))
}

#[test]
fn refused_certificates_are_counted_by_reason() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let folder = Folder::new();
    folder.file("ca.pem", &ours.pem);
    let names = ", match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: other.test}}]";
    let pin = format!(", verify_certificate_hash: [{}]", "ab".repeat(32));
    let (known, unknown) = (ours.issue(&["good.test"]), theirs.issue(&["good.test"]));
    for (more, pem, counter) in [
        ("", &unknown, "fail_verify_error"),
        (names, &known, "fail_verify_san"),
        (&pin, &known, "fail_verify_cert_hash"),
    ] {
        let proxy = Proxy::start(&mutual(&folder, true, more).yaml());
        assert!(!is_welcome(&Config::certificate(pem), &proxy));
        proxy.await_stat(&format!("listener.main.ssl.{counter}"), 1);
        assert_eq!(proxy.stat("listener.main.ssl.connection_error"), 0);
        assert_eq!(proxy.stat("listener.main.ssl.handshake"), 0);
    }
}

#[test]
fn chains_may_be_too_long() {
    let root = Authority::new("root");
    let (first, folder) = (root.below("first"), Folder::new());
    let second = first.below("second");
    folder.file("ca.pem", &root.pem);
    let shown = |authority: &Authority, above: &[&Authority]| {
        let mut pem = authority.issue(&["c.test"]);
        above.iter().for_each(|authority| pem.certificate.push_str(&authority.pem));
        Config::certificate(&pem)
    };
    let clients = [shown(&root, &[]), shown(&first, &[&first]), shown(&second, &[&second, &first])];
    for (depth, welcome) in [("0", 1), ("1", 1), ("2", 2), ("3", 3)] {
        let proxy = Proxy::start(&mutual(&folder, true, &format!(", max_verify_depth: {depth}")).yaml());
        for (at, client) in clients.iter().enumerate() {
            assert_eq!(is_welcome(client, &proxy), at < welcome, "{depth}: {at} authorities between");
        }
        proxy.await_stat("listener.main.ssl.fail_verify_error", 3 - welcome as u64);
    }
}

#[test]
fn intermediate_certificates_lead_to_the_root() {
    let root = Authority::new("root");
    let folder = Folder::new();
    folder.file("ca.pem", &root.pem);
    // A chain in the file of the server's certificate is sent whole.
    let leaf = root.issue(&["a.test"]);
    let mut both = leaf.clone();
    both.certificate = format!("{}{}", leaf.certificate, root.pem);
    let proxy = Proxy::start(&Listener::new(&[&both], &folder).yaml());
    let client = Config::new().connect(proxy.first()).expect("a connection");
    let shown = client.stream.conn.peer_certificates().expect("certificates");
    assert_eq!(shown, [chain(&leaf.certificate), chain(&root.pem)].concat());
}

#[test]
fn sessions_are_resumed_on_every_worker_and_after_a_restart() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let pem = authority.issue(&["a.test"]);
    let key = folder.0.join("ticket.key");
    std::fs::write(&key, [7; 80]).expect("a file");
    let keys = format!("session_ticket_keys: {{keys: [{{filename: {}}}]}}", key.display());
    for version in [&TLS12, &TLS13] {
        let start = |context: &str| {
            let listener = Listener::new(&[&pem], &folder).context(context);
            Proxy::start_with(&listener.yaml(), &["--concurrency", "3"])
        };
        let resumed = |config: &Config, proxy: &Proxy| {
            let mut client = config.connect(proxy.first()).expect("a connection");
            assert_eq!(client.get("/").expect("an answer").text(), "hello");
            client.stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
        };
        let automatic = start("session_timeout: 60s");
        let config = Config::version(version);
        assert!(!resumed(&config, &automatic));
        // The kernel spreads connections among workers.
        for _ in 0..20 {
            assert!(resumed(&config, &automatic));
        }
        assert_eq!(automatic.stat("listener.main.ssl.session_reused"), 20);
        let (one, two) = (start(&keys), start(&keys));
        let config = Config::version(version);
        assert!(!resumed(&config, &one) && resumed(&config, &two));
        assert!(!resumed(&config, &automatic), "other keys");
        let off = start(
            "{disable_stateless_session_resumption: true, disable_stateful_session_resumption: true}"
                .trim_matches(['{', '}'])
                .replace(", ", "\n          ")
                .as_str(),
        );
        let config = Config::version(version);
        assert!(!resumed(&config, &off) && !resumed(&config, &off));
        let memory = start("disable_stateless_session_resumption: true");
        let config = Config::version(version);
        assert!(!resumed(&config, &memory) && resumed(&config, &memory), "sessions in memory");
    }
}

#[test]
fn tickets_of_a_lenient_listener_do_not_open_a_strict_one() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    folder.file("ca.pem", &authority.pem);
    let key = folder.0.join("ticket.key");
    std::fs::write(&key, [9; 80]).expect("a file");
    let keys = format!("session_ticket_keys: {{keys: [{{filename: {}}}]}}", key.display());
    let lenient = Proxy::start(&mutual(&folder, false, "").context(keys.clone()).yaml());
    let strict = Proxy::start(&mutual(&folder, true, "").context(keys).yaml());
    let config = Config::new();
    assert!(is_welcome(&config, &lenient));
    assert!(!is_welcome(&config, &strict));
    strict.await_stat("listener.main.ssl.fail_verify_no_cert", 1);
}

#[test]
fn large_bodies_go_both_ways_and_wait_for_slow_readers() {
    const SIZE: usize = 24 << 20;
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let upstream = Upstream::start(|mut client, _| {
        while let Some(request) = client.request() {
            let length = request.body.len();
            client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"));
            client.send(request.body);
        }
    });
    let listener = Listener::new(&[&authority.issue(&["a.test"])], &folder);
    let proxy = Proxy::start(&listener.cluster("up", upstream.address, &[]).yaml());
    let body: Vec<u8> = (0..SIZE).map(|at| (at * 7 + at / 65_521) as u8).collect();
    for version in [&TLS12, &TLS13] {
        let mut client = Config::version(version).connect(proxy.first()).expect("a connection");
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {SIZE}\r\n\r\n");
        client.stream.write_all(head.as_bytes()).expect("sent");
        client.stream.write_all(&body).expect("sent");
        // The response begins now, and nobody reads it for as long as the proxy takes to fill up.
        proxy.await_stat_that("http.test.downstream_cx_tx_bytes_total", |bytes| bytes > 1 << 20);
        proxy.await_stat_that("cluster.up.upstream_flow_control_paused_reading_total", |count| count > 0);
        assert!(proxy.resident() < 64 << 20, "{} bytes", proxy.resident());
        let response = client.response().expect("an answer");
        assert!(response.body == body, "{} bytes", response.body.len());
    }
}

#[test]
fn tunnels_are_closed_by_halves() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let upstream = Upstream::start(|mut client, _| {
        client.request().expect("a request");
        client.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
        let heard = client.until_closed();
        client.send([&b"heard "[..], &heard].concat());
    });
    let listener = Listener::new(&[&authority.issue(&["a.test"])], &folder)
        .hcm("upgrade_configs: [{upgrade_type: echo}]")
        .cluster("up", upstream.address, &[]);
    let proxy = Proxy::start(&listener.yaml());
    let mut client = Config::new().connect(proxy.first()).expect("a connection");
    let ask = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    client.stream.write_all(ask.as_bytes()).expect("sent");
    assert!(client.until(b"\r\n\r\n").expect("an answer").starts_with(b"HTTP/1.1 101"));
    client.stream.write_all(b"something").expect("sent");
    client.stream.conn.send_close_notify();
    client.stream.flush().expect("sent");
    let (bytes, clean) = client.rest_and_end();
    assert_eq!((String::from_utf8_lossy(&bytes), clean), ("heard something".into(), true));
    upstream.join();
}

#[test]
fn keys_are_changed_in_the_middle() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let proxy = Proxy::start(&Listener::new(&[&authority.issue(&["a.test"])], &folder).yaml());
    let mut client = Config::version(&TLS13).connect(proxy.first()).expect("a connection");
    for _ in 0..5 {
        // Asks for new keys of the proxy, and changes its own.
        client.stream.conn.refresh_traffic_keys().expect("TLS 1.3");
        assert_eq!(client.get("/").expect("an answer").text(), "hello");
        assert_eq!(client.get("/").expect("an answer").text(), "hello");
    }
    assert_eq!(proxy.stat("listener.main.ssl.connection_error"), 0);
}

#[test]
fn the_end_of_a_connection_is_announced() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let proxy = Proxy::start(&Listener::new(&[&authority.issue(&["a.test"])], &folder).yaml());
    for version in [&TLS12, &TLS13] {
        let mut client = Config::version(version).connect(proxy.first()).expect("a connection");
        client.stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("sent");
        let (bytes, clean) = client.rest_and_end();
        assert!(bytes.ends_with(b"hello") && clean);
        // A client that leaves in order gets its connection closed.
        let mut client = Config::version(version).connect(proxy.first()).expect("a connection");
        assert_eq!(client.get("/").expect("an answer").status, 200);
        client.stream.conn.send_close_notify();
        client.stream.flush().expect("sent");
        let _ = client.stream.sock.read(&mut [0; 100]);
    }
    proxy.await_stat("http.test.downstream_cx_active", 0);
}

#[test]
fn requests_know_that_they_came_over_tls() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    folder.file("ca.pem", &authority.pem);
    let upstream = Upstream::echo();
    let log = folder.0.join("access.log");
    let format = "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER% \
                  %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_ISSUER% %DOWNSTREAM_PEER_SERIAL% %DOWNSTREAM_PEER_URI_SAN% \
                  %DOWNSTREAM_PEER_DNS_SAN% %DOWNSTREAM_LOCAL_URI_SAN% %DOWNSTREAM_PEER_FINGERPRINT_256% \
                  %DOWNSTREAM_PEER_CERT_V_START(%Y)% %DOWNSTREAM_PEER_CERT_V_END(%Y)% %UPSTREAM_TLS_VERSION% \
                  %DOWNSTREAM_TLS_GROUP% %UPSTREAM_TLS_GROUP% %UPSTREAM_LOCAL_DNS_SAN%\\n";
    let listener = mutual(&folder, false, "")
        .hcm("forward_client_cert_details: SANITIZE_SET")
        .hcm("set_current_client_cert_details: {subject: true, uri: true, dns: true}")
        .hcm(format!(
            "access_log: [{{name: f, typed_config: {{\"@type\": \
             type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {}, log_format: \
             {{text_format_source: {{inline_string: \"{format}\"}}}}}}}}]",
            log.display()
        ))
        .cluster("up", upstream.address, &[]);
    let mut proxy = Proxy::start(&listener.yaml());
    let pem = authority.issue(&["me.test", "spiffe://test/me"]);
    let hash: String = digest(&pem.der).iter().map(|byte| format!("{byte:02x}")).collect();
    let seen = Config::with(&[&TLS13], Some(&pem)).get(proxy.first(), "/").expect("an answer").text();
    assert!(seen.contains("x-forwarded-proto: https\r\n"), "{seen}");
    let element = format!(
        "x-forwarded-client-cert: By=spiffe://test/server;Hash={hash};Subject=\"CN=me.test\";URI=spiffe://test/me;DNS=me.test\r\n"
    );
    assert!(seen.contains(&element), "{seen}");
    let seen = Config::with(&[&TLS12], None).get(proxy.first(), "/").expect("an answer").text();
    assert!(!seen.contains("x-forwarded-client-cert"), "{seen}");
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    let log = std::fs::read_to_string(log).expect("a log");
    let lines: Vec<_> = log.lines().collect();
    let serial = format!("{:x}", pem.serial);
    let serial = if serial.len() % 2 == 1 { format!("0{serial}") } else { serial };
    assert_eq!(
        lines[0],
        format!(
            "TLSv1.3 TLS_AES_256_GCM_SHA384 CN=me.test CN=ours {serial} spiffe://test/me me.test spiffe://test/server {hash} 2020 2090 - X25519 - -"
        )
        .replace("CN=ours", "CN=ca")
    );
    assert!(lines[1].starts_with("TLSv1.2 ECDHE-ECDSA-") && lines[1].contains(" - - - "), "{}", lines[1]);
}

#[test]
fn virtual_hosts_can_require_tls() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let mut yaml = Listener::new(&[&authority.issue(&["a.test"])], &folder).yaml();
    yaml = yaml.replace("domains: [\"*\"]", "domains: [\"*\"]\n              require_tls: ALL");
    let proxy = Proxy::start(&yaml);
    assert_eq!(Config::new().get(proxy.first(), "/").expect("an answer").status, 200);
    let plain = Proxy::start(&{
        let mut yaml = Listener::default().yaml();
        yaml = yaml.replace("domains: [\"*\"]", "domains: [\"*\"]\n              require_tls: ALL");
        yaml
    });
    assert_eq!(plain.connect().get("/").status, 301);
}

#[test]
fn secrets_are_logged_where_that_is_asked_for() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let pem = authority.issue(&["a.test"]);
    for (ranges, logged) in [
        ("", true),
        (", remote_address_range: [{address_prefix: 127.0.0.0, prefix_len: 8}]", true),
        (", remote_address_range: [{address_prefix: 10.0.0.0, prefix_len: 8}]", false),
        (", local_address_range: [{address_prefix: 10.0.0.0, prefix_len: 8}]", false),
    ] {
        let path = folder.0.join("keys.log");
        let _ = std::fs::remove_file(&path);
        let listener =
            Listener::new(&[&pem], &folder).common(format!("key_log: {{path: {}{ranges}}}", path.display()));
        let proxy = Proxy::start(&listener.yaml());
        Config::version(&TLS13).get(proxy.first(), "/").expect("an answer");
        let text = std::fs::read_to_string(&path).expect("a log");
        assert_eq!(text.contains("CLIENT_TRAFFIC_SECRET_0 "), logged, "{ranges}: {text}");
        assert_eq!(text.lines().count(), if logged { 5 } else { 0 }, "{text}");
    }
}
