//! Writes heads: start lines, fields, trailers.
//!
//! The last gate before the wire: a name that is not a token and a value with CR, LF or NUL are
//! never written, whoever put them into the map. Fields that describe the connection or the
//! framing are skipped in the map; the codec that owns the connection writes its own. Bytes are
//! collected on the stack and appended to the output in few, larger pieces.

use crate::{
    Buffer, Header, HeaderId, HeaderMap, Spelling,
    h1::{
        framing::{MAX_DIGITS, format_length},
        settings::HeaderCase,
    },
    headers::chars::is_one_line,
    headers::map::Piece,
    is_token,
};

/// Stores received fields, with their spelling if that is to be kept; `block` is where they lie.
#[inline]
pub(crate) fn append<'a>(
    headers: &mut HeaderMap,
    block: &'a [u8],
    fields: impl Iterator<Item = &'a httparse::Header<'a>>,
    case: HeaderCase,
) {
    match case {
        HeaderCase::Preserve | HeaderCase::PreserveElseProper => {
            fields.for_each(|field| headers.append_cased(field.name.as_bytes(), field.value));
        }
        _ => headers.append_lines(block, fields.map(|field| (field.name.as_bytes(), field.value))),
    }
}

/// A map for what is received with this setting, which knows how its names are to be written later.
#[inline]
pub(crate) fn empty(case: HeaderCase) -> HeaderMap {
    let mut headers = HeaderMap::new();
    match case {
        HeaderCase::Lower | HeaderCase::Proper => {}
        HeaderCase::Preserve => headers.set_spelling(Spelling::Kept),
        HeaderCase::PreserveElseProper => headers.set_spelling(Spelling::KeptElseProper),
    }
    headers
}

/// How a map's names are written. As in Envoy, a spelling that the side that received them keeps wins over what the
/// side that sends them does otherwise; and nothing that was not received can be kept.
pub(crate) fn case_of(headers: &HeaderMap, case: HeaderCase) -> HeaderCase {
    match (headers.spelling(), case) {
        (Spelling::Kept, _) => HeaderCase::Preserve,
        (Spelling::KeptElseProper, _) => HeaderCase::PreserveElseProper,
        (Spelling::Free, HeaderCase::Proper) => HeaderCase::Proper,
        (Spelling::Free, _) => HeaderCase::Lower,
    }
}

/// Collects a head and appends it to the output. [`HeadWriter::end`] has to be called.
pub(crate) struct HeadWriter<'a> {
    out: &'a mut Buffer,
    used: usize,
    /// `host` has been written: one in the map is not.
    has_host: bool,
    room: [u8; ROOM],
}

/// Most heads fit, and clearing it costs next to nothing.
const ROOM: usize = 512;

