//! `DownstreamTlsContext` and `UpstreamTlsContext` to contexts.
//!
//! Everything that the configuration says, and everything in the files that it names, is checked here, so that a
//! handshake can only fail because of the peer.

use super::certificate::{Certificate, Facts};
use super::config::{
    ClientContext, ClientOptions, ClientOrigin, ClientSettings, CommonSettings, KeyLogRanges, ServerContext,
    ServerOrigin, ServerSettings, Variants,
};
use super::context::Context;
use super::key_log::KeyLogFile;
use super::material::{self, Files, Identity};
use super::params::{GROUPS, TLS12_SUITES, TLS13_SUITES};
use super::secrets::Found;
use super::selector::{Identities, OcspPolicy};
use super::sessions::Sessions;
use super::stats::SdsStats;
use super::tickets::{KEY_LENGTH, TicketKeys, Tickets};
use super::validation;
use super::verifier::Verifier;
use crate::api::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use crate::api::envoy::extensions::transport_sockets::tls::v3::downstream_tls_context::{
    OcspStaplePolicy, SessionTicketKeysType,
};
use crate::api::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use crate::api::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, TlsCertificate,
    TlsKeyLog, TlsParameters, TlsSessionTicketKeys, UpstreamTlsContext,
};
use crate::config::Cx;
use crate::network::Cidr;
use ::aws_lc_rs::digest;
use prost::Message;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, KeyLog, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long a session can be resumed when the configuration does not say.
const SESSION_TIMEOUT: Duration = Duration::from_secs(7200);
/// Sessions kept for clients that know no tickets.
const STATEFUL_SESSIONS: usize = 1024;

/// Compiles the TLS of a filter chain. `scope` is where it counts, such as `listener.127.0.0.1_443.`.
pub fn server(proto: &DownstreamTlsContext, scope: &str, cx: &mut Cx<'_>) -> Option<ServerContext> {
    let keys = match &proto.session_ticket_keys_type {
        Some(SessionTicketKeysType::SessionTicketKeys(keys)) => {
            cx.field("session_ticket_keys", |cx| TicketKeys::configured(&ticket_keys(keys, cx))).map(Arc::new)
        }
        Some(SessionTicketKeysType::DisableStatelessSessionResumption(true)) => None,
        // Those in a file come with everything else that is read.
        Some(SessionTicketKeysType::SessionTicketKeysSdsSecretConfig(named))
            if named.sds_config.is_some() =>
        {
            Some(Arc::new(TicketKeys::empty()))
        }
        Some(SessionTicketKeysType::SessionTicketKeysSdsSecretConfig(named)) => cx
            .field("session_ticket_keys_sds_secret_config", |cx| {
                let secrets = Arc::clone(&cx.secrets);
                let found = secrets.find(named, &mut Files::default(), cx)?;
                TicketKeys::configured(&ticket_keys(&found.value, cx))
            })
            .map(Arc::new),
        _ => Some(Arc::new(TicketKeys::automatic())),
    };
    let context = ServerContext::compile(ServerOrigin { proto: proto.clone(), keys }, scope, cx)?;
    if context.settings().common().validates && proto.require_client_certificate.is_none() {
        log::warn!(
            "{}: clients without a certificate are let in; say so with `require_client_certificate`",
            context.name()
        );
    }
    Some(context)
}

/// Compiles the TLS of a cluster. `scope` is where it counts, such as `cluster.app.`.
pub fn client(
    proto: &UpstreamTlsContext,
    options: ClientOptions,
    scope: &str,
    cx: &mut Cx<'_>,
) -> Option<ClientContext> {
    let context = ClientContext::compile(ClientOrigin { proto: proto.clone(), options }, scope, cx)?;
    if !context.settings().common().validates {
        log::warn!(
            "{}: hosts are not verified, since there is no `validation_context` that says how",
            context.name()
        );
    }
    Some(context)
}

