//! Network filters and the TCP proxy end to end: the real binary between real sockets.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;

mod connecting;
mod filters;
mod lifecycle;
mod limits;
mod peers;
mod relaying;
mod tunnels;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use support::{PATIENCE, Proxy};

/// A network filter in YAML; `body` are its fields.
pub fn filter(name: &str, body: &str) -> String {
    let comma = if body.is_empty() { "" } else { ", " };
    format!(
        "{{name: f, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.network.{name}{comma}{body}}}}}"
    )
}

/// A TCP proxy that counts as `tcp.t.`; `body` are its other fields.
pub fn tcp_proxy(body: &str) -> String {
    filter("tcp_proxy.v3.TcpProxy", &format!("stat_prefix: t, {body}"))
}

/// An access log to a file, in this format.
pub fn access_log(path: &str, format: &str) -> String {
    format!(
        "access_log: [{{name: l, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {path}, log_format: {{text_format_source: {{inline_string: \"{format}\\n\"}}}}}}}}]"
    )
}

/// A configuration: listeners with their filters and options, clusters with their hosts and options.
pub fn yaml(listeners: &[(&str, &[String], &str)], clusters: &[(&str, &[SocketAddr], &str)]) -> String {
    let mut text = String::from(
        "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\nstatic_resources:\n  listeners:\n",
    );
    for (name, filters, options) in listeners {
        text += &format!(
            "  - name: {name}\n    stat_prefix: {name}\n    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}\n    {options}\n    filter_chains: [{{filters: [{}]}}]\n",
            filters.join(", ")
        );
    }
    text += "  clusters:\n";
    for (name, hosts, options) in clusters {
        let hosts: Vec<_> = hosts
            .iter()
            .map(|host| {
                format!(
                    "{{endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}",
                    host.ip(),
                    host.port()
                )
            })
            .collect();
        text += &format!(
            "  - name: {name}\n    type: STATIC\n    {options}\n    load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{}]}}]}}\n",
            hosts.join(", ")
        );
    }
    text
}

/// A proxy with one listener that passes everything to one host.
pub fn plain(host: SocketAddr) -> Proxy {
    Proxy::start(&yaml(&[("main", &[tcp_proxy("cluster: up")], "")], &[("up", &[host], "")]))
}

/// A host whose connections come to the test itself.
pub struct Host {
    pub address: SocketAddr,
    arrived: Receiver<TcpStream>,
}

impl Host {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (sender, arrived): (Sender<TcpStream>, _) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                patient(&stream);
                if sender.send(stream).is_err() {
                    return;
                }
            }
        });
        Self { address, arrived }
    }

    /// The next connection.
    pub fn next(&self) -> TcpStream {
        self.arrived.recv_timeout(PATIENCE).expect("the proxy connects")
    }

    /// Whether no connection has come.
    pub fn is_idle(&self) -> bool {
        self.arrived.try_recv().is_err()
    }
}

/// A host that sends back what comes, and the end too.
pub fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut block = [0; 65536];
                while let Ok(n) = stream.read(&mut block) {
                    if n == 0 || stream.write_all(&block[..n]).is_err() {
                        break;
                    }
                }
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

/// An address at which connections are refused, as long as what is returned lives.
pub fn refusing() -> (SocketAddr, TcpStream, TcpStream) {
    // The local port of a connection is taken, and nobody listens at it.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback");
    let (far, peer) = listener.accept().expect("connected");
    (peer, near, far)
}

fn patient(stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_nodelay(true).expect("nodelay");
}

/// A connection to a listener of the proxy.
pub fn connect(proxy: &Proxy, listener: &str) -> TcpStream {
    let stream = TcpStream::connect(proxy.address(listener)).expect("the proxy listens");
    patient(&stream);
    stream
}

/// So many bytes.
pub fn read(stream: &mut TcpStream, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    stream.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{n} bytes: {error}"));
    bytes
}

/// How a stream ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    InOrder,
    Reset,
}

/// Everything up to the end of the stream.
pub fn rest(stream: &mut TcpStream) -> (Vec<u8>, Ended) {
    let (mut bytes, mut block) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match stream.read(&mut block) {
            Ok(0) => return (bytes, Ended::InOrder),
            Ok(n) => bytes.extend_from_slice(&block[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return (bytes, Ended::Reset);
            }
            Err(error) => panic!("after {} bytes: {error}", bytes.len()),
        }
    }
}

/// Closes a stream with a reset.
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger");
}

/// The lines of an access log, once there are so many.
pub fn lines(path: &std::path::Path, count: usize) -> Vec<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count && text.ends_with('\n') {
            return lines;
        }
        assert!(Instant::now() < end, "{count} lines are expected: {text}");
        std::thread::yield_now();
    }
}
