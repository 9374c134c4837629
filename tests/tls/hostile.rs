//! Clients that mean no good, or are no TLS clients at all.

use super::certs::Authority;
use super::client::Config;
use super::config::Listener;
use super::support::{Client, Folder, PATIENCE, Proxy};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

fn proxy(chain: &str) -> (Proxy, Folder) {
    let authority = Authority::new("ca");
    let folder = Folder::new();
    let listener = Listener::new(&[&authority.issue(&["a.test"])], &folder).chain(chain);
    (Proxy::start(&listener.yaml()), folder)
}

/// A ClientHello as a real client sends it.
fn hello(address: SocketAddr) -> Vec<u8> {
    let config = Config::new();
    let name = rustls::pki_types::ServerName::try_from("a.test").expect("a name");
    let mut client = rustls::ClientConnection::new(config.rustls.into(), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("a hello");
    assert!(bytes.len() > 100, "{address}");
    bytes
}

/// Sends bytes and reads until the proxy closes.
fn send(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut client = Client::connect(address);
    // The proxy may be through with us before we are.
    let _ = client.stream.write_all(bytes);
    client.until_closed()
}

#[test]
fn what_is_not_tls_is_refused_and_nothing_breaks() {
    let (proxy, _folder) = proxy("");
    let hello = hello(proxy.first());
    let mut long = hello.clone();
    long[3..5].copy_from_slice(&[0xff, 0xff]);
    let mut wrong = hello.clone();
    wrong[9..200].reverse();
    let mut alert = 0;
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x16\x03\x01\x00\x00\x16\x03\x01\x00\x00",
        b"\x17\x03\x03\x00\x05hello",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10",
        &long,
        &wrong,
    ] {
        let answer = send(proxy.first(), bytes);
        alert += usize::from(answer.first() == Some(&0x15));
        assert!(answer.len() < 100, "{answer:?}");
    }
    assert!(alert >= 6, "most are told what is wrong: {alert}");
    assert_eq!(proxy.stat("listener.main.ssl.connection_error"), 10);
    assert_eq!(proxy.stat("listener.main.ssl.handshake"), 0);
    proxy.await_stat("http.test.downstream_cx_active", 0);
    assert_eq!(Config::new().get(proxy.first(), "/").expect("an answer").status, 200);
}

#[test]
fn handshakes_that_break_off_leave_nothing() {
    let (proxy, _folder) = proxy("");
    let hello = hello(proxy.first());
    for end in [0, 1, 5, 40, hello.len() - 1, hello.len()] {
        let mut client = Client::connect(proxy.first());
        client.send(&hello[..end]);
        client.stream.shutdown(std::net::Shutdown::Write).expect("shut");
        client.until_closed();
        drop(client);
        // And by a reset.
        let mut client = Client::connect(proxy.first());
        client.send(&hello[..end]);
        let socket = socket2::Socket::from(client.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("linger");
        drop(socket);
    }
    proxy.await_stat("http.test.downstream_cx_active", 0);
    // One that was reset at once may never have been accepted.
    proxy.await_stat_that("http.test.downstream_cx_total", |total| total >= 11);
    proxy.await_stat("http.test.downstream_cx_active", 0);
    assert_eq!(proxy.stat("listener.main.ssl.connection_error"), 0, "who only looks in does nothing wrong");
    assert_eq!(Config::new().get(proxy.first(), "/").expect("an answer").status, 200);
}

#[test]
fn a_flood_of_handshake_bytes_ends() {
    let (proxy, _folder) = proxy("");
    // A ClientHello that says that it is long, in records that never make it whole.
    let mut bytes = vec![22, 3, 1, 0, 4, 1, 0, 0xff, 0xff];
    for _ in 0..600_000 / 105 {
        bytes.extend([22, 3, 1, 0, 100]);
        bytes.extend([0; 100]);
    }
    let mut client = Client::connect(proxy.first());
    let _ = client.stream.write_all(&bytes);
    client.until_closed();
    proxy.await_stat("listener.main.ssl.connection_error", 1);
}

#[test]
fn slow_handshakes_are_cut_off() {
    let (proxy, _folder) = proxy("transport_socket_connect_timeout: 0.3s");
    let hello = hello(proxy.first());
    // One that is done in time is not disturbed later.
    let mut quick = Config::new().connect(proxy.first()).expect("a connection");
    assert_eq!(quick.get("/").expect("an answer").status, 200);
    let start = Instant::now();
    let silent = Client::connect(proxy.first());
    let drip = proxy.first();
    let dripping = std::thread::spawn(move || {
        let mut client = Client::connect(drip);
        for byte in hello {
            if client.stream.write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the proxy took {:?} byte by byte", start.elapsed());
    });
    let mut client = silent;
    client.until_closed();
    dripping.join().expect("cut off");
    assert!(start.elapsed() < PATIENCE / 2);
    assert_eq!(proxy.stat("listener.main.downstream_cx_transport_socket_connect_timeout"), 2);
    assert_eq!(quick.get("/").expect("an answer").status, 200);
}

#[test]
fn many_handshakes_at_once_do_not_starve_a_connection() {
    let (proxy, _folder) = proxy("");
    let mut open = Config::new().connect(proxy.first()).expect("a connection");
    let address = proxy.first();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                for _ in 0..40 {
                    assert_eq!(Config::new().get(address, "/").expect("an answer").status, 200);
                }
            })
        })
        .collect();
    for _ in 0..100 {
        assert_eq!(open.get("/").expect("an answer").status, 200);
    }
    clients.into_iter().for_each(|client| client.join().expect("no failure"));
    assert_eq!(proxy.stat("listener.main.ssl.handshake"), 321);
    proxy.await_stat("http.test.downstream_cx_active", 1);
}

#[test]
fn records_that_were_changed_on_their_way_end_the_connection() {
    let (proxy, _folder) = proxy("");
    for at in [0, 5, 20] {
        let mut client = Config::new().connect(proxy.first()).expect("a connection");
        assert_eq!(client.get("/").expect("an answer").status, 200);
        let mut record = Vec::new();
        client.stream.conn.writer().write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("room");
        client.stream.conn.write_tls(&mut record).expect("a record");
        record[at] ^= 1;
        let mut socket: &TcpStream = &client.stream.sock;
        socket.write_all(&record).expect("sent");
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        assert!(rest.len() < 100, "an alert at most");
    }
    proxy.await_stat("listener.main.ssl.connection_error", 3);
    proxy.await_stat("http.test.downstream_cx_active", 0);
    assert_eq!(proxy.stat("http.test.downstream_rq_total"), 3);
}