/// What handshakes with clients use, read now.
pub(super) fn server_settings(
    proto: &DownstreamTlsContext,
    keys: Option<&Arc<TicketKeys>>,
    cx: &mut Cx<'_>,
) -> Option<(ServerSettings, Vec<SdsStats>)> {
    let mandatory = proto.require_client_certificate.unwrap_or(false);
    let lifetime = cx.duration("session_timeout", proto.session_timeout.as_ref(), SESSION_TIMEOUT);
    if u32::try_from(lifetime.as_secs()).is_err() {
        cx.error_at("session_timeout", "must be below 4294967296s");
    }
    let nothing = CommonTlsContext::default();
    let common = cx.required("common_tls_context", &proto.common_tls_context).unwrap_or(&nothing);
    let Common { provider, versions, identities, verifier, validation, mut settings, key_log, mut sources } =
        cx.field("common_tls_context", |cx| self::common(common, mandatory, false, TlsProtocol::TlSv13, cx))?;
    if common.tls_certificates.is_empty() && common.tls_certificate_sds_secret_configs.is_empty() {
        cx.field("common_tls_context", |cx| {
            cx.missing(
                &["tls_certificates", "tls_certificate_sds_secret_configs"],
                "`tls_certificates` or `tls_certificate_sds_secret_configs` is required: a listener needs a certificate",
            );
        });
    }
    let fresh_keys = match &proto.session_ticket_keys_type {
        Some(SessionTicketKeysType::SessionTicketKeysSdsSecretConfig(named))
            if named.sds_config.is_some() =>
        {
            cx.field("session_ticket_keys_sds_secret_config", |cx| {
                let secrets = Arc::clone(&cx.secrets);
                let found = secrets.find(named, &mut settings.files, cx)?;
                if let Some((stats, secret)) = found.fetched {
                    sources.push(stats);
                    settings.fetched.push((secret, SystemTime::now()));
                }
                Some(ticket_keys(&found.value, cx))
            })
        }
        _ => None,
    };
    let policy = match proto.ocsp_staple_policy() {
        OcspStaplePolicy::LenientStapling => OcspPolicy::Lenient,
        OcspStaplePolicy::StrictStapling => OcspPolicy::Strict,
        OcspStaplePolicy::MustStaple => OcspPolicy::Must,
    };
    check_staples(&identities, policy, cx);
    if identities.is_empty() || !cx.is_clean() {
        return None;
    }
    let context = context(proto, &identities, &validation, &settings);
    let full_scan = proto.full_scan_certs_on_sni_mismatch.unwrap_or(false);
    let identities = Arc::new(Identities::new(identities, full_scan, policy));
    let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&versions);
    let builder = match builder {
        Ok(builder) => builder,
        Err(error) => {
            cx.error_at("common_tls_context", format!("these parameters do not go together: {error}"));
            return None;
        }
    };
    let asks = mandatory || verifier.checks();
    let verifier = if asks { Arc::new(verifier) } else { WebPkiClientVerifier::no_client_auth() };
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(&identities) as Arc<dyn rustls::server::ResolvesServerCert>);
    config.enable_secret_extraction = true;
    let listed = common.tls_params.as_ref().is_some_and(|params| !params.cipher_suites.is_empty());
    config.ignore_client_order = listed && !proto.prefer_client_ciphers;
    config.session_storage = if proto.disable_stateful_session_resumption {
        Arc::new(NoServerSessionStorage {})
    } else {
        ServerSessionMemoryCache::new(STATEFUL_SESSIONS)
    };
    match keys {
        Some(keys) => config.ticketer = Arc::new(Tickets::new(Arc::clone(keys), context, lifetime)),
        None if proto.disable_stateful_session_resumption => config.send_tls13_tickets = 0,
        None => {}
    }
    config.alpn_protocols = settings.alpn.clone();
    let configs =
        Variants::of(config, key_log, |config| &mut config.alpn_protocols, |config| &mut config.key_log);
    if let (Some(keys), Some(fresh)) = (keys, fresh_keys) {
        keys.replace(&fresh);
    }
    Some((ServerSettings { configs, identities, common: settings }, sources))
}

