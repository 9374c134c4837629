//! Decoder of the chunked transfer coding: RFC 9112 section 7.1.
//!
//! Strict where leniency has been used for smuggling: plain hexadecimal sizes, CRLF after every
//! line and every chunk, no control characters in extensions. Extensions are dropped and bounded
//! in length. Chunk data moves from buffer to buffer; consecutive chunks in the input come out as
//! one piece. Trailer fields are left in the input for the caller, who knows what to do with them.

use crate::{
    Buffer,
    h1::{
        Error,
        head_parser::{Kind, Limits, Scanner, Section},
    },
};

/// Longest chunk-size line, extensions included. Signing schemes put some 100 bytes there.
const MAX_LINE: u16 = 4096;

/// State between two pieces of input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunked(State);

#[derive(Clone, Copy, Debug)]
enum State {
    /// `chunk-size [ chunk-ext ] CRLF`, `line` bytes of which have been read.
    Size {
        size: u64,
        line: u16,
        part: Part,
    },
    /// Chunk data: this much is missing.
    Data(u64),
    /// CR, then LF, after the data.
    DataCr,
    DataLf,
    /// The last chunk is through.
    Trailers(Scanner),
}

/// `chunk-size *( SP / HTAB ) [ ";" anything ] CRLF`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The first digit has to follow.
    Start,
    Digits,
    /// White space after the size: RFC 9112 allows it before an extension only, but servers of old
    /// pad sizes with it.
    Space,
    Extension,
    LineFeed,
}

/// How far the decoder came with the input it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More input is needed.
    Partial,
    /// The body is over and the input stands behind it.
    End,
    /// The body is over but for this section of trailers, which is still in the input.
    Trailers(Section),
}

impl Chunked {
    pub(crate) fn new() -> Chunked {
        Chunked(State::Size { size: 0, line: 0, part: Part::Start })
    }

    /// Moves what can be decoded from `input` to `data`. After an error `input` still starts with
    /// what is wrong: a second call returns it again, so data decoded before can be handed on
    /// first.
    pub(crate) fn decode(
        &mut self,
        input: &mut Buffer,
        data: &mut Buffer,
        limits: Limits,
    ) -> Result<Progress, Error> {
        loop {
            match &mut self.0 {
                State::Size { size, line, part } => {
                    let front = input.front();
                    if front.is_empty() {
                        return Ok(Progress::Partial);
                    }
                    let (used, outcome) = read_size(front, size, line, part);
                    let size = *size;
                    input.drain(used);
                    match outcome? {
                        Line::Partial => {}
                        Line::Complete if size == 0 => self.0 = State::Trailers(Scanner::default()),
                        Line::Complete => self.0 = State::Data(size),
                    }
                }
                State::Data(left) => {
                    let here = (*left).min(input.len() as u64);
                    data.move_from(input, here as usize);
                    *left -= here;
                    if *left > 0 {
                        return Ok(Progress::Partial);
                    }
                    self.0 = State::DataCr;
                }
                State::DataCr => match input.front() {
                    [] => return Ok(Progress::Partial),
                    [b'\r', b'\n', ..] => {
                        input.drain(2);
                        *self = Chunked::new();
                    }
                    [b'\r', ..] => {
                        input.drain(1);
                        self.0 = State::DataLf;
                    }
                    _ => return Err(Error::InvalidChunk),
                },
                State::DataLf => match input.front() {
                    [] => return Ok(Progress::Partial),
                    [b'\n', ..] => {
                        input.drain(1);
                        *self = Chunked::new();
                    }
                    _ => return Err(Error::InvalidChunk),
                },
                State::Trailers(scanner) => {
                    return match scanner.scan(Kind::Trailers, input, limits)? {
                        None => Ok(Progress::Partial),
                        Some(Section { fields: 0, len }) => {
                            input.drain(len);
                            Ok(Progress::End)
                        }
                        Some(section) => Ok(Progress::Trailers(section)),
                    };
                }
            }
        }
    }
}

enum Line {
    Partial,
    Complete,
}

