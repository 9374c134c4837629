//! The cases: what a client sends, how the upstream answers.

mod forwarding;
mod framing;
mod http2;
mod replies;
mod routing;
mod tunnels;

/// What an upstream does with a request.
#[derive(Clone, Debug, Default)]
pub enum Answer {
    /// These bytes, once the request is complete.
    Reply(Vec<u8>),
    /// The same, and then the end of the connection.
    ReplyAndClose(Vec<u8>),
    /// These bytes as soon as the head is there; then it only reads.
    Early(Vec<u8>),
    /// The connection ends without an answer.
    Close,
    /// No answer.
    #[default]
    Silent,
    /// HTTP/2: these frames on the request's stream (kind, flags, payload), and whether the connection ends then.
    Frames(Vec<(u8, u8, Vec<u8>)>, bool),
    /// To a request for a tunnel these bytes, then an echo in capitals that ends after `bye`.
    Tunnel(Vec<u8>),
}

/// What a client does.
#[derive(Clone, Debug)]
pub enum Do {
    Send(Vec<u8>),
    /// Reads a response to a request of this method.
    Response(&'static str),
    /// Asks something else on the same connection.
    Kept,
    /// Reads to the end of the connection.
    End,
    /// Reads until this comes.
    Until(&'static str),
    HalfClose,
    /// HTTP/2: these frames, behind the preface and SETTINGS if they are the first step.
    Frames(Vec<u8>),
    /// HTTP/2: the message on this stream.
    Message(u32),
    /// HTTP/2: a PING is answered, or the connection has ended; RST_STREAM and GOAWAY before that.
    Ping,
    /// HTTP/2: the end of the connection, with RST_STREAM and GOAWAY before it.
    Rest,
    /// Waits until the upstream has got a whole request, or the head of one that it answers early.
    AwaitUpstream,
    /// Waits until the upstream has a connection.
    AwaitConnection,
}

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    /// The listener.
    pub on: &'static str,
    pub steps: Vec<Do>,
    pub answer: Answer,
    /// Why the outcome is not the same, if that is intended.
    pub differs: Option<&'static str>,
}

impl Case {
    /// Sends these bytes and does nothing else yet.
    pub fn new(name: &'static str, on: &'static str, request: impl AsRef<[u8]>) -> Self {
        let answer = Answer::Reply(reply("200 OK", "", "ok"));
        Self { name, on, steps: vec![Do::Send(request.as_ref().to_vec())], answer, differs: None }
    }

    pub fn answer(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    /// The upstream's answer to the whole request.
    pub fn replied(self, bytes: impl AsRef<[u8]>) -> Self {
        self.answer(Answer::Reply(bytes.as_ref().to_vec()))
    }

    pub fn then(mut self, step: Do) -> Self {
        self.steps.push(step);
        self
    }

    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Do::Send(bytes.as_ref().to_vec()))
    }

    /// A response comes, and the connection stays.
    pub fn kept(self) -> Self {
        self.then(Do::Response("GET")).then(Do::Kept)
    }

    /// A response comes, and then the end.
    pub fn closed(self) -> Self {
        self.then(Do::Response("GET")).then(Do::End)
    }

    pub fn differs(mut self, why: &'static str) -> Self {
        self.differs = Some(why);
        self
    }
}

/// A request without a body; `headers` as lines.
pub fn request(method: &str, target: &str, headers: &str) -> Vec<u8> {
    let host = if headers.to_lowercase().starts_with("host:") { "" } else { "host: test.example\n" };
    message(&format!("{method} {target} HTTP/1.1\n{host}{headers}"), "")
}

/// A GET that is answered on a connection that stays.
pub fn get(name: &'static str, on: &'static str, target: &str, headers: &str) -> Case {
    Case::new(name, on, request("GET", target, headers)).kept()
}

/// A POST with a counted body.
pub fn post(target: &str, headers: &str, body: &str) -> Vec<u8> {
    let mut bytes = request("POST", target, &format!("{}content-length: {}\n", lines(headers), body.len()));
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

/// A response with a counted body.
pub fn reply(status: &str, headers: &str, body: &str) -> Vec<u8> {
    message(&format!("HTTP/1.1 {status}\n{}content-length: {}", lines(headers), body.len()), body)
}

/// A head from lines, and a body.
pub fn message(head: &str, body: &str) -> Vec<u8> {
    format!("{}\r\n\r\n{body}", head.trim_end().replace('\n', "\r\n")).into_bytes()
}

fn lines(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{}\n", text.trim_end()) }
}

/// All cases.
pub fn all() -> Vec<Case> {
    let mut all = Vec::new();
    all.extend(routing::cases());
    all.extend(forwarding::cases());
    all.extend(framing::cases());
    all.extend(replies::cases());
    all.extend(tunnels::cases());
    all.extend(http2::cases());
    for (at, case) in all.iter().enumerate() {
        assert!(!all[..at].iter().any(|other| other.name == case.name), "{} twice", case.name);
    }
    all
}
