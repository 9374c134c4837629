//! Real clients: curl, openssl s_client, Python's ssl.

use super::certs::Authority;
use super::client::Config;
use super::config::{Listener, upstream_tls};
use super::support::{Client, Folder, Proxy, Upstream, tool};
use nuncio::config::Source;
use nuncio::server::compile::load;
use std::io::Write;
use std::process::{Command, Stdio};

struct World {
    proxy: Proxy,
    folder: Folder,
    _upstream: Upstream,
}

fn world(more: &[&str]) -> World {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    folder.file("ca.pem", &authority.pem);
    let me = authority.issue(&["me.test"]);
    folder.file("me.pem", &format!("{}{}", me.certificate, me.key));
    let upstream = Upstream::start(|mut client, _| {
        while let Some(request) = client.request() {
            let body = if request.body.is_empty() { vec![b'x'; 1 << 20] } else { request.body };
            client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()));
            client.send(body);
        }
    });
    let pems = [authority.issue(&["localhost", "127.0.0.1"]), authority.issue_rsa(&["localhost"])];
    let mut listener = Listener::new(&[&pems[0], &pems[1]], &folder)
        .common("alpn_protocols: [http/1.1]")
        .common(format!("validation_context: {{trusted_ca: {{filename: {}/ca.pem}}}}", folder.0.display()))
        .cluster("up", upstream.address, &[]);
    for line in more {
        listener = listener.context(*line);
    }
    World { proxy: Proxy::start_with(&listener.yaml(), &["--concurrency", "3"]), folder, _upstream: upstream }
}

#[test]
fn curl() {
    if !tool("curl") {
        return;
    }
    let World { proxy, folder, .. } = world(&[]);
    let body: Vec<u8> = (0..3 << 20).map(|at| (at % 251) as u8).collect();
    std::fs::write(folder.0.join("body"), &body).expect("a file");
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        for more in
            [&[][..], &["--cert", "me.pem"], &["--no-alpn"], &["--ciphers", "ECDHE-RSA-AES128-GCM-SHA256"]]
        {
            let output = Command::new("curl")
                .current_dir(&folder.0)
                .args(["-sS", "--http1.1", "--cacert", "ca.pem", "--data-binary", "@body"])
                .args(version)
                .args(more)
                // Two requests on one connection.
                .arg(format!("https://localhost:{}/a", proxy.first().port()))
                .arg(format!("https://localhost:{}/b", proxy.first().port()))
                .output()
                .expect("curl runs");
            assert!(
                output.status.success(),
                "{version:?} {more:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(output.stdout == [&body[..], &body].concat(), "{version:?} {more:?}");
        }
    }
    assert_eq!(proxy.stat("listener.main.ssl.ciphers.ECDHE-RSA-AES128-GCM-SHA256"), 1);
    assert_eq!(proxy.stat("listener.main.ssl.no_certificate"), 6);
    // What speaks HTTP to a port of TLS fails, and soon.
    let output = Command::new("curl")
        .args(["-sS", "-m", "10", &format!("http://{}/", proxy.first())])
        .output()
        .expect("curl runs");
    assert!(!output.status.success());
}

