//! HTTP/1 messages as they come, read leniently: what is compared, not what is judged.

use std::io::Read;
use std::net::TcpStream;

/// A connection and what was read from it beyond the last message.
pub struct Wire {
    pub stream: TcpStream,
    pub rest: Vec<u8>,
}

/// A message with its body without chunk framing.
pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
    pub chunked: bool,
    pub trailers: String,
    /// Ended by the end of the connection, maybe too early.
    pub cut: bool,
}

/// The value of a header.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, rest: Vec::new() }
    }

    /// False at the end of the connection.
    pub fn fill(&mut self) -> bool {
        let mut block = [0; 65536];
        match self.stream.read(&mut block) {
            Ok(n) => {
                self.rest.extend_from_slice(&block[..n]);
                n > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                self.rest.extend_from_slice(b"<nothing came for long>");
                false
            }
            Err(_) => false,
        }
    }

    pub fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.rest.windows(mark.len()).position(|window| window == mark) {
                return Some(self.rest.drain(..at + mark.len()).collect());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// So many bytes, or what there is until the end.
    fn up_to(&mut self, n: usize) -> (Vec<u8>, bool) {
        while self.rest.len() < n {
            if !self.fill() {
                return (std::mem::take(&mut self.rest), true);
            }
        }
        (self.rest.drain(..n).collect(), false)
    }

    pub fn head(&mut self) -> Option<String> {
        self.until(b"\r\n\r\n").map(|head| String::from_utf8_lossy(&head).into_owned())
    }

    /// The rest of a message; `bodiless` where its head says nothing about that.
    pub fn body(&mut self, head: String, bodiless: bool, until_closed: bool) -> Message {
        let mut message =
            Message { chunked: false, body: Vec::new(), trailers: String::new(), cut: false, head };
        if bodiless {
        } else if header(&message.head, "transfer-encoding").is_some() {
            message.chunked = true;
            message.cut = self.chunks(&mut message.body, &mut message.trailers).is_none();
        } else if let Some(length) = header(&message.head, "content-length") {
            let length = length.parse().unwrap_or(0);
            (message.body, message.cut) = self.up_to(length);
        } else if until_closed {
            while self.fill() {}
            message.body = std::mem::take(&mut self.rest);
            message.cut = true;
        }
        message
    }

    fn chunks(&mut self, body: &mut Vec<u8>, trailers: &mut String) -> Option<()> {
        loop {
            let line = self.until(b"\r\n")?;
            let size = String::from_utf8_lossy(&line).trim().split(';').next().map(str::to_owned)?;
            let size = usize::from_str_radix(&size, 16).ok()?;
            if size == 0 {
                break;
            }
            let (data, cut) = self.up_to(size);
            body.extend(data);
            if cut {
                return None;
            }
            self.until(b"\r\n")?;
        }
        loop {
            let line = self.until(b"\r\n")?;
            if line == b"\r\n" {
                return Some(());
            }
            trailers.push_str(&String::from_utf8_lossy(&line));
        }
    }

    /// The next response to a request of this method.
    pub fn response(&mut self, method: &str) -> Option<Message> {
        let head = self.head()?;
        let status: u16 = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
        let bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        Some(self.body(head, bodiless, true))
    }
}

/// A head with its headers in the order of their names: only that of one name means something.
pub fn show_head(head: &str) -> String {
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default();
    let mut headers: Vec<_> = lines.collect();
    headers.sort_by_key(|line| line.split(':').next().unwrap_or_default().to_lowercase());
    format!("{first}\n{}\n\n", headers.join("\n"))
}

impl Message {
    pub fn status(&self) -> u16 {
        self.head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// As text to compare: long bodies as their length.
    pub fn show(&self) -> String {
        let body = match self.body.len() {
            0..=2000 => format!("{:?}", String::from_utf8_lossy(&self.body)),
            n => format!("{n} bytes, sum {}", self.body.iter().map(|b| u64::from(*b)).sum::<u64>()),
        };
        let kind = if self.chunked { "chunks" } else { "body" };
        let cut = if self.cut { " (until the end)" } else { "" };
        format!("{}[{kind}{cut} {body}]\n{}", show_head(&self.head), self.trailers)
    }
}
