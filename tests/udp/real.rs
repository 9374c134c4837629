//! Real peers: dig and dnsperf in front, dnsmasq behind.

use crate::support::{Folder, Proxy, tool};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A name server that knows the names below `test.example`.
struct Dnsmasq {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(name: &str) -> PathBuf {
    let path = PathBuf::from("/usr/sbin").join(name);
    if path.is_file() { path } else { name.into() }
}

fn dnsmasq() -> Dnsmasq {
    // It cannot tell which port it got: take one that was free a moment ago, and another if it is gone.
    loop {
        let port =
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let folder = Folder::new();
        let long = "x".repeat(250);
        let config = folder.file(
            "dnsmasq.conf",
            &format!(
                "port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nno-daemon\nuser=\npid-file=\n\
                 local-ttl=60\naddress=/test.example/192.0.2.7\naddress=/six.example/2001:db8::7\n\
                 edns-packet-max=4096\n{}",
                (0..9).map(|n| format!("txt-record=long.example,{n}{long}\n")).collect::<String>()
            ),
        );
        let mut child = Command::new(program("dnsmasq"))
            .arg(format!("--conf-file={}", config.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("dnsmasq starts");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
        client.connect(address).expect("connected");
        client.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
        let end = Instant::now() + crate::udp_support::PATIENCE;
        loop {
            // The question for `a.`, class IN, type A.
            let _ = client.send(b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01");
            if client.recv(&mut [0; 512]).is_ok() {
                return Dnsmasq { child, address, _folder: folder };
            }
            if child.try_wait().expect("our child").is_some() {
                break;
            }
            assert!(Instant::now() < end, "dnsmasq does not answer");
        }
    }
}

/// The example, with ports of this moment.
fn example(server: SocketAddr) -> String {
    let text = include_str!("../../examples/dns.yaml");
    assert!(text.contains("port_value: 5353") && text.contains("port_value: 5300"), "as the test knows it");
    let text = text.replace("port_value: 5353", "port_value: 0");
    let text = text.replace("port_value: 9901", "port_value: 0");
    text.replace("port_value: 5300", &format!("port_value: {}", server.port()))
        .replace("address: 0.0.0.0", "address: 127.0.0.1")
}

fn dig(server: SocketAddr, arguments: &[&str]) -> String {
    let output = Command::new("dig")
        .args(["@127.0.0.1", "-p", &server.port().to_string(), "+short", "+tries=1", "+time=10"])
        .args(arguments)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn dig_asks_dnsmasq() {
    if !(tool("dig") && tool("dnsmasq")) {
        return;
    }
    let server = dnsmasq();
    let proxy = Proxy::start(&example(server.address));
    let to = proxy.first();
    assert_eq!(dig(to, &["www.test.example"]), "192.0.2.7");
    assert_eq!(dig(to, &["www.six.example", "AAAA"]), "2001:db8::7");
    assert_eq!(dig(to, &["nowhere.example"]), "");
    // An answer of more than 1500 bytes.
    let long = dig(to, &["long.example", "TXT", "+bufsize=4096", "+ignore"]);
    assert_eq!(long.lines().count(), 9, "{long}");
    assert!(long.len() > 2000);
    proxy.await_stat("udp.dns.downstream_sess_total", 4);
    proxy.await_stat("cluster.dns.udp.sess_rx_datagrams", 4);
}

#[test]
fn dnsperf_loses_nothing() {
    if !(tool("dnsperf") && tool("dnsmasq")) {
        return;
    }
    let server = dnsmasq();
    let proxy = Proxy::start_with(&example(server.address), &["--concurrency", "2"]);
    let folder = Folder::new();
    let names: String = (0..100).map(|n| format!("host{n}.test.example A\n")).collect();
    let names = folder.file("names", &names);
    let output = Command::new("dnsperf")
        .args(["-s", "127.0.0.1", "-p", &proxy.first().port().to_string(), "-d"])
        .arg(&names)
        .args(["-n", "200", "-c", "20", "-q", "50", "-t", "10"])
        .output()
        .expect("it runs");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let line = |name: &str| {
        let found = report.lines().find_map(|line| line.trim().strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name} in {report}")).trim().to_owned()
    };
    assert_eq!(line("Queries sent:"), "20000", "{report}");
    assert!(line("Queries completed:").starts_with("20000 "), "{report}");
    assert_eq!(line("Response codes:"), "NOERROR 20000 (100.00%)", "{report}");
    proxy.await_stat("udp.dns.downstream_sess_tx_datagrams", 20_000);
    proxy.await_stat("udp.dns.downstream_sess_total", 20);
}
