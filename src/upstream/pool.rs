//! The connections of one worker to one host for one version of HTTP: which are free, and who waits for one.
//!
//! Only the book-keeping; connections are made and closed by the cluster manager. HTTP/1: one exchange at a time on a
//! connection (no pipelining), the most recently used one first, so that surplus connections age out. HTTP/2: as many as
//! there is room for, on as few connections as possible.

use super::attempt::AttemptKey;
use super::client::ClientKey;
use super::config::Priority;
use nuncio_codec::proxy_protocol::Ends;
use nuncio_reactor::{Slab, slab_key};
use std::collections::{HashMap, VecDeque};

/// Which pool of a cluster.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The host, by its place in the cluster.
    pub(super) host: u32,
    pub(super) priority: Priority,
    /// HTTP/2 is spoken.
    pub(super) h2: bool,
    /// Apart from others, for one client.
    pub(super) apart: Option<ApartKey>,
}

slab_key! {
    /// A pool for one client in [`Pools`].
    pub(super) struct ApartKey;
}

/// Whose connections are in a pool apart from others: host and lane, and the ends of the client's connection.
type Owner = (u32, usize, Option<Ends>);

/// All pools of a cluster on one worker.
#[derive(Debug)]
pub(super) struct Pools {
    /// One for each host, priority and version of HTTP.
    common: Box<[[Pool; 4]]>,
    /// Those for one client.
    apart: Slab<ApartKey, Apart>,
    by_owner: HashMap<Owner, ApartKey>,
    /// Stands in for a pool that is gone, since it was empty: so is this one.
    lost: Pool,
}

#[derive(Debug)]
struct Apart {
    pool: Pool,
    owner: Owner,
    /// What its connections begin with.
    header: Box<[u8]>,
}

impl Pools {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            common: (0..hosts).map(|_| Default::default()).collect(),
            apart: Slab::new(),
            by_owner: HashMap::new(),
            lost: Pool::default(),
        }
    }

    /// The pool at a place.
    #[inline]
    pub(super) fn at(&mut self, place: Place) -> &mut Pool {
        let Some(key) = place.apart else { return &mut self.common[place.host as usize][place.lane()] };
        self.apart.get_mut(key).map_or(&mut self.lost, |apart| &mut apart.pool)
    }

    /// The place of the pool for one client; its connections will begin with what `header` gives.
    pub(super) fn apart(
        &mut self,
        place: Place,
        ends: Option<Ends>,
        header: impl FnOnce() -> Box<[u8]>,
    ) -> Place {
        let owner = (place.host, place.lane(), ends);
        let apart = &mut self.apart;
        let key = *self
            .by_owner
            .entry(owner)
            .or_insert_with(|| apart.insert(Apart { pool: Pool::default(), owner, header: header() }));
        Place { apart: Some(key), ..place }
    }

    /// What the connections of a pool begin with.
    pub(super) fn header(&self, place: Place) -> &[u8] {
        place.apart.and_then(|key| self.apart.get(key)).map_or(&[], |apart| &apart.header)
    }

    /// Frees the pool at a place if it is for one client and there is nothing in it.
    pub(super) fn tidy(&mut self, place: Place) {
        let Some(key) = place.apart else { return };
        if let Some(Apart { pool, owner, .. }) = self.apart.get(key)
            && pool.total == 0
            && pool.waiting.is_empty()
        {
            self.by_owner.remove(owner);
            self.apart.remove(key);
        }
    }

    /// How many pools there are for one client each.
    #[cfg(test)]
    pub(super) fn count_apart(&self) -> usize {
        self.apart.len()
    }
}

impl Place {
    /// The pool's place among those of its host.
    pub(super) fn lane(self) -> usize {
        self.priority as usize * 2 + usize::from(self.h2)
    }
}

/// An attempt that waits for a connection.
#[derive(Copy, Clone, Debug)]
pub(super) struct Waiting {
    pub(super) attempt: AttemptKey,
    /// It must get a connection that was never used.
    pub(super) fresh: bool,
}

/// One worker's pool for one host.
#[derive(Debug)]
pub(super) struct Pool {
    /// HTTP/1: connections without an exchange, the last used at the end. HTTP/2: all that take new streams, the
    /// oldest first.
    pub(super) idle: Vec<ClientKey>,
    /// In order of arrival.
    pub(super) waiting: VecDeque<Waiting>,
    /// Connections being made.
    pub(super) connecting: usize,
    /// All connections.
    pub(super) total: usize,
    /// HTTP/2: how many streams a connection is taken to allow as long as the upstream has not said so on it.
    pub(super) assumed: usize,
}

