//! Certificates that are replaced while connections are open and made.

use super::certs::{Authority, Pem};
use super::client::Config;
use super::config::{Listener, upstream_tls};
use super::support::{Folder, PATIENCE, Proxy};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// Puts a file in the place of another, at once.
fn replace(path: &Path, text: &str) {
    let other = path.with_extension("new");
    std::fs::write(&other, text).expect("a file");
    std::fs::rename(&other, path).expect("a file");
}

/// Waits until new handshakes show this certificate.
fn await_certificate(proxy: &Proxy, pem: &Pem) {
    let end = Instant::now() + PATIENCE;
    while Config::new().connect(proxy.first()).expect("a connection").peer() != pem.der {
        assert!(Instant::now() < end, "not replaced; the log:\n{}", proxy.log());
    }
}

#[test]
fn a_certificate_is_replaced_under_load() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let first = authority.issue(&["a.test"]);
    let listener = Listener::new(&[&first], &folder);
    let proxy = Proxy::start_with(&listener.yaml(), &["--concurrency", "2"]);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let address = proxy.first();
    let clients: Vec<_> = (0..3)
        .map(|at| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut kept = Config::new().connect(address).expect("a connection");
                while !stop.load(Relaxed) {
                    // One keeps its connection, others make new ones, with resumption or without.
                    let response = match at {
                        0 => kept.get("/"),
                        _ => Config::new().get(address, "/"),
                    };
                    assert_eq!(response.expect("an answer").text(), "hello");
                    done.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..4 {
        let next = authority.issue(&["a.test"]);
        // The certificate alone does not fit its key: nothing changes until that has come.
        replace(&folder.0.join("cert0.pem"), &next.certificate);
        replace(&folder.0.join("key0.pem"), &next.key);
        await_certificate(&proxy, &next);
    }
    stop.store(true, Relaxed);
    clients.into_iter().for_each(|client| client.join().expect("no failed request"));
    assert!(done.load(Relaxed) > 20);
}

#[test]
fn a_certificate_that_is_wrong_changes_nothing() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let (first, second) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let proxy = Proxy::start(&Listener::new(&[&first], &folder).yaml());
    for wrong in ["nonsense", "", "-----BEGIN CERTIFICATE-----\nAAAA", &second.certificate] {
        replace(&folder.0.join("cert0.pem"), wrong);
        let before = proxy.log().matches("are not changed").count();
        let end = Instant::now() + PATIENCE;
        while proxy.log().matches("are not changed").count() == before {
            assert!(Instant::now() < end, "nothing was noticed");
            replace(&folder.0.join("cert0.pem"), wrong);
            std::thread::yield_now();
        }
        assert!(Config::new().connect(proxy.first()).expect("a connection").peer() == first.der);
    }
    replace(&folder.0.join("key0.pem"), &second.key);
    await_certificate(&proxy, &second);
    let days = proxy.stat("server.days_until_first_cert_expiring");
    assert!(days > 10_000, "{days}");
}

#[test]
fn folders_of_links_are_followed() {
    // As a container orchestrator mounts secrets: files are links into a folder that is itself a link.
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let (first, second) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    for (name, pem) in [("one", &first), ("two", &second)] {
        std::fs::create_dir(folder.0.join(name)).expect("a folder");
        std::fs::write(folder.0.join(name).join("cert0.pem"), &pem.certificate).expect("a file");
        std::fs::write(folder.0.join(name).join("key0.pem"), &pem.key).expect("a file");
    }
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, folder.0.join(at)).expect("a link");
    link("one", "..data");
    link("..data/cert0.pem", "cert0.pem");
    link("..data/key0.pem", "key0.pem");
    let mut listener = Listener::new(&[], &folder);
    let path = |name: &str| folder.0.join(name).display().to_string();
    listener.certificates = vec![(path("cert0.pem"), path("key0.pem"))];
    let proxy = Proxy::start(&listener.yaml());
    await_certificate(&proxy, &first);
    link("two", "..new");
    std::fs::rename(folder.0.join("..new"), folder.0.join("..data")).expect("a link");
    await_certificate(&proxy, &second);
}

#[test]
fn a_watched_directory_triggers_reading() {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let elsewhere = Folder::new();
    let (first, second) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let yaml = Listener::new(&[&first], &folder).yaml().replace(
        "private_key:",
        &format!("watched_directory: {{path: {}}}, private_key:", elsewhere.0.display()),
    );
    let proxy = Proxy::start(&yaml);
    // Written in place and at the same moment: only the folder tells.
    std::fs::write(folder.0.join("cert0.pem"), &second.certificate).expect("a file");
    std::fs::write(folder.0.join("key0.pem"), &second.key).expect("a file");
    elsewhere.file("a", "");
    replace(&elsewhere.0.join("trigger"), "");
    await_certificate(&proxy, &second);
}

#[test]
fn authorities_are_replaced_too() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let folder = Folder::new();
    let ca = folder.file("ca.pem", &ours.pem);
    // Listener of clients and cluster of servers alike.
    let address =
        super::client::serve(&theirs.issue(&["b.test"]), &[&rustls::version::TLS13], super::client::echo);
    let upstream = upstream_tls(&format!(
        "common_tls_context: {{tls_params: {{tls_maximum_protocol_version: TLSv1_3}}, validation_context: {{trusted_ca: {{filename: {}}}}}}}",
        ca.display()
    ));
    let listener = Listener::new(&[&ours.issue(&["a.test"])], &folder)
        .context("require_client_certificate: true")
        .common(format!("validation_context: {{trusted_ca: {{filename: {}}}}}", ca.display()))
        .cluster("up", address, &[&upstream]);
    let proxy = Proxy::start(&listener.yaml());
    let (mine, yours) =
        (Config::certificate(&ours.issue(&["c"])), Config::certificate(&theirs.issue(&["c"])));
    assert_eq!(mine.get(proxy.first(), "/").expect("let in").status, 503, "the upstream is not trusted");
    yours.get(proxy.first(), "/").expect_err("not let in");
    replace(&ca, &theirs.pem);
    let end = Instant::now() + PATIENCE;
    while yours.get(proxy.first(), "/").map_or(0, |response| response.status) != 200 {
        assert!(Instant::now() < end, "not replaced");
    }
    // A session of before does not help.
    mine.get(proxy.first(), "/").expect_err("not let in any more");
}
