//! Where listeners listen.

use super::config::{Chain, config, listener, listener_at};
use super::support::{Client, Folder, Proxy, tool};
use std::io::{Read, Write};
use std::net::SocketAddr;
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
fn options_of_sockets() {
    // Nobody has this address: it can be bound all the same. SO_KEEPALIVE, TCP_KEEPIDLE by number.
    let options = "address: {socket_address: {address: 192.0.2.7, port_value: 0}}\nfreebind: true\ntcp_fast_open_queue_length: 5\nsocket_options: [{level: 1, name: 9, int_value: 1}, {level: 6, name: 4, int_value: 99, state: STATE_LISTENING}]\ntcp_backlog_size: 7";
    let yaml = config(&[listener_at("main", options, &ONE)], "", "");
    let proxy = Proxy::start(&yaml);
    assert!(proxy.address_text("main").starts_with("192.0.2.7:"));
    if tool("strace") {
        let folder = Folder::new();
        let trace = folder.0.join("trace");
        let config = folder.file("config.yaml", &yaml);
        let mut command = std::process::Command::new("strace");
        command.args(["-f", "-e", "trace=setsockopt,listen", "-o"]).arg(&trace);
        command.arg(env!("CARGO_BIN_EXE_nuncio")).arg("-c").arg(&config).args(["--concurrency", "1"]);
        let mut proxy = Proxy::spawn(command, folder);
        // The proxy's own end, not strace's, so that the whole trace is written.
        assert_eq!(Client::connect(proxy.admin()).post("/quitquitquit").status, 200);
        proxy.wait();
        let text = std::fs::read_to_string(&trace).expect("a trace");
        for told in [
            "SOL_IP, IP_FREEBIND, [1], 4)",
            "SOL_TCP, TCP_FASTOPEN, [5], 4)",
            "SOL_SOCKET, SO_KEEPALIVE, [1], 4)",
            "SOL_TCP, TCP_KEEPIDLE, [99], 4)",
            ", 7)",
        ] {
            let line = text.lines().find(|line| line.contains(told));
            assert!(line.is_some_and(|line| line.ends_with("= 0")), "{told}\n{text}");
        }
    }
    let wrong = "socket_options: [{level: 1, name: 12345, int_value: 1}]";
    let folder = Folder::new();
    let path = folder.file("config.yaml", &config(&[listener("main", wrong, &ONE)], "", ""));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_nuncio"))
        .arg("-c")
        .arg(path)
        .output()
        .expect("the binary runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("socket option 12345 at level 1 could not be set"), "{errors}");
}

#[test]
fn multipath_tcp_takes_plain_connections_too() {
    let proxy = Proxy::start(&config(&[listener("main", "enable_mptcp: true", &ONE)], "", ""));
    assert_eq!(Client::connect(proxy.address("main")).get("/").text(), "one");
}
