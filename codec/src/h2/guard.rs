//! Frames that are allowed one by one and an attack in masses.

use super::{Counters, Error, Settings};

/// Counts what the peer sends without need.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// HEADERS, CONTINUATION and DATA without payload, in a row.
    empty: u32,
    priority: u64,
    window_updates: u64,
    /// Streams that were opened, by either side.
    pub(super) opened: u64,
    /// DATA frames that were sent.
    pub(super) data_sent: u64,
    /// Streams that have ended, and those of them that were reset early.
    closed: u32,
    premature: u32,
}

impl Guard {
    /// HEADERS, CONTINUATION or DATA came.
    #[inline]
    pub(super) fn payload(
        &mut self,
        empty: bool,
        settings: &Settings,
        counters: &mut Counters,
    ) -> Result<(), Error> {
        if !empty {
            self.empty = 0;
            return Ok(());
        }
        self.empty += 1;
        if self.empty > settings.max_consecutive_inbound_frames_with_empty_payload {
            counters.inbound_empty_frames_flood += 1;
            return Err(Error::EmptyFramesFlood);
        }
        Ok(())
    }

    /// PRIORITY or PRIORITY_UPDATE came.
    pub(super) fn priority(&mut self, settings: &Settings, counters: &mut Counters) -> Result<(), Error> {
        self.priority += 1;
        let allowed = u64::from(settings.max_inbound_priority_frames_per_stream) * (1 + self.opened);
        if self.priority > allowed {
            counters.inbound_priority_frames_flood += 1;
            return Err(Error::PriorityFlood);
        }
        Ok(())
    }

    /// WINDOW_UPDATE came.
    #[inline]
    pub(super) fn window_update(
        &mut self,
        settings: &Settings,
        counters: &mut Counters,
    ) -> Result<(), Error> {
        self.window_updates += 1;
        let per_frame = u64::from(settings.max_inbound_window_update_frames_per_data_frame_sent);
        if self.window_updates > 5 + 2 * (self.opened + per_frame * self.data_sent) {
            counters.inbound_window_update_frames_flood += 1;
            return Err(Error::WindowUpdateFlood);
        }
        Ok(())
    }

    /// A stream has ended.
    #[inline]
    pub(super) fn closed(&mut self) {
        self.closed = self.closed.saturating_add(1);
    }

    /// A stream that lived for `age` milliseconds was reset, by the peer or because of it. To be called before
    /// [`closed`](Self::closed).
    pub(super) fn reset(
        &mut self,
        age: u32,
        settings: &Settings,
        counters: &mut Counters,
    ) -> Result<(), Error> {
        let limit = settings.premature_reset_total_stream_count;
        if limit == 0 || age >= settings.premature_reset_min_stream_lifetime {
            return Ok(());
        }
        self.premature = self.premature.saturating_add(1);
        if u64::from(self.premature) * 2 >= u64::from(limit.max(self.closed)) {
            counters.premature_resets += 1;
            return Err(Error::PrematureResets);
        }
        Ok(())
    }
}
