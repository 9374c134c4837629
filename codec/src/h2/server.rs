//! What only a server sends: responses.

use super::send::Outgoing;
use super::stream::Sending;
use super::{Server, StreamId};
use crate::{Buffer, ResponseHead};

impl Server {
    /// Writes a 1xx response other than 101. Ignored once the final response has been started.
    pub fn send_informational(&mut self, id: StreamId, head: &ResponseHead, out: &mut Buffer) {
        let waiting = self.streams.get(id.0).is_some_and(|stream| stream.sending == Sending::Head);
        if waiting && self.failed.is_none() && (100..200).contains(&head.status) && head.status != 101 {
            self.send_block(id.0, false, Outgoing::Response(head.status, &head.headers), out);
        }
    }

    /// Writes the head of the final response. `end`: there is no body. Fields that belong to HTTP/1 connections are left
    /// out. After the head of a response that has no body (to HEAD; 204, 304) the response is complete: what comes after
    /// is dropped. 101, which HTTP/2 has not, is written as 200 in a tunnel. A second final head is ignored.
    ///
    /// See [`send_data`](Self::send_data) for what becomes of the stream when the response is complete.
    pub fn send_headers(&mut self, id: StreamId, head: &ResponseHead, end: bool, out: &mut Buffer) {
        if self.failed.is_some() {
            return;
        }
        let Some(stream) = self.streams.get_mut(id.0).filter(|stream| stream.sending == Sending::Head) else {
            return;
        };
        let status = match head.status {
            101 if stream.connect => 200,
            100 | 102..200 => return self.send_informational(id, head, out),
            status @ 200..1000 => status,
            _ => 500,
        };
        let bodiless = stream.head || matches!(status, 204 | 304);
        stream.sending = Sending::Body;
        stream.tunnel &= (200..300).contains(&status);
        let end = end || bodiless;
        self.send_block(id.0, end, Outgoing::Response(status, &head.headers), out);
        if end {
            self.finish_sending(id.0, out);
        }
    }

    /// The final response has been started, or the stream is gone.
    pub fn response_started(&self, id: StreamId) -> bool {
        self.streams.get(id.0).is_none_or(|stream| stream.sending != Sending::Head)
    }
}
