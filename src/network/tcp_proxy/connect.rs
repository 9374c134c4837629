//! How a session gets its connection to a host: which cluster, how often it is tried, when it gives up.

use super::super::session::{Kind, Session, SessionKey};
use super::super::{Network, Side, raw};
use super::config::{ClusterChoice, HashPolicy};
use super::tunnel::Asked;
use super::{End, Flow, Meters, Tcp, Up};
use crate::filter_state::TCP_PROXY_CLUSTER;
use crate::io::{Close, Cx, Owner, Rng};
use crate::network::ConnectionInfo;
use crate::stream_info::Flag;
use crate::upstream::config::ClusterId;
use crate::upstream::{By, Dial, DialFailure, Dialed, Failure, Upstream, hash_of};
use nuncio_reactor::Address;
use std::time::Duration;

/// Why a session could not be connected, as Envoy numbers it in the access log.
pub(super) const CONNECT_FAILED: &str = "tcp_initializion_failure:0";
pub(super) const NO_HEALTHY_HOST: &str = "tcp_initializion_failure:1";
pub(super) const LIMIT_EXCEEDED: &str = "tcp_initializion_failure:2";
const NO_ROUTE: &str = "tcp_initializion_failure:3";

impl Network {
    /// Asks for a connection to a host, until one is on its way or there is no more use in asking.
    pub(in crate::network) fn connect(&mut self, key: SessionKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        loop {
            let Some(Session { kind: Kind::Tcp(tcp), info, .. }) = self.sessions.get_mut(key) else { return };
            tcp.retry_at = None;
            let Some(cluster) = pick(tcp, info, upstream, cx.rng) else {
                tcp.flags.add(Flag::NoClusterFound);
                cx.stats.inc(tcp.config.stats.downstream_cx_no_route);
                return self.end(key, End::NotConnected(NO_ROUTE), upstream, cx);
            };
            tcp.cluster = Some(cluster);
            if tcp.attempts >= tcp.config.max_connect_attempts {
                tcp.flags.add(Flag::UpstreamRetryLimitExceeded);
                cx.stats.inc(upstream.cluster(cluster).stats.upstream_cx_connect_attempts_exceeded);
                return self.end(key, End::NotConnected(CONNECT_FAILED), upstream, cx);
            }
            let asked = if tcp.config.tunnel.is_some() {
                self.ask_for_tunnel(key, cluster, upstream, cx)
            } else {
                let dial = Dial {
                    cluster,
                    requester: raw(key),
                    hash: hash(&tcp.config.hash_policy, info),
                    client: Some(&info.provenance),
                };
                tcp.dial(&dial, upstream, cx)
            };
            match asked {
                Asked::Yes => return,
                Asked::Over(reason) => return self.end(key, End::NotConnected(reason), upstream, cx),
                Asked::Again => {}
            }
            let Some(Session { kind: Kind::Tcp(tcp), alarm, .. }) = self.sessions.get_mut(key) else {
                return;
            };
            if tcp.rest(cx) {
                let at = tcp.retry_at.expect("it rests");
                return alarm.by(at, super::super::session::alarm(key), cx.reactor);
            }
        }
    }

