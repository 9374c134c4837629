//! Which filter chain a connection gets (`envoy.config.listener.v3.FilterChainMatch`).
//!
//! Envoy's rules: one property after another, in a fixed order; of the chains that are left, those stay that name the
//! connection's value most exactly, or, if none names it, those that do not care. There is no way back: if the chains
//! that are left ask for something else later on, the connection gets the default chain or none. Compiled into
//! tables inside tables, in the order of the properties; two chains in one place are an error when the configuration
//! is loaded.

mod prefixes;

use crate::io::Provenance;
use crate::network::Cidr;
use nuncio_reactor::Address;
use prefixes::Prefixes;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a filter chain asks of a connection; an empty list asks for nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Criteria {
    pub(super) destination_port: Option<u16>,
    pub(super) destinations: Vec<Cidr>,
    /// In lower case; `*.` before a name stands for one label or more.
    pub(super) server_names: Vec<String>,
    pub(super) transport_protocol: Option<String>,
    pub(super) application_protocols: Vec<String>,
    pub(super) direct_sources: Vec<Cidr>,
    pub(super) source_type: SourceType,
    pub(super) sources: Vec<Cidr>,
    pub(super) source_ports: Vec<u16>,
}

/// `FilterChainMatch.ConnectionSourceType`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum SourceType {
    /// Does not matter.
    #[default]
    Any,
    /// From this machine.
    Local,
    /// From another one.
    External,
}

/// Two chains that are for the same connections.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    /// The one that came first.
    pub(super) first: u32,
    /// The other.
    pub(super) second: u32,
}

/// A listener's filter chains by what they ask of a connection, compiled.
#[derive(Debug, Default)]
pub struct Matcher {
    /// The one chain, if it asks for nothing.
    only: Option<u32>,
    ports: Exact<u16, Prefixes<Names>>,
    /// The default chain.
    default: Option<u32>,
}

type Names = ByName<Exact<Box<str>, Protocols>>;
type Protocols = Exact<Box<[u8]>, Prefixes<ByType>>;
/// By [`SourceType`].
type ByType = [Option<Prefixes<Exact<u16, Option<u32>>>>; 3];

/// A value for each key, and one for all others.
#[derive(Debug)]
struct Exact<K, T> {
    keys: HashMap<K, T>,
    any: Option<T>,
}

impl<K, T> Default for Exact<K, T> {
    fn default() -> Self {
        Self { keys: HashMap::new(), any: None }
    }
}

impl<K: Hash + Eq, T: Default> Exact<K, T> {
    fn entry(&mut self, key: Option<K>) -> &mut T {
        match key {
            Some(key) => self.keys.entry(key).or_default(),
            None => self.any.get_or_insert_with(T::default),
        }
    }

    fn find<Q>(&self, key: &Q) -> Option<&T>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.keys.get(key).or(self.any.as_ref())
    }
}

/// A value for each server name, for the names below one, and for all others.
#[derive(Debug)]
struct ByName<T> {
    exact: HashMap<Box<str>, T>,
    /// Without the star: `.example.com`.
    below: HashMap<Box<str>, T>,
    any: Option<T>,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), below: HashMap::new(), any: None }
    }
}

impl<T: Default> ByName<T> {
    fn entry(&mut self, name: Option<&str>) -> &mut T {
        match (name, name.and_then(|name| name.strip_prefix('*'))) {
            (_, Some(below)) => self.below.entry(below.into()).or_default(),
            (Some(name), None) => self.exact.entry(name.into()).or_default(),
            (None, None) => self.any.get_or_insert_with(T::default),
        }
    }

    fn find(&self, name: &str) -> Option<&T> {
        let below = || {
            // The longest first; a dot at the end leaves no label behind it.
            let dots = name.match_indices('.').map(|(at, _)| at);
            dots.filter(|at| *at > 0 && at + 1 < name.len()).find_map(|at| self.below.get(&name[at..]))
        };
        self.exact.get(name).or_else(below).or(self.any.as_ref())
    }
}

impl Matcher {
    /// For a listener with one chain, which asks for nothing.
    pub fn only() -> Self {
        Self { only: Some(0), ..Self::default() }
    }

    /// Compiles what the chains ask for, each with its place; `default` is the place of the default chain.
    ///
    /// # Errors
    /// If two chains are for the same connections.
    pub(super) fn new(chains: &[(u32, Criteria)], default: Option<u32>) -> Result<Self, Overlap> {
        let mut matcher = Self { default, ..Self::default() };
        for (place, criteria) in chains {
            matcher.add(*place, criteria)?;
        }
        if let [(place, criteria)] = chains
            && criteria.is_empty()
        {
            matcher.only = Some(*place);
        }
        Ok(matcher)
    }

