//! HTTP/2 to the letter: what each section of RFC 9113 and RFC 7541 demands of a server, asked of the listener.
//!
//! A case sends frames and says what must come of them. Everything has to come within [`STRICT`], and a connection
//! error means GOAWAY with the right code and then the end of the connection.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "the tests of TLS need more of it")]
#[path = "../tls/certs.rs"]
mod certs;
#[allow(dead_code, reason = "the tests of TLS need more of it")]
#[path = "../tls/config.rs"]
mod tls;

mod frames;
mod hpack;
mod messages;
mod streams;

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use support::h2::*;
use support::{Folder, Proxy, Upstream, config};

/// So long is waited for what must come, the end of a connection after GOAWAY too: longer than a busy machine stands
/// still, and shorter than whatever would end it without being asked (see [`yaml`]).
const STRICT: Duration = Duration::from_secs(20);

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL: u32 = 1;
pub const FLOW: u32 = 3;
pub const CLOSED: u32 = 5;
pub const SIZE: u32 = 6;
pub const REFUSED: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION: u32 = 9;

/// What must come.
pub enum Expect {
    /// GOAWAY with this code, and the end of the connection.
    Connection(u32),
    /// RST_STREAM with this code on this stream, after which the connection is still good.
    Stream(u32, u32),
    /// Either of them with this code: where the RFC leaves the choice.
    Error(u32, u32),
    /// The connection is as good as before, and no stream was reset.
    Good,
    /// The answer to a PING, or the end of the connection.
    GoodOrGone,
    /// A whole response with this status on this stream, and a good connection.
    Status(u32, u16),
}

/// Section, what is sent, how, and what must come of it.
pub type Case = (&'static str, &'static str, fn(&mut Peer), Expect);

/// The answer's body, with which windows are tried.
const BODY: &str = "a body of some length";

const ROUTES: &str = "- {match: {prefix: \"/\"}, route: {cluster: up, timeout: 60s}}";

fn upstream() -> Upstream {
    Upstream::start(|mut client, _| {
        while let Some(request) = client.request() {
            if request.head.contains("/hang") {
                continue;
            }
            let body = if request.head.starts_with("HEAD") { "" } else { BODY };
            client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", BODY.len()));
        }
    })
}

/// Nothing ends by a time-out of the proxy's before [`STRICT`].
fn yaml(hcm: &str, routes: &str, upstream: &Upstream) -> String {
    let hcm = &format!("delayed_close_timeout: 60s\n          {hcm}");
    let breakers = "    circuit_breakers: {thresholds: [{max_connections: 5000, max_pending_requests: 5000, max_requests: 5000}]}\n";
    config(hcm, routes, &[("up", &[upstream.address], breakers)])
}

/// What is wrong, if anything is.
fn run(address: SocketAddr, (_, _, script, expect): &Case) -> Result<(), String> {
    let mut peer = Peer::raw(address);
    peer.patience(STRICT);
    script(&mut peer);
    let judge = std::panic::AssertUnwindSafe(|| verdict(&mut peer, expect));
    std::panic::catch_unwind(judge).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.unwrap_or_else(|| panic.downcast_ref::<&str>().copied().unwrap_or_default().to_owned()))
    })
}

fn verdict(peer: &mut Peer, expect: &Expect) -> Result<(), String> {
    let code_is = |frame: &Frame, code: u32| {
        if frame.code() == code { Ok(()) } else { Err(format!("{frame:?} instead of code {code}")) }
    };
    match *expect {
        Expect::Connection(code) => {
            let begun = Instant::now();
            let frames = peer.rest();
            if begun.elapsed() > STRICT {
                return Err(format!("closed after {:?}", begun.elapsed()));
            }
            let goaway = frames.iter().rev().find(|frame| frame.kind == GOAWAY);
            code_is(goaway.ok_or(format!("closed without GOAWAY after {frames:?}"))?, code)
        }
        Expect::Stream(stream, code) => {
            let frame = peer
                .until(|frame| is_error(frame, stream))
                .ok_or_else(|| format!("closed after {:?}", peer.kept))?;
            if frame.kind == GOAWAY {
                return Err(format!("{frame:?}"));
            }
            code_is(&frame, code)?;
            good(peer)
        }
        Expect::Error(stream, code) => {
            let frame = peer
                .until(|frame| is_error(frame, stream))
                .ok_or_else(|| format!("closed after {:?}", peer.kept))?;
            code_is(&frame, code)?;
            if frame.kind == GOAWAY {
                peer.rest();
                return Ok(());
            }
            good(peer)
        }
        Expect::Good => good(peer),
        Expect::GoodOrGone => {
            peer.frame(PING, 0, 0, b"pingpong");
            let answered = |frame: &Frame| frame.kind == PING && frame.has(ACK);
            peer.until(answered);
            Ok(())
        }
        Expect::Status(stream, status) => {
            let message = peer.message(stream);
            if message.status() != status || !message.ended || message.reset.is_some() {
                return Err(format!("{message:?}"));
            }
            good(peer)
        }
    }
}

