//! Windows: how much may be sent, and how much may come (RFC 9113 section 5.2).

use super::frame::MAX_WINDOW;

/// The window became larger than 2^31-1.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// What the peer lets us send. A change of its settings may make it negative.
#[derive(Copy, Clone, Debug)]
pub(super) struct SendWindow(i32);

impl SendWindow {
    /// `size` is at most 2^31-1.
    pub(super) const fn new(size: u32) -> Self {
        Self(size as i32)
    }

    /// Bytes that may be sent now.
    #[inline]
    pub(super) fn available(self) -> usize {
        self.0.max(0) as usize
    }

    /// `n` bytes, which were available, are sent.
    #[inline]
    pub(super) fn take(&mut self, n: usize) {
        debug_assert!(n <= self.available());
        self.0 -= n as i32;
    }

    /// WINDOW_UPDATE, or a change of the initial size.
    pub(super) fn shift(&mut self, by: i64) -> Result<(), Overflow> {
        let value = i64::from(self.0) + by;
        // It cannot become too negative: a change takes away no more than was given.
        if value > i64::from(MAX_WINDOW) {
            return Err(Overflow);
        }
        self.0 = value as i32;
        Ok(())
    }
}

/// What we let the peer send. `open`, `held` and `credit` always make up `size`.
#[derive(Copy, Clone, Debug)]
pub(super) struct ReceiveWindow {
    size: u32,
    /// Bytes that may still come.
    open: u32,
    /// Bytes that have come and are not consumed.
    held: u32,
    /// Bytes that are consumed, of which the peer has not been told.
    credit: u32,
}

/// More came than may.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Exceeded;

impl ReceiveWindow {
    pub(super) const fn new(size: u32) -> Self {
        Self { size, open: size, held: 0, credit: 0 }
    }

    /// Whether `n` bytes may come.
    #[inline]
    pub(super) fn allows(&self, n: u32) -> bool {
        n <= self.open
    }

    /// `n` bytes come.
    #[inline]
    pub(super) fn receive(&mut self, n: u32) -> Result<(), Exceeded> {
        self.open = self.open.checked_sub(n).ok_or(Exceeded)?;
        self.held += n;
        Ok(())
    }

    /// At most `n` bytes are consumed; says how many there were to be.
    #[inline]
    pub(super) fn consume(&mut self, n: usize) -> u32 {
        let n = n.min(self.held as usize) as u32;
        self.held -= n;
        self.credit += n;
        n
    }

    /// The increment that the peer is to be told of, once it is worth a frame: half of the window.
    #[inline]
    pub(super) fn update(&mut self) -> Option<u32> {
        self.update_from(self.size / 2)
    }

    /// The same for a window that many share: what some of them hold may be held for long, so it is half of the rest
    /// that counts.
    #[inline]
    pub(super) fn update_shared(&mut self) -> Option<u32> {
        self.update_from(((self.size - self.held) / 2).max(self.size / 16))
    }

    #[inline]
    fn update_from(&mut self, least: u32) -> Option<u32> {
        if self.credit == 0 || self.credit < least {
            return None;
        }
        self.open += self.credit;
        Some(std::mem::take(&mut self.credit))
    }

    /// Bytes that have come and are not consumed.
    #[inline]
    pub(super) fn held(&self) -> u32 {
        self.held
    }

    /// Nothing was lost.
    pub(super) fn is_conserved(&self) -> bool {
        self.open + self.held + self.credit == self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_window_may_be_negative_but_not_too_large() {
        let mut window = SendWindow::new(65_535);
        window.take(60_000);
        window.shift(-65_535).expect("smaller");
        assert_eq!((window.available(), window.0), (0, -60_000));
        window.shift(60_001).expect("larger");
        assert_eq!(window.available(), 1);
        window.shift(i64::from(MAX_WINDOW) - 1).expect("the largest");
        assert_eq!(window.shift(1), Err(Overflow));
        assert_eq!(window.available(), MAX_WINDOW as usize);
    }

    #[test]
    fn a_receive_window_is_given_back_by_halves() {
        let mut window = ReceiveWindow::new(100);
        assert_eq!(window.receive(101), Err(Exceeded));
        window.receive(60).expect("it fits");
        assert_eq!(window.receive(41), Err(Exceeded));
        assert_eq!((window.consume(49), window.update()), (49, None));
        assert_eq!((window.consume(1), window.update()), (1, Some(50)));
        assert_eq!(window.consume(1000), 10);
        assert!(window.is_conserved() && window.allows(90) && !window.allows(91));
        assert_eq!(window.update(), None);
    }
}
