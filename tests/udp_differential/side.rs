//! One side: a proxy with a listener and a cluster for each case, and what was seen of it.

use crate::cases::{Case, Hosts};
use crate::support::{Client as Http, Folder, PATIENCE};
use crate::udp_support::{Client, Host, TO_UP, endpoint, reserved};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// What one case has led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub traffic: Vec<String>,
    pub log: Vec<String>,
    pub counters: Vec<String>,
}

/// A proxy that is not started yet.
pub struct Side {
    command: Command,
    /// Its listeners have this besides.
    listener: &'static str,
    folder: Folder,
}

/// A running proxy.
struct Running {
    child: Child,
    admin: SocketAddr,
    folder: Folder,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything about a session that does not depend on the moment.
const LOG: &str = "%ACCESS_LOG_TYPE% protocol=%PROTOCOL% code=%RESPONSE_CODE% flags=%RESPONSE_FLAGS%/%RESPONSE_FLAGS_LONG% \
    details=%RESPONSE_CODE_DETAILS% rx=%BYTES_RECEIVED% tx=%BYTES_SENT% cluster=%UPSTREAM_CLUSTER%/%UPSTREAM_CLUSTER_RAW% \
    host=%UPSTREAM_HOST% name=%UPSTREAM_HOST_NAME% remote=%UPSTREAM_REMOTE_ADDRESS% failure=%UPSTREAM_TRANSPORT_FAILURE_REASON% \
    local=%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% from=%DOWNSTREAM_REMOTE_ADDRESS% direct=%DOWNSTREAM_DIRECT_REMOTE_ADDRESS% \
    ids=%CONNECTION_ID%/%UPSTREAM_CONNECTION_ID% attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% \
    wire=%DOWNSTREAM_WIRE_BYTES_RECEIVED%/%DOWNSTREAM_WIRE_BYTES_SENT%/%UPSTREAM_WIRE_BYTES_SENT%/%UPSTREAM_WIRE_BYTES_RECEIVED% \
    route=%ROUTE_NAME% chain=%FILTER_CHAIN_NAME% method=%REQ(:METHOD)% closed=%CONNECTION_TERMINATION_DETAILS% \
    times=%REQUEST_DURATION%/%RESPONSE_DURATION% data=%DYNAMIC_METADATA(udp.proxy.session)% \
    sent=%DYNAMIC_METADATA(udp.proxy.session:datagrams_sent)% none=%DYNAMIC_METADATA(udp.proxy.session:no)% \
    cut=%DYNAMIC_METADATA(udp.proxy.session:cluster_name):2%";

/// What of the counters is compared, without the prefix of the case.
fn compared(name: &str) -> bool {
    let never = ["tunnel", "worker_", "connect_with", "transport_socket", "global", "pre_cx", "overload"];
    !never.iter().any(|part| name.contains(part))
        && ["udp.", "downstream_rx", "upstream_cx_overflow", "upstream_cx_none", "upstream_cx_rx_bytes_total"]
            .into_iter()
            .chain(["upstream_cx_tx_bytes_total", "upstream_cx_total", "upstream_cx_active"])
            .any(|part| name.contains(part))
}

impl Side {
    pub fn start(command: Command, listener: &'static str) -> Self {
        Self { command, listener, folder: Folder::new() }
    }

