//! Why a TLS connection could not be made: in Envoy's form, and which counter.
//!
//! The form is `TLS_error:|<number>:SSL routines:OPENSSL_internal:<REASON>:TLS_error_end`, with BoringSSL's numbers and
//! reasons where there are such.

use crate::stats::{Block, Counter};
use crate::tls::{Rejection, TlsStats};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible};

/// BoringSSL's number of its library in error codes.
const LIBRARY: u32 = 16 << 24;

/// An error in Envoy's form.
pub(super) fn text(error: &Error) -> String {
    let (number, reason) = reason(error);
    let (bar, words) = match error {
        Error::InvalidCertificate(CertificateError::Other(other)) if is_usage(other) => ("", String::new()),
        Error::InvalidCertificate(error) => (":verify cert failed: ", verification_words(error)),
        Error::NoCertificatesPresented => {
            (":", "peer did not provide required client certificate".to_owned())
        }
        _ => ("", String::new()),
    };
    in_form(number, &format!("{reason}{bar}{words}"))
}

fn in_form(number: u32, reason: &str) -> String {
    format!("TLS_error:|{}:SSL routines:OPENSSL_internal:{reason}:TLS_error_end", LIBRARY + number)
}

/// The error if a client speaks HTTP instead of TLS.
pub(super) fn of_http(bytes: &[u8]) -> Option<String> {
    if [&b"GET "[..], b"POST ", b"HEAD ", b"PUT "].iter().any(|method| bytes.starts_with(method)) {
        return Some(in_form(156, "HTTP_REQUEST"));
    }
    bytes.starts_with(b"CONNE").then(|| in_form(155, "HTTPS_PROXY_REQUEST"))
}

/// Whether the key of a certificate is not for what it is used for, which BoringSSL does not take for a matter of trust.
fn is_usage(error: &OtherError) -> bool {
    matches!(error.0.downcast_ref::<Rejection>(), Some(Rejection::Usage))
}

/// BoringSSL's number and name of an error.
fn reason(error: &Error) -> (u32, &'static str) {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) if is_usage(other) => {
            (302, "KEY_USAGE_BIT_INCORRECT")
        }
        Error::InvalidCertificate(_) => (125, "CERTIFICATE_VERIFY_FAILED"),
        Error::NoCertificatesPresented => (192, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => (247, "WRONG_VERSION_NUMBER"),
        Error::InvalidMessage(_) => (137, "DECODE_ERROR"),
        Error::DecryptError => (139, "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"),
        Error::PeerSentOversizedRecord => (136, "DATA_LENGTH_TOO_LONG"),
        Error::NoApplicationProtocol => (307, "NO_APPLICATION_PROTOCOL"),
        Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoKxGroupsInCommon,
        ) => (184, "NO_SHARED_CIPHER"),
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ) => (240, "UNSUPPORTED_PROTOCOL"),
        Error::AlertReceived(alert) => alert_reason(*alert),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            (241, "UNEXPECTED_MESSAGE")
        }
        _ => (199, "PROTOCOL_ERROR"),
    }
}

fn alert_reason(alert: AlertDescription) -> (u32, &'static str) {
    let name = match alert {
        AlertDescription::UnexpectedMessage => "SSLV3_ALERT_UNEXPECTED_MESSAGE",
        AlertDescription::BadRecordMac => "SSLV3_ALERT_BAD_RECORD_MAC",
        AlertDescription::HandshakeFailure => "SSLV3_ALERT_HANDSHAKE_FAILURE",
        AlertDescription::BadCertificate => "SSLV3_ALERT_BAD_CERTIFICATE",
        AlertDescription::UnsupportedCertificate => "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        AlertDescription::CertificateRevoked => "SSLV3_ALERT_CERTIFICATE_REVOKED",
        AlertDescription::CertificateExpired => "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        AlertDescription::CertificateUnknown => "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        AlertDescription::IllegalParameter => "SSLV3_ALERT_ILLEGAL_PARAMETER",
        AlertDescription::UnknownCA => "TLSV1_ALERT_UNKNOWN_CA",
        AlertDescription::AccessDenied => "TLSV1_ALERT_ACCESS_DENIED",
        AlertDescription::DecodeError => "TLSV1_ALERT_DECODE_ERROR",
        AlertDescription::DecryptError => "TLSV1_ALERT_DECRYPT_ERROR",
        AlertDescription::ProtocolVersion => "TLSV1_ALERT_PROTOCOL_VERSION",
        AlertDescription::InsufficientSecurity => "TLSV1_ALERT_INSUFFICIENT_SECURITY",
        AlertDescription::InternalError => "TLSV1_ALERT_INTERNAL_ERROR",
        AlertDescription::UnrecognisedName => "TLSV1_ALERT_UNRECOGNIZED_NAME",
        AlertDescription::CertificateRequired => "TLSV1_ALERT_CERTIFICATE_REQUIRED",
        AlertDescription::NoApplicationProtocol => "TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
        _ => "TLSV1_ALERT",
    };
    // Numbers of alerts are theirs, from 1000 on.
    (1000 + u32::from(u8::from(alert)), name)
}

/// What is wrong with a certificate.
fn verification_words(error: &CertificateError) -> String {
    let words = match error {
        CertificateError::Expired => "certificate has expired",
        CertificateError::NotValidYet => "certificate is not yet valid",
        CertificateError::Revoked => "certificate revoked",
        CertificateError::UnknownIssuer => "unable to get local issuer certificate",
        CertificateError::UnknownRevocationStatus => "unable to get certificate CRL",
        CertificateError::ExpiredRevocationList => "CRL has expired",
        CertificateError::BadSignature => "certificate signature failure",
        CertificateError::InvalidPurpose => "unsupported certificate purpose",
        CertificateError::Other(other) => match other.0.downcast_ref::<Rejection>() {
            Some(rejection) => return rejection.to_string(),
            None => match other.0.downcast_ref() {
                Some(webpki::Error::MaximumPathDepthExceeded) => "certificate chain too long",
                Some(webpki::Error::UnsupportedCertVersion) => {
                    "it is of X.509 version 1, where 3 is required"
                }
                Some(webpki::Error::CaUsedAsEndEntity) => "it is that of an authority",
                Some(webpki::Error::UnsupportedCriticalExtension) => "unhandled critical extension",
                _ => &other.0.to_string(),
            },
        },
        other => &other.to_string(),
    };
    format!("X509_verify_cert: certificate verification error at depth 0: {words}")
}

/// Counts a failed handshake: as in Envoy, certificates that are refused are no errors of the connection.
pub(super) fn count(error: &Error, counters: &TlsStats, stats: &Block) {
    stats.inc(verification(error, counters).unwrap_or(counters.connection_error));
}

fn verification(error: &Error, counters: &TlsStats) -> Option<Counter> {
    match error {
        Error::NoCertificatesPresented => Some(counters.fail_verify_no_cert),
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            Some(match other.0.downcast_ref::<Rejection>() {
                Some(Rejection::Names(_)) => counters.fail_verify_san,
                Some(Rejection::Pins) => counters.fail_verify_cert_hash,
                Some(Rejection::Usage) => counters.connection_error,
                None => counters.fail_verify_error,
            })
        }
        Error::InvalidCertificate(_) => Some(counters.fail_verify_error),
        _ => None,
    }
}
