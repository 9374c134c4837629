//! One upstream HTTP connection and where it stands.

use super::attempt::{AttemptKey, Failure};
use super::http2::Vigil;
use super::pool::Place;
use crate::io::{Alarm, ConnKey};
use crate::tls::TlsInfo;
use nuncio_codec::{h1, h2};
use nuncio_reactor::{Address, Time, slab_key};
use std::sync::Arc;

slab_key! {
    /// An upstream connection in [`super::Upstream`].
    pub(super) struct ClientKey;
}

/// What an upstream connection is doing.
#[derive(Copy, Clone, Debug)]
pub(super) enum State {
    /// Being made, until then at the latest.
    Connecting { deadline: Time },
    /// Free, and closed at that time.
    Idle { deadline: Option<Time> },
    /// Carrying this attempt.
    Busy(AttemptKey),
    /// HTTP/2: carrying some.
    Shared,
}

/// The codec of an upstream connection.
#[derive(Debug)]
pub(super) enum Carrier {
    H1(h1::Client),
    H2(Box<Trunk>),
}

/// HTTP/2 on an upstream connection.
#[derive(Debug)]
pub(super) struct Trunk {
    pub(super) codec: h2::Client,
    /// Attempts that have this connection and have not opened their stream.
    pub(super) unopened: Vec<AttemptKey>,
    /// All attempts that have this connection.
    pub(super) attached: usize,
    /// The upstream's SETTINGS have come.
    pub(super) settled: bool,
    /// How many streams it is taken to allow until then.
    pub(super) assumed: usize,
    pub(super) vigil: Vigil,
    /// Since when there is no attempt.
    pub(super) idle_since: Time,
}

impl Trunk {
    /// How many attempts may be added.
    pub(super) fn room(&self) -> usize {
        let free = self.codec.capacity().saturating_sub(self.unopened.len());
        if self.settled { free } else { free.min(self.assumed.saturating_sub(self.attached)) }
    }
}

/// An upstream connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) conn: ConnKey,
    pub(super) cluster: u32,
    pub(super) place: Place,
    /// This end's address.
    pub(super) local: Option<Address>,
    /// What is known of its TLS.
    pub(super) tls: Option<Arc<TlsInfo>>,
    pub(super) state: State,
    pub(super) carrier: Carrier,
    pub(super) alarm: Alarm,
    /// It has carried an exchange before the present one.
    pub(super) used: bool,
    /// Requests that were sent on it.
    pub(super) requests: u32,
    /// It carries no further exchange after this one.
    pub(super) last: bool,
    /// The response of a tunnel has ended, the request has not.
    pub(super) half: bool,
    /// When it was made.
    pub(super) since: Time,
    /// When it must carry no further exchange.
    pub(super) expires: Option<Time>,
    /// The response is not read because its reader is slow.
    pub(super) paused: bool,
    /// The response's reader takes bytes that are not in memory.
    pub(super) bulk: bool,
    /// The writer of the request body was told to wait.
    pub(super) backed_up: bool,
}

impl Client {
    /// The codec of HTTP/1.
    pub(super) fn h1(&mut self) -> Option<&mut h1::Client> {
        match &mut self.carrier {
            Carrier::H1(codec) => Some(codec),
            Carrier::H2(_) => None,
        }
    }

    /// Whether it can take one more attempt.
    pub(super) fn has_room(&self) -> bool {
        match (&self.carrier, self.state) {
            (_, State::Connecting { .. } | State::Busy(_)) => false,
            (Carrier::H1(_), _) => true,
            (Carrier::H2(trunk), _) => !self.last && trunk.room() > 0,
        }
    }

    /// What it means to the exchange if the upstream ends the connection now.
    pub(super) fn terminated(&self) -> Failure {
        // Only where not a byte of a response came can the request have gone unnoticed.
        let Carrier::H1(codec) = &self.carrier else { return Failure::Terminated { reused: false } };
        Failure::Terminated { reused: self.used && !codec.response_started() }
    }
}
