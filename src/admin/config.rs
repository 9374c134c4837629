//! The validated form of the admin interface.

use crate::access_log::config::AccessLogConfig;
use nuncio_reactor::Address;

/// `envoy.config.bootstrap.v3.Admin`.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where it listens.
    pub address: Address,
    /// Its access logs.
    pub access_log: Vec<AccessLogConfig>,
}
