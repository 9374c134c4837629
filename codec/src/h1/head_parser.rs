//! Finds the end of a head (or trailer section) and takes its fields apart.
//!
//! Bytes may drip in one at a time: [`Scanner`] looks at each byte once, over all calls, checks the
//! start line as it arrives (so that a TLS hello or other garbage is refused at once instead of
//! waiting for an empty line), insists on CRLF, and enforces both limits. Only a complete section
//! is made contiguous and tokenised, once, by `httparse`. A head that is there whole and has nothing
//! wrong is tokenised without being scanned. Which error a peer gets depends on the bytes alone,
//! never on how they were split. Nothing here gives a field a meaning.

use crate::{
    Buffer,
    h1::Error,
    headers::chars::{is_target, is_visible},
};
use memchr::{memchr, memchr_iter};

/// Bytes and field lines that a head or trailer section may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes: u32,
    pub(crate) fields: u32,
}

/// What the section starts with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A request line.
    Request { accept_http_10: bool, custom_methods: bool },
    /// A status line.
    Response,
    /// Nothing: trailers are fields alone.
    Trailers,
}

/// A section that is complete in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// Bytes including the empty line.
    pub(crate) len: usize,
    /// Number of field lines.
    pub(crate) fields: usize,
}

/// Progress through a section that is not complete yet. Offsets count from its first byte.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner {
    /// Bytes already looked at.
    scanned: u32,
    /// Where the line in progress starts.
    line: u32,
    /// Complete lines so far, the start line included.
    lines: u32,
    /// Where in the start line the next byte stands.
    step: Step,
}

/// Position within a start line. `request-line = method SP target SP HTTP-version`,
/// `status-line = HTTP-version SP 3DIGIT [SP [reason]]` (RFC 9112 sections 3 and 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Start,
    Method,
    TargetStart,
    Target,
    /// Within `HTTP/d.d`, at this index.
    Version(u8),
    StatusSpace,
    /// Within the status code, at this index.
    Status(u8),
    ReasonSpace,
    Reason,
    /// CR has to follow.
    LineEnd,
    /// LF has to follow.
    LineFeed,
    /// LF has to follow; the request line has no version (HTTP/0.9).
    NoVersion,
    Done,
}

impl Scanner {
    /// Has any byte of the section been seen?
    pub(crate) fn started(&self) -> bool {
        self.scanned > 0
    }

    /// Looks at the bytes of `input` not seen before. `Ok(None)`: the section is not complete.
    /// When it is complete or wrong the scanner stays where it was, so that asking again gives the
    /// same answer.
    pub(crate) fn scan(
        &mut self,
        kind: Kind,
        input: &Buffer,
        limits: Limits,
    ) -> Result<Option<Section>, Error> {
        let mut next = *self;
        let limit = limits.bytes as usize;
        let mut start = 0;
        for chunk in input.chunks() {
            let end = start + chunk.len();
            let from = next.scanned as usize;
            if from < end {
                let room = &chunk[from - start..chunk.len().min(limit.saturating_sub(start))];
                if let Some(section) = next.scan_piece(kind, room, input, limits)? {
                    return Ok(Some(section));
                }
            }
            start = end;
            if start >= limit {
                return Err(Error::HeadersTooLarge);
            }
        }
        *self = next;
        Ok(None)
    }

    fn scan_piece(
        &mut self,
        kind: Kind,
        mut piece: &[u8],
        input: &Buffer,
        limits: Limits,
    ) -> Result<Option<Section>, Error> {
        let has_start_line = !matches!(kind, Kind::Trailers);
        if has_start_line && self.lines == 0 {
            let used = self.scan_start_line(kind, piece, input)?;
            piece = &piece[used..];
        }
        let base = self.scanned as usize;
        for at in memchr_iter(b'\n', piece) {
            let absolute = base + at;
            let before = if at > 0 { Some(piece[at - 1]) } else { previous(input, absolute) };
            let length = absolute - self.line as usize;
            if length == 0 || before != Some(b'\r') {
                return Err(Error::Malformed);
            }
            let fields = self.lines - u32::from(has_start_line);
            if length == 1 {
                return Ok(Some(Section { len: absolute + 1, fields: fields as usize }));
            }
            if fields == limits.fields {
                return Err(Error::TooManyHeaders);
            }
            self.lines += 1;
            self.line = absolute as u32 + 1;
        }
        self.scanned = (base + piece.len()) as u32;
        Ok(None)
    }

