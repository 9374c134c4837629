//! A deterministic simulation of TCP sessions in the manner of `simulation`: clients and hosts on in-memory connections
//! that speak at random in both directions, finish at random, break off at random.
//!
//! Each end says first who it is and how much it will say, so that the other end can check every byte, and that a stream
//! which ends in order is whole. In the end nothing is left.

use super::engine::{Engine, Outside};
use super::snapshot::Snapshot;
use crate::access_log::{FlusherHandle, Logger};
use crate::http::Entrance;
use crate::io::memory::{End, Net, pair};
use crate::io::{ConnKey, Owner, Provenance, Reactor, Rng, TokenKind};
use crate::listener::{Entry, Listeners};
use crate::stats::{Block, Merged};
use crate::upstream::SharedClusters;
use nuncio_codec::buffer;
use nuncio_reactor::{Address, Clock, Options, Readiness};
use std::time::Duration;

const CONFIG: &str = r#"
static_resources:
  listeners:
  - name: main
    per_connection_buffer_limit_bytes: 15000
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: rbac
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC
          stat_prefix: sim.
          enforcement_type: CONTINUOUS
          rules: {action: DENY, policies: {none: {permissions: [{destination_port: 1}], principals: [{any: true}]}}}
      - name: limit
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit
          stat_prefix: sim
          max_connections: 1000
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: sim
          cluster: up
          idle_timeout: 30s
          max_connect_attempts: 2
          backoff_options: {base_interval: 0.1s}
          EXTRA
  clusters:
  - name: up
    type: STATIC
    connect_timeout: 5s
    per_connection_buffer_limit_bytes: 10000
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 2}}}
"#;

/// What an end says before anything else: who it is and how much it will say.
const GREETING: usize = 8;

fn byte(id: u32, at: usize) -> u8 {
    (id as usize).wrapping_mul(37).wrapping_add(at.wrapping_mul(11)).wrapping_add(at >> 8) as u8
}

/// Marks the length of a speech that may be broken off, which may look like an end in order.
const DOOMED: u32 = 1 << 31;

/// All that an end will say.
fn speech(id: u32, length: usize, doomed: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(GREETING + length);
    bytes.extend(id.to_be_bytes());
    bytes.extend((length as u32 | if doomed { DOOMED } else { 0 }).to_be_bytes());
    bytes.extend((0..length).map(|at| byte(id, at)));
    bytes
}

/// What has become of the other end's speech.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Whole,
    Cut,
}

/// One end of a session, client or host.
struct Peer {
    end: Option<End>,
    key: ConnKey,
    /// Still to be said.
    outgoing: Vec<u8>,
    /// It says that it has finished, and goes on listening.
    finished: bool,
    /// What has been heard and not yet checked, and the greeting once it is there.
    input: Vec<u8>,
    greeting: Option<(u32, usize, bool)>,
    checked: usize,
    heard: Heard,
    /// Breaks off at a random moment.
    doomed: bool,
    /// It listens once in so many steps.
    sloth: u64,
    /// Hosts: the connection is there.
    established: bool,
    /// Says nothing and never finishes.
    silent: bool,
    /// Finishes only when the other end has.
    waits: bool,
}

impl Peer {
    fn new(id: u32, end: End, key: ConnKey, established: bool, rng: &mut Rng) -> Self {
        let length = match rng.below(4) {
            0 => 0,
            1 | 2 => rng.below(2000) as usize,
            _ => rng.below(200_000) as usize,
        };
        let silent = rng.below(60) == 0;
        let doomed = rng.below(12) == 0;
        // Hosts only, or both might.
        let waits = !established && rng.below(3) == 0;
        Self {
            end: Some(end),
            key,
            outgoing: if silent { Vec::new() } else { speech(id, length, doomed) },
            finished: false,
            input: Vec::new(),
            greeting: None,
            checked: 0,
            heard: Heard::Nothing,
            doomed,
            sloth: [1, 1, 25][rng.below(3) as usize],
            established,
            silent,
            waits,
        }
    }

    fn check(&mut self) {
        if self.greeting.is_none() && self.input.len() >= GREETING {
            let number =
                |at: usize| u32::from_be_bytes(self.input[at..at + 4].try_into().expect("four bytes"));
            self.greeting = Some((number(0), (number(4) & !DOOMED) as usize, number(4) & DOOMED != 0));
            self.input.drain(..GREETING);
        }
        if let Some((id, ..)) = self.greeting {
            for got in self.input.drain(..) {
                assert_eq!(got, byte(id, self.checked), "byte {} of {id}", self.checked);
                self.checked += 1;
            }
        }
    }

