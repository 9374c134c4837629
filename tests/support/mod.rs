//! What the end-to-end tests share: the real binary with a configuration, scripted upstreams, raw clients.
//!
//! Everything is on 127.0.0.1 with ports that the kernel chooses; waiting is always for an event (a line of the
//! log, bytes on a socket), never for a time.

#![allow(missing_docs, unreachable_pub, reason = "shared by test binaries, documented where it is not plain")]
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod h2;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen before it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that is removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("nuncio-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a temporary file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The file in a proxy's folder with what it has logged.
const LOG: &str = "stderr.log";

/// A running proxy.
pub struct Proxy {
    pub child: Child,
    pub folder: Folder,
    listeners: Vec<(String, String)>,
    admin: Option<String>,
}

impl Proxy {
    /// Starts the binary on this configuration and waits until it serves.
    pub fn start(yaml: &str) -> Self {
        Self::start_with(yaml, &["--concurrency", "1"])
    }

    /// The same with other flags.
    pub fn start_with(yaml: &str, flags: &[&str]) -> Self {
        let (command, folder) = Self::command(yaml, flags);
        Self::spawn(command, folder)
    }

    /// What the binary says before it ends, where it cannot serve with this configuration and these flags.
    pub fn refused(yaml: &str, flags: &[&str]) -> String {
        let (command, folder) = Self::command(yaml, flags);
        Self::attempt(command, folder).err().expect("it does not serve")
    }

    fn command(yaml: &str, flags: &[&str]) -> (Command, Folder) {
        let folder = Folder::new();
        let path = folder.file("config.yaml", yaml);
        // Another build may be tested in place of the one that cargo has made for the test.
        let binary = std::env::var_os("NUNCIO_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_nuncio").into());
        let mut command = Command::new(binary);
        command.arg("-c").arg(&path).args(["-l", "info"]).args(flags);
        (command, folder)
    }

    /// Runs a prepared command and waits until it serves.
    pub fn spawn(command: Command, folder: Folder) -> Self {
        match Self::attempt(command, folder) {
            Ok(proxy) => proxy,
            Err(text) => panic!("the proxy ended before it served:\n{text}"),
        }
    }

    /// The same; or what it has said if it ends with an error instead.
    fn attempt(mut command: Command, folder: Folder) -> Result<Self, String> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let (mut listeners, mut admin, mut text) = (Vec::new(), None, String::new());
        loop {
            let start = text.len();
            let n = lines.read_line(&mut text).expect("the log is text");
            if n == 0 {
                assert_eq!(child.wait().expect("it ends").code(), Some(1), "{text}");
                return Err(text);
            }
            let line = text[start..].trim_end();
            if let Some((_, rest)) = line.split_once("] listener '")
                && let Some((name, address)) = rest.split_once("' at ")
            {
                listeners.push((name.to_owned(), address.to_owned()));
            } else if let Some((_, address)) = line.split_once("] admin interface at ") {
                admin = Some(address.to_owned());
            } else if line.contains("starting main dispatch loop") {
                break;
            }
        }
        let mut log = std::fs::File::create(folder.0.join(LOG)).expect("a file");
        log.write_all(text.as_bytes()).expect("room");
        std::thread::spawn(move || std::io::copy(&mut lines, &mut log));
        Ok(Self { child, folder, listeners, admin })
    }

    /// The address of the listener with this name.
    pub fn address(&self, name: &str) -> SocketAddr {
        self.address_text(name).parse().expect("an inet listener")
    }

    pub fn address_text(&self, name: &str) -> &str {
        let found = self.listeners.iter().find(|listener| listener.0 == name);
        &found.unwrap_or_else(|| panic!("no listener {name}")).1
    }

    /// All addresses of the listener with this name, as text.
    pub fn addresses(&self, name: &str) -> Vec<&str> {
        let of_it = self.listeners.iter().filter(|listener| listener.0 == name);
        of_it.map(|listener| &listener.1[..]).collect()
    }

    /// The address of the first listener.
    pub fn first(&self) -> SocketAddr {
        self.listeners[0].1.parse().expect("an inet listener")
    }

    pub fn admin(&self) -> SocketAddr {
        self.admin.as_ref().expect("an admin interface").parse().expect("inet")
    }

    /// A connection to the first listener.
    pub fn connect(&self) -> Client {
        Client::connect(self.first())
    }

    /// One statistic, now.
    pub fn stat(&self, name: &str) -> u64 {
        let response = Client::connect(self.admin()).get("/stats");
        let text = response.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no statistic {name}")).parse().expect("a number")
    }

    /// Waits until a statistic has this value.
    pub fn await_stat(&self, name: &str, value: u64) {
        self.await_stat_that(name, |now| now == value);
    }

    /// Waits until a statistic is as it should be.
    pub fn await_stat_that(&self, name: &str, accept: impl Fn(u64) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let now = self.stat(name);
            if accept(now) {
                return;
            }
            assert!(Instant::now() < end, "{name} stays at {now}");
            std::thread::yield_now();
        }
    }

    /// What the process has logged so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.0.join(LOG)).expect("our file");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the process to end.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(Instant::now() < end, "the proxy does not end; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The same without what is mapped from files, which may become more by nothing but another function's first call: for
    /// what must not grow.
    pub fn allocated(&self) -> u64 {
        self.memory("RssAnon:")
    }

    fn memory(&self, what: &str) -> u64 {
        // Who answers this has given back what only the start needed.
        assert_eq!(self.stat("server.live"), 1);
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("our child");
        let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a line for it");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a proxy of either kind serves, whose `--admin-address-path` is `admin` in this folder, and whose errors are in
/// `stderr` there. Says where its admin interface is.
pub fn await_serving(child: &mut Child, folder: &Folder) -> SocketAddr {
    let end = Instant::now() + PATIENCE;
    let read = |name: &str| std::fs::read_to_string(folder.0.join(name)).unwrap_or_default();
    loop {
        if let Ok(address) = read("admin").trim().parse()
            && TcpStream::connect(address).is_ok()
            && Client::connect(address).get("/ready").status == 200
        {
            return address;
        }
        let ended = child.try_wait().expect("our child");
        assert!(ended.is_none() && Instant::now() < end, "it does not serve: {ended:?}\n{}", read("stderr"));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A client that writes and reads bytes.
pub struct Client {
    pub stream: TcpStream,
    rest: Vec<u8>,
}

/// A response as it came over the wire.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// As lower-case text, for chunked bodies.
    pub trailers: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the proxy listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("nodelay");
        Self { stream, rest: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the proxy reads");
    }

    pub fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
        self.response()
    }

    pub fn post(&mut self, path: &str) -> Response {
        self.send(format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n"));
        self.response()
    }

    /// The next response; not to a HEAD request.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    pub fn response_to(&mut self, method: &str) -> Response {
        let head = self.until(b"\r\n\r\n");
        let head = String::from_utf8(head).expect("an ASCII head");
        let status = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{head:?}"));
        let mut response = Response { status, head, body: Vec::new(), trailers: String::new() };
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return response;
        }
        if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            loop {
                let line = String::from_utf8(self.until(b"\r\n")).expect("a chunk size");
                let size = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("{line:?}"));
                if size == 0 {
                    break;
                }
                let chunk = self.exactly(size);
                response.body.extend(chunk);
                assert_eq!(self.exactly(2), b"\r\n");
            }
            loop {
                let line = String::from_utf8(self.until(b"\r\n")).expect("a trailer");
                if line == "\r\n" {
                    return response;
                }
                response.trailers.push_str(&line.to_lowercase());
            }
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().expect("a length");
            response.body = self.exactly(length);
        } else {
            response.body = self.until_closed();
        }
        response
    }

    /// Everything up to and including `mark`.
    pub fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.rest.windows(mark.len()).position(|window| window == mark) {
                return self.rest.drain(..at + mark.len()).collect();
            }
            let n = self.fill();
            assert!(n > 0, "closed in the middle of {:?}", String::from_utf8_lossy(&self.rest));
        }
    }

    pub fn exactly(&mut self, n: usize) -> Vec<u8> {
        while self.rest.len() < n {
            assert!(self.fill() > 0, "closed after {} of {n} bytes", self.rest.len());
        }
        self.rest.drain(..n).collect()
    }

    /// Forgets what was read beyond the last answer; says how much it was.
    pub fn drain_buffered(&mut self) -> usize {
        std::mem::take(&mut self.rest).len()
    }

    /// What was read beyond the last answer.
    pub fn take_buffered(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.rest)
    }

    /// Everything until the proxy closes; a reset counts as a close.
    pub fn until_closed(&mut self) -> Vec<u8> {
        let mut block = [0; 65536];
        loop {
            match self.stream.read(&mut block) {
                Ok(0) => break,
                Ok(n) => self.rest.extend_from_slice(&block[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("waiting for the end: {error}"),
            }
        }
        std::mem::take(&mut self.rest)
    }

    /// Asserts that the proxy closes and sends nothing more.
    pub fn assert_closed(&mut self) {
        let rest = self.until_closed();
        assert!(rest.is_empty(), "not closed but {:?}", String::from_utf8_lossy(&rest));
    }

    fn fill(&mut self) -> usize {
        let mut block = [0; 65536];
        let n = self.stream.read(&mut block).expect("the proxy answers");
        self.rest.extend_from_slice(&block[..n]);
        n
    }
}

/// An upstream server: a thread for each connection, which runs the script.
pub struct Upstream {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    scripts: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Upstream {
    /// Runs `script` with each accepted connection and its number.
    pub fn start(script: impl Fn(Client, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let script = Arc::new(script);
        let scripts = Arc::new(Mutex::new(Vec::new()));
        let started = Arc::clone(&scripts);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let number = count.fetch_add(1, Relaxed);
                let script = Arc::clone(&script);
                let running = std::thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    script(Client { stream, rest: Vec::new() }, number);
                });
                let mut started = started.lock().expect("scripts");
                // Those that have ended well need not be remembered.
                started.retain(|script: &JoinHandle<()>| !script.is_finished() || number < 100);
                started.push(running);
            }
        });
        Self { address, connections, scripts }
    }

    /// Answers every request without a body with what it was sent, as text.
    pub fn echo() -> Self {
        Self::start(|mut client, _| {
            while let Some(request) = client.request() {
                let body = format!("{}{}", request.head, String::from_utf8_lossy(&request.body));
                client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
            }
        })
    }

    /// Waits for the scripts of all connections so far; what they assert must hold.
    pub fn join(&self) {
        for script in std::mem::take(&mut *self.scripts.lock().expect("scripts")) {
            script.join().expect("the upstream's script holds");
        }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }
}

