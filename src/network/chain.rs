//! The filters of a chain before its last one, when a connection is new.
//!
//! They run in order, and each may turn the connection away. Filters that must see what the client sends leave a
//! [`super::Guard`] with the connection; they run in the same order whenever something was read, before the last filter
//! gets it. None of them looks at what is sent to the client, so there is nothing to run in reverse.

use super::config::Filter;
use super::info::ConnectionInfo;
use super::rbac::Guard;
use crate::filter_state::{Kind, Object, TCP_PROXY_CLUSTER};
use crate::io::Cx;
use crate::stream_info::{Downstream, Flag, SessionInfo, StreamInfo};
use std::time::Duration;

/// Why a new connection is turned away.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// For the access log.
    pub(super) reason: &'static str,
    /// For the access log.
    pub(super) flag: Flag,
    /// How long it is left open.
    pub(super) delay: Option<Duration>,
}

impl Refusal {
    fn new(reason: &'static str, flag: Flag, delay: Option<Duration>) -> Self {
        Self { reason, flag, delay }
    }
}

/// What is said of a connection that policies do not allow.
pub(super) const DENIED: &str = "rbac_deny_close";

/// Runs the filters on a new connection, of which its number and the name of the chain are told.
pub(super) fn admit(
    filters: &[Filter],
    info: &mut ConnectionInfo,
    (id, chain): (u64, &str),
    cx: &mut Cx<'_>,
) -> Result<(), Refusal> {
    for filter in filters {
        match filter {
            Filter::Rbac(config) => info.extra().guards.push(Guard::new(config)),
            Filter::ConnectionLimit(limit) => match limit.enter(cx) {
                Ok(place) => info.extra().places.extend(place),
                Err(delay) => {
                    return Err(Refusal::new("over_connection_limit", Flag::None, delay));
                }
            },
            Filter::LocalRateLimit(limit) => {
                if !limit.take(cx) {
                    let reason = "local_ratelimit_close_over_limit";
                    return Err(Refusal::new(reason, Flag::UpstreamRetryLimitExceeded, None));
                }
            }
            Filter::SniCluster => {
                let name = info.provenance.server_name();
                if !name.is_empty() {
                    let value = name.as_bytes().into();
                    let cluster = Object { kind: Kind::Cluster, value, read_only: false };
                    info.extra().filter_state.set(&TCP_PROXY_CLUSTER.into(), cluster);
                }
            }
            Filter::SetFilterState(assignments) => {
                for assignment in assignments.iter() {
                    let object = assignment.object(&view(info, (id, chain), cx));
                    if let Some((name, object)) = object {
                        // What is read-only stays, as it is meant to.
                        info.extra().filter_state.set(name, object);
                    }
                }
            }
        }
    }
    Ok(())
}

/// A new connection as formats see it.
fn view<'a>(info: &'a ConnectionInfo, (id, chain): (u64, &'a str), cx: &Cx<'_>) -> StreamInfo<'a> {
    let now = cx.reactor.wall();
    let downstream = Downstream::of(&info.provenance, id, chain, info.filter_state());
    StreamInfo::of_connection(downstream, (now, now), Duration::ZERO, SessionInfo::default())
}
