//! `RouteAction.hash_policy`: by what a request finds its host where balancing is consistent. The numbers are Envoy's.

use crate::api::envoy::config::route::v3::route_action as proto;
use crate::config::Cx;
use crate::filter_state::FilterState;
use crate::formatter::query_parameter;
use crate::upstream::{hash_of, hash_of_all};
use nuncio_codec::{HeaderId, HeaderKey, RequestHead};
use nuncio_reactor::Address;
use proto::hash_policy::PolicySpecifier;
use std::sync::Arc;

/// One part of what a request is hashed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashPolicy {
    source: Source,
    /// With this and what was before it there is enough.
    terminal: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Header(HeaderKey),
    Cookie(Box<[u8]>),
    Client,
    QueryParameter(Box<[u8]>),
    FilterState(Arc<str>),
}

impl HashPolicy {
    pub(super) fn compile(policy: &proto::HashPolicy, cx: &mut Cx<'_>) -> Option<Self> {
        let source = match &policy.policy_specifier {
            None => {
                cx.one_of(&["header", "cookie", "connection_properties", "query_parameter", "filter_state"]);
                None
            }
            Some(PolicySpecifier::Header(header)) => cx.field("header", |cx| {
                let name = cx.text("header_name", &header.header_name)?;
                let key = HeaderKey::new(name)
                    .map_err(|error| cx.error_at("header_name", format!("`{name}` is {error}")));
                key.ok().map(Source::Header)
            }),
            Some(PolicySpecifier::Cookie(cookie)) => cx.field("cookie", |cx| {
                cx.text("name", &cookie.name).map(|name| Source::Cookie(name.as_bytes().into()))
            }),
            Some(PolicySpecifier::ConnectionProperties(properties)) => {
                if !properties.source_ip {
                    cx.field("connection_properties", |cx| {
                        if !cx.is_broken(&["source_ip"]) {
                            cx.error_at("source_ip", "only `true` has a meaning here");
                        }
                    });
                }
                Some(Source::Client)
            }
            Some(PolicySpecifier::QueryParameter(parameter)) => cx.field("query_parameter", |cx| {
                cx.text("name", &parameter.name).map(|name| Source::QueryParameter(name.as_bytes().into()))
            }),
            Some(PolicySpecifier::FilterState(state)) => cx.field("filter_state", |cx| {
                cx.text("key", &state.key).map(|key| Source::FilterState(key.into()))
            }),
        };
        Some(Self { source: source?, terminal: policy.terminal })
    }
}

/// What is known of whoever sends a request: its address, and what filters have left about its connection.
pub(super) type Sender<'a> = (Option<&'a Address>, Option<&'a FilterState>);

/// The number of a request; `None` if no policy finds what it looks for.
pub(super) fn hash(policies: &[HashPolicy], head: &RequestHead, sender: Sender<'_>) -> Option<u64> {
    let mut sum = None::<u64>;
    for policy in policies {
        if let Some(hash) = policy.source.hash(head, sender) {
            sum = Some(sum.map_or(0, |sum| sum.rotate_left(1)) ^ hash);
            if policy.terminal {
                break;
            }
        }
    }
    sum
}

impl Source {
    fn hash(&self, head: &RequestHead, (client, state): Sender<'_>) -> Option<u64> {
        match self {
            Self::Header(name) => {
                let mut values: Vec<_> = head.headers.get_all_key(name).collect();
                // The order of several is not to matter.
                values.sort_unstable();
                (!values.is_empty()).then(|| hash_of_all(&values))
            }
            Self::Cookie(name) => cookie(head, name).filter(|value| !value.is_empty()).map(hash_of),
            Self::Client => match client? {
                Address::Inet(client) => Some(hash_of(client.ip().to_string().as_bytes())),
                Address::Unix(_) => None,
            },
            Self::QueryParameter(name) => query_parameter(head.path(), name).map(hash_of),
            Self::FilterState(key) => state?.hashable(key).map(hash_of),
        }
    }
}

/// The value of the first cookie of this name, without quotes around it.
fn cookie<'a>(head: &'a RequestHead, name: &[u8]) -> Option<&'a [u8]> {
    let lists = head.headers.get_all(HeaderId::COOKIE);
    let mut cookies = lists.flat_map(|list| list.split(|byte| *byte == b';'));
    cookies.find_map(|cookie| {
        let at = cookie.iter().position(|byte| *byte == b'=')?;
        let (found, value) = (cookie[..at].trim_ascii_start(), &cookie[at + 1..]);
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        (found == name).then(|| quoted.unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncio_codec::{HeaderMap, Method, Version};

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let headers = HeaderMap::new();
        let mut head = RequestHead { version: Version::Http11, method: Method::Get, headers };
        for (name, value) in fields {
            head.headers.append(name.as_bytes(), value.as_bytes());
        }
        head
    }

    #[test]
    fn cookies() {
        for (lists, expected) in [
            (&["a=1"][..], Some("1")),
            (&["b=2; a=1; a=3"], Some("1")),
            (&["b=2", "c; a=\"x y\""], Some("x y")),
            (&["a=\""], Some("\"")),
            (&["a=b=c"], Some("b=c")),
            (&["a="], Some("")),
            (&["aa=1; A=2; xa=3"], None),
            (&["a"], None),
            (&[], None),
        ] {
            let fields: Vec<_> = lists.iter().map(|list| ("cookie", *list)).collect();
            assert_eq!(cookie(&head(&fields), b"a"), expected.map(str::as_bytes), "{lists:?}");
        }
    }

    #[test]
    fn what_is_found_is_put_together() {
        let [a, b] = ["a", "b"].map(|name| Source::Header(HeaderKey::new(name).expect("a name")));
        let policies = |terminal| {
            [HashPolicy { source: a.clone(), terminal }, HashPolicy { source: b.clone(), terminal: false }]
        };
        let hash = |fields: &[(&str, &str)], terminal| hash(&policies(terminal), &head(fields), (None, None));
        let (one, two) = (hash_of(b"one"), hash_of(b"two"));
        assert_eq!(hash(&[], false), None);
        assert_eq!(hash(&[("a", "one")], false), Some(one));
        assert_eq!(hash(&[("b", "two")], true), Some(two));
        assert_eq!(hash(&[("a", "one"), ("b", "two")], false), Some(one.rotate_left(1) ^ two));
        assert_eq!(hash(&[("a", "one"), ("b", "two")], true), Some(one));
        assert_eq!(hash(&[("a", "y"), ("a", "x")], false), hash(&[("a", "x"), ("a", "y")], false));
    }
}
