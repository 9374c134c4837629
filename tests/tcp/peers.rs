//! Real clients and servers: redis and PostgreSQL.

use super::support::{Folder, PATIENCE, tool};
use super::{plain, read};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A server process that is ended with the test.
struct Server {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < end {
            std::thread::yield_now();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

/// Starts a server that cannot tell which port it got, on one that was free a moment ago.
fn serve(folder: Folder, command: impl Fn(&Folder, u16) -> Command) -> Server {
    let end = Instant::now() + PATIENCE;
    loop {
        let port = free_port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut child = command(&folder, port)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        while child.try_wait().expect("our child").is_none() {
            if TcpStream::connect(address).is_ok() {
                return Server { child, address, _folder: folder };
            }
            assert!(Instant::now() < end, "the server does not listen");
            std::thread::yield_now();
        }
        assert!(Instant::now() < end, "the server does not start");
    }
}

fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn redis_is_served() {
    if !tool("redis-server") || !tool("redis-cli") || !tool("redis-benchmark") {
        return;
    }
    let server = serve(Folder::new(), |folder, port| {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]);
        command.arg(&folder.0);
        command
    });
    let proxy = plain(server.address);
    let port = proxy.address("main").port().to_string();
    let cli = |arguments: &[&str]| output(Command::new("redis-cli").args(["-p", &port]).args(arguments));
    assert_eq!(cli(&["SET", "key", "value"]).trim(), "OK");
    assert_eq!(cli(&["GET", "key"]).trim(), "value");
    // A value that no buffer holds.
    let mut client = super::connect(&proxy, "main");
    let value = vec![b'v'; 20 << 20];
    client
        .write_all(format!("SET big \"\"\r\n*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${}\r\n", value.len()).as_bytes())
        .expect("sent");
    client.write_all(&value).expect("sent");
    client.write_all(b"\r\nGET big\r\n").expect("sent");
    assert_eq!(read(&mut client, 10), b"+OK\r\n+OK\r\n");
    let head = format!("${}\r\n", value.len());
    assert_eq!(read(&mut client, head.len()), head.as_bytes());
    assert!(read(&mut client, value.len()) == value);
    drop(client);
    let report = output(Command::new("redis-benchmark").args([
        "-p",
        &port,
        "-n",
        "4000",
        "-c",
        "20",
        "-P",
        "4",
        "-q",
        "-t",
        "set,get,lrange_100",
        "--csv",
    ]));
    assert!(
        report.lines().filter(|line| line.contains("SET") || line.contains("GET")).count() >= 2,
        "{report}"
    );
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_connect_fail"), 0);
}

/// Where Debian keeps the programs of the server.
fn postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin")).find(|bin| bin.join("postgres").is_file())
}

#[test]
fn postgresql_is_served() {
    let Some(bin) = postgres() else {
        assert!(std::env::var_os("CI").is_none(), "postgresql is not installed, and on CI it must be");
        eprintln!("skipped: postgresql is not installed");
        return;
    };
    if !tool("psql") || !tool("pgbench") || !tool("setpriv") {
        return;
    }
    // The server does not run as root: whoever owns the folder of this test runs it as nobody then.
    let folder = Folder::new();
    let root = output(Command::new("id").arg("-u")).trim() == "0";
    let as_nobody = |program: PathBuf| {
        if !root {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
        command
    };
    if root {
        output(Command::new("chown").arg("65534:65534").arg(&folder.0));
    }
    let data = folder.0.join("data");
    output(as_nobody(bin.join("initdb")).args(["-A", "trust", "-U", "test", "-N", "-D"]).arg(&data));
    let server = serve(folder, |folder, port| {
        let mut command = as_nobody(bin.join("postgres"));
        command.arg("-D").arg(folder.0.join("data")).args([
            "-F",
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-k",
        ]);
        command.arg(&folder.0);
        command
    });
    let proxy = plain(server.address);
    let port = proxy.address("main").port().to_string();
    let at = ["-h", "127.0.0.1", "-p", &port, "-U", "test"];
    let end = Instant::now() + PATIENCE;
    // It listens a little before it serves.
    let ready = || Command::new("psql").args(at).args(["-c", "select 1", "postgres"]).output();
    while !ready().is_ok_and(|output| output.status.success()) {
        assert!(Instant::now() < end, "the server does not serve");
    }
    let psql = |query: &str| {
        output(Command::new("psql").args(at).args(["-tA", "-c", query, "postgres"])).trim().to_owned()
    };
    assert_eq!(psql("select count(*) from generate_series(1, 1000)"), "1000");
    // Several megabytes in one answer.
    let text = psql("select string_agg(repeat(n::text, 10), ',') from generate_series(1, 100000) n");
    assert_eq!(text.matches(',').count(), 99_999);
    output(Command::new("pgbench").args(at).args(["-i", "-q", "-s", "1", "postgres"]));
    let report =
        output(Command::new("pgbench").args(at).args(["-c", "8", "-j", "2", "-t", "50", "postgres"]));
    assert!(report.contains("400/400"), "{report}");
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
}
