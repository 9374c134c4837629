//! From header blocks to heads, and the rules for them (RFC 9113 section 8).
//!
//! A block is always decoded to its end, whatever is wrong with it: the next one depends on the table.

use super::hpack::{Decoder, Field, Invalid};
use super::{Cause, Malformed};
use crate::h1::{is_barred_from_trailers, is_connect_target, is_host, parse_length};
use crate::headers::chars::is_visible;
use crate::{HeaderId, HeaderMap, Method, is_token};
use std::cell::Cell;

/// What a block is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The head of a request; with `:protocol` if extended CONNECT is allowed.
    Request { extended: bool },
    /// The head of a response.
    Response,
    /// Trailers of either.
    Trailers,
    /// Nobody's: only the table matters.
    Nothing,
}

/// What a header list may be.
#[derive(Copy, Clone, Debug)]
pub(super) struct Limits {
    pub(super) bytes: u32,
    pub(super) fields: u32,
}

/// A block that was read.
#[derive(Debug)]
pub struct Fields {
    pub(super) headers: HeaderMap,
    /// Of a response.
    pub(super) status: u16,
    /// Of a request.
    pub(super) method: Method,
    /// The one `content-length`.
    pub(super) length: Option<u64>,
    /// What is wrong.
    pub(super) fault: Option<Cause>,
}