impl<'a> HeadWriter<'a> {
    pub(crate) fn new(out: &'a mut Buffer) -> HeadWriter<'a> {
        HeadWriter { out, used: 0, has_host: false, room: [0; ROOM] }
    }

    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self.room.get_mut(self.used..self.used + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.used += bytes.len();
            }
            None => self.push_slow(bytes),
        }
    }

    #[cold]
    fn push_slow(&mut self, bytes: &[u8]) {
        self.flush();
        match self.room.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.used = bytes.len();
            }
            None => self.out.append(bytes),
        }
    }

    fn flush(&mut self) {
        self.out.append(&self.room[..self.used]);
        self.used = 0;
    }

    /// `HTTP-version SP status-code SP reason-phrase CRLF`; the phrase is the registered one.
    pub(crate) fn status_line(&mut self, http_10: bool, status: u16) {
        debug_assert!((100..1000).contains(&status), "the caller has put the status right");
        if status == 200 && !http_10 {
            return self.push(b"HTTP/1.1 200 OK\r\n");
        }
        self.push(if http_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
        self.push(format_length(u64::from(status), &mut [0; MAX_DIGITS]));
        self.push(b" ");
        self.push(reason(status).as_bytes());
        self.push(b"\r\n");
    }

    /// `Host`, which goes first (RFC 9110 section 7.2).
    pub(crate) fn host(&mut self, headers: &HeaderMap, case: HeaderCase) {
        let authority = headers.iter().find(|header| header.id == HeaderId::AUTHORITY);
        let (original, value) = authority.map_or((None, &b""[..]), |header| (header.original, header.value));
        let (id, name) = (HeaderId::HOST, HeaderId::HOST.name().as_bytes());
        self.field(Header { id, name, original, value, sensitive: false }, case);
        self.has_host = true;
    }

    /// The fields of a head that are not the codec's own business. `content-length` is written if
    /// `length` is given: with that number, where the map has it or else at the end.
    pub(crate) fn fields(&mut self, headers: &HeaderMap, case: HeaderCase, mut length: Option<u64>) {
        if case == HeaderCase::Lower {
            self.lines(headers, &mut length);
        } else {
            for header in headers.iter() {
                match (header.id, length) {
                    (id, _) if !self.takes(id) => {}
                    (HeaderId::CONTENT_LENGTH, None) => {}
                    (HeaderId::CONTENT_LENGTH, Some(number)) => {
                        length = None;
                        let digits = &mut [0; MAX_DIGITS];
                        self.field(Header { value: format_length(number, digits), ..header }, case);
                    }
                    _ => self.field(header, case),
                }
            }
        }
        if let Some(length) = length {
            self.own(HeaderId::CONTENT_LENGTH, format_length(length, &mut [0; MAX_DIGITS]), case);
        }
    }

    /// The fields with names in lower case: lines that have been received and stand next to each other in one step.
    fn lines(&mut self, headers: &HeaderMap, length: &mut Option<u64>) {
        let all = headers.lines();
        let mut run = 0..0;
        for piece in headers.pieces() {
            let (Piece::Line(header, _) | Piece::Parts(header)) = &piece;
            if !self.takes(header.id) {
                continue;
            }
            if header.id == HeaderId::CONTENT_LENGTH {
                let Some(number) = length.take() else { continue };
                let mut digits = [0; MAX_DIGITS];
                let value = format_length(number, &mut digits);
                if value != header.value {
                    self.push(&all[std::mem::take(&mut run)]);
                    self.line(header.name, value);
                    continue;
                }
            }
            match piece {
                Piece::Line(_, line) if line.start == run.end => run.end = line.end,
                Piece::Line(_, line) => self.push(&all[std::mem::replace(&mut run, line)]),
                Piece::Parts(header) => {
                    self.push(&all[std::mem::take(&mut run)]);
                    self.field(header, HeaderCase::Lower);
                }
            }
        }
        self.push(&all[run]);
    }

    /// Whether a field of a map is to be written.
    #[inline]
    fn takes(&self, id: HeaderId) -> bool {
        !(is_connection_field(id) || (id == HeaderId::HOST && self.has_host))
    }

    /// A field that the codec writes for itself.
    pub(crate) fn own(&mut self, id: HeaderId, value: &[u8], case: HeaderCase) {
        self.field(Header { id, name: id.name().as_bytes(), original: None, value, sensitive: false }, case);
    }

    /// The fields of a trailer section, less those that no receiver may take from one.
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap, case: HeaderCase) {
        for header in trailers.iter() {
            if !is_barred_from_trailers(header.id) {
                self.field(header, case);
            }
        }
    }

    /// The empty line; everything is in the output now.
    pub(crate) fn end(mut self) {
        self.push(b"\r\n");
        self.flush();
    }

    #[inline]
    fn field(&mut self, header: Header<'_>, case: HeaderCase) {
        let Header { id, name, original, value, .. } = header;
        if (id == HeaderId::OTHER && !is_token(name)) || !is_one_line(value) {
            return;
        }
        let original = original.filter(|original| original.eq_ignore_ascii_case(name));
        match (case, original) {
            (HeaderCase::Preserve | HeaderCase::PreserveElseProper, Some(original)) => {
                self.line(original, value)
            }
            (HeaderCase::Lower | HeaderCase::Preserve, _) => self.line(name, value),
            (HeaderCase::Proper | HeaderCase::PreserveElseProper, _) => {
                self.push_proper(name);
                [b": ", value, b"\r\n"].into_iter().for_each(|piece| self.push(piece));
            }
        }
    }

    #[inline]
    fn line(&mut self, name: &[u8], value: &[u8]) {
        let length = name.len() + value.len() + b": \r\n".len();
        let Some(room) = self.room.get_mut(self.used..self.used + length) else {
            return [name, b": ", value, b"\r\n"].into_iter().for_each(|piece| self.push(piece));
        };
        let (of_name, rest) = room.split_at_mut(name.len());
        of_name.copy_from_slice(name);
        let (colon, rest) = rest.split_at_mut(2);
        colon.copy_from_slice(b": ");
        let (of_value, end) = rest.split_at_mut(value.len());
        of_value.copy_from_slice(value);
        end.copy_from_slice(b"\r\n");
        self.used += length;
    }

    fn push_proper(&mut self, name: &[u8]) {
        let mut capital = true;
        for &byte in name {
            self.push(&[if capital { byte.to_ascii_uppercase() } else { byte }]);
            capital = !byte.is_ascii_alphanumeric();
        }
    }
}

/// Fields that a codec never copies from a map: pseudo-headers, which go into the start line, and
/// those that belong to one connection.
#[inline]
pub(crate) fn is_connection_field(id: HeaderId) -> bool {
    matches!(
        id,
        HeaderId::METHOD
            | HeaderId::PATH
            | HeaderId::AUTHORITY
            | HeaderId::SCHEME
            | HeaderId::STATUS
            | HeaderId::PROTOCOL
            | HeaderId::CONNECTION
            | HeaderId::KEEP_ALIVE
            | HeaderId::PROXY_CONNECTION
            | HeaderId::TRANSFER_ENCODING
            | HeaderId::UPGRADE
    )
}

/// Fields that decide framing, routing or the connection, which a trailer section cannot have.
pub(crate) fn is_barred_from_trailers(id: HeaderId) -> bool {
    is_connection_field(id)
        || matches!(id, HeaderId::HOST | HeaderId::CONTENT_LENGTH | HeaderId::TE | HeaderId::TRAILER)
}

/// The reason phrase of a status, as Envoy writes it; `Unknown` for one that is not registered.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Entity",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "Unknown",
    }
}
