//! The upstream side of an HTTP/1 connection: requests out, responses in.
//!
//! Mirror of the server: the `send_*` methods append the request to the output, `poll` takes the
//! response off the input. One exchange at a time, never pipelined. What an upstream sends beyond
//! what it owes makes the connection unusable, because nobody can tell whose response it is. No
//! socket, clock or log in here, and no memory while idle.

use crate::{
    Buffer, HeaderId, HeaderMap, Method, RequestHead, ResponseHead, Version,
    h1::{
        Error,
        body::{Piece, Reader, Rules, Writer},
        chunked::Chunked,
        connection::Options,
        encode::{self, HeadWriter},
        framing::{self, Facts, Framing},
        head_parser::{self, Kind, Limits, Scanner},
        settings::ClientSettings,
    },
    headers::chars::{is_one_line, is_visible},
    is_token,
};

/// What the upstream sent. A response is any number of `Informational`, one `Headers`, any number
/// of `Data`, perhaps `Trailers`; the last of them has `end` (which `Trailers` implies).
#[derive(Debug)]
pub enum ResponseEvent {
    /// A 1xx response other than 101; the final one is still to come.
    Informational {
        /// Status and header fields.
        head: ResponseHead,
    },
    /// The head of the final response. Hop-by-hop fields are still there, see
    /// [`strip_hop_by_hop`](crate::h1::strip_hop_by_hop).
    Headers {
        /// Status and header fields.
        head: ResponseHead,
        /// There is no body.
        end: bool,
    },
    /// A piece of the body, or of the tunnel. Empty only with `end`.
    Data {
        /// The bytes, without chunk framing.
        data: Buffer,
        /// The response is complete.
        end: bool,
    },
    /// Trailer fields; only with [`ClientSettings::enable_trailers`].
    Trailers {
        /// Fields that a trailer section may not have are dropped.
        trailers: HeaderMap,
    },
}

/// Codec of one upstream connection.
///
/// ```text
/// send: Idle ──▶ Body ──▶ Complete     receive: Idle ──▶ Head ──▶ Body ──▶ Complete
///         └────▶ Held ──▶ Body (tunnel) ──▶ Complete
/// ```
/// When both are complete and the connection persists, both are idle again.
#[derive(Debug)]
pub struct Client {
    settings: ClientSettings,
    send: Send,
    receive: Receive,
    /// Informational responses of this exchange.
    informational: u8,
    /// About the request in progress: its method is HEAD or CONNECT, it asks for an upgrade.
    head: bool,
    connect: bool,
    upgrade: bool,
    /// The connection is a tunnel now.
    tunnel: bool,
    /// No exchange may follow this one.
    close: bool,
    /// The upstream has closed its side.
    ended: bool,
    body_mismatch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Send {
    Idle,
    Body(Writer),
    /// CONNECT or upgrade: nothing may be sent before the upstream agrees.
    Held,
    Complete,
}

#[derive(Clone, Copy, Debug)]
enum Receive {
    Idle,
    Head(Scanner),
    Body(Reader),
    Complete,
    Failed(Error),
}

/// Informational responses taken for one request.
const MAX_INFORMATIONAL: u8 = 100;

impl Client {
    /// A codec for a connection on which nothing has been sent.
    pub fn new(settings: ClientSettings) -> Client {
        Client {
            settings,
            send: Send::Idle,
            receive: Receive::Idle,
            informational: 0,
            head: false,
            connect: false,
            upgrade: false,
            tunnel: false,
            close: false,
            ended: false,
            body_mismatch: false,
        }
    }

