//! WebSocket through the proxy: the Autobahn test suite's cases, and what a tunnel must do beyond them.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use support::{Client, Proxy, Upstream, config};

const TO_UP: &str = "- {match: {prefix: \"/\"}, route: {cluster: up, timeout: 0s}}";
const UPGRADES: &str = "upgrade_configs: [{upgrade_type: websocket}]";
const ASK: &str = "GET /chat HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";

fn suite(python: &PathBuf) -> Command {
    let mut command = Command::new(python);
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/websocket/suite.py");
    command.args(["-W", "ignore"]).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn verdicts(child: Child) -> serde_json::Map<String, serde_json::Value> {
    let output = child.wait_with_output().expect("the suite ends");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("verdicts")
}

#[test]
fn autobahn_has_the_same_verdicts_with_and_without_us() {
    let Some(python) = support::python("autobahntestsuite") else { return };
    let mut server = suite(&python).arg("--echo").spawn().expect("Python runs");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("piped")).read_line(&mut line).expect("a port");
    let address: SocketAddr = format!("127.0.0.1:{}", line.trim()).parse().expect("a port");
    let proxy = Proxy::start(&config(UPGRADES, TO_UP, &[("up", &[address], "")]));
    let both = |cases: &[&str]| {
        let start = |address: SocketAddr| {
            let mut command = suite(&python);
            command.arg(format!("ws://{address}/"));
            if !cases.is_empty() {
                command.arg(cases.join(","));
            }
            command.spawn().expect("Python runs")
        };
        let (direct, through) = (start(address), start(proxy.first()));
        (verdicts(direct), verdicts(through))
    };
    let (mut direct, mut through) = both(&[]);
    let passed = direct.values().filter(|verdict| verdict[0] == "OK").count();
    assert!(passed > 250, "the suite does not work: {direct:?}");
    let (count, mut tunnels) = (direct.len(), through.len());
    // On a busy machine some verdicts are about its speed: what differs must differ again.
    for _ in 0..4 {
        direct.retain(|case, verdict| Some(&*verdict) != through.get(case));
        if direct.is_empty() {
            break;
        }
        println!("again: {:?}", direct.keys());
        (direct, through) = both(&direct.keys().map(String::as_str).collect::<Vec<_>>());
        tunnels += through.len();
    }
    assert!(direct.is_empty(), "without us {direct:?}, through us {through:?}");
    println!("{count} cases, {passed} of them OK, all with the same verdict through the proxy");
    proxy.await_stat("http.test.downstream_cx_upgrades_active", 0);
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
    assert_eq!(proxy.stat("http.test.downstream_cx_upgrades_total"), tunnels as u64);
    // Its standard input ends, and so does the server.
    drop(server.stdin.take());
    server.wait().expect("the server ends");
}

/// An upstream that agrees to a tunnel and runs `script` in it.
fn tunnel(script: impl Fn(Client) + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |mut client, _| {
        if client.request().is_some() {
            client.send(AGREE);
            script(client);
        }
    })
}

fn open(proxy: &Proxy) -> Client {
    let mut client = proxy.connect();
    client.send(ASK);
    let response = client.response();
    assert_eq!((response.status, response.header("upgrade")), (101, Some("websocket")));
    client
}

