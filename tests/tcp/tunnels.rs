//! Sessions through HTTP proxies: scripted ones, and ourselves.

use super::support::{Client, Folder, Proxy, Upstream, config};
use super::{Ended, access_log, connect, filter, lines, read, rest, tcp_proxy, yaml};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// An HTTP proxy that connects where it is asked to, or answers as it is told.
fn connect_proxy(refusal: Option<&'static str>) -> Upstream {
    Upstream::start(move |mut client, _| {
        let head = String::from_utf8(client.until(b"\r\n\r\n")).expect("a head");
        if let Some(refusal) = refusal {
            client.send(refusal);
            // Until the other side closes.
            client.until_closed();
            return;
        }
        let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).expect("CONNECT");
        let address: SocketAddr = target.parse().expect("an address");
        let mut far = TcpStream::connect(address).expect("the target listens");
        client.send("HTTP/1.1 200 Connection established\r\nx-proxy: yes\r\n\r\n");
        let mut near = client.stream.try_clone().expect("a copy");
        let (mut from_near, mut to_far) =
            (near.try_clone().expect("a copy"), far.try_clone().expect("a copy"));
        let up = std::thread::spawn(move || {
            pipe(&mut from_near, &mut to_far);
        });
        pipe(&mut far, &mut near);
        up.join().expect("piped");
    })
}