    /// Nothing more will come: is it whole?
    fn ended(&mut self, in_order: bool) {
        let whole = self.greeting.is_some_and(|(_, length, _)| length == self.checked);
        self.heard = if whole { Heard::Whole } else { Heard::Cut };
        if in_order && !whole {
            // Who hears an end before a beginning was turned away, or spoke to somebody who broke off at once.
            let excused = self.greeting.is_none_or(|(_, _, doomed)| doomed);
            assert!(excused, "cut in order after {} bytes of {:?}", self.checked, self.greeting);
        }
    }
}

struct Simulation {
    engine: Engine,
    snapshot: Snapshot,
    entry: Entry,
    rng: Rng,
    peers: Vec<Peer>,
    outside: Vec<Outside>,
    next_id: u32,
    whole: u32,
    cut: u32,
    quiet: u32,
    silent: u64,
}

impl Simulation {
    fn new(seed: u64, extra: &str) -> Self {
        let config = CONFIG.replace("EXTRA", extra);
        let snapshot =
            super::compile::load(&crate::config::Source::text(&config)).expect("a valid configuration");
        let reactor =
            Reactor::new(Options { clock: Clock::fake(), ..Options::default() }).expect("a reactor");
        let stats = Block::new(&snapshot.registry);
        let shared = SharedClusters::new(&snapshot.clusters);
        let logger = Logger::new(FlusherHandle::nowhere());
        let mut engine = Engine::new(
            reactor,
            &snapshot.clusters,
            shared,
            stats,
            logger,
            Listeners::default(),
            Rng::seeded(seed ^ 0x5eed),
        );
        let mut rng = Rng::seeded(seed);
        engine.io.memory = Some(Net::new(512 + rng.below(40_000) as usize));
        let listener = &snapshot.listeners[0];
        let entrance = Entrance {
            buffer_limit: listener.buffer_limit,
            connection_logs: &[],
            filter_chain: "",
            inbound: false,
            drains_when_sick: false,
            secure: false,
        };
        let entry = engine.enter(&listener.filter_chains[0], &entrance);
        Self {
            engine,
            snapshot,
            entry,
            rng,
            peers: Vec::new(),
            outside: Vec::new(),
            next_id: 1,
            whole: 0,
            cut: 0,
            quiet: 0,
            silent: 0,
        }
    }

    fn add_client(&mut self) {
        let (ours, theirs) = pair(512 + self.rng.below(40_000) as usize);
        let limit = self.snapshot.listeners[0].buffer_limit;
        let key = self.engine.io.adopt_memory(ours, Owner::Nobody, limit);
        let provenance = Provenance::direct(Address::unix("@client"), Address::unix("@proxy"));
        self.engine.admit(key, provenance.into(), self.entry);
        self.add_peer(theirs, key, true);
    }

    fn add_peer(&mut self, end: End, key: ConnKey, established: bool) {
        let peer = Peer::new(self.next_id, end, key, established, &mut self.rng);
        self.silent += u64::from(peer.silent);
        self.peers.push(peer);
        self.next_id += 1;
    }

    /// Gives the engine the edges that the system would give, and lets it work.
    fn poke(&mut self, key: ConnKey, ready: Readiness) {
        if ready != Readiness::empty() {
            self.engine.on_io(TokenKind::Connection(key), ready);
            self.quiet = 0;
        }
        self.turn();
    }

    fn turn(&mut self) {
        self.engine.finish_turn();
        self.engine.turn(&mut self.outside).expect("the engine turns");
        while let Some((_, key, end)) = self.engine.io.memory.as_mut().expect("simulated").next_dialed() {
            if self.rng.below(30) == 0 {
                end.refuse();
            }
            self.add_peer(end, key, false);
        }
    }

    fn step(&mut self, at: usize) {
        let most = 1 + self.rng.below(6000) as usize;
        let breaks_off = self.rng.below(300) == 0;
        let resets = self.rng.below(2) == 0;
        let peer = &mut self.peers[at];
        let Some(end) = &peer.end else { return };
        let mut ready = Readiness::empty();
        if !peer.established {
            peer.established = true;
            ready = ready.with_writable();
        }
        if peer.doomed && breaks_off {
            // Closing with something unread is a reset too.
            if resets {
                end.reset();
            }
            peer.end = None;
            peer.heard = Heard::Cut;
            ready = gone(resets);
        } else {
            let n = most.min(peer.outgoing.len());
            let put = end.put(&peer.outgoing[..n]);
            peer.outgoing.drain(..put);
            if put > 0 {
                ready = ready.with_readable();
            }
            let waits = peer.silent || (peer.waits && peer.heard == Heard::Nothing);
            if peer.outgoing.is_empty() && !peer.finished && !waits {
                end.shutdown_write();
                peer.finished = true;
                ready = ready.with_readable().with_read_closed();
            }
            if self.rng.below(peer.sloth) == 0 {
                let (taken, edge) = end.take(most);
                if edge {
                    ready = ready.with_writable();
                }
                if !taken.is_empty() {
                    self.quiet = 0;
                }
                peer.input.extend(taken);
                let (reset, at_end, dead) = (end.is_reset(), end.at_end(), end.is_dead());
                peer.check();
                if at_end || reset {
                    peer.ended(!reset);
                    if peer.finished || dead || peer.silent {
                        peer.end = None;
                        ready = gone(false);
                    }
                }
            }
        }
        let key = self.peers[at].key;
        self.poke(key, ready);
    }

