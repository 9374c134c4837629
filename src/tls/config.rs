//! The validated form of TLS contexts: what handshakes of a filter chain or of a cluster run on.
//!
//! A context lives as long as the configuration. What it has read from files is in its settings, which the main thread
//! replaces as a whole when a file has changed; a handshake keeps the settings that it has begun with.

use super::certificate::Certificate;
use super::context::{Compile, Settings, TlsContext};
use super::info::{Alpn, TlsInfo};
use super::material::{Files, Identity};
use super::params::{CIPHERS, GROUPS, VERSIONS};
use super::selector::Identities;
use super::shared::View;
use super::stats::{Negotiated, SdsStats, TlsStats};
use super::tickets::TicketKeys;
use super::trace::Trace;
use crate::api::envoy::extensions::transport_sockets::tls::v3::{
    DownstreamTlsContext, Secret, UpstreamTlsContext,
};
use crate::config::Cx;
use crate::network::Cidr;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, CommonState, Error, HandshakeKind, ProtocolVersion, ServerConfig};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::SystemTime;

/// `DownstreamTlsContext`.
pub type ServerContext = TlsContext<ServerSettings>;

/// `UpstreamTlsContext`.
pub type ClientContext = TlsContext<ClientSettings>;

/// What a context of a listener is compiled from.
#[derive(Debug)]
pub struct ServerOrigin {
    pub(super) proto: DownstreamTlsContext,
    /// They outlive changes of certificates.
    pub(super) keys: Option<Arc<TicketKeys>>,
}

/// What a context of a cluster is compiled from.
#[derive(Debug)]
pub struct ClientOrigin {
    pub(super) proto: UpstreamTlsContext,
    pub(super) options: ClientOptions,
}

/// What the rest of a cluster says about its TLS.
#[derive(Copy, Clone, Debug, Default)]
pub struct ClientOptions {
    /// The name that is asked for must be in the certificate.
    pub match_server_name: bool,
}

/// What handshakes with clients use.
#[derive(Debug)]
pub struct ServerSettings {
    /// With and without ALPN, with and without key log.
    pub(super) configs: Variants<ServerConfig>,
    pub(super) identities: Arc<Identities>,
    pub(super) common: CommonSettings,
}

/// What handshakes with hosts use.
#[derive(Debug)]
pub struct ClientSettings {
    pub(super) configs: Variants<ClientConfig>,
    pub(super) identity: Option<Arc<Identity>>,
    /// `sni`.
    pub(super) server_name: Option<ServerName<'static>>,
    pub(super) auto_host_sni: bool,
    pub(super) common: CommonSettings,
}

/// What both have.
#[derive(Debug)]
pub struct CommonSettings {
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) key_log: Option<KeyLogRanges>,
    /// Where the trusted authorities come from, and what they are.
    pub(super) authorities: Vec<(String, Certificate)>,
    /// The secret that they are, if it has a name.
    pub(super) authority: Option<String>,
    /// The secrets that were read from files, and when.
    pub(super) fetched: Vec<(Secret, SystemTime)>,
    /// A peer's certificate is checked.
    pub(super) validates: bool,
    pub(super) files: Files,
}

/// The same configuration in variants that are chosen for each connection.
#[derive(Debug)]
pub(super) struct Variants<C> {
    pub(super) plain: Arc<C>,
    pub(super) without_alpn: Arc<C>,
    pub(super) logged: Option<[Arc<C>; 2]>,
}

/// `TlsKeyLog`: whose secrets are written.
#[derive(Debug)]
pub(super) struct KeyLogRanges {
    pub(super) local: Vec<Cidr>,
    pub(super) remote: Vec<Cidr>,
}

impl<C> Variants<C> {
    pub(super) fn get(&self, alpn: bool, logged: bool) -> &Arc<C> {
        match (&self.logged, alpn) {
            (Some(both), _) if logged => &both[usize::from(!alpn)],
            (_, true) => &self.plain,
            (_, false) => &self.without_alpn,
        }
    }
}

impl CommonSettings {
    /// Whether the secrets of a connection between these addresses, ours and the peer's, are written.
    fn is_logged(&self, ends: impl FnOnce() -> [Option<IpAddr>; 2]) -> bool {
        let Some(ranges) = &self.key_log else { return false };
        let [local, remote] = ends();
        let within = |ranges: &[Cidr], address: Option<IpAddr>| {
            ranges.is_empty()
                || address.is_some_and(|address| ranges.iter().any(|range| range.contains(address)))
        };
        within(&ranges.local, local) && within(&ranges.remote, remote)
    }

