//! Real clients and servers on both sides: curl, wrk and h2load in front, nginx and Python behind.
//!
//! A program that is not installed is skipped with a word about it; on CI all must be there.

mod support;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use support::{Client, Folder, PATIENCE, Proxy, Upstream, config, simple, tool};

/// A server process that is ended with the test.
struct Server {
    child: Child,
    address: SocketAddr,
    folder: Folder,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

/// nginx with files of several sizes and an upload location.
fn nginx() -> Server {
    let folder = Folder::new();
    // nginx cannot tell which port it got: take one that was free a moment ago, and another if it is gone.
    loop {
        let port = free_port();
        let root = folder.0.display();
        folder.file("small", &"x".repeat(128));
        folder.file("big", &"y".repeat(1 << 20));
        let path = folder.file(
            "nginx.conf",
            &format!(
                "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\n\
                 events {{ worker_connections 4096; }}\n\
                 http {{ access_log off; keepalive_requests 1000000; client_max_body_size 0; root {root};\n\
                 client_body_temp_path {root}/body; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;\n\
                 uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
                 server {{ listen 127.0.0.1:{port}; location = /return {{ return 200 'fixed'; }} }} }}\n"
            ),
        );
        let program =
            if std::path::Path::new("/usr/sbin/nginx").is_file() { "/usr/sbin/nginx" } else { "nginx" };
        let mut child = Command::new(program)
            .args(["-p", &root.to_string(), "-c"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let end = Instant::now() + PATIENCE;
        loop {
            if TcpStream::connect(address).is_ok() {
                return Server { child, address, folder };
            }
            if child.try_wait().expect("our child").is_some() {
                break;
            }
            assert!(Instant::now() < end, "nginx does not listen");
            std::thread::yield_now();
        }
    }
}

/// Python's own HTTP server, which closes after each response unless told otherwise.
fn python() -> Server {
    let folder = Folder::new();
    folder.file("hello.txt", "hello from python");
    let script = "import http.server,sys,functools\n\
        h=functools.partial(http.server.SimpleHTTPRequestHandler,directory=sys.argv[1])\n\
        s=http.server.ThreadingHTTPServer(('127.0.0.1',0),h)\n\
        print(s.server_port,flush=True)\ns.serve_forever()";
    let mut child = Command::new("python3")
        .args(["-c", script])
        .arg(&folder.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its port");
    let port: u16 = line.trim().parse().expect("a port");
    Server { child, address: SocketAddr::from(([127, 0, 0, 1], port)), folder }
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn curl(arguments: &[&str]) -> String {
    output(Command::new("curl").args(["-sS", "--max-time", "60"]).args(arguments))
}

#[test]
fn curl_nginx_and_python() {
    if !(tool("curl") && tool("nginx") && tool("python3")) {
        return;
    }
    let (nginx, python) = (nginx(), python());
    let routes = "- {match: {prefix: \"/py/\"}, route: {cluster: python, prefix_rewrite: \"/\"}}\n              - {match: {prefix: \"/\"}, route: {cluster: nginx}}";
    let yaml = config("", routes, &[("nginx", &[nginx.address], ""), ("python", &[python.address], "")]);
    let proxy = Proxy::start(&yaml);
    let url = |path: &str| format!("http://{}{path}", proxy.first());
    assert_eq!(curl(&[&url("/return")]), "fixed");
    assert_eq!(curl(&[&url("/py/hello.txt")]), "hello from python");
    assert_eq!(curl(&[&url("/py/hello.txt"), &url("/small")]).len(), 17 + 128);
    assert_eq!(curl(&[&url("/big")]), "y".repeat(1 << 20));
    assert!(curl(&["-I", &url("/big")]).contains("content-length: 1048576\r\n"));
    assert_eq!(curl(&["-r", "5-9", &url("/big")]), "yyyyy");
    assert_eq!(curl(&["-o", "/dev/null", "-w", "%{http_code}", &url("/missing")]), "404");
    assert_eq!(curl(&["--http1.0", "-o", "/dev/null", "-w", "%{http_code}", &url("/return")]), "426");
    // curl sends `expect: 100-continue` with a large body.
    let file = nginx.folder.0.join("big");
    let upload = format!("@{}", file.display());
    let status = curl(&["-o", "/dev/null", "-w", "%{http_code}", "--data-binary", &upload, &url("/small")]);
    assert_eq!(status, "405", "nginx does not take a POST to a file, but it has read it");
}

#[test]
fn load_without_an_error() {
    if !(tool("nginx") && tool("wrk") && tool("h2load")) {
        return;
    }
    let nginx = nginx();
    let proxy = Proxy::start_with(&simple(nginx.address), &["--concurrency", "2"]);
    let url = format!("http://{}/small", proxy.first());
    let report = output(Command::new("h2load").args(["--h1", "-n", "50000", "-c", "64", &url]));
    assert!(report.contains("50000 succeeded, 0 failed, 0 errored, 0 timeout"), "{report}");
    assert!(report.contains("status codes: 50000 2xx"), "{report}");
    let report = output(Command::new("wrk").args(["-t", "1", "-c", "64", "-d", "2s", &url]));
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    let close = ["-t", "1", "-c", "32", "-d", "2s", "-H", "Connection: close", &url];
    let report = output(Command::new("wrk").args(close));
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    assert_eq!(proxy.stat("http.test.downstream_rq_5xx"), 0);
    proxy.await_stat("http.test.downstream_rq_active", 0);
    proxy.await_stat("cluster.up.upstream_rq_active", 0);
}

#[test]
fn thousands_of_idle_connections_cost_little() {
    const WARM: usize = 200;
    const CONNECTIONS: usize = 2000;
    let upstream = Upstream::echo();
    let proxy = Proxy::start(&simple(upstream.address));
    let connect = |count: usize| -> Vec<Client> {
        let mut clients: Vec<Client> = (0..count).map(|_| proxy.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.get("/").status, 200);
        }
        clients
    };
    // The program's own pages come in when they are first used, and how many at once is the kernel's affair: all that the
    // connections to be counted use has been used before, the look at a counter too.
    let mut clients = connect(WARM);
    assert_eq!(proxy.stat("http.test.downstream_cx_active"), WARM as u64);
    let before = proxy.resident();
    clients.extend(connect(CONNECTIONS));
    assert_eq!(proxy.stat("http.test.downstream_cx_active"), (WARM + CONNECTIONS) as u64);
    let each = (proxy.resident().saturating_sub(before)) / CONNECTIONS as u64;
    assert!(each < 1500, "{each} bytes for each idle connection");
    for client in &mut clients {
        assert_eq!(client.get("/again").status, 200);
    }
    drop(clients);
    proxy.await_stat("http.test.downstream_cx_active", 0);
}
