//! One of the two: a proxy process, its upstreams, and what was seen of each case.

use crate::cases::{Answer, Case, Do};
use crate::support::{Folder, PATIENCE};
use crate::wire::{Message, Wire, header, show_head};
use regex::{Captures, Regex};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

#[path = "multiplexed.rs"]
mod multiplexed;

/// What was seen of a case, in comparable words.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub client: String,
    pub upstream: String,
    pub log: String,
    pub counters: String,
}

/// The upstream servers of a side: one behaviour at a time, everything recorded.
#[derive(Default)]
struct Script {
    answer: Answer,
    recorded: String,
    connections: Vec<TcpStream>,
}

pub struct Side {
    child: Child,
    folder: Folder,
    admin: SocketAddr,
    ports: BTreeMap<String, u16>,
    script: Arc<Mutex<Script>>,
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port at which nobody listens while the socket is held.
fn refusing_port() -> held::Held {
    held::Held::new()
}

mod held {
    //! A bound socket that never listens refuses connections, and nobody else gets its port.
    use std::net::{TcpListener, TcpStream};

    pub(super) struct Held {
        pub port: u16,
        _near: TcpStream,
        _far: TcpStream,
    }

    impl Held {
        /// The local port of a connection is taken, and nobody listens at it.
        pub(super) fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback");
            let (far, peer) = listener.accept().expect("connected");
            Self { port: peer.port(), _near: near, _far: far }
        }
    }
}

impl Side {
    /// Starts a proxy on the configuration of the cases.
    pub fn start(mut command: Command) -> RunningSide {
        let folder = Folder::new();
        let script = Arc::new(Mutex::new(Script::default()));
        let upstream = serve(&script);
        let refused = refusing_port();
        let address_file = folder.0.join("admin");
        let log = folder.0.join("access.log");
        let yaml = crate::config::yaml()
            .replace("@UPSTREAM@", &upstream.to_string())
            .replace("@REFUSED@", &refused.port.to_string())
            .replace("@LOG@", &log.display().to_string())
            .replace("@FORMAT@", crate::LOG);
        let config = folder.file("config.yaml", &yaml);
        let errors = std::fs::File::create(folder.0.join("stderr")).expect("a file");
        let mut child = command
            .arg("-c")
            .arg(&config)
            .args(["--concurrency", "1", "--admin-address-path"])
            .arg(&address_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("the binary runs");
        let end = Instant::now() + PATIENCE;
        let admin = loop {
            let text = std::fs::read_to_string(&address_file).unwrap_or_default();
            if let Ok(address) = text.trim().parse()
                && get(address, "/ready").is_some_and(|(status, _)| status == 200)
            {
                break address;
            }
            let ended = child.try_wait().expect("our child");
            let errors = || std::fs::read_to_string(folder.0.join("stderr")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < end, "{command:?} does not serve:\n{}", errors());
            std::thread::sleep(Duration::from_millis(5));
        };
        let (_, listeners) = get(admin, "/listeners").expect("listeners");
        let mut ports: BTreeMap<String, u16> = listeners
            .lines()
            .filter_map(|line| {
                let (name, address) = line.split_once("::")?;
                Some((name.to_owned(), address.rsplit_once(':')?.1.parse().ok()?))
            })
            .collect();
        ports.insert("upstream".to_owned(), upstream);
        ports.insert("refused".to_owned(), refused.port);
        RunningSide { side: Self { child, folder, admin, ports, script }, _refused: refused }
    }
}

/// A side, and the port that must stay taken while it runs.
pub struct RunningSide {
    side: Side,
    _refused: held::Held,
}

impl RunningSide {
    /// Runs all cases and says what was seen of each.
    pub fn run(self, cases: &[Case]) -> Vec<Seen> {
        let side = &self.side;
        let mut all: Vec<_> = cases.iter().map(|case| side.case(case)).collect();
        let log = side.log(cases.len());
        for (seen, lines) in all.iter_mut().zip(log) {
            seen.log = side.name_ports(&lines.lines().map(without_time).collect::<String>());
        }
        all
    }
}

impl Side {
    fn case(&self, case: &Case) -> Seen {
        self.script.lock().expect("script").answer = case.answer.clone();
        let before = self.counters(case.on);
        let address = SocketAddr::from(([127, 0, 0, 1], *self.ports.get(case.on).expect("a listener")));
        let stream = TcpStream::connect(address).expect("the proxy listens");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let mut text = String::new();
        if let [Do::Frames(first), steps @ ..] = &case.steps[..] {
            let mut client = multiplexed::client(stream, first);
            for step in steps {
                match step {
                    Do::AwaitUpstream => self.await_script(|script| !script.recorded.is_empty()),
                    step => multiplexed::step(step, &mut client, &mut text),
                }
            }
        } else {
            let mut client = Wire::new(stream);
            for step in &case.steps {
                self.step(step, &mut client, &mut text);
            }
        }
        self.quiet(case.name);
        let after = self.counters(case.on);
        self.mark(case.name);
        let counters = after
            .iter()
            .filter_map(|(name, value)| {
                let rise = value - before.get(name).copied().unwrap_or(0);
                (rise != 0).then(|| format!("{name} +{rise}\n"))
            })
            .collect();
        let upstream = std::mem::take(&mut self.script.lock().expect("script").recorded);
        Seen {
            client: self.name_ports(&text),
            upstream: self.name_ports(&upstream),
            log: String::new(),
            counters,
        }
    }

