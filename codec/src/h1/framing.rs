//! Where a message body ends: RFC 9112 section 6.3, for both directions.
//!
//! Every ambiguity that has been used to smuggle one message inside another is an error here: two
//! lengths, a length that is not a plain decimal, a length beside chunks, codings other than a
//! single `chunked`. Looks at the head only; reading the body is `body`'s work.

use crate::{
    HeaderId, HeaderMap,
    h1::{Error, head_parser::is_tchar},
};

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body.
    Empty,
    /// This many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked,
    /// All until the peer closes (responses only).
    UntilClose,
    /// The connection stops speaking HTTP (a 2xx response to CONNECT, 101).
    Tunnel,
}

/// The facts of a message, beside its headers, on which framing depends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) http_10: bool,
    /// The method of the request is CONNECT, or HEAD.
    pub(crate) connect: bool,
    pub(crate) head: bool,
    /// Take chunks and drop the length when both are given.
    pub(crate) allow_chunked_length: bool,
}

/// Framing of a request, and whether the connection must end after it. May remove or normalise
/// `content-length` in `headers`.
pub(crate) fn of_request(headers: &mut HeaderMap, facts: Facts) -> Result<(Framing, bool), Error> {
    let length = content_length(headers)?;
    if !headers.contains(HeaderId::TRANSFER_ENCODING) {
        return match length {
            Some(1..) if facts.connect => Err(Error::BodyDisallowed),
            None | Some(0) => Ok((Framing::Empty, false)),
            Some(length) => Ok((Framing::Length(length), false)),
        };
    }
    if length.is_some() && !facts.allow_chunked_length {
        return Err(Error::ContentLengthAndChunked);
    }
    check_chunked(headers)?;
    if facts.connect {
        return Err(Error::UnsupportedTransferEncoding);
    }
    if facts.http_10 {
        // RFC 9112 section 6.1: the framing is faulty; some hop before us may not have seen chunks.
        return Err(Error::InvalidTransferEncoding);
    }
    headers.remove(HeaderId::CONTENT_LENGTH);
    Ok((Framing::Chunked, length.is_some()))
}

/// Framing of a final response (not 1xx, except 101), and whether the connection must end after
/// it. May remove or normalise `content-length` in `headers`.
pub(crate) fn of_response(
    headers: &mut HeaderMap,
    status: u16,
    facts: Facts,
) -> Result<(Framing, bool), Error> {
    if facts.connect && (200..300).contains(&status) {
        // RFC 9112 section 6.3: both fields are ignored.
        headers.remove(HeaderId::CONTENT_LENGTH);
        return Ok((Framing::Tunnel, true));
    }
    let length = content_length(headers)?;
    let coded = headers.contains(HeaderId::TRANSFER_ENCODING);
    if status < 200 || status == 204 {
        if coded || length.is_some_and(|length| length > 0) {
            return Err(Error::BodyDisallowed);
        }
        return Ok((if status == 101 { Framing::Tunnel } else { Framing::Empty }, status == 101));
    }
    if coded {
        if length.is_some() && !facts.allow_chunked_length {
            return Err(Error::ContentLengthAndChunked);
        }
        check_chunked(headers)?;
        headers.remove(HeaderId::CONTENT_LENGTH);
    }
    if facts.head || status == 304 {
        return Ok((Framing::Empty, false));
    }
    Ok(match length {
        // RFC 9112 section 6.1: an HTTP/1.0 message with chunks is processed, then closed on.
        _ if coded => (Framing::Chunked, length.is_some() || facts.http_10),
        None => (Framing::UntilClose, true),
        Some(0) => (Framing::Empty, false),
        Some(length) => (Framing::Length(length), false),
    })
}

/// The one `content-length`, if there is one. Leading zeros, which the grammar allows, are taken
/// out of the header so that no hop behind reads an octal number.
fn content_length(headers: &mut HeaderMap) -> Result<Option<u64>, Error> {
    if !headers.contains(HeaderId::CONTENT_LENGTH) {
        return Ok(None);
    }
    let mut values = headers.get_all(HeaderId::CONTENT_LENGTH);
    let value = values.next().unwrap_or_default();
    if values.next().is_some() {
        return Err(Error::InvalidContentLength);
    }
    let length = parse_length(value).ok_or(Error::InvalidContentLength)?;
    let padded = value.len() > 1 && value[0] == b'0';
    drop(values);
    if padded {
        let mut digits = [0; MAX_DIGITS];
        headers.set(HeaderId::CONTENT_LENGTH, format_length(length, &mut digits));
    }
    Ok(Some(length))
}

/// `1*DIGIT` below 2^63: what every implementation on the way can hold, signed or not.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let length = value.iter().try_fold(0_u64, |length, byte| match byte {
        b'0'..=b'9' => length.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })?;
    (length <= i64::MAX as u64).then_some(length)
}

/// Digits of the largest 64-bit number.
pub(crate) const MAX_DIGITS: usize = 20;

