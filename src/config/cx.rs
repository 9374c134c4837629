//! What a layer has while it turns schema messages into its runtime model.
//!
//! Passed through all `compile` modules on the main thread, before anything runs. It never stops the search for
//! errors, and never says the same thing twice: what could not be read is not missing.

use super::diagnostics::Diagnostics;
use super::runtime::Runtime;
use crate::network::{BucketSettings, TokenBucket};
use crate::stats::Registry;
use crate::tls::Secrets;
use crate::upstream::config::ClusterTable;
use prost::{Message, Name};
use prost_types::{Any, Duration as ProtoDuration};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The place in the configuration, somewhere to complain, and what has been compiled so far.
///
/// Compiling goes on after a complaint, to find what else is wrong; a result that cannot be made is `None`, and
/// nothing is used unless there was no complaint at all.
#[derive(Debug)]
pub struct Cx<'a> {
    diagnostics: &'a mut Diagnostics,
    path: String,
    /// Statistics are registered here.
    pub registry: &'a mut Registry,
    /// `node.id` and `node.cluster`.
    pub node: (String, String),
    /// How the statistics of the listener begin that is being compiled: `listener.<address>.`.
    pub listener_scope: String,
    /// Values for keys.
    pub runtime: Runtime,
    /// What TLS contexts may refer to by name.
    pub secrets: Arc<Secrets>,
    /// Clusters that routes may name.
    pub clusters: ClusterTable,
    /// Names of the clusters that are wrong in themselves: naming one is no further error. An empty name stands
    /// for a cluster that may have any name.
    pub broken_clusters: Vec<String>,
    /// Token buckets that filters share, by their key.
    pub buckets: HashMap<(String, BucketSettings), Arc<TokenBucket>>,
}

impl<'a> Cx<'a> {
    /// At the root of a configuration.
    pub fn new(diagnostics: &'a mut Diagnostics, registry: &'a mut Registry) -> Self {
        Self {
            diagnostics,
            path: String::new(),
            registry,
            node: (String::new(), String::new()),
            listener_scope: String::new(),
            runtime: Runtime::default(),
            secrets: Arc::default(),
            clusters: ClusterTable::default(),
            broken_clusters: Vec::new(),
            buckets: HashMap::new(),
        }
    }

    /// Does something at a field of the present message.
    pub fn field<R>(&mut self, name: &str, work: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let result = work(self);
        self.path.truncate(length);
        result
    }

    /// Does something at each element of a repeated field, and keeps what it gives.
    pub fn each<T, R>(
        &mut self,
        name: &str,
        items: &[T],
        mut work: impl FnMut(&mut Self, &T) -> Option<R>,
    ) -> Vec<R> {
        self.field(name, |cx| {
            let length = cx.path.len();
            let mut results = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                cx.path.push_str(&format!("[{index}]"));
                results.extend(work(cx, item));
                cx.path.truncate(length);
            }
            results
        })
    }

    /// Complains about the present message.
    pub fn error(&mut self, message: impl Into<String>) {
        self.diagnostics.error(&self.path, message.into());
    }

    /// Complains about a field of the present message.
    pub fn error_at(&mut self, field: &str, message: impl Into<String>) {
        self.field(field, |cx| cx.error(message));
    }

    /// Complains that the present message needs one of some fields; but not if one of them is given and could not
    /// be read, nor if there is an unknown field, which may be meant as one of them.
    pub fn missing(&mut self, fields: &[&str], message: impl Into<String>) {
        if !self.is_broken(fields) {
            self.error(message);
        }
    }

    /// Complains that the present message has none of the fields of a oneof of which one is required.
    pub fn one_of(&mut self, fields: &[&str]) {
        let list = fields.join("`, `");
        self.missing(fields, format!("one of `{list}` is required"));
    }

    /// Whether one of some fields may be given in a way that could not be read.
    pub fn is_broken(&mut self, fields: &[&str]) -> bool {
        self.diagnostics.is_strange(&self.path)
            || fields.iter().any(|field| self.field(field, |cx| cx.diagnostics.is_unreadable(&cx.path)))
    }

    /// How much has been complained about.
    pub fn complaints(&self) -> usize {
        self.diagnostics.errors().len()
    }

    /// Whether the present message, or anything in it, has been complained about, also while the text was read.
    pub fn is_wrong(&self) -> bool {
        let inside = |path: &str| {
            path.strip_prefix(&self.path[..])
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.diagnostics.errors().iter().any(|error| inside(&error.path))
    }

    /// Whether anything has been complained about.
    pub fn is_clean(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// A message field that must be set.
    pub fn required<'m, T>(&mut self, field: &str, value: &'m Option<T>) -> Option<&'m T> {
        if value.is_none() {
            self.missing(&[field], format!("`{field}` is required"));
        }
        value.as_ref()
    }

    /// A string field that must not be empty.
    pub fn text<'m>(&mut self, field: &str, value: &'m str) -> Option<&'m str> {
        if value.is_empty() {
            self.missing(&[field], format!("`{field}` is required and must not be empty"));
            return None;
        }
        Some(value)
    }

    /// A duration that must not be negative; `default` if it is not set.
    pub fn duration(&mut self, field: &str, value: Option<&ProtoDuration>, default: Duration) -> Duration {
        let Some(value) = value else { return default };
        Duration::try_from(*value).unwrap_or_else(|_| {
            self.error_at(field, "a duration must not be negative");
            default
        })
    }

    /// A time limit of which 0 means none.
    pub fn limit(
        &mut self,
        field: &str,
        value: Option<&ProtoDuration>,
        default: Option<Duration>,
    ) -> Option<Duration> {
        let limit = self.duration(field, value, default.unwrap_or(Duration::ZERO));
        (!limit.is_zero()).then_some(limit)
    }

    /// The message in a `google.protobuf.Any`, if it is a `T`.
    pub fn unpack<T: Message + Name + Default>(&mut self, any: &Any) -> Option<T> {
        if !is::<T>(any) {
            return None;
        }
        match T::decode(&any.value[..]) {
            Ok(message) => Some(message),
            Err(error) => {
                self.error(format!("cannot decode a {}: {error}", T::full_name()));
                None
            }
        }
    }

    /// Complains that an extension's type is not one of those that may stand here.
    pub fn wrong_extension(&mut self, any: &Any, kind: &str, allowed: &[&str]) {
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        let allowed = allowed.join(", ");
        self.error(format!("`{name}` is not a supported {kind}; supported here: {allowed}"));
    }
}

/// Whether an `Any` holds a `T`.
pub(crate) fn is<T: Name>(any: &Any) -> bool {
    any.type_url.rsplit('/').next() == Some(&T::full_name())
}
