//! Time limits of sessions, and lines about those that still run.

use super::support::{Folder, Proxy};
use super::{Ended, Host, access_log, connect, lines, read, rest, tcp_proxy, yaml};
use std::io::Write;
use std::time::{Duration, Instant};

#[test]
fn idle_sessions_end_and_busy_ones_do_not() {
    let host = Host::start();
    let folder = Folder::new();
    let format = "%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DOWNSTREAM_LOCAL_CLOSE_REASON% %UPSTREAM_LOCAL_CLOSE_REASON%";
    let log = access_log(&folder.0.join("log").display().to_string(), format);
    let proxy = Proxy::start_with(
        &yaml(
            &[
                ("idle", &[tcp_proxy(&format!("cluster: up, idle_timeout: 0.8s, {log}"))], ""),
                (
                    "old",
                    &[tcp_proxy(&format!("cluster: up, max_downstream_connection_duration: 0.3s, {log}"))],
                    "",
                ),
            ],
            &[("up", &[host.address], "")],
        ),
        &["--concurrency", "1", "--file-flush-interval-msec", "10"],
    );
    let mut client = connect(&proxy, "idle");
    let mut server = host.next();
    let (started, mut last) = (Instant::now(), Instant::now());
    // Bytes in either direction keep it alive.
    while started.elapsed() < Duration::from_millis(1500) {
        last = Instant::now();
        client.write_all(b"x").expect("sent");
        read(&mut server, 1);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(rest(&mut client), (Vec::new(), Ended::InOrder));
    assert!(last.elapsed() >= Duration::from_millis(790), "{:?}", last.elapsed());
    assert_eq!(rest(&mut server), (Vec::new(), Ended::InOrder));
    assert_eq!(proxy.stat("tcp.t.idle_timeout"), 1);
    // However busy.
    let started = Instant::now();
    let mut client = connect(&proxy, "old");
    let mut server = host.next();
    while client.write_all(b"x").is_ok() && started.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(started.elapsed() >= Duration::from_millis(200) && started.elapsed() < Duration::from_secs(5));
    rest(&mut server);
    assert_eq!(proxy.stat("tcp.t.max_downstream_connection_duration"), 1);
    let log = lines(&folder.0.join("log"), 2);
    assert!(log[0].ends_with(" 0 tcp_session_idle_timeout tcp_session_idle_timeout"), "{log:?}");
    assert!(log[1].starts_with("DT "), "{log:?}");
    assert!(
        log[1].ends_with(" 0 max_connection_duration_reached max_connection_duration_reached"),
        "{log:?}"
    );
}

/// A reader that takes a little now and then is not idle, though nothing is read from anybody meanwhile.
#[test]
fn a_slow_reader_is_not_idle() {
    const SIZE: usize = 20 << 20;
    let host = Host::start();
    // While half of the buffer drains nothing is read from the host: longer than the time-out at the reader's pace.
    let listener = (
        "main",
        &[tcp_proxy("cluster: up, idle_timeout: 1s")][..],
        "per_connection_buffer_limit_bytes: 16777216",
    );
    let proxy = Proxy::start(&yaml(&[listener], &[("up", &[host.address], "")]));
    let mut client = connect(&proxy, "main");
    let mut server = host.next();
    let writer = std::thread::spawn(move || {
        server.write_all(&vec![9; SIZE]).expect("all is taken in the end");
        server
    });
    let mut got = 0;
    while got < SIZE {
        let n = (SIZE - got).min(200_000);
        assert!(read(&mut client, n).iter().all(|byte| *byte == 9));
        got += n;
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(writer.join().expect("sent"));
}

#[test]
fn sessions_that_still_run_have_lines_if_that_is_wanted() {
    let host = Host::start();
    let folder = Folder::new();
    let log = access_log(
        &folder.0.join("log").display().to_string(),
        "%ACCESS_LOG_TYPE% %BYTES_RECEIVED% %UPSTREAM_HOST%",
    );
    let options =
        "access_log_options: {flush_access_log_on_connected: true, access_log_flush_interval: 0.1s}";
    let proxy = Proxy::start_with(
        &yaml(
            &[("main", &[tcp_proxy(&format!("cluster: up, {options}, {log}"))], "")],
            &[("up", &[host.address], "")],
        ),
        &["--concurrency", "1", "--file-flush-interval-msec", "10"],
    );
    let mut client = connect(&proxy, "main");
    let mut server = host.next();
    client.write_all(b"abc").expect("sent");
    read(&mut server, 3);
    let seen = lines(&folder.0.join("log"), 3);
    assert_eq!(seen[0], format!("TcpUpstreamConnected 0 {}", host.address));
    assert_eq!(seen[1], format!("TcpPeriodic 3 {}", host.address));
    drop((client, server));
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
    let end = Instant::now() + super::PATIENCE;
    loop {
        let seen = lines(&folder.0.join("log"), 4);
        if seen.last().is_some_and(|line| *line == format!("TcpConnectionEnd 3 {}", host.address)) {
            break;
        }
        assert!(Instant::now() < end, "{seen:?}");
    }
}
