//! Filter state: objects that filters leave for each other on a connection, by name.
//!
//! Set by `set_filter_state` and `sni_cluster`, read by command operators, policies and the TCP proxy. Objects are few, so
//! they stand in a list.

use std::fmt::Write;
use std::sync::Arc;

/// The name under which a filter leaves the cluster that the TCP proxy uses.
pub const TCP_PROXY_CLUSTER: &str = "envoy.tcp_proxy.cluster";

/// What an object is (`FilterStateValue.factory_key`).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `envoy.string`.
    Text,
    /// `envoy.hashable_string`: a text that hash policies use.
    HashableText,
    /// `envoy.tcp_proxy.cluster`: a cluster, without a typed form.
    Cluster,
}

impl Kind {
    /// All of them, by name.
    pub const ALL: [(&str, Self); 3] = [
        ("envoy.string", Self::Text),
        ("envoy.hashable_string", Self::HashableText),
        (TCP_PROXY_CLUSTER, Self::Cluster),
    ];
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub value: Box<[u8]>,
    /// It cannot be replaced.
    pub read_only: bool,
}

impl Object {
    /// Appends its typed form, which is JSON; false if it has none.
    pub fn write_typed(&self, out: &mut Vec<u8>) -> bool {
        if self.kind == Kind::Cluster {
            return false;
        }
        out.push(b'"');
        for c in String::from_utf8_lossy(&self.value).chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                c if c.is_control() => {
                    let mut escaped = String::new();
                    // Writing into memory does not fail.
                    let _ = write!(escaped, "\\u{:04x}", u32::from(c));
                    out.extend_from_slice(escaped.as_bytes());
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.push(b'"');
        true
    }
}

/// The objects of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterState {
    objects: Vec<(Arc<str>, Object)>,
}

impl FilterState {
    /// Sets an object. One that is read-only stays as it is, and `false` is returned.
    pub fn set(&mut self, name: &Arc<str>, object: Object) -> bool {
        match self.objects.iter_mut().find(|(other, _)| other == name) {
            Some((_, present)) if present.read_only => return false,
            Some((_, present)) => *present = object,
            None => self.objects.push((Arc::clone(name), object)),
        }
        true
    }

    /// What an object is hashed by, if it is made for that.
    pub fn hashable(&self, name: &str) -> Option<&[u8]> {
        self.get(name).filter(|object| object.kind == Kind::HashableText).map(|object| &*object.value)
    }

    /// An object.
    pub fn get(&self, name: &str) -> Option<&Object> {
        self.objects.iter().find(|(other, _)| **other == *name).map(|(_, object)| object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_replaced_unless_they_are_read_only() {
        let object =
            |value: &str, read_only| Object { kind: Kind::Text, value: value.as_bytes().into(), read_only };
        let mut state = FilterState::default();
        let name: Arc<str> = "a".into();
        assert!(state.get("a").is_none());
        assert!(state.set(&name, object("1", false)) && state.set(&name, object("2", true)));
        assert!(!state.set(&name, object("3", false)));
        assert_eq!(*state.get("a").expect("set").value, *b"2");
        assert!(state.get("b").is_none());
    }

    #[test]
    fn the_typed_form_is_json() {
        let typed = |kind, value: &[u8]| {
            let mut out = Vec::new();
            let object = Object { kind, value: value.into(), read_only: false };
            object.write_typed(&mut out).then(|| String::from_utf8(out).expect("UTF-8"))
        };
        assert_eq!(
            typed(Kind::Text, b"a\"b\\\n\x01\xff").as_deref(),
            Some("\"a\\\"b\\\\\\n\\u0001\u{fffd}\"")
        );
        assert_eq!(typed(Kind::Cluster, b"a"), None);
    }
}