/// The same for a host that has never said it.
const ASSUMED_STREAMS: usize = 100;

impl Default for Pool {
    fn default() -> Self {
        Self { idle: Vec::new(), waiting: VecDeque::new(), connecting: 0, total: 0, assumed: ASSUMED_STREAMS }
    }
}

impl Pool {
    /// Who gets a connection that has just become free; `used` when it has carried an exchange.
    pub(super) fn next_waiting(&mut self, used: bool) -> Option<AttemptKey> {
        let at = self.waiting.iter().position(|waiting| !(used && waiting.fresh))?;
        self.waiting.remove(at).map(|waiting| waiting.attempt)
    }

    /// An attempt no longer waits; says whether it did.
    pub(super) fn forget_waiting(&mut self, attempt: AttemptKey) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.attempt != attempt);
        self.waiting.len() != before
    }

    /// An idle connection is gone.
    pub(super) fn forget_idle(&mut self, client: ClientKey) {
        if let Some(at) = self.idle.iter().rposition(|idle| *idle == client) {
            self.idle.remove(at);
        }
    }

    /// The upstream has said on a connection how many streams that may have: the next one will hardly differ.
    pub(super) fn learn(&mut self, streams: u32) {
        self.assumed = (streams as usize).clamp(1, ASSUMED_STREAMS);
    }

    /// Whether those who wait outnumber the places on the connections being made for them.
    pub(super) fn wants_connection(&self, places: usize) -> bool {
        self.waiting.len() > self.connecting * places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncio_reactor::{RawKey, SlabKey};

    fn attempt(n: u64) -> AttemptKey {
        AttemptKey::from_raw(RawKey::from_bits((1 << 32) | n))
    }

    #[test]
    fn a_used_connection_is_not_given_to_who_needs_a_fresh_one() {
        let mut pool = Pool::default();
        pool.waiting.push_back(Waiting { attempt: attempt(1), fresh: true });
        pool.waiting.push_back(Waiting { attempt: attempt(2), fresh: false });
        assert!(pool.wants_connection(1));
        assert_eq!(pool.next_waiting(true), Some(attempt(2)));
        assert_eq!(pool.next_waiting(true), None);
        assert_eq!(pool.next_waiting(false), Some(attempt(1)));
        assert!(!pool.wants_connection(1));
    }

    #[test]
    fn pools_for_one_client_come_and_go() {
        let mut pools = Pools::new(2);
        let place = Place { host: 1, priority: Priority::Default, h2: false, apart: None };
        let ends = |port: u16| {
            let end = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
            Some(Ends { source: end(port), destination: end(80) })
        };
        let one = pools.apart(place, ends(1), || b"one"[..].into());
        let same = pools.apart(place, ends(1), || unreachable!("it is there"));
        let other = pools.apart(place, ends(2), || b"two"[..].into());
        let h2 = pools.apart(Place { h2: true, ..place }, ends(1), || b"h2"[..].into());
        assert_eq!((one, one == other, one == h2), (same, false, false));
        assert_eq!([pools.header(one), pools.header(other), pools.header(place)], [&b"one"[..], b"two", b""]);
        pools.at(one).total = 1;
        pools.at(other).waiting.push_back(Waiting { attempt: attempt(1), fresh: false });
        [one, other, h2, place].into_iter().for_each(|place| pools.tidy(place));
        assert_eq!(pools.count_apart(), 2, "what is in use stays");
        pools.at(one).total = 0;
        pools.at(other).waiting.clear();
        [one, other, one].into_iter().for_each(|place| pools.tidy(place));
        assert_eq!(pools.count_apart(), 0);
        // A stale place finds an empty pool, and a new one is not taken for the old.
        assert!(!pools.at(one).wants_connection(1));
        assert_ne!(pools.apart(place, ends(1), || b"again"[..].into()), one);
    }

    #[test]
    fn who_gives_up_is_forgotten() {
        let mut pool = Pool::default();
        pool.waiting.push_back(Waiting { attempt: attempt(1), fresh: false });
        assert!(pool.forget_waiting(attempt(1)));
        assert!(!pool.forget_waiting(attempt(1)));
    }
}
