//! Where listeners listen.

use super::config::{Chain, config, listener, listener_at};
use super::network::{curl, in_a_network, inside};
use super::support::{Client, Folder, Proxy, tool};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};

const ONE: [Chain<'static>; 1] = [Chain("one", "", "")];

fn over_unix(stream: UnixStream) -> String {
    let mut stream = stream;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("open");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    text
}

#[test]
fn several_addresses_of_one_listener() {
    let folder = Folder::new();
    let path = folder.0.join("socket");
    let options = format!(
        "additional_addresses:\n- {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}\n- {{address: {{socket_address: {{address: \"::1\", port_value: 0}}}}}}\n- {{address: {{pipe: {{path: {}, mode: 448}}}}}}",
        path.display()
    );
    let yaml = config(&[listener("main", &options, &ONE)], "", "");
    let proxy = Proxy::start_with(&yaml, &["--concurrency", "2"]);
    let addresses = proxy.addresses("main");
    assert_eq!(addresses.len(), 4);
    for address in &addresses[..3] {
        let address: SocketAddr = address.parse().expect("an IP address");
        assert_eq!(Client::connect(address).get("/").text(), "one");
    }
    assert!(over_unix(UnixStream::connect(&path).expect("it listens")).ends_with("one"));
    assert_eq!(proxy.stat("listener.127.0.0.1_0.downstream_cx_total"), 4);
    let shown = Client::connect(proxy.admin()).get("/listeners").text();
    assert_eq!(shown.lines().count(), 4, "{shown}");
    let json = Client::connect(proxy.admin()).get("/listeners?format=json").text();
    assert_eq!(json.matches("port_value").count(), 3, "{json}");
    assert!(json.contains("additional_local_addresses"), "{json}");
}

#[test]
fn abstract_unix_sockets() {
    let name = format!("nuncio-listeners-{}", std::process::id());
    let options = format!("address: {{pipe: {{path: \"@{name}\"}}}}");
    let yaml = config(&[listener_at("main", &options, &ONE)], "", "");
    let _proxy = Proxy::start_with(&yaml, &["--concurrency", "2"]);
    for _ in 0..10 {
        let address = UnixAddr::from_abstract_name(&name).expect("a name");
        assert!(over_unix(UnixStream::connect_addr(&address).expect("it listens")).ends_with("one"));
    }
}

#[test]
fn both_versions_of_ip_on_one_socket() {
    let options = "address: {socket_address: {address: \"::\", port_value: 0, ipv4_compat: true}}";
    let chains = [
        Chain("four", "prefix_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]", ""),
        Chain("six", "source_prefix_ranges: [{address_prefix: \"::1\", prefix_len: 128}]", ""),
    ];
    let only_six = "address: {socket_address: {address: \"::\", port_value: 0}}";
    let yaml = config(&[listener_at("both", options, &chains), listener_at("six", only_six, &ONE)], "", "");
    let proxy = Proxy::start(&yaml);
    let port = proxy.address("both").port();
    assert_eq!(Client::connect(SocketAddr::from(([127, 0, 0, 1], port))).get("/").text(), "four");
    assert_eq!(Client::connect(format!("[::1]:{port}").parse().expect("an address")).get("/").text(), "six");
    let port = proxy.address("six").port();
    assert_eq!(Client::connect(format!("[::1]:{port}").parse().expect("an address")).get("/").text(), "one");
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn addresses_that_nobody_has_can_be_bound_freely() {
    let of_nobody = |more: &str| {
        let options = format!(
            "address: {{socket_address: {{address: 192.0.2.7, port_value: 0}}}}\nadditional_addresses: [{{address: {{socket_address: {{address: \"2001:db8::7\", port_value: 0}}}}}}]\n{more}"
        );
        config(&[listener_at("main", &options, &ONE)], "", "")
    };
    let proxy = Proxy::start(&of_nobody("freebind: true"));
    let addresses = proxy.addresses("main");
    assert!(addresses[0].starts_with("192.0.2.7:") && addresses[1].starts_with("[2001:db8::7]:"));
    for address in addresses {
        assert!(is_listening(address.parse().expect("an IP address")).is_some(), "{address}");
    }
    for more in ["", "freebind: false"] {
        Proxy::refused(&of_nobody(more), &[]);
    }
}

#[test]
fn fast_open_has_a_queue_where_it_is_asked_for() {
    let six = "additional_addresses: [{address: {socket_address: {address: \"::1\", port_value: 0}}}]";
    let listeners = [
        listener("with", &format!("tcp_fast_open_queue_length: 5\n{six}"), &ONE),
        listener("none", "tcp_fast_open_queue_length: 0", &ONE),
        listener("without", "", &ONE),
    ];
    let proxy = Proxy::start(&config(&listeners, "", ""));
    for (name, length) in [("with", 5), ("none", 0), ("without", 0)] {
        for address in proxy.addresses(name) {
            let found = is_listening(address.parse().expect("an IP address"));
            assert_eq!(found, Some(length), "{name} at {address}");
        }
    }
}

#[test]
fn a_request_may_come_with_the_first_packet() {
    let at = |name: &str, port: u16, more: &str| {
        let address = format!("address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}");
        listener_at(name, &format!("{address}\n{more}"), &ONE)
    };
    let listeners = [at("with", 8080, "tcp_fast_open_queue_length: 5"), at("without", 8081, "")];
    // For clients, and for servers that ask for it.
    let commands = "echo 3 > /proc/sys/net/ipv4/tcp_fastopen";
    let Some(proxy) = in_a_network(commands, &config(&listeners, "", "")) else { return };
    // The first connection gets a cookie, with which the second does.
    for (url, passive) in [
        ("http://127.0.0.1:8081/", "0"),
        ("http://127.0.0.1:8081/", "0"),
        ("http://127.0.0.1:8080/", "0"),
        ("http://127.0.0.1:8080/", "1"),
    ] {
        assert_eq!(curl(&proxy, &["--tcp-fastopen", url]), "one", "{url}");
        let text = inside(&proxy, &["cat", "/proc/net/netstat"]);
        let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
        let (names, values) = lines.next().zip(lines.next()).expect("names and values");
        let mut counts = names.split(' ').zip(values.split(' '));
        assert_eq!(
            counts.find(|(name, _)| *name == "TCPFastOpenPassive"),
            Some(("TCPFastOpenPassive", passive))
        );
    }
}

/// Whether somebody listens at an address, and with how long a queue for connections that are opened fast.
fn is_listening(address: SocketAddr) -> Option<u32> {
    let fields = socket(address, "0A")?;
    // In the place of the threshold of slow start, which a socket that listens has not.
    Some(fields.last()?.parse().expect("a number"))
}

/// What the kernel shows of the socket that has this address and is in this state (of `TCP_ESTABLISHED`, …).
fn socket(address: SocketAddr, state: &str) -> Option<Vec<String>> {
    let (file, ip) = match address.ip() {
        IpAddr::V4(ip) => ("/proc/net/tcp", ip.octets().to_vec()),
        IpAddr::V6(ip) => ("/proc/net/tcp6", ip.octets().to_vec()),
    };
    // Words of the machine, as numbers.
    let words = ip.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().expect("whole words")));
    let ip: String = words.map(|word| format!("{word:08X}")).collect();
    let local = format!("{ip}:{:04X}", address.port());
    let text = std::fs::read_to_string(file).expect("the kernel shows its sockets");
    let mut sockets = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    sockets.find(|fields| fields[1] == local && fields[3] == state)
}

