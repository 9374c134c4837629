//! The cluster subsystem: clusters, their hosts, load balancing, circuit breakers, connection pools.
//!
//! A layer above asks for an *attempt* (one try of a request on one host) with [`Upstream::begin`] and gets a
//! key: at once with a connection, or later. What then happens to the attempt comes back as [`Event`]s that
//! the caller pulls with [`Upstream::next_event`]; nothing here knows who the caller is beyond an opaque key.

mod attempt;
mod circuit;
mod client;
pub mod compile;
pub mod config;
mod connect;
mod datagrams;
mod exchange;
pub mod http2;
pub(crate) mod introduction;
mod lb;
mod manager;
mod multiplexed;
mod naming;
mod negotiation;
mod pool;
mod tcp;

pub use attempt::{Ask, AttemptKey, Begin, Event, Failure, Peer, Requester, What};
pub use circuit::{Remaining, SharedClusters};
pub use introduction::{Introduction, Tlvs};
pub use lb::{HashFunction, Maglev, Ring, hash_of, hash_of_all};
pub use manager::{By, Upstream};
pub use naming::Naming;
pub use tcp::{Dial, DialFailure, Dialed, LineKey};
