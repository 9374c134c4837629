//! One of the two: a proxy process, its hosts, and what was seen of each case.

use crate::cases::{CLUSTERS, Case, LISTENERS};
use crate::support::{Client, Folder, PATIENCE, await_serving};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Everything of a session that does not depend on the moment.
const FORMAT: &str = "flags=%RESPONSE_FLAGS%/%RESPONSE_FLAGS_LONG% details=%RESPONSE_CODE_DETAILS% \
    ended=%CONNECTION_TERMINATION_DETAILS% rx=%BYTES_RECEIVED% tx=%BYTES_SENT% cluster=%UPSTREAM_CLUSTER% \
    host=%UPSTREAM_HOST% attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% failure=%UPSTREAM_TRANSPORT_FAILURE_REASON% \
    closes=%DOWNSTREAM_LOCAL_CLOSE_REASON%/%UPSTREAM_LOCAL_CLOSE_REASON% \
    ends=%DOWNSTREAM_DETECTED_CLOSE_TYPE%/%UPSTREAM_DETECTED_CLOSE_TYPE% protocol=%PROTOCOL% code=%RESPONSE_CODE% \
    type=%ACCESS_LOG_TYPE% chain=%FILTER_CHAIN_NAME% name=%REQUESTED_SERVER_NAME% method=%REQ(:METHOD)% \
    state=%FILTER_STATE(who)%/%FILTER_STATE(who:PLAIN)%/%FILTER_STATE(envoy.tcp_proxy.cluster:PLAIN)% \
    remote=%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% local=%DOWNSTREAM_LOCAL_ADDRESS%";

/// What was seen of a case, in comparable words.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub seen: Vec<String>,
    pub log: Vec<String>,
    pub counters: Vec<String>,
}

pub struct Side {
    child: Child,
    folder: Folder,
    admin: SocketAddr,
    listeners: BTreeMap<String, SocketAddr>,
    hosts: BTreeMap<&'static str, Host>,
    /// Sockets that must stay as they are while the side runs.
    _held: Vec<TcpStream>,
    _listening: Vec<socket2::Socket>,
}

struct Host {
    address: SocketAddr,
    arrived: Option<Receiver<TcpStream>>,
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A host whose connections come to the case itself.
fn host() -> Host {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (sender, arrived) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            patient(&stream);
            if sender.send(stream).is_err() {
                return;
            }
        }
    });
    Host { address, arrived: Some(arrived) }
}

fn patient(stream: &TcpStream) {
    stream.set_nodelay(true).expect("nodelay");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
}

