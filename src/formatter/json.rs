//! JSON objects whose strings are formats.
//!
//! A string that is just one operator keeps the type of its value: a number stays a number, and what has no value is
//! null. Names are written in alphabetical order; an object is one line.

use super::{Absent, Format, FormatError};
use crate::stream_info::{Metadata, MetadataValue, StreamInfo};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use std::io::Write;

/// A JSON object with command operators.
#[derive(Clone, Debug)]
pub struct JsonFormat {
    root: Node,
    omit_empty: bool,
}

#[derive(Clone, Debug)]
enum Node {
    Object(Vec<(Box<[u8]>, Node)>),
    List(Vec<Node>),
    Text(Format),
    /// Already JSON.
    Literal(Box<[u8]>),
}

impl JsonFormat {
    /// Compiles an object.
    ///
    /// # Errors
    /// The name of each property whose format is wrong, and what is wrong with it.
    pub fn compile(object: &Struct, omit_empty: bool) -> Result<Self, Vec<(String, FormatError)>> {
        let mut errors = Vec::new();
        let root = node_of_struct(object, "", &mut errors);
        if errors.is_empty() { Ok(Self { root, omit_empty }) } else { Err(errors) }
    }

    /// Appends the object for a stream, without a line break.
    pub fn write(&self, info: &StreamInfo<'_>, out: &mut Vec<u8>) {
        self.root.write(info, self.omit_empty, out);
    }
}

fn node_of_struct(object: &Struct, path: &str, errors: &mut Vec<(String, FormatError)>) -> Node {
    let mut entries = Vec::new();
    for (name, value) in &object.fields {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let mut key = Vec::new();
        quote(name.as_bytes(), &mut key);
        entries.push((key.into(), node(value, &path, errors)));
    }
    Node::Object(entries)
}

fn node(value: &Value, path: &str, errors: &mut Vec<(String, FormatError)>) -> Node {
    let null = || Node::Literal(b"null"[..].into());
    match &value.kind {
        None | Some(Kind::NullValue(_)) => null(),
        Some(Kind::BoolValue(value)) => Node::Literal(value.to_string().into_bytes().into()),
        Some(Kind::NumberValue(value)) => Node::Literal(value.to_string().into_bytes().into()),
        Some(Kind::StringValue(text)) => match Format::parse(text) {
            Ok(format) => Node::Text(format),
            Err(error) => {
                errors.push((path.to_owned(), error));
                null()
            }
        },
        Some(Kind::StructValue(object)) => node_of_struct(object, path, errors),
        Some(Kind::ListValue(list)) => {
            let nodes = list.values.iter().enumerate();
            Node::List(nodes.map(|(at, value)| node(value, &format!("{path}[{at}]"), errors)).collect())
        }
    }
}

impl Node {
    /// Appends the value; what has none is null, or nothing where that is wanted.
    fn write(&self, info: &StreamInfo<'_>, omit_empty: bool, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Literal(json) => {
                out.extend_from_slice(json);
                true
            }
            Self::Text(format) => match format.single() {
                Some(operator) => {
                    let before = out.len();
                    let mut value = Vec::new();
                    let json = operator.is_json(info);
                    let there = match json {
                        true => operator.write_whole(info, &mut value),
                        false => operator.write(info, &mut value),
                    };
                    if !there {
                        if !omit_empty {
                            out.extend_from_slice(b"null");
                        }
                    } else if json {
                        out.extend_from_slice(&value);
                    } else {
                        quote(&value, out);
                    }
                    out.len() > before
                }
                None => {
                    let mut value = Vec::new();
                    let absent = if omit_empty { Absent::Empty } else { Absent::Dash };
                    format.write(info, absent, &mut value);
                    quote(&value, out);
                    true
                }
            },
            Self::List(nodes) => {
                list(b"[]", nodes, out, |node, out| node.write(info, omit_empty, out));
                true
            }
            Self::Object(entries) => {
                list(b"{}", entries, out, |(name, node), out| {
                    out.extend_from_slice(name);
                    out.push(b':');
                    node.write(info, omit_empty, out)
                });
                true
            }
        }
    }
}

/// Dynamic metadata as an object.
pub(super) fn metadata(metadata: &Metadata<'_>, out: &mut Vec<u8>) -> bool {
    list(b"{}", metadata.fields, out, |(name, value), out| {
        quote(name.as_bytes(), out);
        out.push(b':');
        match value {
            MetadataValue::Text(text) => quote(text.as_bytes(), out),
            MetadataValue::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        }
        true
    });
    true
}

/// Writes items with commas between them; one that writes nothing leaves no trace.
fn list<T>(
    brackets: &[u8; 2],
    items: &[T],
    out: &mut Vec<u8>,
    mut write: impl FnMut(&T, &mut Vec<u8>) -> bool,
) {
    out.push(brackets[0]);
    let start = out.len();
    for item in items {
        let before = out.len();
        if before > start {
            out.push(b',');
        }
        if !write(item, out) {
            out.truncate(before);
        }
    }
    out.push(brackets[1]);
}

/// A JSON string (RFC 8259 section 7).
fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            // Writing into memory does not fail.
            ..0x20 | 0x7f => drop(write!(out, "\\u{byte:04x}")),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}
