//! The value of the `date` header, formatted once a second.

use httpdate::HttpDate;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// An IMF-fixdate (RFC 9110 section 5.6.7) and the second that it stands for.
#[derive(Debug, Default)]
pub(super) struct Date {
    second: u64,
    text: Vec<u8>,
}

impl Date {
    /// The date of `now`.
    pub(super) fn at(&mut self, now: SystemTime) -> &[u8] {
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text.clear();
            // Writing into memory does not fail.
            let _ = write!(self.text, "{}", HttpDate::from(now));
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rfc_example() {
        let mut date = Date::default();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(date.at(at(784_111_777)), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(at(784_111_778)), b"Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(date.at(at(0)), b"Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