/// What handshakes with hosts use, read now.
pub(super) fn client_settings(
    proto: &UpstreamTlsContext,
    options: ClientOptions,
    cx: &mut Cx<'_>,
) -> Option<(ClientSettings, Vec<SdsStats>)> {
    if proto.allow_renegotiation {
        cx.error_at("allow_renegotiation", "renegotiation is not safe, and never allowed");
    }
    if proto.enforce_rsa_key_usage == Some(false) {
        cx.error_at(
            "enforce_rsa_key_usage",
            "what the key of a certificate may be used for is always respected",
        );
    }
    let nothing = CommonTlsContext::default();
    let common = proto.common_tls_context.as_ref().unwrap_or(&nothing);
    let match_server_name = options.match_server_name || proto.auto_sni_san_validation;
    let Common { provider, versions, mut identities, verifier, settings, key_log, sources, .. } = cx
        .field("common_tls_context", |cx| {
            self::common(common, false, match_server_name, TlsProtocol::TlSv12, cx)
        })?;
    for (field, count) in [
        ("tls_certificates", common.tls_certificates.len()),
        ("tls_certificate_sds_secret_configs", common.tls_certificate_sds_secret_configs.len()),
    ] {
        if count > 1 {
            cx.field("common_tls_context", |cx| cx.error_at(field, "a cluster has at most one certificate"));
        }
    }
    if match_server_name && verifier.authorities.is_none() {
        let field =
            if proto.auto_sni_san_validation { "auto_sni_san_validation" } else { "common_tls_context" };
        cx.error_at(
            field,
            "names mean nothing without a `validation_context` with a `trusted_ca` in `common_tls_context`",
        );
    }
    let server_name = match &proto.sni[..] {
        "" => None,
        name => match ServerName::try_from(name.to_owned()) {
            Ok(name @ ServerName::DnsName(_)) => Some(name),
            _ => {
                cx.error_at("sni", format!("`{name}` is not a host name"));
                None
            }
        },
    };
    if !cx.is_clean() {
        return None;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&versions);
    let builder = match builder {
        Ok(builder) => builder,
        Err(error) => {
            cx.error_at("common_tls_context", format!("these parameters do not go together: {error}"));
            return None;
        }
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let identity = identities.pop();
    let mut config = match &identity {
        Some(identity) => {
            let key = SingleCertAndKey::from(rustls::sign::CertifiedKey::clone(&identity.key));
            builder.with_client_cert_resolver(Arc::new(key))
        }
        None => builder.with_no_client_auth(),
    };
    config.enable_secret_extraction = true;
    config.resumption = match proto.max_session_keys.unwrap_or(1) {
        0 => Resumption::disabled(),
        most => Resumption::store(Arc::new(Sessions::new(most as usize))),
    };
    config.alpn_protocols = settings.alpn.clone();
    let configs =
        Variants::of(config, key_log, |config| &mut config.alpn_protocols, |config| &mut config.key_log);
    let auto_host_sni = proto.auto_host_sni;
    Some((ClientSettings { configs, identity, server_name, auto_host_sni, common: settings }, sources))
}

impl<C: Clone> Variants<C> {
    fn of(
        config: C,
        key_log: Option<Arc<KeyLogFile>>,
        alpn: impl Fn(&mut C) -> &mut Vec<Vec<u8>>,
        log: impl Fn(&mut C) -> &mut Arc<dyn KeyLog>,
    ) -> Self {
        let mut bare = config.clone();
        alpn(&mut bare).clear();
        let logged = key_log.map(|file| {
            [&config, &bare].map(|config| {
                let mut config = config.clone();
                *log(&mut config) = Arc::clone(&file) as Arc<dyn KeyLog>;
                Arc::new(config)
            })
        });
        Self { plain: Arc::new(config), without_alpn: Arc::new(bare), logged }
    }
}

/// What both kinds of context have in common.
struct Common {
    provider: CryptoProvider,
    versions: Vec<&'static SupportedProtocolVersion>,
    identities: Vec<Arc<Identity>>,
    verifier: Verifier,
    validation: CertificateValidationContext,
    settings: CommonSettings,
    key_log: Option<Arc<KeyLogFile>>,
    /// Secrets that are in files.
    sources: Vec<SdsStats>,
}

fn common(
    proto: &CommonTlsContext,
    mandatory: bool,
    match_server_name: bool,
    newest: TlsProtocol,
    cx: &mut Cx<'_>,
) -> Option<Common> {
    let mut files = Files::default();
    let params = proto.tls_params.clone().unwrap_or_default();
    let (provider, versions) = cx.field("tls_params", |cx| parameters(&params, newest, cx));
    let secrets = Arc::clone(&cx.secrets);
    let mut fetched = Vec::new();
    let mut identities = cx.each("tls_certificates", &proto.tls_certificates, |cx, certificate| {
        material::identity(certificate, &mut files, cx).map(Arc::new)
    });
    let named = &proto.tls_certificate_sds_secret_configs;
    if !proto.tls_certificates.is_empty() && !named.is_empty() {
        cx.error_at(
            "tls_certificate_sds_secret_configs",
            "certificates stand in `tls_certificates` or here, not in both",
        );
    }
    identities.extend(cx.each("tls_certificate_sds_secret_configs", named, |cx, named| {
        let Found { value, fetched: one } = secrets.find::<TlsCertificate>(named, &mut files, cx)?;
        fetched.extend(one);
        let mut identity = cx.field("tls_certificate", |cx| material::identity(&value, &mut files, cx))?;
        identity.secret = Some(named.name.clone());
        Some(Arc::new(identity))
    }));
    let mut find = |named: &SdsSecretConfig, cx: &mut Cx<'_>| {
        let found = secrets.find::<CertificateValidationContext>(named, &mut files, cx);
        let Found { value, fetched: one } = found?;
        fetched.extend(one);
        Some(value)
    };
    const NAMED: &str = "validation_context_sds_secret_config";
    let (place, validation, authority) = match &proto.validation_context_type {
        None => ("validation_context", Some(CertificateValidationContext::default()), None),
        Some(ValidationContextType::ValidationContext(context)) => {
            ("validation_context", Some(context.clone()), None)
        }
        Some(ValidationContextType::ValidationContextSdsSecretConfig(named)) => {
            (NAMED, cx.field(NAMED, |cx| find(named, cx)), Some(&named.name))
        }
        Some(ValidationContextType::CombinedValidationContext(both)) => {
            let merged = cx.field("combined_validation_context", |cx| {
                let default = cx.required("default_validation_context", &both.default_validation_context);
                let named = cx.required(NAMED, &both.validation_context_sds_secret_config);
                let found = named.and_then(|named| cx.field(NAMED, |cx| find(named, cx)));
                let mut merged = default?.clone();
                merged.merge(&found?.encode_to_vec()[..]).expect("just encoded with the same schema");
                Some(merged)
            });
            let named = both.validation_context_sds_secret_config.as_ref().map(|named| &named.name);
            // Secrets are checked where they stand: what is wrong here is wrong in what is added to them.
            ("combined_validation_context.default_validation_context", merged, named)
        }
    };
    // What is missing has been complained about.
    let validation = validation.unwrap_or_default();
    let (mut verifier, authorities) = cx.field(place, |cx| {
        validation::verifier(&validation, provider.signature_verification_algorithms, &mut files, cx)
    });
    verifier.mandatory = mandatory;
    verifier.match_server_name = match_server_name;
    let alpn = cx.each("alpn_protocols", &proto.alpn_protocols, |cx, name| {
        if name.is_empty() || name.len() > 255 {
            cx.error("a protocol's name has 1 to 255 bytes");
            return None;
        }
        Some(name.clone().into_bytes())
    });
    let key_log = proto.key_log.as_ref().and_then(|log| cx.field("key_log", |cx| key_log(log, cx)));
    let (ranges, key_log) = key_log.unzip();
    let validates = verifier.checks() && !verifier.accept_untrusted;
    let authority = authority.cloned();
    let now = SystemTime::now();
    let (sources, secrets) = fetched.into_iter().map(|(stats, secret)| (stats, (secret, now))).unzip();
    let settings =
        CommonSettings { alpn, key_log: ranges, authorities, authority, validates, files, fetched: secrets };
    Some(Common { provider, versions, identities, verifier, validation, settings, key_log, sources })
}

