//! The downstream side of an HTTP/1 connection: requests in, responses out.
//!
//! `poll` takes requests off the input as events; the `send_*` methods append the response to the
//! output. One exchange at a time: a pipelined request stays in the input until both sides of the
//! one before are complete. No socket, clock or log in here, and no memory either while idle. What
//! to do about an error (answer with its status, close) is the caller's business.

use crate::{
    Buffer, HeaderId, HeaderMap, Method, RequestHead, ResponseHead, Spelling, Version,
    h1::{
        Error,
        body::{Piece, Reader, Rules, Writer},
        chunked::Chunked,
        connection::{self, Options},
        encode::{self, HeadWriter},
        framing::{self, Facts, Framing},
        head_parser::{self, Kind, Limits, Scanner},
        settings::ServerSettings,
        target::{self, Target},
    },
};

/// What the client sent. A request is one `Headers`, any number of `Data`, perhaps `Trailers`; the
/// last of them has `end` (which `Trailers` implies).
#[derive(Debug)]
pub enum RequestEvent {
    /// The head. `:method`, `:path` (not with CONNECT) and `:authority` (from the target or from
    /// `Host`, if there is one) are entries of its headers, `:scheme` only if the target named it.
    /// Hop-by-hop fields are still there, see [`strip_hop_by_hop`](crate::h1::strip_hop_by_hop).
    /// `upgrade` is there only if the client may be given a 101.
    Headers {
        /// Request line and header fields.
        head: RequestHead,
        /// There is no body. Never with CONNECT or an upgrade.
        end: bool,
    },
    /// A piece of the body, or of the tunnel. Empty only with `end`.
    Data {
        /// The bytes, without chunk framing.
        data: Buffer,
        /// The request is complete.
        end: bool,
    },
    /// Trailer fields; only with [`ServerSettings::enable_trailers`].
    Trailers {
        /// Fields that a trailer section may not have are dropped.
        trailers: HeaderMap,
    },
}

/// Codec of one downstream connection.
///
/// ```text
/// receive: Head ──▶ Body ──▶ Complete       send: Waiting ──▶ Body ──▶ Complete
///            └────▶ Held ──▶ Body (tunnel) ──▶ Complete
/// ```
/// When both are complete and the connection persists, both start over at the next `poll`.
#[derive(Debug)]
pub struct Server {
    settings: ServerSettings,
    receive: Receive,
    send: Send,
    /// Empty lines met before the request line.
    blank_lines: u8,
    /// About the request in progress: its version is 1.0, its method HEAD or CONNECT, it asks for
    /// an upgrade.
    http_10: bool,
    head: bool,
    connect: bool,
    upgrade: bool,
    /// The connection is a tunnel now.
    tunnel: bool,
    /// No exchange may follow this one.
    close: bool,
    body_mismatch: bool,
}