/// Writes `length` in decimal at the end of `digits`.
pub(crate) fn format_length(mut length: u64, digits: &mut [u8; MAX_DIGITS]) -> &[u8] {
    let mut at = MAX_DIGITS;
    loop {
        at -= 1;
        digits[at] = b'0' + (length % 10) as u8;
        length /= 10;
        if length == 0 {
            return &digits[at..];
        }
    }
}

/// There is `transfer-encoding`: is it `chunked` and nothing else?
fn check_chunked(headers: &HeaderMap) -> Result<(), Error> {
    let mut values = headers.get_all(HeaderId::TRANSFER_ENCODING);
    let first = values.next().unwrap_or_default();
    if values.next().is_none() && first.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    // Which error: with one `chunked` at the end the body could be read, but not decoded (RFC 9112
    // section 6.1); otherwise its end is unknown (section 6.3).
    let mut chunked = 0;
    let mut last = false;
    for coding in
        headers.get_all(HeaderId::TRANSFER_ENCODING).flat_map(|value| value.split(|&byte| byte == b','))
    {
        let coding = coding.trim_ascii();
        let name_end = coding.iter().position(|&byte| !is_tchar(byte)).unwrap_or(coding.len());
        let (name, parameters) = coding.split_at(name_end);
        if name.is_empty() || !matches!(parameters.trim_ascii_start(), [] | [b';', ..]) {
            return Err(Error::InvalidTransferEncoding);
        }
        last = coding.eq_ignore_ascii_case(b"chunked");
        chunked += usize::from(name.eq_ignore_ascii_case(b"chunked"));
    }
    Err(if last && chunked == 1 {
        Error::UnsupportedTransferEncoding
    } else {
        Error::InvalidTransferEncoding
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts { http_10: false, connect: false, head: false, allow_chunked_length: false }
    }

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.as_bytes(), value.as_bytes());
        }
        headers
    }

    #[test]
    fn lengths() {
        let cases: &[(&str, Option<u64>)] = &[
            ("0", Some(0)),
            ("5", Some(5)),
            ("007", Some(7)),
            ("9223372036854775807", Some(i64::MAX as u64)),
            ("9223372036854775808", None),
            ("18446744073709551616", None),
            ("99999999999999999999999999", None),
            ("", None),
            ("+5", None),
            ("-5", None),
            ("0x5", None),
            ("5 ", None),
            ("5,5", None),
            ("5.0", None),
            ("1e3", None),
            ("\u{661}", None),
        ];
        for &(value, expected) in cases {
            assert_eq!(parse_length(value.as_bytes()), expected, "{value:?}");
        }
        for value in [0, 7, 10, 12345, u64::MAX] {
            assert_eq!(format_length(value, &mut [0; MAX_DIGITS]), value.to_string().as_bytes());
        }
    }

    #[test]
    fn padded_lengths_are_rewritten() {
        let mut headers = map(&[("content-length", "007")]);
        assert_eq!(of_request(&mut headers, facts()), Ok((Framing::Length(7), false)));
        assert_eq!(headers.get(HeaderId::CONTENT_LENGTH), Some(&b"7"[..]));
    }

    #[test]
    fn codings() {
        let cases: &[(&[&str], Result<(), Error>)] = &[
            (&["chunked"], Ok(())),
            (&["CHUNKED"], Ok(())),
            (&["gzip, chunked"], Err(Error::UnsupportedTransferEncoding)),
            (&["gzip", "chunked"], Err(Error::UnsupportedTransferEncoding)),
            (&["foo;q=1 , Chunked"], Err(Error::UnsupportedTransferEncoding)),
            (&["chunked, chunked"], Err(Error::InvalidTransferEncoding)),
            (&["chunked", "chunked"], Err(Error::InvalidTransferEncoding)),
            (&["chunked, gzip"], Err(Error::InvalidTransferEncoding)),
            (&["chunked", "gzip"], Err(Error::InvalidTransferEncoding)),
            (&["gzip"], Err(Error::InvalidTransferEncoding)),
            (&["identity"], Err(Error::InvalidTransferEncoding)),
            (&["xchunked"], Err(Error::InvalidTransferEncoding)),
            (&["chunkedx"], Err(Error::InvalidTransferEncoding)),
            (&["\"chunked\""], Err(Error::InvalidTransferEncoding)),
            (&["chunked;q=1"], Err(Error::InvalidTransferEncoding)),
            (&["gzip chunked"], Err(Error::InvalidTransferEncoding)),
            (&[",chunked"], Err(Error::InvalidTransferEncoding)),
            (&["chunked,"], Err(Error::InvalidTransferEncoding)),
            (&[""], Err(Error::InvalidTransferEncoding)),
            (&["", "chunked"], Err(Error::InvalidTransferEncoding)),
        ];
        for (values, expected) in cases {
            let fields: Vec<_> = values.iter().map(|value| ("transfer-encoding", *value)).collect();
            assert_eq!(check_chunked(&map(&fields)), *expected, "{values:?}");
        }
    }
}
