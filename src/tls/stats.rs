//! The statistics of TLS contexts, under Envoy's names.

use super::params::{CIPHERS, GROUPS, SIGNATURES, VERSIONS, place};
use crate::stats::{Block, Counter, Gauge, Registry};
use rustls::{CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme};
use std::time::{SystemTime, UNIX_EPOCH};

/// `listener.<address>.ssl.` or `cluster.<name>.ssl.`.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields carry the names that Envoy documents")]
pub struct TlsStats {
    pub connection_error: Counter,
    pub handshake: Counter,
    pub session_reused: Counter,
    pub no_certificate: Counter,
    pub fail_verify_no_cert: Counter,
    pub fail_verify_error: Counter,
    pub fail_verify_san: Counter,
    pub fail_verify_cert_hash: Counter,
    pub ocsp_staple_failed: Counter,
    pub ocsp_staple_omitted: Counter,
    pub ocsp_staple_responses: Counter,
    pub ocsp_staple_requests: Counter,
    /// Since 1970, in seconds: when our certificates end, and that of the authority; by the names that they have.
    pub(super) expiration: [Vec<(Option<String>, Gauge)>; 2],
    ciphers: [Counter; CIPHERS.len()],
    versions: [Counter; VERSIONS.len()],
    curves: [Counter; GROUPS.len()],
    sigalgs: [Counter; SIGNATURES.len()],
}

/// What was negotiated.
#[derive(Copy, Clone, Debug)]
pub struct Negotiated {
    /// The version.
    pub version: ProtocolVersion,
    /// The cipher suite.
    pub cipher: CipherSuite,
    /// The group of the key exchange, if there was one.
    pub group: Option<NamedGroup>,
    /// How the peer has signed, if it has.
    pub signature: Option<SignatureScheme>,
}

impl TlsStats {
    /// Registers every name below `prefix`, which ends with `ssl.`; `named` has the names of our certificates' secrets,
    /// and of the authority's; `None` stands for what comes with the configuration itself.
    pub fn register(registry: &mut Registry, prefix: &str, named: [Vec<Option<&str>>; 2]) -> Self {
        // As Envoy calls certificates that come with the configuration.
        let unnamed = ["unnamed_cert_e3b0c442", "unnamed_ca_cert_e3b0c442"];
        let mut expiration = [Vec::new(), Vec::new()];
        for ((named, unnamed), expiration) in named.into_iter().zip(unnamed).zip(&mut expiration) {
            for secret in named {
                let name = secret.unwrap_or(unnamed);
                let gauge =
                    registry.gauge(&format!("{prefix}certificate.{name}.expiration_unix_time_seconds"));
                expiration.push((secret.map(str::to_owned), gauge));
            }
        }
        let mut counter = |name: &str| registry.counter(&format!("{prefix}{name}"));
        let connection_error = counter("connection_error");
        let handshake = counter("handshake");
        let session_reused = counter("session_reused");
        let no_certificate = counter("no_certificate");
        let fail_verify_no_cert = counter("fail_verify_no_cert");
        let fail_verify_error = counter("fail_verify_error");
        let fail_verify_san = counter("fail_verify_san");
        let fail_verify_cert_hash = counter("fail_verify_cert_hash");
        let ocsp_staple_failed = counter("ocsp_staple_failed");
        let ocsp_staple_omitted = counter("ocsp_staple_omitted");
        let ocsp_staple_responses = counter("ocsp_staple_responses");
        let ocsp_staple_requests = counter("ocsp_staple_requests");
        let mut sparse = |kind: &str, name: &str| registry.sparse_counter(&format!("{prefix}{kind}.{name}"));
        Self {
            connection_error,
            handshake,
            session_reused,
            no_certificate,
            fail_verify_no_cert,
            fail_verify_error,
            fail_verify_san,
            fail_verify_cert_hash,
            ocsp_staple_failed,
            ocsp_staple_omitted,
            ocsp_staple_responses,
            ocsp_staple_requests,
            expiration,
            ciphers: CIPHERS.map(|(_, name)| sparse("ciphers", name)),
            versions: VERSIONS.map(|(_, name)| sparse("versions", name)),
            curves: GROUPS.map(|(_, name, _)| sparse("curves", name)),
            sigalgs: SIGNATURES.map(|(_, name)| sparse("sigalgs", name)),
        }
    }

    /// Counts what a handshake has agreed on.
    pub fn count(&self, negotiated: &Negotiated, stats: &Block) {
        let Negotiated { version, cipher, group, signature } = negotiated;
        if let Some(at) = place(&CIPHERS, cipher) {
            stats.inc(self.ciphers[at]);
        }
        if let Some(at) = place(&VERSIONS, version) {
            stats.inc(self.versions[at]);
        }
        if let Some(at) = group.and_then(|group| GROUPS.iter().position(|(known, ..)| *known == group)) {
            stats.inc(self.curves[at]);
        }
        if let Some(at) = signature.and_then(|scheme| place(&SIGNATURES, &scheme)) {
            stats.inc(self.sigalgs[at]);
        }
    }
}

/// `sds.<name>.`: a secret that is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdsStats {
    attempt: Counter,
    success: Counter,
    rejected: Counter,
    /// When it was last read, in milliseconds since 1970.
    time: Gauge,
}

impl SdsStats {
    /// Registers every name below `prefix`; the same one for the same prefix.
    pub fn register(registry: &mut Registry, prefix: &str) -> Self {
        let time = registry.gauge(&format!("{prefix}update_time"));
        let mut counter = |name: &str| registry.counter(&format!("{prefix}{name}"));
        // What cannot happen here has its names too: boards ask for them.
        counter("init_fetch_timeout");
        counter("key_rotation_failed");
        counter("update_failure");
        Self {
            attempt: counter("update_attempt"),
            success: counter("update_success"),
            rejected: counter("update_rejected"),
            time,
        }
    }

    /// Counts that it was read.
    pub fn count(&self, success: bool, stats: &Block) {
        stats.inc(self.attempt);
        stats.inc(if success { self.success } else { self.rejected });
        if success {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            stats.set_gauge(self.time, now.as_millis() as u64);
        }
    }
}

/// `<scope>server_ssl_socket_factory.` or `<scope>client_ssl_socket_factory.`.
#[derive(Clone, Debug)]
pub(super) struct FactoryStats {
    /// A secret has come or changed.
    pub(super) ssl_context_update_by_sds: Counter,
}

impl FactoryStats {
    pub(super) fn register(registry: &mut Registry, prefix: &str) -> Self {
        // A context has all of its secrets before it is used.
        registry.counter(&format!("{prefix}downstream_context_secrets_not_ready"));
        registry.counter(&format!("{prefix}upstream_context_secrets_not_ready"));
        Self { ssl_context_update_by_sds: registry.counter(&format!("{prefix}ssl_context_update_by_sds")) }
    }
}
