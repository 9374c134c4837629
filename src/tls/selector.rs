//! Which of several certificates a client gets: by the name that it asks for and by what it can verify.
//!
//! The rules are those of Envoy's default selector: an exact name, then a wildcard, then (without a name, or if the
//! configuration says so) all; an ECDSA certificate for clients that can verify one, RSA for the others; the first
//! certificate when nothing fits.

use super::material::{Identity, now};
use super::trace::{self, Staple};
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// `DownstreamTlsContext.ocsp_staple_policy`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum OcspPolicy {
    /// A response that is old is left out.
    #[default]
    Lenient,
    /// A certificate whose response is old is not used.
    Strict,
    /// Neither is one without a response.
    Must,
}

/// The certificates of a listener.
#[derive(Debug)]
pub(super) struct Identities {
    list: Vec<Arc<Identity>>,
    /// The same without their OCSP responses, for when these are old; `None` where there is none.
    bare: Vec<Option<Arc<CertifiedKey>>>,
    /// By lower-case name.
    exact: HashMap<Box<str>, Vec<usize>>,
    /// By what follows the star: `.example.com`.
    wildcards: HashMap<Box<str>, Vec<usize>>,
    full_scan: bool,
    policy: OcspPolicy,
}

impl Identities {
    /// Arranges certificates; at least one.
    pub(super) fn new(list: Vec<Arc<Identity>>, full_scan: bool, policy: OcspPolicy) -> Self {
        let mut exact: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let mut wildcards: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for (at, identity) in list.iter().enumerate() {
            let facts = identity.leaf.facts();
            let names = &facts.names.dns;
            // The common name counts where there are no alternative names (RFC 6125 section 6.4.4).
            let common = std::slice::from_ref(&facts.common_name);
            for name in if names.is_empty() { common } else { names } {
                let name = name.to_ascii_lowercase();
                let (table, name) = match name.strip_prefix('*') {
                    Some(rest) if rest.starts_with('.') => (&mut wildcards, rest),
                    _ => (&mut exact, &name[..]),
                };
                table.entry(name.into()).or_default().push(at);
            }
        }
        let bare = list
            .iter()
            .map(|identity| {
                identity.key.ocsp.as_ref()?;
                let mut key = CertifiedKey::clone(&identity.key);
                key.ocsp = None;
                Some(Arc::new(key))
            })
            .collect();
        Self { list, bare, exact, wildcards, full_scan, policy }
    }

    /// All of them.
    pub(super) fn list(&self) -> &[Arc<Identity>] {
        &self.list
    }

    /// The place of the certificate for a client that asks for `name`, can verify `schemes`, and may want an OCSP
    /// response.
    pub(super) fn choose(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
        ocsp: bool,
        now: i64,
    ) -> usize {
        let elliptic = schemes.iter().any(|scheme| is_elliptic(*scheme));
        let fits = |at: usize| {
            if ocsp && self.staple(at, now) == Staple::Missing {
                Fit::No
            } else {
                self.fits(at, schemes, elliptic)
            }
        };
        if let Some(name) = name {
            let exact = self.exact.get(name).and_then(|found| best(found.iter().copied(), &fits));
            let wildcard = || {
                let dot = name.get(1..)?.find('.')? + 1;
                best(self.wildcards.get(&name[dot..])?.iter().copied(), &fits)
            };
            match exact.or_else(wildcard) {
                Some(found) => return found,
                None if !self.full_scan => return 0,
                None => {}
            }
        }
        best(0..self.list.len(), &fits).unwrap_or(0)
    }

    fn fits(&self, at: usize, schemes: &[SignatureScheme], elliptic: bool) -> Fit {
        let identity = &self.list[at];
        match (identity.is_elliptic(), elliptic) {
            (true, _) if identity.key.key.choose_scheme(schemes).is_some() => Fit::Yes,
            (true, _) => Fit::No,
            (false, false) => Fit::Yes,
            // Clients that can verify both get the cheaper one.
            (false, true) => Fit::IfNeedBe,
        }
    }

    /// What is done about the OCSP response of a certificate for a client that wants one.
    fn staple(&self, at: usize, now: i64) -> Staple {
        let identity = &self.list[at];
        let has = identity.key.ocsp.is_some();
        let old = identity.ocsp_until().is_some_and(|until| until < now);
        match self.policy {
            _ if has && !old => Staple::Shown,
            OcspPolicy::Strict if has => Staple::Missing,
            OcspPolicy::Must => Staple::Missing,
            OcspPolicy::Lenient | OcspPolicy::Strict => Staple::Omitted,
        }
    }

    /// What a handshake uses of a certificate: without the OCSP response if that is old.
    fn key(&self, at: usize, now: i64) -> Arc<CertifiedKey> {
        let identity = &self.list[at];
        match &self.bare[at] {
            Some(bare) if identity.ocsp_until().is_some_and(|until| until < now) => Arc::clone(bare),
            _ => Arc::clone(&identity.key),
        }
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Fit {
    Yes,
    /// There may be a better one.
    IfNeedBe,
    No,
}

fn best(places: impl Iterator<Item = usize>, fits: &impl Fn(usize) -> Fit) -> Option<usize> {
    let mut second = None;
    for at in places {
        match fits(at) {
            Fit::Yes => return Some(at),
            Fit::IfNeedBe => second = second.or(Some(at)),
            Fit::No => {}
        }
    }
    second
}

fn is_elliptic(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::ECDSA_NISTP256_SHA256
            | SignatureScheme::ECDSA_NISTP384_SHA384
            | SignatureScheme::ECDSA_NISTP521_SHA512
    )
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (now, ocsp) = (now(), trace::wants_ocsp());
        let at = self.choose(hello.server_name(), hello.signature_schemes(), ocsp, now);
        let staple = ocsp.then(|| self.staple(at, now));
        trace::chosen(at, staple);
        // Without a certificate the handshake ends.
        (staple != Some(Staple::Missing)).then(|| self.key(at, now))
    }
}
