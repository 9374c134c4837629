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
    /// Apart from others, for one client or one name.
    pub(super) apart: Option<ApartKey>,
}

slab_key! {
    /// A pool for one client or one name in [`Pools`].
    pub(super) struct ApartKey;
}

/// Whose connections are in a pool apart from others: host and lane, and the ends of the client's connection if they are
/// for that one alone. The name that TLS asks for comes first, and is empty if it is the same for all.
type Owner = (u32, usize, Option<Ends>);

/// All pools of a cluster on one worker.
#[derive(Debug)]
pub(super) struct Pools {
    /// One for each host, priority and version of HTTP.
    common: Box<[[Pool; 4]]>,
    /// Those for one client or one name.
    apart: Slab<ApartKey, Apart>,
    by_owner: HashMap<Box<str>, HashMap<Owner, ApartKey>>,
    /// The hosts that are taken to speak HTTP/1 if they are asked.
    older: Box<[bool]>,
    /// Stands in for a pool that is gone, since it was empty: so is this one.
    lost: Pool,
}

#[derive(Debug)]
struct Apart {
    pool: Pool,
    place: Place,
    /// Whom TLS asks for.
    name: Option<Box<str>>,
    ends: Option<Ends>,
    /// What its connections begin with.
    header: Box<[u8]>,
}

impl Pools {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            common: (0..hosts).map(|_| Default::default()).collect(),
            apart: Slab::new(),
            by_owner: HashMap::new(),
            older: (0..hosts).map(|_| false).collect(),
            lost: Pool::default(),
        }
    }

    /// The pool at a place.
    #[inline]
    pub(super) fn at(&mut self, place: Place) -> &mut Pool {
        let Some(key) = place.apart else { return &mut self.common[place.host as usize][place.lane()] };
        self.apart.get_mut(key).map_or(&mut self.lost, |apart| &mut apart.pool)
    }

    /// The place of the pool for one client or one name; its connections will begin with what `header` gives.
    pub(super) fn apart(
        &mut self,
        place: Place,
        name: Option<&str>,
        ends: Option<Ends>,
        header: impl FnOnce() -> Box<[u8]>,
    ) -> Place {
        let owner = (place.host, place.lane(), ends);
        let found = self.by_owner.get(name.unwrap_or_default()).and_then(|of_name| of_name.get(&owner));
        if let Some(key) = found {
            return Place { apart: Some(*key), ..place };
        }
        let place = Place { apart: None, ..place };
        let (pool, header) = (Pool::default(), header());
        let key = self.apart.insert(Apart { pool, place, name: name.map(Into::into), ends, header });
        self.by_owner.entry(name.unwrap_or_default().into()).or_default().insert(owner, key);
        Place { apart: Some(key), ..place }
    }

    /// The pool for the other version of HTTP.
    pub(super) fn other(&mut self, place: Place) -> Place {
        let other = Place { h2: !place.h2, ..place };
        let Some(Apart { name, ends, header, .. }) = place.apart.and_then(|key| self.apart.get(key)) else {
            return other;
        };
        let (name, ends, header) = (name.clone(), *ends, header.clone());
        self.apart(other, name.as_deref(), ends, || header)
    }

    /// Which version of HTTP a host is taken to choose.
    pub(super) fn guess(&self, host: u32) -> bool {
        !self.older[host as usize]
    }

    /// A host has chosen.
    pub(super) fn set_guess(&mut self, host: u32, h2: bool) {
        self.older[host as usize] = !h2;
    }

    /// What the connections of a pool begin with, and whom TLS asks for if that is up to the pool.
    pub(super) fn opening(&self, place: Place) -> (&[u8], Option<&str>) {
        let apart = place.apart.and_then(|key| self.apart.get(key));
        apart.map_or((&[], None), |apart| (&apart.header, apart.name.as_deref()))
    }

    /// Frees the pool at a place if it is apart from others and there is nothing in it.
    pub(super) fn tidy(&mut self, place: Place) {
        let Some(key) = place.apart else { return };
        if let Some(Apart { pool, place, name, ends, .. }) = self.apart.get(key)
            && pool.total == 0
            && pool.waiting.is_empty()
        {
            let name = name.as_deref().unwrap_or_default();
            if let Some(of_name) = self.by_owner.get_mut(name) {
                of_name.remove(&(place.host, place.lane(), *ends));
                if of_name.is_empty() {
                    self.by_owner.remove(name);
                }
            }
            self.apart.remove(key);
        }
    }

    /// How many pools there are apart from others.
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
        let one = pools.apart(place, None, ends(1), || b"one"[..].into());
        let same = pools.apart(place, None, ends(1), || unreachable!("it is there"));
        let other = pools.apart(place, None, ends(2), || b"two"[..].into());
        let h2 = pools.apart(Place { h2: true, ..place }, None, ends(1), || b"h2"[..].into());
        assert_eq!((one, one == other, one == h2), (same, false, false));
        let headers = [one, other, place].map(|place| pools.opening(place).0.to_vec());
        assert_eq!(headers, [&b"one"[..], b"two", b""]);
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
        assert_ne!(pools.apart(place, None, ends(1), || b"again"[..].into()), one);
    }

    #[test]
    fn pools_for_one_name_have_one_for_each_version() {
        let mut pools = Pools::new(1);
        let place = Place { host: 0, priority: Priority::Default, h2: true, apart: None };
        let nothing = Box::<[u8]>::default;
        let a = pools.apart(place, Some("a"), None, nothing);
        let b = pools.apart(place, Some("b"), None, nothing);
        assert_ne!(a, b);
        assert_eq!(pools.apart(place, Some("a"), None, nothing), a);
        assert_eq!(pools.opening(a), (&[][..], Some("a")));
        let other = pools.other(a);
        assert_eq!((other.h2, pools.opening(other)), (false, (&[][..], Some("a"))));
        assert_eq!(pools.other(other), a);
        assert_eq!(pools.other(place), Place { h2: false, ..place });
        [a, b, other].into_iter().for_each(|place| pools.tidy(place));
        assert_eq!((pools.count_apart(), pools.by_owner.len()), (0, 0));
        assert!(pools.guess(0));
        pools.set_guess(0, false);
        assert!(!pools.guess(0));
    }

    #[test]
    fn who_gives_up_is_forgotten() {
        let mut pool = Pool::default();
        pool.waiting.push_back(Waiting { attempt: attempt(1), fresh: false });
        assert!(pool.forget_waiting(attempt(1)));
        assert!(!pool.forget_waiting(attempt(1)));
    }
}
