//! What comes for a request that was answered in full, and reset with NO_ERROR, before it was complete.
//!
//! It is thrown away, but what is wrong with it is told as on an open stream: whether a client hears of its errors does not
//! depend on how soon it is answered. Each such request is told of one error at most.

use super::message::Fields;
use super::receive::BlockHead;
use super::{Cause, Code, Connection, Error, Malformed, Side};
use crate::Buffer;

impl<S: Side> Connection<S> {
    pub(super) fn late_data(&mut self, id: u32, content: u32, end: bool, out: &mut Buffer) {
        let Some(answered) = self.memory.answered(id) else { return };
        answered.received += u64::from(content);
        let received = answered.received;
        if answered.announced.is_some_and(|length| received > length || (end && received != length)) {
            self.late_error(id, Cause::Malformed(Malformed::Messaging), out);
        } else if end {
            self.memory.forget_answered(id);
        }
    }

    pub(super) fn late_window_update(&mut self, id: u32, increment: u32, out: &mut Buffer) {
        let Some(answered) = self.memory.answered(id) else { return };
        if increment == 0 {
            self.late_error(id, Cause::ZeroIncrement, out);
        } else if answered.send_window.shift(increment.into()).is_err() {
            self.late_error(id, Cause::WindowOverflow, out);
        }
    }

    pub(super) fn late_trailers(
        &mut self,
        head: BlockHead,
        fields: &Fields,
        out: &mut Buffer,
    ) -> Result<(), Error> {
        let Some(answered) = self.memory.answered(head.id) else { return Ok(()) };
        let short = answered.announced.is_some_and(|length| length != answered.received);
        let malformed = match fields.fault {
            Some(Cause::Malformed(malformed)) => Some(malformed),
            _ if !head.end => Some(Malformed::Messaging),
            _ => None,
        };
        match malformed {
            Some(malformed) if !self.settings.stream_error_on_invalid_http_messaging => {
                return Err(Error::Malformed(malformed));
            }
            Some(malformed) => self.late_error(head.id, Cause::Malformed(malformed), out),
            None if short => self.late_error(head.id, Cause::Malformed(Malformed::Messaging), out),
            None => self.memory.forget_answered(head.id),
        }
        Ok(())
    }

    fn late_error(&mut self, id: u32, cause: Cause, out: &mut Buffer) {
        if let Cause::Malformed(_) = cause {
            self.counters.rx_messaging_error += 1;
        }
        self.memory.forget_answered(id);
        let code: Code = cause.code();
        self.send_reset(id, code, out);
    }
}
