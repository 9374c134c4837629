//! One upstream HTTP connection and where it stands.

use super::attempt::{AttemptKey, Failure};
use super::config::Priority;
use crate::io::{Alarm, ConnKey};
use crate::tls::TlsInfo;
use nuncio_codec::h1;
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
}

/// An upstream connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) conn: ConnKey,
    pub(super) cluster: u32,
    pub(super) host: u32,
    pub(super) priority: Priority,
    /// This end's address.
    pub(super) local: Option<Address>,
    /// What is known of its TLS.
    pub(super) tls: Option<Arc<TlsInfo>>,
    pub(super) state: State,
    pub(super) codec: h1::Client,
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
    /// The writer of the request body was told to wait.
    pub(super) backed_up: bool,
}

impl Client {
    /// What it means to the exchange if the upstream ends the connection now.
    pub(super) fn terminated(&self) -> Failure {
        // Only where not a byte of a response came can the request have gone unnoticed.
        Failure::Terminated { reused: self.used && !self.codec.response_started() }
    }
}
