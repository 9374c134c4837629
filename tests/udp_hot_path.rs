//! What a datagram of a warm session allocates: nothing. Its system calls are counted in `udp_syscalls.rs`.
//!
//! Alone in its binary, since it counts the allocations of every thread that is not exempt.

#[path = "support/sys.rs"]
mod sys;
#[path = "support/udp.rs"]
mod udp_support;

use nuncio::config::Source;
use nuncio::server::{Options, Server, compile};
use nuncio_reactor::Address;
use std::sync::mpsc::channel;
use sys::{allocations, exempt};
use udp_support::{Client, Host, udp};

#[test]
fn a_warm_session_allocates_nothing() {
    exempt();
    let host = Host::start("127.0.0.1:0", |data| {
        exempt();
        vec![data.to_vec(); 2]
    });
    let yaml = udp("", &[host.address]);
    let (sender, started) = channel();
    let server = std::thread::spawn(move || {
        exempt();
        let snapshot = compile::load(&Source::text(&yaml)).unwrap_or_else(|errors| panic!("{errors}"));
        let server = Server::start(snapshot, Options::default()).expect("it starts");
        let Address::Inet(address) = server.listeners()[0].1.clone() else { panic!("an inet listener") };
        sender.send((address, server.stopper())).expect("the test waits");
        server.run().expect("it ends well");
    });
    let (address, stopper) = started.recv().expect("the server starts");
    let clients: Vec<_> = (0..20).map(|_| Client::connect(address)).collect();
    let round = |times: usize| {
        for _ in 0..times {
            for length in [0, 200, 1400] {
                // In bursts of one size, which may go as one piece, and of all clients at a time.
                for client in &clients {
                    (0..3).for_each(|_| client.send(&vec![7; length]));
                }
                for client in &clients {
                    (0..6).for_each(|_| assert_eq!(client.receive().len(), length));
                }
            }
        }
    };
    round(10);
    let before = allocations();
    round(50);
    assert_eq!(allocations() - before, 0, "allocations for 27,000 datagrams");
    stopper.send(nuncio::io::Mail::Stop).expect("it runs");
    server.join().expect("it ends");
}
