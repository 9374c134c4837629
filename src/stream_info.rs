//! What is known about a stream: the view of it that command operators, access logs and local replies use.
//!
//! A view is put together on demand from the state of the connection manager and the router, and borrows all of it;
//! nothing here is kept while a request runs.

use crate::filter_state::FilterState;
use crate::io::{ConnKey, Io, Provenance};
use crate::tls::TlsInfo;
use nuncio_codec::{HeaderMap, Method, RequestHead, ResponseHead, Version};
use nuncio_reactor::Address;
use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

/// A response flag of the access log: why a response is not simply the upstream's.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the long names are the documentation")]
pub enum Flag {
    None,
    NoHealthyUpstream,
    UpstreamRequestTimeout,
    LocalReset,
    UpstreamRemoteReset,
    UpstreamConnectionFailure,
    UpstreamConnectionTermination,
    UpstreamOverflow,
    NoRouteFound,
    DownstreamConnectionTermination,
    UpstreamRetryLimitExceeded,
    StreamIdleTimeout,
    DownstreamProtocolError,
    UpstreamProtocolError,
    UpstreamMaxStreamDurationReached,
    NoClusterFound,
    DurationTimeout,
    DownstreamRemoteReset,
}

impl Flag {
    /// All but `None`, in the order in which they are shown.
    pub const ALL: [Self; 17] = [
        Self::NoHealthyUpstream,
        Self::UpstreamRequestTimeout,
        Self::LocalReset,
        Self::UpstreamRemoteReset,
        Self::UpstreamConnectionFailure,
        Self::UpstreamConnectionTermination,
        Self::UpstreamOverflow,
        Self::NoRouteFound,
        Self::DownstreamConnectionTermination,
        Self::UpstreamRetryLimitExceeded,
        Self::StreamIdleTimeout,
        Self::DownstreamProtocolError,
        Self::UpstreamMaxStreamDurationReached,
        Self::DurationTimeout,
        Self::UpstreamProtocolError,
        Self::NoClusterFound,
        Self::DownstreamRemoteReset,
    ];

    /// The short name (`%RESPONSE_FLAGS%`) and the long one (`%RESPONSE_FLAGS_LONG%`).
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::None => ("-", "-"),
            Self::NoHealthyUpstream => ("UH", "NoHealthyUpstream"),
            Self::UpstreamRequestTimeout => ("UT", "UpstreamRequestTimeout"),
            Self::LocalReset => ("LR", "LocalReset"),
            Self::UpstreamRemoteReset => ("UR", "UpstreamRemoteReset"),
            Self::UpstreamConnectionFailure => ("UF", "UpstreamConnectionFailure"),
            Self::UpstreamConnectionTermination => ("UC", "UpstreamConnectionTermination"),
            Self::UpstreamOverflow => ("UO", "UpstreamOverflow"),
            Self::NoRouteFound => ("NR", "NoRouteFound"),
            Self::DownstreamConnectionTermination => ("DC", "DownstreamConnectionTermination"),
            Self::UpstreamRetryLimitExceeded => ("URX", "UpstreamRetryLimitExceeded"),
            Self::StreamIdleTimeout => ("SI", "StreamIdleTimeout"),
            Self::DownstreamProtocolError => ("DPE", "DownstreamProtocolError"),
            Self::UpstreamProtocolError => ("UPE", "UpstreamProtocolError"),
            Self::UpstreamMaxStreamDurationReached => ("UMSDR", "UpstreamMaxStreamDurationReached"),
            Self::NoClusterFound => ("NC", "NoClusterFound"),
            Self::DurationTimeout => ("DT", "DurationTimeout"),
            Self::DownstreamRemoteReset => ("DR", "DownstreamRemoteReset"),
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.names().0)
    }
}

/// What a view is made for.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Occasion {
    /// A request has ended, or is under way.
    #[default]
    DownstreamEnd,
    /// A session of datagrams has ended.
    UdpSessionEnd,
    /// A session of datagrams goes on.
    UdpPeriodic,
    /// Something that is no stream.
    NotSet,
}

impl Occasion {
    /// `%ACCESS_LOG_TYPE%`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DownstreamEnd => "DownstreamEnd",
            Self::UdpSessionEnd => "UdpSessionEnd",
            Self::UdpPeriodic => "UdpPeriodic",
            Self::NotSet => "NotSet",
        }
    }

    /// Whether it is about a request of HTTP.
    pub fn is_http(self) -> bool {
        self == Self::DownstreamEnd
    }
}

/// Dynamic metadata: what has no operator of its own.
#[derive(Copy, Clone, Debug)]
pub struct Metadata<'a> {
    /// Who says it.
    pub namespace: &'a str,
    /// In order of their names.
    pub fields: &'a [(&'a str, MetadataValue<'a>)],
}

