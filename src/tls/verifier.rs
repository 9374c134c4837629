//! Checking a peer's certificate: against authorities, revocation lists, pins and names, as Envoy's default validator.
//!
//! Without trusted authorities nothing is checked but what is pinned, as in Envoy: then a certificate only proves that
//! its key is known to the peer. Runs on workers, in the middle of handshakes, and never blocks.

use super::certificate::{Facts, Names, public_key};
use super::config::nameless;
use super::san::{SanMatch, dns_matches};
use super::trace;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RawPublicKeyEntity, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};

/// `CertificateValidationContext`.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Trusted authorities; `None` if there is no telling.
    pub(super) authorities: Option<Authorities>,
    /// Revocation lists; nothing is looked up if there are none.
    pub(super) lists: Vec<CertRevocationList<'static>>,
    /// `only_verify_leaf_cert_crl`.
    pub(super) leaf_only: bool,
    /// `allow_expired_certificate`.
    pub(super) allow_expired: bool,
    /// `max_verify_depth`.
    pub(super) depth: Option<usize>,
    /// `trust_chain_verification: ACCEPT_UNTRUSTED`.
    pub(super) accept_untrusted: bool,
    /// `verify_certificate_spki` and `verify_certificate_hash`: one of them must fit, if there are any.
    pub(super) key_pins: Vec<[u8; 32]>,
    pub(super) pins: Vec<[u8; 32]>,
    /// One of them must fit, if there are any.
    pub(super) names: Vec<SanMatch>,
    /// The name that was asked for must be in the certificate (clusters).
    pub(super) match_server_name: bool,
    /// There must be a certificate (listeners).
    pub(super) mandatory: bool,
    /// What is understood.
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// Trusted authorities.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) anchors: Vec<TrustAnchor<'static>>,
    /// The same certificates whole: one that is trusted itself needs no authority above it.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Whom clients are asked for certificates of.
    pub(super) subjects: Vec<DistinguishedName>,
}

/// Why a certificate is refused, apart from what webpki says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// None of these names fits.
    Names(Names),
    /// No pin fits.
    Pins,
    /// Its key is not for signatures.
    Usage,
}

impl fmt::Display for Rejection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names(Names { dns, uri, email, ip }) => {
                let all: Vec<_> = [dns, uri, email, ip].into_iter().flatten().map(String::as_str).collect();
                write!(out, "SAN matcher, certificate SANs are [{}]", all.join(", "))
            }
            Self::Pins => out.write_str("cert hash and spki"),
            Self::Usage => out.write_str("key usage"),
        }
    }
}

impl std::error::Error for Rejection {}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        CertificateError::Other(OtherError(Arc::new(rejection))).into()
    }
}

impl Verifier {
    /// Whether anything is checked at all.
    pub(super) fn checks(&self) -> bool {
        self.authorities.is_some() || self.is_pinned() || !self.names.is_empty()
    }

    fn is_pinned(&self) -> bool {
        !self.key_pins.is_empty() || !self.pins.is_empty()
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: KeyUsage,
        server_name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.accept_untrusted {
            return Ok(());
        }
        if let Some(authorities) = &self.authorities {
            self.verify_chain(authorities, leaf, intermediates, usage, now).map_err(in_rustls)?;
        }
        let named = self.names.is_empty() && server_name.is_none();
        let facts = if named { Facts::default() } else { Facts::of(leaf).unwrap_or_default() };
        if let Some(name) = server_name
            && !is_named(&facts, &name.to_str())
        {
            return Err(Rejection::Names(facts.names).into());
        }
        if !self.names.is_empty() && !self.names.iter().any(|name| name.matches(&facts.names)) {
            return Err(Rejection::Names(facts.names).into());
        }
        if self.is_pinned() && !self.fits_pin(leaf) {
            return Err(Rejection::Pins.into());
        }
        Ok(())
    }

