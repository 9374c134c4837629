//! Consistent balancing by hash policies: the same client comes to the same host, and to the one that the real Envoy chooses.
//!
//! Envoy is looked for as `support::envoy` says; without it only our own side is tested, except on CI.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;

mod http;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use support::{Client, Folder, PATIENCE, await_serving};

const HOSTS: usize = 5;
/// So many that no host is left out by chance: ports, and so rings, are others in each run.
const CLIENTS: u8 = 120;

/// Name, policy and its options.
const POLICIES: [(&str, &str); 5] = [
    ("ring", "lb_policy: RING_HASH"),
    (
        "murmur",
        "lb_policy: RING_HASH, ring_hash_lb_config: {hash_function: MURMUR_HASH_2, minimum_ring_size: 500, maximum_ring_size: 640}",
    ),
    // Its shares are too uneven to say that each host has a client.
    (
        "coarse",
        "lb_policy: RING_HASH, ring_hash_lb_config: {hash_function: MURMUR_HASH_2, minimum_ring_size: 50, maximum_ring_size: 64}",
    ),
    ("maglev", "lb_policy: MAGLEV"),
    ("small", "lb_policy: MAGLEV, maglev_lb_config: {table_size: 11}"),
];
const WEIGHTS: [(&str, [u32; HOSTS]); 2] = [("equal", [1; HOSTS]), ("unequal", [1, 2, 3, 4, 50])];
/// Name, transport, policy.
const HASHES: [(&str, &str, &str); 5] = [
    ("ip", "TCP", "hash_policy: [{source_ip: {}}]"),
    ("state", "TCP", "hash_policy: [{filter_state: {key: mine}}]"),
    ("udp_ip", "UDP", "hash_policies: [{source_ip: true}]"),
    ("udp_each", "UDP", "use_per_packet_load_balancing: true, hash_policies: [{source_ip: true}]"),
    ("udp_key", "UDP", "hash_policies: [{key: hello}]"),
];

/// Hosts that answer with their letter, over TCP and UDP.
fn hosts() -> Vec<SocketAddr> {
    (0..HOSTS).map(|at| host(b'A' + at as u8)).collect()
}

fn host(letter: u8) -> SocketAddr {
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        // Somebody else may have the same port for datagrams.
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("bound")) {
            break (tcp, udp);
        }
    };
    let address = tcp.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.write_all(&[letter]);
        }
    });
    std::thread::spawn(move || {
        let mut room = [0; 64];
        while let Ok((_, from)) = udp.recv_from(&mut room) {
            let _ = udp.send_to(&[letter], from);
        }
    });
    address
}

/// A listener for each cluster and hash policy. `options` are added to those on UDP.
fn yaml(hosts: &[SocketAddr], options: &str) -> String {
    let (mut listeners, mut clusters) = (String::new(), String::new());
    for (policy, lb) in POLICIES {
        for (kind, weights) in WEIGHTS {
            let cluster = format!("{policy}_{kind}");
            let endpoints: Vec<_> = hosts
                .iter()
                .zip(weights)
                .map(|(host, weight)| format!("{{load_balancing_weight: {weight}, endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}}}", host.port()))
                .collect();
            clusters += &format!(
                "  - {{name: {cluster}, {lb}, load_assignment: {{cluster_name: {cluster}, endpoints: [{{lb_endpoints: [{}]}}]}}}}\n",
                endpoints.join(", ")
            );
            for (name, transport, hash) in HASHES {
                let (options, filters) = if transport == "TCP" {
                    (
                        "",
                        format!(
                            "filter_chains: [{{filters: [{{name: s, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config, on_new_connection: [{{object_key: mine, factory_key: envoy.hashable_string, format_string: {{text_format_source: {{inline_string: \"from %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\"}}}}}}]}}}}, {{name: t, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: {cluster}, {hash}}}}}]}}]"
                        ),
                    )
                } else {
                    (
                        options,
                        format!(
                            "listener_filters: [{{name: u, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig, stat_prefix: u, matcher: {{on_no_match: {{action: {{name: route, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: {cluster}}}}}}}}}, {hash}}}}}]"
                        ),
                    )
                };
                listeners += &format!(
                    "  - {{name: {cluster}_{name}, {options}address: {{socket_address: {{protocol: {transport}, address: 127.0.0.1, port_value: 0}}}}, {filters}}}\n"
                );
            }
        }
    }
    format!(
        "admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}\nstatic_resources:\n  listeners:\n{listeners}  clusters:\n{clusters}"
    )
}