/// GOAWAY, or RST_STREAM of this stream that says more than that the rest of a request is not wanted.
fn is_error(frame: &Frame, stream: u32) -> bool {
    frame.kind == GOAWAY || (frame.kind == RST_STREAM && frame.stream == stream && frame.code() != NO_ERROR)
}

fn good(peer: &mut Peer) -> Result<(), String> {
    let frames = peer.ping();
    let bad = frames
        .iter()
        .chain(&peer.kept)
        .find(|frame| frame.kind == GOAWAY || (frame.kind == RST_STREAM && frame.code() != NO_ERROR));
    bad.map_or(Ok(()), |frame| Err(format!("{frame:?}")))
}

fn run_all(hcm: &str, cases: &[Case]) {
    run_with(hcm, ROUTES, cases);
}

fn run_with(hcm: &str, routes: &str, cases: &[Case]) {
    let upstream = upstream();
    let proxy = Proxy::start(&yaml(hcm, routes, &upstream));
    run_against(&proxy, proxy.first(), cases);
}

fn run_against(proxy: &Proxy, address: SocketAddr, cases: &[Case]) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failed = std::sync::Mutex::new(Vec::new());
    // They wait for one another's turns only.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    if let Err(why) = run(address, case) {
                        failed.lock().expect("failures").push(format!("{} {}: {why}", case.0, case.1));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("failures");
    println!("{} cases", cases.len());
    assert!(failed.is_empty(), "{} of {} cases fail:\n{}", failed.len(), cases.len(), failed.join("\n"));
    // Nobody is left behind.
    proxy.await_stat("http.test.downstream_rq_active", 0);
    proxy.await_stat("http.test.downstream_cx_active", 0);
    proxy.await_stat("http2.streams_active", 0);
}

/// With what Envoy does by default: a malformed message ends the connection.
#[test]
fn every_section_is_obeyed() {
    run_all("", &every_case());
}

fn every_case() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(streams::cases());
    cases.extend(frames::cases());
    cases.extend(hpack::cases());
    cases.extend(messages::cases());
    cases
}

/// The same where HTTP/2 is not recognised by its preface.
#[test]
fn every_section_is_obeyed_with_prior_knowledge() {
    run_all("codec_type: HTTP2", &every_case());
}

/// An answer that does not wait for the request's end changes nothing.
#[test]
fn every_section_is_obeyed_by_early_answers() {
    let routes = "- {match: {path: \"/hang\"}, route: {cluster: up, timeout: 60s}}\n              \
                  - {match: {prefix: \"/\"}, direct_response: {status: 200, body: {inline_string: \"a body of some length\"}}}";
    let mut cases = every_case();
    // These need streams that stay open.
    let open = [
        "more streams than are allowed, which are not ended",
        "a new initial window that makes a stream's overflow",
    ];
    cases.retain(|case| !open.contains(&case.1));
    run_with("", routes, &cases);
}

/// Over TLS, with ALPN. The cases speak through a second proxy, which does the client's part of TLS.
#[test]
fn every_section_is_obeyed_over_tls() {
    let folder = Folder::new();
    let pem = certs::Authority::new("ca").issue(&["a.test"]);
    let chain = tls::server_tls(&pem, &folder, "alpn_protocols: [h2, http/1.1],");
    let upstream = upstream();
    let chain = format!("\n      {chain}\n  clusters:\n");
    let proxy = Proxy::start(&yaml("", ROUTES, &upstream).replacen("\n  clusters:\n", &chain, 1));
    let cluster = tls::upstream_tls("common_tls_context: {alpn_protocols: [h2]}");
    let front = tls::Tunnel { cluster: &cluster, ..tls::Tunnel::default() };
    let front = Proxy::start(&front.yaml(proxy.first()));
    run_against(&proxy, front.first(), &every_case());
    assert!(proxy.stat("http.test.downstream_cx_http2_total") > 0);
    assert_eq!(proxy.stat("http.test.downstream_cx_http1_total"), 0);
}

/// With the option that a malformed message ends its stream only: the same, as stream errors.
#[test]
fn malformed_messages_may_cost_only_their_stream() {
    let cases: Vec<_> = messages::cases()
        .into_iter()
        .map(|(section, name, script, expect)| {
            let expect = match expect {
                Expect::Connection(code) => Expect::Stream(1, code),
                other => other,
            };
            (section, name, script, expect)
        })
        .collect();
    run_all("http2_protocol_options: {override_stream_error_on_invalid_http_message: true}", &cases);
}

/// SETTINGS sent and everything acknowledged.
pub fn start(peer: &mut Peer) {
    start_with(peer, &[]);
}

pub fn start_with(peer: &mut Peer, entries: &[(u16, u32)]) {
    peer.try_send([PREFACE, &frame(SETTINGS, 0, 0, &settings(entries))].concat());
    peer.settle();
}