/// A value in dynamic metadata.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum MetadataValue<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(u64),
}

impl<'a> Metadata<'a> {
    /// A value by its name.
    pub fn field(&self, name: &str) -> Option<MetadataValue<'a>> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// Some response flags.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Adds one.
    pub fn add(&mut self, flag: Flag) {
        self.0 |= 1 << flag as u32;
    }

    /// Whether one is among them.
    pub fn contains(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u32) != 0
    }

    /// All of them, in the order in which they are shown.
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        Flag::ALL.into_iter().filter(move |flag| self.contains(*flag))
    }
}

/// A stream, as far as it has come.
#[derive(Clone, Debug)]
pub struct StreamInfo<'a> {
    /// What the view is made for.
    pub occasion: Occasion,
    /// What has no operator of its own.
    pub metadata: Option<Metadata<'a>>,
    /// Without headers if the request could not be understood.
    pub request: &'a RequestHead,
    /// The trailers of the request.
    pub request_trailers: Option<&'a HeaderMap>,
    /// `None` until a response has begun.
    pub response: Option<&'a ResponseHead>,
    /// The trailers of the response.
    pub response_trailers: Option<&'a HeaderMap>,
    /// When the request's head had arrived.
    pub start: SystemTime,
    /// When the view was made.
    pub now: SystemTime,
    /// Milestones.
    pub times: Times,
    /// Sizes.
    pub bytes: Bytes,
    /// Why it ended.
    pub flag: Flag,
    /// Why it ended, in more words; empty while it goes on.
    pub details: &'a str,
    /// Body of a local reply before it is formatted.
    pub local_reply_body: &'a [u8],
    /// Its number in the process.
    pub stream_id: u64,
    /// The connection that it came on.
    pub downstream: Downstream<'a>,
    /// Its route, once there is one.
    pub route: Option<RouteInfo<'a>>,
    /// The upstream, once there is a cluster.
    pub upstream: Option<UpstreamInfo<'a>>,
    /// What there is to say of a TCP session, which has no request.
    pub session: Option<SessionInfo<'a>>,
}

impl<'a> StreamInfo<'a> {
    /// A connection as a whole, that began so and lasted so long.
    pub fn of_connection(
        downstream: Downstream<'a>,
        (start, now): (SystemTime, SystemTime),
        lasted: Duration,
        session: SessionInfo<'a>,
    ) -> Self {
        Self {
            occasion: Occasion::NotSet,
            metadata: None,
            request: no_request(),
            request_trailers: None,
            response: None,
            response_trailers: None,
            start,
            now,
            times: Times { end: Some(lasted), ..Times::default() },
            bytes: Bytes::default(),
            flag: Flag::None,
            details: "",
            local_reply_body: b"",
            stream_id: downstream.connection_id,
            downstream,
            route: None,
            upstream: None,
            session: Some(session),
        }
    }
}

impl StreamInfo<'_> {
    /// Whether it ended for this reason.
    pub fn has_flag(&self, flag: Flag) -> bool {
        self.session.as_ref().map_or(self.flag == flag, |session| session.flags.contains(flag))
    }

    /// Whether it ended for any reason.
    pub fn has_flags(&self) -> bool {
        self.session.as_ref().map_or(self.flag != Flag::None, |session| session.flags != Flags::default())
    }
}

/// The request of what has none.
pub fn no_request() -> &'static RequestHead {
    static NONE: LazyLock<RequestHead> = LazyLock::new(|| RequestHead {
        version: Version::Http11,
        method: Method::Other,
        headers: HeaderMap::new(),
    });
    &NONE
}

/// A TCP session, or a connection as a whole.
#[derive(Clone, Debug, Default)]
pub struct SessionInfo<'a> {
    /// Which of its moments this is (`%ACCESS_LOG_TYPE%`).
    pub moment: &'static str,
    /// The version of HTTP that is spoken, if it is.
    pub protocol: Option<Version>,
    /// Why it ended.
    pub flags: Flags,
    /// Why a filter ended it; may be empty.
    pub termination: &'a str,
    /// Why we closed the downstream connection; empty if we did not.
    pub downstream_close: &'a str,
    /// Why we closed the upstream connection; empty if we did not.
    pub upstream_close: &'a str,
    /// How the downstream connection ended.
    pub downstream_end: CloseType,
    /// How the upstream connection ended.
    pub upstream_end: CloseType,
}

/// How a connection ended, as far as resets go.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum CloseType {
    /// Without.
    #[default]
    Normal,
    /// By a reset from us.
    LocalReset,
    /// By a reset from the peer.
    RemoteReset,
}

