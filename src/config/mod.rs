//! Loading configuration: text to schema messages, with a place for every complaint.
//!
//! Text (YAML, or JSON as its subset) becomes a tree that knows where everything stands (`yaml`), which is
//! checked against the schema (`walk`) and becomes messages. What the messages mean is checked by the layers, in
//! their `compile` modules, which report to a [`Cx`]. All errors are collected; none stops the search for others.

mod cx;
mod data;
mod diagnostics;
mod runtime;
mod source;
mod walk;
mod yaml;

pub use cx::Cx;
pub(crate) use cx::is;
pub(crate) use data::{data, file, watched_data};
pub use diagnostics::{Diagnostic, Diagnostics};
pub use runtime::Runtime;
pub(crate) use source::document;
pub use source::{Source, bootstrap};
pub(crate) use walk::hint;