/// A proxy of either kind.
struct Side {
    child: Child,
    _folder: Folder,
    admin: SocketAddr,
    listeners: BTreeMap<String, SocketAddr>,
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Side {
    fn start(mut command: Command, yaml: &str) -> Self {
        let folder = Folder::new();
        let config = folder.file("config.yaml", yaml);
        let address = folder.0.join("admin");
        let errors = std::fs::File::create(folder.0.join("stderr")).expect("a file");
        command.arg("-c").arg(config).arg("--admin-address-path").arg(&address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let mut child = command.spawn().expect("the binary runs");
        let admin = await_serving(&mut child, &folder);
        let text = Client::connect(admin).get("/listeners").text();
        let listeners = text.lines().filter_map(|line| {
            let (name, address) = line.split_once("::")?;
            Some((name.to_owned(), address.parse().ok()?))
        });
        let listeners = listeners.collect();
        Self { child, _folder: folder, admin, listeners }
    }

    fn ours(yaml: &str, workers: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nuncio"));
        command.args(["-l", "warn", "--concurrency", workers]);
        Self::start(command, yaml)
    }

    /// The real one, if there is one.
    fn envoy(yaml: &str) -> Option<Self> {
        let mut command = Command::new(support::envoy()?);
        command.args(["--use-dynamic-base-id", "-l", "error", "--concurrency", "1"]);
        Some(Self::start(command, yaml))
    }

    /// The letters of the hosts that clients with different addresses come to, for each listener, and the gauges.
    fn picks(&self) -> BTreeMap<String, String> {
        let mut picks: BTreeMap<_, _> = self
            .listeners
            .iter()
            .map(|(name, address)| {
                let pick = if name.contains("udp") { over_udp } else { over_tcp };
                let letters = (1..=CLIENTS).map(|client| pick(Ipv4Addr::new(127, 0, 0, client), *address));
                (name.clone(), letters.collect())
            })
            .collect();
        let stats = Client::connect(self.admin).get("/stats?filter=_lb%5C.%28size%7Cm..%5f%29").text();
        for line in stats.lines() {
            let (name, value) = line.split_once(": ").expect("a statistic");
            picks.insert(name.to_owned(), value.to_owned());
        }
        picks
    }
}

fn over_tcp(client: Ipv4Addr, proxy: SocketAddr) -> char {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((client, 0)).into()).expect("loopback");
    socket.connect(&proxy.into()).expect("the proxy listens");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut letter = [0];
    stream.read_exact(&mut letter).expect("a host");
    letter[0].into()
}

fn over_udp(client: Ipv4Addr, proxy: SocketAddr) -> char {
    let socket = UdpSocket::bind((client, 0)).expect("loopback");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket.connect(proxy).expect("loopback");
    socket.send(b"?").expect("room");
    let mut letter = [0];
    socket.recv(&mut letter).expect("a host");
    letter[0].into()
}

#[test]
fn clients_keep_their_hosts_whichever_worker_has_them() {
    let yaml = yaml(&hosts(), "");
    let first = Side::ours(&yaml, "2").picks();
    assert!(first == Side::ours(&yaml, "3").picks());
    let used = |name: &str| {
        let letters = first.get(name).expect("a listener").bytes();
        letters.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(first.len(), 10 * 5 + 6 * 3 + 4 * 2, "{:?}", first.keys());
    for policy in ["ring", "murmur", "maglev", "small"] {
        for hash in ["ip", "state", "udp_ip", "udp_each"] {
            assert_eq!(used(&format!("{policy}_equal_{hash}")), HOSTS, "{policy} {hash}");
        }
        assert_eq!(used(&format!("{policy}_equal_udp_key")), 1, "{policy}");
        assert_eq!(first[&format!("{policy}_equal_ip")], first[&format!("{policy}_equal_udp_ip")]);
    }
}

#[test]
fn envoy_chooses_the_same_hosts() {
    let hosts = hosts();
    // It would take a port that another process has, too.
    let Some(theirs) = Side::envoy(&yaml(&hosts, "enable_reuse_port: false, ")) else { return };
    let theirs = theirs.picks();
    let ours = Side::ours(&yaml(&hosts, ""), "1").picks();
    for (name, ours) in &ours {
        assert_eq!(theirs.get(name), Some(ours), "{name}");
    }
    assert_eq!(theirs.len(), ours.len());
}
