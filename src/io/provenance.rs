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
    /// The client speaks TLS.
    pub tls: bool,
    /// The application protocols that the client offers (ALPN), or speaks.
    pub protocols: Vec<Box<[u8]>>,
    /// Fingerprints of the client hello; empty if they were not asked for.
    pub ja3: Box<str>,
    /// See `ja3`.
    pub ja4: Box<str>,
    /// Extensions of the PROXY header that may be passed on, in order.
    pub tlvs: Vec<(u8, Box<[u8]>)>,
    /// What filters leave for logs and policies.
    pub metadata: FilterMetadata,
}

/// Texts by namespace and key (dynamic metadata).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterMetadata(Vec<Namespace>);

/// Its name, and what is in it.
type Namespace = (Box<str>, Vec<(Box<str>, String)>);

impl FilterMetadata {
    /// Sets a value; the one that was there is gone.
    pub fn set(&mut self, namespace: &str, key: &str, value: String) {
        let at = self.0.iter().position(|(name, _)| **name == *namespace).unwrap_or_else(|| {
            self.0.push((namespace.into(), Vec::new()));
            self.0.len() - 1
        });
        let values = &mut self.0[at].1;
        match values.iter_mut().find(|(name, _)| **name == *key) {
            Some((_, old)) => *old = value,
            None => values.push((key.into(), value)),
        }
    }

    /// All keys and values of a namespace.
    pub fn namespace(&self, namespace: &str) -> Option<&[(Box<str>, String)]> {
        self.0.iter().find(|(name, _)| **name == *namespace).map(|(_, values)| &values[..])
    }

    /// A value.
    pub fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        let values = self.namespace(namespace)?;
        values.iter().find(|(name, _)| **name == *key).map(|(_, value)| value.as_str())
    }
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

    /// What carries its bytes, in the words of filter chain matches.
    pub fn transport_protocol(&self) -> &'static str {
        if self.findings.as_ref().is_some_and(|findings| findings.tls) { "tls" } else { "raw_buffer" }
    }

    /// The application protocols that the client offers.
    pub fn protocols(&self) -> &[Box<[u8]>] {
        self.findings.as_ref().map_or(&[], |findings| &findings.protocols)
    }

    /// Extensions of the PROXY header that may be passed on.
    pub fn tlvs(&self) -> &[(u8, Box<[u8]>)] {
        self.findings.as_ref().map_or(&[], |findings| &findings.tlvs)
    }

    /// The server name that the client asked for by TLS; empty if it did not.
    pub fn server_name(&self) -> &str {
        self.findings.as_ref().map_or("", |findings| &findings.server_name)
    }
}
