//! What others make of what we forward.
//!
//! Every message that leaves us for an upstream is given to five parsers, each followed by another request: all must
//! see just these two. And what we forward, Envoy must forward too.

use crate::corpus;
use crate::support::{Folder, PATIENCE, envoy, tool};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const END: &[u8] = b"GET /end HTTP/1.1\r\nHost: end\r\nConnection: close\r\n\r\n";

/// How long to look whether anything comes of what is incomplete.
const BRIEFLY: Duration = Duration::from_millis(200);

/// What a parser has seen: the requests that came out whole behind it, and whether it refused one.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    requests: Vec<String>,
    refused: bool,
}

/// A message as it left us; `whole` if it was complete.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    bytes: Vec<u8>,
    seen: String,
    whole: bool,
}

/// Starts an upstream that says in `x-seen` what it was asked; every message comes out of the channel.
fn recorder() -> (SocketAddr, mpsc::Receiver<Message>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (record, messages) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let record = record.clone();
            std::thread::spawn(move || serve(stream, &record));
        }
    });
    (address, messages)
}

fn serve(mut stream: TcpStream, record: &mpsc::Sender<Message>) {
    let _ = stream.set_nodelay(true);
    let (mut bytes, mut block) = (Vec::new(), [0; 65536]);
    loop {
        while let Some((length, seen)) = message(&bytes) {
            let rest = bytes.split_off(length);
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-seen: {seen}\r\n\r\n");
            // Nobody may want to know.
            let _ = record.send(Message { bytes, seen, whole: true });
            bytes = rest;
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
        match stream.read(&mut block) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&block[..n]),
            _ => break,
        }
    }
    if !bytes.is_empty() {
        let _ = record.send(Message { bytes, seen: String::new(), whole: false });
    }
}

/// The first message, if it is complete: its length, and what it says. It is one of a proxy's, so the strictest
/// reading will do; anything else fails the test, since the connection is then closed.
fn message(bytes: &[u8]) -> Option<(usize, String)> {
    let find = |bytes: &[u8], mark: &[u8]| bytes.windows(mark.len()).position(|window| window == mark);
    let mut at = find(bytes, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let header = |name: &str| {
        let mut values = head.lines().filter_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        let value = values.next();
        assert!(values.next().is_none(), "{name} twice in {head:?}");
        value
    };
    let (length, coding) = (header("content-length"), header("transfer-encoding"));
    assert!(length.is_none() || coding.is_none(), "{head:?}");
    let mut body = Vec::new();
    if let Some(coding) = coding {
        assert_eq!(coding, "chunked", "{head:?}");
        loop {
            let line = find(&bytes[at..], b"\r\n")?;
            let size = std::str::from_utf8(&bytes[at..at + line]).expect("a chunk size");
            let size = usize::from_str_radix(size, 16).expect("a chunk size");
            at += line + 2;
            if size == 0 {
                while !bytes.get(at..)?.starts_with(b"\r\n") {
                    at += find(&bytes[at..], b"\r\n")? + 2;
                }
                at += 2;
                break;
            }
            body.extend_from_slice(bytes.get(at..at + size)?);
            assert_eq!(bytes.get(at + size..at + size + 2)?, b"\r\n");
            at += size + 2;
        }
    } else if let Some(length) = length {
        let length: usize = length.parse().expect("a length");
        body.extend_from_slice(bytes.get(at..at + length)?);
        at += length;
    }
    let mut line = head.split(' ');
    let (method, path) = (line.next().expect("a method"), line.next().expect("a path"));
    let body: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
    let body = if body.is_empty() { "nothing" } else { &body };
    Some((at, format!("{method} {path} {body}")))
}

/// A server on a unix socket.
struct Parser {
    name: &'static str,
    socket: PathBuf,
    child: Child,
    _folder: Folder,
}

impl Drop for Parser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Parser {
    /// `command` makes the command that serves `socket` and sends to `upstream`.
    fn start(name: &'static str, command: impl FnOnce(&Folder, &Path) -> Command) -> Self {
        let folder = Folder::new();
        let socket = folder.0.join("socket");
        let mut command = command(&folder, &socket);
        let log = std::fs::File::create(folder.0.join("log")).expect("a file");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it runs");
        let mut parser = Self { name, socket, child, _folder: folder };
        let end = Instant::now() + PATIENCE;
        while UnixStream::connect(&parser.socket).is_err() {
            let ended = parser.child.try_wait().expect("our child").is_some();
            let log = || std::fs::read_to_string(parser._folder.0.join("log"));
            assert!(!ended && Instant::now() < end, "{name} does not serve: {:?}", log());
            std::thread::sleep(Duration::from_millis(5));
        }
        parser
    }

    fn nuncio(upstream: SocketAddr) -> Self {
        Self::start("nuncio", |folder, socket| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_nuncio"));
            command.arg("-c").arg(folder.file("config.yaml", &yaml(socket, upstream)));
            command.args(["--concurrency", "1"]);
            command
        })
    }

    fn envoy(upstream: SocketAddr) -> Option<Self> {
        let binary = envoy()?;
        Some(Self::start("envoy", |folder, socket| {
            let mut command = Command::new(binary);
            command.arg("-c").arg(folder.file("config.yaml", &yaml(socket, upstream)));
            command.args(["--concurrency", "1", "--use-dynamic-base-id", "-l", "error"]);
            command
        }))
    }

    fn nginx(upstream: SocketAddr) -> Option<Self> {
        tool("nginx").then(|| {
            Self::start("nginx", |folder, socket| {
                let (root, socket) = (folder.0.display(), socket.display());
                let config = folder.file(
                    "nginx.conf",
                    &format!(
                        "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\n\
                         events {{ worker_connections 1024; }}\n\
                         http {{ access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/p;\n\
                         fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
                         large_client_header_buffers 4 64k;\n\
                         server {{ listen unix:{socket}; location / {{ proxy_http_version 1.1;\n\
                         proxy_pass http://{upstream}; }} }} }}\n"
                    ),
                );
                let system = "/usr/sbin/nginx";
                let program = if Path::new(system).is_file() { system } else { "nginx" };
                let mut command = Command::new(program);
                command.arg("-p").arg(&folder.0).arg("-c").arg(config);
                command
            })
        })
    }

    fn haproxy(upstream: SocketAddr) -> Option<Self> {
        tool("haproxy").then(|| {
            Self::start("haproxy", |folder, socket| {
                let config = folder.file(
                    "haproxy.cfg",
                    &format!(
                        "global\n  maxconn 200\n  tune.bufsize 131072\n\
                         defaults\n  mode http\n  timeout client 30s\n  timeout server 30s\n  timeout connect 5s\n\
                         frontend front\n  bind unix@{}\n  default_backend up\n\
                         backend up\n  server up {upstream}\n",
                        socket.display()
                    ),
                );
                let system = "/usr/sbin/haproxy";
                let program = if Path::new(system).is_file() { system } else { "haproxy" };
                let mut command = Command::new(program);
                command.args(["-db", "-f"]).arg(config);
                command
            })
        })
    }

    fn python() -> Option<Self> {
        tool("python3").then(|| {
            Self::start("python http.server", |_, socket| {
                let mut command = Command::new("python3");
                command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smuggling/server.py")).arg(socket);
                command
            })
        })
    }

    /// Sends the bytes, and tells what the answers say was seen of them until it closes or `patience` ends. (A client
    /// that closes its side is gone for most of them, so the end cannot be told in that way.)
    fn exchange(&self, bytes: &[u8], patience: Duration) -> Seen {
        let mut stream = UnixStream::connect(&self.socket).expect("it listens");
        stream.set_read_timeout(Some(patience)).expect("a time-out");
        // It may refuse before it has read all.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        // A reset, or nothing more.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        Seen {
            requests: answer
                .lines()
                .filter_map(|line| line.strip_prefix("x-seen: "))
                .map(str::to_owned)
                .collect(),
            refused: ["http/1.1 4", "http/1.1 5", "http/1.0 4"].iter().any(|line| answer.contains(line)),
        }
    }
}

/// One configuration for Envoy and for us.
fn yaml(socket: &Path, upstream: SocketAddr) -> String {
    format!(
        r#"
static_resources:
  listeners:
  - name: front
    address: {{pipe: {{path: {socket}}}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          generate_request_id: false
          delayed_close_timeout: 0.01s
          http_filters:
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: up}}}}]}}
  clusters:
  - name: up
    type: STATIC
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}]
"#,
        upstream.ip(),
        upstream.port(),
        socket = socket.display(),
    )
}

