//! The HTTP/1 codec: heads in, heads out, and whole exchanges as a proxy has them.

use divan::{Bencher, black_box};
use nuncio_codec::h1::{
    Client, ClientSettings, RequestEvent, ResponseEvent, Server, ServerSettings, strip_hop_by_hop,
};
use nuncio_codec::{Buffer, HeaderMap, RequestHead, ResponseHead, Version};

fn main() {
    divan::main();
}

const SMALL: &[u8] =
    b"GET /small HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: h2load nghttp2/1.52.0\r\n\r\n";

const BROWSER: &[u8] = b"GET /articles/2026/a-page?from=start HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: none\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Dest: document\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.7\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n\r\n";

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.31.3\r\nDate: Mon, 23 Nov 2026 14:50:54 GMT\r\n\
    Content-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\nHello, world!";

const REQUESTS: [(&str, &[u8]); 2] = [("small", SMALL), ("browser", BROWSER)];

fn wire(name: &str) -> &'static [u8] {
    REQUESTS.iter().find(|(known, _)| *known == name).map(|(_, wire)| *wire).expect("one of the names")
}

fn buffer(bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::new();
    buffer.append(bytes);
    buffer
}

fn server() -> Server {
    Server::new(ServerSettings::default())
}

fn received(name: &str) -> (Server, RequestHead) {
    let mut server = server();
    match server.poll(&mut buffer(wire(name))) {
        Ok(Some(RequestEvent::Headers { head, .. })) => (server, head),
        other => panic!("no request: {other:?}"),
    }
}

#[divan::bench(args = ["small", "browser"])]
fn parse_request(bencher: Bencher<'_, '_>, name: &str) {
    bencher
        .with_inputs(|| (server(), buffer(wire(name))))
        .bench_local_refs(|(server, input)| server.poll(black_box(input)));
}

#[divan::bench(args = ["small", "browser"])]
fn encode_request(bencher: Bencher<'_, '_>, name: &str) {
    let (_, head) = received(name);
    bencher
        .with_inputs(|| (Client::new(ClientSettings::default()), Buffer::new()))
        .bench_local_refs(|(client, out)| client.send_headers(black_box(&head), true, out));
}

#[divan::bench]
fn parse_response(bencher: Bencher<'_, '_>) {
    let (_, head) = received("small");
    bencher
        .with_inputs(|| {
            let mut client = Client::new(ClientSettings::default());
            client.send_headers(&head, true, &mut Buffer::new()).expect("a good head");
            (client, buffer(OK))
        })
        .bench_local_refs(|(client, input)| client.poll(black_box(input)));
}

#[divan::bench]
fn encode_response(bencher: Bencher<'_, '_>) {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-length", "13"),
        ("content-type", "text/plain"),
        ("date", "Mon, 23 Nov 2026 14:50:54 GMT"),
        ("server", "envoy"),
        ("x-envoy-upstream-service-time", "0"),
    ] {
        headers.append(name.as_bytes(), value.as_bytes());
    }
    let head = ResponseHead { version: Version::Http11, status: 200, headers };
    bencher
        .with_inputs(|| (received("small").0, Buffer::new()))
        .bench_local_refs(|(server, out)| server.send_headers(black_box(&head), false, out));
}

/// What a proxy's two codecs do for a request and its response, on connections that stay.
#[divan::bench(args = ["small", "browser"])]
fn exchange(bencher: Bencher<'_, '_>, name: &str) {
    let request = wire(name);
    let (mut server, mut client) = (server(), Client::new(ClientSettings::default()));
    let (mut input, mut output) = (Buffer::new(), Buffer::new());
    bencher.bench_local(|| {
        input.append(black_box(request));
        while let Some(event) = server.poll(&mut input).expect("a good request") {
            if let RequestEvent::Headers { mut head, end } = event {
                strip_hop_by_hop(&mut head.headers, false);
                client.send_headers(&head, end, &mut output).expect("a good head");
            }
        }
        output.clear();
        input.append(black_box(OK));
        while let Some(event) = client.poll(&mut input).expect("a good response") {
            match event {
                ResponseEvent::Headers { mut head, end } => {
                    strip_hop_by_hop(&mut head.headers, false);
                    server.send_headers(&head, end, &mut output);
                }
                ResponseEvent::Data { mut data, end } => server.send_data(&mut data, end, &mut output),
                ResponseEvent::Informational { .. } | ResponseEvent::Trailers { .. } => {}
            }
        }
        output.clear();
    });
}
