//! One stream.

use super::flow::{ReceiveWindow, SendWindow};
use super::priority::USUAL;
use super::settings::{PeerSettings, Settings};
use crate::{Buffer, HeaderMap};

/// What the peer has sent of its message.
///
/// With what we have sent of ours ([`Sending`]) this is the state of RFC 9113 section 5.1:
///
/// ```text
/// receiving \ sending   Head, Body            Ended
/// Head, Body, Discard   open                  half-closed (local)
/// Ended                 half-closed (remote)  closed (kept only while bytes are not consumed)
/// ```
/// Streams that are idle are larger than any that was seen, those that are closed are in no slot.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    /// Nothing but, perhaps, informational responses (client).
    Head,
    /// The head; DATA or trailers may follow.
    Body,
    /// The head was too large: what follows is thrown away (server).
    Discard,
    /// All of it.
    Ended,
}

/// What we have sent of ours.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// Nothing but, perhaps, informational responses (server).
    Head,
    /// The head; what is handed over is sent or queued.
    Body,
    /// The owner has handed over all of it, the queue is not empty.
    Ending,
    /// All of it is in the output.
    Ended,
}

/// A stream that is open, or closed with bytes that are not consumed.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) receiving: Receiving,
    pub(super) sending: Sending,
    pub(super) tag: u64,
    pub(super) send_window: SendWindow,
    pub(super) receive_window: ReceiveWindow,
    /// Bytes of DATA that the head has announced.
    pub(super) announced: Option<u64>,
    /// Bytes of DATA that have come.
    pub(super) received: u64,
    /// DATA that waits for a window or for room.
    pub(super) queue: Buffer,
    /// What ends the message behind the queue, if it is not the last DATA.
    pub(super) trailers: Option<HeaderMap>,
    /// When it was opened, in the caller's milliseconds.
    pub(super) opened: u32,
    /// The request's method is HEAD.
    pub(super) head: bool,
    /// The request's method is CONNECT.
    pub(super) connect: bool,
    /// It is a tunnel, or (server) will be one if we agree.
    pub(super) tunnel: bool,
    /// It stands in the list of those that may send.
    pub(super) ready: bool,
    /// The owner was told to pause.
    pub(super) paused: bool,
    /// Server: how urgent the response is, 0 to 7, most urgent first.
    pub(super) urgency: u8,
}

impl Stream {
    pub(super) fn new(id: u32, settings: &Settings, peer: &PeerSettings, now: u32) -> Self {
        Self {
            id,
            receiving: Receiving::Head,
            sending: Sending::Head,
            tag: 0,
            send_window: SendWindow::new(peer.initial_window_size),
            receive_window: ReceiveWindow::new(settings.initial_stream_window_size),
            announced: None,
            received: 0,
            queue: Buffer::new(),
            trailers: None,
            opened: now,
            head: false,
            connect: false,
            tunnel: false,
            ready: false,
            paused: false,
            urgency: USUAL,
        }
    }

    /// Both sides have ended; it is kept for bytes that are not consumed.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.receiving == Receiving::Ended && self.sending == Sending::Ended
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_stream_is_small() {
        // As the module's documentation says.
        assert!(size_of::<Option<super::Stream>>() <= 250, "{}", size_of::<Option<super::Stream>>());
    }
}
