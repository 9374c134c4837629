//! YAML text to a tree in which every node knows its place.
//!
//! The first step of loading. JSON needs nothing of its own: it is YAML. Keys that occur twice are left in the tree
//! for the walk to complain about; what the values mean is not known here.

use super::diagnostics::Place;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Location, Spanned};
use std::fmt;
use std::thread::ScopedJoinHandle;

/// Most levels of mappings and lists in each other, as in protobuf's own JSON parser.
const DEPTH: usize = 100;

/// Enough stack for as many levels, even without optimisation.
const STACK: usize = 16 << 20;

/// A node of the tree.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    /// Where it is used and where it is written; these differ for an alias and in what it stands for.
    used: Location,
    written: Location,
    /// From 1; 0 if not known.
    line: usize,
    column: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    /// With how it is written, if that is known.
    Float(f64, String),
    String(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    fn new(value: Value, used: Location, written: Location) -> Self {
        let (line, column) = (used.line() as usize, used.column() as usize);
        Self { value, used, written, line, column }
    }

    pub(super) fn place(&self, text: usize) -> Option<Place> {
        (self.line > 0).then_some(Place { text, line: self.line, column: self.column })
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    fn is_alias(&self) -> bool {
        self.used != self.written
    }

    /// Moves what stands inside an aliased value, or comes from a merge key, to where it is written: only the
    /// value as a whole is where the alias is. Keeps how fractions are written.
    fn settle(&mut self, text: &str, inside: bool) {
        if inside {
            (self.line, self.column) = (self.written.line() as usize, self.written.column() as usize);
        }
        let inside = inside || self.is_alias();
        match &mut self.value {
            Value::Float(_, written) => {
                // Not what is written with a tag.
                let plain = source(text, self.written).filter(|text| text.parse::<f64>().is_ok());
                plain.unwrap_or_default().clone_into(written);
            }
            Value::List(nodes) => nodes.iter_mut().for_each(|node| node.settle(text, inside)),
            Value::Map(entries) => {
                for (key, value) in entries {
                    let merged = inside || key.is_alias();
                    key.settle(text, merged);
                    value.settle(text, merged);
                }
            }
            _ => {}
        }
    }
}

impl Value {
    /// What a person calls it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "a number",
            Self::Float(..) => "a fraction",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// What is wrong, and line and column if they are known.
type Error = (String, Option<(usize, usize)>);

/// Parses a text of one document; an empty one is null.
///
/// # Errors
/// The message, and line and column if they are known.
pub(super) fn parse(text: &str) -> Result<Node, Error> {
    // The parser takes much stack for each level: whoever calls may not have so much.
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || parse_here(text));
        match parser.map(ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => Err((format!("cannot start a thread to parse it: {error}"), None)),
        }
    })
}

fn parse_here(text: &str) -> Result<Node, Error> {
    if text.lines().all(|line| matches!(line.trim_start().bytes().next(), None | Some(b'#'))) {
        return Ok(Node::new(Value::Null, Location::UNKNOWN, Location::UNKNOWN));
    }
    // Whoever writes the configuration rules the process anyway: the limits only stop a runaway, they must not
    // stop a large configuration.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        // Envoy's YAML library takes `mode: 0660` for octal.
        legacy_octal_numbers: true,
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        budget: serde_saphyr::budget! {
            max_depth: DEPTH,
            max_nodes: 50_000_000,
            max_events: 200_000_000,
            enforce_alias_anchor_ratio: false,
        },
    };
    let mut node = serde_saphyr::from_str_with_options::<Node>(text, options).map_err(|error| {
        let place = error.location().map(|location| (location.line() as usize, location.column() as usize));
        if let Some(place) = place.and_then(|(line, _)| tab(text, line)) {
            return ("not valid YAML: a tab in the indentation; use spaces".to_owned(), Some(place));
        }
        let message = error.to_string();
        if message.contains("Depth") || message.contains("recursion limit") {
            return (format!("more than {DEPTH} mappings and lists in each other"), place);
        }
        if message.contains("multiple YAML documents") {
            return (
                "more than one YAML document: a configuration is one, without `---` inside".to_owned(),
                place,
            );
        }
        if message.contains("recursive references") {
            return ("an alias inside of what it stands for".to_owned(), place);
        }
        // The place is shown in our own form.
        let message = message.lines().next().unwrap_or_default();
        let message = message.split(" at line ").next().unwrap_or_default();
        (format!("not valid YAML: {message}"), place)
    })?;
    node.settle(text, false);
    Ok(node)
}

/// What stands at a place.
fn source(text: &str, place: Location) -> Option<&str> {
    let (start, length) = (place.span().byte_offset()?, place.span().byte_len()?);
    let start = usize::try_from(start).ok()?;
    text.get(start..start.checked_add(usize::try_from(length).ok()?)?).map(str::trim_end)
}

/// The first tab in the indentation of the line on which parsing failed or, where the parser only notices after
/// it, the next.
fn tab(text: &str, line: usize) -> Option<(usize, usize)> {
    text.lines().enumerate().skip(line.saturating_sub(1)).take(2).find_map(|(at, line)| {
        let indentation = &line[..line.len() - line.trim_start().len()];
        indentation.find('\t').map(|column| (at + 1, indentation[..column].chars().count() + 1))
    })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self::new(spanned.value, spanned.referenced, spanned.defined))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;

        impl<'de> Visitor<'de> for AnyValue {
            type Value = Value;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a value")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_none<E: de::Error>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                Value::deserialize(deserializer)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Int(value.into()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Int(value.into()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
                Ok(Value::Float(value, String::new()))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
                Ok(Value::String(value.to_owned()))
            }

            fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
                Ok(Value::String(value))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = list.next_element()? {
                    nodes.push(node);
                }
                Ok(Value::List(nodes))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut nodes = Vec::new();
                while let Some(key) = map.next_key()? {
                    nodes.push((key, map.next_value()?));
                }
                Ok(Value::Map(nodes))
            }
        }

        deserializer.deserialize_any(AnyValue)
    }
}
