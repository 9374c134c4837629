//! `envoy.config.listener.v3.ListenerFilterChainMatchPredicate`: where a listener filter is left out.

use nuncio_reactor::Address;
use std::ops::Range;

/// A condition on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::listener) enum Predicate {
    /// Always.
    Any,
    /// One of them holds.
    Or(Vec<Self>),
    /// All of them hold.
    And(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// The destination's port is one of these.
    Port(Range<i32>),
}

impl Predicate {
    /// Whether it holds for a connection that wanted to go there.
    pub(super) fn holds(&self, local: &Address) -> bool {
        match self {
            Self::Any => true,
            Self::Or(several) => several.iter().any(|predicate| predicate.holds(local)),
            Self::And(several) => several.iter().all(|predicate| predicate.holds(local)),
            Self::Not(predicate) => !predicate.holds(local),
            Self::Port(range) => match local {
                Address::Inet(address) => range.contains(&address.port().into()),
                Address::Unix(_) => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_their_combinations() {
        let (low, high) = (Predicate::Port(10..20), Predicate::Port(15..30));
        let or = Predicate::Or(vec![low.clone(), high.clone()]);
        let and = Predicate::And(vec![low.clone(), high.clone()]);
        let neither = Predicate::Not(Box::new(or.clone()));
        for (port, wanted) in
            [(9, [false, false, true]), (12, [true, false, false]), (15, [true, true, false])]
                .into_iter()
                .chain([(19, [true, true, false]), (20, [true, false, false]), (30, [false, false, true])])
        {
            let local = Address::Inet(([1, 2, 3, 4], port).into());
            assert_eq!([&or, &and, &neither].map(|predicate| predicate.holds(&local)), wanted, "{port}");
        }
        let unix = Address::unix("@a");
        assert!(!or.holds(&unix) && neither.holds(&unix) && Predicate::Any.holds(&unix));
    }
}
