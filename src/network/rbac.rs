//! `envoy.filters.network.rbac`: closes connections that policies do not allow.
//!
//! As in Envoy it judges when the client has sent something, not when it connects: the filters behind it have started
//! by then, and an upstream that speaks first has been heard.

use crate::api::envoy::extensions::filters::network::rbac::v3 as proto;
use crate::config::Cx as ConfigCx;
use crate::io::Cx;
use crate::rbac::{self, Rules, Subject};
use crate::stats::{Counter, Registry};
use std::sync::Arc;
use std::time::Duration;

/// `envoy.extensions.filters.network.rbac.v3.RBAC`.
#[derive(Debug)]
pub struct RbacConfig {
    rules: Option<Rules>,
    shadow: Option<Rules>,
    /// Judges whenever bytes come, not only at first.
    continuous: bool,
    /// How long a connection that is not allowed is left open.
    delay: Option<Duration>,
    stats: RbacStats,
}

/// `<stat_prefix>rbac.`
#[derive(Copy, Clone, Debug)]
struct RbacStats {
    allowed: Counter,
    denied: Counter,
    shadow_allowed: Counter,
    shadow_denied: Counter,
}

impl RbacStats {
    fn register(registry: &mut Registry, prefix: &str, shadow: &str) -> Self {
        let prefix = format!("{}rbac.", dotted(prefix));
        let shadow = dotted(shadow);
        let mut counter = |name: String| registry.counter(&name);
        Self {
            allowed: counter(format!("{prefix}allowed")),
            denied: counter(format!("{prefix}denied")),
            shadow_allowed: counter(format!("{prefix}{shadow}shadow_allowed")),
            shadow_denied: counter(format!("{prefix}{shadow}shadow_denied")),
        }
    }
}

/// A prefix with the dot that Envoy puts behind it.
fn dotted(prefix: &str) -> String {
    let dot = if prefix.is_empty() || prefix.ends_with('.') { "" } else { "." };
    format!("{}{dot}", prefix.replace(':', "_"))
}

impl RbacConfig {
    /// Compiles it.
    pub fn compile(proto: &proto::Rbac, cx: &mut ConfigCx<'_>) -> Self {
        let prefix = cx.text("stat_prefix", &proto.stat_prefix).unwrap_or("invalid");
        Self {
            rules: proto.rules.as_ref().map(|rules| cx.field("rules", |cx| rbac::compile::rules(rules, cx))),
            shadow: proto
                .shadow_rules
                .as_ref()
                .map(|rules| cx.field("shadow_rules", |cx| rbac::compile::rules(rules, cx))),
            continuous: proto.enforcement_type() == proto::rbac::EnforcementType::Continuous,
            delay: cx.limit("delay_deny", proto.delay_deny.as_ref(), None),
            stats: RbacStats::register(cx.registry, prefix, &proto.shadow_rules_stat_prefix),
        }
    }
}

/// The filter on one connection.
#[derive(Debug)]
pub struct Guard {
    config: Arc<RbacConfig>,
    judged: bool,
}

/// Why a connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// For the access log.
    pub details: Box<str>,
    /// How long it is left open.
    pub delay: Option<Duration>,
}

impl Guard {
    /// The filter on a new connection.
    pub fn new(config: &Arc<RbacConfig>) -> Self {
        Self { config: Arc::clone(config), judged: false }
    }

    /// Whether it must see what comes next.
    pub(super) fn goes_on(&self) -> bool {
        self.config.continuous || !self.judged
    }

    pub(super) fn check(&mut self, subject: &Subject<'_>, cx: &Cx<'_>) -> Result<(), Denial> {
        self.judged = true;
        let RbacConfig { rules, shadow, delay, stats, .. } = &*self.config;
        if let Some(shadow) = shadow {
            let allowed = shadow.judge(subject).allowed;
            cx.stats.inc(if allowed { stats.shadow_allowed } else { stats.shadow_denied });
        }
        let Some(rules) = rules else { return Ok(()) };
        let judgement = rules.judge(subject);
        if judgement.allowed {
            cx.stats.inc(stats.allowed);
            return Ok(());
        }
        cx.stats.inc(stats.denied);
        let policy = judgement.policy.unwrap_or("none").replace(char::is_whitespace, "_");
        let details = format!("rbac_access_denied_matched_policy[{policy}]").into();
        Err(Denial { details, delay: *delay })
    }
}
