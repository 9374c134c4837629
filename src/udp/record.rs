//! What access logs say of sessions and of the proxy: Envoy's operators and its metadata `udp.proxy.session` and
//! `udp.proxy.proxy`.

use super::config::UdpProxyConfig;
use super::table::{Due, Entry, Flow, SessionKey};
use super::{Listening, Session, Udp};
use crate::access_log::{Log, Logger};
use crate::io::Cx;
use crate::stream_info::{
    Bytes, Downstream, Flag, Metadata, MetadataValue, Occasion, StreamInfo, Times, UpstreamInfo,
};
use crate::upstream::Upstream;
use nuncio_codec::{HeaderMap, Method, RequestHead, Version};
use nuncio_reactor::{Address, Time};
use std::net::{IpAddr, SocketAddr};

/// What has gone through a session, or through a proxy on one worker.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Bytes from clients.
    pub(super) received: u64,
    pub(super) received_datagrams: u64,
    /// Bytes to clients.
    pub(super) sent: u64,
    pub(super) sent_datagrams: u64,
    /// Datagrams to clients that were not sent.
    pub(super) send_errors: u64,
}

/// A listener's access logs, opened.
#[derive(Debug)]
pub(super) struct Logs {
    sessions: Vec<Log>,
    proxy: Vec<Log>,
}

impl Logs {
    pub(super) fn open(config: &UdpProxyConfig, logger: &mut Logger) -> Self {
        let mut open = |list: &[_]| list.iter().map(|log| logger.open(log)).collect();
        Self { sessions: open(&config.access_log), proxy: open(&config.proxy_access_log) }
    }
}

/// What a record is about, as far as it is known.
struct Record<'a> {
    occasion: Occasion,
    flag: Flag,
    since: Time,
    /// The session's number.
    id: u64,
    bytes: Bytes,
    /// Local and remote address of the client's side.
    client: Option<(&'a Address, &'a Address)>,
    upstream: Option<UpstreamInfo<'a>>,
    metadata: Metadata<'a>,
}

fn write(record: Record<'_>, logs: &[Log], logger: &mut Logger, cx: &Cx<'_>) {
    let Record { occasion, flag, since, id, bytes, client, upstream, metadata } = record;
    let request = RequestHead { version: Version::Http11, method: Method::Get, headers: HeaderMap::new() };
    let duration = cx.reactor.now() - since;
    let now = cx.reactor.wall();
    let remote = client.map(|(_, remote)| remote);
    let info = StreamInfo {
        occasion,
        metadata: Some(metadata),
        request: &request,
        request_trailers: None,
        response: None,
        response_trailers: None,
        start: now.checked_sub(duration).unwrap_or(now),
        now,
        times: Times { end: Some(duration), ..Times::default() },
        bytes,
        flag,
        details: "",
        local_reply_body: b"",
        stream_id: 0,
        downstream: Downstream {
            local: client.map(|(local, _)| local),
            direct_remote: remote,
            remote,
            connection_id: id,
            filter_chain: "",
            server_name: "",
            tls: None,
            transport_failure: "",
            filter_state: None,
            provenance: None,
        },
        route: None,
        upstream,
        session: None,
    };
    logger.record(logs, &info);
}

/// The upstream side as Envoy shows it: the operator for the cluster has no value, its name is in the metadata.
const NOBODY: UpstreamInfo<'static> = UpstreamInfo {
    cluster: "",
    host: None,
    hostname: "",
    local: None,
    connection_id: Some(0),
    attempts: 0,
    transport_failure: "",
    protocol: None,
    tls: None,
};

