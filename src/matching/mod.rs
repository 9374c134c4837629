//! Matchers (`xds.type.matcher.v3.Matcher`): which action is for a pair of addresses.
//!
//! Compiled once; looked at when something begins, such as a session of datagrams. What a match leads to may be another
//! matcher; where that finds nothing, the search goes on behind the match, and in the end with `on_no_match`.

pub mod compile;

use crate::network::Cidr;
use crate::router::config::StringMatch;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What a matcher can look at.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Who sends.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
}

/// One value of [`Addresses`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The sender's IP address.
    SourceIp,
    /// The sender's port.
    SourcePort,
    /// The IP address that is sent to.
    DestinationIp,
    /// The port that is sent to.
    DestinationPort,
}

/// A matcher that leads to actions of one kind.
#[derive(Debug)]
pub struct Matcher<A> {
    tests: Tests<A>,
    otherwise: Option<Then<A>>,
}

#[derive(Debug)]
enum Tests<A> {
    /// Only `on_no_match` counts.
    None,
    List(Vec<(Predicate, Then<A>)>),
    Exact(Input, HashMap<Box<str>, Then<A>>),
    /// The longest first.
    Prefix(Input, Vec<(Box<str>, Then<A>)>),
    Ranges(Input, Ranges<A>),
}

/// `xds.type.matcher.v3.IPMatcher`.
#[derive(Debug)]
struct Ranges<A> {
    /// The smallest first, each with its place in `then`.
    ranges: Vec<(Cidr, usize)>,
    /// With whether it is left out where the address is in a smaller range.
    then: Vec<(Then<A>, bool)>,
}

#[derive(Debug)]
enum Predicate {
    Value(Input, StringMatch),
    Any(Vec<Predicate>),
    All(Vec<Predicate>),
    Not(Box<Predicate>),
}

#[derive(Debug)]
enum Then<A> {
    Action(A),
    Matcher(Box<Matcher<A>>),
    /// `keep_matching`: the match changes nothing.
    GoOn,
}

impl<A> Matcher<A> {
    /// The action for everything.
    pub fn always(action: A) -> Self {
        Self { tests: Tests::None, otherwise: Some(Then::Action(action)) }
    }

    /// The action, if it is the same for everything.
    pub fn constant(&self) -> Option<&A> {
        match self {
            Self { tests: Tests::None, otherwise: Some(Then::Action(action)) } => Some(action),
            _ => None,
        }
    }

    /// The action for these addresses.
    pub fn find(&self, addresses: &Addresses) -> Option<&A> {
        let found = match &self.tests {
            Tests::None => None,
            Tests::List(list) => list
                .iter()
                .filter(|(predicate, _)| predicate.holds(addresses))
                .find_map(|(_, then)| then.find(addresses)),
            Tests::Exact(input, map) => {
                input.with_text(addresses, |text| map.get(text).and_then(|then| then.find(addresses)))
            }
            Tests::Prefix(input, list) => input.with_text(addresses, |text| {
                list.iter()
                    .filter(|(prefix, _)| text.starts_with(&**prefix))
                    .find_map(|(_, then)| then.find(addresses))
            }),
            Tests::Ranges(input, ranges) => ranges.find(input.ip(addresses)?, addresses),
        };
        found.or_else(|| self.otherwise.as_ref()?.find(addresses))
    }
}

impl<A> Ranges<A> {
    fn find(&self, ip: IpAddr, addresses: &Addresses) -> Option<&A> {
        let around = self.ranges.iter().filter(|(range, _)| range.contains(ip));
        around.enumerate().find_map(|(n, (_, at))| {
            let (then, exclusive) = &self.then[*at];
            if n > 0 && *exclusive { None } else { then.find(addresses) }
        })
    }
}

impl<A> Then<A> {
    fn find(&self, addresses: &Addresses) -> Option<&A> {
        match self {
            Self::Action(action) => Some(action),
            Self::Matcher(matcher) => matcher.find(addresses),
            Self::GoOn => None,
        }
    }
}

impl Predicate {
    fn holds(&self, addresses: &Addresses) -> bool {
        match self {
            Self::Value(input, matcher) => {
                input.with_text(addresses, |text| matcher.matches(text.as_bytes()))
            }
            Self::Any(list) => list.iter().any(|predicate| predicate.holds(addresses)),
            Self::All(list) => list.iter().all(|predicate| predicate.holds(addresses)),
            Self::Not(predicate) => !predicate.holds(addresses),
        }
    }
}

impl Input {
    /// The value, if it is an IP address.
    fn ip(self, addresses: &Addresses) -> Option<IpAddr> {
        match self {
            Self::SourceIp => Some(addresses.source.ip()),
            Self::DestinationIp => Some(addresses.destination.ip()),
            Self::SourcePort | Self::DestinationPort => None,
        }
    }

    /// Calls `with` with the value as text.
    fn with_text<R>(self, addresses: &Addresses, with: impl FnOnce(&str) -> R) -> R {
        let mut text = Text { bytes: [0; 48], length: 0 };
        let written = match self {
            Self::SourceIp => fmt::write(&mut text, format_args!("{}", addresses.source.ip())),
            Self::SourcePort => fmt::write(&mut text, format_args!("{}", addresses.source.port())),
            Self::DestinationIp => fmt::write(&mut text, format_args!("{}", addresses.destination.ip())),
            Self::DestinationPort => fmt::write(&mut text, format_args!("{}", addresses.destination.port())),
        };
        debug_assert!(written.is_ok(), "there is room for any address");
        with(std::str::from_utf8(&text.bytes[..text.length]).unwrap_or_default())
    }
}

/// Room for the longest text of an IPv6 address.
struct Text {
    bytes: [u8; 48],
    length: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.length + part.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}
