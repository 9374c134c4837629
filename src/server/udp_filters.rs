//! Session filters on a whole engine, with real sockets: a filter that lets some clients in and drops some datagrams in
//! each direction.

use super::engine::Engine;
use crate::access_log::{FlusherHandle, Logger};
use crate::config::Source;
use crate::io::{Reactor, Rng};
use crate::listener::Listeners;
use crate::stats::{Block, Merged};
use crate::udp::Bound;
use crate::udp::filter::{Ends, SessionFilter, SessionFilterConfig, Verdict};
use crate::upstream::SharedClusters;
use nuncio_reactor::Options;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const CONFIG: &str = r#"
static_resources:
  listeners:
  - name: main
    address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: 0}}
    listener_filters:
    - name: udp
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig
        stat_prefix: sim
        cluster: up
  clusters:
  - name: up
    type: STATIC
    load_assignment:
      cluster_name: up
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: PORT}}}}]}]
"#;

#[derive(Debug)]
struct Doorkeeper {
    name: &'static str,
    unwelcome: SocketAddr,
    seen: mpsc::Sender<String>,
}

#[derive(Debug)]
struct Ear {
    name: &'static str,
    seen: mpsc::Sender<String>,
}

impl SessionFilterConfig for Doorkeeper {
    fn begin(&self, ends: &Ends) -> Option<Box<dyn SessionFilter>> {
        assert_ne!(ends.client, ends.destination);
        let ear = Ear { name: self.name, seen: self.seen.clone() };
        (ends.client != self.unwelcome).then(|| Box::new(ear) as Box<dyn SessionFilter>)
    }
}

impl Ear {
    fn judge(&self, way: char, datagram: &[u8]) -> Verdict {
        let text = String::from_utf8_lossy(datagram);
        self.seen.send(format!("{}{way}{text}", self.name)).expect("the test goes on");
        if text == format!("{}{way}", self.name) { Verdict::Drop } else { Verdict::Pass }
    }
}

impl SessionFilter for Ear {
    fn on_datagram(&mut self, datagram: &[u8]) -> Verdict {
        self.judge('>', datagram)
    }

    fn on_answer(&mut self, datagram: &[u8]) -> Verdict {
        self.judge('<', datagram)
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_nonblocking(true).expect("a socket");
    socket
}

/// Turns the engine until something has come.
fn receive(socket: &UdpSocket, engine: &mut Engine) -> (String, SocketAddr) {
    let end = Instant::now() + Duration::from_secs(20);
    let mut bytes = [0; 100];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut bytes) {
            return (String::from_utf8_lossy(&bytes[..length]).into_owned(), from);
        }
        assert!(Instant::now() < end, "nothing came");
        engine.turn(&mut Vec::new()).expect("a turn");
    }
}

#[test]
fn sessions_and_datagrams_pass_filters_in_order() {
    let (host, stranger, client) = (socket(), socket(), socket());
    let local = |socket: &UdpSocket| socket.local_addr().expect("bound");
    let yaml = CONFIG.replace("PORT", &local(&host).port().to_string());
    let mut snapshot = super::compile::load(&Source::text(&yaml)).expect("a valid configuration");
    let (sender, seen) = mpsc::channel();
    let listener = Arc::get_mut(&mut snapshot.udp_listeners[0]).expect("nobody else has it");
    for name in ["a", "b"] {
        let doorkeeper = Doorkeeper { name, unwelcome: local(&stranger), seen: sender.clone() };
        listener.proxy.session_filters.push(Box::new(doorkeeper));
    }
    let (stats, shared) = (Block::new(&snapshot.registry), SharedClusters::new(&snapshot.clusters));
    let logger = Logger::new(FlusherHandle::nowhere());
    let reactor = Reactor::new(Options::default()).expect("a reactor");
    let rng = Rng::seeded(1);
    let mut engine =
        Engine::new(reactor, &snapshot.clusters, shared, stats.clone(), logger, Listeners::default(), rng);
    let mut bound = Bound::new(&snapshot.udp_listeners[0], 1).expect("a socket");
    let address = bound.addresses[0];
    engine.add_udp_listener(&snapshot.udp_listeners[0], bound.take()).expect("added");
    // Whoever is not let in has no session; what is dropped does not arrive, what follows does.
    stranger.send_to(b"hello", address).expect("sent");
    for text in ["one", "a>", "b>", "two"] {
        client.send_to(text.as_bytes(), address).expect("sent");
    }
    let (text, session) = receive(&host, &mut engine);
    assert_eq!((&text[..], &receive(&host, &mut engine).0[..]), ("one", "two"));
    for text in ["a<", "b<", "three"] {
        host.send_to(text.as_bytes(), session).expect("sent");
    }
    assert_eq!(receive(&client, &mut engine), ("three".to_owned(), address));
    let expected = "a>one b>one a>a> a>b> b>b> a>two b>two b<a< a<a< b<b< b<three a<three";
    assert_eq!(seen.try_iter().collect::<Vec<_>>().join(" "), expected);
    let merged = Merged::of(&snapshot.registry, std::slice::from_ref(&stats));
    for (name, value) in [
        ("udp.sim.downstream_sess_total", 1),
        ("udp.sim.downstream_sess_rx_datagrams", 4),
        ("udp.sim.downstream_sess_tx_datagrams", 1),
        ("cluster.up.udp.sess_tx_datagrams", 2),
    ] {
        assert_eq!(merged.value(name), Some(value), "{name}");
    }
}