#[test]
fn much_goes_both_ways_past_slow_readers() {
    const MIB: usize = 1 << 20;
    const SIZE: usize = 12 * MIB;
    let upstream = tunnel(|client| {
        // Both sides write all they have before they read: only backpressure and buffers keep that going.
        let mut writer = client.stream.try_clone().expect("a socket");
        let writing = std::thread::spawn(move || {
            for block in 0..SIZE / MIB {
                writer.write_all(&vec![block as u8; MIB]).expect("the proxy reads");
            }
            writer.shutdown(Shutdown::Write).expect("a half");
        });
        let mut reader = client.stream;
        let mut sum = 0u64;
        let mut block = vec![0; 8192];
        loop {
            match reader.read(&mut block) {
                Ok(0) => break,
                Ok(n) => sum += block[..n].iter().map(|byte| u64::from(*byte)).sum::<u64>(),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(sum, 7 * SIZE as u64);
        writing.join().expect("written");
    });
    let proxy = Proxy::start(&config(UPGRADES, TO_UP, &[("up", &[upstream.address], "")]));
    let before = proxy.resident();
    let mut client = open(&proxy);
    // What came along with the head of the response.
    let mut all = client.take_buffered();
    let mut writer = client.stream.try_clone().expect("a socket");
    let writing = std::thread::spawn(move || {
        for _ in 0..SIZE / MIB {
            writer.write_all(&vec![7; MIB]).expect("the proxy reads");
        }
        writer.shutdown(Shutdown::Write).expect("a half");
    });
    let mut reader = client.stream;
    // Nothing is read until the proxy has stopped reading the upstream.
    proxy.await_stat_that("cluster.up.upstream_flow_control_paused_reading_total", |paused| paused > 0);
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes are held for one slow reader");
    reader.read_to_end(&mut all).expect("the end");
    assert_eq!(all.len(), SIZE);
    assert!(all.chunks(MIB).zip(0u8..).all(|(block, byte)| block.iter().all(|other| *other == byte)));
    writing.join().expect("written");
    upstream.join();
    proxy.await_stat("http.test.downstream_cx_upgrades_active", 0);
    proxy.await_stat("http.test.downstream_rq_active", 0);
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
}

#[test]
fn either_half_may_end_first() {
    let upstream = tunnel(|mut client| {
        // The client's half ends; ours goes on after it.
        assert_eq!(client.until_closed(), b"that is all");
        client.send("and this is the answer");
    });
    let proxy = Proxy::start(&config(UPGRADES, TO_UP, &[("up", &[upstream.address], "")]));
    let mut client = open(&proxy);
    client.send("that is all");
    client.stream.shutdown(Shutdown::Write).expect("a half");
    assert_eq!(client.until_closed(), b"and this is the answer");
    upstream.join();

    let upstream = tunnel(|mut client| {
        client.send("first");
        client.stream.shutdown(Shutdown::Write).expect("a half");
        assert_eq!(client.until_closed(), b"second");
    });
    let proxy = Proxy::start(&config(UPGRADES, TO_UP, &[("up", &[upstream.address], "")]));
    let mut client = open(&proxy);
    assert_eq!(client.until_closed(), b"first");
    client.send("second");
    client.stream.shutdown(Shutdown::Write).expect("a half");
    upstream.join();
    proxy.await_stat("http.test.downstream_cx_upgrades_active", 0);
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_closed() {
    let upstream = tunnel(|mut client| assert_eq!(client.until_closed(), b"hello"));
    let hcm = format!("{UPGRADES}\n          stream_idle_timeout: 0.1s");
    let proxy = Proxy::start(&config(&hcm, TO_UP, &[("up", &[upstream.address], "")]));
    let mut client = open(&proxy);
    client.send("hello");
    assert_eq!(client.until_closed(), b"");
    assert_eq!(proxy.stat("http.test.downstream_rq_idle_timeout"), 1);
    upstream.join();
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
}

#[test]
fn both_ends_are_told_when_the_other_dies() {
    let upstream = tunnel(|client| drop(client.stream));
    let proxy = Proxy::start(&config(UPGRADES, TO_UP, &[("up", &[upstream.address], "")]));
    let mut client = open(&proxy);
    assert_eq!(client.until_closed(), b"");
    drop(client);
    proxy.await_stat("cluster.up.upstream_cx_active", 0);

    let (gone, heard) = std::sync::mpsc::channel();
    let upstream = tunnel(move |mut client| {
        let rest = client.until_closed();
        gone.send(rest).expect("the test waits");
    });
    let proxy = Proxy::start(&config(UPGRADES, TO_UP, &[("up", &[upstream.address], "")]));
    drop(open(&proxy));
    assert_eq!(heard.recv_timeout(support::PATIENCE).expect("the upstream is told"), b"");
    proxy.await_stat("http.test.downstream_cx_upgrades_active", 0);
}
