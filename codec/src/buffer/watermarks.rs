//! When a buffer is too full, and when it is empty enough again.

/// A high and a low mark with hysteresis between them.
#[derive(Copy, Clone, Debug)]
pub struct Watermarks {
    high: u32,
    low: u32,
    above: bool,
}

/// A mark that was passed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// Upwards over the high mark: stop filling.
    High,
    /// Downwards to the low mark: fill again.
    Low,
}

impl Watermarks {
    /// A high mark of `high` bytes, at most 4 GiB, and a low mark of half of it; 0 means never too full.
    pub const fn new(high: usize) -> Self {
        let high = if high > u32::MAX as usize { u32::MAX } else { high as u32 };
        Self { high, low: high / 2, above: false }
    }

    /// Takes note of a length; says whether a mark was passed.
    #[inline]
    pub fn update(&mut self, length: usize) -> Option<Crossing> {
        if !self.above && self.high != 0 && length > self.high as usize {
            self.above = true;
            Some(Crossing::High)
        } else if self.above && length <= self.low as usize {
            self.above = false;
            Some(Crossing::Low)
        } else {
            None
        }
    }

    /// Whether the high mark was passed and the low mark not reached since.
    #[inline]
    pub const fn is_above(&self) -> bool {
        self.above
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_passed_once_each_way() {
        let mut marks = Watermarks::new(100);
        let crossings: Vec<_> =
            [0, 100, 101, 200, 101, 51, 50, 0, 100, 101].into_iter().map(|n| marks.update(n)).collect();
        let (none, high, low) = (None, Some(Crossing::High), Some(Crossing::Low));
        assert_eq!(crossings, [none, none, high, none, none, none, low, none, none, high]);
        assert!(marks.is_above());
    }

    #[test]
    fn no_mark_is_never_passed() {
        assert_eq!(Watermarks::new(0).update(usize::MAX), None);
    }
}
