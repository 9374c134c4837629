//! What only a client does: it opens streams.

use super::frame::MAX_STREAM;
use super::send::Outgoing;
use super::stream::{Sending, Stream};
use super::{Client, OpenError, StreamId};
use crate::headers::chars::is_visible;
use crate::{Buffer, HeaderId, Method, RequestHead, is_token};

impl Client {
    /// Streams that may be opened now.
    pub fn capacity(&self) -> usize {
        if self.is_draining() {
            return 0;
        }
        let most = self.settings.max_concurrent_streams.min(self.peer.max_concurrent_streams) as usize;
        let identifiers = (MAX_STREAM - self.last_seen).div_ceil(2) as usize;
        most.saturating_sub(self.live()).min(identifiers)
    }

    /// Opens a stream and writes the head of a request. `end`: there is no body. Fields that belong to HTTP/1 connections
    /// are left out; `:scheme` is `http` if there is none.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is written then.
    pub fn open(
        &mut self,
        head: &RequestHead,
        end: bool,
        tag: u64,
        out: &mut Buffer,
    ) -> Result<StreamId, OpenError> {
        if self.capacity() == 0 {
            return Err(OpenError::NoCapacity);
        }
        if !is_valid(head) {
            return Err(OpenError::InvalidRequest);
        }
        if head.headers.contains(HeaderId::PROTOCOL) && !self.peer.enable_connect_protocol {
            return Err(OpenError::NoExtendedConnect);
        }
        let id = if self.last_seen == 0 { 1 } else { self.last_seen + 2 };
        self.last_seen = id;
        self.guard.opened += 1;
        let mut stream = Stream::new(id, &self.settings, &self.peer, self.now);
        stream.tag = tag;
        stream.sending = Sending::Body;
        stream.head = head.method == Method::Head;
        stream.connect = head.method == Method::Connect;
        self.streams.insert(stream);
        self.send_block(id, end, Outgoing::Request(&head.headers), out);
        if end {
            self.finish_sending(id, out);
        }
        Ok(StreamId(id))
    }
}

/// Whether a peer could read nothing else into this than what it says.
fn is_valid(head: &RequestHead) -> bool {
    let headers = &head.headers;
    let method = headers.get(HeaderId::METHOD).unwrap_or_default();
    let authority = headers.get(HeaderId::AUTHORITY);
    let connect = head.method == Method::Connect;
    let visible = |value: &[u8]| !value.is_empty() && is_visible(value);
    let plain_connect = connect && !headers.contains(HeaderId::PROTOCOL);
    is_token(method)
        && (method == b"CONNECT") == connect
        && authority.is_none_or(visible)
        && headers.get(HeaderId::SCHEME).is_none_or(visible)
        && headers.get(HeaderId::PROTOCOL).is_none_or(|protocol| connect && is_token(protocol))
        && if plain_connect { authority.is_some() } else { headers.get(HeaderId::PATH).is_some_and(visible) }
}