/// Reads a chunk-size line, or the part of it that is there; returns the number of bytes used, up
/// to a byte that is wrong.
fn read_size(bytes: &[u8], size: &mut u64, line: &mut u16, part: &mut Part) -> (usize, Result<Line, Error>) {
    for (at, &byte) in bytes.iter().enumerate() {
        let next = match (*part, byte) {
            (Part::Start | Part::Digits, _) if byte.is_ascii_hexdigit() => {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    _ => (byte | 0x20) - b'a' + 10,
                };
                // The sum of all chunks must stay countable everywhere, so the bound is 2^63 - 1.
                if *size > (i64::MAX as u64) >> 4 {
                    return (at, Err(Error::InvalidChunk));
                }
                *size = *size << 4 | u64::from(digit);
                Part::Digits
            }
            (Part::Digits | Part::Space, b' ' | b'\t') => Part::Space,
            (Part::Digits | Part::Space, b';') => Part::Extension,
            (Part::Digits | Part::Space | Part::Extension, b'\r') => Part::LineFeed,
            (Part::Extension, b'\t' | b' '..=b'~' | 0x80..) => Part::Extension,
            (Part::LineFeed, b'\n') => return (at + 1, Ok(Line::Complete)),
            _ => return (at, Err(Error::InvalidChunk)),
        };
        if *line == MAX_LINE {
            return (at, Err(Error::InvalidChunk));
        }
        *line += 1;
        *part = next;
    }
    (bytes.len(), Ok(Line::Partial))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes: 100, fields: 3 };

    /// Decodes `wire`, given in pieces of `step` bytes; the data, and the end or error.
    fn decode(wire: &[u8], step: usize) -> (Vec<u8>, Result<Progress, Error>, usize) {
        let (mut decoder, mut input, mut data) = (Chunked::new(), Buffer::new(), Buffer::new());
        let mut progress = Ok(Progress::Partial);
        let mut pieces = wire.chunks(step);
        while progress == Ok(Progress::Partial) {
            let Some(piece) = pieces.next() else { break };
            input.append(piece);
            progress = decoder.decode(&mut input, &mut data, LIMITS);
        }
        let left = input.len() + pieces.map(<[u8]>::len).sum::<usize>();
        (data.to_vec(), progress, left)
    }

    #[test]
    fn table() {
        let long = |n: usize| format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(n));
        let (fits, over) = (long(MAX_LINE as usize - 3), long(MAX_LINE as usize - 2));
        let end = Ok(Progress::End);
        let bad = Err(Error::InvalidChunk);
        let cases: &[(&str, &str, Result<Progress, Error>)] = &[
            ("0\r\n\r\n", "", end),
            ("5\r\nhello\r\n0\r\n\r\n", "hello", end),
            ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET", "hello world", end),
            ("A\r\n0123456789\r\na\r\n0123456789\r\n00\r\n\r\n", "01234567890123456789", end),
            ("00000000000000000000000000000005\r\nhello\r\n0\r\n\r\n", "hello", end),
            ("5 \r\nhello\r\n0\t \r\n\r\n", "hello", end),
            ("5;a=b;c=\"d;e\"\r\nhello\r\n0;x\r\n\r\n", "hello", end),
            ("5 \t;a\r\nhello\r\n0\r\n\r\n", "hello", end),
            (&fits, "hello", end),
            (&over, "", bad),
            ("5\r\nhel", "hel", Ok(Progress::Partial)),
            ("5\r\nhello\r\n0\r\n", "hello", Ok(Progress::Partial)),
            ("7fffffffffffffff\r\nx", "x", Ok(Progress::Partial)),
            ("8000000000000000\r\nx", "", bad),
            ("ffffffffffffffff\r\nx", "", bad),
            ("10000000000000000\r\nx", "", bad),
            ("\r\n", "", bad),
            (" 5\r\nhello\r\n0\r\n\r\n", "", bad),
            ("+5\r\nhello", "", bad),
            ("-5\r\nhello", "", bad),
            ("0x5\r\nhello", "", bad),
            ("g\r\n", "", bad),
            (";a\r\n", "", bad),
            ("5_0\r\n", "", bad),
            ("5 5\r\nhello", "", bad),
            ("5\nhello", "", bad),
            ("5\rhello", "", bad),
            ("5;a\nb\r\nhello", "", bad),
            ("5;a\rb\r\nhello", "", bad),
            ("5;\u{1}\r\nhello", "", bad),
            ("5;\u{7f}\r\nhello", "", bad),
            ("5\r\nhello\n0\r\n\r\n", "hello", bad),
            ("5\r\nhelloX\r\n0\r\n\r\n", "hello", bad),
            ("5\r\nhello0\r\n\r\n", "hello", bad),
            ("5\r\nhello\rX", "hello", bad),
            ("0\r\na: b\r\nc: d\r\n\r\n", "", Ok(Progress::Trailers(Section { len: 14, fields: 2 }))),
            ("0\r\n\n", "", Err(Error::Malformed)),
            ("0\r\na: b\n\r\n", "", Err(Error::Malformed)),
            ("0\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n", "", Err(Error::TooManyHeaders)),
        ];
        for &(wire, data, expected) in cases {
            for step in [1, 2, 3, 7, usize::MAX] {
                let (decoded, progress, left) = decode(wire.as_bytes(), step.min(wire.len()));
                assert_eq!(decoded, data.as_bytes(), "{wire:?} by {step}");
                assert_eq!(progress, expected, "{wire:?} by {step}");
                if progress == end {
                    assert_eq!(left, wire.strip_suffix("GET").map_or(0, |_| 3), "{wire:?} by {step}");
                }
            }
        }
        let trailers = format!("0\r\na: {}\r\n\r\n", "b".repeat(100));
        assert_eq!(decode(trailers.as_bytes(), 9).1, Err(Error::HeadersTooLarge));
    }

    #[test]
    fn many_tiny_chunks_come_out_as_one_piece() {
        let wire = "1\r\na\r\n".repeat(1000) + "0\r\n\r\n";
        let (data, progress, _) = decode(wire.as_bytes(), wire.len());
        assert_eq!((data, progress), (vec![b'a'; 1000], Ok(Progress::End)));
    }
}
