//! Tunnels and WebSocket in every mix of versions.

use super::*;

/// A tunnel's upstream end in either version: agrees, echoes in capitals, ends after `bye`.
fn echo_tunnel(h2: bool) -> Upstream {
    Upstream::start(move |mut client, _| {
        if !h2 {
            let head = String::from_utf8(client.until(b"\r\n\r\n")).expect("a head");
            if head.starts_with("CONNECT") {
                client.send("HTTP/1.1 200 OK\r\n\r\n");
            } else {
                assert!(head.contains("upgrade: websocket\r\n"), "{head}");
                client.send(
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
                );
            }
            loop {
                let mut block = client.exactly(1);
                block.make_ascii_uppercase();
                client.send(&block);
                if block == b"." {
                    return;
                }
            }
        }
        let Some(mut peer) = Peer::accept(client.stream, &[(8, 1)]) else { return };
        let Some((stream, fields, end)) = peer.request() else { return };
        assert!(!end);
        assert!(fields.contains(&(":method".to_owned(), "CONNECT".to_owned())), "{fields:?}");
        peer.headers(stream, &[(":status", "200")], false);
        while let Some(frame) = peer.until(|frame| frame.kind == DATA && frame.stream == stream) {
            let text = frame.payload.to_ascii_uppercase();
            let end = text.ends_with(b".");
            peer.data(stream, &text, end);
            if end {
                while peer.read().is_some() {}
                return;
            }
        }
    })
}

#[test]
fn tunnels_go_through_every_mix() {
    for (down, up) in MIXES {
        for connect in [false, true] {
            let upstream = echo_tunnel(up);
            let hcm = "upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: CONNECT}]\n          \
                 http2_protocol_options: {allow_connect: true}";
            let routes = "- {match: {connect_matcher: {}}, route: {cluster: up}}\n              \
                 - {match: {prefix: \"/\"}, route: {cluster: up}}";
            let options = if up { h2_cluster("allow_connect: true") } else { String::new() };
            let proxy = Proxy::start(&config(hcm, routes, &[("up", &[upstream.address], &options)]));
            let case = format!("h{} to h{}, connect {connect}", 1 + u8::from(down), 1 + u8::from(up));
            if down {
                let mut peer = Peer::ready(proxy.first());
                assert!(peer.settings.contains(&(8, 1)), "{case}: {:?}", peer.settings);
                let mut fields = vec![(":method", "CONNECT"), (":authority", "test:80")];
                if !connect {
                    fields.extend([(":protocol", "websocket"), (":scheme", "http"), (":path", "/chat")]);
                    fields.push(("sec-websocket-version", "13"));
                }
                peer.headers(1, &fields, false);
                let head = peer.until(|frame| frame.kind == HEADERS).expect("an answer");
                assert!(!head.has(END_STREAM), "{case}");
                let fields = &head.fields;
                assert_eq!(fields[0], (":status".to_owned(), "200".to_owned()), "{case}: {fields:?}");
                assert!(
                    fields.iter().all(|field| field.0 != "upgrade" && field.0 != "connection"),
                    "{fields:?}"
                );
                let (mut got, mut ended) = (Vec::new(), false);
                for text in ["hello ", "tunnel", "."] {
                    peer.data(1, text.as_bytes(), false);
                    let until = got.len() + text.len();
                    while got.len() < until || (text == "." && !ended) {
                        let echo = peer.until(|frame| frame.kind == DATA).expect("an echo");
                        ended = echo.has(END_STREAM);
                        got.extend(echo.payload);
                    }
                }
                assert_eq!(got, b"HELLO TUNNEL.", "{case}");
                // The other half.
                peer.data(1, b"", true);
                peer.ping();
            } else {
                let mut client = proxy.connect();
                client.send(if connect {
                    "CONNECT test:80 HTTP/1.1\r\nhost: test:80\r\n\r\n"
                } else {
                    "GET /chat HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
                });
                let head = String::from_utf8(client.until(b"\r\n\r\n")).expect("a head");
                let status = if connect { "HTTP/1.1 200" } else { "HTTP/1.1 101" };
                assert!(head.starts_with(status), "{case}: {head}");
                assert_eq!(head.contains("upgrade: websocket\r\n"), !connect, "{case}: {head}");
                client.send("hello tunnel");
                assert_eq!(client.exactly(12), b"HELLO TUNNEL", "{case}");
                client.send(".");
                assert_eq!(client.exactly(1), b".", "{case}");
                client.stream.shutdown(std::net::Shutdown::Write).expect("a half");
                client.assert_closed();
            }
            proxy.await_stat("http.test.downstream_cx_upgrades_active", 0);
            proxy.await_stat("cluster.up.upstream_rq_active", 0);
        }
    }
}

/// RFC 8441 section 5: what RFC 6455 has the client check is not sent in HTTP/2.
#[test]
fn a_websocket_of_http1_is_accepted_for_an_upstream_of_http2() {
    let upstream = Upstream::start(|client, _| {
        let Some(mut peer) = Peer::accept(client.stream, &[(8, 1)]) else { return };
        while let Some((stream, fields, _)) = peer.request() {
            let mut head = vec![(":status", "200")];
            if fields.iter().any(|field| field == &(":path".to_owned(), "/own".to_owned())) {
                head.push(("sec-websocket-accept", "mine"));
            }
            peer.headers(stream, &head, false);
        }
    });
    let proxy = proxy("upgrade_configs: [{upgrade_type: websocket}]", upstream.address, true);
    // The key is the RFC's example.
    for (path, accept) in [("/", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), ("/own", "mine")] {
        let mut client = proxy.connect();
        client.send(format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
        ));
        let response = client.response();
        assert_eq!((response.status, response.header("sec-websocket-accept")), (101, Some(accept)));
    }
}

#[test]
fn an_upstream_without_extended_connect_is_not_asked_for_it() {
    let upstream = scripted(|mut peer, _| while peer.read().is_some() {});
    let proxy = proxy("upgrade_configs: [{upgrade_type: websocket}]", upstream.address, true);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    assert_eq!(client.response().status, 503);
}
