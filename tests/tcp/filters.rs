//! The filters before the last one, and those that answer by themselves.

use super::support::{Client, Folder, Proxy, config, tool};
use super::{Ended, Host, access_log, connect, echo, filter, lines, read, rest, tcp_proxy, yaml};
use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

fn rbac(prefix: &str, body: &str) -> String {
    filter("rbac.v3.RBAC", &format!("stat_prefix: {prefix}, {body}"))
}

/// Rules of one policy, called p.
fn rules(action: &str, permission: &str, principal: &str) -> String {
    format!(
        "{{action: {action}, policies: {{p: {{permissions: [{permission}], principals: [{principal}]}}}}}}"
    )
}

const ANY: &str = "{any: true}";

#[test]
fn rbac_judges_by_address_and_port_when_bytes_come() {
    let folder = Folder::new();
    let log = access_log(&folder.0.join("log").display().to_string(), "%CONNECTION_TERMINATION_DETAILS%");
    let host = Host::start();
    let tcp = || tcp_proxy(&format!("cluster: up, {log}"));
    let from = |range: &str| format!("{{direct_remote_ip: {{address_prefix: {range}, prefix_len: 8}}}}");
    let proxy = Proxy::start_with(
        &yaml(
            &[
                (
                    "yes",
                    &[rbac("yes", &format!("rules: {}", rules("ALLOW", ANY, &from("127.0.0.0")))), tcp()],
                    "",
                ),
                (
                    "no",
                    &[rbac("no", &format!("rules: {}", rules("ALLOW", ANY, &from("10.0.0.0")))), tcp()],
                    "",
                ),
                (
                    "deny",
                    &[
                        rbac(
                            "deny",
                            &format!("rules: {}", rules("DENY", "{not_rule: {destination_port: 1}}", ANY)),
                        ),
                        tcp(),
                    ],
                    "",
                ),
                (
                    "shadow",
                    &[
                        rbac(
                            "shadow",
                            &format!(
                                "shadow_rules: {}, shadow_rules_stat_prefix: s, enforcement_type: CONTINUOUS",
                                rules("DENY", ANY, ANY)
                            ),
                        ),
                        tcp(),
                    ],
                    "",
                ),
            ],
            &[("up", &[host.address], "")],
        ),
        &["--concurrency", "1", "--file-flush-interval-msec", "10"],
    );
    let mut client = connect(&proxy, "yes");
    client.write_all(b"in").expect("sent");
    let mut server = host.next();
    assert_eq!(read(&mut server, 2), b"in");
    drop((client, server));
    for name in ["no", "deny"] {
        let mut client = connect(&proxy, name);
        // The host is connected, and what it says first is heard, as in Envoy.
        let mut server = host.next();
        server.write_all(b"banner").expect("sent");
        assert_eq!(read(&mut client, 6), b"banner");
        client.write_all(b"in").expect("sent");
        assert_eq!(rest(&mut client).0, b"");
        assert_eq!(rest(&mut server).0, b"", "nothing of it gets through");
    }
    let mut client = connect(&proxy, "shadow");
    let mut server = host.next();
    for _ in 0..3 {
        client.write_all(b"x").expect("sent");
        read(&mut server, 1);
    }
    drop((client, server));
    let log = lines(&folder.0.join("log"), 4);
    assert_eq!(
        log[..3],
        ["-", "rbac_access_denied_matched_policy[none]", "rbac_access_denied_matched_policy[p]"]
    );
    for (name, value) in [
        ("yes.rbac.allowed", 1),
        ("no.rbac.denied", 1),
        ("deny.rbac.denied", 1),
        ("deny.rbac.allowed", 0),
        // Three times a byte, and the end.
        ("shadow.rbac.s.shadow_denied", 4),
        ("shadow.rbac.s.shadow_allowed", 0),
    ] {
        assert_eq!(proxy.stat(name), value, "{name}");
    }
}