/// A request as the upstream got it.
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Client {
    fn try_fill(&mut self) -> Option<()> {
        let mut block = [0; 65536];
        let n = self.stream.read(&mut block).ok().filter(|n| *n > 0)?;
        self.rest.extend_from_slice(&block[..n]);
        Some(())
    }

    fn try_until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.rest.windows(mark.len()).position(|window| window == mark) {
                return Some(self.rest.drain(..at + mark.len()).collect());
            }
            self.try_fill()?;
        }
    }

    fn try_exactly(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.rest.len() < n {
            self.try_fill()?;
        }
        Some(self.rest.drain(..n).collect())
    }

    /// The next request; `None` when the proxy has closed, also in the middle of one.
    pub fn request(&mut self) -> Option<Request> {
        let head = String::from_utf8_lossy(&self.try_until(b"\r\n\r\n")?).into_owned();
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let mut body = Vec::new();
        if header("transfer-encoding").is_some() {
            loop {
                let line = String::from_utf8(self.try_until(b"\r\n")?).expect("a chunk size");
                let size = usize::from_str_radix(line.trim(), 16).expect("a chunk size");
                body.extend(self.try_exactly(size)?);
                if size == 0 {
                    while self.try_until(b"\r\n")? != b"\r\n" {}
                    break;
                }
                self.try_exactly(2)?;
            }
        } else if let Some(length) = header("content-length") {
            body = self.try_exactly(length.parse().expect("a length"))?;
        }
        Some(Request { head, body })
    }
}