fn pipe(from: &mut TcpStream, to: &mut TcpStream) {
    let mut block = vec![0; 1 << 16];
    while let Ok(n) = from.read(&mut block) {
        if n == 0 || to.write_all(&block[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A large exchange that ends half by half.
fn exchange(mut client: TcpStream) {
    let sent: Vec<u8> = (0..5 << 20).map(|at: usize| (at * 7 + (at >> 10)) as u8).collect();
    let mut writer = client.try_clone().expect("a copy");
    let bytes = sent.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&bytes).expect("sent");
        writer.shutdown(Shutdown::Write).expect("finished");
    });
    let (back, ended) = rest(&mut client);
    sender.join().expect("sent");
    assert!(back == sent, "{} of {} bytes came back", back.len(), sent.len());
    assert_eq!(ended, Ended::InOrder);
}

#[test]
fn a_session_goes_through_an_http_proxy() {
    let echo = super::echo();
    let through = connect_proxy(None);
    let tunnel = format!("tunneling_config: {{hostname: \"{echo}\"}}");
    let proxy = Proxy::start(&yaml(
        &[("main", &[tcp_proxy(&format!("cluster: through, {tunnel}"))], "")],
        &[("through", &[through.address], "")],
    ));
    for _ in 0..3 {
        exchange(connect(&proxy, "main"));
    }
    through.join();
    assert_eq!(through.connections(), 3, "a connection for each tunnel");
    proxy.await_stat("cluster.through.upstream_cx_active", 0);
    proxy.await_stat("cluster.through.upstream_rq_active", 0);
    assert_eq!(proxy.stat("tcp.t.downstream_cx_rx_bytes_total"), 15 << 20);
    assert_eq!(proxy.stat("tcp.t.downstream_cx_tx_bytes_total"), 15 << 20);
}

/// TCP to us, CONNECT to ourselves as an HTTP proxy, which passes it on to one that connects.
#[test]
fn a_session_goes_through_ourselves() {
    let echo = super::echo();
    let last = connect_proxy(None);
    let forward = config(
        "upgrade_configs: [{upgrade_type: CONNECT}]",
        "- {match: {connect_matcher: {}}, route: {cluster: last}}",
        &[("last", &[last.address], "")],
    );
    let middle = Proxy::start_with(&forward, &["--concurrency", "1"]);
    let h2 = "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}";
    let tunnel = format!("tunneling_config: {{hostname: \"{echo}\"}}");
    let listener = |cluster| [tcp_proxy(&format!("cluster: {cluster}, {tunnel}"))];
    let proxy = Proxy::start_with(
        &yaml(
            &[("one", &listener("h1"), ""), ("two", &listener("h2"), "")],
            &[("h1", &[middle.first()], ""), ("h2", &[middle.first()], h2)],
        ),
        &["--concurrency", "1"],
    );
    exchange(connect(&proxy, "one"));
    proxy.await_stat("cluster.h1.upstream_cx_active", 0);
    assert_eq!(middle.stat("http.test.downstream_cx_upgrades_total"), 1);

    // In HTTP/2 tunnels share a connection, and one that nobody reads does not stop the other.
    let quiet = {
        let mut client = connect(&proxy, "two");
        client.write_all(&vec![b'x'; 300_000]).expect("sent");
        client
    };
    exchange(connect(&proxy, "two"));
    drop(quiet);
    last.join();
    proxy.await_stat("cluster.h2.upstream_rq_active", 0);
    assert_eq!(proxy.stat("cluster.h2.upstream_cx_total"), 1);
    assert_eq!(middle.stat("http.test.downstream_cx_http2_total"), 1);
    // A reset of a client is one of its stream.
    let mut client = connect(&proxy, "two");
    client.write_all(b"there?").expect("sent");
    assert_eq!(read(&mut client, 6), b"there?");
    super::reset(client);
    middle.await_stat("http.test.downstream_rq_active", 0);
    proxy.await_stat("cluster.h2.upstream_rq_active", 0);
    assert_eq!(proxy.stat("cluster.h2.upstream_cx_active"), 1);
}

#[test]
fn the_request_says_what_is_configured() {
    let upstream = Upstream::start(|mut client, _| {
        let head = String::from_utf8(client.until(b"\r\n\r\n")).expect("a head");
        assert_eq!(
            head,
            "CONNECT some.where:127.0.0.1 HTTP/1.1\r\nhost: some.where:127.0.0.1\r\nx-who: 127.0.0.1\r\n\r\n"
        );
        client.send("HTTP/1.1 200 OK\r\n\r\n");
        client.until_closed();
    });
    let post = Upstream::start(|mut client, _| {
        let head = String::from_utf8(client.until(b"\r\n\r\n")).expect("a head");
        assert_eq!(head, "POST /way HTTP/1.1\r\nhost: some.where:1\r\ntransfer-encoding: chunked\r\n\r\n");
        client.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        assert_eq!(client.exactly(9), b"4\r\nping\r\n");
        client.send("4\r\npong\r\n");
        assert_eq!(client.exactly(5), b"0\r\n\r\n");
        client.send("4\r\ntail\r\n0\r\n\r\n");
        client.until_closed();
    });
    let who = filter(
        "set_filter_state.v3.Config",
        "on_new_connection: [{object_key: who, factory_key: envoy.string, format_string: {text_format_source: {inline_string: \"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\"}}}]",
    );
    let named = "tunneling_config: {hostname: \"some.where:%FILTER_STATE(who:PLAIN)%\", headers_to_add: [{header: {key: x-who, value: \"%FILTER_STATE(who:PLAIN)%\"}}, {header: {key: x-none, value: \"%FILTER_STATE(none)%\"}}]}";
    let proxy = Proxy::start(&yaml(
        &[
            ("named", &[who, tcp_proxy(&format!("cluster: a, {named}"))], ""),
            (
                "post",
                &[tcp_proxy(
                    "cluster: b, tunneling_config: {hostname: \"some.where:1\", use_post: true, post_path: /way}",
                )],
                "",
            ),
        ],
        &[("a", &[upstream.address], ""), ("b", &[post.address], "")],
    ));
    let client = connect(&proxy, "named");
    client.shutdown(Shutdown::Write).expect("finished");
    upstream_done(client);
    upstream.join();
    let mut client = connect(&proxy, "post");
    client.write_all(b"ping").expect("sent");
    assert_eq!(read(&mut client, 4), b"pong");
    client.shutdown(Shutdown::Write).expect("finished");
    assert_eq!(rest(&mut client), (b"tail".to_vec(), Ended::InOrder));
    post.join();
}

fn upstream_done(mut client: TcpStream) {
    assert_eq!(rest(&mut client).0, b"");
}

#[test]
fn a_tunnel_that_is_refused_is_tried_again_and_given_up() {
    let folder = Folder::new();
    let path = folder.0.join("log");
    let log = access_log(
        &path.display().to_string(),
        "%RESPONSE_FLAGS% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_TRANSPORT_FAILURE_REASON%",
    );
    let refusals: [(&str, &str); 3] = [
        ("forbidden", "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"),
        ("broken", "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\nno!"),
        ("garbage", "this is not HTTP\r\n\r\n"),
    ];
    let upstreams = refusals.map(|(_, text)| connect_proxy(Some(text)));
    let addresses = upstreams.each_ref().map(|upstream| [upstream.address]);
    let filters = refusals.map(|(name, _)| {
        [tcp_proxy(&format!(
            "cluster: {name}, max_connect_attempts: 2, tunneling_config: {{hostname: \"a:1\"}}, {log}"
        ))]
    });
    let listeners: Vec<_> = refusals.iter().zip(&filters).map(|((name, _), f)| (*name, &f[..], "")).collect();
    let clusters: Vec<_> =
        refusals.iter().zip(&addresses).map(|((name, _), a)| (*name, &a[..], "")).collect();
    let proxy = Proxy::start_with(
        &yaml(&listeners, &clusters),
        &["--concurrency", "1", "--file-flush-interval-msec", "10"],
    );
    for (name, _) in refusals {
        assert_eq!(rest(&mut connect(&proxy, name)).0, b"");
        proxy.await_stat(&format!("cluster.{name}.upstream_cx_active"), 0);
    }
    assert_eq!(
        lines(&path, 3),
        ["UF,URX 2 tunnel_response:403", "UF,URX 2 tunnel_response:502", "UF,URX 2 -"]
    );
    for upstream in &upstreams {
        upstream.join();
        assert_eq!(upstream.connections(), 2);
    }
}

/// Whoever names the target cannot write lines into the request.
#[test]
fn a_target_with_line_ends_is_not_asked_for() {
    let upstream = Upstream::start(|_, _| panic!("nothing is asked for"));
    let bad = filter(
        "set_filter_state.v3.Config",
        "on_new_connection: [{object_key: to, factory_key: envoy.string, format_string: {text_format_source: {inline_string: \"a:1 HTTP/1.1\\r\\nx: y\"}}}]",
    );
    let proxy = Proxy::start(&yaml(
        &[(
            "main",
            &[bad, tcp_proxy("cluster: up, tunneling_config: {hostname: \"%FILTER_STATE(to:PLAIN)%\"}")],
            "",
        )],
        &[("up", &[upstream.address], "")],
    ));
    assert_eq!(rest(&mut connect(&proxy, "main")).0, b"");
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
    // The connection was made; nothing was sent on it.
    let client = Client::connect(proxy.admin()).get("/ready");
    assert_eq!(client.status, 200);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_tx_bytes_total"), 0);
}
