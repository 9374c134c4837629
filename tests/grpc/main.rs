//! gRPC through the proxy, with gRPC's own client and server: calls of every kind, deadlines, cancellation, errors in
//! trailers, health checks.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use support::{Proxy, config};

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn peer(python: &PathBuf) -> Command {
    let mut command = Command::new(python);
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/grpc/peer.py");
    command.arg(script).stdout(Stdio::piped());
    command
}

impl Server {
    fn start(python: &PathBuf) -> Self {
        let mut child = peer(python).arg("serve").stdin(Stdio::piped()).spawn().expect("Python runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a port");
        let address = format!("127.0.0.1:{}", line.trim()).parse().expect("a port");
        Self { child, address }
    }
}

fn call(python: &PathBuf, address: SocketAddr) -> String {
    let output = peer(python).arg("call").arg(address.port().to_string()).output().expect("Python runs");
    assert!(output.status.success(), "the client is not content");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn h2(options: &str) -> String {
    format!(
        "    typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{\"@type\": \
         type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: \
         {{{options}}}}}}}\n"
    )
}

const ROUTE: &str = "- {match: {prefix: \"/\"}, route: {cluster: up, timeout: 0s, max_stream_duration: {grpc_timeout_header_max: 0s}}}";

#[test]
fn every_call_goes_through() {
    let Some(python) = support::python("grpc_health") else { return };
    let server = Server::start(&python);
    let direct = call(&python, server.address);
    let cluster = h2("http2_protocol_options: {}");
    let proxy = Proxy::start(&config("", ROUTE, &[("up", &[server.address], &cluster)]));
    assert_eq!(call(&python, proxy.first()), direct);
    proxy.await_stat("http.test.downstream_rq_active", 0);
    proxy.await_stat("cluster.up.upstream_rq_active", 0);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_protocol_error"), 0);
    assert_eq!(proxy.stat("http.test.downstream_cx_protocol_error"), 0);

    // The same with HTTP/1 between two of us, which carries all of it: chunks, trailers, both ways at once.
    let chunks = h2("http_protocol_options: {enable_trailers: true}");
    let hcm = "http_protocol_options: {enable_trailers: true}";
    let inner = Proxy::start(&config(hcm, ROUTE, &[("up", &[server.address], &cluster)]));
    let outer = Proxy::start(&config("", ROUTE, &[("up", &[inner.first()], &chunks)]));
    assert_eq!(call(&python, outer.first()), direct);
    assert_eq!(outer.stat("cluster.up.upstream_cx_http2_total"), 0);
}

#[test]
fn our_own_answers_are_grpc_too() {
    let Some(python) = support::python("grpc_health") else { return };
    let script = "import grpc,sys\n\
        channel = grpc.insecure_channel('127.0.0.1:' + sys.argv[1], options=[('grpc.enable_http_proxy', 0)])\n\
        for path in ['/none/a', '/nowhere/a', '/slow/a']:\n    \
        try: channel.unary_unary(path)(b'x')\n    \
        except grpc.RpcError as error: print(path, error.code().name)\n";
    let silent = support::Upstream::start(|client, _| {
        if let Some(mut peer) = support::h2::Peer::accept(client.stream, &[]) {
            while peer.read().is_some() {}
        }
    });
    let routes = "- {match: {prefix: /none}, route: {cluster: none}}\n              \
        - {match: {prefix: /slow}, route: {cluster: silent, timeout: 0.1s}}";
    let cluster = h2("http2_protocol_options: {}");
    let proxy =
        Proxy::start(&config("", routes, &[("none", &[], ""), ("silent", &[silent.address], &cluster)]));
    let mut command = Command::new(&python);
    command.args(["-c", script, &proxy.first().port().to_string()]);
    let output = command.output().expect("Python runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        ["/none/a UNAVAILABLE", "/nowhere/a UNIMPLEMENTED", "/slow/a UNAVAILABLE"]
    );
}
