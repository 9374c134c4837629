//! Certificates and keys: from the configuration, or the files that it names, to what handshakes need.
//!
//! Runs on the main thread, when the configuration is loaded and again when a file has changed. What is wrong is
//! complained about at the field that it came from.

use super::certificate::{Certificate, public_key};
use super::encrypted;
use super::ocsp::Validity;
use crate::api::envoy::config::core::v3::{DataSource, WatchedDirectory, data_source::Specifier};
use crate::api::envoy::extensions::transport_sockets::tls::v3::TlsCertificate;
use crate::config::{Cx, watched_data};
use rustls::SignatureAlgorithm;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The files that something was read from, and the folders that are watched for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Read again when one of them is replaced or written.
    pub files: Vec<PathBuf>,
    /// Read again when something is moved into one of them.
    pub folders: Vec<PathBuf>,
}

/// A certificate of ours.
#[derive(Debug)]
pub struct Identity {
    /// What handshakes use.
    pub key: Arc<CertifiedKey>,
    /// The certificate itself.
    pub leaf: Arc<Certificate>,
    /// Those that lead from it to a root.
    pub chain: Vec<Certificate>,
    /// Where it came from: a path, or `<inline>`.
    pub path: String,
    /// The secret that it is, if it has a name.
    pub secret: Option<String>,
    /// When the OCSP response is true, if there is one.
    pub ocsp: Option<Validity>,
}

impl Identity {
    /// When the OCSP response ends to be true, in seconds since 1970, if it says so.
    pub fn ocsp_until(&self) -> Option<i64> {
        self.ocsp?.until
    }

    /// Whether its key is not an RSA key.
    pub fn is_elliptic(&self) -> bool {
        self.key.key.algorithm() != SignatureAlgorithm::RSA
    }
}

impl Files {
    /// Reads a data source and remembers its file.
    pub(super) fn read(&mut self, source: &DataSource, cx: &mut Cx<'_>) -> Option<Vec<u8>> {
        if let Some(Specifier::Filename(path)) = &source.specifier {
            self.files.push(path.into());
        }
        cx.field("watched_directory", |cx| self.watch(source.watched_directory.as_ref(), cx));
        watched_data(source, cx)
    }

    /// Remembers a folder.
    pub(super) fn watch(&mut self, folder: Option<&WatchedDirectory>, cx: &mut Cx<'_>) {
        let Some(folder) = folder else { return };
        if let Some(path) = cx.text("path", &folder.path) {
            if !std::path::Path::new(path).is_dir() {
                cx.error_at("path", format!("{path} is not a folder"));
            }
            self.folders.push(path.into());
        }
    }
}

/// Where a data source takes its bytes from, for people.
pub(super) fn origin(source: Option<&DataSource>) -> String {
    match source.and_then(|source| source.specifier.as_ref()) {
        Some(Specifier::Filename(path)) => path.clone(),
        Some(Specifier::EnvironmentVariable(name)) => format!("<environment variable {name}>"),
        _ => "<inline>".to_owned(),
    }
}

/// Certificates in PEM: at least one. `from` says where it was found.
pub(super) fn certificates(pem: &[u8], from: &str, cx: &mut Cx<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        match certificate {
            Ok(certificate) => found.push(certificate),
            Err(error) => {
                cx.error(format!("cannot read the certificates in {from}: {}", pem_error(&error)));
                return None;
            }
        }
    }
    if found.is_empty() {
        cx.error(format!("there is no certificate in {from}: it must be in PEM, between -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----"));
        return None;
    }
    Some(found)
}

/// Revocation lists in PEM; `required` if there must be one.
pub(super) fn revocation_lists(
    pem: &[u8],
    from: &str,
    required: bool,
    cx: &mut Cx<'_>,
) -> Vec<CertificateRevocationListDer<'static>> {
    let mut found = Vec::new();
    for list in CertificateRevocationListDer::pem_slice_iter(pem) {
        match list {
            Ok(list) => found.push(list),
            Err(error) => cx.error(format!("cannot read the CRLs in {from}: {}", pem_error(&error))),
        }
    }
    if required && found.is_empty() {
        cx.error(format!("there is no CRL in {from}: it must be in PEM, between -----BEGIN X509 CRL----- and -----END X509 CRL-----"));
    }
    found
}

fn pem_error(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::MissingSectionEnd { end_marker } => {
            format!("it ends before -----END {}-----", String::from_utf8_lossy(end_marker))
        }
        Error::IllegalSectionStart { line } => {
            format!("`{}` is no beginning of a PEM section", String::from_utf8_lossy(line))
        }
        Error::Base64Decode(_) => "the PEM is not valid base64".to_owned(),
        Error::NoItemsFound => "there is nothing in PEM".to_owned(),
        other => other.to_string(),
    }
}

