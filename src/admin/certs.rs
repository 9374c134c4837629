//! `/certs`: the certificates in use, ours and those of authorities, of each TLS context.

use super::{Query, Reply, View};
use crate::tls::{Certificate, Identity};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// `/certs`.
pub(super) fn certs(view: &View<'_>, _: &Query) -> Reply {
    let settings = view.snapshot.tls().map(|context| context.settings());
    let contexts: Vec<_> =
        settings.map(|settings| entry(settings.identities(), settings.authorities())).collect();
    Reply::json(&json!({"certificates": contexts}))
}

/// `envoy.admin.v3.Certificate`.
fn entry(identities: &[Arc<Identity>], authorities: &[(String, Certificate)]) -> Value {
    let own: Vec<_> = identities.iter().map(ours).collect();
    let theirs: Vec<_> = authorities.iter().map(|(path, certificate)| details(path, certificate)).collect();
    json!({"ca_cert": theirs, "cert_chain": own})
}

/// One of ours, with what its OCSP response says of itself.
fn ours(identity: &Arc<Identity>) -> Value {
    let mut details = details(&identity.path, &identity.leaf);
    if let Some(validity) = identity.ocsp {
        let expiration = validity.until.map(time).unwrap_or_default();
        details["ocsp_details"] = json!({"valid_from": time(validity.from), "expiration": expiration});
    }
    details
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// `envoy.admin.v3.CertificateDetails`.
fn details(path: &str, certificate: &Certificate) -> Value {
    let facts = certificate.facts();
    let names = &facts.names;
    let kinds = [("dns", &names.dns), ("uri", &names.uri), ("ip_address", &names.ip)];
    let names: Vec<_> = kinds
        .into_iter()
        .flat_map(|(kind, names)| names.iter().map(move |name| json!({kind: name})))
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
    let days = (facts.not_after - now).max(0) / 86400;
    json!({
        "path": path,
        "serial_number": facts.serial,
        "subject_alt_names": names,
        "days_until_expiration": days.to_string(),
        "valid_from": time(facts.not_before),
        "expiration_time": time(facts.not_after),
    })
}
