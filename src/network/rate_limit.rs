//! `envoy.filters.network.local_ratelimit`: connections take tokens from a bucket that all workers share.

use super::token_bucket::{Settings, TokenBucket};
use crate::api::envoy::extensions::filters::network::local_ratelimit::v3 as proto;
use crate::config::Cx as ConfigCx;
use crate::io::Cx;
use crate::stats::LocalRateLimitStats;
use std::sync::Arc;

/// `envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit`, with its bucket.
#[derive(Debug)]
pub struct LocalRateLimit {
    bucket: Arc<TokenBucket>,
    enabled: bool,
    stats: LocalRateLimitStats,
}

impl LocalRateLimit {
    /// Compiles it.
    pub fn compile(proto: &proto::LocalRateLimit, cx: &mut ConfigCx<'_>) -> Option<Self> {
        let prefix = cx.text("stat_prefix", &proto.stat_prefix).unwrap_or("invalid");
        let prefix = format!("local_rate_limit.{}.", prefix.replace(':', "_"));
        let stats = LocalRateLimitStats::register(cx.registry, &prefix);
        let enabled = super::compile::enabled(proto.runtime_enabled.as_ref(), cx);
        let bucket = cx.required("token_bucket", &proto.token_bucket)?;
        let settings = cx.field("token_bucket", |cx| Settings::compile(bucket, cx))?;
        let bucket = if proto.share_key.is_empty() {
            Arc::new(TokenBucket::new(settings))
        } else {
            let key = (proto.share_key.clone(), settings);
            Arc::clone(cx.buckets.entry(key).or_insert_with(|| Arc::new(TokenBucket::new(settings))))
        };
        Some(Self { bucket, enabled, stats })
    }

    /// Whether one more connection may come now.
    pub fn take(&self, cx: &Cx<'_>) -> bool {
        if !self.enabled || self.bucket.take(cx.reactor.now().as_nanos()) {
            return true;
        }
        cx.stats.inc(self.stats.rate_limited);
        false
    }
}