    /// Checks the start line byte by byte, up to its LF or the end of `piece`; returns how many
    /// bytes of `piece` belong to it.
    fn scan_start_line(&mut self, kind: Kind, piece: &[u8], input: &Buffer) -> Result<usize, Error> {
        let mut at = 0;
        if self.step == Step::Start
            && let Some(length) = whole_start_line(kind, piece)
        {
            self.step = Step::Done;
            self.lines = 1;
            self.scanned += length as u32;
            self.line = self.scanned;
            return Ok(length);
        }
        while at < piece.len() {
            // The two long runs are passed in one go each.
            let run = match self.step {
                Step::Method => piece[at..].iter().position(|&byte| !is_tchar(byte)),
                Step::Target => piece[at..].iter().position(|&byte| !is_target(byte)),
                _ => Some(0),
            };
            let Some(run) = run else {
                at = piece.len();
                break;
            };
            at += run;
            self.step = self.step_over(kind, piece[at], self.scanned as usize + at, input)?;
            at += 1;
            if self.step == Step::Done {
                self.lines = 1;
                self.line = self.scanned + at as u32;
                break;
            }
        }
        self.scanned += at as u32;
        Ok(at)
    }

    fn step_over(&self, kind: Kind, byte: u8, offset: usize, input: &Buffer) -> Result<Step, Error> {
        Ok(match (self.step, byte) {
            (Step::Start, _) => match kind {
                Kind::Request { .. } if is_tchar(byte) => Step::Method,
                Kind::Response if byte == b'H' => Step::Version(1),
                _ => return Err(Error::Malformed),
            },
            (Step::Method, b' ') => {
                check_method(kind, input, offset)?;
                Step::TargetStart
            }
            (Step::TargetStart, b' ' | b'\r') => return Err(Error::Malformed),
            (Step::TargetStart, _) if is_target(byte) => Step::Target,
            (Step::Target, b' ') => Step::Version(0),
            (Step::Target, b'\r') => Step::NoVersion,
            (Step::TargetStart | Step::Target, 0x80.. | b'\n') => return Err(Error::Malformed),
            (Step::TargetStart | Step::Target, _) => return Err(Error::InvalidCharacters),
            (Step::Version(index), _) => {
                let fits = match index {
                    5 | 7 => byte.is_ascii_digit(),
                    _ => b"HTTP/d.d".get(usize::from(index)) == Some(&byte),
                };
                match (index, kind) {
                    _ if !fits => return Err(Error::Malformed),
                    // A client takes any HTTP/1.x (RFC 9110 section 2.5).
                    (5, Kind::Response) if byte != b'1' => return Err(Error::VersionNotSupported),
                    (7, Kind::Response) => Step::StatusSpace,
                    (7, _) => Step::LineEnd,
                    _ => Step::Version(index + 1),
                }
            }
            (Step::StatusSpace, b' ') => Step::Status(0),
            // RFC 9110 section 15: three digits, the first of which is the class.
            (Step::Status(0), b'1'..=b'9') => Step::Status(1),
            (Step::Status(1), b'0'..=b'9') => Step::Status(2),
            (Step::Status(2), b'0'..=b'9') => Step::ReasonSpace,
            (Step::ReasonSpace, b' ') => Step::Reason,
            (Step::ReasonSpace | Step::Reason | Step::LineEnd, b'\r') => Step::LineFeed,
            (Step::Reason, b'\t' | b' '..=b'~' | 0x80..) => Step::Reason,
            (Step::Reason, b'\n') => return Err(Error::Malformed),
            (Step::Reason, _) => return Err(Error::InvalidCharacters),
            (Step::LineFeed, b'\n') => {
                if let Kind::Request { accept_http_10, .. } = kind {
                    let mut version = [0; 3];
                    input.copy_to(offset - b"d.d\r".len(), &mut version);
                    if &version != b"1.1" && !(accept_http_10 && &version == b"1.0") {
                        return Err(version_error(kind));
                    }
                }
                Step::Done
            }
            (Step::NoVersion, b'\n') => return Err(version_error(kind)),
            _ => return Err(Error::Malformed),
        })
    }
}

