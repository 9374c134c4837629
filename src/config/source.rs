//! Where configuration comes from, and the way from its text to the bootstrap message.
//!
//! The first step of a start or of a validation; what the message means is not looked at here.

use super::diagnostics::{Diagnostics, Place};
use super::{walk, yaml};
use crate::api::envoy::config::bootstrap::v3::Bootstrap;
use crate::api::pool;
use prost::{Message, Name};
use prost_reflect::DynamicMessage;
use std::path::PathBuf;

/// Where configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// `--config-path`.
    pub path: Option<PathBuf>,
    /// `--config-yaml`, merged over the file.
    pub yaml: Option<String>,
    /// What is used when neither is given, with its name.
    pub embedded: Option<(&'static str, &'static str)>,
}

impl Source {
    /// A text without a file.
    pub fn text(yaml: &str) -> Self {
        Self { yaml: Some(yaml.to_owned()), ..Self::default() }
    }

    fn texts(&self, diagnostics: &mut Diagnostics) -> Vec<(usize, String)> {
        let mut texts = Vec::new();
        if let Some(path) = &self.path {
            let name = path.display().to_string();
            let form = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            match std::fs::read_to_string(path) {
                _ if matches!(form, "pb" | "pb_text" | "pb_length_delimited") => {
                    diagnostics.add_text(&name, "");
                    let message = format!(
                        "cannot read {name}: protobuf in binary or text form is not supported; YAML and JSON are"
                    );
                    diagnostics.error_at("", None, message);
                    diagnostics.unreadable("");
                }
                Ok(text) => texts.push((diagnostics.add_text(&name, &text), text)),
                Err(error) => {
                    diagnostics.add_text(&name, "");
                    diagnostics.error_at("", None, format!("cannot read {name}: {error}"));
                    diagnostics.unreadable("");
                }
            }
        }
        // An empty text over a file is no text; without a file it is nothing to go by.
        if let Some(text) = self.yaml.as_ref().filter(|text| self.path.is_none() || !text.trim().is_empty()) {
            texts.push((diagnostics.add_text("--config-yaml", text), text.clone()));
        }
        if let (Some((name, text)), None, None) = (self.embedded, &self.path, &self.yaml) {
            texts.push((diagnostics.add_text(name, text), text.to_owned()));
        }
        texts
    }
}

/// Reads and checks a text that is not the bootstrap; the message means something only if there was no complaint.
pub(crate) fn document<M: Message + Name + Default>(
    name: &str,
    content: &str,
    diagnostics: &mut Diagnostics,
) -> M {
    let descriptor = pool().get_message_by_name(&M::full_name()).expect("the schema has it");
    let empty = DynamicMessage::new(descriptor);
    let text = diagnostics.add_text(name, content);
    match yaml::parse(content) {
        Ok(node) if node.is_null() => {
            let nowhere = Place { text, line: 0, column: 0 };
            diagnostics.error_at("", Some(nowhere), "the file is empty".to_owned());
            M::default()
        }
        Ok(node) => walk::message(&node, &empty, text, diagnostics)
            .transcode_to()
            .expect("the type was generated from the same schema"),
        Err((message, place)) => {
            let place = place.map(|(line, column)| Place { text, line, column });
            diagnostics.error_at("", place, message);
            M::default()
        }
    }
}

/// Reads and checks the text; the message means something only if there was no complaint.
pub fn bootstrap(source: &Source, diagnostics: &mut Diagnostics) -> Bootstrap {
    let descriptor = pool().get_message_by_name(&Bootstrap::full_name()).expect("the schema has it");
    let mut merged = DynamicMessage::new(descriptor);
    for (text, content) in source.texts(diagnostics) {
        match yaml::parse(&content) {
            Ok(node) if node.is_null() => {
                let nowhere = Place { text, line: 0, column: 0 };
                diagnostics.error_at("", Some(nowhere), "the configuration is empty".to_owned());
            }
            Ok(node) => {
                let message = walk::message(&node, &merged, text, diagnostics);
                // The way in which protobuf merges: single fields replace, repeated ones are appended.
                merged.merge(&message.encode_to_vec()[..]).expect("just encoded with the same schema");
            }
            Err((message, place)) => {
                let place = place.map(|(line, column)| Place { text, line, column });
                diagnostics.error_at("", place, message);
                // What the other text means without this one is not worth knowing.
                diagnostics.unreadable("");
            }
        }
    }
    merged.transcode_to().expect("the type was generated from the same schema")
}
