//! Session filters: what stands between a client and its host for the life of a session (Envoy's `session_filters`).
//!
//! There is none that a configuration can name yet. One is added by implementing the two traits and making it in
//! `compile` from `UdpProxyConfig.session_filters`. Sessions without filters pay one look at an empty list.

use std::fmt::Debug;
use std::net::SocketAddr;

/// What becomes of a session that is about to begin, or of a datagram.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to the next filter.
    Pass,
    /// It ends here.
    Drop,
}

/// Both ends of a session as its client sees them.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Who sends.
    pub client: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
}

/// A filter as it is configured.
pub trait SessionFilterConfig: Debug + Send + Sync {
    /// The filter of a session that is about to begin; `None` keeps it from beginning.
    fn begin(&self, ends: &Ends) -> Option<Box<dyn SessionFilter>>;
}

/// A filter of one session.
pub trait SessionFilter: Debug {
    /// A datagram to the host. In the order in which filters are configured.
    fn on_datagram(&mut self, datagram: &[u8]) -> Verdict;

    /// A datagram to the client. In the opposite order.
    fn on_answer(&mut self, datagram: &[u8]) -> Verdict;
}

/// The filters of one session.
#[derive(Debug, Default)]
pub(super) struct Filters(Box<[Box<dyn SessionFilter>]>);

impl Filters {
    /// Those of a new session; `None` if it is not to begin.
    pub(super) fn begin(
        configured: &[Box<dyn SessionFilterConfig>],
        ends: impl FnOnce() -> Ends,
    ) -> Option<Self> {
        if configured.is_empty() {
            return Some(Self::default());
        }
        let ends = ends();
        let filters: Option<Vec<_>> = configured.iter().map(|filter| filter.begin(&ends)).collect();
        filters.map(|filters| Self(filters.into()))
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn on_datagram(&mut self, datagram: &[u8]) -> bool {
        self.0.iter_mut().all(|filter| filter.on_datagram(datagram) == Verdict::Pass)
    }

    pub(super) fn on_answer(&mut self, datagram: &[u8]) -> bool {
        self.0.iter_mut().rev().all(|filter| filter.on_answer(datagram) == Verdict::Pass)
    }
}
