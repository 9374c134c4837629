//! The admin page in a real browser: what it shows under traffic, its buttons, a proxy that goes away.

mod support;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use support::{Client, Proxy, Upstream, config, tool};

const ROUTES: &str = "- {match: {prefix: \"/hang\"}, route: {cluster: full, timeout: 0s}}
              - {match: {prefix: \"/\"}, route: {cluster: up}}";

/// Answers with the status that the path names; `/hang` is never answered.
fn by_path() -> Upstream {
    Upstream::start(|mut client, _| {
        while let Some(request) = client.request() {
            let path = request.head.split(' ').nth(1).unwrap_or_default();
            let status = path.trim_start_matches('/');
            if status == "hang" {
                // Until the proxy closes.
                let _ = client.stream.set_read_timeout(None);
                let _ = client.stream.read(&mut [0]);
                return;
            }
            client.send(format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\n\r\nok"));
        }
    })
}

#[test]
fn the_page_is_one_file_that_sets_only_text() {
    let upstream = by_path();
    let proxy = Proxy::start(&support::simple(upstream.address));
    let response = Client::connect(proxy.admin()).get("/");
    assert_eq!((response.status, response.header("content-type")), (200, Some("text/html; charset=UTF-8")));
    let page = response.text();
    for never in
        ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " onclick", "src="]
    {
        assert!(!page.contains(never), "{never}");
    }
    assert!(page.contains(
        "http-equiv=\"content-security-policy\" content=\"default-src 'none'; connect-src 'self';"
    ));
    // What is not known still gets the help text.
    let unknown = Client::connect(proxy.admin()).get("/nothing");
    assert!(unknown.status == 404 && unknown.text().starts_with("invalid path. admin commands are:\n"));
}

#[test]
fn an_operator_watches_and_works_with_the_page() {
    if !tool("chromium") || !tool("python3") {
        return;
    }
    let upstream = by_path();
    let up = &[upstream.address][..];
    let one = "    circuit_breakers: {thresholds: [{max_requests: 1}]}\n";
    let clusters = [("up", up, ""), ("full", up, one), ("\"<img src=x onerror=alert(1)>\"", up, "")];
    let yaml =
        config("", ROUTES, &clusters) + "node: {id: page-test, cluster: tests}\nstats_flush_interval: 1s\n";
    let proxy = Proxy::start(&yaml);
    let mut hanging = proxy.connect();
    hanging.send("GET /hang HTTP/1.1\r\nhost: test\r\n\r\n");
    let mut client = proxy.connect();
    for number in 0..400 {
        let path = if number < 7 { "/404" } else { "/200" };
        client.get(path);
    }
    proxy.await_stat("cluster.full.circuit_breakers.default.rq_open", 1);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let traffic = std::thread::spawn(move || {
        while !stopped.load(Relaxed) {
            for path in ["/200", "/200", "/200", "/503"] {
                client.get(path);
                // A pace that leaves the machine to the browser.
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/admin_page/drive.py");
    let output = Command::new("python3")
        .arg("-B")
        .arg(script)
        .args([format!("http://{}/", proxy.admin()), proxy.pid().to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("python3 runs");
    stop.store(true, Relaxed);
    traffic.join().expect("every request is answered");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