/// `TlsParameters`; `newest` is the newest version if it does not say.
fn parameters(
    proto: &TlsParameters,
    newest: TlsProtocol,
    cx: &mut Cx<'_>,
) -> (CryptoProvider, Vec<&'static SupportedProtocolVersion>) {
    let least = match proto.tls_minimum_protocol_version() {
        TlsProtocol::TlsAuto => TlsProtocol::TlSv12,
        version => version,
    };
    let most = match proto.tls_maximum_protocol_version() {
        TlsProtocol::TlsAuto => newest.max(least),
        version => version,
    };
    if most < least {
        cx.error_at("tls_maximum_protocol_version", "it is older than `tls_minimum_protocol_version`");
    }
    let known =
        [(TlsProtocol::TlSv13, &rustls::version::TLS13), (TlsProtocol::TlSv12, &rustls::version::TLS12)];
    let within = |version: TlsProtocol| least <= version && version <= most;
    let versions =
        known.into_iter().filter(|(version, _)| within(*version)).map(|(_, version)| version).collect();
    let mut provider = aws_lc_rs::default_provider();
    let mut suites = TLS13_SUITES.to_vec();
    let listed = cx.each("cipher_suites", &proto.cipher_suites, |cx, text| cipher_suites(text, cx));
    if proto.cipher_suites.is_empty() {
        suites.extend(TLS12_SUITES.iter().map(|(.., suite)| *suite));
    } else {
        suites.extend(listed.into_iter().flatten());
    }
    provider.cipher_suites = suites;
    let groups = cx.each("ecdh_curves", &proto.ecdh_curves, |cx, name| {
        let found = GROUPS.iter().find(|(_, known, _)| known == name);
        if found.is_none() {
            let known: Vec<_> = GROUPS.iter().map(|(_, known, _)| *known).collect();
            cx.error(format!("`{name}` is not supported; supported here: {}", known.join(", ")));
        }
        found.map(|(.., group)| *group)
    });
    provider.kx_groups = if proto.ecdh_curves.is_empty() {
        GROUPS.iter().take(3).map(|(.., group)| *group).collect()
    } else {
        groups
    };
    (provider, versions)
}

