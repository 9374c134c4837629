//! One HTTP/1.1 request through the whole life of a request: the real binary, real sockets, scripted peers.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::mpsc::channel;
use support::{Client, Proxy, Upstream, config, simple};

const TO_UP: &str = "- {match: {prefix: \"/\"}, route: {cluster: up}}";

fn closed_port() -> SocketAddr {
    // Bound and dropped: for the rest of the test nobody listens there.
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound")
}

#[test]
fn a_request_and_its_response_pass_with_the_headers_that_envoy_adds() {
    let upstream = Upstream::echo();
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    client
        .send("GET /a?b HTTP/1.1\r\nHost: Example.com\r\nX-One: 1\r\nConnection: x-two\r\nX-Two: 2\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 200);
    assert_eq!(response.header("server"), Some("envoy"));
    assert!(response.header("date").is_some());
    assert!(response.header("x-envoy-upstream-service-time").is_some());
    let seen = response.text();
    assert!(seen.starts_with("GET /a?b HTTP/1.1\r\nhost: Example.com\r\n"), "{seen}");
    for line in [
        "x-one: 1\r\n",
        "x-forwarded-proto: http\r\n",
        "x-envoy-expected-rq-timeout-ms: 15000\r\n",
        "x-request-id: ",
    ] {
        assert!(seen.contains(line), "{line} in {seen}");
    }
    assert!(!seen.contains("x-two"), "{seen}");
}

#[test]
fn kept_connections_are_reused_on_both_sides() {
    let upstream = Upstream::echo();
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    for n in 0..50 {
        assert_eq!(client.get(&format!("/{n}")).status, 200);
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(proxy.stat("http.test.downstream_cx_total"), 1);
    assert_eq!(proxy.stat("http.test.downstream_rq_2xx"), 50);
    assert_eq!(proxy.stat("cluster.up.upstream_rq_200"), 50);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::echo();
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    let requests: String = (0..100).map(|n| format!("GET /{n} HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
    client.send(requests);
    for n in 0..100 {
        let text = client.response().text();
        assert!(text.starts_with(&format!("GET /{n} ")), "{text}");
    }
}

#[test]
fn bodies_pass_in_every_framing() {
    let upstream = Upstream::echo();
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    for body in ["", "x", &"0123456789".repeat(100_000)] {
        client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        assert!(client.response().text().ends_with(&format!("\r\n\r\n{body}")));
        client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        for piece in body.as_bytes().chunks(7777) {
            client.send(format!("{:x};ext=1\r\n", piece.len()));
            client.send(piece);
            client.send("\r\n");
        }
        client.send("0\r\ntrailer: dropped\r\n\r\n");
        let text = client.response().text();
        assert!(text.ends_with(&format!("\r\n\r\n{body}")));
        assert!(text.contains("transfer-encoding: chunked\r\n"));
    }
}

#[test]
fn responses_pass_in_every_framing() {
    let upstream = Upstream::start(|mut client, _| {
        while let Some(request) = client.request() {
            let path = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
            match path.as_str() {
                "/chunked" => client.send(
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nt: 1\r\n\r\n",
                ),
                "/close" => {
                    client.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
                    return;
                }
                "/old" => {
                    client.send("HTTP/1.0 200 OK\r\n\r\nfrom 1.0");
                    return;
                }
                "/empty" => client.send("HTTP/1.1 204 No Content\r\n\r\n"),
                "/unchanged" => client.send("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
                "/head" => client.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
                "/interim" => client.send(
                    "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
                ),
                _ => client.send("HTTP/1.1 200 Fine\r\ncontent-length: 5\r\n\r\nplain"),
            }
        }
    });
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    assert_eq!(client.get("/plain").text(), "plain");
    assert_eq!(client.get("/chunked").text(), "abcde");
    assert_eq!(client.get("/close").text(), "until the end");
    assert_eq!(client.get("/old").text(), "from 1.0");
    assert_eq!(client.get("/empty").status, 204);
    assert_eq!(client.get("/unchanged").status, 304);
    assert_eq!(client.get("/interim").text(), "ok");
    client.send("HEAD /head HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.response_to("HEAD").header("content-length"), Some("5"));
    assert_eq!(client.get("/plain").text(), "plain");
}

#[test]
fn http_1_0_clients() {
    let upstream = Upstream::start(|mut client, _| {
        while client.request().is_some() {
            client.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        }
    });
    let yaml =
        config("http_protocol_options: {accept_http_10: true}", TO_UP, &[("up", &[upstream.address], "")]);
    let proxy = Proxy::start(&yaml);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    let response = client.response();
    assert!(response.header("transfer-encoding").is_none());
    assert_eq!(response.text(), "abc");
    // Not allowed unless configured.
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    assert_eq!(client.response().status, 426);
    client.assert_closed();
}

#[test]
fn expect_continue_is_answered_here_and_not_passed_on() {
    let upstream = Upstream::echo();
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("ok");
    let response = client.response();
    assert_eq!(response.status, 200);
    assert!(!response.text().contains("expect:"));
}

#[test]
fn routes_redirects_and_direct_responses() {
    let (one, two) = (Upstream::echo(), Upstream::echo());
    let routes = r#"
              - {match: {path: "/exact"}, direct_response: {status: 418, body: {inline_string: "teapot"}}}
              - {match: {prefix: "/old"}, redirect: {path_redirect: "/new", response_code: FOUND}}
              - {match: {safe_regex: {regex: "/[0-9]+"}}, direct_response: {status: 200, body: {inline_string: "number"}}}
              - {match: {prefix: "/h", headers: [{name: x-two, present_match: true}]}, route: {cluster: two, host_rewrite_literal: two.example}}
              - {match: {path_separated_prefix: "/api"}, route: {cluster: one, prefix_rewrite: "/v1"}}
              - {match: {prefix: "/h"}, route: {cluster: one}}
    "#;
    let yaml = config("", routes.trim_start(), &[("one", &[one.address], ""), ("two", &[two.address], "")]);
    let proxy = Proxy::start(&yaml);
    let mut client = proxy.connect();
    let response = client.get("/exact");
    assert_eq!((response.status, response.text().as_str()), (418, "teapot"));
    let response = client.get("/old?q=1");
    assert_eq!((response.status, response.header("location")), (302, Some("http://test/new?q=1")));
    assert_eq!(client.get("/123?q").text(), "number");
    assert_eq!(client.get("/nowhere").status, 404);
    assert!(client.get("/api/x?q").text().starts_with("GET /v1/x?q HTTP/1.1\r\n"));
    assert_eq!(client.get("/apix").status, 404);
    assert!(client.get("/h").text().contains("host: test\r\n"));
    client.send("GET /h HTTP/1.1\r\nhost: test\r\nx-two: 1\r\n\r\n");
    assert!(client.response().text().contains("host: two.example\r\n"));
    assert_eq!((one.connections(), two.connections()), (1, 1));
}

#[test]
fn weights_are_kept_across_clusters_and_hosts() {
    let name = |name: &'static str| {
        Upstream::start(move |mut client, _| {
            while client.request().is_some() {
                client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{name}"));
            }
        })
    };
    let (a, b, c) = (name("a"), name("b"), name("c"));
    let routes = "- {match: {prefix: \"/\"}, route: {weighted_clusters: {clusters: [{name: ab, weight: 80}, {name: c, weight: 20}]}}}";
    let yaml = config("", routes, &[("ab", &[a.address, b.address], ""), ("c", &[c.address], "")]);
    let proxy = Proxy::start(&yaml);
    let mut client = proxy.connect();
    let mut counts = [0; 3];
    for _ in 0..1000 {
        counts[usize::from(client.get("/").body[0] - b'a')] += 1;
    }
    assert!(counts[2] > 120 && counts[2] < 280, "{counts:?}");
    assert!(i32::abs_diff(counts[0], counts[1]) <= 1, "{counts:?}");
}

#[test]
fn an_upstream_that_cannot_be_reached_is_503() {
    let proxy = Proxy::start(&simple(closed_port()));
    let mut client = proxy.connect();
    let response = client.get("/");
    assert_eq!(response.status, 503);
    assert_eq!(
        response.text(),
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
    );
    // The client's connection goes on.
    assert_eq!(client.get("/").status, 503);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_connect_fail"), 2);
    assert_eq!(proxy.stat("cluster.up.upstream_rq_503"), 2);
}

#[test]
fn an_upstream_that_dies_before_its_response_is_503_and_in_the_middle_a_broken_connection() {
    let upstream = Upstream::start(|mut client, _| {
        let Some(request) = client.request() else { return };
        if request.head.starts_with("GET /middle") {
            client.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        } else if request.head.starts_with("GET /chunks") {
            client.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe");
        } else if request.head.starts_with("GET /garbage") {
            client.send("HTTP/1.1 nonsense\r\n\r\n");
        }
    });
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    let response = client.get("/before");
    assert_eq!(response.status, 503);
    assert!(response.text().ends_with("reset reason: connection termination"), "{}", response.text());
    let response = client.get("/garbage");
    assert_eq!(response.status, 502);
    for path in ["/middle", "/chunks"] {
        let mut client = proxy.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        let all = String::from_utf8_lossy(&client.until_closed()).into_owned();
        assert!(all.starts_with("HTTP/1.1 200 OK\r\n"), "{all}");
        assert!(!all.ends_with("0\r\n\r\n"), "a cut response must not look complete: {all}");
    }
    proxy.await_stat("http.test.downstream_rq_active", 0);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_active"), 0);
}

#[test]
fn the_keep_alive_race_is_replayed_only_where_that_is_safe() {
    // Every connection serves one exchange, says nothing of closing, and closes on the next request.
    let upstream = Upstream::start(|mut client, _| {
        if client.request().is_some() {
            client.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            client.request();
        }
    });
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    for _ in 0..5 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(proxy.stat("cluster.up.upstream_rq_retry"), 4);
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.response().status, 503);
}

#[test]
fn a_slow_upstream_is_504() {
    let upstream = Upstream::start(|mut client, _| while client.request().is_some() {});
    let routes = "- {match: {prefix: \"/\"}, route: {cluster: up, timeout: 0.05s}}";
    let proxy = Proxy::start(&config("", routes, &[("up", &[upstream.address], "")]));
    let mut client = proxy.connect();
    let response = client.get("/");
    assert_eq!((response.status, response.text().as_str()), (504, "upstream request timeout"));
    proxy.await_stat("cluster.up.upstream_rq_active", 0);
    assert_eq!(proxy.stat("cluster.up.upstream_rq_timeout"), 1);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_active"), 0);
}

#[test]
fn slow_clients_are_timed_out() {
    let upstream = Upstream::echo();
    let hcm = "request_headers_timeout: 0.05s\n          request_timeout: 0.1s";
    let proxy = Proxy::start(&config(hcm, TO_UP, &[("up", &[upstream.address], "")]));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost");
    assert_eq!(client.response().status, 408);
    client.assert_closed();
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nabc");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (408, "request timeout"));
    client.assert_closed();
    // A connection that says nothing at all is no request.
    let hcm = "common_http_protocol_options: {idle_timeout: 0.05s}\n          drain_timeout: 0s";
    let proxy = Proxy::start(&config(hcm, TO_UP, &[("up", &[upstream.address], "")]));
    let mut client = proxy.connect();
    assert_eq!(client.get("/").status, 200);
    client.assert_closed();
    assert_eq!(proxy.stat("http.test.downstream_cx_idle_timeout"), 1);
}

#[test]
fn an_idle_connection_still_takes_a_request_while_it_drains() {
    let upstream = Upstream::echo();
    for (limit, counted) in [
        ("idle_timeout: 0.05s", "http.test.downstream_cx_idle_timeout"),
        (
            "max_connection_duration: 0.05s, max_connection_duration_jitter: {value: 50}",
            "http.test.downstream_cx_max_duration_reached",
        ),
    ] {
        let hcm = format!("common_http_protocol_options: {{{limit}}}\n          drain_timeout: 100s");
        let proxy = Proxy::start(&config(&hcm, TO_UP, &[("up", &[upstream.address], "")]));
        let mut client = proxy.connect();
        proxy.await_stat(counted, 1);
        let response = client.get("/late");
        assert_eq!((response.status, response.header("connection")), (200, Some("close")), "{limit}");
        client.assert_closed();
    }
}

#[test]
fn a_stalled_stream_is_timed_out() {
    let upstream = Upstream::start(|mut client, _| while client.request().is_some() {});
    let proxy =
        Proxy::start(&config("stream_idle_timeout: 0.05s", TO_UP, &[("up", &[upstream.address], "")]));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nabc");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (408, "stream timeout"));
    client.assert_closed();
    assert_eq!(proxy.stat("http.test.downstream_rq_idle_timeout"), 1);
}

#[test]
fn a_client_that_leaves_cancels_its_request() {
    let (told, ended) = channel();
    let upstream = Upstream::start(move |mut client, _| {
        client.request();
        told.send("request").expect("the test waits");
        // The proxy closes the connection when nobody waits for the answer any more.
        assert_eq!(client.until_closed(), b"");
        told.send("closed").expect("the test waits");
    });
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(ended.recv_timeout(support::PATIENCE), Ok("request"));
    drop(client);
    assert_eq!(ended.recv_timeout(support::PATIENCE), Ok("closed"));
    proxy.await_stat("http.test.downstream_rq_rx_reset", 1);
    assert_eq!(proxy.stat("cluster.up.upstream_rq_active"), 0);
}

#[test]
fn an_early_response_ends_the_request_and_the_connection() {
    let upstream = Upstream::start(|mut client, _| {
        client.until(b"\r\n\r\n");
        client.send("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig");
        client.until_closed();
    });
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nabc");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
    client.assert_closed();
    proxy.await_stat("http.test.downstream_cx_active", 0);
}

#[test]
fn a_slow_reader_holds_the_upstream_back_and_memory_stays_bounded() {
    const SIZE: usize = 256 << 20;
    let upstream = Upstream::start(|mut client, _| {
        client.request();
        let _ =
            client.stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n").as_bytes());
        let block = vec![b'x'; 1 << 20];
        for _ in 0..SIZE >> 20 {
            if client.stream.write_all(&block).is_err() {
                return;
            }
        }
    });
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    client.until(b"\r\n\r\n");
    proxy.await_stat_that("cluster.up.upstream_flow_control_paused_reading_total", |n| n > 0);
    assert!(proxy.resident() < 64 << 20, "{}", proxy.resident());
    let mut block = vec![0; 1 << 20];
    let mut got = 0;
    let mut rest = client.stream.try_clone().expect("a socket");
    let buffered = client.drain_buffered();
    got += buffered;
    while got < SIZE {
        let n = rest.read(&mut block).expect("the body");
        assert!(n > 0, "closed after {got}");
        got += n;
    }
    assert_eq!(got, SIZE);
    assert!(proxy.resident() < 64 << 20, "{}", proxy.resident());
}

#[test]
fn a_slow_upstream_holds_the_uploader_back() {
    let (go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |mut client, _| {
        let head = String::from_utf8(client.until(b"\r\n\r\n")).expect("a head");
        assert!(head.contains("content-length: 67108864\r\n"));
        wait.lock().expect("once").recv().expect("the test says go");
        let mut left = 64usize << 20;
        left -= client.drain_buffered();
        let mut block = vec![0; 1 << 20];
        while left > 0 {
            let n = client.stream.read(&mut block).expect("the body");
            assert!(n > 0);
            left -= n;
        }
        client.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 64 << 20));
    let mut writer = client.stream.try_clone().expect("a socket");
    let upload = std::thread::spawn(move || {
        let block = vec![b'x'; 1 << 20];
        for _ in 0..64 {
            writer.write_all(&block).expect("the proxy reads in the end");
        }
    });
    proxy.await_stat_that("http.test.downstream_flow_control_paused_reading_total", |n| n > 0);
    assert!(proxy.resident() < 48 << 20, "{}", proxy.resident());
    go.send(()).expect("the upstream waits");
    assert_eq!(client.response().text(), "ok");
    upload.join().expect("uploaded");
}

#[test]
fn circuit_breakers_overflow() {
    let upstream = Upstream::start(|mut client, _| while client.request().is_some() {});
    let breakers = "    circuit_breakers: {thresholds: [{max_requests: 1, max_pending_requests: 1, max_connections: 1}]}\n";
    let proxy = Proxy::start(&config("", TO_UP, &[("up", &[upstream.address], breakers)]));
    let mut first = proxy.connect();
    first.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    proxy.await_stat("cluster.up.upstream_rq_active", 1);
    let mut second = proxy.connect();
    second.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    proxy.await_stat("cluster.up.upstream_rq_pending_active", 1);
    let response = proxy.connect().get("/");
    assert_eq!(response.status, 503);
    assert!(response.text().ends_with("reset reason: overflow"));
    assert_eq!(proxy.stat("cluster.up.upstream_rq_pending_overflow"), 1);
}

#[test]
fn a_half_closed_client_is_a_gone_client_as_in_envoy() {
    let upstream = Upstream::start(|mut client, _| while client.request().is_some() {});
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    proxy.await_stat("http.test.downstream_rq_active", 1);
    client.stream.shutdown(Shutdown::Write).expect("half-close");
    client.assert_closed();
    assert_eq!(proxy.stat("http.test.downstream_rq_rx_reset"), 1);
}

#[test]
fn unix_sockets_and_ipv6() {
    let upstream = Upstream::echo();
    let folder = support::Folder::new();
    let path = folder.0.join("nuncio.sock");
    let yaml = simple(upstream.address).replacen(
        "address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n    filter_chains",
        &format!("address: {{pipe: {{path: \"{}\"}}}}\n    filter_chains", path.display()),
        1,
    );
    let _proxy = Proxy::start(&yaml);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("the socket's file");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("connection: close\r\n"), "{text}");

    let yaml = simple(upstream.address).replacen(
        "address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n    filter_chains",
        "address: {socket_address: {address: \"::1\", port_value: 0}}\n    filter_chains",
        1,
    );
    let proxy = Proxy::start(&yaml);
    assert!(proxy.first().is_ipv6());
    assert_eq!(proxy.connect().get("/").status, 200);
}

#[test]
fn many_workers_share_a_port() {
    let upstream = Upstream::echo();
    let proxy = Proxy::start_with(&simple(upstream.address), &["--concurrency", "3"]);
    let clients: Vec<Client> = (0..60).map(|_| proxy.connect()).collect();
    for mut client in clients {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(proxy.stat("http.test.downstream_cx_total"), 60);
    // One connection on each worker at least: each has its own pool.
    assert!(upstream.connections() >= 2, "{}", upstream.connections());
}

/// What a crowd of slow readers had in buffers does not stay with the process.
#[test]
fn memory_of_a_rush_goes_back_to_the_system() {
    const CLIENTS: usize = 100;
    const CHUNK: usize = 64 << 10;
    let upstream = Upstream::start(|mut client, _| {
        let chunk = format!("{CHUNK:x}\r\n{}\r\n", "x".repeat(CHUNK));
        while client.request().is_some() {
            client.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            // Until the proxy has had enough, and is gone with its client.
            while client.stream.write_all(chunk.as_bytes()).is_ok() {}
        }
    });
    let proxy = Proxy::start_with(&simple(upstream.address), &["--concurrency", "1"]);
    let before = proxy.allocated();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = proxy.connect();
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            client
        })
        .collect();
    let end = std::time::Instant::now() + support::PATIENCE;
    while proxy.allocated() < before + (64 << 20) {
        assert!(std::time::Instant::now() < end, "buffers do not fill: {} bytes", proxy.allocated() - before);
        std::thread::yield_now();
    }
    drop(clients);
    proxy.await_stat("http.test.downstream_cx_active", 0);
    while proxy.allocated() > before + (16 << 20) {
        assert!(std::time::Instant::now() < end, "{} bytes are left", proxy.allocated() - before);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
