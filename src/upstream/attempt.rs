//! An attempt: one try of a request on one host; and what can happen to it.

use super::config::{ClusterId, Priority};
use crate::tls::TlsInfo;
use nuncio_codec::{Buffer, HeaderMap, ResponseHead};
use nuncio_reactor::{Address, RawKey, slab_key};
use std::borrow::Cow;
use std::sync::Arc;

slab_key! {
    /// An attempt in [`super::Upstream`].
    pub struct AttemptKey;
}

/// The answer to a request for an attempt.
#[derive(Debug)]
pub enum Begin {
    /// There is a connection: send.
    Ready(AttemptKey),
    /// [`What::Ready`] or [`What::Failed`] will follow.
    Waiting(AttemptKey),
    /// It is not to be.
    Refused {
        /// Why.
        failure: Failure,
        /// The host that had been picked, if it came to that, by its place in the cluster.
        host: Option<u32>,
    },
}

/// Why an attempt ended without a whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The cluster has no host that could be used.
    NoHealthyHost,
    /// A circuit breaker is open.
    Overflow,
    /// No connection could be made; the text says when that was known, and why.
    ConnectFailed(Cow<'static, str>),
    /// No connection was made within the cluster's `connect_timeout`.
    ConnectTimeout,
    /// The upstream closed or reset the connection. `reused`: it had carried an exchange before, so it may
    /// just have been closing when this request met it.
    Terminated {
        /// It had been used before.
        reused: bool,
    },
    /// We ended it ourselves, since what was asked for cannot be sent.
    LocalReset,
    /// The upstream broke the protocol.
    Protocol {
        /// The codec's details.
        details: &'static str,
    },
}

/// Something that happened to an attempt.
#[derive(Debug)]
pub struct Event {
    /// Whoever began it.
    pub requester: RawKey,
    /// Which attempt.
    pub attempt: AttemptKey,
    /// What.
    pub what: What,
    /// Bytes on the wire from the upstream that this event stands for.
    pub received: usize,
}

/// See [`Event`].
#[derive(Debug)]
pub enum What {
    /// The attempt has got a connection: send.
    Ready,
    /// It is over, by this failure. The key is dead.
    Failed(Failure),
    /// An interim (1xx) response.
    Informational(ResponseHead),
    /// The response has begun. With `end` it is also complete and the key is dead.
    Headers {
        /// Status and headers.
        head: ResponseHead,
        /// Nothing follows.
        end: bool,
    },
    /// A piece of the body. With `end` the response is complete and the key is dead.
    Data {
        /// The piece; may be empty when `end`.
        data: Buffer,
        /// Nothing follows.
        end: bool,
    },
    /// Trailers: the response is complete and the key is dead.
    Trailers(HeaderMap),
    /// The upstream takes more request body again.
    Drained,
}

/// What is asked for.
#[derive(Copy, Clone, Debug)]
pub struct Ask {
    /// Where to.
    pub cluster: ClusterId,
    /// Which circuit breakers count.
    pub priority: Priority,
    /// The caller is internal.
    pub internal: bool,
    /// Whoever is told what happens.
    pub requester: RawKey,
    /// Only a connection will do that has never been used.
    pub fresh: bool,
}

/// The host of an attempt and the connection to it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The host, by its place in the cluster.
    pub host: u32,
    /// This end of the connection, once there is one.
    pub local: Option<Address>,
    /// The connection's number in the process.
    pub connection: Option<u64>,
    /// What is known of its TLS.
    pub tls: Option<Arc<TlsInfo>>,
}

/// One try of a request.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) requester: RawKey,
    pub(super) cluster: u32,
    pub(super) host: u32,
    pub(super) priority: Priority,
    /// Its caller is internal.
    pub(super) internal: bool,
    /// Its connection, once it has one.
    pub(super) client: Option<super::client::ClientKey>,
}
