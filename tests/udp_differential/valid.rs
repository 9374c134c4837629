//! Which configurations of UDP both sides take.

use crate::support::{Folder, envoy};
use crate::udp_support::{Listener, TO_UP};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const HTTP: &str = "    filter_chains: [{filters: []}]\n";

/// Name, the listener, and whether we alone refuse it, on purpose.
fn rows() -> Vec<(&'static str, Listener<'static>, bool)> {
    let base = Listener::default();
    let proxy = |proxy| Listener { proxy, ..base };
    let listener = |listener| Listener { listener, ..base };
    vec![
        ("plain", base, false),
        ("no idle time", proxy("        idle_timeout: 0s\n"), false),
        ("negative idle time", proxy("        idle_timeout: -1s\n"), false),
        ("no route", Listener { route: "", ..base }, false),
        ("empty matcher", Listener { route: "        matcher: {}\n", ..base }, false),
        ("old route", Listener { route: "        cluster: up\n", ..base }, false),
        ("cluster that is not there", Listener { route: "        cluster: nowhere\n", ..base }, true),
        ("two hashes", proxy("        hash_policies: [{source_ip: true}, {key: a}]\n"), false),
        ("hash off", proxy("        hash_policies: [{source_ip: false}]\n"), false),
        ("hash of nothing", proxy("        hash_policies: [{}]\n"), false),
        ("hash of an empty key", proxy("        hash_policies: [{key: ''}]\n"), false),
        ("hash of a key", proxy("        hash_policies: [{key: a}]\n"), false),
        ("no length", proxy("        upstream_socket_config: {max_rx_datagram_size: 0}\n"), false),
        ("greatest length", proxy("        upstream_socket_config: {max_rx_datagram_size: 65535}\n"), false),
        (
            "too great a length",
            proxy("        upstream_socket_config: {max_rx_datagram_size: 65536}\n"),
            false,
        ),
        ("log without pause", proxy("        access_log_options: {access_log_flush_interval: 0s}\n"), false),
        (
            "log with a short pause",
            proxy("        access_log_options: {access_log_flush_interval: 0.001s}\n"),
            false,
        ),
        ("filter chains", listener(HTTP), false),
        ("default filter chain", listener("    default_filter_chain: {filters: []}\n"), false),
        ("buffer limit", listener("    per_connection_buffer_limit_bytes: 1000\n"), true),
        ("backlog", listener("    tcp_backlog_size: 5\n"), true),
        ("no socket", listener("    bind_to_port: false\n"), false),
        ("multipath", listener("    enable_mptcp: true\n"), false),
        ("drain type", listener("    drain_type: MODIFY_ONLY\n"), false),
        ("direction", listener("    traffic_direction: INBOUND\n"), false),
        ("time for filters", listener("    listener_filters_timeout: 1s\n"), true),
        ("balance", listener("    connection_balance_config: {exact_balance: {}}\n"), true),
        ("keep-alive", listener("    tcp_keepalive: {}\n"), true),
        (
            "a further address",
            listener(
                "    additional_addresses: [{address: {socket_address: {protocol: UDP, address: 127.0.0.2, port_value: 0}}}]\n",
            ),
            false,
        ),
        (
            "a further address of another kind",
            listener(
                "    additional_addresses: [{address: {socket_address: {address: 127.0.0.2, port_value: 0}}}]\n",
            ),
            false,
        ),
        ("socket options", listener("    socket_options: [{level: 1, name: 8, int_value: 10000}]\n"), false),
        ("one socket for one worker", listener("    enable_reuse_port: false\n"), false),
        ("empty list", Listener { route: "        matcher: {matcher_list: {}}\n", ..base }, false),
        (
            "match that leads nowhere",
            Listener { route: "        matcher: {on_no_match: {}}\n", ..base },
            false,
        ),
        ("both routes", Listener { proxy: "        cluster: up\n", route: TO_UP, ..base }, false),
    ]
}

/// Whether it is taken, and what is said.
fn validate(program: &Path, arguments: &[&str], path: &Path) -> (bool, String) {
    let output = Command::new(program)
        .args(arguments)
        .args(["--mode", "validate", "--concurrency", "1", "-c"])
        .arg(path)
        .output()
        .expect("it runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn both_take_the_same_configurations() {
    let Some(envoy) = envoy() else { return };
    let folder = Folder::new();
    let mut report = String::new();
    for (name, listener, refused) in rows() {
        let path =
            folder.file("config.yaml", &listener.config(&["127.0.0.1:53".parse().expect("an address")]));
        let theirs = validate(&envoy, &["--use-dynamic-base-id", "-l", "critical"], &path);
        let ours = validate(Path::new(env!("CARGO_BIN_EXE_nuncio")), &[], &path);
        if ours.0 != (theirs.0 && !refused) || refused && !theirs.0 {
            let _ = writeln!(report, "== {name}: Envoy {theirs:?}, we {ours:?}");
        }
    }
    assert!(report.is_empty(), "{report}");
}
