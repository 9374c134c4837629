//! The validated form of an access log.

use super::filter::Filter;
use crate::formatter::compile::BodyFormat;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// `envoy.config.accesslog.v3.AccessLog`.
#[derive(Clone, Debug)]
pub struct AccessLogConfig {
    /// Where lines go.
    pub sink: Sink,
    /// What a line says.
    pub format: Arc<BodyFormat>,
    /// Which streams have a line; `None` is all.
    pub filter: Option<Arc<Filter>>,
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

impl fmt::Display for Sink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(out),
            Self::Stdout => out.write_str("standard output"),
            Self::Stderr => out.write_str("standard error"),
        }
    }
}
