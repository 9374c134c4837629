//! `DownstreamTlsContext` and `UpstreamTlsContext` to contexts.
//!
//! Everything that the configuration says, and everything in the files that it names, is checked here, so that a
//! handshake can only fail because of the peer.

use super::certificate::{Certificate, Facts};
use super::config::{
    ClientContext, ClientOptions, ClientSettings, CommonSettings, KeyLogRanges, ServerContext,
    ServerSettings, Variants,
};
use super::key_log::KeyLogFile;
use super::material::{self, Files, Identity};
use super::params::{GROUPS, TLS12_SUITES, TLS13_SUITES};
use super::selector::{Identities, OcspPolicy};
use super::sessions::Sessions;
use super::shared::Shared;
use super::stats::TlsStats;
use super::tickets::{KEY_LENGTH, TicketKeys, Tickets};
use super::validation;
use super::verifier::Verifier;
use crate::api::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use crate::api::envoy::extensions::transport_sockets::tls::v3::downstream_tls_context::{
    OcspStaplePolicy, SessionTicketKeysType,
};
use crate::api::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use crate::api::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, TlsKeyLog, TlsParameters, TlsSessionTicketKeys,
    UpstreamTlsContext,
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
use std::time::Duration;

/// How long a session can be resumed when the configuration does not say.
const SESSION_TIMEOUT: Duration = Duration::from_secs(7200);
/// Sessions kept for clients that know no tickets.
const STATEFUL_SESSIONS: usize = 1024;

/// Compiles the TLS of a filter chain. `scope` is where it counts, such as `listener.127.0.0.1_443.`.
pub fn server(proto: &DownstreamTlsContext, scope: &str, cx: &mut Cx<'_>) -> Option<ServerContext> {
    let keys = match &proto.session_ticket_keys_type {
        Some(SessionTicketKeysType::SessionTicketKeys(keys)) => {
            cx.field("session_ticket_keys", |cx| ticket_keys(keys, cx)).map(Arc::new)
        }
        Some(SessionTicketKeysType::DisableStatelessSessionResumption(true)) => None,
        _ => Some(Arc::new(TicketKeys::automatic())),
    };
    let settings = server_settings(proto, keys.as_ref(), cx)?;
    let with = [true, !settings.common.authorities.is_empty()];
    Some(ServerContext {
        name: scope.trim_end_matches('.').to_owned(),
        proto: proto.clone(),
        keys,
        settings: Arc::new(Shared::new(settings)),
        stats: TlsStats::register(cx.registry, &format!("{scope}ssl."), with),
    })
}

/// Compiles the TLS of a cluster. `scope` is where it counts, such as `cluster.app.`.
pub fn client(
    proto: &UpstreamTlsContext,
    options: ClientOptions,
    scope: &str,
    cx: &mut Cx<'_>,
) -> Option<ClientContext> {
    let settings = client_settings(proto, options, cx)?;
    let with = [settings.identity.is_some(), !settings.common.authorities.is_empty()];
    Some(ClientContext {
        name: scope.trim_end_matches('.').to_owned(),
        proto: proto.clone(),
        options,
        settings: Arc::new(Shared::new(settings)),
        stats: TlsStats::register(cx.registry, &format!("{scope}ssl."), with),
    })
}

/// What handshakes with clients use, read now.
pub(super) fn server_settings(
    proto: &DownstreamTlsContext,
    keys: Option<&Arc<TicketKeys>>,
    cx: &mut Cx<'_>,
) -> Option<ServerSettings> {
    let mandatory = proto.require_client_certificate.unwrap_or(false);
    let lifetime = cx.duration("session_timeout", proto.session_timeout.as_ref(), SESSION_TIMEOUT);
    let nothing = CommonTlsContext::default();
    let common = cx.required("common_tls_context", &proto.common_tls_context).unwrap_or(&nothing);
    let Common { provider, versions, identities, verifier, settings, key_log } =
        cx.field("common_tls_context", |cx| self::common(common, mandatory, false, TlsProtocol::TlSv13, cx))?;
    if common.tls_certificates.is_empty() {
        cx.field("common_tls_context", |cx| {
            cx.missing(
                &["tls_certificates"],
                "`tls_certificates` is required: a listener needs a certificate",
            );
        });
    }
    let policy = match proto.ocsp_staple_policy() {
        OcspStaplePolicy::LenientStapling => OcspPolicy::Lenient,
        OcspStaplePolicy::StrictStapling => OcspPolicy::Strict,
        OcspStaplePolicy::MustStaple => OcspPolicy::Must,
    };
    check_staples(&identities, policy, cx);
    if identities.is_empty() || !cx.is_clean() {
        return None;
    }
    let context = context(proto, &identities, &settings);
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
    Some(ServerSettings { configs, identities, common: settings })
}

