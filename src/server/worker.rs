//! A worker thread: an engine that accepts, proxies, and takes orders by mail.

use super::engine::{Engine, Outside};
use super::moderation::{Moderation, Turn};
use crate::access_log::Logger;
use crate::io::{Layer, Mail, Reactor, Rng, Task, Wake};
use crate::listener::config::ListenerConfig;
use crate::listener::{Colleagues, Listeners, Shared};
use crate::stats::Block;
use crate::udp::config::UdpListenerConfig;
use crate::upstream::SharedClusters;
use crate::upstream::config::ClusterTable;
use nuncio_reactor::{Address, RawKey, Sender, Socket, UdpSocket};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// A UDP listener with its addresses and this worker's sockets.
type UdpPlan = (Arc<UdpListenerConfig>, Vec<(SocketAddr, UdpSocket)>);

/// Everything that a worker starts with.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) index: usize,
    pub(super) reactor: Reactor,
    /// With their addresses and this worker's sockets.
    pub(super) listeners: Vec<(Arc<ListenerConfig>, Vec<Address>, Vec<Socket>)>,
    pub(super) udp: Vec<UdpPlan>,
    /// What all workers count together.
    pub(super) counts: Shared,
    /// How to reach each worker.
    pub(super) colleagues: Arc<[Sender<Mail>]>,
    pub(super) clusters: ClusterTable,
    pub(super) shared: SharedClusters,
    pub(super) stats: Block,
    pub(super) logger: Logger,
    pub(super) main: Sender<Mail>,
}

/// Runs a worker to its end. An error ends the process: a worker that cannot wait for events cannot go on.
pub(super) fn run(plan: Plan) -> io::Result<()> {
    let Plan { index, reactor, listeners, udp, counts, colleagues, clusters, shared, stats, logger, main } =
        plan;
    let workers = colleagues.len();
    let interval = logger.interval();
    let own = Listeners::new(counts, Colleagues { this: index, mail: colleagues });
    let mut engine = Engine::new(reactor, &clusters, shared, stats, logger, own, Rng::new());
    engine.io.number(index as u64, workers as u64);
    engine.udp.number(index as u64, workers as u64);
    for (config, addresses, sockets) in listeners {
        engine.add_listener(&config, &addresses, sockets)?;
    }
    for (config, sockets) in udp {
        engine.add_udp_listener(&config, sockets)?;
    }
    let flush_logs = Task { layer: Layer::Server, wake: Wake::Alarm, key: RawKey::from_bits(1 << 32) };
    if engine.logs_anything() {
        engine.reactor.arm(interval, flush_logs);
    }
    // If main is gone the process is ending and nobody counts workers any more.
    let _ = main.send(Mail::Started(index));
    let mut outside = Vec::new();
    let mut draining = false;
    let mut moderation = Moderation::default();
    loop {
        let news = engine.turn(&mut outside)?;
        for event in outside.drain(..) {
            match event {
                Outside::Mail(Mail::Drain) => {
                    draining = true;
                    engine.drain();
                    engine.finish_turn();
                }
                Outside::Mail(Mail::StopAccepting(scope)) => {
                    engine.stop_accepting(scope);
                    let _ = main.send(Mail::StoppedAccepting(index));
                }
                Outside::Mail(Mail::CloseAfterResponse(how, scope)) => {
                    engine.http.discourage(how, scope, engine.reactor.now());
                }
                Outside::Mail(Mail::Handed) => engine.collect(),
                Outside::Mail(Mail::Stop) => {
                    engine.stop();
                    return Ok(());
                }
                Outside::Alarm(_) => {
                    engine.flush_logs();
                    engine.reactor.arm(interval, flush_logs);
                }
                Outside::Mail(_) | Outside::Signal(_) | Outside::Ready(_) => {}
            }
        }
        if draining && engine.http.live().0 == 0 && engine.network.live() == 0 && engine.nothing_closes() {
            engine.stop();
            return Ok(());
        }
        let (read, ended) = (engine.io.take_read(), engine.http.take_ended());
        let turn = Turn { began: engine.reactor.now(), news, read, ended };
        if let Some(pause) = moderation.pause(turn) {
            std::thread::sleep(pause);
        }
    }
}