#[test]
fn a_denied_connection_may_be_kept_waiting() {
    let denied = rbac("d", &format!("rules: {}, delay_deny: 0.4s", rules("DENY", ANY, ANY)));
    let proxy =
        Proxy::start(&yaml(&[("main", &[denied, tcp_proxy("cluster: up")], "")], &[("up", &[echo()], "")]));
    let started = Instant::now();
    let mut client = connect(&proxy, "main");
    client.write_all(b"x").expect("sent");
    assert_eq!(rest(&mut client).0, b"");
    assert!(started.elapsed() >= Duration::from_millis(400), "{:?}", started.elapsed());
}

#[test]
fn connections_beyond_a_limit_are_closed_at_once_or_late() {
    let limit = |prefix: &str, more: &str| {
        filter(
            "connection_limit.v3.ConnectionLimit",
            &format!("stat_prefix: {prefix}, max_connections: 2{more}"),
        )
    };
    let off = ", runtime_enabled: {default_value: false, runtime_key: k}";
    // Two workers share the limit.
    let proxy = Proxy::start_with(
        &yaml(
            &[
                ("now", &[limit("now", ""), tcp_proxy("cluster: up")], ""),
                ("late", &[limit("late", ", delay: 1s"), tcp_proxy("cluster: up")], ""),
                ("off", &[limit("off", off), tcp_proxy("cluster: up")], ""),
            ],
            &[("up", &[echo()], "")],
        ),
        &["--concurrency", "2"],
    );
    for name in ["now", "late", "off"] {
        let mut within: Vec<_> = (0..2).map(|_| connect(&proxy, name)).collect();
        for client in &mut within {
            client.write_all(b"in").expect("sent");
            assert_eq!(read(client, 2), b"in");
        }
        let started = Instant::now();
        let beyond: Vec<_> = (0..3).map(|_| connect(&proxy, name)).collect();
        for mut client in beyond {
            if name == "off" {
                client.write_all(b"in").expect("sent");
                assert_eq!(read(&mut client, 2), b"in");
                continue;
            }
            assert_eq!(rest(&mut client), (Vec::new(), Ended::InOrder));
            assert_eq!(started.elapsed() >= Duration::from_secs(1), name == "late");
        }
        if name != "off" {
            assert_eq!(proxy.stat(&format!("connection_limit.{name}.active_connections")), 2);
            assert_eq!(proxy.stat(&format!("connection_limit.{name}.limited_connections")), 3);
        }
        // Places are given back.
        drop(within);
        proxy.await_stat(&format!("connection_limit.{name}.active_connections"), 0);
        let mut client = connect(&proxy, name);
        client.write_all(b"in").expect("sent");
        assert_eq!(read(&mut client, 2), b"in");
    }
    assert_eq!(proxy.stat("connection_limit.off.limited_connections"), 0);
}

#[test]
fn connections_beyond_a_rate_are_closed() {
    let limit = |prefix: &str, more: &str| {
        let bucket = "token_bucket: {max_tokens: 3, fill_interval: 3600s}";
        filter("local_ratelimit.v3.LocalRateLimit", &format!("stat_prefix: {prefix}, {bucket}{more}"))
    };
    let shared = ", share_key: k";
    let proxy = Proxy::start_with(
        &yaml(
            &[
                ("alone", &[limit("alone", ""), tcp_proxy("cluster: up")], ""),
                ("a", &[limit("a", shared), tcp_proxy("cluster: up")], ""),
                ("b", &[limit("b", shared), tcp_proxy("cluster: up")], ""),
            ],
            &[("up", &[echo()], "")],
        ),
        &["--concurrency", "2"],
    );
    let let_in = |name: &str| {
        let mut client = connect(&proxy, name);
        // Who is turned away may be so before this is sent.
        let _ = client.write_all(b"in");
        let _ = client.shutdown(Shutdown::Write);
        rest(&mut client).0 == b"in"
    };
    assert_eq!((0..5).filter(|_| let_in("alone")).count(), 3);
    assert_eq!(proxy.stat("local_rate_limit.alone.rate_limited"), 2);
    assert!(let_in("a") && let_in("b") && let_in("a"), "three tokens for both");
    assert!(!let_in("a") && !let_in("b"));
}