    /// The connection that was asked for is there, or is not to be.
    pub(in crate::network) fn on_line(
        &mut self,
        key: SessionKey,
        event: Dialed,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let session = self.sessions.get_mut(key);
        let Some(Session { kind: Kind::Tcp(tcp), alarm, down, .. }) = session else {
            // Nobody wants it any more.
            return upstream.hang_up(event.line, Close::Now, None, By::Us, cx);
        };
        let conn = match event.outcome {
            Ok(conn) => conn,
            Err(failure) => {
                tcp.up = Up::None;
                if let DialFailure::Host(host, failure) = failure {
                    tcp.host = Some(host);
                    tcp.note_failure(failure);
                }
                if tcp.attempts < tcp.config.max_connect_attempts && tcp.rest(cx) {
                    alarm.by(tcp.retry_at.expect("it rests"), super::super::session::alarm(key), cx.reactor);
                    return;
                }
                return self.connect(key, upstream, cx);
            }
        };
        let cluster = tcp.cluster.expect("it was connected to one");
        let stats = &upstream.cluster(cluster).stats;
        let tcp_stats = &tcp.config.stats;
        tcp.down.meters.sent = stats.upstream_cx_tx_bytes_total;
        tcp.back = Flow::new(Meters {
            received: stats.upstream_cx_rx_bytes_total,
            sent: tcp_stats.downstream_cx_tx_bytes_total,
            paused: stats.upstream_flow_control_paused_reading_total,
            resumed: stats.upstream_flow_control_resumed_reading_total,
        });
        tcp.up = Up::Open { conn, line: event.line };
        tcp.local = cx.io.local_address(conn);
        tcp.up_id = Some(cx.io.id(conn));
        tcp.tls = cx.io.tls(conn).cloned();
        tcp.last = cx.reactor.now();
        cx.io.set_owner(conn, Owner::SessionUpstream(raw(key)));
        // What the client has sent meanwhile.
        let early = cx.io.forward(*down, conn) as u64;
        tcp.down.passed += early;
        cx.stats.add(tcp.down.meters.sent, early);
        if tcp.down.ended {
            cx.io.finish(conn);
        }
        if tcp.config.log_connected {
            self.log(key, "TcpUpstreamConnected", upstream, cx);
        }
        self.pump(key, Side::Down, upstream, cx);
        self.pump(key, Side::Up, upstream, cx);
    }
}

impl Tcp {
    /// Asks for a connection to a host.
    fn dial(&mut self, dial: &Dial<'_>, upstream: &mut Upstream, cx: &mut Cx<'_>) -> Asked {
        match upstream.dial(dial, cx) {
            Ok(line) => {
                self.attempts += 1;
                self.host = upstream.host_of(line);
                self.up = Up::Dialing(line);
                Asked::Yes
            }
            Err(DialFailure::TooManyConnections) => {
                self.flags.add(Flag::UpstreamOverflow);
                Asked::Over(LIMIT_EXCEEDED)
            }
            Err(DialFailure::NoHealthyHost) => {
                self.flags.add(Flag::NoHealthyUpstream);
                Asked::Over(NO_HEALTHY_HOST)
            }
            Err(DialFailure::TooManyPending) => {
                self.attempts += 1;
                Asked::Again
            }
            Err(DialFailure::Host(host, failure)) => {
                self.attempts += 1;
                self.host = Some(host);
                self.note_failure(failure);
                Asked::Again
            }
        }
    }

    pub(super) fn note_failure(&mut self, failure: Failure) {
        self.flags.add(Flag::UpstreamConnectionFailure);
        self.failure = match failure {
            Failure::ConnectFailed(reason) => Some(reason),
            _ => None,
        };
    }

    /// Rests before the next attempt to connect, if it is to; says whether.
    pub(super) fn rest(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some((base, longest)) = self.config.back_off else { return false };
        if self.attempts >= self.config.max_connect_attempts {
            return false;
        }
        let doubled = base.saturating_mul(1 << self.attempts.saturating_sub(1).min(30)).min(longest);
        let rest = Duration::from_nanos(cx.rng.below(doubled.as_nanos().min(u128::from(u64::MAX)) as u64));
        self.retry_at = Some(cx.reactor.now() + rest);
        true
    }
}

/// The cluster for the next attempt: what a filter has chosen, or else the configured one.
fn pick(tcp: &Tcp, info: &ConnectionInfo, upstream: &Upstream, rng: &mut Rng) -> Option<ClusterId> {
    if let Some(name) = info.filter_state().and_then(|state| state.get(TCP_PROXY_CLUSTER)) {
        return upstream.find(&name.value);
    }
    match &tcp.config.cluster {
        ClusterChoice::One(cluster) => *cluster,
        ClusterChoice::Weighted(clusters) => {
            let (total, _) = clusters.last()?;
            let drawn = rng.below(*total);
            clusters[clusters.partition_point(|(sum, _)| *sum <= drawn)].1
        }
    }
}

/// What consistent balancing goes by.
pub(super) fn hash(policies: &[HashPolicy], info: &ConnectionInfo) -> Option<u64> {
    policies.iter().find_map(|policy| match policy {
        HashPolicy::SourceIp => match info.provenance.remote() {
            Address::Inet(peer) => Some(hash_of(peer.ip().to_string().as_bytes())),
            Address::Unix(_) => None,
        },
        HashPolicy::FilterState(key) => info.filter_state()?.hashable(key).map(hash_of),
    })
}
