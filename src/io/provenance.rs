//! Where a downstream connection comes from, and what was learnt of it before its first network filter.
//!
//! Made by the listener, kept by whoever owns the connection. What listener filters find is boxed, so that a
//! connection without it pays nothing.

use nuncio_reactor::Address;

/// Where a connection comes from and goes to.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// Who is connected to our socket.
    pub peer: Address,
    /// Our end of it.
    pub socket_local: Address,
    /// What listener filters found; `None` if there were none.
    pub findings: Option<Box<Findings>>,
}

/// What listener filters found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Who the client is, where that is not the peer (PROXY protocol).
    pub remote: Option<Address>,
    /// Where the client wanted to go, where that is not our end (PROXY protocol, the kernel's redirection).
    pub local: Option<Address>,
    /// The server name of the TLS client hello, in lower case; empty if there is none.
    pub server_name: Box<str>,
}

impl Provenance {
    /// Of a connection of which nothing else is known.
    pub fn direct(peer: Address, socket_local: Address) -> Self {
        Self { peer, socket_local, findings: None }
    }

    /// Who the client is.
    pub fn remote(&self) -> &Address {
        self.findings.as_ref().and_then(|findings| findings.remote.as_ref()).unwrap_or(&self.peer)
    }

    /// Where it wanted to go.
    pub fn local(&self) -> &Address {
        self.findings.as_ref().and_then(|findings| findings.local.as_ref()).unwrap_or(&self.socket_local)
    }

    /// The server name that the client asked for by TLS; empty if it did not.
    pub fn server_name(&self) -> &str {
        self.findings.as_ref().map_or("", |findings| &findings.server_name)
    }
}