/// One entry of `cipher_suites`: a suite, or several equal ones as `[A|B]`; also joined by colons.
fn cipher_suites(text: &str, cx: &mut Cx<'_>) -> Option<Vec<rustls::SupportedCipherSuite>> {
    let mut found = Vec::new();
    let mut empty = true;
    for name in text.split(['[', '|', ']', ':']).map(str::trim).filter(|name| !name.is_empty()) {
        empty = false;
        match TLS12_SUITES.iter().find(|(short, long, _)| *short == name || *long == name) {
            Some((.., suite)) => found.push(*suite),
            None => {
                let known: Vec<_> = TLS12_SUITES.iter().map(|(short, ..)| *short).collect();
                cx.error(format!("`{name}` is not supported; supported here: {}", known.join(", ")));
            }
        }
    }
    if empty {
        cx.error("there is no cipher suite in it");
    }
    Some(found)
}

/// The keys themselves.
pub(super) fn ticket_keys(proto: &TlsSessionTicketKeys, cx: &mut Cx<'_>) -> Vec<[u8; KEY_LENGTH]> {
    if proto.keys.is_empty() {
        cx.missing(&["keys"], "`keys` is required");
    }
    // They are not read again: whoever changes keys wants to decide which of them encrypts.
    let mut files = Files::default();
    cx.each("keys", &proto.keys, |cx, source| {
        let bytes = files.read(source, cx)?;
        let key = <[u8; KEY_LENGTH]>::try_from(&bytes[..]).map_err(|_| {
            cx.error(format!(
                "a key has {KEY_LENGTH} bytes (openssl rand {KEY_LENGTH}), this one has {}",
                bytes.len()
            ));
        });
        key.ok()
    })
}

fn key_log(proto: &TlsKeyLog, cx: &mut Cx<'_>) -> Option<(KeyLogRanges, Arc<KeyLogFile>)> {
    let path = cx.text("path", &proto.path)?;
    let local =
        cx.each("local_address_range", &proto.local_address_range, |cx, range| Cidr::compile(range, cx));
    let remote =
        cx.each("remote_address_range", &proto.remote_address_range, |cx, range| Cidr::compile(range, cx));
    match KeyLogFile::open(path) {
        Ok(file) => Some((KeyLogRanges { local, remote }, Arc::new(file))),
        Err(error) => {
            cx.error_at("path", format!("cannot open {path}: {error}"));
            None
        }
    }
}

/// What the policy about OCSP responses demands of the certificates.
fn check_staples(identities: &[Arc<Identity>], policy: OcspPolicy, cx: &mut Cx<'_>) {
    if policy != OcspPolicy::Must {
        return;
    }
    cx.field("common_tls_context", |cx| {
        for (at, identity) in identities.iter().enumerate() {
            if identity.key.ocsp.is_none() {
                cx.error_at(
                    &format!("tls_certificates[{at}]"),
                    "`ocsp_staple_policy: MUST_STAPLE` requires an `ocsp_staple`",
                );
            }
        }
    });
}

/// What tells the sessions of a context from those of others: who we are and what is demanded of clients. New
/// certificates with the same names leave it as it is.
fn context(
    proto: &DownstreamTlsContext,
    identities: &[Arc<Identity>],
    validation: &CertificateValidationContext,
    settings: &CommonSettings,
) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut add = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for identity in identities {
        let Facts { subject, issuer, names, .. } = identity.leaf.facts();
        add(subject.as_bytes());
        add(issuer.as_bytes());
        for name in [&names.dns, &names.uri, &names.email, &names.ip].into_iter().flatten() {
            add(name.as_bytes());
        }
    }
    for (_, authority) in &settings.authorities {
        add(authority.der());
    }
    for protocol in &settings.alpn {
        add(protocol);
    }
    add(&[u8::from(proto.require_client_certificate.unwrap_or(false))]);
    add(&validation.encode_to_vec());
    let mut context = [0; 32];
    context.copy_from_slice(hash.finish().as_ref());
    context
}

/// Certificates for `/certs`, with where they come from.
pub(super) fn listed(
    path: &str,
    certificates: &[rustls::pki_types::CertificateDer<'static>],
) -> Vec<(String, Certificate)> {
    certificates.iter().map(|der| (path.to_owned(), Certificate::new(der.clone()))).collect()
}