impl Side {
    /// Starts a proxy on the configuration of the cases.
    pub fn start(mut command: Command) -> Self {
        let folder = Folder::new();
        let (mut held, mut listening) = (Vec::new(), Vec::new());
        let mut hosts = BTreeMap::new();
        for (cluster, kind, _) in CLUSTERS {
            let found = match kind {
                "host" => host(),
                "refusing" => {
                    // The local port of a connection is taken, and nobody listens at it.
                    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
                    let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback");
                    let (far, address) = listener.accept().expect("connected");
                    held.extend([near, far]);
                    Host { address, arrived: None }
                }
                "unanswering" => {
                    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
                    let socket = socket.expect("a socket");
                    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
                    socket.bind(&any.into()).expect("bound");
                    socket.listen(0).expect("listens");
                    let address = socket.local_addr().expect("bound").as_socket().expect("inet");
                    // Its queue has one place.
                    held.push(TcpStream::connect(address).expect("a place"));
                    listening.push(socket);
                    Host { address, arrived: None }
                }
                _ => Host { address: "0.0.0.0:0".parse().expect("an address"), arrived: None },
            };
            hosts.insert(cluster, found);
        }
        let address_file = folder.0.join("admin");
        let config =
            folder.file("config.yaml", &yaml(&hosts, &folder.0.join("access.log").display().to_string()));
        let errors = std::fs::File::create(folder.0.join("stderr")).expect("a file");
        let mut child = command
            .arg("-c")
            .arg(&config)
            .args(["--concurrency", "1", "--file-flush-interval-msec", "20", "--admin-address-path"])
            .arg(&address_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("the binary runs");
        let admin = await_serving(&mut child, &folder);
        let text = Client::connect(admin).get("/listeners").text();
        let listeners = text
            .lines()
            .filter_map(|line| {
                let (name, address) = line.split_once("::")?;
                Some((name.to_owned(), address.parse().ok()?))
            })
            .collect();
        Self { child, folder, admin, listeners, hosts, _held: held, _listening: listening }
    }

    /// Runs all cases and says what was seen of each.
    pub fn run(self, cases: &[Case]) -> Vec<Seen> {
        let mut all: Vec<_> = cases.iter().map(|case| self.case(case)).collect();
        let log = self.log(cases.len());
        for (seen, lines) in all.iter_mut().zip(log) {
            seen.log = lines.iter().map(|line| self.name_ports(line)).collect();
        }
        all
    }

    fn case(&self, case: &Case) -> Seen {
        let before = self.counters();
        let mut seen = Vec::new();
        (case.run)(&mut Stage { side: self, seen: &mut seen, clients: Vec::new(), servers: Vec::new() });
        self.quiet(case.name);
        let after = self.counters();
        // A session that ends at once, whose line is the mark behind those of the case.
        let mut mark = self.connect("mark");
        let _ = mark.read(&mut [0]);
        self.quiet("mark");
        let counters = after
            .iter()
            .filter_map(|(name, value)| {
                let rise = value - before.get(name).copied().unwrap_or(0);
                (rise != 0).then(|| format!("{name} +{rise}"))
            })
            .collect();
        Seen { seen, log: Vec::new(), counters }
    }

    fn connect(&self, listener: &str) -> TcpStream {
        let address = self.listeners.get(listener).unwrap_or_else(|| panic!("no listener {listener}"));
        let stream = TcpStream::connect(address).expect("the proxy listens");
        patient(&stream);
        stream
    }

    fn statistics(&self, kind: &str, filter: &str) -> Vec<(String, i64)> {
        let filter = filter.replace('\\', "%5C").replace('|', "%7C").replace('^', "%5E");
        let text = Client::connect(self.admin).get(&format!("/stats?type={kind}&filter={filter}")).text();
        let number = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        text.lines().filter_map(number).collect()
    }

    /// Waits until nothing is active.
    fn quiet(&self, case: &str) {
        let end = Instant::now() + PATIENCE;
        let active = "(cx|rq|flush)_active$|pending_active$|active_connections$";
        loop {
            let busy: Vec<_> = self
                .statistics("Gauges", active)
                .into_iter()
                .filter(|(name, value)| *value != 0 && !name.contains("admin") && !name.contains("worker"))
                .collect();
            if busy.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "after {case} not everything ends: {busy:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn counters(&self) -> BTreeMap<String, i64> {
        let all = self.statistics(
            "Counters",
            "^(tcp|cluster|listener|connection_limit|local_rate_limit|http|.*rbac)\\.",
        );
        all.into_iter().filter(|(name, _)| !IGNORED.iter().any(|ignored| name.contains(ignored))).collect()
    }

    /// The lines of each case, once all are there.
    fn log(&self, cases: usize) -> Vec<Vec<String>> {
        let end = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(self.folder.0.join("access.log")).unwrap_or_default();
            if text.matches("MARK\n").count() == cases {
                let mut lines = vec![Vec::new()];
                for line in text.lines() {
                    if line == "MARK" {
                        lines.push(Vec::new());
                    } else {
                        lines.last_mut().expect("one at least").push(line.to_owned());
                    }
                }
                return lines;
            }
            assert!(Instant::now() < end, "the access log is not complete:\n{text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Replaces the ports by the names of what listens there.
    fn name_ports(&self, text: &str) -> String {
        let listeners = self.listeners.iter().map(|(name, address)| (name.as_str(), address.port()));
        let hosts = self.hosts.iter().map(|(name, host)| (*name, host.address.port()));
        let mut text = text.to_owned();
        for (name, port) in listeners.chain(hosts) {
            text = text.replace(&format!("127.0.0.1:{port} "), &format!("<{name}> "));
            if let Some(start) = text.strip_suffix(&format!("127.0.0.1:{port}")) {
                text = format!("{start}<{name}>");
            }
        }
        text
    }
}

/// Counters that depend on how bytes fall into reads, or on the moment.
const IGNORED: [&str; 11] = [
    "flow_control",
    "upstream_flush_total",
    "upstream_cx_connect_ms",
    "worker_0",
    "update_",
    "assignment_",
    "lb_recalculate_zone_structures",
    "membership_change",
    ".admin.",
    "tcp.mark.",
    "listener.mark.",
];

/// What a case works with: clients and hosts by number, and everything that is seen is written down.
pub struct Stage<'a> {
    side: &'a Side,
    seen: &'a mut Vec<String>,
    clients: Vec<Option<TcpStream>>,
    servers: Vec<Option<TcpStream>>,
}

/// An end of a session: a client or a host's side, in the order in which they came.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum At {
    Client(usize),
    Server(usize),
}

impl Stage<'_> {
    fn stream(&mut self, at: At) -> &mut TcpStream {
        match at {
            At::Client(n) => self.clients[n].as_mut().expect("it is open"),
            At::Server(n) => self.servers[n].as_mut().expect("it is open"),
        }
    }

    pub fn connect(&mut self, listener: &str) -> &mut Self {
        self.clients.push(Some(self.side.connect(listener)));
        self
    }

    /// Waits for a connection to a host.
    pub fn accept(&mut self, cluster: &str) -> &mut Self {
        let arrived = self.side.hosts[cluster].arrived.as_ref().expect("a host that listens");
        self.servers.push(Some(arrived.recv_timeout(PATIENCE).expect("the proxy connects")));
        self
    }

    /// Whether a connection has come to a host until now.
    pub fn look(&mut self, cluster: &str) -> &mut Self {
        let came = self.side.hosts[cluster].arrived.as_ref().expect("a host that listens").try_recv().is_ok();
        self.seen.push(format!("{cluster} connected: {came}"));
        self
    }

    /// What is sent to a closed connection is lost, and reading shows it.
    pub fn send(&mut self, at: At, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream(at).write_all(bytes.as_ref());
        self
    }

    pub fn read(&mut self, at: At, n: usize) -> &mut Self {
        let mut bytes = vec![0; n];
        let got = self.stream(at).read_exact(&mut bytes);
        let text = match got {
            Ok(()) => show(&bytes),
            Err(error) => format!("not {n} bytes: {:?}", error.kind()),
        };
        self.seen.push(format!("{at:?} {text}"));
        self
    }

    /// Everything up to the end, and how it ends.
    pub fn rest(&mut self, at: At) -> &mut Self {
        let (bytes, end) = self.drain(at);
        self.seen.push(format!("{at:?} {} {end}", show(&bytes)));
        self
    }

    /// Everything up to the end, in order or by a reset: which of them depends on the moment.
    pub fn over(&mut self, at: At) -> &mut Self {
        let (bytes, _) = self.drain(at);
        self.seen.push(format!("{at:?} {} over", show(&bytes)));
        self
    }

    fn drain(&mut self, at: At) -> (Vec<u8>, &'static str) {
        let (mut bytes, mut block) = (Vec::new(), vec![0; 1 << 16]);
        let end = loop {
            match self.stream(at).read(&mut block) {
                Ok(0) => break "end",
                Ok(n) => bytes.extend_from_slice(&block[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break "reset",
                Err(_) => break "nothing",
            }
        };
        (bytes, end)
    }

    pub fn finish(&mut self, at: At) -> &mut Self {
        let _ = self.stream(at).shutdown(std::net::Shutdown::Write);
        self
    }

    pub fn close(&mut self, at: At) -> &mut Self {
        match at {
            At::Client(n) => self.clients[n] = None,
            At::Server(n) => self.servers[n] = None,
        }
        self
    }

    pub fn reset(&mut self, at: At) -> &mut Self {
        socket2::SockRef::from(&*self.stream(at)).set_linger(Some(Duration::ZERO)).expect("linger");
        self.close(at)
    }

    /// Reads at one end what is sent at the other meanwhile.
    pub fn transfer(&mut self, from: At, to: At, size: usize) -> &mut Self {
        let mut writer = self.stream(from).try_clone().expect("a copy");
        let bytes: Vec<u8> = (0..size).map(|at| (at ^ (at >> 8)) as u8).collect();
        let sent = bytes.clone();
        let sender = std::thread::spawn(move || writer.write_all(&sent).is_ok());
        let mut got = vec![0; size];
        let whole = self.stream(to).read_exact(&mut got).is_ok() && got == bytes;
        let sent = sender.join().expect("it sends");
        self.seen.push(format!("{size} bytes from {from:?} to {to:?}: sent {sent}, whole {whole}"));
        self
    }

    /// Waits until a statistic has this value.
    pub fn until(&mut self, name: &str, value: i64) -> &mut Self {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.side.statistics("All", &format!("^{}$", name.replace('.', "\\.")));
            if found.first().is_some_and(|(_, now)| *now == value) {
                return self;
            }
            assert!(Instant::now() < end, "{name} is not {value} but {found:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn show(bytes: &[u8]) -> String {
    if bytes.len() > 500 {
        return format!("{} bytes", bytes.len());
    }
    format!("{:?}", String::from_utf8_lossy(bytes))
}

/// The whole configuration.
fn yaml(hosts: &BTreeMap<&'static str, Host>, log: &str) -> String {
    let file = |format: &str| {
        format!(
            "access_log: [{{name: l, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {log}, log_format: {{text_format_source: {{inline_string: \"{format}\\n\"}}}}}}}}]"
        )
    };
    let mut text = String::from(
        "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\nstatic_resources:\n  listeners:\n",
    );
    let mark = ("mark", "", "tcp_proxy.v3.TcpProxy, stat_prefix: mark, cluster: none, @MARK@");
    for (name, options, filters) in LISTENERS.iter().chain([&mark]) {
        let filters: Vec<_> = filters
            .split(" | ")
            .map(|filter| {
                let fields = filter.replace("@LOG@", &file(FORMAT)).replace("@MARK@", &file("MARK"));
                format!(
                    "{{name: f, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.network.{fields}}}}}"
                )
            })
            .collect();
        text += &format!(
            "  - name: {name}\n    stat_prefix: {name}\n    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}\n    {options}\n    filter_chains: [{{filters: [{}]}}]\n",
            filters.join(", ")
        );
    }
    text += "  clusters:\n";
    for (name, kind, options) in CLUSTERS {
        let endpoint = if kind == "empty" {
            String::new()
        } else {
            let port = hosts[name].address.port();
            format!(
                "endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]"
            )
        };
        text += &format!(
            "  - name: {name}\n    type: STATIC\n    {options}\n    load_assignment:\n      cluster_name: {name}\n      {endpoint}\n"
        );
    }
    text
}