    pub fn run(self, cases: &[Case]) -> Vec<Seen> {
        let hosts: Vec<Vec<Host>> = cases.iter().map(|case| case.hosts.start()).collect();
        let reserved = reserved();
        let nobody = reserved.local_addr().expect("bound");
        let (mut listeners, mut clusters) = (String::new(), String::new());
        for (case, hosts) in cases.iter().zip(&hosts) {
            let mut addresses: Vec<_> = hosts.iter().map(|host| host.address).collect();
            if matches!(case.hosts, Hosts::Nobody) {
                addresses.push(nobody);
            }
            listeners += &listener(case, self.listener, &self.folder);
            clusters += &cluster(case, &addresses);
        }
        let yaml = format!(
            "admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}\nstatic_resources:\n  listeners:\n{listeners}  clusters:\n{clusters}"
        );
        let running = Running::start(self, &yaml);
        let ports = running.ports();
        let results: Vec<_> = cases
            .iter()
            .zip(&hosts)
            .map(|(case, hosts)| {
                let server = SocketAddr::new(case.to.parse().expect("an address"), ports[case.name]);
                let mut script =
                    Script { side: &running, case, server, clients: Vec::new(), hosts, traffic: Vec::new() };
                (case.script)(&mut script);
                let traffic = std::mem::take(&mut script.traffic);
                let clients: Vec<_> = script.clients.iter().map(Client::address).collect();
                (traffic, clients)
            })
            .collect();
        // All sessions end, and have their lines.
        cases
            .iter()
            .zip(&hosts)
            .zip(results)
            .map(|((case, hosts), (traffic, clients))| {
                running.await_stat(&format!("udp.{}.downstream_sess_active", case.name), 0);
                let sessions = running.stat(&format!("udp.{}.downstream_sess_total", case.name)).unwrap_or(0);
                let mut log = running.log(case, sessions as usize);
                let names = |line: &str| named(line, &clients, hosts, nobody);
                log = log.iter().map(|line| names(line)).collect();
                log.sort();
                if case.periodic {
                    log.dedup();
                }
                Seen {
                    traffic: traffic.iter().map(|line| names(line)).collect(),
                    log,
                    counters: running.counters(case),
                }
            })
            .collect()
    }
}

fn listener(case: &Case, more: &str, folder: &Folder) -> String {
    let name = case.name;
    let route = if case.route.is_empty() { TO_UP.to_owned() } else { indented(case.route, 8) };
    let route = route.replace("cluster: up", &format!("cluster: {name}"));
    let log = format!(
        "access_log:\n- name: text\n  typed_config:\n    \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog\n    path: {}\n    log_format: {{text_format_source: {{inline_string: \"{LOG}\\n\"}}}}\n- name: json\n  typed_config:\n    \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog\n    path: {}\n    log_format: {{json_format: {{all: \"%DYNAMIC_METADATA(udp.proxy.session)%\", one: \"%DYNAMIC_METADATA(udp.proxy.session:bytes_sent)%\", no: \"%DYNAMIC_METADATA(udp.proxy.session:no)%\", text: \"x%DYNAMIC_METADATA(udp.proxy.session:bytes_sent)%\", name: \"%DYNAMIC_METADATA(udp.proxy.session:cluster_name)%\", rx: \"%BYTES_RECEIVED%\", protocol: \"%PROTOCOL%\"}}}}\n",
        folder.0.join(format!("{name}.text")).display(),
        folder.0.join(format!("{name}.json")).display()
    );
    format!(
        "  - name: {name}\n    stat_prefix: {name}\n    address: {{socket_address: {{protocol: UDP, address: \"{}\", port_value: 0}}}}\n{}    listener_filters:\n    - name: envoy.filters.udp_listener.udp_proxy\n      typed_config:\n        \"@type\": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig\n        stat_prefix: {name}\n        idle_timeout: 1s\n{}{}{route}",
        case.address,
        indented(&format!("{more}{}", case.listener), 4),
        indented(case.proxy, 8),
        indented(&log, 8),
    )
}

fn cluster(case: &Case, hosts: &[SocketAddr]) -> String {
    let endpoints: String = hosts.iter().map(|host| endpoint(*host)).collect();
    let endpoints = if hosts.is_empty() { " []\n".to_owned() } else { format!("\n{endpoints}") };
    let endpoints = endpoints.replace("socket_address: {", case.endpoint);
    format!(
        "  - name: {0}\n    type: STATIC\n{1}    load_assignment:\n      cluster_name: {0}\n      endpoints:\n      - lb_endpoints:{endpoints}",
        case.name,
        indented(case.cluster, 4)
    )
}

fn indented(text: &str, by: usize) -> String {
    text.trim_matches('\n').lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// A line without what is another at each start.
fn named(line: &str, clients: &[SocketAddr], hosts: &[Host], nobody: SocketAddr) -> String {
    let mut line = line.replace(&nobody.to_string(), "<nobody>");
    for (n, client) in clients.iter().enumerate() {
        line = line.replace(&client.to_string(), &format!("<client {n}>"));
    }
    // Which of several a balancer begins with is chance.
    for host in hosts {
        line = line.replace(&host.address.to_string(), "<host>");
    }
    line
}

impl Running {
    fn start(side: Side, yaml: &str) -> Self {
        let Side { mut command, folder, .. } = side;
        let path = folder.0.join("admin");
        let child = command
            .args(["--concurrency", "1", "--file-flush-interval-msec", "20", "-c"])
            .arg(folder.file("config.yaml", yaml))
            .arg("--admin-address-path")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut running = Self { child, admin: SocketAddr::from(([127, 0, 0, 1], 0)), folder };
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "it does not start");
            assert!(running.child.try_wait().expect("our child").is_none(), "it has ended");
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if let Ok(address) = text.trim().parse() {
                running.admin = address;
                if running.get("/ready").starts_with("LIVE") {
                    return running;
                }
            }
            std::thread::yield_now();
        }
    }

