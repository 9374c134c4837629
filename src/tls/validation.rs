//! `CertificateValidationContext` to a [`Verifier`].

use super::certificate::Certificate;
use super::compile::listed;
use super::material::{Files, certificates, origin, revocation_lists, warn_if_expired};
use super::san::{SanKind, SanMatch};
use super::verifier::{Authorities, Verifier};
use crate::api::envoy::extensions::transport_sockets::tls::v3::certificate_validation_context::TrustChainVerification;
use crate::api::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use crate::api::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, SubjectAltNameMatcher,
};
use crate::config::Cx;
use crate::router::compile::string_match;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::DistinguishedName;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use webpki::{CertRevocationList, OwnedCertRevocationList, anchor_from_trusted_cert};

/// Where systems keep the authorities that they trust.
const SYSTEM_ROOTS: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cert.pem",
];

/// Compiles a validation context; also gives the authorities that it trusts, and where they come from.
pub(super) fn verifier(
    proto: &CertificateValidationContext,
    algorithms: WebPkiSupportedAlgorithms,
    files: &mut Files,
    cx: &mut Cx<'_>,
) -> (Verifier, Vec<(String, Certificate)>) {
    cx.field("watched_directory", |cx| files.watch(proto.watched_directory.as_ref(), cx));
    let mut trusted: Vec<CertificateDer<'static>> = Vec::new();
    let mut lists = Vec::new();
    let mut shown = Vec::new();
    if let Some(source) = &proto.trusted_ca {
        cx.field("trusted_ca", |cx| {
            let from = origin(Some(source));
            let Some(pem) = files.read(source, cx) else { return };
            if let Some(found) = certificates(&pem, &from, cx) {
                shown.extend(listed(&from, &found));
                trusted.extend(found);
                // CRLs may stand among the certificates.
                lists.extend(self::lists(revocation_lists(&pem, &from, false, cx), &from, cx));
            }
        });
    }
    if proto.system_root_certs.is_some() {
        cx.field("system_root_certs", |cx| trusted.extend(system_roots(cx)));
    }
    if let Some(source) = &proto.crl {
        cx.field("crl", |cx| {
            let from = origin(Some(source));
            if let Some(pem) = files.read(source, cx) {
                lists.extend(self::lists(revocation_lists(&pem, &from, true, cx), &from, cx));
            }
        });
        if proto.trusted_ca.is_none() && proto.system_root_certs.is_none() {
            cx.error_at("crl", "a CRL means nothing without a `trusted_ca`");
        }
    }
    let with_authorities = proto.trusted_ca.is_some() || proto.system_root_certs.is_some();
    let mut names =
        cx.each("match_typed_subject_alt_names", &proto.match_typed_subject_alt_names, |cx, matcher| {
            typed_name(matcher, cx)
        });
    names.extend(cx.each("match_subject_alt_names", &proto.match_subject_alt_names, |cx, matcher| {
        Some(SanMatch { kind: None, test: string_match(matcher, cx)? })
    }));
    if !names.is_empty() && !with_authorities {
        cx.error("conditions on names mean nothing without a `trusted_ca`: anybody can make a certificate with any name");
    }
    let verifier = Verifier {
        authorities: with_authorities.then(|| authorities(trusted, cx)),
        lists,
        leaf_only: proto.only_verify_leaf_cert_crl,
        allow_expired: proto.allow_expired_certificate,
        depth: depth(proto, cx),
        accept_untrusted: proto.trust_chain_verification() == TrustChainVerification::AcceptUntrusted,
        key_pins: cx.each("verify_certificate_spki", &proto.verify_certificate_spki, |cx, text| {
            let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
            if bytes.is_none() {
                cx.error(format!("`{text}` is no SHA-256 hash in base64"));
            }
            bytes
        }),
        pins: cx.each("verify_certificate_hash", &proto.verify_certificate_hash, |cx, text| {
            let bytes = from_hex(text);
            if bytes.is_none() {
                cx.error(format!("`{text}` is no SHA-256 hash in hex, with or without colons"));
            }
            bytes
        }),
        names,
        match_server_name: false,
        mandatory: false,
        algorithms,
    };
    for (path, certificate) in &shown {
        warn_if_expired(certificate, path);
    }
    (verifier, shown)
}

/// `max_verify_depth`.
fn depth(proto: &CertificateValidationContext, cx: &mut Cx<'_>) -> Option<usize> {
    let depth = proto.max_verify_depth?;
    if depth > 100 {
        cx.error_at("max_verify_depth", format!("{depth} is out of range: 0 to 100"));
    }
    // Envoy takes 0 for 1.
    Some(depth.max(1) as usize)
}

fn authorities(trusted: Vec<CertificateDer<'static>>, cx: &mut Cx<'_>) -> Authorities {
    let mut anchors = Vec::with_capacity(trusted.len());
    for certificate in &trusted {
        match anchor_from_trusted_cert(certificate) {
            Ok(anchor) => anchors.push(anchor.to_owned()),
            Err(error) => {
                cx.error_at(
                    "trusted_ca",
                    format!("a certificate in it cannot be used as an authority: {error}"),
                );
            }
        }
    }
    let subjects = anchors.iter().map(|anchor| DistinguishedName::in_sequence(&anchor.subject)).collect();
    Authorities { anchors, certificates: trusted, subjects }
}

fn system_roots(cx: &mut Cx<'_>) -> Vec<CertificateDer<'static>> {
    for path in SYSTEM_ROOTS {
        let Ok(pem) = std::fs::read(path) else { continue };
        // One that cannot be read is not trusted, and no reason not to trust the others.
        let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .flatten()
            .filter(|certificate| anchor_from_trusted_cert(certificate).is_ok())
            .collect();
        if !found.is_empty() {
            return found;
        }
    }
    cx.error(format!("this system has no trusted certificates in any of {}", SYSTEM_ROOTS.join(", ")));
    Vec::new()
}

fn lists(
    found: Vec<CertificateRevocationListDer<'static>>,
    from: &str,
    cx: &mut Cx<'_>,
) -> Vec<CertRevocationList<'static>> {
    let mut lists = Vec::with_capacity(found.len());
    for list in found {
        match OwnedCertRevocationList::from_der(&list) {
            Ok(list) => lists.push(CertRevocationList::from(list)),
            Err(webpki::Error::UnsupportedCrlVersion) => cx.error(format!(
                "a CRL in {from} is of version 1: only version 2 can be used (with OpenSSL: crl_extensions and crlnumber)"
            )),
            Err(error) => cx.error(format!("a CRL in {from} cannot be used: {error}")),
        }
    }
    lists
}

fn typed_name(proto: &SubjectAltNameMatcher, cx: &mut Cx<'_>) -> Option<SanMatch> {
    let kind = match proto.san_type() {
        SanType::Dns => Some(SanKind::Dns),
        SanType::Uri => Some(SanKind::Uri),
        SanType::Email => Some(SanKind::Email),
        SanType::IpAddress => Some(SanKind::Ip),
        SanType::Unspecified => {
            cx.missing(&["san_type"], "`san_type` is required: EMAIL, DNS, URI or IP_ADDRESS");
            None
        }
    };
    let matcher = cx.required("matcher", &proto.matcher)?;
    let test = cx.field("matcher", |cx| string_match(matcher, cx))?;
    kind.map(|kind| SanMatch { kind: Some(kind), test })
}

/// A hash in hex, with or without colons.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