#[test]
fn what_we_forward_is_read_by_all_in_one_way() {
    let (upstream, recorded) = recorder();
    let front = Parser::nuncio(upstream);
    let (behind, _) = recorder();
    let oracle = Parser::envoy(behind);
    let cases = corpus::all();
    let (mut taken, mut wrong) = (0, Vec::new());
    let mut asked = BTreeSet::new();
    for case in &cases {
        let bytes = [case, END].concat();
        let ours = front.exchange(&bytes, BRIEFLY);
        if ours.requests.is_empty() || !asked.insert(bytes.clone()) {
            continue;
        }
        taken += 1;
        // Envoy may be more generous, but what it does not forward we do not either.
        if let Some(envoy) = &oracle {
            let theirs = envoy.exchange(&bytes, PATIENCE);
            if !theirs.requests.starts_with(&ours.requests) {
                let case = String::from_utf8_lossy(case);
                wrong.push(format!("{case:?}\n  forwarded as {ours:?}\n  by Envoy as {theirs:?}"));
            }
        }
    }
    assert!(taken > 100, "{taken} of {} cases are forwarded", cases.len());
    // Our connections to the upstream end, and with them what was broken off.
    drop(front);
    let messages = settled(&recorded);

    let parsers: Vec<_> = [
        Some(Parser::nuncio(behind)),
        oracle,
        Parser::nginx(behind),
        Parser::haproxy(behind),
        Parser::python(),
    ]
    .into_iter()
    .flatten()
    .collect();
    for message in &messages {
        let bytes = if message.whole { [&message.bytes, END].concat() } else { message.bytes.clone() };
        let expected = if message.whole {
            vec![message.seen.to_lowercase(), "get /end nothing".to_owned()]
        } else {
            vec![]
        };
        for parser in &parsers {
            let seen = parser.exchange(&bytes, if message.whole { PATIENCE } else { BRIEFLY });
            // One that refuses the message sees nothing behind it either.
            let agrees = seen.requests == expected || (seen.refused && seen.requests.is_empty());
            if !agrees {
                let text = String::from_utf8_lossy(&message.bytes);
                wrong.push(format!("{text:?}\n  is {expected:?}\n  but for {} {seen:?}", parser.name));
            }
        }
    }
    let names: Vec<_> = parsers.iter().map(|parser| parser.name).collect();
    println!(
        "{} cases, {taken} forwarded as {} different messages, read alike by {names:?}",
        cases.len(),
        messages.len()
    );
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// All messages, once no more of them come.
fn settled(recorded: &mpsc::Receiver<Message>) -> BTreeSet<Message> {
    let next = || recorded.recv_timeout(Duration::from_millis(200)).ok();
    std::iter::from_fn(next).collect()
}