    /// What a handshake has agreed on.
    fn info(
        &self,
        common: &CommonState,
        trace: Trace,
        local: Option<Arc<Identity>>,
        session_id: &[u8],
    ) -> (TlsInfo, Option<Negotiated>) {
        let (version, suite) = (common.protocol_version(), common.negotiated_cipher_suite());
        let negotiated = version.zip(suite).map(|(version, suite)| Negotiated {
            version,
            cipher: suite.suite(),
            group: common.negotiated_key_exchange_group().map(|group| group.name()),
            signature: trace.signature,
        });
        let session_id = if version == Some(ProtocolVersion::TLSv1_2) { session_id } else { &[] };
        let version = VERSIONS.iter().find(|(known, _)| Some(*known) == version);
        let cipher = CIPHERS.iter().find(|(known, _)| Some(*known) == suite.map(|suite| suite.suite()));
        let group = common.negotiated_key_exchange_group().map(|group| group.name());
        let group = GROUPS.iter().find(|(known, ..)| Some(*known) == group);
        let peer = common.peer_certificates().unwrap_or_default();
        let info = TlsInfo {
            version: version.map_or("", |(_, name)| name),
            cipher: cipher.map_or("", |(_, name)| name),
            group: group.map_or("", |(_, name, _)| name),
            alpn: common.alpn_protocol().map(Alpn::of),
            session_id: session_id.into(),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            peer: peer.iter().cloned().map(Certificate::new).collect(),
            validated: self.validates && !peer.is_empty(),
            local,
        };
        (info, negotiated)
    }
}

impl Settings for ServerSettings {
    fn common(&self) -> &CommonSettings {
        &self.common
    }

    fn identities(&self) -> &[Arc<Identity>] {
        self.identities.list()
    }

    fn ocsp_until(&self) -> Option<i64> {
        self.identities().iter().filter_map(|identity| identity.ocsp_until()).min()
    }
}

impl Compile for ServerSettings {
    type Origin = ServerOrigin;
    const FACTORY: &'static str = "server_ssl_socket_factory.";

    fn compile(origin: &ServerOrigin, cx: &mut Cx<'_>) -> Option<(Self, Vec<SdsStats>)> {
        super::compile::server_settings(&origin.proto, origin.keys.as_ref(), cx)
    }
}

impl Settings for ClientSettings {
    fn common(&self) -> &CommonSettings {
        &self.common
    }

    fn identities(&self) -> &[Arc<Identity>] {
        self.identity.as_slice()
    }
}

impl Compile for ClientSettings {
    type Origin = ClientOrigin;
    const FACTORY: &'static str = "client_ssl_socket_factory.";

    fn compile(origin: &ClientOrigin, cx: &mut Cx<'_>) -> Option<(Self, Vec<SdsStats>)> {
        super::compile::client_settings(&origin.proto, origin.options, cx)
    }
}

/// A worker's hold on the context of a filter chain.
#[derive(Clone, Debug)]
pub struct ServerTls {
    settings: View<ServerSettings>,
    stats: Arc<TlsStats>,
}

/// A worker's hold on the context of a cluster.
#[derive(Clone, Debug)]
pub struct ClientTls {
    settings: View<ClientSettings>,
    stats: Arc<TlsStats>,
    /// The name that a request is for must be in the certificate.
    match_wanted: bool,
}

/// What the handshake with one client uses.
#[derive(Debug)]
pub(crate) struct ServerStart {
    config: Arc<ServerConfig>,
    settings: Arc<ServerSettings>,
}

/// What a connection to a host is begun with.
#[derive(Debug)]
pub struct Approach {
    pub(super) name: Option<ServerName<'static>>,
    /// Offered if the context does not say what is.
    pub(super) protocols: &'static [&'static str],
}

/// What the handshake with one host uses.
#[derive(Debug)]
pub(crate) struct ClientStart {
    config: Arc<ClientConfig>,
    approach: Approach,
    settings: Arc<ClientSettings>,
}

impl ServerTls {
    /// On a context.
    pub fn new(context: &ServerContext) -> Self {
        Self { settings: View::new(&context.settings), stats: Arc::new(context.stats.clone()) }
    }

    /// Where it counts.
    pub(crate) fn counters(&self) -> Arc<TlsStats> {
        Arc::clone(&self.stats)
    }