impl CloseType {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::LocalReset => "LocalReset",
            Self::RemoteReset => "RemoteReset",
        }
    }
}

/// Milestones of a stream, counted from its start; `None` for what has not happened.
#[derive(Copy, Clone, Debug, Default)]
pub struct Times {
    /// The last byte of the request came from downstream.
    pub request_end: Option<Duration>,
    /// The first byte of the request went upstream.
    pub upstream_first_sent: Option<Duration>,
    /// The last byte of the request went upstream.
    pub upstream_last_sent: Option<Duration>,
    /// The first byte of the response came from upstream.
    pub upstream_first_received: Option<Duration>,
    /// The last byte of the response came from upstream.
    pub upstream_last_received: Option<Duration>,
    /// The first byte of the response went downstream.
    pub response_begin: Option<Duration>,
    /// The last byte of the response went downstream.
    pub response_end: Option<Duration>,
    /// The stream ended.
    pub end: Option<Duration>,
}

/// Sizes of a stream, in bytes.
#[derive(Copy, Clone, Debug, Default)]
pub struct Bytes {
    /// Request body from downstream.
    pub received: u64,
    /// Response body to downstream.
    pub sent: u64,
    /// Request head as it came from downstream.
    pub request_headers: u64,
    /// Response head as it went downstream.
    pub response_headers: u64,
    /// Everything of the request on the wire from downstream.
    pub downstream_wire_received: u64,
    /// Everything of the response on the wire to downstream.
    pub downstream_wire_sent: u64,
    /// Everything of the response on the wire from upstream.
    pub upstream_wire_received: u64,
    /// Everything of the request on the wire to upstream.
    pub upstream_wire_sent: u64,
}

/// The downstream connection of a stream.
#[derive(Clone, Debug)]
pub struct Downstream<'a> {
    /// Where it was accepted.
    pub local: Option<&'a Address>,
    /// Who is connected.
    pub direct_remote: Option<&'a Address>,
    /// Who is taken for the client: the peer, or who a trusted header names.
    pub remote: Option<&'a Address>,
    /// Its number in the process.
    pub connection_id: u64,
    /// Name of the filter chain; may be empty.
    pub filter_chain: &'a str,
    /// Its TLS.
    pub tls: Option<&'a TlsInfo>,
    /// Why its TLS has failed; may be empty.
    pub transport_failure: &'a str,
    /// The name that the client has asked for in TLS; empty if it has not.
    pub server_name: &'a str,
    /// What filters have left.
    pub filter_state: Option<&'a FilterState>,
    /// Where the connection comes from, and what was learnt of it.
    pub provenance: Option<&'a Provenance>,
}

impl<'a> Downstream<'a> {
    /// A connection of this number, on a chain of this name, of whose TLS nothing is known.
    pub fn of(
        provenance: &'a Provenance,
        connection_id: u64,
        filter_chain: &'a str,
        filter_state: Option<&'a FilterState>,
    ) -> Self {
        Self {
            local: Some(provenance.local()),
            direct_remote: Some(&provenance.peer),
            remote: Some(provenance.remote()),
            connection_id,
            filter_chain,
            server_name: provenance.server_name(),
            filter_state,
            provenance: Some(provenance),
            tls: None,
            transport_failure: "",
        }
    }

    /// The TLS of the connection.
    #[must_use]
    pub fn with_tls(self, conn: ConnKey, io: &'a Io) -> Self {
        let tls = io.tls(conn).map(|tls| &**tls);
        Self { tls, transport_failure: io.tls_failure(conn), ..self }
    }
}

/// The route of a stream.
#[derive(Clone, Debug)]
pub struct RouteInfo<'a> {
    /// `Route.name`; may be empty.
    pub name: &'a str,
    /// `VirtualHost.name`.
    pub virtual_host: &'a str,
}

/// The upstream side of a stream.
#[derive(Clone, Debug)]
pub struct UpstreamInfo<'a> {
    /// Name of the cluster.
    pub cluster: &'a str,
    /// The host of the last attempt.
    pub host: Option<&'a Address>,
    /// `Endpoint.hostname` of that host; may be empty.
    pub hostname: &'a str,
    /// This end of the connection to it.
    pub local: Option<&'a Address>,
    /// Number of that connection in the process.
    pub connection_id: Option<u64>,
    /// Attempts so far.
    pub attempts: u32,
    /// Why no connection could be made; empty if it could.
    pub transport_failure: &'a str,
    /// The protocol that is spoken with it; `None` before there is a connection.
    pub protocol: Option<Version>,
    /// TLS of the connection to it.
    pub tls: Option<&'a TlsInfo>,
}