#[test]
fn echo_and_direct_response_answer_by_themselves() {
    let direct = filter("direct_response.v3.Config", "response: {inline_string: \"at your service\"}");
    let proxy = Proxy::start(&yaml(
        &[
            ("echo", &[filter("echo.v3.Echo", "")], ""),
            ("direct", &[direct], ""),
            (
                "denied",
                &[rbac("d", &format!("rules: {}", rules("DENY", ANY, ANY))), filter("echo.v3.Echo", "")],
                "",
            ),
        ],
        &[],
    ));
    let mut client = connect(&proxy, "echo");
    let text = vec![b'e'; 3 << 20];
    let mut writer = client.try_clone().expect("a copy");
    let sent = text.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&sent).expect("sent");
        writer.shutdown(Shutdown::Write).expect("finished");
    });
    let (back, ended) = rest(&mut client);
    sender.join().expect("sent");
    assert!(back == text && ended == Ended::InOrder);
    // What the client sends does not destroy the answer.
    let mut client = connect(&proxy, "direct");
    client.write_all(&[1; 100_000]).expect("sent");
    assert_eq!(rest(&mut client), (b"at your service".to_vec(), Ended::InOrder));
    let mut client = connect(&proxy, "denied");
    client.write_all(b"x").expect("sent");
    assert_eq!(rest(&mut client).0, b"");
    drop(client);
    for name in ["echo", "direct", "denied"] {
        proxy.await_stat(&format!("listener.{name}.downstream_cx_active"), 0);
        assert_eq!(proxy.stat(&format!("listener.{name}.downstream_cx_destroy")), 1, "{name}");
    }
}

/// Filters run in the order in which they are written: one that turns away keeps those behind it from counting.
#[test]
fn filters_run_in_order() {
    let never = filter("connection_limit.v3.ConnectionLimit", "stat_prefix: limit, max_connections: 1");
    let rate = filter(
        "local_ratelimit.v3.LocalRateLimit",
        "stat_prefix: rate, token_bucket: {max_tokens: 2, fill_interval: 3600s}",
    );
    let proxy = Proxy::start(&yaml(
        &[
            ("limit_first", &[never.clone(), rate.clone(), tcp_proxy("cluster: up")], ""),
            (
                "rate_first",
                &[
                    rate.replace("rate,", "rate2,"),
                    never.replace("limit,", "limit2,"),
                    tcp_proxy("cluster: up"),
                ],
                "",
            ),
        ],
        &[("up", &[echo()], "")],
    ));
    for name in ["limit_first", "rate_first"] {
        let mut first = connect(&proxy, name);
        first.write_all(b"x").expect("sent");
        read(&mut first, 1);
        for _ in 0..2 {
            assert_eq!(rest(&mut connect(&proxy, name)), (Vec::new(), Ended::InOrder));
        }
    }
    // The limit turned both away: one token was taken.
    assert_eq!(proxy.stat("connection_limit.limit.limited_connections"), 2);
    assert_eq!(proxy.stat("local_rate_limit.rate.rate_limited"), 0);
    // The second token went to the first of them.
    assert_eq!(proxy.stat("connection_limit.limit2.limited_connections"), 1);
    assert_eq!(proxy.stat("local_rate_limit.rate2.rate_limited"), 1);
}