impl Listening {
    /// The addresses of a flow: this machine's and the client's.
    pub(super) fn addresses(&self, flow: &Flow) -> (SocketAddr, SocketAddr) {
        let ip = flow.local.unwrap_or(self.address.ip());
        // A socket for both versions of IP has those of IPv4 within those of IPv6.
        let canonical = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), port);
        let peer = match flow.peer {
            SocketAddr::V6(peer) if peer.ip().to_ipv4_mapped().is_some() => {
                canonical((*peer.ip()).into(), peer.port())
            }
            peer => peer,
        };
        (canonical(ip, self.address.port()), peer)
    }

    fn log_session(
        &self,
        occasion: Occasion,
        entry: &Entry<Session>,
        upstream: &Upstream,
        logger: &mut Logger,
        cx: &Cx<'_>,
    ) {
        if self.logs.sessions.is_empty() {
            return;
        }
        let Session { socket, target, host, since, id, counts, .. } = &entry.value;
        let cluster = self.config.proxy.targets[*target as usize].cluster;
        let local_address = socket.local_address().ok().map(Address::Inet);
        let host = upstream.host(cluster, *host);
        let peer = UpstreamInfo {
            host: host.map(|host| &host.address),
            hostname: host.map_or("", |host| &host.hostname),
            local: local_address.as_ref(),
            ..NOBODY
        };
        let (local, remote) = self.addresses(&entry.flow);
        let (local, remote) = (Address::Inet(local), Address::Inet(remote));
        let record = Record {
            occasion,
            flag: Flag::None,
            since: *since,
            id: *id,
            bytes: counts.bytes(),
            client: Some((&local, &remote)),
            upstream: Some(peer),
            metadata: Metadata {
                namespace: "udp.proxy.session",
                fields: &counts.fields(&upstream.cluster(cluster).name),
            },
        };
        write(record, &self.logs.sessions, logger, cx);
    }

    /// Writes about a session that has ended.
    pub(super) fn log_end(
        &self,
        entry: &Entry<Session>,
        upstream: &Upstream,
        logger: &mut Logger,
        cx: &Cx<'_>,
    ) {
        self.log_session(Occasion::UdpSessionEnd, entry, upstream, logger, cx);
    }

    /// Writes about a session that could not begin.
    pub(super) fn log_refused(
        &self,
        flow: &Flow,
        (flag, cluster, id): (Flag, &str, u64),
        logger: &mut Logger,
        cx: &Cx<'_>,
    ) {
        if self.logs.sessions.is_empty() {
            return;
        }
        let (local, remote) = self.addresses(flow);
        let (local, remote) = (Address::Inet(local), Address::Inet(remote));
        let record = Record {
            occasion: Occasion::UdpSessionEnd,
            flag,
            since: cx.reactor.now(),
            id,
            bytes: Bytes::default(),
            client: Some((&local, &remote)),
            upstream: Some(NOBODY),
            metadata: Metadata { namespace: "udp.proxy.session", fields: &Counts::default().fields(cluster) },
        };
        write(record, &self.logs.sessions, logger, cx);
    }

    /// Writes about the proxy, when it ends on this worker. The counts are this worker's.
    pub(super) fn log_proxy(&self, logger: &mut Logger, cx: &Cx<'_>) {
        if self.logs.proxy.is_empty() {
            return;
        }
        let stats = &self.config.proxy.stats;
        let counted = |counter| MetadataValue::Number(cx.stats.counter(counter));
        let fields = [
            ("bytes_received", counted(stats.downstream_sess_rx_bytes)),
            ("bytes_sent", counted(stats.downstream_sess_tx_bytes)),
            ("datagrams_received", counted(stats.downstream_sess_rx_datagrams)),
            ("datagrams_sent", counted(stats.downstream_sess_tx_datagrams)),
            ("errors_received", counted(stats.downstream_sess_rx_errors)),
            ("errors_sent", counted(stats.downstream_sess_tx_errors)),
            ("idle_timeout", counted(stats.idle_timeout)),
            ("no_route", counted(stats.downstream_sess_no_route)),
            ("session_total", counted(stats.downstream_sess_total)),
        ];
        let record = Record {
            occasion: Occasion::NotSet,
            flag: Flag::None,
            since: self.since,
            id: 0,
            bytes: self.counts.bytes(),
            client: None,
            upstream: None,
            metadata: Metadata { namespace: "udp.proxy.proxy", fields: &fields },
        };
        write(record, &self.logs.proxy, logger, cx);
    }
}

impl Udp {
    /// Writes about a session that goes on, and asks for the next time.
    pub(super) fn log_interval(
        &mut self,
        key: SessionKey,
        upstream: &Upstream,
        logger: &mut Logger,
        cx: &Cx<'_>,
    ) {
        let Some(entry) = self.sessions.get(key) else { return };
        let Some(listening) = self.listeners.get(entry.flow.listener) else { return };
        listening.log_session(Occasion::UdpPeriodic, entry, upstream, logger, cx);
        if let Some(interval) = listening.config.proxy.log_interval {
            self.sessions.arm(cx.reactor.now() + interval, Due::Log(key));
        }
    }
}

impl Counts {
    fn bytes(&self) -> Bytes {
        Bytes { received: self.received, sent: self.sent, ..Bytes::default() }
    }

    fn fields<'a>(&self, cluster: &'a str) -> [(&'a str, MetadataValue<'a>); 6] {
        [
            ("bytes_received", MetadataValue::Number(self.received)),
            ("bytes_sent", MetadataValue::Number(self.sent)),
            ("cluster_name", MetadataValue::Text(cluster)),
            ("datagrams_received", MetadataValue::Number(self.received_datagrams)),
            ("datagrams_sent", MetadataValue::Number(self.sent_datagrams)),
            ("errors_sent", MetadataValue::Number(self.send_errors)),
        ]
    }
}
