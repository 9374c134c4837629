//! What memory the process has, and when that which was freed is given back to the system.
//!
//! The allocator keeps the blocks that a worker frees: after a rush of slow readers they would count as resident for
//! ever. So the main thread looks now and then, and has them given back once the rush is over.

/// Freed memory that is worth the while: to look for it takes the allocator's locks for some milliseconds.
const WORTH: u64 = 16 << 20;
/// Most looks to pass over after such that found little: about five minutes.
const MOST_PASSED: u32 = 64;

/// Memory of this process in bytes; 0 where the system does not tell.
#[derive(Copy, Clone, Debug)]
pub(super) struct Memory {
    pub resident: u64,
    /// Without what is a part of files: heap and stacks.
    pub anonymous: u64,
}

impl Memory {
    pub(super) fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1024
        };
        Self { resident: field("VmRSS:"), anonymous: field("RssAnon:") }
    }
}

/// Decides when memory is given back.
#[derive(Debug)]
pub(super) struct Reclaim {
    /// Anonymous memory after the start, which is in use for good.
    base: u64,
    /// What it was at the last look.
    last: u64,
    /// Looks to pass over, and how many that will be after the next one that finds little.
    passed: u32,
    next: u32,
}

impl Reclaim {
    /// After the start, with this much anonymous memory.
    pub(super) fn new(base: u64) -> Self {
        Self { base, last: base, passed: 0, next: 1 }
    }

    /// Looks at how much anonymous memory there is, and calls `give_back`, which says how much is left, if there is a good
    /// deal more than at the start and it does not grow just now. What is in use stays, and is looked at ever more
    /// rarely.
    pub(super) fn look(&mut self, anonymous: u64, give_back: impl FnOnce() -> u64) -> Option<u64> {
        let grows = anonymous > self.last;
        self.last = anonymous;
        if anonymous < self.base + WORTH {
            (self.passed, self.next) = (0, 1);
            return None;
        }
        if grows {
            return None;
        }
        if self.passed > 0 {
            self.passed -= 1;
            return None;
        }
        let left = give_back();
        self.last = left;
        if anonymous.saturating_sub(left) >= WORTH / 2 {
            self.next = 1;
        } else {
            self.passed = self.next;
            self.next = (self.next * 2).min(MOST_PASSED);
        }
        Some(anonymous.saturating_sub(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Looks at this much memory, of which so much is in use; whether any was given back.
    fn look(reclaim: &mut Reclaim, anonymous: u64, used: u64) -> bool {
        reclaim.look(anonymous * MIB, || used * MIB).is_some()
    }

    #[test]
    fn given_back_when_it_no_longer_grows() {
        let mut reclaim = Reclaim::new(4 * MIB);
        for (anonymous, used, given) in [
            (4, 4, false),
            (19, 5, false),
            (20, 5, false),
            (80, 60, false),
            (80, 5, true),
            (5, 5, false),
            (100, 5, false),
            (99, 5, true),
            (5, 5, false),
        ] {
            assert_eq!(look(&mut reclaim, anonymous, used), given, "{anonymous}");
        }
    }

    #[test]
    fn what_is_in_use_is_looked_at_ever_more_rarely() {
        let mut reclaim = Reclaim::new(4 * MIB);
        assert!(!look(&mut reclaim, 60, 60));
        let looks: Vec<_> = (0..400).filter(|_| look(&mut reclaim, 60, 60)).collect();
        assert_eq!(looks, [0, 2, 5, 10, 19, 36, 69, 134, 199, 264, 329, 394]);
        // It is given back soon after it was freed, and from then on quickly again.
        let looks = (0..65).take_while(|_| !look(&mut reclaim, 60, 5)).count();
        assert!(looks < 65);
        assert!(!look(&mut reclaim, 5, 5));
        assert!(!look(&mut reclaim, 70, 5));
        assert!(look(&mut reclaim, 70, 5));
    }
}