/// What handshakes with hosts use, read now.
pub(super) fn client_settings(
    proto: &UpstreamTlsContext,
    options: ClientOptions,
    cx: &mut Cx<'_>,
) -> Option<ClientSettings> {
    if proto.allow_renegotiation {
        cx.error_at("allow_renegotiation", "renegotiation is not safe, and never allowed");
    }
    let nothing = CommonTlsContext::default();
    let common = proto.common_tls_context.as_ref().unwrap_or(&nothing);
    let match_server_name = options.match_server_name || proto.auto_sni_san_validation;
    let Common { provider, versions, mut identities, verifier, settings, key_log } = cx
        .field("common_tls_context", |cx| {
            self::common(common, false, match_server_name, TlsProtocol::TlSv12, cx)
        })?;
    if common.tls_certificates.len() > 1 {
        cx.field("common_tls_context", |cx| {
            cx.error_at("tls_certificates", "a cluster has at most one certificate");
        });
    }
    if proto.auto_sni_san_validation && verifier.authorities.is_none() {
        cx.error_at(
            "auto_sni_san_validation",
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
    Some(ClientSettings { configs, identity, server_name, auto_host_sni, common: settings })
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
    settings: CommonSettings,
    key_log: Option<Arc<KeyLogFile>>,
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
    let identities = cx.each("tls_certificates", &proto.tls_certificates, |cx, certificate| {
        material::identity(certificate, &mut files, cx).map(Arc::new)
    });
    let validation = proto.validation_context_type.as_ref();
    let validation = validation.map(|ValidationContextType::ValidationContext(context)| context.clone());
    let (mut verifier, authorities) = cx.field("validation_context", |cx| {
        validation::verifier(
            &validation.unwrap_or_default(),
            provider.signature_verification_algorithms,
            &mut files,
            cx,
        )
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
    let settings = CommonSettings { alpn, key_log: ranges, authorities, validates, files };
    Some(Common { provider, versions, identities, verifier, settings, key_log })
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
        GROUPS.iter().take(2).map(|(.., group)| *group).collect()
    } else {
        groups
    };
    (provider, versions)
}

/// One entry of `cipher_suites`: a suite, or several equal ones as `[A|B]`; also joined by colons.
fn cipher_suites(text: &str, cx: &mut Cx<'_>) -> Option<Vec<rustls::SupportedCipherSuite>> {
    let mut found = Vec::new();
    for name in text.split(['[', '|', ']', ':']).map(str::trim).filter(|name| !name.is_empty()) {
        match TLS12_SUITES.iter().find(|(short, long, _)| *short == name || *long == name) {
            Some((.., suite)) => found.push(*suite),
            None => {
                let known: Vec<_> = TLS12_SUITES.iter().map(|(short, ..)| *short).collect();
                cx.error(format!("`{name}` is not supported; supported here: {}", known.join(", ")));
            }
        }
    }
    if found.is_empty() {
        cx.error("there is no cipher suite in it");
    }
    Some(found)
}

fn ticket_keys(proto: &TlsSessionTicketKeys, cx: &mut Cx<'_>) -> Option<TicketKeys> {
    if proto.keys.is_empty() {
        cx.missing(&["keys"], "`keys` is required");
    }
    // They are not read again: whoever changes keys wants to decide which of them encrypts.
    let mut files = Files::default();
    let keys = cx.each("keys", &proto.keys, |cx, source| {
        let bytes = files.read(source, cx)?;
        let key = <[u8; KEY_LENGTH]>::try_from(&bytes[..]).map_err(|_| {
            cx.error(format!(
                "a key has {KEY_LENGTH} bytes (openssl rand {KEY_LENGTH}), this one has {}",
                bytes.len()
            ));
        });
        key.ok()
    });
    TicketKeys::configured(&keys)
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
    let common = proto.common_tls_context.as_ref().and_then(|common| common.validation_context_type.as_ref());
    if let Some(ValidationContextType::ValidationContext(validation)) = common {
        add(&validation.encode_to_vec());
    }
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