/// One of our certificates with its key.
pub(super) fn identity(proto: &TlsCertificate, files: &mut Files, cx: &mut Cx<'_>) -> Option<Identity> {
    cx.field("watched_directory", |cx| files.watch(proto.watched_directory.as_ref(), cx));
    let chain = cx.required("certificate_chain", &proto.certificate_chain);
    let chain = chain.and_then(|source| {
        cx.field("certificate_chain", |cx| certificates(&files.read(source, cx)?, &origin(Some(source)), cx))
    });
    let key = cx.required("private_key", &proto.private_key);
    let key = key.and_then(|source| cx.field("private_key", |cx| files.read(source, cx)));
    let password = proto.password.as_ref();
    let password = password.map(|source| cx.field("password", |cx| files.read(source, cx)));
    let key = key.and_then(|pem| {
        let from = origin(proto.private_key.as_ref());
        match password {
            // What is wrong with it has been complained about.
            Some(None) => None,
            Some(Some(password)) => {
                cx.field("private_key", |cx| private_key(&pem, Some(&password), &from, cx))
            }
            None => cx.field("private_key", |cx| private_key(&pem, None, &from, cx)),
        }
    });
    let ocsp =
        proto.ocsp_staple.as_ref().and_then(|source| cx.field("ocsp_staple", |cx| ocsp(source, files, cx)));
    let (chain, key) = (chain?, key?);
    let (key_path, path) = (origin(proto.private_key.as_ref()), origin(proto.certificate_chain.as_ref()));
    let mut certified = CertifiedKey::new(chain.clone(), key);
    let validity = ocsp.as_ref().map(|(_, validity)| *validity);
    certified.ocsp = ocsp.map(|(response, _)| response);
    let Some(public_key) = public_key(chain.first()?) else {
        cx.error_at(
            "certificate_chain",
            format!("the first certificate in {path} cannot be used: it is malformed"),
        );
        return None;
    };
    if certified.key.public_key().is_some_and(|key| key.as_ref() != public_key) {
        cx.error_at(
            "private_key",
            format!("the private key in {key_path} does not belong to the certificate in {path}"),
        );
        return None;
    }
    let mut chain = chain.into_iter().map(Certificate::new);
    let leaf = Arc::new(chain.next()?);
    if !leaf.facts().may_sign {
        cx.error_at(
            "certificate_chain",
            format!(
                "the first certificate in {path} cannot be used: its key usage does not allow signatures"
            ),
        );
        return None;
    }
    warn_if_expired(&leaf, &path);
    Some(Identity {
        key: Arc::new(certified),
        leaf,
        chain: chain.collect(),
        path,
        secret: None,
        ocsp: validity,
    })
}

/// Says so if a certificate is of no use any more, or not yet.
pub(super) fn warn_if_expired(certificate: &Certificate, path: &str) {
    let facts = certificate.facts();
    if facts.not_after < now() {
        log::warn!("the certificate of '{}' in {path} has expired", facts.subject);
    } else if facts.not_before > now() {
        log::warn!("the certificate of '{}' in {path} is not valid yet", facts.subject);
    }
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64)
}

fn private_key(
    pem: &[u8],
    password: Option<&[u8]>,
    from: &str,
    cx: &mut Cx<'_>,
) -> Option<Arc<dyn rustls::sign::SigningKey>> {
    if pem.windows(PROC_TYPE.len()).any(|window| window == PROC_TYPE) {
        cx.error(format!(
            "the private key in {from} is encrypted in a form that is not supported: convert it to PKCS#8 (openssl pkcs8 -topk8)"
        ));
        return None;
    }
    let key = match (encrypted::is_there(pem), password) {
        (true, None) => {
            cx.error(format!("the private key in {from} is encrypted: a `password` is required"));
            return None;
        }
        (true, Some(password)) => match encrypted::decrypt(pem, password) {
            Ok(der) => Ok(PrivateKeyDer::Pkcs8(der.into())),
            Err(reason) => {
                cx.error(format!("cannot decrypt the private key in {from}: {reason}"));
                return None;
            }
        },
        (false, _) => PrivateKeyDer::from_pem_slice(pem),
    };
    let key = match key {
        Ok(key) => key,
        Err(rustls::pki_types::pem::Error::NoItemsFound) => {
            cx.error(format!(
                "there is no private key in {from}: it must be in PEM, as PKCS#8, PKCS#1 or SEC1"
            ));
            return None;
        }
        Err(error) => {
            cx.error(format!("cannot read the private key in {from}: {}", pem_error(&error)));
            return None;
        }
    };
    match any_supported_type(&key) {
        Ok(key) => Some(key),
        Err(_) => {
            cx.error(format!(
                "the private key in {from} cannot be used: it must be an RSA key of 2048 to 8192 bits, an ECDSA key on \
                 P-256, P-384 or P-521, or an Ed25519 key"
            ));
            None
        }
    }
}

const PROC_TYPE: &[u8] = b"Proc-Type: 4,ENCRYPTED";

/// An OCSP response, and when it is true.
fn ocsp(source: &DataSource, files: &mut Files, cx: &mut Cx<'_>) -> Option<(Vec<u8>, Validity)> {
    if let Some(Specifier::InlineString(_)) = source.specifier {
        cx.error_at("inline_string", "an OCSP response is in DER: `filename` or `inline_bytes` is required");
        return None;
    }
    let response = files.read(source, cx)?;
    match super::ocsp::validity(&response) {
        Ok(validity) => Some((response, validity)),
        Err(reason) => {
            cx.error(format!("{} is no OCSP response that can be used: {reason}", origin(Some(source))));
            None
        }
    }
}
