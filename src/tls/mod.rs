//! TLS: what contexts say and what handshakes use. The connections themselves are in `io::tls`.
//!
//! A context is compiled from the configuration on the main thread, with everything in the files that it names, and
//! compiled again when one of them changes ([`config`]). Handshakes are done by rustls with aws-lc-rs; who is trusted
//! ([`verifier`](self)), which certificate is shown, how sessions are resumed is decided here, by Envoy's rules.

mod certificate;
pub mod compile;
pub mod config;
mod context;
mod encrypted;
mod info;
mod key_log;
mod material;
mod ocsp;
mod params;
mod san;
mod secrets;
mod selector;
mod sessions;
mod shared;
mod stats;
mod tickets;
pub(crate) mod trace;
mod validation;
mod verifier;

pub use certificate::{Certificate, Facts, Names};
pub use config::{Approach, ClientTls, ServerTls};
pub use context::Context;
pub use info::{Alpn, TlsInfo};
pub use material::{Files, Identity};
pub use secrets::Secrets;
pub use stats::{Negotiated, SdsStats, TlsStats};
pub(crate) use verifier::Rejection;
