//! What a warm keep-alive request allocates, counted: nothing. Its system calls are counted in `syscalls.rs`.
//!
//! Alone in its binary, since it counts the allocations of every thread that is not exempt.

mod support;
#[path = "support/sys.rs"]
mod sys;

use nuncio::config::Source;
use nuncio::server::{Options, Server, compile};
use nuncio_reactor::Address;
use std::sync::mpsc::channel;
use std::time::Duration;
use support::{Client, Upstream, simple};
use sys::{allocations, exempt};

/// Answers by path: `/small`, `/chunked`, or the request's body back.
fn upstream() -> Upstream {
    Upstream::start(|mut client, _| {
        exempt();
        while let Some(request) = client.request() {
            if request.head.contains("/chunked ") {
                client.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
            } else {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len());
                client.send([head.as_bytes(), &request.body].concat());
            }
        }
    })
}

#[test]
fn a_warm_request_allocates_nothing() {
    exempt();
    let upstream = upstream();
    let (sender, started) = channel();
    let yaml = simple(upstream.address);
    let server = std::thread::spawn(move || {
        exempt();
        let snapshot = compile::load(&Source::text(&yaml)).unwrap_or_else(|errors| panic!("{errors}"));
        let options = Options { drain_time: Duration::from_secs(5), ..Options::default() };
        let server = Server::start(snapshot, options).expect("it starts");
        let Address::Inet(address) = server.listeners()[0].1.clone() else { panic!("an inet listener") };
        sender.send((address, server.stopper())).expect("the test waits");
        server.run().expect("it ends well");
    });
    let (address, stopper) = started.recv().expect("the server starts");
    let mut client = Client::connect(address);
    let body = "x".repeat(3000);
    let requests = [
        "GET /small HTTP/1.1\r\nhost: a\r\nuser-agent: test\r\naccept: */*\r\n\r\n".to_owned(),
        "GET /chunked HTTP/1.1\r\nhost: a\r\nx-unknown: some value\r\n\r\n".to_owned(),
        format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len()),
    ];
    for request in &requests {
        let mut round = |n: u32| {
            for _ in 0..n {
                client.send(request);
                assert_eq!(client.response().status, 200);
            }
        };
        round(300);
        let before = allocations();
        round(1000);
        let allocated = allocations() - before;
        assert_eq!(allocated, 0, "allocations in 1000 requests: {:?}", request.lines().next());
    }
    drop(client);
    stopper.send(nuncio::io::Mail::Stop).expect("it runs");
    server.join().expect("it ends");
}
