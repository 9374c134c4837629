//! What contexts of listeners and of clusters have in common: where their settings come from, and what is done with them
//! while the process runs.

use super::certificate::Certificate;
use super::config::CommonSettings;
use super::material::{Files, Identity};
use super::secrets::Secrets;
use super::shared::Shared;
use super::stats::{FactoryStats, SdsStats, TlsStats};
use crate::api::envoy::extensions::transport_sockets::tls::v3::Secret;
use crate::config::{Cx, Diagnostics};
use crate::stats::{Block, Registry};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

/// What handshakes use, and what is told about it.
pub trait Settings: Debug + Send + Sync {
    /// What both sides have.
    fn common(&self) -> &CommonSettings;

    /// Our certificates.
    fn identities(&self) -> &[Arc<Identity>];

    /// When the first OCSP response that is sent gets old, in seconds since 1970.
    fn ocsp_until(&self) -> Option<i64> {
        None
    }

    /// Trusted authorities and where they come from.
    fn authorities(&self) -> &[(String, Certificate)] {
        &self.common().authorities
    }

    /// The files that were read, and the folders that are watched for them.
    fn files(&self) -> &Files {
        &self.common().files
    }

    /// The secrets that are in files, and when they were read.
    fn fetched(&self) -> &[(Secret, SystemTime)] {
        &self.common().fetched
    }
}

/// Settings of one side.
pub trait Compile: Settings + Sized + 'static {
    /// What they are compiled from, again whenever a file has changed.
    type Origin: Debug + Send + Sync;
    /// Where it is counted that secrets were read.
    const FACTORY: &'static str;

    /// Compiles what is configured and what is in files now; and says what is counted for secrets in files.
    fn compile(origin: &Self::Origin, cx: &mut Cx<'_>) -> Option<(Self, Vec<SdsStats>)>;
}

/// `DownstreamTlsContext` or `UpstreamTlsContext`.
#[derive(Debug)]
pub struct TlsContext<S: Compile> {
    /// Whose it is, for the log.
    name: String,
    pub(super) origin: S::Origin,
    /// What it may refer to by name.
    secrets: Arc<Secrets>,
    /// What is counted for those in files.
    sources: Vec<SdsStats>,
    pub(super) settings: Arc<Shared<S>>,
    pub(super) stats: TlsStats,
    factory: FactoryStats,
}

/// A context of either side, for the main thread.
pub trait Context: Debug + Send + Sync {
    /// Whose it is.
    fn name(&self) -> &str;

    /// What handshakes use now.
    fn settings(&self) -> Arc<dyn Settings>;

    /// What is counted for its secrets that are in files.
    fn sources(&self) -> &[SdsStats];

    /// Counts that secrets of it were read from files.
    fn count_update(&self, stats: &Block);

    /// Shows when certificates expire.
    fn show_expiry(&self, stats: &Block);

    /// Reads everything again.
    ///
    /// # Errors
    /// What is wrong; what was read before stays in use then.
    fn reload(&self) -> Result<(), Vec<String>>;
}

impl<S: Compile> TlsContext<S> {
    /// Compiles one. `scope` is where it counts, such as `cluster.app.`.
    pub(super) fn compile(origin: S::Origin, scope: &str, cx: &mut Cx<'_>) -> Option<Self> {
        let (settings, sources) = S::compile(&origin, cx)?;
        let common = settings.common();
        let mut ours: Vec<_> =
            settings.identities().iter().map(|identity| identity.secret.as_deref()).collect();
        ours.sort();
        ours.dedup();
        let theirs = common.authorities.first().map(|_| common.authority.as_deref());
        let names = [ours, theirs.into_iter().collect()];
        let stats = TlsStats::register(cx.registry, &format!("{scope}ssl."), names);
        Some(Self {
            name: scope.trim_end_matches('.').to_owned(),
            origin,
            secrets: Arc::clone(&cx.secrets),
            sources,
            settings: Arc::new(Shared::new(settings)),
            stats,
            factory: FactoryStats::register(cx.registry, &format!("{scope}{}", S::FACTORY)),
        })
    }
}

impl<S: Compile> Context for TlsContext<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn settings(&self) -> Arc<dyn Settings> {
        self.settings.get()
    }

    fn sources(&self) -> &[SdsStats] {
        &self.sources
    }

    fn count_update(&self, stats: &Block) {
        stats.inc(self.factory.ssl_context_update_by_sds);
    }

    fn show_expiry(&self, stats: &Block) {
        let settings = self.settings.get();
        let [ours, theirs] = &self.stats.expiration;
        let show = |gauge, certificate: &Certificate| {
            stats.set_gauge(gauge, certificate.facts().not_after.max(0) as u64);
        };
        for (name, gauge) in ours {
            if let Some(identity) = settings.identities().iter().find(|identity| identity.secret == *name) {
                show(*gauge, &identity.leaf);
            }
        }
        if let (Some((_, gauge)), Some((_, certificate))) = (theirs.first(), settings.authorities().first()) {
            show(*gauge, certificate);
        }
    }

    fn reload(&self) -> Result<(), Vec<String>> {
        // Apart from the rest of the configuration.
        let (mut diagnostics, mut registry) = (Diagnostics::default(), Registry::new());
        let mut cx = Cx::new(&mut diagnostics, &mut registry);
        cx.secrets = Arc::clone(&self.secrets);
        match S::compile(&self.origin, &mut cx).filter(|_| diagnostics.is_empty()) {
            Some((settings, _)) => {
                self.settings.set(settings);
                Ok(())
            }
            None => Err(diagnostics.errors().iter().map(|error| error.message.clone()).collect()),
        }
    }
}
