//! What the tests of UDP share: hosts that answer datagrams, clients, configurations.

#![allow(missing_docs, unreachable_pub, reason = "shared by test binaries, documented where it is not plain")]
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a test waits for what must happen before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A host: a thread that answers datagrams.
pub struct Host {
    pub address: SocketAddr,
    /// Datagrams that came.
    pub count: Arc<AtomicU64>,
    /// How many came from where.
    senders: Arc<Mutex<HashMap<SocketAddr, u64>>>,
    stop: Arc<AtomicBool>,
}

impl Host {
    /// Answers each datagram with those that `script` makes of it.
    pub fn start(at: &str, script: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind(at).expect("a port");
        // Bursts of a test are larger than what the system keeps by itself.
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
        let address = socket.local_addr().expect("bound");
        let (count, senders) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(HashMap::new())));
        let stop = Arc::new(AtomicBool::new(false));
        let host = Self {
            address,
            count: Arc::clone(&count),
            senders: Arc::clone(&senders),
            stop: Arc::clone(&stop),
        };
        std::thread::spawn(move || {
            let mut room = vec![0; 1 << 16];
            while !stop.load(Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut room) else { continue };
                *senders.lock().expect("senders").entry(from).or_default() += 1;
                for answer in script(&room[..length]) {
                    let _ = socket.send_to(&answer, from);
                }
                count.fetch_add(1, Relaxed);
            }
        });
        host
    }

    /// Sends everything back.
    pub fn echo() -> Self {
        Self::start("127.0.0.1:0", |data| vec![data.to_vec()])
    }

    /// Sends everything back behind a name.
    pub fn named(name: &str) -> Self {
        let name = name.as_bytes().to_vec();
        Self::start("127.0.0.1:0", move |data| vec![[&name, data].concat()])
    }

    /// Takes everything and says nothing.
    pub fn sink() -> Self {
        Self::start("127.0.0.1:0", |_| Vec::new())
    }

    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Waits until so many datagrams have come in all.
    pub fn await_count(&self, count: u64) {
        let end = Instant::now() + PATIENCE;
        while self.count() < count {
            assert!(Instant::now() < end, "only {} of {count} datagrams came", self.count());
            std::thread::yield_now();
        }
    }

    /// Sockets that have sent something.
    pub fn senders(&self) -> HashMap<SocketAddr, u64> {
        self.senders.lock().expect("senders").clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

/// A port that is taken, so that nobody else gets it, and where nobody listens: the socket hears one other port only.
pub fn reserved() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect("127.0.0.1:9").expect("connected");
    socket
}

/// A client of one server.
pub struct Client {
    pub socket: UdpSocket,
}

impl Client {
    pub fn connect(server: SocketAddr) -> Self {
        let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        Self::from(any.parse().expect("an address"), server)
    }

    pub fn from(address: SocketAddr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).expect("a port");
        socket.connect(server).expect("connected");
        // What somebody has sent to this port before, to whoever had it then.
        socket.set_nonblocking(true).expect("an option");
        while socket.recv(&mut [0; 8]).is_ok() {}
        socket.set_nonblocking(false).expect("an option");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
        Self { socket }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    pub fn send(&self, data: &[u8]) {
        self.socket.send(data).expect("sent");
    }

    pub fn receive(&self) -> Vec<u8> {
        let mut room = vec![0; 1 << 16];
        let length = self.socket.recv(&mut room).expect("an answer");
        room.truncate(length);
        room
    }

    pub fn ask(&self, data: &[u8]) -> Vec<u8> {
        self.send(data);
        self.receive()
    }

    /// Asks again when there is no answer for a while.
    pub fn ask_until_answered(&self, data: &[u8]) -> Vec<u8> {
        let end = Instant::now() + PATIENCE;
        self.socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
        let mut room = vec![0; 1 << 16];
        let length = loop {
            self.send(data);
            match self.socket.recv(&mut room) {
                Ok(length) => break length,
                Err(error) => assert!(Instant::now() < end, "no answer: {error}"),
            }
        };
        self.socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        room.truncate(length);
        room
    }

    /// Asserts that nothing has come so far.
    pub fn assert_silence(&self) {
        self.socket.set_nonblocking(true).expect("an option");
        let got = self.socket.recv(&mut [0; 16]);
        assert!(got.is_err(), "{got:?} bytes came");
        self.socket.set_nonblocking(false).expect("an option");
    }
}

/// A source address of its own for each number: 127.1.0.1 to 127.254.255.254, ports of clients.
pub fn source(number: u32) -> SocketAddr {
    let [b, c, d] =
        [1 + number / (254 * 256) % 254, number / 254 % 256, 1 + number % 254].map(|part| part as u8);
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, b, c, d)), 0)
}

/// A UDP listener in a configuration.
#[derive(Clone, Copy)]
pub struct Listener<'a> {
    /// Fields of the listener, indented by four.
    pub listener: &'a str,
    pub address: &'a str,
    pub port: u16,
    /// Fields of the proxy but for `stat_prefix` and the route, indented by eight.
    pub proxy: &'a str,
    /// The route, indented by eight.
    pub route: &'a str,
    /// Fields of the cluster `up`, indented by four.
    pub cluster: &'a str,
    /// Further clusters.
    pub clusters: &'a str,
}

pub const TO_UP: &str = r#"        matcher:
          on_no_match:
            action:
              name: route
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route
                cluster: up
"#;

impl Default for Listener<'_> {
    fn default() -> Self {
        Self {
            listener: "",
            address: "127.0.0.1",
            port: 0,
            proxy: "",
            route: TO_UP,
            cluster: "",
            clusters: "",
        }
    }
}

impl Listener<'_> {
    /// The whole configuration, with `hosts` in the cluster `up`.
    pub fn config(&self, hosts: &[SocketAddr]) -> String {
        let Self { listener, address, port, proxy, route, cluster, clusters } = self;
        let endpoints = hosts.iter().map(|host| endpoint(*host)).collect::<String>();
        let endpoints = if hosts.is_empty() { " []\n".to_owned() } else { format!("\n{endpoints}") };
        format!(
            r#"
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - name: main
    address: {{socket_address: {{protocol: UDP, address: "{address}", port_value: {port}}}}}
{listener}    listener_filters:
    - name: envoy.filters.udp_listener.udp_proxy
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig
        stat_prefix: test
{proxy}{route}  clusters:
  - name: up
    type: STATIC
{cluster}    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:{endpoints}{clusters}"#
        )
    }
}

pub fn endpoint(host: SocketAddr) -> String {
    format!(
        "        - endpoint: {{address: {{socket_address: {{address: \"{}\", port_value: {}}}}}}}\n",
        host.ip(),
        host.port()
    )
}

/// A configuration that sends everything to these hosts, with these fields of the proxy.
pub fn udp(proxy: &str, hosts: &[SocketAddr]) -> String {
    Listener { proxy, ..Listener::default() }.config(hosts)
}
