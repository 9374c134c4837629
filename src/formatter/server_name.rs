//! `%REQUESTED_SERVER_NAME(…)%`: what the client has asked for, in TLS or in HTTP.

use super::operator::put;
use crate::stream_info::StreamInfo;
use nuncio_codec::HeaderId;

/// Where the name is taken from.
#[derive(Copy, Clone, Debug)]
pub(super) struct ServerName {
    order: Order,
    host: Host,
}

#[derive(Copy, Clone, Debug)]
enum Order {
    SniOnly,
    SniFirst,
    HostFirst,
}

/// Which host of the request.
#[derive(Copy, Clone, Debug)]
enum Host {
    Original,
    Authority,
    OriginalOrAuthority,
}

impl ServerName {
    /// From `ORDER:HOST`.
    pub(super) fn parse(arguments: &str) -> Result<Self, String> {
        let (order, host) = arguments.split_once(':').unwrap_or((arguments, ""));
        let order = match order {
            "" | "SNI_ONLY" => Order::SniOnly,
            "SNI_FIRST" => Order::SniFirst,
            "HOST_FIRST" => Order::HostFirst,
            other => return Err(format!("`{other}` is none of SNI_ONLY, SNI_FIRST, HOST_FIRST")),
        };
        let host = match host {
            "ORIG" => Host::Original,
            "HOST" => Host::Authority,
            "" | "ORIG_OR_HOST" => Host::OriginalOrAuthority,
            other => return Err(format!("`{other}` is none of ORIG, HOST, ORIG_OR_HOST")),
        };
        Ok(Self { order, host })
    }

    /// Appends the value; says whether there is one.
    pub(super) fn write(self, info: &StreamInfo<'_>, out: &mut Vec<u8>) -> bool {
        let name = info.downstream.server_name.as_bytes();
        let name = Some(name).filter(|name| !name.is_empty());
        let found = match self.order {
            Order::SniOnly => name,
            Order::SniFirst => name.or_else(|| self.host.of(info)),
            Order::HostFirst => self.host.of(info).or(name),
        };
        put(found, out)
    }
}

impl Host {
    fn of<'a>(self, info: &StreamInfo<'a>) -> Option<&'a [u8]> {
        let headers = &info.request.headers;
        let original = || headers.get(HeaderId::X_ENVOY_ORIGINAL_HOST);
        let authority = || headers.get(HeaderId::AUTHORITY);
        let found = match self {
            Self::Original => original(),
            Self::Authority => authority(),
            Self::OriginalOrAuthority => original().filter(|host| !host.is_empty()).or_else(authority),
        };
        found.filter(|host| !host.is_empty())
    }
}
