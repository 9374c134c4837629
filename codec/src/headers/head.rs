//! Methods, versions, and the heads of requests and responses.

use super::id::HeaderId;
use super::map::HeaderMap;

/// An HTTP version.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    H2,
}

/// A request method (RFC 9110 section 9, RFC 5789).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the methods")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other; `:method` has its name.
    Other,
}

impl Method {
    /// The method of this name; names are case-sensitive.
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// Whether sending it twice does what sending it once does (RFC 9110 section 9.2.2).
    pub const fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }

    /// Whether it asks for no change (RFC 9110 section 9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }
}

/// The head of a request.
///
/// `:method`, `:path`, `:authority` (HTTP/1's `host`) and `:scheme` are entries of the headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// As it was received.
    pub version: Version,
    /// The same as `:method`.
    pub method: Method,
    /// Pseudo-headers and headers.
    pub headers: HeaderMap,
}

impl RequestHead {
    /// `:path` with its query; empty if there is none.
    pub fn path(&self) -> &[u8] {
        self.headers.get(HeaderId::PATH).unwrap_or_default()
    }

    /// `:authority`.
    pub fn authority(&self) -> Option<&[u8]> {
        self.headers.get(HeaderId::AUTHORITY)
    }

    /// `:method`; empty if there is none.
    pub fn method_bytes(&self) -> &[u8] {
        self.headers.get(HeaderId::METHOD).unwrap_or_default()
    }
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// As it was received.
    pub version: Version,
    /// 100 to 999; not an entry of the headers.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        for (name, method, safe, idempotent) in [
            ("GET", Method::Get, true, true),
            ("HEAD", Method::Head, true, true),
            ("OPTIONS", Method::Options, true, true),
            ("TRACE", Method::Trace, true, true),
            ("PUT", Method::Put, false, true),
            ("DELETE", Method::Delete, false, true),
            ("POST", Method::Post, false, false),
            ("PATCH", Method::Patch, false, false),
            ("CONNECT", Method::Connect, false, false),
            ("get", Method::Other, false, false),
            ("PROPFIND", Method::Other, false, false),
        ] {
            assert_eq!(Method::of(name.as_bytes()), method);
            assert_eq!((method.is_safe(), method.is_idempotent()), (safe, idempotent), "{name}");
        }
    }
}
