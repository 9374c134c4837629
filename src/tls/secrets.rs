//! Secrets: what TLS contexts refer to by name. Static ones stand in the bootstrap, others each in a file of its own,
//! which is watched like any file with a certificate (SDS without a server).

use super::material::{self, Files};
use super::stats::SdsStats;
use super::validation;
use crate::api::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use crate::api::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use crate::api::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, SdsSecretConfig, Secret, TlsCertificate, TlsSessionTicketKeys,
};
use crate::api::envoy::service::discovery::v3::DiscoveryResponse;
use crate::config::{Cx, Diagnostics, document, file};
use prost::Name;
use rustls::crypto::aws_lc_rs;
use std::collections::HashMap;

/// `static_resources.secrets`.
#[derive(Debug, Default)]
pub struct Secrets {
    /// By name; `None` for one that is wrong in itself: naming it is no further error.
    named: HashMap<String, Option<Type>>,
    /// There may be others, which could not be read.
    unknown: bool,
}

/// What a name was found to stand for.
pub(super) struct Found<T> {
    /// What it is.
    pub(super) value: T,
    /// If it is in a file: what is counted when it changes, and the whole.
    pub(super) fetched: Option<(SdsStats, Secret)>,
}

/// What a secret can be.
pub(super) trait Kind: Sized {
    /// For complaints.
    const FIELD: &'static str;
    /// If it is one.
    fn of(secret: Type) -> Option<Self>;
}

impl Kind for TlsCertificate {
    const FIELD: &'static str = "tls_certificate";
    fn of(secret: Type) -> Option<Self> {
        if let Type::TlsCertificate(certificate) = secret { Some(certificate) } else { None }
    }
}

impl Kind for CertificateValidationContext {
    const FIELD: &'static str = "validation_context";
    fn of(secret: Type) -> Option<Self> {
        if let Type::ValidationContext(context) = secret { Some(context) } else { None }
    }
}

impl Kind for TlsSessionTicketKeys {
    const FIELD: &'static str = "session_ticket_keys";
    fn of(secret: Type) -> Option<Self> {
        if let Type::SessionTicketKeys(keys) = secret { Some(keys) } else { None }
    }
}

impl Secrets {
    /// Compiles what stands in `static_resources`, also what nobody refers to.
    pub fn compile(protos: &[Secret], cx: &mut Cx<'_>) -> Self {
        let unknown = cx.is_broken(&["secrets"]);
        let mut secrets = Self { named: HashMap::new(), unknown };
        cx.each("secrets", protos, |cx, proto| {
            let name = cx.text("name", &proto.name);
            if proto.r#type.is_none() {
                cx.one_of(&["tls_certificate", "session_ticket_keys", "validation_context"]);
            }
            check(proto.r#type.as_ref(), cx);
            if let Some(name) = name {
                let kept = proto.r#type.clone().filter(|_| !cx.is_wrong());
                if secrets.named.insert(name.to_owned(), kept).is_some() {
                    cx.error_at("name", format!("there is another secret called `{name}`"));
                }
            }
            Some(())
        });
        secrets
    }

    /// What a reference stands for. `None` with a complaint, or after one about the secret itself.
    pub(super) fn find<T: Kind>(
        &self,
        proto: &SdsSecretConfig,
        files: &mut Files,
        cx: &mut Cx<'_>,
    ) -> Option<Found<T>> {
        let name = cx.text("name", &proto.name)?;
        let Some(source) = &proto.sds_config else {
            let found = match self.named.get(name) {
                Some(found) => found.clone()?,
                None if self.unknown => return None,
                None => {
                    cx.missing(&["sds_config"], format!("there is no secret called `{name}` in `static_resources.secrets`, and no `sds_config` that says where it is"));
                    return None;
                }
            };
            return kind(found, name, cx).map(|value| Found { value, fetched: None });
        };
        cx.field("sds_config", |cx| {
            let path = match &source.config_source_specifier {
                Some(ConfigSourceSpecifier::Path(path)) => cx.text("path", path),
                Some(ConfigSourceSpecifier::PathConfigSource(source)) => {
                    cx.field("path_config_source", |cx| {
                        cx.field("watched_directory", |cx| {
                            files.watch(source.watched_directory.as_ref(), cx)
                        });
                        cx.text("path", &source.path)
                    })
                }
                None => {
                    cx.one_of(&["path_config_source"]);
                    None
                }
            }?;
            files.files.push(path.into());
            let secret = in_file(path, name, cx)?;
            let value = kind(secret.r#type.clone()?, name, cx)?;
            let stats = SdsStats::register(cx.registry, &format!("sds.{name}."));
            Some(Found { value, fetched: Some((stats, secret)) })
        })
    }
}

/// Complains about what is wrong with a secret.
fn check(secret: Option<&Type>, cx: &mut Cx<'_>) {
    let mut files = Files::default();
    match secret {
        None => {}
        Some(Type::TlsCertificate(proto)) => {
            cx.field(TlsCertificate::FIELD, |cx| material::identity(proto, &mut files, cx));
        }
        Some(Type::ValidationContext(proto)) => {
            let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
            cx.field(CertificateValidationContext::FIELD, |cx| {
                // Names may be conditions on what another part of a combined context trusts.
                let proto = CertificateValidationContext {
                    match_typed_subject_alt_names: Vec::new(),
                    match_subject_alt_names: Vec::new(),
                    ..proto.clone()
                };
                validation::verifier(&proto, algorithms, &mut files, cx);
            });
        }
        Some(Type::SessionTicketKeys(proto)) => {
            cx.field(TlsSessionTicketKeys::FIELD, |cx| super::compile::ticket_keys(proto, cx));
        }
    }
}

fn kind<T: Kind>(found: Type, name: &str, cx: &mut Cx<'_>) -> Option<T> {
    let found = T::of(found);
    if found.is_none() {
        cx.error(format!("the secret `{name}` is no `{}`", T::FIELD));
    }
    found
}

/// The secret that a file has. As in Envoy it has one, of that name.
fn in_file(path: &str, name: &str, cx: &mut Cx<'_>) -> Option<Secret> {
    let text = match file(path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            cx.error(format!("{path} is not UTF-8"));
            return None;
        }
        Err(reason) => {
            cx.error(reason);
            return None;
        }
    };
    let mut diagnostics = Diagnostics::default();
    let response: DiscoveryResponse = document(path, &text, &mut diagnostics);
    for error in diagnostics.errors() {
        let (path, line, column) = &error.place;
        cx.error(format!("{path}:{line}:{column}: {}", error.message));
    }
    if !diagnostics.is_empty() {
        return None;
    }
    let [resource] = &response.resources[..] else {
        cx.error(format!(
            "{path} has {} `resources`: one is expected, the secret `{name}`",
            response.resources.len()
        ));
        return None;
    };
    let Some(secret) = cx.unpack::<Secret>(resource) else {
        cx.error(format!("{path} has a {} in place of a {}", resource.type_url, Secret::full_name()));
        return None;
    };
    if secret.name != name {
        cx.error(format!("the secret in {path} is called `{}`: `{name}` is expected", secret.name));
        return None;
    }
    if secret.r#type.is_none() {
        cx.error(format!("the secret in {path} is empty"));
    }
    Some(secret)
}