#[derive(Clone, Copy, Debug)]
enum Receive {
    Head(Scanner),
    Body(Reader),
    /// CONNECT or upgrade: whether what follows is a tunnel depends on the answer.
    Held,
    /// The tunnel was refused; the end of the request has still to be reported.
    Refused,
    Complete,
    Failed(Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Send {
    Waiting,
    Body(Writer),
    Complete,
}

/// Empty lines that may stand before a request line (RFC 9112 section 2.2 asks for one at least).
const MAX_BLANK_LINES: u8 = 2;

impl Server {
    /// A codec for a connection on which nothing has been received.
    pub fn new(settings: ServerSettings) -> Server {
        Server {
            settings,
            receive: Receive::Head(Scanner::default()),
            send: Send::Waiting,
            blank_lines: 0,
            http_10: false,
            head: false,
            connect: false,
            upgrade: false,
            tunnel: false,
            close: false,
            body_mismatch: false,
        }
    }

    /// The next event, if `input` has one; `None` if more input is needed, or if the next request
    /// has to wait for the response to the current one. Call it until it returns `None`.
    ///
    /// # Errors
    /// The client broke the protocol: the connection cannot carry another request, and asking
    /// again returns the same error. If no response was started one may still be sent.
    pub fn poll(&mut self, input: &mut Buffer) -> Result<Option<RequestEvent>, Error> {
        if self.exchange_complete() && self.keep_alive() {
            self.start_over();
        }
        let event = match &mut self.receive {
            Receive::Head(_) if self.send == Send::Waiting => self.poll_head(input),
            Receive::Body(reader) => {
                let rules = rules(&self.settings);
                reader.poll(input, &rules).map(|piece| piece.map(|piece| self.body_event(piece)))
            }
            Receive::Refused => {
                self.receive = Receive::Complete;
                Ok(Some(RequestEvent::Data { data: Buffer::new(), end: true }))
            }
            Receive::Failed(error) => Err(*error),
            Receive::Head(_) | Receive::Held | Receive::Complete => Ok(None),
        };
        event.map_err(|error| self.fail(error))
    }

    /// The client closed its side. Ends a tunnel; `None` if no request is in progress.
    ///
    /// # Errors
    /// [`Error::UnexpectedEof`] in the middle of a request.
    pub fn finish(&mut self) -> Result<Option<RequestEvent>, Error> {
        match self.receive {
            Receive::Head(scanner) if !scanner.started() => Ok(None),
            Receive::Complete => Ok(None),
            Receive::Body(Reader::Raw) | Receive::Refused => {
                self.receive = Receive::Complete;
                Ok(Some(RequestEvent::Data { data: Buffer::new(), end: true }))
            }
            Receive::Failed(error) => Err(error),
            _ => Err(self.fail(Error::UnexpectedEof)),
        }
    }

    /// Writes a 1xx response other than 101. Ignored for a client of HTTP/1.0 (RFC 9110 section
    /// 15.2) and once the final response has been started.
    pub fn send_informational(&mut self, head: &ResponseHead, out: &mut Buffer) {
        if self.send != Send::Waiting
            || self.http_10
            || !(100..200).contains(&head.status)
            || head.status == 101
        {
            return;
        }
        let mut writer = HeadWriter::new(out);
        writer.status_line(false, head.status);
        writer.fields(&head.headers, encode::case_of(&head.headers, self.settings.header_case), None);
        writer.end();
    }

    /// Writes the head of the final response. `end`: there is no body.
    ///
    /// Framing: `content-length` if the head has a valid one; else 0 with `end`; else chunks, or
    /// the end of the connection for HTTP/1.0. `connection: close` goes out if the exchange is the
    /// last: because the caller or the client said so, or because the request is not complete yet
    /// (as Envoy does: what is left of it is not waited for). A 2xx to CONNECT, and a 101 to an
    /// upgrade, turn the connection into a tunnel. A second final head is ignored.
    pub fn send_headers(&mut self, head: &ResponseHead, end: bool, out: &mut Buffer) {
        if self.send != Send::Waiting {
            return;
        }
        let status = if (100..1000).contains(&head.status) { head.status } else { 500 };
        if status < 200 && status != 101 {
            return self.send_informational(head, out);
        }
        let case = encode::case_of(&head.headers, self.settings.header_case);
        self.tunnel = matches!(self.receive, Receive::Held)
            && if self.connect { (200..300).contains(&status) } else { self.upgrade && status == 101 };
        // A tunnel ends with the connection; a refused one too, since what the client sent ahead
        // must not be read as a request.
        self.close |= status == 101 || !matches!(self.receive, Receive::Complete);
        if matches!(self.receive, Receive::Held) {
            self.receive = if self.tunnel { Receive::Body(Reader::Raw) } else { Receive::Refused };
        }

        let announced = head.headers.get(HeaderId::CONTENT_LENGTH).and_then(framing::parse_length);
        let (body, length) = match (status, announced) {
            _ if self.tunnel => (Writer::Raw, None),
            (101 | 204, _) => (Writer::Nothing, None),
            (304, _) => (Writer::Nothing, announced),
            _ if self.head => (Writer::Nothing, announced),
            (_, Some(length)) => (Writer::Length(length), announced),
            (_, None) if end => (Writer::Length(0), Some(0)),
            (_, None) if self.http_10 => (Writer::Raw, None),
            (_, None) => (Writer::Chunked, None),
        };
        self.close |= body == Writer::Raw;
        // With HEAD too, as Envoy does: a GET would have had chunks.
        let chunked = body == Writer::Chunked
            || (self.head && length.is_none() && !self.http_10 && !matches!(status, 101 | 204 | 304));

        let mut writer = HeadWriter::new(out);
        writer.status_line(self.http_10, status);
        writer.fields(&head.headers, case, length);
        if chunked {
            writer.own(HeaderId::TRANSFER_ENCODING, b"chunked", case);
        }
        if self.tunnel {
            if let Some(protocol) = head.headers.get(HeaderId::UPGRADE).filter(|_| status == 101) {
                writer.own(HeaderId::CONNECTION, b"Upgrade", case);
                writer.own(HeaderId::UPGRADE, protocol, case);
            }
        } else if self.close {
            writer.own(HeaderId::CONNECTION, b"close", case);
        } else if self.http_10 {
            writer.own(HeaderId::CONNECTION, b"keep-alive", case);
        }
        writer.end();

        self.send = Send::Body(body);
        if end {
            self.send_data(&mut Buffer::new(), true, out);
        }
    }

    /// Takes all of `data` and writes it with the framing that the head announced. `end`: the
    /// response is complete. Data that has no place (HEAD, after the end) is dropped.
    pub fn send_data(&mut self, data: &mut Buffer, end: bool, out: &mut Buffer) {
        let Send::Body(writer) = &mut self.send else {
            return data.clear();
        };
        if !writer.data(data, end, out) {
            self.body_mismatch = true;
            self.close = true;
        }
        if end {
            self.send = Send::Complete;
        }
    }

    /// Ends the response with trailers. They are dropped, and the response just ends, unless
    /// [`ServerSettings::enable_trailers`] is set and the body is chunked.
    pub fn send_trailers(&mut self, trailers: &HeaderMap, out: &mut Buffer) {
        let Send::Body(writer) = &mut self.send else {
            return;
        };
        if !writer.trailers(trailers, &rules(&self.settings), out) {
            self.body_mismatch = true;
            self.close = true;
        }
        self.send = Send::Complete;
    }

    /// The exchange in progress, or the next one if there is none, is the last: its response, if
    /// not started yet, carries `connection: close`.
    pub fn set_close(&mut self) {
        if self.exchange_complete() && self.keep_alive() {
            self.start_over();
        }
        self.close = true;
    }

    /// The request's upgrade is not wanted: it is a plain request without a body. To be called before the next `poll`;
    /// its `Headers` had no `end`, which the caller adds.
    pub fn decline_upgrade(&mut self) {
        if self.upgrade && matches!(self.receive, Receive::Held) {
            self.upgrade = false;
            self.receive = Receive::Complete;
        }
    }

    /// May another request follow after this exchange?
    pub fn keep_alive(&self) -> bool {
        !self.close && !matches!(self.receive, Receive::Failed(_))
    }

    /// The request has been reported to its end.
    pub fn request_complete(&self) -> bool {
        matches!(self.receive, Receive::Complete)
    }

    /// The response has been written to its end.
    pub fn response_complete(&self) -> bool {
        self.send == Send::Complete
    }

    /// The head of a final response has been written.
    pub fn response_started(&self) -> bool {
        self.send != Send::Waiting
    }

    /// No exchange is in progress and one may begin. A part of a request head may have arrived;
    /// whether it has, the input tells.
    pub fn is_idle(&self) -> bool {
        self.keep_alive()
            && match self.receive {
                Receive::Head(_) => self.send == Send::Waiting,
                _ => self.exchange_complete(),
            }
    }

    /// The head of a request is awaited.
    pub fn in_head(&self) -> bool {
        matches!(self.receive, Receive::Head(_))
    }

    /// How much of the body of the request is certain to follow as it is, in bytes; 0 where that is not known. So much may be
    /// put into the input as bytes that lie elsewhere.
    pub fn plain_left(&self) -> u64 {
        match &self.receive {
            Receive::Body(reader) => reader.plain_left(),
            _ => 0,
        }
    }

    /// The connection is a tunnel (CONNECT, upgrade): data goes through as it is.
    pub fn in_tunnel(&self) -> bool {
        self.tunnel
    }

    /// A response did not have the length that its head announced. What was over was not written;
    /// the connection has to be closed.
    pub fn body_mismatch(&self) -> bool {
        self.body_mismatch
    }

    fn exchange_complete(&self) -> bool {
        self.request_complete() && self.response_complete()
    }

    fn start_over(&mut self) {
        *self = Server::new(self.settings);
    }

    fn fail(&mut self, error: Error) -> Error {
        self.receive = Receive::Failed(error);
        self.close = true;
        error
    }

    fn body_event(&mut self, piece: Piece) -> RequestEvent {
        match piece {
            Piece::Data { data, end } => {
                if end {
                    self.receive = Receive::Complete;
                }
                RequestEvent::Data { data, end }
            }
            Piece::Trailers(trailers) => {
                self.receive = Receive::Complete;
                RequestEvent::Trailers { trailers }
            }
        }
    }

    fn poll_head(&mut self, input: &mut Buffer) -> Result<Option<RequestEvent>, Error> {
        let Receive::Head(scanner) = &mut self.receive else {
            return Ok(None);
        };
        if !scanner.started() && !skip_blank_lines(input, &mut self.blank_lines)? {
            return Ok(None);
        }
        let settings = &self.settings;
        let kind = Kind::Request {
            accept_http_10: settings.accept_http_10,
            custom_methods: settings.allow_custom_methods,
        };
        let limits = rules(settings).limits;
        let head = head_parser::read_head(scanner, kind, input, limits, |line, block, fields| {
            let line = head_parser::request_line(line)?;
            let target = Target::parse(line.method, line.target, settings.allow_absolute_url)?;
            let method = Method::of(line.method);
            let mut headers = encode::empty(settings.header_case);
            headers.append_id(HeaderId::METHOD, line.method);
            if method != Method::Connect {
                headers.append_id(HeaderId::PATH, target.path);
            }
            if let Some(scheme) = target.scheme {
                headers.append_id(HeaderId::SCHEME, scheme);
            }
            let host = single_host(fields)?;
            if let Some(authority) = target.authority.or(host) {
                match fields.iter().find(|field| is_host_field(field)) {
                    Some(field) if headers.spelling() != Spelling::Free => {
                        headers.append_authority_cased(field.name.as_bytes(), authority);
                    }
                    _ => headers.append_id(HeaderId::AUTHORITY, authority),
                }
            }
            let others = fields.iter().filter(|field| !is_host_field(field));
            encode::append(&mut headers, block, others, settings.header_case);
            Ok((method, line.http_10, headers))
        })?;
        let Some((length, (method, http_10, mut headers))) = head else { return Ok(None) };

        connection::check_nominations(&headers)?;
        let options = Options::of(&headers);
        let facts = Facts {
            http_10,
            connect: method == Method::Connect,
            head: method == Method::Head,
            allow_chunked_length: settings.allow_chunked_length,
        };
        let (framing, last) = framing::of_request(&mut headers, facts)?;
        if settings.refuse_https && headers.get(HeaderId::SCHEME) == Some(b"https") {
            return Err(Error::HttpsInPlaintext);
        }
        input.drain(length);

        self.http_10 = http_10;
        self.head = facts.head;
        self.connect = facts.connect;
        let plain = !http_10 && !facts.connect && framing == Framing::Empty;
        self.upgrade = keep_upgrade(&mut headers, options.upgrade && plain);
        self.close |= last || !options.persistent(http_10);
        self.receive = match framing {
            _ if self.connect || self.upgrade => Receive::Held,
            Framing::Length(length) => Receive::Body(Reader::Length(length)),
            Framing::Chunked => Receive::Body(Reader::Chunked(Chunked::new())),
            Framing::Empty | Framing::UntilClose | Framing::Tunnel => Receive::Complete,
        };
        let version = if http_10 { Version::Http10 } else { Version::Http11 };
        let end = self.request_complete();
        Ok(Some(RequestEvent::Headers { head: RequestHead { version, method, headers }, end }))
    }
}

fn rules(settings: &ServerSettings) -> Rules {
    Rules {
        limits: Limits { bytes: settings.max_headers_bytes, fields: settings.max_headers_count },
        trailers: settings.enable_trailers,
        case: settings.header_case,
    }
}

/// Takes empty lines off the input, a few at most; `true` if something else stands there now.
fn skip_blank_lines(input: &mut Buffer, seen: &mut u8) -> Result<bool, Error> {
    loop {
        match (input.byte(0), input.byte(1)) {
            (None, _) | (Some(b'\r'), None) => return Ok(false),
            (Some(b'\r'), Some(b'\n')) if *seen < MAX_BLANK_LINES => {
                *seen += 1;
                input.drain(2);
            }
            (Some(b'\r' | b'\n'), _) => return Err(Error::Malformed),
            _ => return Ok(true),
        }
    }
}

fn is_host_field(field: &httparse::Header<'_>) -> bool {
    field.name.len() == 4 && field.name.eq_ignore_ascii_case("host")
}

/// The value of `Host`: at most one, and a valid one even where the target overrides it (RFC 9112
/// section 3.2). That HTTP/1.1 has to have one is for the HTTP layer to say, which knows default
/// hosts.
fn single_host<'a>(fields: &[httparse::Header<'a>]) -> Result<Option<&'a [u8]>, Error> {
    let mut hosts = fields.iter().filter(|field| is_host_field(field));
    match (hosts.next(), hosts.next()) {
        (None, _) => Ok(None),
        (Some(host), None) if target::is_host(host.value) => Ok(Some(host.value)),
        _ => Err(Error::InvalidAuthority),
    }
}

/// Can this request be given a 101? If not, `upgrade` is taken out of its headers, so that no
/// later hop switches protocols behind our back. `possible`: the connection option is there, and
/// the request is none of CONNECT, HTTP/1.0 (RFC 9110 section 7.8), with a body (a server may
/// ignore any upgrade). Never if the field is empty or occurs twice, nor for h2c: its frames would
/// pass unseen.
fn keep_upgrade(headers: &mut HeaderMap, possible: bool) -> bool {
    if !headers.contains(HeaderId::UPGRADE) {
        return false;
    }
    let single = headers.get_all(HeaderId::UPGRADE).count() == 1;
    let mut protocols = connection::tokens(headers, HeaderId::UPGRADE).peekable();
    let named = protocols.peek().is_some();
    let h2c = protocols.any(|protocol| protocol.eq_ignore_ascii_case(b"h2c"));
    drop(protocols);
    if h2c {
        headers.remove_name(b"http2-settings");
    }
    let keep = possible && single && named && !h2c;
    if !keep {
        headers.remove(HeaderId::UPGRADE);
    }
    keep
}
