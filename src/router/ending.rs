//! Every way in which a request ends, in one table.
//!
//! Whoever ends a request names the cause; status, body, response flag and response code details follow from
//! the cause here and nowhere else. The words are Envoy's (`source/common/stream_info`, `response_flag_utils`),
//! so that logs and alerts written for it keep working.

use crate::stream_info::Flag;
use crate::upstream::Failure;
use nuncio_codec::{h1, h2};
use std::borrow::Cow;
use std::sync::Arc;

/// Why a request ended.
#[derive(Clone, Debug)]
pub enum Cause {
    /// The upstream's response was passed on to its end.
    Complete,
    /// `direct_response`.
    Direct {
        /// As configured.
        status: u16,
        /// The URL that was asked for, which a 201 and a 3xx tell.
        location: Option<Vec<u8>>,
        /// As configured.
        body: Arc<[u8]>,
    },
    /// `redirect`.
    Redirect {
        /// As configured.
        status: u16,
        /// The new URL.
        location: Vec<u8>,
    },
    /// An answer of the admin interface.
    Admin,
    /// No route matched.
    NoRoute,
    /// The cluster that a request asks for does not exist.
    NoCluster {
        /// As configured.
        status: u16,
    },
    /// A header name with an underscore.
    Underscore {
        /// In HTTP/2.
        h2: bool,
    },
    /// A path with an escaped slash, or one that cannot be normalised.
    PathNormalization,
    /// The same, to be asked for again in normal form.
    NormalizedPath {
        /// The normalised path.
        location: Vec<u8>,
    },
    /// The whole stream took longer than `max_stream_duration`.
    MaxDuration {
        /// The request was complete.
        request_end: bool,
    },
    /// The same, for the limit of the cluster.
    UpstreamMaxDuration {
        /// The request was complete.
        request_end: bool,
    },
    /// The request cannot be understood.
    Codec(h1::Error),
    /// The connection of HTTP/2 failed.
    Http2(h2::Error),
    /// The client's message is over the limits of HTTP/2.
    TooLarge(h2::Cause),
    /// The client reset the stream, or did what the stream was reset for.
    Reset {
        /// What the client said, or was told.
        code: h2::Code,
        /// Why.
        cause: h2::Cause,
    },
    /// HTTP/1.1 without a host.
    MissingHost,
    /// No path, or one that does not begin with a slash.
    PathRejected,
    /// A path with a fragment.
    FragmentInPath,
    /// An upgrade or CONNECT that is not configured.
    UpgradeRefused,
    /// No upstream response because of this.
    Upstream(Failure),
    /// The upstream failed in the middle of its response.
    UpstreamAfterStart(Failure),
    /// The route's time-out.
    RouteTimeout {
        /// It is answered with 204 instead of 504.
        empty: bool,
    },
    /// Nothing moved for `stream_idle_timeout`.
    StreamIdle {
        /// The request was complete.
        request_end: bool,
    },
    /// The request was not complete within `request_timeout`.
    RequestTimeout,
    /// The head was not complete within `request_headers_timeout`.
    HeadersTimeout,
    /// The client went away.
    Disconnected,
    /// The worker stops.
    Stopped,
}

/// What a cause looks like from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The status that is answered if no response has begun; 0 when there is nobody to answer.
    pub status: u16,
    /// The body that is answered.
    pub body: Cow<'static, str>,
    /// What the access log shows as the response flag.
    pub flag: Flag,
    /// What the access log shows as the response code details.
    pub details: Cow<'static, str>,
}

impl Cause {
    /// The table.
    pub fn row(&self) -> Row {
        let (status, body, flag, details) = match self {
            Self::Complete => (0, "".into(), Flag::None, "via_upstream".into()),
            Self::Direct { status, .. } => (*status, "".into(), Flag::None, "direct_response".into()),
            Self::Redirect { status, .. } => (*status, "".into(), Flag::None, "direct_response".into()),
            Self::Admin => (0, "".into(), Flag::None, "admin_filter_response".into()),
            Self::NoRoute => (404, "".into(), Flag::NoRouteFound, "route_not_found".into()),
            Self::Codec(error) => {
                let body = reason_phrase(error.status());
                (error.status(), body.into(), Flag::DownstreamProtocolError, error.details().into())
            }
            Self::Http2(error) => (0, "".into(), Flag::DownstreamProtocolError, error.details().into()),
            Self::TooLarge(cause) => {
                (431, reason_phrase(431).into(), Flag::DownstreamProtocolError, cause.details().into())
            }
            Self::Reset { code, cause: cause @ h2::Cause::Peer } => {
                (0, "".into(), Flag::DownstreamRemoteReset, h2::reset_details(*code, *cause).into())
            }
            Self::Reset { cause, .. } => {
                (0, "".into(), Flag::DownstreamProtocolError, cause.details().into())
            }
            Self::NoCluster { status } => {
                (*status, "".into(), Flag::NoClusterFound, "cluster_not_found".into())
            }
            Self::Underscore { h2 } => (
                400,
                "Bad Request".into(),
                Flag::DownstreamProtocolError,
                if *h2 { "http2.unexpected_underscore" } else { "http1.unexpected_underscore" }.into(),
            ),
            Self::PathNormalization => (400, "".into(), Flag::None, "path_normalization_failed".into()),
            Self::NormalizedPath { .. } => (307, "".into(), Flag::None, "path_normalization_failed".into()),
            Self::MaxDuration { request_end } => (
                if *request_end { 504 } else { 408 },
                "downstream duration timeout".into(),
                // As in Envoy, which has a flag for this and does not set it.
                Flag::None,
                "max_duration_timeout".into(),
            ),
            Self::UpstreamMaxDuration { request_end } => (
                if *request_end { 504 } else { 408 },
                "upstream max stream duration reached".into(),
                Flag::UpstreamMaxStreamDurationReached,
                "upstream_max_stream_duration_reached".into(),
            ),
            Self::MissingHost => (400, "".into(), Flag::None, "missing_host_header".into()),
            Self::PathRejected => (404, "".into(), Flag::None, "absolute_path_rejected".into()),
            Self::FragmentInPath => (400, "".into(), Flag::None, "path_normalization_failed".into()),
            Self::UpgradeRefused => (403, "".into(), Flag::None, "upgrade_failed".into()),
            Self::Upstream(failure) => return upstream_row(failure, false),
            Self::UpstreamAfterStart(failure) => return upstream_row(failure, true),
            Self::RouteTimeout { empty } => (
                if *empty { 204 } else { 504 },
                if *empty { "".into() } else { "upstream request timeout".into() },
                Flag::UpstreamRequestTimeout,
                "response_timeout".into(),
            ),
            Self::StreamIdle { request_end } => {
                let status = if *request_end { 504 } else { 408 };
                (status, "stream timeout".into(), Flag::StreamIdleTimeout, "stream_idle_timeout".into())
            }
            Self::RequestTimeout => {
                (408, "request timeout".into(), Flag::None, "request_overall_timeout".into())
            }
            Self::HeadersTimeout => {
                (408, "request header timeout".into(), Flag::None, "request_header_timeout".into())
            }
            Self::Disconnected => {
                (0, "".into(), Flag::DownstreamConnectionTermination, "downstream_remote_disconnect".into())
            }
            Self::Stopped => (
                0,
                "".into(),
                Flag::DownstreamConnectionTermination,
                "downstream_local_disconnect(stopped)".into(),
            ),
        };
        Row { status, body, flag, details }
    }
}

