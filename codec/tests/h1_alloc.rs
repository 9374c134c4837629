//! A warm worker serves HTTP/1 without touching the allocator: counted, not timed. What it costs is timed in
//! `benches/h1.rs`.

mod sys;

use nuncio_codec::{
    Buffer,
    h1::{Client, ClientSettings, RequestEvent, ResponseEvent, Server, ServerSettings, strip_hop_by_hop},
};

const GET: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: wrk/4.2.0\r\nAccept: text/html\r\n\r\n";
const POST: &[u8] =
    b"POST /form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Custom: 1\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\nDate: Mon, 23 Nov 2026 14:50:54 GMT\r\nServer: nginx\r\nConnection: keep-alive\r\n\r\nHello, world!";

/// A proxy's codecs, both connections idle between exchanges.
struct Proxy {
    server: Server,
    client: Client,
    from_client: Buffer,
    to_upstream: Buffer,
    from_upstream: Buffer,
    to_client: Buffer,
}

impl Proxy {
    fn new() -> Proxy {
        Proxy {
            server: Server::new(ServerSettings::default()),
            client: Client::new(ClientSettings::default()),
            from_client: Buffer::new(),
            to_upstream: Buffer::new(),
            from_upstream: Buffer::new(),
            to_client: Buffer::new(),
        }
    }

    fn exchange(&mut self, request: &[u8], response: &[u8]) {
        self.from_client.append(request);
        while let Some(event) = self.server.poll(&mut self.from_client).unwrap() {
            match event {
                RequestEvent::Headers { mut head, end } => {
                    strip_hop_by_hop(&mut head.headers, false);
                    self.client.send_headers(&head, end, &mut self.to_upstream).unwrap();
                }
                RequestEvent::Data { mut data, end } => {
                    self.client.send_data(&mut data, end, &mut self.to_upstream)
                }
                RequestEvent::Trailers { .. } => unreachable!("not enabled"),
            }
        }
        self.to_upstream.clear();
        self.from_upstream.append(response);
        while let Some(event) = self.client.poll(&mut self.from_upstream).unwrap() {
            match event {
                ResponseEvent::Headers { mut head, end } => {
                    strip_hop_by_hop(&mut head.headers, false);
                    self.server.send_headers(&head, end, &mut self.to_client);
                }
                ResponseEvent::Data { mut data, end } => {
                    self.server.send_data(&mut data, end, &mut self.to_client)
                }
                ResponseEvent::Informational { .. } | ResponseEvent::Trailers { .. } => {
                    unreachable!("none is sent")
                }
            }
        }
        assert!(self.server.is_idle() && self.client.is_idle());
        assert!(!self.to_client.is_empty());
        self.to_client.clear();
    }
}

#[test]
fn a_warm_exchange_allocates_nothing() {
    for request in [GET, POST] {
        let mut proxy = Proxy::new();
        for _ in 0..3 {
            proxy.exchange(request, OK);
        }
        let before = sys::count();
        for _ in 0..100 {
            proxy.exchange(request, OK);
        }
        assert_eq!(sys::count() - before, 0);
    }
}
