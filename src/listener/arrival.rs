//! Connections whose listener filters run.
//!
//! Bytes are read into the connection's own input, once, and stay there for whoever gets the connection; only a PROXY
//! header is taken out. No filter waits for more bytes than it has a limit for, and all of them together wait no longer
//! than `listener_filters_timeout`.

use super::filters::{Run, Step};
use super::{Listener, Listeners, refuse};
use crate::io::{ConnKey, Cx, Layer, Owner, Provenance, Read, Task, Wake};
use nuncio_reactor::{RawKey, SlabKey, TimerKey, slab_key};

slab_key! {
    /// A connection whose listener filters run.
    pub(super) struct ArrivalKey;
}

/// A connection whose listener filters run.
#[derive(Debug)]
pub(super) struct Arrival {
    conn: ConnKey,
    listener: u32,
    provenance: Provenance,
    /// Which filter's turn it is.
    at: usize,
    /// That filter, once it has started.
    run: Option<Run>,
    timer: Option<TimerKey>,
    /// Another listener has handed it over.
    redirected: bool,
}

impl Listeners {
    /// Starts the filters of a listener on a connection.
    pub(super) fn begin(
        &mut self,
        listener: u32,
        conn: ConnKey,
        provenance: Provenance,
        redirected: bool,
        cx: &mut Cx<'_>,
    ) {
        let config = &self.listeners[listener as usize].config;
        if config.listener_filters.is_empty() {
            return self.pass(listener, conn, provenance, redirected, cx);
        }
        cx.stats.move_gauge(config.stats.downstream_pre_cx_active, 1);
        let timeout = config.filters_timeout;
        let arrival = Arrival { conn, listener, provenance, at: 0, run: None, timer: None, redirected };
        let key = self.arrivals.insert(arrival);
        cx.io.set_owner(conn, Owner::Arrival(key.raw()));
        self.inspect(key, cx);
        if let (Some(timeout), Some(arrival)) = (timeout, self.arrivals.get_mut(key)) {
            let task = Task { layer: Layer::Arrival, wake: Wake::Alarm, key: key.raw() };
            arrival.timer = Some(cx.reactor.arm(timeout, task));
        }
    }

    /// Something has happened on the socket of a connection whose filters run.
    pub fn on_socket(&mut self, key: RawKey, cx: &mut Cx<'_>) {
        self.inspect(ArrivalKey::from_raw(key), cx);
    }

    /// A connection whose filters run asked to be looked at again, or has taken too long.
    pub fn on_task(&mut self, task: Task, cx: &mut Cx<'_>) {
        let key = ArrivalKey::from_raw(task.key);
        match task.wake {
            Wake::Resume => self.inspect(key, cx),
            Wake::Alarm => {
                let Some(Arrival { conn, listener, provenance, redirected, .. }) = self.remove(key, cx)
                else {
                    return;
                };
                let config = &self.listeners[listener as usize].config;
                cx.stats.inc(config.stats.downstream_pre_cx_timeout);
                if config.continue_on_timeout {
                    self.pass(listener, conn, provenance, redirected, cx);
                } else {
                    self.log(listener, conn, &provenance, false, cx);
                    refuse(conn, cx);
                }
            }
        }
    }

    /// Lets the filters look at the connection until one of them must see more.
    fn inspect(&mut self, key: ArrivalKey, cx: &mut Cx<'_>) {
        loop {
            let Some(arrival) = self.arrivals.get_mut(key) else { return };
            let Listener { config, .. } = &self.listeners[arrival.listener as usize];
            let Some(filter) = config.listener_filters.get(arrival.at) else {
                if let Some(Arrival { conn, listener, provenance, redirected, .. }) = self.remove(key, cx) {
                    self.pass(listener, conn, provenance, redirected, cx);
                }
                return;
            };
            if arrival.run.is_none() && filter.is_disabled(&arrival.provenance) {
                arrival.at += 1;
                continue;
            }
            let run = arrival.run.get_or_insert_with(|| filter.start());
            match filter.step(run, arrival.conn, &mut arrival.provenance, cx) {
                Step::Next => {
                    arrival.at += 1;
                    arrival.run = None;
                }
                Step::Refuse => {
                    return self.turn_away(key, cx);
                }
                Step::More => {
                    let (conn, stats) = (arrival.conn, &config.stats);
                    let counter = match cx.io.read(conn) {
                        Read::Data(_) => continue,
                        Read::Empty => return,
                        Read::Eof => stats.downstream_listener_filter_remote_close,
                        Read::Failed => stats.downstream_listener_filter_error,
                    };
                    cx.stats.inc(counter);
                    return self.turn_away(key, cx);
                }
            }
        }
    }

    /// A filter does not let a connection in, or its client has gone.
    fn turn_away(&mut self, key: ArrivalKey, cx: &mut Cx<'_>) {
        let Some(Arrival { conn, listener, provenance, .. }) = self.remove(key, cx) else { return };
        self.log(listener, conn, &provenance, false, cx);
        refuse(conn, cx);
    }

    /// The filters of a connection are done.
    fn remove(&mut self, key: ArrivalKey, cx: &mut Cx<'_>) -> Option<Arrival> {
        let arrival = self.arrivals.remove(key)?;
        if let Some(timer) = arrival.timer {
            cx.reactor.cancel(timer);
        }
        cx.io.set_owner(arrival.conn, Owner::Nobody);
        let config = &self.listeners[arrival.listener as usize].config;
        cx.stats.move_gauge(config.stats.downstream_pre_cx_active, -1);
        Some(arrival)
    }

    /// The filters have let a connection through: it may be for another listener.
    fn pass(
        &mut self,
        listener: u32,
        conn: ConnKey,
        provenance: Provenance,
        redirected: bool,
        cx: &mut Cx<'_>,
    ) {
        let restored = provenance.findings.as_ref().and_then(|findings| findings.local.as_ref());
        if let Some(local) = restored
            && self.listeners[listener as usize].config.hands_over
            && !redirected
            && let Some(other) = self.at(local).filter(|other| *other != listener)
        {
            self.reassign(listener, other, conn, cx);
            return self.begin(other, conn, provenance, true, cx);
        }
        self.choose(listener, conn, provenance, cx);
    }

    /// Counts a connection as one of another listener. It has been let in already.
    fn reassign(&mut self, from: u32, to: u32, conn: ConnKey, cx: &mut Cx<'_>) {
        let this = self.colleagues.this;
        if let Some(counts) = &self.listeners[from as usize].counts {
            counts.gate.iter().for_each(super::shared::Gate::leave);
            counts.count(this, -1);
        }
        let Listener { config, counts, .. } = &self.listeners[to as usize];
        if let Some(counts) = counts {
            counts.gate.iter().for_each(super::shared::Gate::enter_anyway);
            counts.count(this, 1);
        }
        cx.io.re_enrol(conn, to);
        cx.io.set_limit(conn, config.buffer_limit);
    }

    /// Gives up the connections of which not a byte has come, or all of them.
    pub fn drain(&mut self, all: bool, cx: &mut Cx<'_>) {
        for key in self.arrivals.keys() {
            let Some(arrival) = self.arrivals.get(key) else { continue };
            let conn = arrival.conn;
            if all || cx.io.input(conn).is_empty() && !cx.io.may_read(conn) {
                self.remove(key, cx);
                refuse(conn, cx);
            }
        }
    }
}
