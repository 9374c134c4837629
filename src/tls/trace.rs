//! What rustls tells its callbacks during a step of a handshake, and nobody else.
//!
//! The certificate is chosen and the peer's signature checked by objects that all connections of a context share. What
//! they have seen is left here for whoever drives the handshake on this thread, who clears it before the step and takes
//! it after.

use rustls::SignatureScheme;
use std::cell::Cell;

/// What a step has shown.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Trace {
    /// The client wants an OCSP response: what whoever drives the handshake knows and rustls does not tell.
    pub(crate) wants_ocsp: bool,
    /// Which of our certificates was chosen.
    pub(crate) identity: Option<usize>,
    /// What is done about its OCSP response.
    pub(crate) staple: Option<Staple>,
    /// How the peer has signed.
    pub(crate) signature: Option<SignatureScheme>,
}

/// What is done about an OCSP response that the client wants.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Staple {
    Shown,
    Omitted,
    /// There must be one, and there is none that is true.
    Missing,
}

impl Trace {
    /// Adds what a later step has shown.
    pub(crate) fn add(&mut self, later: Self) {
        self.identity = later.identity.or(self.identity);
        self.staple = later.staple.or(self.staple);
        self.signature = later.signature.or(self.signature);
    }
}

thread_local! {
    static TRACE: Cell<Trace> =
        const { Cell::new(Trace { wants_ocsp: false, identity: None, staple: None, signature: None }) };
}

/// Begins a step.
pub(crate) fn begin(wants_ocsp: bool) {
    TRACE.set(Trace { wants_ocsp, ..Trace::default() });
}

/// Whether the client wants an OCSP response.
pub(super) fn wants_ocsp() -> bool {
    TRACE.get().wants_ocsp
}

/// What has been shown since the last time.
pub(crate) fn take() -> Trace {
    TRACE.take()
}

pub(super) fn chosen(identity: usize, staple: Option<Staple>) {
    TRACE.set(Trace { identity: Some(identity), staple, ..TRACE.get() });
}

pub(super) fn peer_signed(scheme: SignatureScheme) {
    TRACE.set(Trace { signature: Some(scheme), ..TRACE.get() });
}
