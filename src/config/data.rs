//! `envoy.config.core.v3.DataSource`: bytes from the configuration itself, from a file or from the environment.

use super::Cx;
use crate::api::envoy::config::core::v3::{DataSource, data_source::Specifier};
use std::io::Read;

/// The bytes of a data source that is read once.
pub(crate) fn data(source: &DataSource, cx: &mut Cx<'_>) -> Option<Vec<u8>> {
    if source.watched_directory.is_some() {
        cx.error_at("watched_directory", "works for certificates, keys and CRLs only: this is read once");
    }
    watched_data(source, cx)
}

/// The bytes of a data source now; its folder is for the caller to watch.
pub(crate) fn watched_data(source: &DataSource, cx: &mut Cx<'_>) -> Option<Vec<u8>> {
    match &source.specifier {
        None => {
            cx.one_of(&["filename", "inline_bytes", "inline_string", "environment_variable"]);
            None
        }
        Some(Specifier::InlineString(text)) => Some(text.clone().into_bytes()),
        Some(Specifier::InlineBytes(bytes)) => Some(bytes.clone()),
        Some(Specifier::Filename(path)) => cx.field("filename", |cx| match read(path) {
            Ok(bytes) if bytes.len() as u64 > LARGEST_FILE => {
                cx.error(format!("{path} is larger than {} MiB", LARGEST_FILE >> 20));
                None
            }
            Ok(bytes) => Some(bytes),
            Err(error) => {
                cx.error(format!("cannot read {path}: {error}"));
                None
            }
        }),
        Some(Specifier::EnvironmentVariable(name)) => {
            let value = std::env::var(name).map(String::into_bytes);
            value.map_err(|_| cx.error_at("environment_variable", format!("`{name}` is not set"))).ok()
        }
    }
}

/// Largest file that a data source is read from, in bytes: a device would not end.
const LARGEST_FILE: u64 = 16 << 20;

/// A file, or as much of it as shows that it is too large.
fn read(path: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
