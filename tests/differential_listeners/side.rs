//! One of the two: a proxy process, and what was seen of each case.

use crate::cases::{Case, yaml};
use crate::support::{Client, Folder, PATIENCE, await_serving};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What was seen of a case, in comparable words.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub client: String,
    pub log: String,
    pub counters: String,
}

pub struct Side {
    child: Child,
    folder: Folder,
    admin: SocketAddr,
    ports: BTreeMap<String, u16>,
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The statistics that are compared: counters of listeners and of their filters, and which chains got connections.
fn is_compared(name: &str) -> bool {
    let of_filter = ["http_inspector.", "tls_inspector.", "proxy_proto.", "listener_local_ratelimit."];
    let listener = name.starts_with("listener.")
        && !name.starts_with("listener.admin.")
        && !name.contains(".http.")
        && !name.contains(".worker_")
        && !name.ends_with("_config_missing");
    let chain = name.starts_with("http.")
        && name.ends_with(".downstream_cx_total")
        && !name.starts_with("http.admin.");
    listener
        || chain
        || name == "downstream_cx_proxy_proto_error"
        || of_filter.iter().any(|of| name.starts_with(of))
}

impl Side {
    /// Starts a proxy on the configuration of the cases.
    pub fn start(mut command: Command) -> Self {
        let folder = Folder::new();
        let address_file = folder.0.join("admin");
        let config = folder.file("config.yaml", &yaml(&folder.0.join("log")));
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
        let admin = await_serving(&mut child, &folder);
        let listeners = Client::connect(admin).get("/listeners").text();
        let port = |line: &str| {
            let (name, address) = line.split_once("::")?;
            Some((name.to_owned(), address.rsplit_once(':')?.1.parse().ok()?))
        };
        Self { child, folder, admin, ports: listeners.lines().filter_map(port).collect() }
    }

    /// Runs all cases and says what was seen of each.
    pub fn run(self, cases: &[Case]) -> Vec<Seen> {
        cases.iter().map(|case| self.case(case)).collect()
    }

    fn case(&self, case: &Case) -> Seen {
        let before = self.counters();
        let logged = self.log().len();
        let port = self.ports[case.listener];
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let (client, mine) = exchange(case, address);
        let mut seen = Seen { client, ..Seen::default() };
        // Each connection changes something. Everything has been counted when nothing is open any more.
        let end = Instant::now() + PATIENCE;
        let mut after = self.counters();
        let open = |counters: &BTreeMap<String, u64>| {
            counters.iter().any(|(name, value)| name.ends_with("_active") && *value > 0)
        };
        while (after == before || open(&after)) && Instant::now() < end {
            std::thread::yield_now();
            after = self.counters();
        }
        let line = |log: String| {
            // A connection before this one may have its line later.
            let marked = format!("direct={mine} ");
            let new = log.get(logged..).unwrap_or_default();
            new.lines().find(|line| line.contains(&marked)).map(str::to_owned)
        };
        let served = seen.client.starts_with("200 ");
        let mut log = line(self.log());
        while served && log.is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
            log = line(self.log());
        }
        let log = log.filter(|_| served).unwrap_or_default();
        seen.log = log.replace(&mine.to_string(), "CLIENT").replace(&address.to_string(), "LISTENER");
        let changed = after.iter().filter_map(|(name, value)| {
            let more = value.checked_sub(before.get(name).copied().unwrap_or(0)).filter(|more| *more > 0)?;
            Some(format!("{name}+{more}"))
        });
        seen.counters = changed.collect::<Vec<_>>().join(" ");
        seen
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.0.join("log")).unwrap_or_default()
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let text = Client::connect(self.admin).get("/stats").text();
        let counter = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            is_compared(name).then(|| Some((name.to_owned(), value.parse().ok()?)))?
        };
        text.lines().filter_map(counter).collect()
    }
}

/// Sends what the case sends, and says what came back and how it ended.
fn exchange(case: &Case, address: SocketAddr) -> (String, SocketAddr) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("nodelay");
    let mine = stream.local_addr().expect("bound");
    for piece in &case.pieces {
        // It may have been refused already.
        let _ = stream.write_all(piece);
        if case.pieces.len() > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    if case.half_close {
        let _ = stream.shutdown(Shutdown::Write);
    }
    // Who is left alone for so long is left alone for good.
    let patience = if case.patience == 0 { 150 } else { case.patience };
    stream.set_read_timeout(Some(Duration::from_millis(patience))).expect("a time-out");
    let (mut got, mut block) = (Vec::new(), [0; 65536]);
    let end = loop {
        match stream.read(&mut block) {
            // Whether that is seen as a reset depends on what has arrived when.
            Ok(0) => break "ended",
            Ok(n) => got.extend_from_slice(&block[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break "ended",
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break "open",
            Err(error) => panic!("{error}"),
        }
    };
    if case.patience == 0 {
        return ("gone".to_owned(), mine);
    }
    let text = String::from_utf8_lossy(&got);
    let status = text.split(' ').nth(1).unwrap_or("nothing");
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    // What follows bytes that are not HTTP is the business of other tests.
    let body = if status == "200" { body } else { "" };
    (format!("{status} {body}, {end}"), mine)
}
