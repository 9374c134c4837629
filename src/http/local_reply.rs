//! Responses that the proxy itself makes.

use crate::router::Cause;
use nuncio_codec::{Buffer, HeaderId, HeaderMap, ResponseHead, Version};

/// A whole response: head and body.
#[derive(Debug)]
pub(super) struct LocalReply {
    pub(super) head: ResponseHead,
    pub(super) body: Buffer,
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
        if let Cause::Redirect { location, .. } = cause {
            reply.head.headers.append_id(HeaderId::LOCATION, location);
        }
        Some(reply)
    }

    /// A response with this body; an empty body has no content type.
    pub(super) fn new(status: u16, content_type: &str, text: &[u8]) -> Self {
        let mut headers = HeaderMap::new();
        if !text.is_empty() {
            headers.append_id(HeaderId::CONTENT_LENGTH, text.len().to_string().as_bytes());
            headers.append_id(HeaderId::CONTENT_TYPE, content_type.as_bytes());
        }
        let mut body = Buffer::new();
        body.append(text);
        Self { head: ResponseHead { version: Version::Http11, status, headers }, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn replies() {
        let reply = LocalReply::to(&Cause::RouteTimeout).expect("answered");
        assert_eq!(reply.head.status, 504);
        assert_eq!(reply.head.headers.get(HeaderId::CONTENT_TYPE), Some(&b"text/plain"[..]));
        assert_eq!(reply.body.to_vec(), b"upstream request timeout");
        let reply = LocalReply::to(&Cause::Redirect { status: 301, location: b"http://x/".to_vec() })
            .expect("answered");
        assert_eq!(reply.head.headers.get(HeaderId::LOCATION), Some(&b"http://x/"[..]));
        assert!(!reply.head.headers.contains(HeaderId::CONTENT_TYPE));
        let body = Arc::from(&b"hello"[..]);
        let reply = LocalReply::to(&Cause::Direct { status: 200, body }).expect("answered");
        assert_eq!(reply.body.to_vec(), b"hello");
        assert!(LocalReply::to(&Cause::Disconnected).is_none());
    }
}
