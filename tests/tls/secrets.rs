//! Certificates, authorities and ticket keys by name: static secrets, and secrets in files that change.

use super::certs::{Authority, Pem};
use super::client::Config;
use super::config::{Listener, upstream_tls};
use super::support::{Client, Folder, PATIENCE, Proxy};
use std::path::Path;
use std::time::Instant;

const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// Puts a file in the place of another, at once.
fn replace(path: &Path, text: &str) {
    let other = path.with_extension("new");
    std::fs::write(&other, text).expect("a file");
    std::fs::rename(&other, path).expect("a file");
}

/// `tls_certificate`, in one line.
fn certificate(folder: &Folder, name: &str, pem: &Pem) -> String {
    let certificate = folder.file(&format!("{name}.pem"), &pem.certificate);
    let key = folder.file(&format!("{name}.key"), &pem.key);
    format!(
        "tls_certificate: {{certificate_chain: {{filename: {}}}, private_key: {{filename: {}}}}}",
        certificate.display(),
        key.display()
    )
}

/// A file with one secret.
fn document(name: &str, secret: &str) -> String {
    format!("version_info: \"1\"\nresources:\n- \"@type\": {SECRET}\n  name: {name}\n  {secret}\n")
}

/// A reference to a secret in a file.
fn fetched(name: &str, path: &Path) -> String {
    format!(
        "{{name: {name}, sds_config: {{path_config_source: {{path: {}}}, resource_api_version: V3}}}}",
        path.display()
    )
}

