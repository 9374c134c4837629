//! An attempt: one try of a request on one host; and what can happen to it.

use super::config::{ClusterId, Priority};
use super::pool::Place;
use crate::io::Provenance;
use crate::tls::TlsInfo;
use nuncio_codec::{Buffer, HeaderMap, RequestHead, ResponseHead, Version, h2};
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
    /// The upstream reset the stream.
    RemoteReset,
    /// The upstream has certainly not processed the request: it may be sent again.
    Unprocessed,
    /// The upstream broke the protocol.
    Protocol {
        /// The codec's details.
        details: &'static str,
    },
}

/// Whoever began an attempt: which layer, and its key there.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Requester {
    /// A request of the HTTP connection manager.
    Stream(RawKey),
    /// A TCP session that goes through a tunnel.
    Session(RawKey),
}

/// Something that happened to an attempt.
#[derive(Debug)]
pub struct Event {
    /// Whoever began it.
    pub requester: Requester,
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
pub struct Ask<'a> {
    /// Where to.
    pub cluster: ClusterId,
    /// Which circuit breakers count.
    pub priority: Priority,
    /// The caller is internal.
    pub internal: bool,
    /// Whoever is told what happens.
    pub requester: Requester,
    /// Only a connection will do that has never been used.
    pub fresh: bool,
    /// The response's reader takes bytes that are not in memory.
    pub bulk: bool,
    /// The version in which the request came.
    pub version: Version,
    /// The connection that it came on, for clusters that want to know.
    pub client: Option<&'a Provenance>,
    /// The request, for clusters whose connections depend on it.
    pub head: Option<&'a RequestHead>,
    /// What consistent balancing goes by.
    pub hash: Option<u64>,
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
    /// What is spoken on it.
    pub version: Version,
}

/// One try of a request.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) requester: Requester,
    pub(super) cluster: u32,
    pub(super) place: Place,
    /// Its caller is internal.
    pub(super) internal: bool,
    /// The response's reader takes bytes that are not in memory.
    pub(super) bulk: bool,
    /// Its connection, once it has one.
    pub(super) client: Option<super::client::ClientKey>,
    /// HTTP/2: its stream on that connection.
    pub(super) stream: OfStream,
}

/// What an attempt knows of its stream of HTTP/2.
#[derive(Debug, Default)]
pub(super) struct OfStream {
    pub(super) id: Option<h2::StreamId>,
    /// The response's reader is slow: these bytes of it count against the window.
    pub(super) paused: bool,
    pub(super) unconsumed: usize,
    /// The request is complete; so is the response.
    pub(super) request_end: bool,
    pub(super) response_end: bool,
    pub(super) response_started: bool,
    /// It is a tunnel if the upstream agrees: neither half ends the other.
    pub(super) tunnel: bool,
    /// What an HTTP/1 client wants to upgrade to.
    pub(super) upgrade: Option<Box<Upgrade>>,
    /// What must wait until the upstream has said whether it takes extended CONNECT.
    pub(super) parked: Option<Box<Parked>>,
}

/// An upgrade that HTTP/2 knows as an extended CONNECT.
#[derive(Debug)]
pub(super) struct Upgrade {
    pub(super) protocol: Vec<u8>,
    /// `sec-websocket-key`, which RFC 8441 has no use for, but which the client wants to see answered.
    pub(super) key: Option<Vec<u8>>,
}

/// A request that waits for the upstream's SETTINGS.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) head: RequestHead,
    /// What the client has sent ahead, and whether that is all.
    pub(super) data: Buffer,
    pub(super) end: bool,
}