    fn verify_chain(
        &self,
        authorities: &Authorities,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: KeyUsage,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        if authorities.certificates.iter().any(|trusted| trusted == leaf) {
            // It is trusted as it is; only its time may be over.
            let facts = Facts::of(leaf).ok_or(webpki::Error::BadDer)?;
            let seconds = now.as_secs() as i64;
            return if self.allow_expired || (facts.not_before..=facts.not_after).contains(&seconds) {
                Ok(())
            } else {
                let at =
                    |seconds: i64| UnixTime::since_unix_epoch(Duration::from_secs(seconds.max(0) as u64));
                Err(webpki::Error::CertExpired { time: now, not_after: at(facts.not_after) })
            };
        }
        let leaf = EndEntityCert::try_from(leaf)?;
        let lists: Vec<_> = self.lists.iter().collect();
        let mut time = now;
        // Each round can move the time into the life of one more certificate of the path.
        for _ in 0..8 {
            let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
                let depth = if self.leaf_only {
                    RevocationCheckDepth::EndEntity
                } else {
                    RevocationCheckDepth::Chain
                };
                let expiration =
                    if self.allow_expired { ExpirationPolicy::Ignore } else { ExpirationPolicy::Enforce };
                let options = options.with_depth(depth).with_status_policy(UnknownStatusPolicy::Deny);
                options.with_expiration_policy(expiration).build()
            });
            let result = leaf.verify_for_usage(
                self.algorithms.all,
                &authorities.anchors,
                intermediates,
                time,
                usage,
                revocation,
                Some(&|path| match self.depth {
                    Some(depth) if path.intermediate_certificates().count() >= depth => {
                        Err(webpki::Error::MaximumPathDepthExceeded)
                    }
                    _ => Ok(()),
                }),
            );
            match result {
                Ok(_) => return Ok(()),
                Err(webpki::Error::CertExpired { not_after, .. }) if self.allow_expired => time = not_after,
                Err(webpki::Error::CertNotValidYet { not_before, .. }) if self.allow_expired => {
                    time = not_before;
                }
                Err(error) => return Err(error),
            }
        }
        Err(webpki::Error::UnknownIssuer)
    }

    fn fits_pin(&self, leaf: &CertificateDer<'_>) -> bool {
        let is_one = |pins: &[[u8; 32]], bytes: &[u8]| {
            let hash = digest(&SHA256, bytes);
            pins.iter().any(|pin| pin == hash.as_ref())
        };
        if !self.pins.is_empty() && is_one(&self.pins, leaf) {
            return true;
        }
        !self.key_pins.is_empty() && public_key(leaf).is_some_and(|key| is_one(&self.key_pins, &key))
    }

    /// How a peer has signed in TLS 1.2.
    fn tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        trace::peer_signed(signed.scheme);
        match verify_tls12_signature(message, certificate, signed, &self.algorithms) {
            Err(error) if is_odd(&error) => {
                verify_with_key(message, certificate, signed, &self.algorithms).ok_or(error)
            }
            result => result,
        }
    }

    /// How a peer has signed in TLS 1.3.
    fn tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        trace::peer_signed(signed.scheme);
        match verify_tls13_signature(message, certificate, signed, &self.algorithms) {
            Err(error) if is_odd(&error) => {
                let key = SubjectPublicKeyInfoDer::from(public_key(certificate).ok_or(error)?);
                verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
            }
            result => result,
        }
    }
}

/// Whether a certificate's key is for what it is used for here.
fn may_sign(leaf: &CertificateDer<'_>) -> Result<(), Error> {
    match Facts::of(leaf) {
        Some(facts) if !facts.may_sign => Err(Rejection::Usage.into()),
        _ => Ok(()),
    }
}

/// A signature by a certificate that webpki does not take: one of version 1, or with an extension that nobody knows. It
/// gets here only if nothing is verified, or if it is itself among those that are trusted.
fn verify_with_key(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Option<HandshakeSignatureValid> {
    let key = SubjectPublicKeyInfoDer::from(public_key(certificate)?);
    let key = RawPublicKeyEntity::try_from(&key).ok()?;
    let (_, fitting) = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme)?;
    let verified =
        fitting.iter().any(|algorithm| key.verify_signature(*algorithm, message, signed.signature()).is_ok());
    verified.then(HandshakeSignatureValid::assertion)
}

/// Whether webpki knows no such certificates.
fn is_odd(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(error))) = error else { return false };
    matches!(
        error.downcast_ref(),
        Some(webpki::Error::UnsupportedCertVersion | webpki::Error::UnsupportedCriticalExtension)
    )
}

/// Whether a certificate is one for this host, by its alternative names.
fn is_named(facts: &Facts, host: &str) -> bool {
    facts.names.dns.iter().any(|name| dns_matches(name, host)) || facts.names.ip.iter().any(|ip| ip == host)
}

/// The error of rustls that stands for one of webpki; the alert follows from it.
fn in_rustls(error: webpki::Error) -> Error {
    use webpki::Error as Webpki;
    let error = match error {
        Webpki::CertExpired { .. } | Webpki::InvalidCertValidity => CertificateError::Expired,
        Webpki::CertNotValidYet { .. } => CertificateError::NotValidYet,
        Webpki::CertRevoked => CertificateError::Revoked,
        Webpki::UnknownIssuer => CertificateError::UnknownIssuer,
        Webpki::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        Webpki::CrlExpired { .. } => CertificateError::ExpiredRevocationList,
        Webpki::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        Webpki::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    Error::InvalidCertificate(error)
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        self.mandatory || self.checks()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.as_ref().map_or(&[], |authorities| &authorities.subjects)
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        may_sign(leaf)?;
        self.verify(leaf, intermediates, KeyUsage::client_auth(), None, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Checked even if nothing else is, as in Envoy; handshakes that need other uses of a key do not exist here.
        may_sign(leaf)?;
        let name = Some(server_name).filter(|name| self.match_server_name && **name != nameless());
        self.verify(leaf, intermediates, KeyUsage::server_auth(), name, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
