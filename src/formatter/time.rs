//! Points in time as operators write them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::Write;
use std::time::SystemTime;

/// How a time is written: pieces of strftime and of the fractions that it does not know.
#[derive(Clone, Debug)]
pub(super) struct TimeFormat {
    pieces: Vec<Piece>,
    local: bool,
}

#[derive(Clone, Debug)]
enum Piece {
    /// For strftime.
    Date(Box<str>),
    /// Digits of the fraction of a second: `%3f`, `%6f`, `%9f`.
    Fraction(usize),
    /// Seconds since 1970 with so many digits of a fraction: `%s`, `%3s`.
    Epoch(usize),
}

impl TimeFormat {
    /// `%Y-%m-%dT%H:%M:%S.%3fZ`.
    pub(super) fn iso(local: bool) -> Self {
        Self::parse("%Y-%m-%dT%H:%M:%S.%3fZ", local).expect("valid")
    }

    /// Parses a format; `local` is the time zone of the system instead of UTC.
    pub(super) fn parse(text: &str, local: bool) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut date = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            date.push_str(&rest[..at]);
            let tail = &rest[at + 1..];
            let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
            let count = tail[..digits].parse::<usize>().ok();
            let special = match (tail[digits..].chars().next(), count) {
                (Some('f'), count) => Some(Piece::Fraction(count.unwrap_or(9))),
                (Some('s'), count) => Some(Piece::Epoch(count.unwrap_or(0))),
                _ => None,
            };
            match special {
                Some(Piece::Fraction(0 | 10..) | Piece::Epoch(10..)) => {
                    return Err(format!("`{text}`: a fraction of a second has 1 to 9 digits"));
                }
                Some(piece) => {
                    if !date.is_empty() {
                        pieces.push(Piece::Date(std::mem::take(&mut date).into()));
                    }
                    pieces.push(piece);
                    rest = &tail[digits + 1..];
                }
                None => {
                    let length = 1 + tail.chars().next().map_or(0, char::len_utf8);
                    date.push_str(&rest[at..at + length]);
                    rest = &rest[at + length..];
                }
            }
        }
        date.push_str(rest);
        if !date.is_empty() {
            pieces.push(Piece::Date(date.into()));
        }
        for piece in &pieces {
            if let Piece::Date(date) = piece
                && jiff::fmt::strtime::format(&**date, &Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC))
                    .is_err()
            {
                return Err(format!("`{text}` is no format of a time: see strftime"));
            }
        }
        Ok(Self { pieces, local })
    }

    /// Appends a time; says whether there is one.
    pub(super) fn write(&self, time: SystemTime, out: &mut Vec<u8>) -> bool {
        let Ok(time) = Timestamp::try_from(time) else { return false };
        let zone = if self.local { TimeZone::system() } else { TimeZone::UTC };
        let zoned = time.to_zoned(zone);
        let mut nanos = [b'0'; 9];
        let mut rest = time.subsec_nanosecond().unsigned_abs();
        for digit in nanos.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        for piece in &self.pieces {
            match piece {
                Piece::Date(date) => {
                    // The format was tried when it was parsed, and writing into memory does not fail.
                    let _ = write!(out, "{}", zoned.strftime(&**date));
                }
                Piece::Fraction(digits) => out.extend_from_slice(&nanos[..*digits]),
                Piece::Epoch(digits) => {
                    let _ = write!(out, "{}", time.as_second());
                    out.extend_from_slice(&nanos[..*digits]);
                }
            }
        }
        true
    }
}