/// A listener with these references in place of certificates, and these static secrets.
fn listener(change: impl FnOnce(Listener) -> Listener, named: &str, secrets: &[String]) -> String {
    let placeholder =
        Listener { certificates: vec![("x".to_owned(), "x".to_owned())], ..Listener::default() };
    let secrets: String = secrets.iter().map(|secret| format!("  - {{{secret}}}\n")).collect();
    let secrets = if secrets.is_empty() { secrets } else { format!("  secrets:\n{secrets}") };
    change(placeholder)
        .yaml()
        .replace("static_resources:\n", &format!("static_resources:\n{secrets}"))
        .replace("tls_certificates:\n", &format!("tls_certificate_sds_secret_configs: [{named}]\n"))
        .lines()
        .filter(|line| !line.trim_start().starts_with("- {certificate_chain"))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn peer(proxy: &Proxy, config: &Config) -> Option<Vec<u8>> {
    let mut client = config.connect(proxy.first()).ok()?;
    client.get("/").ok()?;
    Some(client.peer())
}

fn await_that(proxy: &Proxy, what: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !what() {
        assert!(Instant::now() < end, "it does not come; the log:\n{}", proxy.log());
    }
}

#[test]
fn static_secrets_serve_both_sides() {
    let (authority, folder) = (Authority::new("ca"), Folder::new());
    let ca = folder.file("ca.pem", &authority.pem);
    let ours = authority.issue(&["a.test"]);
    let inline = format!("name: ca, validation_context: {{trusted_ca: {{filename: {}}}}}", ca.display());
    let secrets = [format!("name: ours, {}", certificate(&folder, "ours", &ours)), inline];
    // The name that clients must have is the part that is not named.
    let back = listener(
        |listener| {
            listener.context("require_client_certificate: true").common(
                "combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a.test}}]}, validation_context_sds_secret_config: {name: ca}}",
            )
        },
        "{name: ours}",
        &secrets,
    );
    let back = Proxy::start(&back);
    let tls = upstream_tls(
        "sni: a.test, auto_sni_san_validation: true, common_tls_context: {tls_certificate_sds_secret_configs: [{name: ours}], validation_context_sds_secret_config: {name: ca}}",
    );
    let front = listener(|listener| listener.cluster("up", back.first(), &[&tls]), "{name: ours}", &secrets);
    let front = Proxy::start(&front);
    assert_eq!(Config::new().get(front.first(), "/").expect("an answer").text(), "hello");
    assert_eq!(peer(&front, &Config::new()), Some(ours.der.clone()));
    // Trusted, but not of that name; and of that name, but not trusted.
    for other in [authority.issue(&["b.test"]), Authority::new("other").issue(&["a.test"])] {
        assert_eq!(peer(&back, &Config::certificate(&other)), None);
    }
    assert_eq!(peer(&back, &Config::certificate(&ours)), Some(ours.der.clone()));
    for name in ["ours", "ca"] {
        let name = format!("listener.main.ssl.certificate.{name}.expiration_unix_time_seconds");
        assert!(back.stat(&name) > 3_000_000_000, "{name}");
    }
}

#[test]
fn a_secret_in_a_file_is_followed() {
    let (authority, folder, elsewhere) = (Authority::new("ca"), Folder::new(), Folder::new());
    let (first, second, third) =
        (authority.issue(&["a.test"]), authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let sds = folder.file("sds.yaml", &document("web", &certificate(&folder, "first", &first)));
    let proxy = Proxy::start(&listener(|listener| listener, &fetched("web", &sds), &[]));
    let shows = |pem: &Pem| peer(&proxy, &Config::new()) == Some(pem.der.clone());
    assert!(shows(&first));
    assert_eq!(proxy.stat("sds.web.update_success"), 1);
    // Other files, in a folder that nobody has spoken of before.
    replace(&sds, &document("web", &certificate(&elsewhere, "second", &second)));
    await_that(&proxy, || shows(&second));
    // What is wrong changes nothing.
    for (at, wrong) in
        ["resources: []", "resources: [", &document("other", &certificate(&folder, "third", &third))]
            .iter()
            .enumerate()
    {
        replace(&sds, wrong);
        proxy.await_stat("sds.web.update_rejected", at as u64 + 1);
        assert!(shows(&second));
    }
    replace(&sds, &document("web", &certificate(&elsewhere, "second", &second)));
    proxy.await_stat("sds.web.update_success", 3);
    // The certificate that the secret names is followed too.
    replace(&elsewhere.0.join("second.pem"), &third.certificate);
    replace(&elsewhere.0.join("second.key"), &third.key);
    await_that(&proxy, || shows(&third));
    assert!(proxy.stat("listener.main.server_ssl_socket_factory.ssl_context_update_by_sds") >= 3);
}

#[test]
fn authorities_and_ticket_keys_in_files_are_followed() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let folder = Folder::new();
    let context = |authority: &Authority| {
        let pem = authority.pem.lines().map(|line| format!("      {line}\n")).collect::<String>();
        format!(
            "validation_context:\n    trusted_ca:\n      inline_string: |\n  {}",
            pem.replace('\n', "\n  ")
        )
    };
    let key = |name: &str, byte: u8| {
        std::fs::write(folder.0.join(name), [byte; 80]).expect("a file");
        format!("{{filename: {}}}", folder.0.join(name).display())
    };
    let (one, two, three) = (key("one", 1), key("two", 2), key("three", 3));
    let keys =
        |list: &[&str]| document("keys", &format!("session_ticket_keys: {{keys: [{}]}}", list.join(", ")));
    let ca = folder.file("ca.yaml", &document("ca", &context(&ours)));
    let tickets = folder.file("keys.yaml", &keys(&[&one]));
    let pem = ours.issue(&["a.test"]);
    let web = folder.file("web.yaml", &document("web", &certificate(&folder, "web", &pem)));
    let proxy = Proxy::start_with(
        &listener(
            |listener| {
                listener
                    .context(format!("session_ticket_keys_sds_secret_config: {}", fetched("keys", &tickets)))
                    .common(format!("validation_context_sds_secret_config: {}", fetched("ca", &ca)))
            },
            &fetched("web", &web),
            &[],
        ),
        &["--concurrency", "2"],
    );
    let resumed = |config: &Config| {
        let mut client = config.connect(proxy.first()).expect("a connection");
        client.get("/").expect("an answer");
        client.stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    };
    let config = Config::new();
    assert!(!resumed(&config) && resumed(&config));
    // The old key still opens what it has sealed; then it is gone.
    replace(&tickets, &keys(&[&two, &one]));
    proxy.await_stat("sds.keys.update_success", 2);
    assert!(resumed(&config), "sealed with the first key");
    replace(&tickets, &keys(&[&three]));
    proxy.await_stat("sds.keys.update_success", 3);
    assert!(!resumed(&config), "a key that is gone");
    let (mine, yours) =
        (Config::certificate(&ours.issue(&["c"])), Config::certificate(&theirs.issue(&["c"])));
    assert!(peer(&proxy, &mine).is_some() && peer(&proxy, &yours).is_none());
    replace(&ca, &document("ca", &context(&theirs)));
    await_that(&proxy, || peer(&proxy, &yours).is_some());
    assert!(peer(&proxy, &mine).is_none(), "not trusted any more");
}

#[test]
fn secrets_are_shown_without_what_is_secret() {
    let (authority, folder) = (Authority::new("ca"), Folder::new());
    let pem = authority.issue(&["a.test"]);
    let file = folder.file("web.yaml", &document("web", &certificate(&folder, "web", &pem)));
    let line = pem.key.lines().nth(1).expect("a key");
    let inline = format!(
        "name: inline, tls_certificate: {{certificate_chain: {{filename: {}}}, private_key: {{inline_string: {:?}}}}}",
        folder.file("a.pem", &pem.certificate).display(),
        pem.key
    );
    let tickets = "name: keys, session_ticket_keys: {keys: [{inline_bytes: ".to_owned()
        + &"QUJD".repeat(26)
        + "QUI=}]}";
    let yaml = listener(
        |listener| listener,
        &format!("{{name: inline}}, {}", fetched("web", &file)),
        &[inline, tickets],
    );
    let proxy = Proxy::start(&yaml);
    let dump = Client::connect(proxy.admin()).get("/config_dump").text();
    for secret in [line, "QUJDQUJD", "web.key"] {
        assert!(!dump.contains(secret), "{secret} in {dump}");
    }
    let dump: serde_json::Value = serde_json::from_str(&dump).expect("JSON");
    let configs = dump["configs"].as_array().expect("a list");
    let section = configs
        .iter()
        .find(|config| config["@type"] == "type.googleapis.com/envoy.admin.v3.SecretsConfigDump")
        .expect("secrets");
    let names = |field: &str| -> Vec<String> {
        let list = section[field].as_array().expect("a list");
        list.iter().map(|secret| secret["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names("static_secrets"), ["inline", "keys"]);
    assert_eq!(names("dynamic_active_secrets"), ["web"]);
    let key = &section["static_secrets"][0]["secret"]["tls_certificate"]["private_key"];
    assert_eq!(key["inline_string"], "[redacted]");
    assert_eq!(
        section["static_secrets"][1]["secret"]["session_ticket_keys"]["keys"][0]["inline_bytes"],
        "W3JlZGFjdGVkXQ=="
    );
    let some = Client::connect(proxy.admin()).get("/config_dump?resource=static_secrets").text();
    assert!(some.contains("\"inline\"") && !some.contains(line));
}