thread_local! {
    /// Where strings are decoded: one for the thread, since no block is read within another.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
/// The most scratch that is kept.
const SCRATCH_KEPT: usize = 64 << 10;

/// Reads a block.
pub(super) fn read(
    decoder: &mut Decoder,
    block: &[u8],
    kind: Kind,
    limits: Limits,
) -> Result<Fields, Invalid> {
    let mut scratch = SCRATCH.take();
    let fields = read_with(decoder, block, kind, limits, &mut scratch);
    if scratch.len() <= SCRATCH_KEPT {
        SCRATCH.set(scratch);
    }
    fields
}

fn read_with(
    decoder: &mut Decoder,
    mut block: &[u8],
    kind: Kind,
    limits: Limits,
    scratch: &mut Vec<u8>,
) -> Result<Fields, Invalid> {
    let mut reader = Reader::new(kind, limits);
    decoder.start();
    while let Some(field) = decoder.next(&mut block, scratch)? {
        if reader.fields.fault.is_none() {
            reader.field(field);
        }
    }
    Ok(reader.finish())
}

/// Progress through a block.
struct Reader {
    kind: Kind,
    limits: Limits,
    fields: Fields,
    bytes: usize,
    count: u32,
    cookies: u32,
    /// A field that is no pseudo-header's has come.
    regular: bool,
    /// `host`, as long as there is no `:authority`.
    host: Option<HeaderMap>,
    hosts: u32,
}

impl Reader {
    fn new(kind: Kind, limits: Limits) -> Self {
        let fields = Fields {
            headers: HeaderMap::new(),
            status: 0,
            method: Method::Other,
            length: None,
            fault: if kind == Kind::Nothing { Some(Cause::StreamClosed) } else { None },
        };
        Self { kind, limits, fields, bytes: 0, count: 0, cookies: 0, regular: false, host: None, hosts: 0 }
    }

    #[inline]
    fn field(&mut self, field: Field<'_>) {
        // Crumbs count as the one field that they become.
        if field.id != HeaderId::COOKIE || self.cookies == 0 {
            self.count += 1;
        }
        self.bytes += field.name.len() + field.value.len();
        if self.bytes > self.limits.bytes as usize {
            return self.fields.fault = Some(Cause::HeadersTooLarge);
        }
        if self.count > self.limits.fields {
            return self.fields.fault = Some(Cause::TooManyHeaders);
        }
        if !field.valid {
            return self.refuse(Malformed::Field);
        }
        if field.name.first() == Some(&b':') {
            return self.pseudo(field);
        }
        self.regular = true;
        match field.id {
            HeaderId::CONNECTION
            | HeaderId::KEEP_ALIVE
            | HeaderId::PROXY_CONNECTION
            | HeaderId::TRANSFER_ENCODING
            | HeaderId::UPGRADE => return self.refuse(Malformed::Field),
            HeaderId::TE if !field.value.eq_ignore_ascii_case(b"trailers") => {
                return self.refuse(Malformed::Field);
            }
            id if self.kind == Kind::Trailers && is_barred_from_trailers(id) => return,
            _ if self.kind == Kind::Trailers => {}
            HeaderId::HOST => return self.host(field),
            HeaderId::CONTENT_LENGTH => return self.length(field),
            HeaderId::COOKIE => self.cookies += 1,
            _ => {}
        }
        self.add(field);
    }

    #[inline]
    fn add(&mut self, field: Field<'_>) {
        self.fields.headers.append_field(field.id, field.name, field.value, field.sensitive);
    }

    fn refuse(&mut self, malformed: Malformed) {
        self.fields.fault = Some(Cause::Malformed(malformed));
    }

    /// Pseudo-headers come first, once each, and only those that belong there.
    fn pseudo(&mut self, field: Field<'_>) {
        let value = field.value;
        let right = match (self.kind, field.id) {
            _ if self.regular || self.fields.headers.contains(field.id) => false,
            (Kind::Response, HeaderId::STATUS) => {
                if self.fields.status == 0
                    && let [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = *value
                {
                    self.fields.status =
                        [a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
                    return;
                }
                false
            }
            (Kind::Request { .. }, HeaderId::METHOD) => {
                self.fields.method = Method::of(value);
                is_token(value)
            }
            (Kind::Request { .. }, HeaderId::SCHEME) => is_scheme(value),
            (Kind::Request { .. }, HeaderId::PATH) => !value.is_empty() && is_visible(value),
            (Kind::Request { .. }, HeaderId::AUTHORITY) => !value.is_empty() && is_host(value),
            (Kind::Request { extended }, HeaderId::PROTOCOL) => extended && is_token(value),
            _ => false,
        };
        if right { self.add(field) } else { self.refuse(Malformed::Field) }
    }

    /// `host` stands for a missing `:authority`, and is dropped otherwise: nobody further on may find two.
    fn host(&mut self, field: Field<'_>) {
        if !matches!(self.kind, Kind::Request { .. }) {
            return self.add(field);
        }
        self.hosts += 1;
        if self.hosts > 1 || !is_host(field.value) {
            return self.refuse(Malformed::Field);
        }
        if !self.fields.headers.contains(HeaderId::AUTHORITY) {
            let mut host = HeaderMap::new();
            host.append_id(HeaderId::AUTHORITY, field.value);
            self.host = Some(host);
        }
    }

    fn length(&mut self, field: Field<'_>) {
        match parse_length(field.value) {
            Some(length) if self.fields.length.is_none() => {
                self.fields.length = Some(length);
                if field.value.len() > 1 && field.value[0] == b'0' {
                    // Digits that somebody may take for octal ones.
                    let digits =
                        field.value.iter().position(|byte| *byte != b'0').unwrap_or(field.value.len() - 1);
                    return self.add(Field { value: &field.value[digits..], ..field });
                }
                self.add(field);
            }
            _ => self.refuse(Malformed::Field),
        }
    }

    fn finish(mut self) -> Fields {
        if self.cookies > 1 {
            self.fields.headers.join(HeaderId::COOKIE, b"; ");
        }
        if self.fields.fault.is_none()
            && let Err(malformed) = self.complete()
        {
            self.refuse(malformed);
        }
        self.fields
    }

    /// What has to be there is, and what there is goes together.
    fn complete(&mut self) -> Result<(), Malformed> {
        match self.kind {
            Kind::Request { .. } => self.complete_request(),
            Kind::Response => self.complete_response(),
            Kind::Trailers | Kind::Nothing => Ok(()),
        }
    }

    fn complete_request(&mut self) -> Result<(), Malformed> {
        let named = self.fields.headers.contains(HeaderId::AUTHORITY);
        if let Some(host) = self.host.take().as_ref().and_then(|host| host.get(HeaderId::AUTHORITY)) {
            self.fields.headers.append_id(HeaderId::AUTHORITY, host);
        }
        let headers = &self.fields.headers;
        let authority = headers.get(HeaderId::AUTHORITY).filter(|authority| !authority.is_empty());
        let extended = headers.contains(HeaderId::PROTOCOL);
        if !headers.contains(HeaderId::METHOD) {
            return Err(Malformed::Messaging);
        }
        let connect = self.fields.method == Method::Connect;
        if connect && !extended {
            if headers.contains(HeaderId::SCHEME) || headers.contains(HeaderId::PATH) {
                return Err(Malformed::Messaging);
            }
            // Here `host` is no substitute (RFC 9113 section 8.5).
            let target = authority.filter(|_| named).ok_or(Malformed::Messaging)?;
            return if is_connect_target(target) { Ok(()) } else { Err(Malformed::Field) };
        }
        if extended && !connect {
            return Err(Malformed::Messaging);
        }
        let path = headers.get(HeaderId::PATH).ok_or(Malformed::Messaging)?;
        let right = match path {
            [b'/', ..] => true,
            b"*" => self.fields.method == Method::Options,
            _ => false,
        };
        if right && headers.contains(HeaderId::SCHEME) && authority.is_some() {
            Ok(())
        } else {
            Err(Malformed::Messaging)
        }
    }

    fn complete_response(&mut self) -> Result<(), Malformed> {
        match (self.fields.status, self.fields.length) {
            (0 | 101, _) => Err(Malformed::Messaging),
            // RFC 9110 section 8.6.
            (..200 | 204, Some(1..)) => Err(Malformed::Field),
            (..200 | 204, Some(0)) => {
                self.fields.headers.remove(HeaderId::CONTENT_LENGTH);
                self.fields.length = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// `ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )` (RFC 3986 section 3.1).
fn is_scheme(value: &[u8]) -> bool {
    value.first().is_some_and(u8::is_ascii_alphabetic)
        && value.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}
