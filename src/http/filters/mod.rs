//! HTTP filters: one file each, and the table that names them.

/// The validated form of one filter's configuration.
#[derive(Debug)]
pub enum FilterConfig {}