    fn get(&self, path: &str) -> String {
        Http::connect(self.admin).get(path).text()
    }

    fn ports(&self) -> HashMap<String, u16> {
        let text = self.get("/listeners");
        text.lines()
            .filter_map(|line| line.split_once("::").map(|(name, address)| (name.to_owned(), address)))
            .map(|(name, address)| (name, address.parse::<SocketAddr>().expect("an address").port()))
            .collect()
    }

    fn stat(&self, name: &str) -> Option<u64> {
        let text = self.get(&format!("/stats?filter=^{name}$"));
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?.parse().ok()
    }

    /// Waits for a statistic; says what it is in the end.
    fn await_stat(&self, name: &str, value: u64) -> Option<u64> {
        let end = Instant::now() + PATIENCE / 4;
        loop {
            let now = self.stat(name);
            if now == Some(value) || Instant::now() > end {
                return now;
            }
            std::thread::yield_now();
        }
    }

    fn counters(&self, case: &Case) -> Vec<String> {
        let prefixes = ["udp.", "cluster.", "listener."].map(|scope| format!("{scope}{}.", case.name));
        let text = self.get("/stats");
        text.lines()
            .filter(|line| prefixes.iter().any(|prefix| line.starts_with(prefix) && compared(line)))
            .map(str::to_owned)
            .collect()
    }

    /// The lines of both logs, once they have as many as there are sessions.
    fn log(&self, case: &Case, sessions: usize) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        for kind in ["text", "json"] {
            loop {
                let path = self.folder.0.join(format!("{}.{kind}", case.name));
                let text = std::fs::read_to_string(path).unwrap_or_default();
                let ends =
                    text.lines().filter(|line| kind == "json" || line.starts_with("UdpSessionEnd")).count();
                if ends >= sessions || Instant::now() > end {
                    all.extend(text.lines().map(str::to_owned));
                    break;
                }
                std::thread::yield_now();
            }
        }
        all
    }
}

/// What a case does.
pub struct Script<'a> {
    side: &'a Running,
    case: &'a Case,
    server: SocketAddr,
    clients: Vec<Client>,
    hosts: &'a [Host],
    traffic: Vec<String>,
}

impl Script<'_> {
    /// A new client from this address; gives its number.
    pub fn client(&mut self, from: &str) -> usize {
        let from = SocketAddr::new(from.parse().expect("an address"), 0);
        self.clients.push(Client::from(from, self.server));
        self.clients.len() - 1
    }

    pub fn send(&mut self, client: usize, data: &[u8]) {
        self.clients[client].send(data);
    }

    /// Sends and notes what comes back.
    pub fn ask(&mut self, client: usize, data: &[u8]) -> Vec<u8> {
        self.clients[client].send(data);
        self.hear(client)
    }

    /// Notes what comes next.
    pub fn hear(&mut self, client: usize) -> Vec<u8> {
        let data = self.clients[client].receive();
        let start = String::from_utf8_lossy(&data[..data.len().min(12)]).into_owned();
        self.traffic.push(format!("{client} < {} bytes {start}", data.len()));
        data
    }

    /// The same, but only the client knows what came.
    pub fn ask_quietly(&mut self, client: usize, data: &[u8]) -> Vec<u8> {
        self.clients[client].send(data);
        self.clients[client].receive()
    }

    pub fn note(&mut self, line: String) {
        self.traffic.push(line);
    }

    /// Waits until a statistic below the case's own part has this value, and notes what it is; `S` stands for the name.
    pub fn wait(&mut self, name: &str, value: u64) {
        let name = name.replace('S', self.case.name);
        let now = self.side.await_stat(&name, value);
        self.traffic.push(format!("{name} is {now:?}"));
    }

    /// How many sockets a host has heard from, and whether the client's own address was among their addresses.
    pub fn senders(&mut self, host: usize) {
        let senders = self.hosts[host].senders();
        let own =
            self.clients.iter().filter(|client| senders.keys().any(|s| s.ip() == client.address().ip()));
        let own = own.count();
        self.traffic.push(format!("host {host}: {} senders, {own} by address", senders.len()));
    }
}
