//! Puts a client hello together from records (RFC 8446, 5.1).

use super::ClientHello;
use crate::Buffer;

/// Longest hello that is looked at, in bytes.
pub const MAX_HELLO: usize = 16 << 10;

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
/// Content type of a record, and type of the message in it.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Most bytes of a record's content.
const MAX_RECORD: usize = 16 << 10;

/// What the first bytes of a connection are.
#[derive(Debug)]
pub enum Inspection<'a> {
    /// The beginning of a hello.
    Incomplete,
    /// No TLS, or a hello without the form of one.
    NotTls,
    /// The limit was reached before the hello was complete.
    TooLarge,
    /// A hello.
    Hello(ClientHello<'a>),
}

/// Looks for a client hello at the beginning of a connection. Each byte is looked at once, however they arrive.
#[derive(Debug)]
pub struct Inspector {
    /// Bytes within which the hello must end, records' headers included.
    limit: usize,
    /// Bytes of the input that are done with.
    at: usize,
    /// What is left of the present record.
    record: usize,
    /// The message, as far as it has come.
    message: Vec<u8>,
}

impl Inspector {
    /// For a hello that ends within the first `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.min(MAX_HELLO), at: 0, record: 0, message: Vec::new() }
    }

    /// Looks at all input so far, from the beginning of the connection; consumes nothing.
    pub fn inspect(&mut self, input: &Buffer) -> Inspection<'_> {
        let visible = input.len().min(self.limit);
        loop {
            if self.record == 0 {
                let mut header = [0; RECORD_HEADER];
                let got = RECORD_HEADER.min(visible - self.at);
                input.copy_to(self.at, &mut header[..got]);
                if !may_be_record(&header[..got]) {
                    return Inspection::NotTls;
                }
                if got < RECORD_HEADER {
                    return self.wait(visible);
                }
                self.at += RECORD_HEADER;
                self.record = u16::from_be_bytes([header[3], header[4]]).into();
            }
            let old = self.message.len();
            let more = self.record.min(visible - self.at);
            self.message.resize(old + more, 0);
            input.copy_to(self.at, &mut self.message[old..]);
            self.at += more;
            self.record -= more;
            let Ok(end) = end_of(&self.message) else { return Inspection::NotTls };
            if end.is_some_and(|end| self.message.len() >= end) {
                break;
            }
            if self.record > 0 {
                return self.wait(visible);
            }
            if end.is_some_and(|end| end > MESSAGE_HEADER + MAX_HELLO) {
                // No hello could be so long. As in Envoy, the record with its beginning is waited for nevertheless.
                return Inspection::NotTls;
            }
        }
        let end = end_of(&self.message).ok().flatten().expect("the message is complete");
        ClientHello::parse(&self.message[MESSAGE_HEADER..end]).map_or(Inspection::NotTls, Inspection::Hello)
    }

    /// How many bytes it has looked at.
    pub fn seen(&self) -> usize {
        self.at
    }

    fn wait(&self, visible: usize) -> Inspection<'static> {
        if visible < self.limit { Inspection::Incomplete } else { Inspection::TooLarge }
    }
}

/// A message that is no client hello.
struct Foreign;

/// Where a message ends, as soon as its header tells.
fn end_of(message: &[u8]) -> Result<Option<usize>, Foreign> {
    match *message {
        [CLIENT_HELLO, top, high, low, ..] => {
            Ok(Some(MESSAGE_HEADER + u32::from_be_bytes([0, top, high, low]) as usize))
        }
        [] | [CLIENT_HELLO, ..] => Ok(None),
        _ => Err(Foreign),
    }
}

/// Whether this is the beginning of the header of a record with a part of a handshake.
fn may_be_record(header: &[u8]) -> bool {
    match header {
        [] => true,
        [kind] => *kind == HANDSHAKE,
        [kind, major, length @ ..] => {
            // The minor version has no meaning any more (RFC 8446, 5.1).
            let length = match length {
                [_, high, low] => usize::from(u16::from_be_bytes([*high, *low])),
                _ => 1,
            };
            *kind == HANDSHAKE && *major == 3 && (1..=MAX_RECORD).contains(&length)
        }
    }
}