#[test]
fn options_of_sockets() {
    // SO_KEEPALIVE, TCP_KEEPIDLE by number.
    let options = "socket_options: [{level: 1, name: 9, int_value: 1}, {level: 6, name: 4, int_value: 99, state: STATE_LISTENING}]\ntcp_backlog_size: 7";
    let proxy = Proxy::start(&config(&[listener("main", options, &ONE)], "", ""));
    // A connection has them from its listener: the kernel's timer for it, in hundredths of seconds.
    let mut client = Client::connect(proxy.address("main"));
    let fields = socket(proxy.address("main"), "01").expect("a connection");
    let left = fields[5].strip_prefix("02:").map(|left| u32::from_str_radix(left, 16).expect("a number"));
    assert!(left.is_some_and(|left| (8000..=9900).contains(&left)), "{fields:?}");
    assert_eq!(client.get("/").text(), "one");
    if tool("ss") {
        let source = format!("sport = :{}", proxy.address("main").port());
        let output = std::process::Command::new("ss").args(["-ltnH", &source]).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.split_whitespace().nth(2), Some("7"), "the most that wait to be accepted: {text}");
    }
    let wrong = "socket_options: [{level: 1, name: 12345, int_value: 1}]";
    let errors = Proxy::refused(&config(&[listener("main", wrong, &ONE)], "", ""), &[]);
    assert!(errors.contains("socket option 12345 at level 1 could not be set"), "{errors}");
}

#[test]
fn multipath_tcp_takes_plain_connections_too() {
    let proxy = Proxy::start(&config(&[listener("main", "enable_mptcp: true", &ONE)], "", ""));
    assert_eq!(Client::connect(proxy.address("main")).get("/").text(), "one");
}