fn upstream_row(failure: &Failure, started: bool) -> Row {
    let (status, reason, more, flag) = match failure {
        Failure::NoHealthyHost => {
            return Row {
                status: 503,
                body: "no healthy upstream".into(),
                flag: Flag::NoHealthyUpstream,
                details: "no_healthy_upstream".into(),
            };
        }
        Failure::Overflow => (503, "overflow", "", Flag::UpstreamOverflow),
        Failure::ConnectFailed(text) => {
            (503, "remote connection failure", &**text, Flag::UpstreamConnectionFailure)
        }
        Failure::LocalReset => (503, "local reset", "", Flag::LocalReset),
        Failure::ConnectTimeout => (503, "connection timeout", "", Flag::UpstreamConnectionFailure),
        Failure::Terminated { .. } => {
            (503, "connection termination", "", Flag::UpstreamConnectionTermination)
        }
        Failure::RemoteReset => (503, "remote reset", "", Flag::UpstreamRemoteReset),
        Failure::Unprocessed => (503, "remote refused stream reset", "", Flag::UpstreamRemoteReset),
        Failure::Protocol { .. } => (502, "protocol error", "", Flag::UpstreamProtocolError),
    };
    let when = if started { "after" } else { "before" };
    let bar = if more.is_empty() { "" } else { "|" };
    let details = format!("upstream_reset_{when}_response_started{{{reason}{bar}{more}}}").replace(' ', "_");
    let body = format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}");
    Row { status, body: body.into(), flag, details: details.into() }
}

/// The reason phrase of a status that this proxy itself answers.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        for (cause, status, body, flag, details) in [
            (Cause::Complete, 0, "", "-", "via_upstream"),
            (Cause::NoRoute, 404, "", "NR", "route_not_found"),
            (Cause::MissingHost, 400, "", "-", "missing_host_header"),
            (
                Cause::Upstream(Failure::NoHealthyHost),
                503,
                "no healthy upstream",
                "UH",
                "no_healthy_upstream",
            ),
            (
                Cause::Upstream(Failure::Overflow),
                503,
                "upstream connect error or disconnect/reset before headers. reset reason: overflow",
                "UO",
                "upstream_reset_before_response_started{overflow}",
            ),
            (
                Cause::Upstream(Failure::ConnectFailed("delayed connect error: Connection refused".into())),
                503,
                "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
                "UF",
                "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
            ),
            (
                Cause::Upstream(Failure::Terminated { reused: true }),
                503,
                "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
                "UC",
                "upstream_reset_before_response_started{connection_termination}",
            ),
            (
                Cause::UpstreamAfterStart(Failure::Terminated { reused: false }),
                503,
                "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
                "UC",
                "upstream_reset_after_response_started{connection_termination}",
            ),
            (Cause::RouteTimeout { empty: false }, 504, "upstream request timeout", "UT", "response_timeout"),
            (Cause::StreamIdle { request_end: false }, 408, "stream timeout", "SI", "stream_idle_timeout"),
            (Cause::RequestTimeout, 408, "request timeout", "-", "request_overall_timeout"),
            (
                Cause::Reset { code: h2::Code::CANCEL, cause: h2::Cause::Peer },
                0,
                "",
                "DR",
                "http2.remote_reset",
            ),
            (
                Cause::Reset { code: h2::Code::REFUSED_STREAM, cause: h2::Cause::Peer },
                0,
                "",
                "DR",
                "http2.remote_refuse",
            ),
            (Cause::Disconnected, 0, "", "DC", "downstream_remote_disconnect"),
        ] {
            let row = cause.row();
            assert_eq!(
                (row.status, &*row.body, row.flag.to_string().as_str(), &*row.details),
                (status, body, flag, details),
                "{cause:?}"
            );
        }
    }
}
