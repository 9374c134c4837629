//! The validated form of the admin interface.

use crate::access_log::config::AccessLogConfig;
use crate::router::config::StringMatch;
use nuncio_reactor::Address;

/// `envoy.config.bootstrap.v3.Admin`.
#[derive(Debug)]
pub struct AdminConfig {
    /// Where it listens.
    pub address: Address,
    /// `allow_paths`: which paths are answered; all if there are none.
    pub allow_paths: Vec<StringMatch>,
    /// Its connections do not count for the limit of the process.
    pub ignores_global_limit: bool,
    /// Its access logs.
    pub access_log: Vec<AccessLogConfig>,
}

impl AdminConfig {
    /// Whether requests for a path, without its query, are answered.
    pub fn allows(&self, path: &str) -> bool {
        self.allow_paths.is_empty() || self.allow_paths.iter().any(|allowed| allowed.matches(path.as_bytes()))
    }
}
