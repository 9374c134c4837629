//! What is known about a connection besides its bytes, from when it is accepted to its end.
//!
//! The listener makes it, network filters add to it, and whatever ends the filter chain reads it: access logs, policies,
//! the choice of a cluster. What most connections do not have is kept apart, so that an idle one stays small.

use super::limit::Place;
use super::rbac::{Denial, Guard};
use crate::filter_state::FilterState;
use crate::io::{ConnKey, Cx, Provenance};
use crate::rbac::Subject;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Where it comes from.
    pub provenance: Provenance,
    /// What network filters have to say; nothing without them.
    pub extra: Option<Box<Extra>>,
}

/// What network filters have to say.
#[derive(Debug, Default)]
pub struct Extra {
    /// What they have left for each other.
    pub filter_state: FilterState,
    /// Those that must see what the client sends.
    pub guards: Vec<Guard>,
    /// What the connection takes of limits; given back when it is dropped.
    pub places: Vec<Place>,
    /// Why one of them has ended it, for the access log.
    pub denial: Option<Box<str>>,
}

impl From<Provenance> for ConnectionInfo {
    fn from(provenance: Provenance) -> Self {
        Self { provenance, extra: None }
    }
}

impl ConnectionInfo {
    /// What network filters have to say, to be written.
    pub fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
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

    /// The client has sent something, or has finished: whether filters let it through.
    ///
    /// # Errors
    /// Why the connection is to be closed.
    pub fn admit(&mut self, conn: ConnKey, cx: &Cx<'_>) -> Result<(), Denial> {
        let Some(extra) = &mut self.extra else { return Ok(()) };
        let mut guards = std::mem::take(&mut extra.guards);
        let tls = cx.io.tls(conn).map(Arc::as_ref);
        let subject = Subject {
            local: Some(self.provenance.local()),
            direct_remote: &self.provenance.peer,
            remote: self.provenance.remote(),
            server_name: self.provenance.server_name(),
            tls,
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