/// A configuration: one HTTP listener (its options in `hcm`, its routes in `routes`), these clusters.
pub fn config(hcm: &str, routes: &str, clusters: &[(&str, &[SocketAddr], &str)]) -> String {
    let mut yaml = format!(
        r#"
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - name: main
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: test
          {hcm}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              {routes}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
"#
    );
    for (name, hosts, options) in clusters {
        yaml.push_str(&format!(
            "  - name: {name}\n    type: STATIC\n{options}    load_assignment:\n      cluster_name: {name}\n      endpoints:\n      - lb_endpoints:\n"
        ));
        for host in *hosts {
            yaml.push_str(&format!(
                "        - endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}\n",
                host.ip(),
                host.port()
            ));
        }
    }
    yaml
}

/// A configuration that sends everything to one host.
pub fn simple(upstream: SocketAddr) -> String {
    config("", "- {match: {prefix: \"/\"}, route: {cluster: up}}", &[("up", &[upstream], "")])
}

/// A configuration that passes the bytes of every connection to one host, and back.
pub fn tcp(host: SocketAddr) -> String {
    format!(
        r#"
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - name: main
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: test
          cluster: up
  clusters:
  - name: up
    type: STATIC
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}
"#,
        host.ip(),
        host.port()
    )
}

/// Whether a program is installed. On CI it must be.
pub fn tool(name: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
        || PathBuf::from("/usr/sbin").join(name).is_file();
    assert!(found || std::env::var_os("CI").is_none(), "{name} is not installed, and on CI it must be");
    if !found {
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// The Python environment that `.ci/run` makes, with what `.ci/peers.txt` lists; `NUNCIO_PEERS` names another one.
fn peers() -> PathBuf {
    std::env::var_os("NUNCIO_PEERS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/peers"), PathBuf::from)
}

/// A file or folder among the packages of the Python environment. On CI it must be there.
fn package(name: &str) -> Option<PathBuf> {
    let pythons = std::fs::read_dir(peers().join("lib")).ok();
    let found = pythons.and_then(|mut pythons| {
        pythons.find_map(|python| {
            let path = python.ok()?.path().join("site-packages").join(name);
            path.exists().then_some(path)
        })
    });
    let missing = "is not installed in target/peers (.ci/run does it)";
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "{name} {missing}, and on CI it must be");
    if found.is_none() {
        eprintln!("skipped: {name} {missing}");
    }
    found
}

/// The Python that has a package.
pub fn python(with: &str) -> Option<PathBuf> {
    package(with).map(|_| peers().join("bin/python"))
}

/// The real Envoy: the file that `ENVOY_BIN` names, `envoy` on the path, or that of the Python environment.
pub fn envoy() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ENVOY_BIN") {
        return Some(path.into());
    }
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|folder| folder.join("envoy")).find(|file| file.is_file())
    });
    on_path.or_else(|| package("envoy/_bin/envoy"))
}
