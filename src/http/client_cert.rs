//! `x-forwarded-client-cert`: what is told of the certificate of the client, and what of those of clients before it.

use super::forwarding::append_to_list;
use crate::tls::TlsInfo;
use nuncio_codec::{HeaderId, HeaderMap};
use std::io::Write;

/// `forward_client_cert_details` and `set_current_client_cert_details`.
#[derive(Clone, Debug, Default)]
pub struct ClientCert {
    /// What becomes of the header.
    pub mode: ClientCertMode,
    /// What is told besides our own URI names and the hash of the certificate, in this order.
    pub details: Vec<ClientCertDetail>,
}

/// `HttpConnectionManager.ForwardClientCertDetails`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientCertMode {
    /// Taken out.
    #[default]
    Sanitize,
    /// Left as it is if the client has a certificate.
    ForwardOnly,
    /// Appended to if the client has a certificate.
    AppendForward,
    /// Set to what is known of the client's certificate.
    SanitizeSet,
    /// Left as it is.
    AlwaysForwardOnly,
}

/// A part of `SetCurrentClientCertDetails`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ClientCertDetail {
    /// The certificate.
    Cert,
    /// It and those that lead from it to a root.
    Chain,
    /// Its subject.
    Subject,
    /// Its URI names.
    Uri,
    /// Its DNS names.
    Dns,
}

impl ClientCert {
    /// Makes the header what it is to be upstream.
    pub(super) fn apply(&self, headers: &mut HeaderMap, tls: Option<&TlsInfo>) {
        if self.mode == ClientCertMode::AlwaysForwardOnly {
            return;
        }
        let known = tls.filter(|tls| !tls.peer.is_empty());
        let (Some(tls), true) = (known, self.mode != ClientCertMode::Sanitize) else {
            headers.remove(HeaderId::X_FORWARDED_CLIENT_CERT);
            return;
        };
        match self.mode {
            ClientCertMode::AppendForward => {
                append_to_list(headers, HeaderId::X_FORWARDED_CLIENT_CERT, b",", &self.element(tls));
            }
            ClientCertMode::SanitizeSet => {
                headers.set(HeaderId::X_FORWARDED_CLIENT_CERT, &self.element(tls));
            }
            _ => {}
        }
    }

    fn element(&self, tls: &TlsInfo) -> Vec<u8> {
        let mut text = Vec::with_capacity(256);
        let Some(certificate) = tls.peer_certificate() else { return text };
        // Writing into memory does not fail.
        if let Some(identity) = &tls.local {
            for uri in &identity.leaf.facts().names.uri {
                let _ = write!(text, "By={uri};");
            }
        }
        let _ = write!(text, "Hash={}", certificate.fingerprint_256());
        let facts = certificate.facts();
        for detail in &self.details {
            match detail {
                ClientCertDetail::Cert => {
                    text.extend_from_slice(b";Cert=\"");
                    certificate.write_url_pem(&mut text);
                    text.push(b'"');
                }
                ClientCertDetail::Chain => {
                    text.extend_from_slice(b";Chain=\"");
                    tls.peer.iter().for_each(|certificate| certificate.write_url_pem(&mut text));
                    text.push(b'"');
                }
                ClientCertDetail::Subject => {
                    let _ = write!(text, ";Subject=\"{}\"", facts.subject);
                }
                ClientCertDetail::Uri if facts.names.uri.is_empty() => text.extend_from_slice(b";URI="),
                ClientCertDetail::Uri => {
                    for uri in &facts.names.uri {
                        let _ = write!(text, ";URI={uri}");
                    }
                }
                ClientCertDetail::Dns => {
                    for name in &facts.names.dns {
                        let _ = write!(text, ";DNS={name}");
                    }
                }
            }
        }
        // A name in a certificate may hold anything; a header may not.
        text.retain(|byte| *byte >= 0x20 && *byte != 0x7f);
        text
    }
}