/// The same filters before an HTTP connection manager.
#[test]
fn filters_stand_before_http_too() {
    let folder = Folder::new();
    let path = folder.0.join("log");
    let log = access_log(&path.display().to_string(), "%REQ(:path)% %FILTER_STATE(who:PLAIN)%");
    let yaml = config(
        &log,
        "- {match: {prefix: \"/\"}, direct_response: {status: 200, body: {inline_string: hello}}}",
        &[],
    );
    let before = [
        filter("connection_limit.v3.ConnectionLimit", "stat_prefix: limit, max_connections: 1"),
        filter(
            "set_filter_state.v3.Config",
            "on_new_connection: [{object_key: who, factory_key: envoy.string, format_string: {text_format_source: {inline_string: \"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\"}}}]",
        ),
        rbac("r", &format!("rules: {}, enforcement_type: CONTINUOUS", rules("ALLOW", ANY, ANY))),
    ];
    let mark = "    - filters:\n";
    let with = |filters: &[String]| {
        yaml.replacen(
            mark,
            &format!("{mark}{}", filters.iter().map(|f| format!("      - {f}\n")).collect::<String>()),
            1,
        )
    };
    let flags = ["--concurrency", "1", "--file-flush-interval-msec", "10"];
    let proxy = Proxy::start_with(&with(&before), &flags);
    let mut client = proxy.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/a").text(), "hello");
    }
    proxy.connect().assert_closed();
    assert_eq!(lines(&path, 2), ["/a 127.0.0.1", "/a 127.0.0.1"]);
    assert_eq!(proxy.stat("r.rbac.allowed"), 2);
    assert_eq!(proxy.stat("connection_limit.limit.limited_connections"), 1);
    drop(client);
    proxy.await_stat("connection_limit.limit.active_connections", 0);
    let mut client = Client::connect(proxy.first());
    assert_eq!(client.get("/b").status, 200);
    drop(client);
    // Denied when the first bytes come, before a word of HTTP.
    let denied = rbac("r", &format!("rules: {}", rules("DENY", ANY, ANY)));
    let proxy = Proxy::start_with(&with(&[denied]), &flags);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    client.assert_closed();
    assert_eq!(proxy.stat("r.rbac.denied"), 1);
    assert_eq!(proxy.stat("http.test.downstream_rq_total"), 0);
    proxy.await_stat("http.test.downstream_cx_active", 0);
}

/// TLS that is passed through: the name in the client hello chooses the cluster, and is judged.
#[test]
fn the_server_name_chooses_the_cluster() {
    if !tool("openssl") {
        return;
    }
    let (a, b) = (Host::start(), Host::start());
    let folder = Folder::new();
    let path = folder.0.join("log");
    let log = access_log(
        &path.display().to_string(),
        "%REQUESTED_SERVER_NAME% %UPSTREAM_CLUSTER% %BYTES_RECEIVED% %CONNECTION_TERMINATION_DETAILS%",
    );
    let inspector = "listener_filters: [{name: i, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]";
    let secret =
        rbac("r", &format!("rules: {}", rules("DENY", "{requested_server_name: {exact: c.example}}", ANY)));
    let chain =
        [secret, filter("sni_cluster.v3.SniCluster", ""), tcp_proxy(&format!("cluster: a.example, {log}"))];
    let proxy = Proxy::start_with(
        &yaml(
            &[("main", &chain, inspector)],
            &[
                ("a.example", &[a.address], ""),
                ("b.example", &[b.address], ""),
                ("c.example", &[b.address], ""),
            ],
        ),
        &["--concurrency", "1", "--file-flush-interval-msec", "10"],
    );
    let hello = |name: Option<&str>| {
        let mut command = std::process::Command::new("openssl");
        command.args(["s_client", "-connect", &proxy.address("main").to_string()]);
        match name {
            Some(name) => command.args(["-servername", name]),
            None => command.arg("-noservername"),
        };
        let quiet = std::process::Stdio::null;
        command.stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn().expect("openssl runs")
    };
    for (name, host) in [(Some("a.example"), &a), (Some("b.example"), &b), (None, &a)] {
        let mut client = hello(name);
        let mut server = host.next();
        // The client hello has come through whole: a record of its own.
        let head = read(&mut server, 5);
        assert_eq!(head[..2], [0x16, 0x03]);
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        assert_eq!(read(&mut server, length)[0], 1);
        drop(server);
        client.wait().expect("it ends");
    }
    hello(Some("c.example")).wait().expect("it is closed");
    let log = lines(&path, 4);
    let fields: Vec<Vec<_>> = log.iter().map(|line| line.split(' ').collect()).collect();
    for (line, (name, cluster)) in
        fields.iter().zip([("a.example", "a.example"), ("b.example", "b.example"), ("-", "a.example")])
    {
        assert_eq!(line[..2], [name, cluster]);
        assert!(line[2].parse::<u32>().expect("a number") > 100, "{line:?}");
    }
    assert_eq!(fields[3][0], "c.example");
    assert_eq!(fields[3][3], "rbac_access_denied_matched_policy[p]");
    assert_eq!(proxy.stat("r.rbac.denied"), 1);
    assert_eq!(proxy.stat("cluster.c.example.upstream_cx_tx_bytes_total"), 0);
}