    fn run(&mut self, sessions: u32) {
        for _ in 0..sessions {
            self.add_client();
        }
        let mut steps = 0u32;
        while self.peers.iter().any(|peer| peer.end.is_some()) {
            steps += 1;
            assert!(steps < 3_000_000, "no end in sight");
            self.quiet += 1;
            let at = self.rng.below(self.peers.len() as u64) as usize;
            self.step(at);
            let millis = if self.quiet > 5_000 { 1000 } else { self.rng.below(40) / 39 };
            if millis > 0 {
                self.engine.reactor.advance(Duration::from_millis(millis));
                self.turn();
            }
            self.peers.retain(|peer| {
                let over = peer.end.is_none();
                self.whole += u32::from(over && peer.heard == Heard::Whole);
                self.cut += u32::from(over && peer.heard == Heard::Cut);
                !over
            });
        }
        self.turn();
        self.engine.stop();
        for _ in 0..3 {
            self.engine.reactor.advance(Duration::from_secs(61));
            self.turn();
        }
    }

    fn assert_nothing_left(&self) {
        assert_eq!(self.engine.network.live(), 0, "sessions");
        assert_eq!(self.engine.upstream.live(), (0, 0), "upstream connections");
        assert!(self.engine.io.is_empty(), "sockets");
        assert_eq!(self.engine.reactor.armed(), 0, "timers");
        assert_eq!(self.engine.upstream.let_in(), 0, "places taken at circuit breakers");
        let stats = Merged::of(&self.snapshot.registry, std::slice::from_ref(&self.engine.stats));
        let value = |name: &str| stats.value(name).unwrap_or_else(|| panic!("no statistic {name}"));
        for gauge in [
            "tcp.sim.upstream_flush_active",
            "connection_limit.sim.active_connections",
            "cluster.up.upstream_cx_active",
            "cluster.up.upstream_rq_active",
            "cluster.up.upstream_rq_pending_active",
        ] {
            assert_eq!(value(gauge), 0, "{gauge}");
        }
        // Time passes only when nothing happens: whoever is idle then waits for one that says nothing.
        assert!(value("tcp.sim.idle_timeout") <= self.silent, "{} silent", self.silent);
        assert_eq!(value("cluster.up.upstream_cx_total"), value("cluster.up.upstream_cx_destroy"));
        assert!(
            value("tcp.sim.downstream_cx_rx_bytes_total") >= value("cluster.up.upstream_cx_tx_bytes_total")
        );
        assert_eq!(
            value("cluster.up.upstream_cx_rx_bytes_total"),
            value("tcp.sim.downstream_cx_tx_bytes_total")
        );
    }
}

/// The edges that a closed or reset connection gives.
fn gone(reset: bool) -> Readiness {
    let ready = Readiness::empty().with_readable().with_writable().with_read_closed();
    if reset { ready.with_error() } else { ready }
}

fn simulate(seeds: std::ops::Range<u64>, extra: &str) {
    let (mut whole, mut cut) = (0, 0);
    for seed in seeds {
        let before = buffer::pool_stats();
        {
            let mut simulation = Simulation::new(seed, extra);
            simulation.run(10);
            simulation.assert_nothing_left();
            whole += simulation.whole;
            cut += simulation.cut;
        }
        let after = buffer::pool_stats();
        assert_eq!(before.small_outstanding, after.small_outstanding, "blocks left, seed {seed}");
        assert_eq!(before.large_outstanding, after.large_outstanding, "blocks left, seed {seed}");
    }
    assert!(whole > cut * 2, "{whole} whole, {cut} cut");
    assert!(cut > 0, "nothing ever broke off");
}

#[test]
fn bytes_arrive_ends_are_told_and_nothing_is_left() {
    simulate(0..100, "");
}

#[test]
fn clients_may_speak_before_there_is_a_host() {
    simulate(1000..1040, "upstream_connect_mode: ON_DOWNSTREAM_DATA\n          max_early_data_bytes: 3000");
    simulate(2000..2040, "max_early_data_bytes: 0");
}
