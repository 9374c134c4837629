//! What a certificate says: names, serial number, validity, fingerprints, in the forms that Envoy shows.
//!
//! Our own certificates are looked into when the configuration is loaded; a peer's only if somebody asks (a log, a
//! header), since most connections are never asked about.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::OnceLock;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// A certificate.
#[derive(Debug)]
pub struct Certificate {
    der: CertificateDer<'static>,
    facts: OnceLock<Facts>,
}

/// What it says. Empty where it cannot be understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// As RFC 2253 writes names.
    pub subject: String,
    /// The same.
    pub issuer: String,
    /// The first common name.
    pub common_name: String,
    /// In hex.
    pub serial: String,
    /// Alternative names.
    pub names: Names,
    /// Its key may be used for signatures.
    pub may_sign: bool,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
}

/// Alternative names, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// DNS names.
    pub dns: Vec<String>,
    /// URIs.
    pub uri: Vec<String>,
    /// Mail addresses.
    pub email: Vec<String>,
    /// IP addresses.
    pub ip: Vec<String>,
}

impl Certificate {
    /// From its DER form.
    pub fn new(der: CertificateDer<'static>) -> Self {
        Self { der, facts: OnceLock::new() }
    }

    /// Its DER form.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// What it says.
    pub fn facts(&self) -> &Facts {
        self.facts.get_or_init(|| Facts::of(&self.der).unwrap_or_default())
    }

    /// What it says of whom it stands for: URI names, DNS names, the subject.
    pub fn principals(&self) -> impl Iterator<Item = &str> {
        let Facts { names, subject, .. } = self.facts();
        names.uri.iter().chain(&names.dns).chain([subject]).map(String::as_str)
    }

    /// SHA-256 of the DER form, in hex.
    pub fn fingerprint_256(&self) -> String {
        hex(digest(&SHA256, &self.der).as_ref())
    }

    /// SHA-1 of the DER form, in hex.
    pub fn fingerprint_1(&self) -> String {
        hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der).as_ref())
    }

    /// Appends the PEM form, encoded for URLs as Envoy does it.
    pub fn write_url_pem(&self, out: &mut Vec<u8>) {
        for byte in self.pem().bytes() {
            match byte {
                b'\n' => out.extend_from_slice(b"%0A"),
                b' ' => out.extend_from_slice(b"%20"),
                b'+' => out.extend_from_slice(b"%2B"),
                b'/' => out.extend_from_slice(b"%2F"),
                b'=' => out.extend_from_slice(b"%3D"),
                other => out.push(other),
            }
        }
    }

    /// As PEM.
    pub fn pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        let mut pem = String::with_capacity(text.len() + text.len() / 64 + 60);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = &text[..];
        while !rest.is_empty() {
            // Base64 is ASCII: every place is a character's.
            let (line, next) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = next;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
}

impl Facts {
    /// What a certificate in DER says; `None` if it cannot be understood.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let common_name = certificate.subject().iter_common_name().next();
        let serial = certificate.raw_serial();
        let zeros = serial.iter().take_while(|byte| **byte == 0).count().min(serial.len().saturating_sub(1));
        Some(Self {
            subject: name(certificate.subject()),
            issuer: name(certificate.issuer()),
            common_name: common_name.and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned(),
            serial: hex(&serial[zeros..]),
            names: Names::of(&certificate),
            may_sign: certificate
                .key_usage()
                .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.digital_signature())),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }
}

/// The public key of a certificate in DER, as `SubjectPublicKeyInfo`; `None` if it cannot be understood.
pub(super) fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.tbs_certificate.subject_pki.raw.to_vec())
}

impl Names {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let Ok(Some(extension)) = certificate.subject_alternative_name() else { return names };
        for general in &extension.value.general_names {
            match general {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::URI(uri) => names.uri.push((*uri).to_owned()),
                GeneralName::RFC822Name(address) => names.email.push((*address).to_owned()),
                GeneralName::IPAddress(bytes) => names.ip.extend(ip(bytes)),
                _ => {}
            }
        }
        names
    }
}

fn ip(bytes: &[u8]) -> Option<String> {
    let address: IpAddr = match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok()?.into(),
        16 => <[u8; 16]>::try_from(bytes).ok()?.into(),
        _ => return None,
    };
    Some(address.to_string())
}

/// Bytes in lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into memory does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A name in the form of RFC 2253: the last part first.
fn name(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut text = String::new();
    for part in parts.iter().rev() {
        if !text.is_empty() {
            text.push(',');
        }
        for (at, attribute) in part.iter().enumerate() {
            if at > 0 {
                text.push('+');
            }
            write_attribute(attribute, &mut text);
        }
    }
    text
}

/// Short names of attributes, as OpenSSL and its kin write them.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.46", "dnQualifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

fn write_attribute(attribute: &AttributeTypeAndValue<'_>, text: &mut String) {
    let oid = attribute.attr_type().to_id_string();
    let short = ATTRIBUTES.iter().find(|(id, _)| *id == oid).map(|(_, short)| *short);
    text.push_str(short.unwrap_or(&oid));
    text.push('=');
    match attribute.as_str() {
        Ok(value) if short.is_some() => escape(value, text),
        _ => {
            text.push('#');
            text.push_str(&hex(attribute.attr_value().data).to_ascii_uppercase());
        }
    }
}

/// RFC 2253 section 2.4; what is not printable ASCII byte by byte.
fn escape(value: &str, text: &mut String) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        let special = matches!(byte, b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';')
            || (byte == b'#' && at == 0)
            || (byte == b' ' && (at == 0 || at == last));
        if special {
            text.push('\\');
            text.push(char::from(byte));
        } else if (0x20..0x7f).contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing into memory does not fail.
            let _ = write!(text, "\\{byte:02X}");
        }
    }
}