    /// Begins a handshake. `accepts` says whether the client speaks one of some protocols; as in Envoy one that does not
    /// gets a connection on which none is agreed on.
    pub(crate) fn start(
        &mut self,
        accepts: impl FnOnce(&[Vec<u8>]) -> bool,
        ends: impl FnOnce() -> [Option<IpAddr>; 2],
    ) -> ServerStart {
        let settings = Arc::clone(self.settings.current());
        let alpn = settings.common.alpn.is_empty() || accepts(&settings.common.alpn);
        let config = Arc::clone(settings.configs.get(alpn, settings.common.is_logged(ends)));
        ServerStart { config, settings }
    }
}

impl ServerStart {
    /// A connection that waits for its ClientHello.
    pub(crate) fn accept(&self) -> Result<UnbufferedServerConnection, Error> {
        UnbufferedServerConnection::new(Arc::clone(&self.config))
    }

    /// What the handshake has agreed on.
    pub(crate) fn info(
        &self,
        common: &CommonState,
        trace: Trace,
        session_id: &[u8],
    ) -> (TlsInfo, Option<Negotiated>) {
        let local = trace.identity.and_then(|at| self.settings.identities.list().get(at)).map(Arc::clone);
        self.settings.common.info(common, trace, local, session_id)
    }
}

impl ClientTls {
    /// On a context.
    pub fn new(context: &ClientContext) -> Self {
        let stats = Arc::new(context.stats.clone());
        let match_wanted = context.origin.options.match_server_name;
        Self { settings: View::new(&context.settings), stats, match_wanted }
    }

    /// Where it counts.
    pub(crate) fn counters(&self) -> Arc<TlsStats> {
        Arc::clone(&self.stats)
    }

    /// How to begin with an endpoint. It is asked for `wanted`, or for its own name, or for what is configured; and offered
    /// `protocols` unless others are configured.
    ///
    /// # Errors
    /// If what is wanted is not a name and would have to be in the certificate.
    pub(crate) fn approach(
        &mut self,
        wanted: Option<&str>,
        hostname: &str,
        protocols: &'static [&'static str],
    ) -> Result<Approach, String> {
        let name = match wanted {
            None => self.server_name(hostname),
            Some(wanted) => match ServerName::try_from(wanted) {
                Ok(name @ ServerName::DnsName(_)) => Some(name.to_owned()),
                // An address is never asked for, but can be in a certificate.
                Ok(name) if self.match_wanted && name != nameless() => Some(name.to_owned()),
                _ if self.match_wanted => return Err("TLS: the request is for no host".to_owned()),
                _ => self.server_name(hostname),
            },
        };
        Ok(Approach { name, protocols })
    }

    /// The name to ask an endpoint for: what is configured, or its own.
    fn server_name(&mut self, hostname: &str) -> Option<ServerName<'static>> {
        let settings = self.settings.current();
        if settings.auto_host_sni && !hostname.is_empty() {
            let name = ServerName::try_from(hostname.to_owned()).ok();
            return name.filter(|name| matches!(name, ServerName::DnsName(_)));
        }
        settings.server_name.clone()
    }

    /// Begins a handshake.
    pub(crate) fn start(
        &mut self,
        approach: Approach,
        ends: impl FnOnce() -> [Option<IpAddr>; 2],
    ) -> ClientStart {
        let settings = Arc::clone(self.settings.current());
        let config = Arc::clone(settings.configs.get(true, settings.common.is_logged(ends)));
        ClientStart { config, approach, settings }
    }
}

impl ClientStart {
    /// A connection that is about to send its ClientHello.
    pub(crate) fn connect(&self) -> Result<UnbufferedClientConnection, Error> {
        let Approach { name, protocols } = &self.approach;
        let name = name.clone().unwrap_or_else(nameless);
        if self.settings.common.alpn.is_empty() {
            let protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
            return UnbufferedClientConnection::new_with_alpn(Arc::clone(&self.config), name, protocols);
        }
        UnbufferedClientConnection::new(Arc::clone(&self.config), name)
    }

    /// What the handshake has agreed on.
    pub(crate) fn info(
        &self,
        common: &CommonState,
        trace: Trace,
        session_id: &[u8],
    ) -> (TlsInfo, Option<Negotiated>) {
        let local = self.settings.identity.clone();
        self.settings.common.info(common, trace, local, session_id)
    }
}

/// What rustls is told where no name is asked for: addresses are not sent.
pub(super) fn nameless() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into())
}
