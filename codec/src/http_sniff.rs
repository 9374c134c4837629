//! Whether a connection speaks HTTP, by its first bytes: the preface of HTTP/2 or one request line of HTTP/1.
//!
//! The line is judged as loosely as it can be without taking other protocols for HTTP: what exactly is wrong with
//! a request is the codec's business. A byte that can stand in no request line ends the wait for the rest.

use crate::Buffer;
use crate::headers::is_token;

/// What HTTP/2 begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Longest request line that is waited for, in bytes.
pub const MAX_LINE: usize = 64 << 10;

/// What the first bytes of a connection are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// They do not tell yet.
    Unclear,
    /// They still do not tell, and there are [`MAX_LINE`] of them.
    TooLong,
    /// HTTP/1.0, or a version before or after it.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2 without TLS.
    Http2,
    /// Something else.
    Other,
}

/// Looks for HTTP in the first bytes of a connection. Keeps what it has looked at, so that bytes that arrive one
/// by one cost no more than all at once.
#[derive(Debug, Default)]
pub struct Sniffer {
    /// Bytes in which there is no line end, and nothing else that tells.
    seen: usize,
    /// The method has ended.
    past_method: bool,
}

impl Sniffer {
    /// Looks at all input so far.
    pub fn sniff(&mut self, input: &mut Buffer) -> Sniffed {
        let start = input.linearize(PREFACE.len());
        if start.is_empty() {
            return Sniffed::Unclear;
        }
        if start == PREFACE {
            return Sniffed::Http2;
        }
        if PREFACE.starts_with(start) {
            return Sniffed::Unclear;
        }
        if let Some(end) = input.find(b'\n', self.seen) {
            return if end < MAX_LINE { request_line(input.linearize(end)) } else { Sniffed::TooLong };
        }
        if self.is_hopeless(input) {
            return Sniffed::Other;
        }
        if input.len() < MAX_LINE { Sniffed::Unclear } else { Sniffed::TooLong }
    }

    /// Whether the beginning of a line can be no method, or what follows no target.
    fn is_hopeless(&mut self, input: &Buffer) -> bool {
        let mut skip = self.seen;
        self.seen = input.len();
        for chunk in input.chunks() {
            let fresh = &chunk[skip.min(chunk.len())..];
            skip = skip.saturating_sub(chunk.len());
            for &byte in fresh {
                match byte {
                    b' ' | b'\t' => self.past_method = true,
                    b'\r' => {}
                    _ => {
                        let fits = if self.past_method { byte.is_ascii() } else { is_token(&[byte]) };
                        if !fits {
                            return true;
                        }
                    }
                }
            }
        }
        false
    }
}

/// Judges a line without its line feed.
fn request_line(line: &[u8]) -> Sniffed {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(space) = line.iter().position(blank) else { return Sniffed::Other };
    let (method, rest) = line.split_at(space);
    let mut words = rest.trim_ascii().split(blank).filter(|word| !word.is_empty());
    let Some(target) = words.next().filter(|target| is_token(method) && is_target(method, target)) else {
        return Sniffed::Other;
    };
    debug_assert!(!target.is_empty());
    let version = words.next();
    match (version, words.next()) {
        (_, Some(_)) => Sniffed::Other,
        // HTTP/0.9 has no version.
        (None, None) => Sniffed::Http10,
        (Some(b"HTTP/1.1"), None) => Sniffed::Http11,
        (Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None)
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Sniffed::Http10
        }
        _ => Sniffed::Other,
    }
}

/// Whether a target has one of the four forms (RFC 9112, 3.2).
fn is_target(method: &[u8], target: &[u8]) -> bool {
    target.is_ascii()
        && (method == b"CONNECT"
            || matches!(target, [b'/', ..] | [b'*', ..])
            || target.windows(3).any(|three| three == b"://"))
}
