//! How many connections are let in, how fast, and to which worker.

use super::config::{Chain, config, listener, only};
use super::support::{Client, Proxy};

const ONE: [Chain<'static>; 1] = [Chain("one", "", "")];

fn scope(proxy: &Proxy, name: &str) -> u64 {
    proxy.stat(&format!("listener.main.{name}"))
}

#[test]
fn a_listener_has_a_limit() {
    let listeners = [listener("main", "stat_prefix: main", &ONE), listener("other", "", &ONE)];
    let runtime = "layered_runtime: {layers: [{name: static, static_layer: {envoy.resource_limits.listener.main.connection_limit: 2}}]}";
    let proxy = Proxy::start_with(&config(&listeners, "", runtime), &["--concurrency", "2"]);
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(proxy.address("main"))).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "one"));
    Client::connect(proxy.address("main")).assert_closed();
    assert_eq!(scope(&proxy, "downstream_cx_overflow"), 1);
    assert_eq!(Client::connect(proxy.address("other")).get("/").text(), "one");
    // Who leaves makes room.
    clients.pop();
    proxy.await_stat("listener.main.downstream_cx_active", 1);
    assert_eq!(Client::connect(proxy.address("main")).get("/").text(), "one");
}

#[test]
fn the_process_has_a_limit_that_a_listener_may_ignore() {
    let listeners = [
        listener("main", "stat_prefix: main", &ONE),
        listener("free", "ignore_global_conn_limit: true", &ONE),
    ];
    let limit = "overload_manager: {resource_monitors: [{name: envoy.resource_monitors.global_downstream_max_connections, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 3}}]}";
    let yaml = config(&listeners, "", limit).replace("admin: {", "admin: {ignore_global_conn_limit: true, ");
    let proxy = Proxy::start_with(&yaml, &["--concurrency", "2"]);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(proxy.address("main"))).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "one"));
    Client::connect(proxy.address("main")).assert_closed();
    assert_eq!(scope(&proxy, "downstream_global_cx_overflow"), 1);
    assert_eq!(scope(&proxy, "downstream_cx_overflow"), 0);
    assert_eq!(Client::connect(proxy.address("free")).get("/").text(), "one");
    drop(clients);
    proxy.await_stat("listener.main.downstream_cx_active", 0);
    assert_eq!(Client::connect(proxy.address("main")).get("/").text(), "one");
}

#[test]
fn connections_that_come_to_nothing_give_their_places_back() {
    let options =
        format!("stat_prefix: main\nlistener_filters_timeout: 0.1s\n{}", only("proxy_protocol", ""));
    let runtime = "layered_runtime: {layers: [{name: static, static_layer: {envoy: {resource_limits: {listener: {main: {connection_limit: 1}}}}, overload: {global_downstream_max_connections: 1}}}]}";
    let yaml = config(&[listener("main", &options, &ONE)], "", runtime);
    let proxy = Proxy::start(&yaml.replace("admin: {", "admin: {ignore_global_conn_limit: true, "));
    for round in 0..3 {
        // Refused, timed out, left: each held the only place for a while.
        let mut refused = Client::connect(proxy.address("main"));
        refused.send("x");
        refused.assert_closed();
        let mut slow = Client::connect(proxy.address("main"));
        slow.send("PROXY ");
        slow.assert_closed();
        drop(Client::connect(proxy.address("main")));
        proxy.await_stat("listener.main.downstream_listener_filter_remote_close", round + 1);
        let mut client = Client::connect(proxy.address("main"));
        client.send("PROXY UNKNOWN\r\n");
        assert_eq!(client.get("/").text(), "one", "round {round}");
        drop(client);
        proxy.await_stat("listener.main.downstream_cx_active", 0);
    }
    assert_eq!(scope(&proxy, "downstream_cx_overflow"), 0);
    assert_eq!(scope(&proxy, "downstream_global_cx_overflow"), 0);
}

#[test]
fn connections_spread_exactly_over_workers() {
    for reuse_port in [true, false] {
        let options = format!(
            "stat_prefix: main\nenable_reuse_port: {reuse_port}\nconnection_balance_config: {{exact_balance: {{}}}}"
        );
        let yaml = config(&[listener("main", &options, &ONE)], "", "");
        let proxy = Proxy::start_with(&yaml, &["--concurrency", "4"]);
        let mut clients: Vec<_> = (0..40).map(|_| Client::connect(proxy.address("main"))).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "one"));
        let on = |worker: usize| scope(&proxy, &format!("worker_{worker}.downstream_cx_active"));
        assert_eq!([0, 1, 2, 3].map(on), [10; 4]);
        // What has gone from one worker comes to it again.
        drop(clients.drain(..20));
        proxy.await_stat("listener.main.downstream_cx_active", 20);
        let mut more: Vec<_> = (0..20).map(|_| Client::connect(proxy.address("main"))).collect();
        more.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "one"));
        assert_eq!([0, 1, 2, 3].map(on), [10; 4]);
    }
}

#[test]
fn connections_that_come_too_fast_are_closed() {
    let options = only(
        "local_ratelimit",
        "stat_prefix: slow, token_bucket: {max_tokens: 3, tokens_per_fill: 1, fill_interval: 600s}",
    );
    let yaml = config(&[listener("main", &options, &ONE)], "", "");
    let proxy = Proxy::start_with(&yaml, &["--concurrency", "2"]);
    for _ in 0..3 {
        assert_eq!(Client::connect(proxy.address("main")).get("/").text(), "one");
    }
    for _ in 0..2 {
        Client::connect(proxy.address("main")).assert_closed();
    }
    assert_eq!(proxy.stat("listener_local_ratelimit.slow.rate_limited"), 2);
    let off = "layered_runtime: {layers: [{name: a, static_layer: {rate: {on: false}}}]}";
    let options = only(
        "local_ratelimit",
        "stat_prefix: slow, runtime_enabled: {default_value: true, runtime_key: rate.on}, token_bucket: {max_tokens: 1, fill_interval: 600s}",
    );
    let proxy = Proxy::start(&config(&[listener("main", &options, &ONE)], "", off));
    for _ in 0..3 {
        assert_eq!(Client::connect(proxy.address("main")).get("/").text(), "one");
    }
}

#[test]
fn few_are_accepted_at_a_time_but_all_in_the_end() {
    let options = "stat_prefix: main\nmax_connections_to_accept_per_socket_event: 1";
    let proxy = Proxy::start(&config(&[listener("main", options, &ONE)], "", ""));
    let mut clients: Vec<_> = (0..50).map(|_| Client::connect(proxy.address("main"))).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "one"));
    assert_eq!(scope(&proxy, "downstream_cx_total"), 50);
}
