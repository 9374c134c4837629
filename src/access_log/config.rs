//! The validated form of an access log.

use std::path::PathBuf;

/// `envoy.config.accesslog.v3.AccessLog`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogConfig {
    /// Where lines go.
    pub sink: Sink,
}

/// Where an access log's lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sink {
    /// `envoy.access_loggers.file`; appended to, created when missing.
    File(PathBuf),
    /// `envoy.access_loggers.stdout`.
    Stdout,
    /// `envoy.access_loggers.stderr`.
    Stderr,
}