    /// Writes the head of a request. `end`: there is no body.
    ///
    /// The target is `:path`, for CONNECT `:authority`; `Host` is `:authority`. Framing:
    /// `content-length` if the head has a valid one; else, with `end`, 0 unless the method is one
    /// that seldom has a body (GET, HEAD, DELETE, TRACE, CONNECT); else chunks. With an `upgrade`
    /// header and without a body the upstream is asked for an upgrade. After CONNECT and an
    /// upgrade the request stays open, whatever `end` says, until the response decides.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] if an exchange is in progress or the connection is used up, or if
    /// method, target or authority cannot be written without harm. Nothing is written then.
    pub fn send_headers(&mut self, head: &RequestHead, end: bool, out: &mut Buffer) -> Result<(), Error> {
        if !self.is_idle() {
            return Err(Error::InvalidRequest);
        }
        let close = self.close;
        *self = Client { close, ..Client::new(self.settings) };
        let headers = &head.headers;
        let method = headers.get(HeaderId::METHOD).unwrap_or_default();
        let authority = headers.get(HeaderId::AUTHORITY).unwrap_or_default();
        let connect = head.method == Method::Connect;
        let target = if connect { authority } else { headers.get(HeaderId::PATH).unwrap_or_default() };
        let valid = is_token(method)
            && (method == b"CONNECT") == connect
            && !target.is_empty()
            && is_visible(target)
            && is_visible(authority);
        if !valid {
            return Err(Error::InvalidRequest);
        }

        let upgrade = headers.get(HeaderId::UPGRADE).filter(|value| is_one_line(value));
        let announced = headers.get(HeaderId::CONTENT_LENGTH).and_then(framing::parse_length);
        let upgrade = upgrade.filter(|_| !connect && announced.is_none_or(|length| length == 0));
        let bodiless = matches!(
            head.method,
            Method::Get | Method::Head | Method::Delete | Method::Trace | Method::Connect
        );
        let (body, length) = match announced {
            _ if connect => (None, None),
            _ if upgrade.is_some() => (None, announced),
            Some(length) => (Some(Writer::Length(length)), announced),
            None if end => (Some(Writer::Length(0)), (!bodiless).then_some(0)),
            None => (Some(Writer::Chunked), None),
        };

        let case = encode::case_of(headers, self.settings.header_case);
        let mut writer = HeadWriter::new(out);
        writer.push(method);
        writer.push(b" ");
        if self.settings.send_fully_qualified_url && !connect && target.starts_with(b"/") {
            writer.push(headers.get(HeaderId::SCHEME).filter(|scheme| is_token(scheme)).unwrap_or(b"http"));
            writer.push(b"://");
            writer.push(authority);
        }
        writer.push(target);
        writer.push(b" HTTP/1.1\r\n");
        writer.host(headers, case);
        writer.fields(headers, case, length);
        if body == Some(Writer::Chunked) {
            writer.own(HeaderId::TRANSFER_ENCODING, b"chunked", case);
        }
        if let Some(protocol) = upgrade {
            writer.own(HeaderId::CONNECTION, b"Upgrade", case);
            writer.own(HeaderId::UPGRADE, protocol, case);
        } else if self.close && !connect {
            writer.own(HeaderId::CONNECTION, b"close", case);
        }
        writer.end();

        self.head = head.method == Method::Head;
        self.connect = connect;
        self.upgrade = upgrade.is_some();
        self.receive = Receive::Head(Scanner::default());
        self.send = body.map_or(Send::Held, Send::Body);
        if end && body.is_some() {
            self.send_data(&mut Buffer::new(), true, out);
        }
        Ok(())
    }

    /// Writes a piece of the body with the framing that the head announced, and takes it out of
    /// `data`. `end`: the request is complete. While the upstream has not agreed to a tunnel
    /// nothing is taken: try again once [`in_tunnel`](Client::in_tunnel) is true. Data that has no
    /// place (after the end, or after a refused tunnel) is dropped.
    pub fn send_data(&mut self, data: &mut Buffer, end: bool, out: &mut Buffer) {
        match &mut self.send {
            Send::Held => {}
            Send::Idle | Send::Complete => data.clear(),
            Send::Body(writer) => {
                if !writer.data(data, end, out) {
                    self.body_mismatch = true;
                    self.close = true;
                }
                if end {
                    self.send = Send::Complete;
                }
            }
        }
    }

    /// Ends the request with trailers. They are dropped, and the request just ends, unless
    /// [`ClientSettings::enable_trailers`] is set and the body is chunked.
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

    /// The next event, if `input` has one; `None` if more input is needed. Call it until it
    /// returns `None`, before the connection is used again too.
    ///
    /// # Errors
    /// The upstream broke the protocol, or sent something without being asked: the connection
    /// cannot be used again, and asking again returns the same error. A response that was complete
    /// before is not affected.
    pub fn poll(&mut self, input: &mut Buffer) -> Result<Option<ResponseEvent>, Error> {
        let event = match &mut self.receive {
            Receive::Head(_) => self.poll_head(input),
            Receive::Body(reader) => {
                let rules = rules(&self.settings);
                reader.poll(input, &rules).map(|piece| piece.map(|piece| self.body_event(piece)))
            }
            Receive::Failed(error) => Err(*error),
            Receive::Idle | Receive::Complete if input.is_empty() => Ok(None),
            Receive::Idle | Receive::Complete => Err(Error::UnexpectedData),
        };
        match event {
            Ok(event) => {
                // A peer that has already sent more than this response must not have it taken for
                // the next one.
                if matches!(self.receive, Receive::Complete) && !input.is_empty() {
                    self.close = true;
                }
                Ok(event)
            }
            Err(error) => {
                self.receive = Receive::Failed(error);
                self.close = true;
                Err(error)
            }
        }
    }

    /// The upstream closed its side. Ends a body that lasts until then, and a tunnel; `None` if no
    /// response is owed.
    ///
    /// # Errors
    /// [`Error::UnexpectedEof`] in the middle of a response, or before it.
    pub fn finish(&mut self) -> Result<Option<ResponseEvent>, Error> {
        self.close = true;
        self.ended = true;
        match self.receive {
            Receive::Idle | Receive::Complete => Ok(None),
            Receive::Body(Reader::Raw) => {
                self.complete();
                Ok(Some(ResponseEvent::Data { data: Buffer::new(), end: true }))
            }
            Receive::Failed(error) => Err(error),
            _ => {
                self.receive = Receive::Failed(Error::UnexpectedEof);
                Err(Error::UnexpectedEof)
            }
        }
    }

