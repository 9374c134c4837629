//! A whole configuration: from its source to a [`Snapshot`].
//!
//! Runs on the main thread, at start and for `--mode validate`; files that are named in it are
//! read, no socket is bound.

use super::limits;
use super::snapshot::{Node, Snapshot};
use crate::api::envoy::config::bootstrap::v3::Bootstrap;
use crate::config::{Cx, Diagnostics, Runtime, Source, bootstrap};
use crate::listener::config::ListenAddress;
use crate::stats::{ClusterManagerStats, FilesystemStats, ListenerManagerStats, Registry, ServerStats};
use crate::tls::Secrets;
use crate::{admin, listener, stats, udp, upstream};
use nuncio_reactor::Address;
use std::collections::HashMap;
use std::sync::Arc;

/// Loads, checks and compiles a configuration.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(source: &Source) -> Result<Snapshot, Diagnostics> {
    load_as(source, &Node::default())
}

/// The same, with names for what the configuration does not say about this process.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_as(source: &Source, names: &Node) -> Result<Snapshot, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let proto = bootstrap(source, &mut diagnostics);
    let mut registry = Registry::new();
    let node = node(&proto, names);
    let mut cx = Cx::new(&mut diagnostics, &mut registry);
    cx.node = (node.id.clone(), node.cluster.clone());
    if let Some(runtime) = &proto.layered_runtime {
        cx.runtime = cx.field("layered_runtime", |cx| Runtime::compile(runtime, cx));
    }
    let parts = compile(&proto, &mut cx);
    let connection_limit = limits::connections(proto.overload_manager.as_ref(), &mut cx);
    let stats = stats::compile::stats(&proto, &mut cx);
    std::mem::take(&mut cx.runtime).complain(&mut cx);
    let (clusters, listeners, udp_listeners, admin) = parts;
    let server_stats = ServerStats::register(&mut registry, "server.");
    let filesystem_stats = FilesystemStats::register(&mut registry, "filesystem.");
    let listener_manager_stats = ListenerManagerStats::register(&mut registry, "listener_manager.");
    let cluster_manager_stats = ClusterManagerStats::register(&mut registry, "cluster_manager.");
    let (admin_stats, admin_listener_stats) = admin::register(&mut registry);
    registry.select(&stats.matcher);
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    Ok(Snapshot {
        bootstrap: proto,
        node,
        admin,
        connection_limit,
        listeners,
        udp_listeners,
        clusters,
        registry,
        server_stats,
        filesystem_stats,
        listener_manager_stats,
        cluster_manager_stats,
        stats,
        admin_stats,
        admin_listener_stats,
    })
}

fn node(proto: &Bootstrap, names: &Node) -> Node {
    let node = proto.node.clone().unwrap_or_default();
    let or = |given: String, name: &String| if given.is_empty() { name.clone() } else { given };
    Node {
        id: or(node.id, &names.id),
        cluster: or(node.cluster, &names.cluster),
        zone: or(node.locality.unwrap_or_default().zone, &names.zone),
    }
}

type Parts = (
    upstream::config::ClusterTable,
    Vec<Arc<listener::config::ListenerConfig>>,
    Vec<Arc<udp::config::UdpListenerConfig>>,
    Option<admin::config::AdminConfig>,
);

/// Clusters first, since routes name them.
fn compile(proto: &Bootstrap, cx: &mut Cx<'_>) -> Parts {
    let resources = proto.static_resources.clone().unwrap_or_default();
    let mut names = HashMap::new();
    let mut udp_listeners = Vec::new();
    let listeners = cx.field("static_resources", |cx| {
        cx.secrets = Arc::new(Secrets::compile(&resources.secrets, cx));
        if cx.is_broken(&["clusters"]) {
            cx.broken_clusters.push(String::new());
        }
        let clusters = cx.each("clusters", &resources.clusters, |cx, cluster| {
            if names.insert(cluster.name.clone(), ()).is_some() && !cluster.name.is_empty() {
                cx.error_at("name", format!("there is another cluster called `{}`", cluster.name));
            }
            let compiled = upstream::compile::cluster(cluster, cx);
            if compiled.is_none() {
                cx.broken_clusters.push(cluster.name.clone());
            }
            compiled.map(Arc::new)
        });
        cx.clusters.clusters = clusters;
        let mut names = HashMap::new();
        let mut addresses = HashMap::new();
        cx.each("listeners", &resources.listeners, |cx, listener| {
            if names.insert(listener.name.clone(), ()).is_some() && !listener.name.is_empty() {
                cx.error_at("name", format!("there is another listener called `{}`", listener.name));
            }
            // Every listener has a socket of its own, so two at one address would share what comes at random.
            let mut claim = |address: &Address, name: &str, cx: &mut Cx<'_>| {
                let protocol = udp::compile::is_udp(listener);
                let chosen = !matches!(address, Address::Inet(address) if address.port() == 0);
                let key = (protocol, address.clone());
                if chosen && let Some(other) = addresses.insert(key, name.to_owned()) {
                    cx.error_at("address", format!("listener `{other}` has the same address, {address}"));
                }
            };
            if udp::compile::is_udp(listener) {
                let compiled = udp::compile::listener(listener, cx)?;
                for at in &compiled.addresses {
                    claim(&Address::Inet(at.address), &compiled.name, cx);
                }
                udp_listeners.push(Arc::new(compiled));
                return None;
            }
            let compiled = listener::compile::listener(listener, cx)?;
            for ListenAddress { address, .. } in &compiled.addresses {
                claim(address, &compiled.name, cx);
            }
            Some(Arc::new(compiled))
        })
    });
    let admin =
        proto.admin.as_ref().and_then(|admin| cx.field("admin", |cx| admin::compile::admin(admin, cx)));
    (cx.clusters.clone(), listeners, udp_listeners, admin)
}
