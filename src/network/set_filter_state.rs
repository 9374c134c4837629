//! `envoy.filters.network.set_filter_state`: leaves objects for the filters behind.

use crate::api::envoy::extensions::filters::common::set_filter_state::v3::{
    self as common, filter_state_value as value,
};
use crate::config::{Cx, hint};
use crate::filter_state::{Kind, Object};
use crate::formatter::compile::{BodyFormat, substitution};
use crate::stream_info::StreamInfo;
use std::sync::Arc;

/// `envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue`.
#[derive(Debug)]
pub struct Assignment {
    name: Arc<str>,
    kind: Kind,
    format: BodyFormat,
    read_only: bool,
    skip_if_empty: bool,
}

impl Assignment {
    /// Compiles it.
    pub fn compile(proto: &common::FilterStateValue, cx: &mut Cx<'_>) -> Option<Self> {
        let name = match &proto.key {
            Some(value::Key::ObjectKey(name)) => cx.text("object_key", name),
            None => {
                cx.one_of(&["object_key"]);
                None
            }
        };
        let format = match &proto.value {
            Some(value::Value::FormatString(format)) => {
                cx.field("format_string", |cx| substitution(format, cx))
            }
            None => {
                cx.one_of(&["format_string"]);
                None
            }
        };
        let (field, key) = match &*proto.factory_key {
            "" => ("object_key", name?),
            key => ("factory_key", key),
        };
        let Some((_, kind)) = Kind::ALL.iter().find(|(known, _)| *known == key) else {
            let known: Vec<_> = Kind::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
            let hint = hint(key, &known);
            cx.error_at(
                field,
                format!(
                    "`{key}` is no kind of object that is supported: `factory_key` must be one of {}.{hint}",
                    known.join(", ")
                ),
            );
            return None;
        };
        Some(Self {
            name: name?.into(),
            kind: *kind,
            format: format?,
            read_only: proto.read_only,
            skip_if_empty: proto.skip_if_empty,
        })
    }

    /// Its name, and the object for a connection; `None` if it is not to be set.
    pub fn object(&self, info: &StreamInfo<'_>) -> Option<(&Arc<str>, Object)> {
        let mut value = Vec::new();
        self.format.write(info, &mut value);
        if self.skip_if_empty && value.is_empty() {
            return None;
        }
        Some((&self.name, Object { kind: self.kind, value: value.into(), read_only: self.read_only }))
    }
}