    /// The exchange in progress, or the next one if there is none, is the last: its request, if
    /// not sent yet, carries `connection: close`.
    pub fn set_close(&mut self) {
        if self.is_idle() {
            *self = Client::new(self.settings);
        }
        self.close = true;
    }

    /// May another request follow after this exchange?
    pub fn keep_alive(&self) -> bool {
        !self.close && !matches!(self.receive, Receive::Failed(_))
    }

    /// No exchange is in progress and a request may be sent.
    pub fn is_idle(&self) -> bool {
        match (self.send, self.receive) {
            // Here `close` is about the request to come.
            (Send::Idle, Receive::Idle) => !self.ended,
            (Send::Complete, Receive::Complete) => self.keep_alive(),
            _ => false,
        }
    }

    /// Has any byte of the response to the request in progress (or the last one) been seen?
    pub fn response_started(&self) -> bool {
        match self.receive {
            Receive::Idle => false,
            Receive::Head(scanner) => scanner.started() || self.informational > 0,
            Receive::Body(_) | Receive::Complete | Receive::Failed(_) => true,
        }
    }

    /// The request has been written to its end.
    pub fn request_complete(&self) -> bool {
        self.send == Send::Complete
    }

    /// The response has been reported to its end.
    pub fn response_complete(&self) -> bool {
        matches!(self.receive, Receive::Complete)
    }

    /// How much of the body of the response is certain to follow as it is, in bytes; 0 where that is not known. So much may be
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

    /// A request did not have the length that its head announced. What was over was not written;
    /// the connection has to be closed.
    pub fn body_mismatch(&self) -> bool {
        self.body_mismatch
    }

    fn body_event(&mut self, piece: Piece) -> ResponseEvent {
        match piece {
            Piece::Data { data, end } => {
                if end {
                    self.complete();
                }
                ResponseEvent::Data { data, end }
            }
            Piece::Trailers(trailers) => {
                self.complete();
                ResponseEvent::Trailers { trailers }
            }
        }
    }

    /// The response is over. If the request is not, its rest is not waited for.
    fn complete(&mut self) {
        self.receive = Receive::Complete;
        self.close |= self.send != Send::Complete;
    }

    fn poll_head(&mut self, input: &mut Buffer) -> Result<Option<ResponseEvent>, Error> {
        let Receive::Head(scanner) = &mut self.receive else {
            return Ok(None);
        };
        let rules = rules(&self.settings);
        let head =
            head_parser::read_head(scanner, Kind::Response, input, rules.limits, |line, block, fields| {
                let line = head_parser::status_line(line)?;
                let mut headers = encode::empty(rules.case);
                encode::append(&mut headers, block, fields.iter(), rules.case);
                Ok((line, headers))
            })?;
        let Some((length, (line, mut headers))) = head else { return Ok(None) };
        let switched = line.status == 101;
        if switched && !self.upgrade {
            return Err(Error::UnexpectedUpgrade);
        }
        let facts = Facts {
            http_10: line.http_10,
            connect: self.connect,
            head: self.head,
            allow_chunked_length: self.settings.allow_chunked_length,
        };
        let (framing, last) = framing::of_response(&mut headers, line.status, facts)?;
        let options = Options::of(&headers);
        let version = if line.http_10 { Version::Http10 } else { Version::Http11 };
        let head = ResponseHead { version, status: line.status, headers };
        if line.status < 200 && !switched {
            if self.informational == MAX_INFORMATIONAL {
                return Err(Error::TooManyInformational);
            }
            input.drain(length);
            self.informational += 1;
            self.receive = Receive::Head(Scanner::default());
            return Ok(Some(ResponseEvent::Informational { head }));
        }

        input.drain(length);
        self.close |= last || !options.persistent(line.http_10);
        let tunnel = framing == Framing::Tunnel;
        if self.send == Send::Held {
            // If refused, the request was complete with its head: nothing has been sent ahead.
            self.tunnel = tunnel;
            self.send = if tunnel { Send::Body(Writer::Raw) } else { Send::Complete };
        }
        match framing {
            Framing::Empty => self.complete(),
            Framing::Length(length) => self.receive = Receive::Body(Reader::Length(length)),
            Framing::Chunked => self.receive = Receive::Body(Reader::Chunked(Chunked::new())),
            Framing::UntilClose | Framing::Tunnel => self.receive = Receive::Body(Reader::Raw),
        }
        Ok(Some(ResponseEvent::Headers { head, end: self.response_complete() }))
    }
}

fn rules(settings: &ClientSettings) -> Rules {
    Rules {
        limits: Limits { bytes: settings.max_headers_bytes, fields: settings.max_headers_count },
        trailers: settings.enable_trailers,
        case: settings.header_case,
    }
}