/// Runs `openssl s_client` with a request as its input.
fn s_client(world: &World, args: &[&str]) -> String {
    let mut client = Command::new("openssl")
        .current_dir(&world.folder.0)
        .args(["s_client", "-connect", &world.proxy.first().to_string(), "-CAfile", "ca.pem", "-ign_eof"])
        .args(["-servername", "localhost"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let request = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    // It may be through before it reads.
    let _ = client.stdin.take().expect("piped").write_all(request.as_bytes());
    let output = client.wait_with_output().expect("openssl runs");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn openssl_s_client() {
    if !tool("openssl") {
        return;
    }
    let world = world(&[]);
    for (args, expected) in [
        (&["-tls1_2"][..], &["Protocol  : TLSv1.2", "Verify return code: 0 (ok)", "HTTP/1.1 200 OK"][..]),
        (&["-tls1_3"], &["TLSv1.3, Cipher is", "Verification: OK", "HTTP/1.1 200 OK"]),
        (&["-tls1_3", "-alpn", "http/1.1"], &["ALPN protocol: http/1.1", "HTTP/1.1 200 OK"]),
        (&["-tls1_3", "-alpn", "spdy/1"], &["No ALPN negotiated", "HTTP/1.1 200 OK"]),
        (&["-tls1_3", "-groups", "P-256"], &["Server Temp Key: ECDH, prime256v1", "HTTP/1.1 200 OK"]),
        // A share for a group that we do not take: we ask for another.
        (&["-tls1_3", "-groups", "P-521:X25519"], &["Server Temp Key: X25519", "HTTP/1.1 200 OK"]),
        (
            &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
            &["TLS_CHACHA20_POLY1305_SHA256", "HTTP/1.1 200"],
        ),
        (
            &["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"],
            &["ECDHE-RSA-AES256-GCM-SHA384", "HTTP/1.1 200 OK"],
        ),
        (
            &["-tls1_3", "-cert", "me.pem", "-key", "me.pem"],
            &["Acceptable client certificate CA names", "HTTP/1.1 200"],
        ),
        (&["-tls1_3", "-sess_out", "13.pem"], &["HTTP/1.1 200 OK"]),
        (&["-tls1_3", "-sess_in", "13.pem"], &["Reused, TLSv1.3", "HTTP/1.1 200 OK"]),
        (&["-tls1_2", "-sess_out", "12.pem"], &["HTTP/1.1 200 OK"]),
        (&["-tls1_2", "-sess_in", "12.pem"], &["Reused, TLSv1.2", "HTTP/1.1 200 OK"]),
        (&["-tls1", "-cipher", "ALL@SECLEVEL=0"], &["alert protocol version", "SSL alert number 70"]),
        (&["-tls1_1", "-cipher", "ALL@SECLEVEL=0"], &["alert protocol version", "SSL alert number 70"]),
        (&["-tls1_2", "-cipher", "AES128-SHA"], &["alert handshake failure"]),
    ] {
        let text = s_client(&world, args);
        for expected in expected {
            assert!(text.contains(expected), "{args:?}: {expected}\n{text}");
        }
    }
    // Whichever worker a connection comes to.
    for _ in 0..6 {
        let text = s_client(&world, &["-tls1_3", "-sess_in", "13.pem"]);
        assert!(text.contains("Reused, TLSv1.3"), "{text}");
    }
    assert_eq!(world.proxy.stat("listener.main.ssl.session_reused"), 8);
    assert_eq!(world.proxy.stat("listener.main.ssl.connection_error"), 3);
}

#[test]
fn a_browser_agrees_on_the_hybrid_group() {
    if !tool("chromium") {
        return;
    }
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let upstream = Upstream::echo();
    let listener = Listener::new(&[&authority.issue(&["localhost"])], &folder);
    let proxy = Proxy::start(&listener.cluster("up", upstream.address, &[]).yaml());
    let profile = Folder::new();
    let output = Command::new("timeout")
        .args([
            "60",
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--no-proxy-server"])
        .args(["--ignore-certificate-errors", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.0.display()))
        .arg(format!("https://localhost:{}/from-a-browser", proxy.first().port()))
        .output()
        .expect("chromium runs");
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(page.contains("GET /from-a-browser HTTP/1.1"), "{page}");
    assert!(proxy.stat("listener.main.ssl.curves.X25519MLKEM768") > 0);
}

#[test]
fn openssl_is_shown_ocsp_responses() {
    if !tool("openssl") {
        return;
    }
    let (authority, folder) = (Authority::new("ca"), Folder::new());
    let pem = authority.issue(&["localhost"]);
    folder.file("ca.pem", &authority.pem);
    folder.file("ca.key", &authority.key());
    let listener = Listener::new(&[&pem], &folder);
    folder.file("index", &format!("V\t900101000000Z\t\t{:04X}\tunknown\t/CN=localhost\n", pem.serial));
    let made = Command::new("openssl")
        .current_dir(&folder.0)
        .args([
            "ocsp", "-index", "index", "-rsigner", "ca.pem", "-rkey", "ca.key", "-CA", "ca.pem", "-issuer",
            "ca.pem",
        ])
        .args(["-cert", "cert0.pem", "-respout", "ocsp.der", "-ndays", "7"])
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let ocsp = folder.0.join("ocsp.der");
    let stapled = |policy: &str| {
        let yaml = Listener::new(&[&pem], &folder).context(format!("ocsp_staple_policy: {policy}")).yaml();
        yaml.replace("private_key:", &format!("ocsp_staple: {{filename: {}}}, private_key:", ocsp.display()))
    };
    let plain = listener.yaml();
    for (yaml, shown) in [
        (plain, false),
        (stapled("LENIENT_STAPLING"), true),
        (stapled("STRICT_STAPLING"), true),
        (stapled("MUST_STAPLE"), true),
    ] {
        let world = World { proxy: Proxy::start(&yaml), folder: Folder::new(), _upstream: Upstream::echo() };
        world.folder.file("ca.pem", &authority.pem);
        for version in ["-tls1_2", "-tls1_3"] {
            let text = s_client(&world, &[version, "-status"]);
            assert!(text.contains("HTTP/1.1 200 OK"), "{text}");
            assert_eq!(text.contains("OCSP Response Status: successful (0x0)"), shown, "{text}");
            assert_eq!(text.contains("OCSP response: no response sent"), !shown, "{text}");
        }
        let certs = Client::connect(world.proxy.admin()).get("/certs").text();
        assert_eq!(certs.contains("\"ocsp_details\""), shown, "{certs}");
        let left = world.proxy.stat("server.seconds_until_first_ocsp_response_expiring");
        assert_eq!((604_000..604_801).contains(&left), shown, "{left}");
        let counter = if shown { "ocsp_staple_responses" } else { "ocsp_staple_omitted" };
        assert_eq!(world.proxy.stat(&format!("listener.main.ssl.{counter}")), 2);
    }
}

#[test]
fn keys_that_openssl_has_put_under_a_password() {
    if !tool("openssl") {
        return;
    }
    let (authority, folder) = (Authority::new("ca"), Folder::new());
    let password = folder.file("password", "geheim");
    let (ec, rsa) = (authority.issue(&["a.test"]), authority.issue_rsa(&["a.test"]));
    for (pem, how) in [
        (&ec, &["-v2", "aes-256-cbc"][..]),
        (&ec, &["-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA1"]),
        (&rsa, &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512", "-iter", "10000"]),
    ] {
        let listener = Listener::new(&[pem], &folder);
        let key = folder.0.join("key0.pem");
        let made = Command::new("openssl")
            .args(["pkcs8", "-topk8", "-passout", "pass:geheim", "-in"])
            .arg(&key)
            .arg("-out")
            .arg(folder.0.join("sealed.pem"))
            .args(how)
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::rename(folder.0.join("sealed.pem"), &key).expect("a file");
        let with = |password: &str| {
            listener.yaml().replace("private_key:", &format!("password: {{{password}}}, private_key:"))
        };
        let proxy = Proxy::start(&with(&format!("filename: {}", password.display())));
        let client = Config::new().connect(proxy.first()).expect("a connection");
        assert_eq!(client.peer(), pem.der, "{how:?}");
        let wrong = load(&Source::text(&with("inline_string: other"))).expect_err("a wrong password");
        assert!(wrong.to_string().contains("`password` is not the right one"), "{wrong}");
    }
}

#[test]
fn certificates_of_version_1_are_shown_and_trusted_as_they_are() {
    if !tool("openssl") {
        return;
    }
    let folder = Folder::new();
    // What many a guide makes: without extensions it is of version 1.
    for (name, key) in [("ec", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"][..]), ("rsa", &["rsa:2048"])] {
        let openssl = |args: &[&str]| {
            let output =
                Command::new("openssl").current_dir(&folder.0).args(args).output().expect("openssl runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let request =
            ["req", "-nodes", "-subj", "/CN=localhost", "-keyout", "old.key", "-out", "old.csr", "-newkey"];
        openssl(&[&request[..], key].concat());
        openssl(&["x509", "-req", "-in", "old.csr", "-signkey", "old.key", "-days", "99", "-out", "old.pem"]);
        assert!(
            openssl(&["x509", "-in", "old.pem", "-noout", "-text"]).contains("Version: 1 (0x0)"),
            "{name}"
        );
        let at = |name: &str| folder.0.join(name).display().to_string();
        let certificates = vec![(at("old.pem"), at("old.key"))];
        let host =
            Listener { certificates, ..Listener::default() }.context("require_client_certificate: true");
        let host =
            host.common(format!("validation_context: {{trusted_ca: {{filename: {}}}}}", at("old.pem")));
        let host = Proxy::start(&host.yaml());
        for newest in ["TLSv1_2", "TLSv1_3"] {
            // Nothing verified, the certificate trusted, another one trusted.
            folder.file("other.pem", &Authority::new("other").pem);
            for (trusted, status) in [("", 200), ("old.pem", 200), ("other.pem", 503)] {
                let trust = match trusted {
                    "" => String::new(),
                    file => format!("validation_context: {{trusted_ca: {{filename: {}}}}}, ", at(file)),
                };
                let tls = upstream_tls(&format!(
                    "common_tls_context: {{{trust}tls_params: {{tls_maximum_protocol_version: {newest}}}, tls_certificates: [{{certificate_chain: {{filename: {}}}, private_key: {{filename: {}}}}}]}}",
                    at("old.pem"),
                    at("old.key")
                ));
                let front = Proxy::start(&Listener::default().cluster("up", host.first(), &[&tls]).yaml());
                assert_eq!(front.connect().get("/").status, status, "{name} {newest} {trusted}");
            }
        }
        // Who does not trust us says so, but has answered its own client before that comes in.
        host.await_stat("listener.main.ssl.connection_error", 2);
        // The certificate is no secret: its key must be known.
        let read = |name: &str| std::fs::read_to_string(folder.0.join(name)).expect("a file");
        let (shown, own) = (read("old.pem"), read("old.key"));
        let authority = Authority::new("thief");
        let thief = if name == "ec" { authority.issue(&["x"]) } else { authority.issue_rsa(&["x"]) };
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let client = |key: &str| Config::signing(version, &shown, key).get(host.first(), "/");
            assert_eq!(client(&own).expect("let in").status, 200);
            client(&thief.key).expect_err("not let in");
        }
        assert_eq!(host.stat("listener.main.ssl.fail_verify_error"), 2, "{name}");
    }
}

#[test]
fn python() {
    if !tool("python3") {
        return;
    }
    let world = world(&[]);
    let script = format!(
        r#"
import socket, ssl
def ask(context, session=None):
    raw = socket.create_connection(("127.0.0.1", {port}))
    tls = context.wrap_socket(raw, server_hostname="localhost", session=session)
    tls.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\nconnection: close\r\n\r\n" + b"z" * 200000)
    data = b""
    while True:
        piece = tls.recv(65536)
        if not piece:
            break
        data += piece
    assert data.startswith(b"HTTP/1.1 200 OK\r\n") and data.endswith(b"z" * 200000), data[:200]
    reused, version, session = tls.session_reused, tls.version(), tls.session
    # An end without close_notify would have raised.
    tls.unwrap() if False else tls.close()
    return reused, version, session
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    for ticket in (True, False):
        for certificate in (None, "me.pem"):
            context = ssl.create_default_context(cafile="ca.pem")
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols(["http/1.1"])
            if not ticket:
                context.options |= ssl.OP_NO_TICKET
            if certificate:
                context.load_cert_chain(certificate)
            first = ask(context)
            second = ask(context, first[2])
            assert (first[0], second[0]) == (False, True), (version, ticket, certificate, first[:2], second[:2])
print("good")
"#,
        port = world.proxy.first().port()
    );
    let output = Command::new("python3")
        .current_dir(&world.folder.0)
        .args(["-c", &script])
        .output()
        .expect("python runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("good"), "{}", String::from_utf8_lossy(&output.stderr));
}