/// Takes the head at the start of `input` apart if it is there whole, and hands its start line (without the CRLF), its block
/// of fields and the fields to `visit`; gives what that says, and the length of the head. `Ok(None)`: it is not complete.
///
/// # Errors
/// What is wrong with the head, whether it is complete or not; and what `visit` says.
pub(crate) fn read_head<T>(
    scanner: &mut Scanner,
    kind: Kind,
    input: &mut Buffer,
    limits: Limits,
    visit: impl for<'b> Fn(&[u8], &'b [u8], &'b [httparse::Header<'b>]) -> Result<T, Error>,
) -> Result<Option<(usize, T)>, Error> {
    // The usual case: all of it is in the first block, and nothing is wrong. That costs one look at the fields instead of
    // one for the ends of lines and another for what stands in them.
    if !scanner.started() {
        let mut room = [httparse::EMPTY_HEADER; USUAL_FIELDS];
        let chunk = input.front();
        if let Some((line, fields, length)) = usual_head(kind, chunk, &mut room, limits) {
            let block = &chunk[line.len() + 2..length];
            return Ok(Some((length, visit(line, block, fields)?)));
        }
    }
    let Some(section) = scanner.scan(kind, input, limits)? else { return Ok(None) };
    let (line, block) = split_line(input.linearize(section.len))?;
    let visited = with_fields(block, section.fields, |fields| visit(line, block, fields))?;
    Ok(Some((section.len, visited)))
}

/// Most fields of a head of the usual kind.
const USUAL_FIELDS: usize = 24;

/// A head with nothing wrong that starts here and is whole: its start line, its fields, its length. What this does not take
/// may be all right nevertheless.
#[inline]
fn usual_head<'h, 'b>(
    kind: Kind,
    piece: &'b [u8],
    room: &'h mut [httparse::Header<'b>],
    limits: Limits,
) -> Option<(&'b [u8], &'h [httparse::Header<'b>], usize)> {
    let start = whole_start_line(kind, piece)?;
    let block = &piece[start..];
    let Ok(httparse::Status::Complete((length, fields))) = httparse::parse_headers(block, room) else {
        return None;
    };
    let right = start + length <= limits.bytes as usize
        && fields.len() <= limits.fields as usize
        && lines_end_with_crlf(&block[..length]);
    right.then_some((&piece[..start - 2], fields, start + length))
}

/// Whether no LF stands without its CR. All bytes are looked at whatever they are, so that it is done in few, wide steps.
fn lines_end_with_crlf(block: &[u8]) -> bool {
    let pairs = block.iter().zip(block.iter().skip(1));
    pairs.fold(block.first() != Some(&b'\n'), |right, (&one, &next)| {
        right & ((next != b'\n') | (one == b'\r'))
    })
}

/// The usual case: a start line that is here whole and has nothing wrong. Says how long it is; all others are looked
/// at byte by byte, which finds out what is wrong.
fn whole_start_line(kind: Kind, piece: &[u8]) -> Option<usize> {
    let end = memchr(b'\n', piece)?;
    let line = piece[..end].strip_suffix(b"\r")?;
    let right = match kind {
        Kind::Request { custom_methods, .. } => {
            let rest = line.strip_suffix(b" HTTP/1.1")?;
            let space = memchr(b' ', rest)?;
            let (method, target) = (&rest[..space], &rest[space + 1..]);
            let known = is_registered_method(method)
                || (custom_methods && !method.is_empty() && method.iter().all(|&byte| is_tchar(byte)));
            known && !target.is_empty() && is_visible(target)
        }
        Kind::Response => match line.strip_prefix(b"HTTP/1.")? {
            [b'0'..=b'9', b' ', b'1'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', reason @ ..] => {
                reason.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
            }
            _ => false,
        },
        Kind::Trailers => false,
    };
    right.then_some(end + 1)
}

/// The byte before `offset`, when it lies in another block.
fn previous(input: &Buffer, offset: usize) -> Option<u8> {
    input.byte(offset.checked_sub(1)?)
}

/// The method is the first `len` bytes of the input.
fn check_method(kind: Kind, input: &Buffer, len: usize) -> Result<(), Error> {
    let mut name = [0; LONGEST_METHOD];
    match kind {
        Kind::Request { custom_methods: false, .. } => match name.get_mut(..len) {
            Some(name) => {
                input.copy_to(0, name);
                if is_registered_method(name) { Ok(()) } else { Err(Error::Malformed) }
            }
            None => Err(Error::Malformed),
        },
        _ => Ok(()),
    }
}

/// HTTP/0.9, 1.2, 2.0 and so on: Envoy answers all of them as it does HTTP/1.0.
fn version_error(kind: Kind) -> Error {
    match kind {
        Kind::Request { accept_http_10: false, .. } => Error::LowVersion,
        _ => Error::VersionNotSupported,
    }
}

/// A complete request line, which the scanner has found to be well-formed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLine<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) target: &'a [u8],
    pub(crate) http_10: bool,
}

