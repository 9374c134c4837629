//! What is known about a connection besides its bytes, from when it is accepted to its end.
//!
//! Listener filters and network filters write it, and whatever ends the filter chain reads it: access logs, policies,
//! the choice of a cluster. What most connections do not have is kept apart, so that an idle one stays small.

use super::limit::Place;
use super::rbac::{Denial, Guard};
use crate::filter_state::FilterState;
use crate::io::Cx;
use crate::rbac::Subject;
use crate::stats::ListenerStats;
use nuncio_reactor::Address;

/// See the module.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Who is connected.
    pub peer: Address,
    /// What most connections do not have.
    pub extra: Option<Box<Extra>>,
}

/// What most connections do not have.
#[derive(Debug, Default)]
pub struct Extra {
    /// The name that the client has asked for in TLS (SNI).
    pub server_name: Option<Box<str>>,
    /// What filters have left.
    pub filter_state: FilterState,
    /// Filters that must see what the client sends.
    pub guards: Vec<Guard>,
    /// What the connection takes of limits; given back when it is dropped.
    pub places: Vec<Place>,
}

impl ConnectionInfo {
    /// A connection of which nothing else is known.
    pub fn new(peer: Address) -> Self {
        Self { peer, extra: None }
    }

    /// What most connections do not have, to be written.
    pub fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// The name that the client has asked for in TLS; empty if it has not.
    pub fn server_name(&self) -> &str {
        self.extra.as_ref().and_then(|extra| extra.server_name.as_deref()).unwrap_or_default()
    }

    /// What filters have left.
    pub fn filter_state(&self) -> Option<&FilterState> {
        self.extra.as_ref().map(|extra| &extra.filter_state)
    }

    /// Whether filters must see what the client sends: then [`Self::admit`] is to be called after each read.
    #[inline]
    pub fn is_guarded(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| !extra.guards.is_empty())
    }

    /// The client has sent something, or has finished: whether filters let it through. `local` is where it is
    /// connected to.
    ///
    /// # Errors
    /// Why the connection is to be closed.
    pub fn admit(&mut self, local: Option<&Address>, cx: &Cx<'_>) -> Result<(), Denial> {
        let Some(extra) = &mut self.extra else { return Ok(()) };
        let mut guards = std::mem::take(&mut extra.guards);
        let subject = Subject {
            local,
            direct_remote: &self.peer,
            remote: &self.peer,
            server_name: extra.server_name.as_deref().unwrap_or_default(),
            certificate: None,
            filter_state: Some(&extra.filter_state),
        };
        let mut result = Ok(());
        guards.retain_mut(|guard| {
            if result.is_err() {
                return true;
            }
            result = guard.check(&subject, cx);
            guard.goes_on()
        });
        extra.guards = guards;
        result
    }
}

/// What the end of a filter chain must know of the listener whose connections it gets.
#[derive(Copy, Clone, Debug)]
pub struct Entrance<'a> {
    /// Where the listener counts.
    pub stats: &'a ListenerStats,
    /// Soft limit of a connection's buffers, in bytes.
    pub buffer_limit: u32,
    /// Where it is bound.
    pub local: &'a Address,
    /// Name of the filter chain.
    pub filter_chain: &'a str,
}

/// Whether connections to this address have local addresses that differ from it.
pub(crate) fn is_wildcard(address: &Address) -> bool {
    matches!(address, Address::Inet(address) if address.ip().is_unspecified())
}
