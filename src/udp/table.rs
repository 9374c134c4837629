//! The sessions of one worker: found by who sends where, ended when nothing came or went for a while.
//!
//! Knows no sockets and no clock. A session is a slot of a slab, its entry in a hash table, and one timer that is armed
//! for the earliest time at which it can be idle and looks again then, so a datagram costs no more than storing the
//! time. Senders can choose their addresses, so the hash is keyed with a secret.

use hashbrown::HashTable;
use nuncio_reactor::{Slab, SlabKey, Time, Wheel, slab_key};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

slab_key! {
    /// A session in a [`Table`].
    pub(super) struct SessionKey;
}

slab_key! {
    /// A UDP listener on one worker.
    pub(super) struct ListenerKey;
}

/// What tells sessions apart.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// Who sends.
    pub(super) peer: SocketAddr,
    /// The address that is sent to, where the listener has several.
    pub(super) local: Option<IpAddr>,
    /// The listener.
    pub(super) listener: ListenerKey,
    /// The host, where one is chosen for each datagram.
    pub(super) host: Option<u32>,
}

/// A session: what the table knows of it, and the rest.
#[derive(Debug)]
pub(super) struct Entry<T> {
    /// What it was found by.
    pub(super) flow: Flow,
    /// When the last datagram came or went; stored by whoever saw it.
    pub(super) last: Time,
    /// Everything else.
    pub(super) value: T,
}

/// What a timer is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The session may be idle.
    Idle(SessionKey),
    /// The session is to be written about.
    Log(SessionKey),
}

/// The sessions of one worker.
#[derive(Debug)]
pub(super) struct Table<T> {
    sessions: Slab<SessionKey, Entry<T>>,
    index: HashTable<SessionKey>,
    timers: Wheel<Due>,
    /// There have been many sessions since all memory was given back.
    grown: bool,
    /// If so, some is given back when no more sessions than this are left.
    low: usize,
    secret: [u64; 2],
}

/// Below so many sessions memory is not worth giving back.
const FEW: usize = 1024;

impl<T> Table<T> {
    /// An empty table; `secret` is what senders must not know.
    pub(super) fn new(secret: [u64; 2]) -> Self {
        Self {
            sessions: Slab::new(),
            index: HashTable::new(),
            timers: Wheel::new(),
            grown: false,
            low: 0,
            secret,
        }
    }

    /// Number of sessions.
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// The session of a flow.
    #[inline]
    pub(super) fn find(&self, flow: &Flow) -> Option<SessionKey> {
        let found = self.index.find(hash(flow, self.secret), |key| {
            self.sessions.get(*key).is_some_and(|entry| entry.flow == *flow)
        });
        found.copied()
    }

    /// The session of a live key.
    #[inline]
    pub(super) fn get_mut(&mut self, key: SessionKey) -> Option<&mut Entry<T>> {
        self.sessions.get_mut(key)
    }

    /// The session of a live key.
    #[inline]
    pub(super) fn get(&self, key: SessionKey) -> Option<&Entry<T>> {
        self.sessions.get(key)
    }

    /// Adds a session for a flow that has none. It ends after `idle` at the earliest.
    pub(super) fn insert(&mut self, flow: Flow, now: Time, idle: Duration, value: T) -> SessionKey {
        debug_assert!(self.find(&flow).is_none(), "a flow has one session");
        let key = self.sessions.insert(Entry { flow, last: now, value });
        self.grown |= self.sessions.len() >= FEW;
        self.low = self.low.max(self.sessions.len() / 4);
        let Self { sessions, index, secret, .. } = self;
        index.insert_unique(hash(&flow, *secret), key, |key| {
            sessions.get(*key).map_or(0, |entry| hash(&entry.flow, *secret))
        });
        if self.timers.is_empty() {
            // So that it counts from now.
            self.timers.expire(now, |_| {});
        }
        self.timers.arm(now + idle, Due::Idle(key));
        key
    }

    /// Ends a session.
    pub(super) fn remove(&mut self, key: SessionKey) -> Option<Entry<T>> {
        let entry = self.sessions.remove(key)?;
        if let Ok(found) = self.index.find_entry(hash(&entry.flow, self.secret), |other| *other == key) {
            found.remove();
        }
        Some(entry)
    }

    /// Asks for [`Due`] at a time.
    pub(super) fn arm(&mut self, at: Time, due: Due) {
        self.timers.arm(at, due);
    }

    /// All live keys.
    pub(super) fn keys(&self) -> Vec<SessionKey> {
        self.sessions.keys()
    }

    /// A time at which [`Self::expire`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.timers.next_deadline()
    }

    /// What is due now, appended to `due`: sessions that were idle for as long as `idle` says, and what was asked for
    /// with [`Self::arm`]. The others' timers are armed anew.
    pub(super) fn expire(&mut self, now: Time, idle: impl Fn(&Entry<T>) -> Duration, due: &mut Vec<Due>) {
        let first = due.len();
        self.timers.expire(now, |what| due.push(what));
        let mut kept = first;
        for at in first..due.len() {
            let what = due[at];
            let keep = match what {
                Due::Log(key) => self.sessions.contains(key),
                Due::Idle(key) => match self.sessions.get(key) {
                    None => false,
                    Some(entry) => {
                        let end = entry.last + idle(entry);
                        if end > now {
                            self.timers.arm(end, what);
                        }
                        end <= now
                    }
                },
            };
            due[kept] = what;
            kept += usize::from(keep);
        }
        due.truncate(kept);
    }

    /// Gives back the memory of sessions that have ended, where it is much; says whether it was.
    pub(super) fn shrink(&mut self) -> bool {
        if !self.grown || self.sessions.len() > self.low {
            return false;
        }
        let capacity = self.sessions.capacity();
        // What is left may lie at the end of the memory: then again when there is less of it, and when there is nothing.
        self.low = self.sessions.len() / 4;
        self.sessions.shrink();
        let Self { sessions, index, secret, .. } = self;
        index.shrink_to(0, |key| sessions.get(*key).map_or(0, |entry| hash(&entry.flow, *secret)));
        if self.sessions.is_empty() {
            self.grown = false;
            // What timers are left are those of sessions that have ended.
            self.timers = Wheel::new();
            return true;
        }
        capacity - self.sessions.capacity() >= FEW
    }
}

/// A keyed hash by multiplication into 128 bits, both halves of which are used.
fn hash(flow: &Flow, [first, second]: [u64; 2]) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    let ip = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u64::from(ip.to_bits()), 0),
        IpAddr::V6(ip) => (ip.to_bits() as u64, (ip.to_bits() >> 64) as u64),
    };
    let (low, high) = ip(flow.peer.ip());
    let scope = match flow.peer {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(peer) => peer.scope_id(),
    };
    let rest = u64::from(flow.peer.port()) | flow.host.map_or(0, |host| u64::from(host) + 1) << 16;
    let mut hash = fold(low ^ first, rest ^ second);
    hash = fold(hash ^ high, flow.listener.raw().to_bits() ^ u64::from(scope) << 32 ^ second);
    if let Some(local) = flow.local {
        let (low, high) = ip(local);
        hash = fold(hash ^ low, high ^ second);
    }
    fold(hash ^ first, second)
}

#[cfg(test)]
mod tests;
