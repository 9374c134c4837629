//! Responses that the proxy itself makes.

use crate::formatter::{grpc_status_of_http, is_grpc};
use crate::router::Cause;
use crate::upstream::Failure;
use nuncio_codec::{Buffer, HeaderId, HeaderMap, RequestHead, ResponseHead, Version};

/// A whole response: head and body.
#[derive(Debug)]
pub(super) struct LocalReply {
    pub(super) head: ResponseHead,
    pub(super) body: Buffer,
    /// Of the body, unless a header says otherwise.
    pub(super) content_type: Box<str>,
}

impl LocalReply {
    /// The answer to a request that ended for this cause; `None` where nobody is answered.
    pub(super) fn to(cause: &Cause) -> Option<Self> {
        let row = cause.row();
        if row.status == 0 {
            return None;
        }
        let mut reply = match cause {
            Cause::Direct { body, .. } => Self::new(row.status, "text/plain", body),
            _ => Self::new(row.status, "text/plain", row.body.as_bytes()),
        };
        match cause {
            Cause::Redirect { location, .. }
            | Cause::NormalizedPath { location }
            | Cause::Direct { location: Some(location), .. } => {
                reply.head.headers.append_id(HeaderId::LOCATION, location);
            }
            Cause::Upstream(Failure::Overflow) => {
                reply.head.headers.append_id(HeaderId::X_ENVOY_OVERLOADED, b"true");
            }
            _ => {}
        }
        Some(reply)
    }

    /// A response with this body.
    pub(super) fn new(status: u16, content_type: &str, text: &[u8]) -> Self {
        let mut body = Buffer::new();
        body.append(text);
        let head = ResponseHead { version: Version::Http11, status, headers: HeaderMap::new() };
        Self { head, body, content_type: content_type.into() }
    }

    /// Adds the headers that describe the body, once everybody has changed what they want to change. A request of
    /// gRPC gets its answer as gRPC wants it: status 200 and all in the head.
    pub(super) fn finish(&mut self, request: &RequestHead, cause: &Cause) {
        let headers = &mut self.head.headers;
        let local = !matches!(cause, Cause::Admin | Cause::Complete);
        if local && is_grpc(request) {
            headers.set(HeaderId::CONTENT_TYPE, b"application/grpc");
            let status = match cause {
                Cause::MaxDuration { .. } => DEADLINE_EXCEEDED,
                _ => grpc_status(self.head.status),
            };
            let status = status.to_string();
            headers.set(HeaderId::GRPC_STATUS, status.as_bytes());
            if !self.body.is_empty() {
                let mut text = self.body.to_vec();
                // The line end that goes with JSON is none of the message's.
                if &*self.content_type == "application/json" && text.last() == Some(&b'\n') {
                    text.pop();
                }
                headers.set(HeaderId::GRPC_MESSAGE, &percent_encode(&text));
            }
            headers.remove(HeaderId::CONTENT_LENGTH);
            self.head.status = 200;
            self.body.clear();
        } else if self.body.is_empty() && !matches!(cause, Cause::Admin) {
            headers.remove(HeaderId::CONTENT_LENGTH);
            headers.remove(HeaderId::CONTENT_TYPE);
        } else {
            headers.set(HeaderId::CONTENT_LENGTH, self.body.len().to_string().as_bytes());
            if !headers.contains(HeaderId::CONTENT_TYPE) {
                headers.append_id(HeaderId::CONTENT_TYPE, self.content_type.as_bytes());
            }
        }
    }
}

/// A status of gRPC ("Status codes and their use in gRPC").
const DEADLINE_EXCEEDED: u8 = 4;

/// The status of gRPC for one of HTTP.
fn grpc_status(status: u16) -> u8 {
    if status == 200 { 0 } else { grpc_status_of_http(status) }
}

/// A `grpc-message`: what is not printable ASCII, and `%`, is escaped.
fn percent_encode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncio_codec::Method;
    use std::sync::Arc;

    fn finished(mut reply: LocalReply, content_type: &str) -> LocalReply {
        let mut headers = HeaderMap::new();
        headers.append_id(HeaderId::PATH, b"/");
        headers.append_id(HeaderId::CONTENT_TYPE, content_type.as_bytes());
        let request = RequestHead { version: Version::Http11, method: Method::Get, headers };
        reply.finish(&request, &Cause::NoRoute);
        reply
    }

    #[test]
    fn grpc_is_answered_in_its_own_way() {
        for (content_type, status, body, grpc) in [
            ("application/grpc", 503, "no 100% luck\n", Some(("14", "no 100%25 luck%0A"))),
            ("application/grpc+proto", 404, "", Some(("12", ""))),
            ("application/grpc-web", 404, "", None),
            ("text/plain", 404, "x", None),
        ] {
            let reply = finished(LocalReply::new(status, "text/plain", body.as_bytes()), content_type);
            let text =
                |id| String::from_utf8_lossy(reply.head.headers.get(id).unwrap_or_default()).into_owned();
            match grpc {
                None => assert_eq!(reply.head.status, status),
                Some((code, message)) => {
                    assert_eq!((reply.head.status, reply.body.len()), (200, 0), "{content_type}");
                    assert_eq!(text(HeaderId::GRPC_STATUS), code);
                    assert_eq!(text(HeaderId::GRPC_MESSAGE), message);
                    assert_eq!(text(HeaderId::CONTENT_TYPE), "application/grpc");
                }
            }
        }
    }

    #[test]
    fn replies() {
        let reply = LocalReply::to(&Cause::RouteTimeout { empty: false }).expect("answered");
        let reply = finished(reply, "text/html");
        assert_eq!(reply.head.status, 504);
        assert_eq!(reply.head.headers.get(HeaderId::CONTENT_TYPE), Some(&b"text/plain"[..]));
        assert_eq!(reply.body.to_vec(), b"upstream request timeout");
        let reply = LocalReply::to(&Cause::Redirect { status: 301, location: b"http://x/".to_vec() })
            .expect("answered");
        let reply = finished(reply, "text/html");
        assert_eq!(reply.head.headers.get(HeaderId::LOCATION), Some(&b"http://x/"[..]));
        assert!(!reply.head.headers.contains(HeaderId::CONTENT_TYPE));
        let body = Arc::from(&b"hello"[..]);
        let reply = LocalReply::to(&Cause::Direct { status: 200, location: None, body }).expect("answered");
        assert_eq!(reply.body.to_vec(), b"hello");
        assert!(LocalReply::to(&Cause::Disconnected).is_none());
    }
}