    fn step(&self, step: &Do, client: &mut Wire, text: &mut String) {
        match step {
            // What is sent to a closed connection is lost, and the reading shows it.
            Do::Send(bytes) => drop(client.stream.write_all(bytes)),
            Do::Response(method) => match client.response(method) {
                Some(message) => text.push_str(&message.show()),
                None => {
                    text.push_str(&format!("no response, but {:?}\n", String::from_utf8_lossy(&client.rest)));
                }
            },
            Do::Kept => {
                let probe = "GET /probe HTTP/1.1\r\nhost: probe\r\n\r\n";
                let sent = client.stream.write_all(probe.as_bytes());
                let kept = sent.is_ok() && client.response("GET").is_some();
                text.push_str(if kept { "kept\n" } else { "closed\n" });
            }
            Do::End => {
                while client.fill() {}
                text.push_str(&format!("end {:?}\n", String::from_utf8_lossy(&client.rest)));
            }
            Do::Until(mark) => {
                let got = client.until(mark.as_bytes());
                let got = got.map(|got| String::from_utf8_lossy(&got).into_owned());
                text.push_str(&format!("{got:?}\n"));
            }
            Do::HalfClose => drop(client.stream.shutdown(Shutdown::Write)),
            Do::AwaitUpstream => self.await_script(|script| !script.recorded.is_empty()),
            Do::Frames(_) | Do::Message(_) | Do::Ping | Do::Rest => {
                panic!("a case of HTTP/2 begins with frames")
            }
            Do::AwaitConnection => self.await_script(|script| !script.connections.is_empty()),
        }
    }

    fn await_script(&self, happened: impl Fn(&Script) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !happened(&self.script.lock().expect("script")) {
            assert!(Instant::now() < end, "nothing comes to the upstream");
            std::thread::yield_now();
        }
    }

    /// Waits until nothing is active.
    fn quiet(&self, case: &str) {
        let filter =
            "^((http|listener)\\..*\\.downstream_(rq|cx)_active|cluster\\..*\\.upstream_(cx|rq)_active)$";
        let path =
            format!("/stats?type=Gauges&usedonly&filter={}", filter.replace('\\', "%5C").replace('|', "%7C"));
        let end = Instant::now() + PATIENCE;
        loop {
            // Ends what the pools hold, so that every case begins alike.
            for stream in std::mem::take(&mut self.script.lock().expect("script").connections) {
                let _ = stream.shutdown(Shutdown::Both);
            }
            let (_, text) = get(self.admin, &path).expect("statistics");
            let busy: Vec<_> =
                text.lines().filter(|line| !line.ends_with(": 0") && !line.contains(".admin.")).collect();
            if busy.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "after {case} not everything ends: {busy:?}");
            std::thread::yield_now();
        }
    }

    fn counters(&self, on: &str) -> BTreeMap<String, i64> {
        let filter = format!("^(http.{on}|http2|cluster|listener.127.0.0.1_0)[.]").replace('|', "%7C");
        let (_, text) =
            get(self.admin, &format!("/stats?type=Counters&filter={filter}")).expect("statistics");
        text.lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| !IGNORED.iter().any(|ignored| name.contains(ignored)))
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap_or(0)))
            .collect()
    }

    /// A line in the access log behind those of a case.
    fn mark(&self, name: &str) {
        let address = SocketAddr::from(([127, 0, 0, 1], self.ports["mark"]));
        let path = format!("/{}", name.replace(' ', "_"));
        assert!(get(address, &path).is_some(), "the mark is answered");
        self.quiet(name);
    }

    /// The lines of each case, once all are there.
    fn log(&self, cases: usize) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read(self.folder.0.join("access.log")).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            if text.matches("MARK ").count() == cases && text.ends_with('\n') {
                let mut lines = vec![String::new()];
                for line in text.lines() {
                    if line.starts_with("MARK ") {
                        lines.push(String::new());
                    } else {
                        let last = lines.last_mut().expect("one at least");
                        last.push_str(line);
                        last.push('\n');
                    }
                }
                return lines;
            }
            assert!(Instant::now() < end, "the access log is not complete:\n{text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Replaces what differs between any two runs by a name.
    fn name_ports(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, port) in &self.ports {
            text = text.replace(&format!(":{port}"), &format!(":<{name}>"));
        }
        for (pattern, name) in VARYING.iter() {
            text = pattern.replace_all(&text, *name).into_owned();
        }
        text
    }
}

