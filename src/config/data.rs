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
        Some(Specifier::Filename(path)) => {
            cx.field("filename", |cx| file(path).map_err(|reason| cx.error(reason)).ok())
        }
        Some(Specifier::EnvironmentVariable(name)) => {
            let value = std::env::var(name).map(String::into_bytes);
            value.map_err(|_| cx.error_at("environment_variable", format!("`{name}` is not set"))).ok()
        }
    }
}

/// Largest file that a data source is read from, in bytes: a device would not end.
const LARGEST_FILE: u64 = 16 << 20;

/// A whole file, or why there is none.
pub(crate) fn file(path: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read {path}: {error}"))?;
    if read as u64 > LARGEST_FILE {
        return Err(format!("{path} is larger than {} MiB", LARGEST_FILE >> 20));
    }
    Ok(bytes)
}
