//! The HTTP connection manager: downstream connections, their streams, header rules, local replies.
//!
//! [`Http`] holds all HTTP connections and streams of one worker. Bytes become request events in
//! `server_connection`; a request's life is in `stream`; everything that ends it goes through one function
//! there. What happens upstream comes in by [`Http::on_upstream`].

mod client_cert;
mod codec;
pub mod compile;
pub mod config;
mod date;
mod ending;
mod forwarding;
mod h2_connection;
mod header_rules;
mod local_reply;
mod path;
mod reply_rules;
mod response;
mod server_connection;
mod stream;

use crate::access_log::config::AccessLogConfig;
use crate::access_log::{Log, Logger};
use crate::io::{Cx, Discourage, Notice, Scope, Task, Wake};
use crate::upstream::{Event, Upstream};
use config::HcmConfig;
use nuncio_reactor::{RawKey, Slab, SlabKey, Time};
use server_connection::{DownstreamKey, ServerConnection};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use stream::{Stream, StreamKey};

/// A connection manager in [`Http`]; one for each HTTP filter chain.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ManagerId(u32);

/// A connection manager on one worker.
#[derive(Debug)]
struct Manager {
    config: Arc<HcmConfig>,
    /// High watermark of a connection's output, and most body that waits for an upstream, in bytes.
    buffer_limit: u32,
    logs: Vec<Log>,
    /// Those of the listener.
    connection_logs: Vec<Log>,
    /// Name of the filter chain.
    filter_chain: String,
    /// Its connections have TLS.
    secure: bool,
    /// Of the listener: see [`Entrance`].
    inbound: bool,
    drains_when_sick: bool,
    /// How responses treat their connections, and since when.
    discourage: (Discourage, Time),
}

/// What a connection manager must know of the listener whose connections it gets.
#[derive(Copy, Clone, Debug)]
pub struct Entrance<'a> {
    /// Soft limit of a connection's buffers, in bytes.
    pub buffer_limit: u32,
    /// Name of the filter chain.
    pub filter_chain: &'a str,
    /// Access logs of the listener.
    pub connection_logs: &'a [AccessLogConfig],
    /// Its connections have TLS.
    pub secure: bool,
    /// It is for inbound traffic.
    pub inbound: bool,
    /// Its connections are sent away when health checks are made to fail.
    pub drains_when_sick: bool,
}

/// How many requests have ended.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In all.
    pub all: usize,
    /// In less than 1 ms.
    pub quick: usize,
    /// How long they took, taken together.
    pub took: Duration,
}

/// A request for the admin interface, to be answered with [`Http::answer`].
#[derive(Debug)]
pub struct AdminRequest {
    /// Whom to answer.
    pub stream: RawKey,
    /// `:method`.
    pub method: String,
    /// `:path`, with the query.
    pub path: String,
}

/// All downstream HTTP of one worker.
#[derive(Debug)]
pub struct Http {
    managers: Vec<Manager>,
    connections: Slab<DownstreamKey, ServerConnection>,
    streams: Slab<StreamKey, Stream>,
    admin: VecDeque<AdminRequest>,
    date: date::Date,
    logger: Logger,
    draining: bool,
    /// Bytes of a request's head on the wire, until its stream is there to count them.
    pending_wire: u64,
    /// Since somebody asked.
    ended: Tally,
}

impl Http {
    /// No connections.
    pub fn new(logger: Logger) -> Self {
        Self {
            managers: Vec::new(),
            connections: Slab::new(),
            streams: Slab::new(),
            admin: VecDeque::new(),
            date: date::Date::default(),
            logger,
            draining: false,
            pending_wire: 0,
            ended: Tally::default(),
        }
    }

    /// Adds a connection manager for a listener's filter chain.
    pub fn add_manager(&mut self, config: &Arc<HcmConfig>, entrance: &Entrance<'_>) -> ManagerId {
        let logs = config.access_log.iter().map(|log| self.logger.open(log)).collect();
        let connection_logs = entrance.connection_logs.iter().map(|log| self.logger.open(log)).collect();
        self.managers.push(Manager {
            config: Arc::clone(config),
            buffer_limit: entrance.buffer_limit,
            logs,
            connection_logs,
            filter_chain: entrance.filter_chain.to_owned(),
            secure: entrance.secure,
            inbound: entrance.inbound,
            drains_when_sick: entrance.drains_when_sick,
            discourage: (Discourage::No, Time::default()),
        });
        ManagerId(self.managers.len() as u32 - 1)
    }

    /// Something happened on a downstream connection's socket.
    pub fn on_socket(&mut self, key: RawKey, notice: &Notice, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        if let Notice::Ready = notice {
            self.pump(DownstreamKey::from_raw(key), upstream, cx);
        }
    }

    /// A downstream connection asked to be looked at again.
    pub fn on_task(&mut self, task: Task, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let key = DownstreamKey::from_raw(task.key);
        match task.wake {
            Wake::Resume => self.pump(key, upstream, cx),
            Wake::Alarm => self.on_alarm(key, upstream, cx),
        }
    }

    /// Something happened upstream to one of our requests.
    pub fn on_upstream(&mut self, stream: RawKey, event: Event, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        self.on_stream_event(StreamKey::from_raw(stream), event, upstream, cx);
    }

    /// The next request that the admin interface must answer.
    pub fn next_admin_request(&mut self) -> Option<AdminRequest> {
        self.admin.pop_front()
    }

    /// Answers a request of the admin interface; one that has gone in the meantime is not answered.
    pub fn answer(
        &mut self,
        stream: RawKey,
        status: u16,
        content_type: &str,
        body: Vec<u8>,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        self.answer_admin(StreamKey::from_raw(stream), (status, content_type), &body, upstream, cx);
    }

    /// From now on responses treat the connections of some listeners like this.
    pub fn discourage(&mut self, how: Discourage, scope: Scope, now: Time) {
        for manager in &mut self.managers {
            let concerned = match scope {
                Scope::All => true,
                Scope::Inbound => manager.inbound,
                Scope::Healthy => manager.drains_when_sick,
            };
            if concerned {
                manager.discourage = (how, now);
            }
        }
    }

    /// From now on every response closes its connection, and connections without a request are closed.
    pub fn drain(&mut self, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        self.draining = true;
        for key in self.connections.keys() {
            self.drain_connection(key, upstream, cx);
        }
    }

    /// Ends everything at once.
    pub fn stop(&mut self, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        for key in self.connections.keys() {
            self.stop_connection(key, upstream, cx);
        }
    }

    /// Downstream connections and streams that exist now.
    pub fn live(&self) -> (usize, usize) {
        (self.connections.len(), self.streams.len())
    }

    /// The requests that have ended since this was last asked.
    pub fn take_ended(&mut self) -> Tally {
        std::mem::take(&mut self.ended)
    }

    /// The worker's access logs.
    pub fn logger(&mut self) -> &mut Logger {
        &mut self.logger
    }
}
