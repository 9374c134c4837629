//! Frames into the output, and how many of them wait there.
//!
//! A peer that makes us answer and does not read fills our memory. What it has not read is known: nobody but the codec
//! appends to the output, so what is missing from it has been written to the socket.

use super::frame::{FrameHeader, flag, kind};
use super::{Code, Counters, Error};
use crate::Buffer;
use std::collections::VecDeque;

/// Ends kept ready for when the output is not written at once.
const KEPT: usize = 2048;

/// Accounts for the frames in the output.
#[derive(Debug)]
pub(super) struct Output {
    /// Bytes that were ever appended.
    appended: u64,
    /// Where the frames in the output end, doubled, and odd for control frames.
    ends: VecDeque<u64>,
    control: u32,
    max_frames: u32,
    max_control: u32,
}

impl Output {
    pub(super) fn new(max_frames: u32, max_control: u32) -> Self {
        Self { appended: 0, ends: VecDeque::new(), control: 0, max_frames, max_control }
    }

    /// Takes note of what has been written to the socket.
    #[inline]
    pub(super) fn note(&mut self, out: &Buffer) {
        if self.ends.is_empty() {
            return;
        }
        if out.is_empty() {
            self.ends.clear();
            self.control = 0;
            if self.ends.capacity() > KEPT {
                self.ends.shrink_to(KEPT);
            }
            return;
        }
        let written = self.appended.saturating_sub(out.len() as u64);
        while let Some(&end) = self.ends.front()
            && end >> 1 <= written
        {
            self.control -= (end & 1) as u32;
            self.ends.pop_front();
        }
    }

    /// Whether too many frames wait.
    pub(super) fn check(&self, counters: &mut Counters) -> Result<(), Error> {
        if self.control > self.max_control {
            counters.outbound_control_flood += 1;
            return Err(Error::OutboundControlFlood);
        }
        if self.ends.len() > self.max_frames as usize {
            counters.outbound_flood += 1;
            return Err(Error::OutboundFlood);
        }
        Ok(())
    }

    /// Bytes that are no frame: the client's preface.
    pub(super) fn raw(&mut self, bytes: &[u8], out: &mut Buffer) {
        out.append(bytes);
        self.appended += bytes.len() as u64;
    }

    /// A frame of `bytes` in all was appended by other means.
    #[inline]
    pub(super) fn appended(&mut self, bytes: usize) {
        self.appended += bytes as u64;
        self.ends.push_back(self.appended << 1);
    }

    /// The header of a DATA frame, and its payload from `data`, which has to lie in memory.
    #[inline]
    pub(super) fn data(&mut self, stream: u32, data: &mut Buffer, n: usize, end: bool, out: &mut Buffer) {
        let flags = if end { flag::END_STREAM } else { 0 };
        let header = FrameHeader { length: n as u32, kind: kind::DATA, flags, stream }.bytes();
        out.append(&header);
        let before = data.len();
        out.move_from(data, n);
        debug_assert_eq!(before - data.len(), n, "bytes that lie elsewhere cannot be framed");
        self.appended(header.len() + n);
    }

    pub(super) fn window_update(&mut self, stream: u32, increment: u32, out: &mut Buffer) {
        self.frame(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes(), out);
    }

    pub(super) fn rst_stream(&mut self, stream: u32, code: Code, out: &mut Buffer) {
        self.frame(kind::RST_STREAM, 0, stream, &code.0.to_be_bytes(), out);
        self.count_control();
    }

    pub(super) fn settings(&mut self, payload: &[u8], out: &mut Buffer) {
        self.frame(kind::SETTINGS, 0, 0, payload, out);
        self.count_control();
    }

    pub(super) fn settings_ack(&mut self, out: &mut Buffer) {
        self.frame(kind::SETTINGS, flag::ACK, 0, &[], out);
        self.count_control();
    }

    pub(super) fn ping(&mut self, ack: bool, payload: [u8; 8], out: &mut Buffer) {
        self.frame(kind::PING, if ack { flag::ACK } else { 0 }, 0, &payload, out);
        self.count_control();
    }

    pub(super) fn goaway(&mut self, last: u32, code: Code, out: &mut Buffer) {
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&last.to_be_bytes());
        payload[4..].copy_from_slice(&code.0.to_be_bytes());
        self.frame(kind::GOAWAY, 0, 0, &payload, out);
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Buffer) {
        let header = FrameHeader { length: payload.len() as u32, kind, flags, stream }.bytes();
        out.append(&header);
        out.append(payload);
        self.appended(header.len() + payload.len());
    }

    fn count_control(&mut self) {
        self.control += 1;
        if let Some(end) = self.ends.back_mut() {
            *end |= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_count_until_they_are_written() {
        let (mut output, mut out, mut counters) = (Output::new(3, 1), Buffer::new(), Counters::default());
        output.ping(true, [0; 8], &mut out);
        output.data(1, &mut Buffer::from(&b"abc"[..]), 3, false, &mut out);
        output.note(&out);
        assert_eq!(output.check(&mut counters), Ok(()));
        output.rst_stream(1, Code::CANCEL, &mut out);
        assert_eq!(output.check(&mut counters), Err(Error::OutboundControlFlood));
        out.drain(16);
        output.note(&out);
        assert_eq!((output.control, output.ends.len()), (2, 3));
        out.drain(1);
        output.note(&out);
        assert_eq!((output.control, output.ends.len()), (1, 2));
        output.window_update(0, 1, &mut out);
        assert_eq!(output.check(&mut counters), Ok(()));
        output.window_update(0, 1, &mut out);
        assert_eq!(output.check(&mut counters), Err(Error::OutboundFlood));
        assert_eq!((counters.outbound_control_flood, counters.outbound_flood), (1, 1));
        out.clear();
        output.note(&out);
        assert_eq!((output.control, output.ends.len()), (0, 0));
    }
}