    fn add(&mut self, place: u32, criteria: &Criteria) -> Result<(), Overlap> {
        let destinations = self.ports.entry(criteria.destination_port);
        for destination in each(&criteria.destinations) {
            let names = destinations.entry(destination.copied());
            for name in each(&criteria.server_names) {
                let transports = names.entry(name.map(String::as_str));
                let protocols = transports.entry(criteria.transport_protocol.as_deref().map(Box::from));
                for protocol in each(&criteria.application_protocols) {
                    let direct = protocols.entry(protocol.map(|name| name.as_bytes().into()));
                    for source in each(&criteria.direct_sources) {
                        add_source(direct.entry(source.copied()), place, criteria)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The chain for a connection, by its place.
    #[inline]
    pub fn find(&self, connection: &Provenance) -> Option<u32> {
        self.only.or_else(|| self.search(connection)).or(self.default)
    }

    fn search(&self, connection: &Provenance) -> Option<u32> {
        let local = connection.local();
        let port = match local {
            Address::Inet(address) => address.port(),
            Address::Unix(_) => 0,
        };
        let names = self.ports.find(&port)?.find(ip(local))?;
        let protocols = names.find(connection.server_name())?.find(connection.transport_protocol())?;
        let offered = connection.protocols().iter();
        let direct =
            offered.filter_map(|protocol| protocols.keys.get(protocol)).next().or(protocols.any.as_ref())?;
        let [any, local, external] = direct.find(ip(&connection.peer))?;
        let same_machine = || is_local(connection);
        let sources = match (local, external) {
            (None, None) => None,
            _ if same_machine() => local.as_ref(),
            _ => external.as_ref(),
        };
        let sources = sources.or(any.as_ref())?;
        let port = match connection.remote() {
            Address::Inet(address) => address.port(),
            Address::Unix(_) => 0,
        };
        *sources.find(ip(connection.remote()))?.find(&port)?
    }
}

impl Criteria {
    fn is_empty(&self) -> bool {
        self.destination_port.is_none()
            && self.destinations.is_empty()
            && self.server_names.is_empty()
            && self.transport_protocol.is_none()
            && self.application_protocols.is_empty()
            && self.direct_sources.is_empty()
            && self.source_type == SourceType::Any
            && self.sources.is_empty()
            && self.source_ports.is_empty()
    }

    /// Whether only a look at the client's first bytes can tell if a connection fits.
    pub(super) fn needs_inspection(&self) -> bool {
        !self.server_names.is_empty()
            || !self.application_protocols.is_empty()
            || self.transport_protocol.as_ref().is_some_and(|protocol| protocol != "raw_buffer")
    }
}

fn add_source(by_type: &mut ByType, place: u32, criteria: &Criteria) -> Result<(), Overlap> {
    let sources = by_type[criteria.source_type as usize].get_or_insert_with(Prefixes::default);
    for source in each(&criteria.sources) {
        let ports = sources.entry(source.copied());
        for port in each(&criteria.source_ports) {
            if let Some(first) = ports.entry(port.copied()).replace(place) {
                return Err(Overlap { first, second: place });
            }
        }
    }
    Ok(())
}

/// Each of a list, or once nothing.
fn each<T>(list: &[T]) -> impl Iterator<Item = Option<&T>> {
    let nothing = list.is_empty().then_some(None);
    list.iter().map(Some).chain(nothing)
}

/// An address for the tables; in place of one that is none, one that nobody has.
fn ip(address: &Address) -> IpAddr {
    match address {
        Address::Inet(address) => address.ip(),
        Address::Unix(_) => Ipv4Addr::BROADCAST.into(),
    }
}

/// Whether a connection comes from this machine, as Envoy sees it: by a unix socket, from the one loopback address
/// that everybody uses, or from the address at which it was accepted.
fn is_local(connection: &Provenance) -> bool {
    let Address::Inet(remote) = connection.remote() else { return true };
    let remote = remote.ip();
    let same = matches!(connection.local(), Address::Inet(local) if local.ip() == remote);
    same || remote == Ipv4Addr::LOCALHOST || remote == Ipv6Addr::LOCALHOST
}

#[cfg(test)]
mod tests;
