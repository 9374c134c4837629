//! What a warm round trip through the TCP proxy allocates, counted: nothing. Its system calls are counted in
//! `syscalls.rs`.
//!
//! Alone in its binary, since it counts the allocations of every thread that is not exempt.

mod support;
#[path = "support/sys.rs"]
mod sys;

use nuncio::config::Source;
use nuncio::server::{Options, Server, compile};
use nuncio_reactor::Address;
use std::io::Read;
use std::sync::mpsc::channel;
use std::time::Duration;
use support::{Client, Upstream, tcp};
use sys::{allocations, exempt};

/// Sends back what comes.
fn echo() -> Upstream {
    Upstream::start(|mut client, _| {
        exempt();
        let mut block = vec![0; 1 << 16];
        loop {
            match client.stream.read(&mut block) {
                Ok(0) | Err(_) => return,
                Ok(n) => client.send(&block[..n]),
            }
        }
    })
}

#[test]
fn a_warm_round_trip_allocates_nothing() {
    exempt();
    let upstream = echo();
    let (sender, started) = channel();
    let yaml = tcp(upstream.address);
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
    for size in [1, 100, 3000, 20_000] {
        let bytes = vec![b'x'; size];
        let mut round = |n: u32| {
            for _ in 0..n {
                client.send(&bytes);
                assert_eq!(client.exactly(size), bytes);
            }
        };
        round(300);
        let before = allocations();
        round(1000);
        let allocated = allocations() - before;
        assert_eq!(allocated, 0, "allocations in 1000 round trips of {size} bytes");
    }
    drop(client);
    stopper.send(nuncio::io::Mail::Stop).expect("it runs");
    server.join().expect("it ends");
}
