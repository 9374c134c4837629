//! Header changes of a route configuration: what is taken out of heads and what is put in.
//!
//! Compiled once; applied by the router filter on a request's way up and a response's way down. In one list removals
//! come first, so that a header that is removed and added has the new value. As in Envoy all values, and whether a
//! header is there, come from the head as it is then; what overwrites is set next, and what is added comes last. Values
//! may have command operators; one that turns out empty is not added unless it is asked for.

use crate::api::envoy::config::core::v3::{HeaderValueOption, header_value_option::HeaderAppendAction};
use crate::config::Cx;
use crate::formatter::Format;
use crate::stream_info::StreamInfo;
use nuncio_codec::{HeaderId, HeaderKey, HeaderMap, RequestHead, ResponseHead, is_field_value};
use std::ops::Range;

/// Headers of requests that Envoy keeps in one line, so that a value that is added is one more in a list.
const ONE_LINE_IN_REQUESTS: &str = "accept accept-encoding access-control-request-headers access-control-request-method \
    access-control-request-private-network authentication authorization cache-control cdn-loop content-encoding \
    content-type expect grpc-accept-encoding grpc-timeout if-match if-modified-since if-none-match if-range \
    if-unmodified-since origin pragma proxy-status referer te user-agent via x-client-trace-id x-envoy-attempt-count \
    x-envoy-decorator-operation x-envoy-downstream-service-cluster x-envoy-downstream-service-node \
    x-envoy-expected-rq-timeout-ms x-envoy-external-address x-envoy-internal x-envoy-ip-tags x-envoy-original-host \
    x-envoy-original-path x-envoy-upstream-alt-stat-name x-envoy-upstream-rq-timeout-ms x-forwarded-client-cert \
    x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-request-id";

/// The same of responses.
const ONE_LINE_IN_RESPONSES: &str = "access-control-allow-credentials access-control-allow-headers \
    access-control-allow-methods access-control-allow-origin access-control-allow-private-network \
    access-control-expose-headers access-control-max-age age cache-control content-encoding content-type date etag \
    expires grpc-message grpc-status last-modified location proxy-status server vary via x-envoy-attempt-count \
    x-envoy-decorator-operation x-envoy-degraded x-envoy-immediate-health-check-fail x-envoy-ratelimited \
    x-envoy-upstream-canary x-envoy-upstream-healthchecked-cluster x-envoy-upstream-service-time x-request-id";

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
    /// A value that is added in a request, or a response, goes into the line that is there.
    one_line: (bool, bool),
}

/// What a list does to one head.
#[derive(Default)]
struct Plan<'a> {
    text: Vec<u8>,
    /// What to do with which part of the text.
    steps: Vec<(&'a Addition, Range<usize>)>,
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

    /// Changes a request.
    pub fn apply_to_request(&self, head: &mut RequestHead, info: &StreamInfo<'_>) {
        self.take_out(&mut head.headers);
        let plan = self.plan(&head.headers, &StreamInfo { request: head, ..info.clone() });
        plan.carry_out(&mut head.headers, |addition| addition.one_line.0);
    }

    /// Changes a response.
    pub fn apply_to_response(&self, head: &mut ResponseHead, info: &StreamInfo<'_>) {
        self.take_out(&mut head.headers);
        let plan = self.plan(&head.headers, &StreamInfo { response: Some(head), ..info.clone() });
        plan.carry_out(&mut head.headers, |addition| addition.one_line.1);
    }

    fn plan(&self, headers: &HeaderMap, info: &StreamInfo<'_>) -> Plan<'_> {
        let mut plan = Plan::default();
        for addition in &self.add {
            let wanted = match addition.action {
                Action::Append | Action::Overwrite => true,
                Action::AddIfAbsent => headers.get_key(&addition.name).is_none(),
                Action::OverwriteIfExists => headers.get_key(&addition.name).is_some(),
            };
            if !wanted {
                continue;
            }
            let start = plan.text.len();
            addition.value.write_value(info, &mut plan.text);
            let value = &plan.text[start..];
            // What operators bring comes from heads that were checked; this is the last line of defence.
            if (!value.is_empty() || addition.keep_empty) && is_field_value(value) {
                plan.steps.push((addition, start..plan.text.len()));
            }
        }
        plan
    }

    fn take_out(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove_key(name);
        }
    }
}

impl Plan<'_> {
    fn carry_out(mut self, headers: &mut HeaderMap, one_line: impl Fn(&Addition) -> bool) {
        for (addition, value) in &self.steps {
            if let Action::Overwrite | Action::OverwriteIfExists = addition.action {
                headers.set_key(&addition.name, &self.text[value.clone()]);
            }
        }
        for (addition, value) in &self.steps {
            if let Action::Append | Action::AddIfAbsent = addition.action {
                if one_line(addition)
                    && let Some(joined) = join(headers, &addition.name, value, &mut self.text)
                {
                    headers.set_key(&addition.name, &self.text[joined]);
                } else {
                    headers.append_key(&addition.name, &self.text[value.clone()]);
                }
            }
        }
    }
}

/// Writes the one line of a header, a comma and a value at the end of the text in which the value is.
fn join(
    headers: &HeaderMap,
    name: &HeaderKey,
    value: &Range<usize>,
    text: &mut Vec<u8>,
) -> Option<Range<usize>> {
    let mut lines = headers.get_all_key(name);
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let start = text.len();
    text.extend_from_slice(line);
    if !line.is_empty() && !value.is_empty() {
        text.push(b',');
    }
    text.extend_from_within(value.clone());
    Some(start..text.len())
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
    let is_in = |names: &str| names.split_ascii_whitespace().any(|one| one == name.as_str());
    let one_line = (is_in(ONE_LINE_IN_REQUESTS), is_in(ONE_LINE_IN_RESPONSES));
    Some(Addition { name, value, action, keep_empty: option.keep_empty_value, one_line })
}

/// Pseudo-headers and the host are no headers that a list may change.
fn is_routing(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case(HeaderId::HOST.name())
}
