//! Bodies in both directions, shared by server and client.
//!
//! [`Reader`] turns input into pieces of body by the framing that the head decided; [`Writer`]
//! frames what goes out and holds it to the length that was announced. Bytes move from buffer to
//! buffer. Neither knows whether it serves a request or a response.

use crate::{
    Buffer, HeaderMap,
    h1::{
        Error,
        chunked::{Chunked, Progress},
        encode::{self, HeadWriter},
        head_parser::{Limits, Section, with_fields},
        settings::HeaderCase,
    },
};

/// What holds for every message of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    /// Hand trailers on.
    pub(crate) trailers: bool,
    pub(crate) case: HeaderCase,
}

/// Reads a body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader {
    /// This many bytes are missing.
    Length(u64),
    Chunked(Chunked),
    /// All there is, until the connection ends.
    Raw,
}

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    Data { data: Buffer, end: bool },
    Trailers(HeaderMap),
}

impl Reader {
    /// Bytes that follow as they are, without framing between them.
    pub(crate) fn plain_left(&self) -> u64 {
        match self {
            Reader::Length(left) => *left,
            Reader::Chunked(_) | Reader::Raw => 0,
        }
    }

    /// The next piece, if `input` has one. A piece of no bytes comes only with `end`.
    pub(crate) fn poll(&mut self, input: &mut Buffer, rules: &Rules) -> Result<Option<Piece>, Error> {
        let mut data = Buffer::new();
        let end = match self {
            Reader::Raw => {
                data.move_all(input);
                false
            }
            Reader::Length(left) => {
                let here = (*left).min(input.len() as u64);
                data.move_from(input, here as usize);
                *left -= here;
                *left == 0
            }
            Reader::Chunked(chunked) => match chunked.decode(input, &mut data, rules.limits) {
                Ok(Progress::Partial) => false,
                Ok(Progress::End) => true,
                // What came before the trailers, or before an error, goes first; both stay where
                // they are in the input.
                Ok(Progress::Trailers(_)) | Err(_) if !data.is_empty() => false,
                Ok(Progress::Trailers(section)) => {
                    let trailers = read_trailers(input, section, rules.case)?;
                    if rules.trailers && !trailers.is_empty() {
                        return Ok(Some(Piece::Trailers(trailers)));
                    }
                    true
                }
                Err(error) => return Err(error),
            },
        };
        Ok(if data.is_empty() && !end { None } else { Some(Piece::Data { data, end }) })
    }
}

/// Takes a section of trailers off the input. Fields that decide framing, routing or the
/// connection are dropped (RFC 9110 section 6.5.1): no later hop may merge them into the head.
fn read_trailers(input: &mut Buffer, section: Section, case: HeaderCase) -> Result<HeaderMap, Error> {
    let block = input.linearize(section.len);
    let mut trailers = with_fields(block, section.fields, |fields| {
        let mut trailers = encode::empty(case);
        encode::append(&mut trailers, block, fields.iter(), case);
        Ok(trailers)
    })?;
    input.drain(section.len);
    trailers.retain(|header| !encode::is_barred_from_trailers(header.id));
    Ok(trailers)
}

/// Writes a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The message has no body on the wire (HEAD, 204, 304): data is dropped.
    Nothing,
    /// This many of the announced bytes are missing.
    Length(u64),
    Chunked,
    /// Until the connection ends.
    Raw,
}

impl Writer {
    /// Takes all of `data` and writes it. `false`: it does not fit the announced length. What is
    /// over is dropped; either way the connection has to end, since the peer would take whatever
    /// follows for a part of this body or for garbage.
    pub(crate) fn data(&mut self, data: &mut Buffer, end: bool, out: &mut Buffer) -> bool {
        match self {
            Writer::Nothing => {
                data.clear();
                true
            }
            Writer::Raw => {
                out.move_all(data);
                true
            }
            Writer::Length(left) => {
                let before = out.len();
                out.move_from(data, (*left).min(data.len() as u64) as usize);
                *left -= (out.len() - before) as u64;
                let fits = data.is_empty() && !(end && *left > 0);
                data.clear();
                fits
            }
            Writer::Chunked => {
                if !data.is_empty() {
                    chunk_size(data.len(), out);
                    out.move_all(data);
                    out.append(if end { b"\r\n0\r\n\r\n" } else { b"\r\n" });
                } else if end {
                    out.append(b"0\r\n\r\n");
                }
                true
            }
        }
    }

    /// Ends the body, with `trailers` where they can be expressed and are wanted.
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap, rules: &Rules, out: &mut Buffer) -> bool {
        match self {
            Writer::Chunked if rules.trailers => {
                let mut writer = HeadWriter::new(out);
                writer.push(b"0\r\n");
                writer.trailers(trailers, encode::case_of(trailers, rules.case));
                writer.end();
                true
            }
            _ => self.data(&mut Buffer::new(), true, out),
        }
    }
}

fn chunk_size(mut size: usize, out: &mut Buffer) {
    let mut line = *b"0000000000000000\r\n";
    let mut at = line.len() - 2;
    while size > 0 {
        at -= 1;
        line[at] = b"0123456789abcdef"[size & 0xf];
        size >>= 4;
    }
    out.append(&line[at..]);
}