/// Takes a request line apart.
pub(crate) fn request_line(line: &[u8]) -> Result<RequestLine<'_>, Error> {
    let space = memchr(b' ', line).ok_or(Error::Malformed)?;
    let (method, rest) = (&line[..space], &line[space + 1..]);
    let space = memchr(b' ', rest).ok_or(Error::Malformed)?;
    Ok(RequestLine { method, target: &rest[..space], http_10: rest.ends_with(b"0") })
}

/// A complete status line, which the scanner has found to be well-formed. The reason phrase is
/// dropped: it carries no meaning (RFC 9112 section 4).
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusLine {
    pub(crate) status: u16,
    pub(crate) http_10: bool,
}

/// Takes a status line apart.
pub(crate) fn status_line(line: &[u8]) -> Result<StatusLine, Error> {
    let minor = line.get(7).ok_or(Error::Malformed)?;
    let digits = line.get(9..12).ok_or(Error::Malformed)?;
    let status = digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
    Ok(StatusLine { status, http_10: *minor == b'0' })
}

/// Splits a head into start line, without its end, and field block.
fn split_line(head: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let end = memchr(b'\n', head).ok_or(Error::Malformed)?;
    let line = head.get(..end.saturating_sub(1)).ok_or(Error::Malformed)?;
    Ok((line, &head[end + 1..]))
}

/// Tokenises a block of `count` field lines that ends with an empty line, and hands the fields to
/// `visit`. The array on the stack is chosen by the count, so that a small head does not pay for
/// the largest one.
pub(crate) fn with_fields<T>(
    block: &[u8],
    count: usize,
    visit: impl FnOnce(&[httparse::Header<'_>]) -> Result<T, Error>,
) -> Result<T, Error> {
    match count {
        0..=12 => visit(tokenise(block, &mut [httparse::EMPTY_HEADER; 12])?),
        13..=32 => visit(tokenise(block, &mut [httparse::EMPTY_HEADER; 32])?),
        33..=100 => visit(tokenise(block, &mut [httparse::EMPTY_HEADER; 100])?),
        // Only with a configured limit above the default; `count` is bounded by it.
        _ => visit(tokenise(block, &mut vec![httparse::EMPTY_HEADER; count])?),
    }
}

fn tokenise<'h, 'b>(
    block: &'b [u8],
    fields: &'h mut [httparse::Header<'b>],
) -> Result<&'h [httparse::Header<'b>], Error> {
    match httparse::parse_headers(block, fields) {
        Ok(httparse::Status::Complete((len, fields))) if len == block.len() => Ok(fields),
        Ok(_) => Err(Error::Malformed),
        Err(_) if has_control(block) => Err(Error::InvalidCharacters),
        Err(_) => Err(Error::Malformed),
    }
}

/// Is there a byte that can stand nowhere in a field block: a control character other than HTAB
/// and the CRs and LFs that end lines?
fn has_control(block: &[u8]) -> bool {
    block.iter().enumerate().any(|(at, &byte)| match byte {
        b'\t' | b'\n' => false,
        b'\r' => block.get(at + 1) != Some(&b'\n'),
        _ => byte < b' ' || byte == 0x7f,
    })
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(crate) fn is_tchar(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut rest: &[u8] = b"!#$%&'*+-.^_`|~";
        while let [first, tail @ ..] = rest {
            table[*first as usize] = true;
            rest = tail;
        }
        table
    };
    TABLE[usize::from(byte)]
}

const LONGEST_METHOD: usize = 11;

/// The methods that Envoy accepts unless `allow_custom_methods` is set.
fn is_registered_method(name: &[u8]) -> bool {
    matches!(
        name,
        b"GET"
            | b"PUT"
            | b"ACL"
            | b"HEAD"
            | b"POST"
            | b"BIND"
            | b"COPY"
            | b"LINK"
            | b"LOCK"
            | b"MOVE"
            | b"PATCH"
            | b"TRACE"
            | b"MERGE"
            | b"MKCOL"
            | b"PURGE"
            | b"DELETE"
            | b"NOTIFY"
            | b"REBIND"
            | b"REPORT"
            | b"SEARCH"
            | b"SOURCE"
            | b"UNBIND"
            | b"UNLINK"
            | b"UNLOCK"
            | b"CONNECT"
            | b"OPTIONS"
            | b"MSEARCH"
            | b"CHECKOUT"
            | b"PROPFIND"
            | b"PROPPATCH"
            | b"SUBSCRIBE"
            | b"MKACTIVITY"
            | b"MKCALENDAR"
            | b"UNSUBSCRIBE"
    )
}
