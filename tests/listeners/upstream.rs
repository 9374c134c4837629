//! The PROXY protocol upstream: what hosts are told of whose connections, and that nobody gets another's.

use super::config::{Chain, config, listener, listener_at, only};
use super::haproxy::Haproxy;
use super::support::{Client, Folder, Proxy, Upstream, tool};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

/// A host that answers each request with the header that its connection began with.
struct Host {
    upstream: Upstream,
    /// Of its connections, as they come.
    headers: mpsc::Receiver<Vec<u8>>,
}

impl Host {
    fn start() -> Self {
        let (seen, headers) = mpsc::channel();
        let upstream = Upstream::start(move |mut client, _| {
            let mut header = client.exactly(1);
            if header == b"P" {
                header.extend(client.until(b"\r\n"));
            } else {
                header.extend(client.exactly(15));
                let length = u16::from_be_bytes([header[14], header[15]]);
                header.extend(client.exactly(length.into()));
            }
            let shown = header.escape_ascii().to_string();
            let _ = seen.send(header);
            while client.request().is_some() {
                client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{shown}", shown.len()));
            }
        });
        Self { upstream, headers }
    }
}

/// A configuration whose cluster `up` speaks PROXY with these options.
fn yaml(listeners: &[String], host: SocketAddr, options: &str) -> String {
    let socket = format!(
        "    transport_socket: {{name: p, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {{{options}}}, transport_socket: {{name: raw, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}}}}}\n    load_assignment"
    );
    config(listeners, &host.to_string(), "").replace("    load_assignment", &socket)
}

const ONE: [Chain<'static>; 1] = [Chain("one", "", "")];

#[test]
fn each_client_has_connections_of_its_own() {
    let host = Host::start();
    let proxy = Proxy::start(&yaml(&[listener("main", "", &ONE)], host.upstream.address, "version: V1"));
    let at = proxy.address("main");
    let mut clients: Vec<_> = (0..5).map(|_| Client::connect(at)).collect();
    for round in 0..3 {
        for client in &mut clients {
            let mine = client.stream.local_addr().expect("bound");
            let wanted = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\\r\\n", mine.port(), at.port());
            assert_eq!(client.get("/up").text(), wanted, "round {round}");
        }
    }
    assert_eq!(host.upstream.connections(), 5);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_total"), 5);
    assert_eq!(proxy.stat("cluster.up.upstream_rq_total"), 15);
    assert_eq!(host.headers.try_iter().count(), 5);
}

#[test]
fn version_2_repeats_the_clients_own_header() {
    let host = Host::start();
    let pass = only(
        "proxy_protocol",
        "allow_requests_without_proxy_protocol: true, pass_through_tlvs: {match_type: INCLUDE_ALL}",
    );
    let options = "version: V2, pass_through_tlvs: {match_type: INCLUDE, tlv_type: [4]}, added_tlvs: [{type: 230, value: aGk=}]";
    let proxy = Proxy::start(&yaml(&[listener("main", &pass, &ONE)], host.upstream.address, options));
    let mut client = Client::connect(proxy.address("main"));
    let ends = [1, 2, 3, 4, 5, 6, 7, 8, 4, 87, 8, 174];
    client.send([b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x15", &ends[..], b"\x02\0\x01x\x04\0\x02zz"].concat());
    assert_eq!(client.get("/up").status, 200);
    let wanted = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x16", &ends[..], b"\xe6\0\x02hi\x04\0\x02zz"].concat();
    assert_eq!(host.headers.try_iter().collect::<Vec<_>>(), [wanted]);
    // The same client by another connection: the same pool.
    let mut again = Client::connect(proxy.address("main"));
    again.send("PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n");
    assert_eq!(again.get("/up").status, 200);
    assert_eq!(host.upstream.connections(), 1);
    let mut other = Client::connect(proxy.address("main"));
    other.send("PROXY TCP6 1::2 3::4 5 6\r\n");
    assert!(other.get("/up").text().contains("!!\\x00)"));
}

#[test]
fn a_client_without_an_address_is_unknown() {
    for (options, wanted) in
        [("", "PROXY UNKNOWN\\r\\n"), ("version: V2", "\\r\\n\\r\\n\\x00\\r\\nQUIT\\n \\x00\\x00\\x00")]
    {
        let (host, folder) = (Host::start(), Folder::new());
        let path = folder.0.join("socket");
        let options_of_listener = format!("address: {{pipe: {{path: {}}}}}", path.display());
        let listeners = [listener_at("main", &options_of_listener, &ONE)];
        let _proxy = Proxy::start(&yaml(&listeners, host.upstream.address, options));
        let mut stream = UnixStream::connect(&path).expect("it listens");
        stream.write_all(b"GET /up HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("open");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("text");
        assert!(text.ends_with(wanted), "{text:?}");
    }
}

#[test]
fn http2_begins_behind_the_header() {
    let upstream = Upstream::start(|mut client, _| {
        client.until(b"\r\n");
        assert_eq!(client.exactly(24), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert_eq!(client.exactly(9)[3], 4, "a SETTINGS frame");
    });
    let text = yaml(&[listener("main", "", &ONE)], upstream.address, "")
        .replace("    transport_socket", "    http2_protocol_options: {}\n    transport_socket");
    let proxy = Proxy::start(&text);
    assert_eq!(Client::connect(proxy.address("main")).get("/up").status, 503);
    upstream.join();
}

#[test]
fn haproxy_understands_the_header() {
    if !tool("haproxy") || !tool("python3") {
        return;
    }
    for options in ["", "version: V2", "version: V2, added_tlvs: [{type: 2, value: YS5i}]"] {
        let lines = "mode http\n  http-request return status 200 content-type text/plain lf-string \"%ci:%cp %fi:%fp\"";
        let haproxy = Haproxy::start("accept-proxy", lines);
        let header = only("proxy_protocol", "allow_requests_without_proxy_protocol: true");
        let proxy = Proxy::start(&yaml(&[listener("main", &header, &ONE)], haproxy.address, options));
        let at = proxy.address("main");
        let mut client = Client::connect(at);
        let mine = client.stream.local_addr().expect("bound");
        assert_eq!(client.get("/up").text(), format!("{mine} {at}"), "{options}");
        let mut client = Client::connect(at);
        client.send("PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n");
        assert_eq!(client.get("/up").text(), "1.2.3.4:9 5.6.7.8:10", "{options}");
    }
}

#[test]
fn connections_of_clients_that_are_gone_age_out() {
    let host = Host::start();
    let text = yaml(&[listener("main", "", &ONE)], host.upstream.address, "").replace(
        "    transport_socket",
        "    common_http_protocol_options: {idle_timeout: 0.1s}\n    transport_socket",
    );
    let proxy = Proxy::start(&text);
    for _ in 0..20 {
        assert_eq!(Client::connect(proxy.address("main")).get("/up").status, 200);
    }
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_idle_timeout"), 20);
    assert_eq!(Client::connect(proxy.address("main")).get("/up").status, 200);
}
