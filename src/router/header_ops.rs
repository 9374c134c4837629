//! Header changes of a route configuration: what is taken out of heads and what is put in.
//!
//! Compiled once; applied by the router filter on a request's way up and a response's way down. In one list removals
//! come first, so that a header that is removed and added has the new value. Values may have command operators; one
//! that turns out empty is not added unless it is asked for.

use crate::api::envoy::config::core::v3::{HeaderValueOption, header_value_option::HeaderAppendAction};
use crate::config::Cx;
use crate::formatter::Format;
use crate::stream_info::StreamInfo;
use nuncio_codec::{HeaderId, HeaderKey, HeaderMap, RequestHead, ResponseHead, is_field_value};

/// A list of changes.
#[derive(Debug, Default)]
pub struct HeaderOps {
    remove: Vec<HeaderKey>,
    add: Vec<Addition>,
}

#[derive(Debug)]
struct Addition {
    name: HeaderKey,
    value: Format,
    action: Action,
    keep_empty: bool,
}

/// `HeaderValueOption.append_action`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Action {
    Append,
    AddIfAbsent,
    Overwrite,
    OverwriteIfExists,
}

impl HeaderOps {
    /// Compiles `*_headers_to_add` and `*_headers_to_remove`; `fields` are their names.
    pub fn compile(
        (add, remove): (&[HeaderValueOption], &[String]),
        fields: (&str, &str),
        cx: &mut Cx<'_>,
    ) -> Self {
        let add = cx.each(fields.0, add, addition);
        let remove = cx.each(fields.1, remove, |cx, name| {
            if is_routing(name) {
                cx.error(format!("`{name}` must not be removed: requests are routed by it"));
                return None;
            }
            HeaderKey::new(name).map_err(|error| cx.error(format!("`{name}` is {error}"))).ok()
        });
        Self { remove, add }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }

    /// Changes a request. Operators see it as it is at each step.
    pub fn apply_to_request(&self, head: &mut RequestHead, info: &StreamInfo<'_>) {
        self.take_out(&mut head.headers);
        let mut value = Vec::new();
        for addition in &self.add {
            value.clear();
            addition.value.write_value(&StreamInfo { request: head, ..info.clone() }, &mut value);
            addition.put(&mut head.headers, &value);
        }
    }

    /// Changes a response. Operators see it as it is at each step.
    pub fn apply_to_response(&self, head: &mut ResponseHead, info: &StreamInfo<'_>) {
        self.take_out(&mut head.headers);
        let mut value = Vec::new();
        for addition in &self.add {
            value.clear();
            addition.value.write_value(&StreamInfo { response: Some(head), ..info.clone() }, &mut value);
            addition.put(&mut head.headers, &value);
        }
    }

    fn take_out(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove_key(name);
        }
    }
}

impl Addition {
    fn put(&self, headers: &mut HeaderMap, value: &[u8]) {
        // What operators bring comes from heads that were checked; this is the last line of defence.
        if (value.is_empty() && !self.keep_empty) || !is_field_value(value) {
            return;
        }
        match self.action {
            Action::Append => headers.append_key(&self.name, value),
            Action::AddIfAbsent if headers.get_key(&self.name).is_none() => {
                headers.append_key(&self.name, value);
            }
            Action::OverwriteIfExists if headers.get_key(&self.name).is_some() => {
                headers.set_key(&self.name, value);
            }
            Action::Overwrite => headers.set_key(&self.name, value),
            Action::AddIfAbsent | Action::OverwriteIfExists => {}
        }
    }
}

fn addition(cx: &mut Cx<'_>, option: &HeaderValueOption) -> Option<Addition> {
    let header = cx.required("header", &option.header)?;
    let action = match (option.append, option.append_action()) {
        (None, HeaderAppendAction::AppendIfExistsOrAdd) => Action::Append,
        (None, HeaderAppendAction::AddIfAbsent) => Action::AddIfAbsent,
        (None, HeaderAppendAction::OverwriteIfExistsOrAdd) => Action::Overwrite,
        (None, HeaderAppendAction::OverwriteIfExists) => Action::OverwriteIfExists,
        (Some(append), HeaderAppendAction::AppendIfExistsOrAdd) => {
            if append {
                Action::Append
            } else {
                Action::Overwrite
            }
        }
        (Some(_), _) => {
            cx.error_at("append", "`append` and `append_action` must not be given together");
            return None;
        }
    };
    let (name, value) = cx.field("header", |cx| {
        let key = cx.text("key", &header.key)?;
        if is_routing(key) {
            cx.error_at("key", format!("`{key}` must not be changed: requests are routed by it"));
            return None;
        }
        let name = HeaderKey::new(key).map_err(|error| cx.error_at("key", format!("`{key}` is {error}")));
        if !is_field_value(header.value.as_bytes()) {
            cx.error_at("value", "there must be no control characters in the value of a header");
            return None;
        }
        let value = Format::parse(&header.value).map_err(|error| cx.error_at("value", error.to_string()));
        Some((name.ok()?, value.ok()?))
    })?;
    Some(Addition { name, value, action, keep_empty: option.keep_empty_value })
}

/// Pseudo-headers and the host are no headers that a list may change.
fn is_routing(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case(HeaderId::HOST.name())
}
