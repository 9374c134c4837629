//! What a line of an access log says: Envoy's default format.

use crate::stream_info::Flag;
use nuncio_codec::{HeaderId, RequestHead, ResponseHead, Version};
use nuncio_reactor::Address;
use std::fmt;
use std::io::Write;
use std::time::{Duration, SystemTime};

/// An ended stream.
#[derive(Debug)]
pub struct Entry<'a> {
    /// When its head had arrived.
    pub start: SystemTime,
    /// Without headers if the request could not be understood.
    pub request: &'a RequestHead,
    /// With status 0 if none was sent.
    pub response: &'a ResponseHead,
    /// Why it ended.
    pub flag: Flag,
    /// Why it ended, in more words.
    pub details: &'a str,
    /// Body bytes from downstream.
    pub bytes_received: u64,
    /// Body bytes to downstream.
    pub bytes_sent: u64,
    /// From the request's head to the end of the stream.
    pub duration: Duration,
    /// The host that took the request.
    pub upstream_host: Option<&'a Address>,
}

/// Appends a line in Envoy's default format:
/// `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE%
/// %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%
/// "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"`.
pub(super) fn default_line(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let headers = &entry.request.headers;
    let header = |id| Text(headers.get(id));
    let path = headers.get(HeaderId::X_ENVOY_ORIGINAL_PATH).or_else(|| headers.get(HeaderId::PATH));
    let service_time = entry.response.headers.get(HeaderId::X_ENVOY_UPSTREAM_SERVICE_TIME);
    let protocol = match entry.request.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::H2 => "HTTP/2",
    };
    // Writing into memory does not fail.
    let _ = writeln!(
        out,
        "[{}] \"{} {} {protocol}\" {} {} {} {} {} {} \"{}\" \"{}\" \"{}\" \"{}\" \"{}\"",
        Start(entry.start),
        header(HeaderId::METHOD),
        Text(path),
        entry.response.status,
        entry.flag,
        entry.bytes_received,
        entry.bytes_sent,
        entry.duration.as_millis(),
        Text(service_time),
        header(HeaderId::X_FORWARDED_FOR),
        header(HeaderId::USER_AGENT),
        header(HeaderId::X_REQUEST_ID),
        header(HeaderId::AUTHORITY),
        Host(entry.upstream_host),
    );
}

/// Bytes of the peer, or `-`.
struct Text<'a>(Option<&'a [u8]>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => out.write_str("-"),
            Some(bytes) => bytes.utf8_chunks().try_for_each(|chunk| {
                out.write_str(chunk.valid())?;
                if chunk.invalid().is_empty() { Ok(()) } else { out.write_str("\u{fffd}") }
            }),
        }
    }
}

struct Host<'a>(Option<&'a Address>);

impl fmt::Display for Host<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => out.write_str("-"),
            Some(address) => address.fmt(out),
        }
    }
}

/// `2026-11-23T14:35:37.123Z`.
struct Start(SystemTime);

impl fmt::Display for Start {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::try_from(self.0) {
            Ok(time) => write!(out, "{}", time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ")),
            Err(_) => out.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncio_codec::{HeaderMap, Method};
    use std::time::UNIX_EPOCH;

    fn line(request: &RequestHead, response: &ResponseHead, host: Option<&Address>) -> String {
        let mut out = Vec::new();
        let entry = Entry {
            start: UNIX_EPOCH + Duration::from_millis(784_111_777_005),
            request,
            response,
            flag: Flag::None,
            details: "via_upstream",
            bytes_received: 1,
            bytes_sent: 2,
            duration: Duration::from_micros(3900),
            upstream_host: host,
        };
        default_line(&entry, &mut out);
        String::from_utf8(out).expect("utf-8")
    }

    #[test]
    fn a_full_and_an_empty_line() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (":method", "GET"),
            (":path", "/new"),
            ("x-envoy-original-path", "/old?q"),
            (":authority", "a:80"),
            ("user-agent", "curl"),
            ("x-request-id", "id"),
            ("x-forwarded-for", "1.2.3.4"),
        ] {
            headers.append(name.as_bytes(), value.as_bytes());
        }
        let request = RequestHead { version: Version::Http11, method: Method::Get, headers };
        let mut headers = HeaderMap::new();
        headers.append(b"x-envoy-upstream-service-time", b"7");
        let response = ResponseHead { version: Version::Http11, status: 200, headers };
        let host: Address = Address::Inet("127.0.0.1:81".parse().expect("address"));
        assert_eq!(
            line(&request, &response, Some(&host)),
            "[1994-11-06T08:49:37.005Z] \"GET /old?q HTTP/1.1\" 200 - 1 2 3 7 \"1.2.3.4\" \"curl\" \"id\" \"a:80\" \"127.0.0.1:81\"\n"
        );
        let request =
            RequestHead { version: Version::Http10, method: Method::Other, headers: HeaderMap::new() };
        let response = ResponseHead { version: Version::Http11, status: 0, headers: HeaderMap::new() };
        assert_eq!(
            line(&request, &response, None),
            "[1994-11-06T08:49:37.005Z] \"- - HTTP/1.0\" 0 - 1 2 3 - \"-\" \"-\" \"-\" \"-\" \"-\"\n"
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        assert_eq!(Text(Some(b"a\xffb\xf0")).to_string(), "a\u{fffd}b\u{fffd}");
    }
}