/// What differs from run to run, and what is shown for it.
static VARYING: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>"),
        (r"(?i)(date: )\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "$1<date>"),
        (r"(?i)(x-envoy-upstream-service-time: )\d+", "$1<ms>"),
        (r"(x-forwarded-port: )\d{4,}", "$1<port>"),
        (r"(?i)(x-envoy-expected-rq-timeout-ms: \d?)\d\d\b", "$1<ms>"),
    ]
    .map(|(pattern, name)| (Regex::new(pattern).expect("a pattern"), name))
    .into()
});

static TIMES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(headers=\d+/)(\d+)(/\d+ wire=)(\d+)(.* time=)(\d+)").expect("a pattern"));

/// A line of the log as if the time in a header of the response had no digits.
fn without_time(line: &str) -> String {
    let line = TIMES.replace(line, |found: &Captures<'_>| {
        let less = |at: usize| found[at].parse::<usize>().unwrap_or(0).saturating_sub(found[6].len());
        format!("{}{}{}{}{}", &found[1], less(2), &found[3], less(4), &found[5])
    });
    // How small heads become is each encoder's own affair.
    let ours = if line.contains(" HTTP/2 ") { "<h2>" } else { "$1" };
    let theirs = if line.contains("upstream=HTTP/2") { "<h2>/<h2>" } else { "$2" };
    let line = WIRE.replace(&line, format!("wire={ours}/{theirs}"));
    format!("{line}\n")
}

static WIRE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"wire=(\d+)/(\d+/\d+)").expect("a pattern"));

/// Counters that depend on how bytes fall into reads, or on the moment.
const IGNORED: [&str; 10] = [
    // Which of its two codecs it uses.
    "nghttp2",
    // We close at once (docs/differences.md).
    "downstream_cx_delayed_close_timeout",
    "_bytes_total",
    "upstream_cx_connect_ms",
    "worker_0",
    "update_",
    "assignment_",
    "lb_recalculate_zone_structures",
    "membership_change",
    "flow_control",
];

/// A GET on a connection of its own.
fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).ok()?;
    let message = Wire::new(stream).response("GET")?;
    Some((message.status(), String::from_utf8_lossy(&message.body).into_owned()))
}

/// Starts the upstream server; its port.
fn serve(script: &Arc<Mutex<Script>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let script = Arc::clone(script);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let script = Arc::clone(&script);
            std::thread::spawn(move || converse(stream, &script));
        }
    });
    port
}

/// One upstream connection.
fn converse(stream: TcpStream, script: &Mutex<Script>) {
    let _ = stream.set_nodelay(true);
    let Ok(copy) = stream.try_clone() else { return };
    script.lock().expect("script").connections.push(copy);
    let mut first = [0; 3];
    while stream.peek(&mut first).is_ok_and(|n| n > 0 && n < 3) {}
    if &first == b"PRI" {
        return multiplexed::converse(stream, script);
    }
    let mut wire = Wire::new(stream);
    while let Some(head) = wire.head() {
        if head.contains(" /probe ") {
            let _ = wire.stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            continue;
        }
        let answer = script.lock().expect("script").answer.clone();
        let record = |text: &str| script.lock().expect("script").recorded.push_str(text);
        if let Answer::Early(bytes) = &answer {
            record(&show_head(&head));
            let _ = wire.stream.write_all(bytes);
            while wire.fill() {}
            return;
        }
        let upgrade = header(&head, "upgrade").is_some() || head.starts_with("CONNECT");
        if let (Answer::Tunnel(bytes), true) = (&answer, upgrade) {
            record(&show_head(&head));
            let _ = wire.stream.write_all(bytes);
            tunnel(&mut wire, record);
            return;
        }
        let message: Message = wire.body(head, upgrade, false);
        record(&message.show());
        match &answer {
            Answer::Reply(bytes) | Answer::Tunnel(bytes) => drop(wire.stream.write_all(bytes)),
            Answer::ReplyAndClose(bytes) => {
                let _ = wire.stream.write_all(bytes);
                let _ = wire.stream.shutdown(Shutdown::Write);
            }
            Answer::Close => return drop(wire.stream.shutdown(Shutdown::Both)),
            Answer::Silent => {}
            Answer::Early(_) | Answer::Frames(..) => {}
        }
    }
}

/// Sends back what comes, in capitals; the end too.
fn tunnel(wire: &mut Wire, record: impl Fn(&str)) {
    loop {
        let data = std::mem::take(&mut wire.rest);
        if !data.is_empty() {
            let _ = wire.stream.write_all(&data.to_ascii_uppercase());
        }
        if data.ends_with(b"bye") {
            let _ = wire.stream.shutdown(Shutdown::Write);
        }
        if !wire.fill() {
            record("tunnel ended\n");
            let _ = wire.stream.shutdown(Shutdown::Write);
            return;
        }
    }
}
