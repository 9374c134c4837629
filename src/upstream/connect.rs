//! How a connection to a host begins: what is said before anything else, and what TLS asks for.

use super::attempt::Failure;
use super::config::{ClusterConfig, Protocol};
use super::manager::immediate;
use super::pool::Place;
use crate::io::{Close, ConnKey, Cx, Owner};
use crate::tls::ClientTls;

/// What a connection begins with.
#[derive(Debug, Default)]
pub(super) struct Opening<'a> {
    /// Whom TLS asks for, if that is up to the request.
    pub(super) name: Option<&'a str>,
    /// What is offered in TLS if the cluster does not say.
    pub(super) protocols: &'static [&'static str],
    /// Sent before anything else, TLS too.
    pub(super) header: &'a [u8],
}

/// What is offered to a host, as in Envoy, by who is going to speak.
pub(super) fn protocols(protocol: Protocol, place: Place) -> &'static [&'static str] {
    match (protocol, place.h2) {
        (Protocol::Auto, _) => &["h2", "http/1.1"],
        (_, true) => &["h2"],
        (_, false) => &["http/1.1"],
    }
}

/// Starts to make a connection to a host.
pub(super) fn connect(
    config: &ClusterConfig,
    host: u32,
    tls: Option<&mut ClientTls>,
    opening: &Opening<'_>,
    cx: &mut Cx<'_>,
) -> Result<ConnKey, Failure> {
    let Opening { name, protocols, header } = *opening;
    let host = &config.hosts[host as usize];
    let conn = cx.io.connect(&host.address, config.keepalive, Owner::Nobody, config.buffer_limit, cx.reactor);
    let conn = conn.map_err(|error| Failure::ConnectFailed(immediate(&error, &host.address)))?;
    match tls {
        Some(tls) => {
            let secured = tls
                .approach(name, &host.hostname, protocols)
                .and_then(|approach| cx.io.secure_client(conn, tls, approach, header, cx.stats));
            if let Err(why) = secured {
                cx.io.close(conn, Close::Now, None, cx.reactor);
                return Err(Failure::ConnectFailed(why.into()));
            }
        }
        // Leaves as soon as there is a connection.
        None if !header.is_empty() => cx.io.output(conn).append(header),
        None => {}
    }
    cx.stats.add(config.stats.upstream_cx_tx_bytes_total, header.len() as u64);
    Ok(conn)
}
