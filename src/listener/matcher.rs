//! Which filter chain a connection gets.

use crate::io::Provenance;

/// A listener's filter chains by what they ask of a connection, compiled.
#[derive(Debug)]
pub struct Matcher {
    root: Option<u32>,
    /// The default chain.
    default: Option<u32>,
}

impl Matcher {
    /// For a listener with one chain, which asks for nothing.
    pub fn only() -> Self {
        Self { root: Some(0), default: None }
    }

    /// For a listener with nothing but a default chain, which is the first.
    pub(super) fn default_only() -> Self {
        Self { root: None, default: Some(0) }
    }

    /// The chain for a connection, by its place.
    pub fn find(&self, _: &Provenance) -> Option<u32> {
        self.root.or(self.default)
    }
}
