//! A tree of YAML against the schema: the JSON mapping of protobuf, with a place for every complaint.
//!
//! Names are accepted as in the schema (`snake_case`) and as JSON names (`lowerCamelCase`). Nothing is ignored: a
//! field that the schema does not have is an error that lists those that it has.

use super::diagnostics::Diagnostics;
use super::yaml::{Node, Value};
use crate::api::TYPE_URL;
use prost::Message;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey,
    MessageDescriptor, ReflectMessage, Value as Field,
};
use std::collections::HashMap;

/// The longest duration: the nanoseconds of what is longer do not fit into 64 bits. As in Envoy; about 292 years.
const MOST_SECONDS: i64 = i64::MAX / 1_000_000_000 - 1;

struct Walk<'a> {
    diagnostics: &'a mut Diagnostics,
    text: usize,
    path: String,
}

/// Turns a tree into a message; what is wrong with it is left out and complained about.
///
/// `base` is the message that the result will be merged into: the elements of a list come after its own.
pub(super) fn message(
    node: &Node,
    base: &DynamicMessage,
    text: usize,
    diagnostics: &mut Diagnostics,
) -> DynamicMessage {
    let mut walk = Walk { diagnostics, text, path: String::new() };
    let descriptor = base.descriptor();
    walk.message(node, &descriptor, Some(base)).unwrap_or_else(|| DynamicMessage::new(descriptor))
}

impl Walk<'_> {
    fn error(&mut self, node: &Node, message: String) {
        self.diagnostics.error_at(&self.path, node.place(self.text), message);
    }

    fn below<R>(&mut self, part: &str, work: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        if length > 0 && !part.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(part);
        let result = work(self);
        self.path.truncate(length);
        result
    }

    /// Reads what stands below the present message or list, and remembers its place.
    fn read<R>(&mut self, part: &str, node: &Node, read: impl FnOnce(&mut Self) -> Option<R>) -> Option<R> {
        self.below(part, |walk| {
            if let Some(place) = node.place(walk.text) {
                walk.diagnostics.place(&walk.path, place);
            }
            let result = read(walk);
            if result.is_none() {
                walk.diagnostics.unreadable(&walk.path);
            }
            result
        })
    }

    fn message(
        &mut self,
        node: &Node,
        descriptor: &MessageDescriptor,
        base: Option<&DynamicMessage>,
    ) -> Option<DynamicMessage> {
        match descriptor.full_name() {
            "google.protobuf.Duration" => return self.duration(node, descriptor),
            "google.protobuf.Any" => return self.any(node, descriptor),
            "google.protobuf.Struct" => return self.free_object(node, descriptor),
            "google.protobuf.Value" => return self.free_value(node, descriptor),
            _ if is_wrapper(descriptor) && !matches!(node.value, Value::Map(_)) => {
                let field = descriptor.get_field_by_name("value").expect("wrappers have a value");
                let mut message = DynamicMessage::new(descriptor.clone());
                message.set_field(&field, self.scalar(node, &field.kind())?);
                return Some(message);
            }
            _ => {}
        }
        let Value::Map(entries) = &node.value else {
            let (name, kind) = (descriptor.name(), node.value.kind());
            self.error(node, format!("expected a mapping with the fields of {name}, found {kind}"));
            return None;
        };
        let errors = self.diagnostics.errors().len();
        let message = self.fields(entries, descriptor, base, false);
        // A number in a mapping is a number: if it cannot be read, nobody should judge the default.
        let wrapper = is_wrapper(descriptor) && self.diagnostics.errors().len() > errors;
        (!wrapper).then_some(message)
    }

    fn fields(
        &mut self,
        entries: &[(Node, Node)],
        descriptor: &MessageDescriptor,
        base: Option<&DynamicMessage>,
        any: bool,
    ) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        let mut seen: HashMap<u32, String> = HashMap::new();
        let mut chosen: HashMap<String, String> = HashMap::new();
        for (key, value) in entries {
            let Value::String(name) = &key.value else {
                self.error(key, format!("expected the name of a field, found {}", key.value.kind()));
                self.diagnostics.strange(&self.path);
                continue;
            };
            if any && name == "@type" {
                continue;
            }
            let found =
                descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name));
            let Some(field) = found else {
                self.unknown_field(key, name, descriptor);
                continue;
            };
            if let Some(other) = seen.insert(field.number(), name.clone()) {
                let first = if other == *name { String::new() } else { format!(", first as `{other}`") };
                self.below(field.name(), |walk| walk.error(key, format!("`{name}` is given twice{first}")));
                continue;
            }
            if matches!(value.value, Value::Null) {
                continue;
            }
            if let Some(oneof) = field.containing_oneof()
                && let Some(other) = chosen.insert(oneof.name().to_owned(), name.clone())
            {
                let message = format!("`{name}` and `{other}` exclude each other: only one may be set");
                self.below(field.name(), |walk| walk.error(key, message));
                continue;
            }
            let base = base.filter(|base| base.has_field(&field)).map(|base| base.get_field(&field));
            let base = base.as_deref();
            if let Some(value) = self.read(field.name(), value, |walk| walk.field(value, &field, base)) {
                message.set_field(&field, value);
            }
        }
        message
    }

    fn unknown_field(&mut self, key: &Node, name: &str, descriptor: &MessageDescriptor) {
        let mut known: Vec<String> = descriptor.fields().map(|field| field.name().to_owned()).collect();
        known.sort();
        let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = descriptor.name();
        let said = if is_envoys(name, descriptor.full_name()) {
            format!("Envoy's field `{name}` of {message} is not supported yet.")
        } else {
            format!("unknown field `{name}` in {message}.{}", hint(name, &known))
        };
        self.diagnostics.strange(&self.path);
        self.below(name, |walk| walk.error(key, format!("{said} Supported: {list}")));
    }

    fn field(&mut self, node: &Node, field: &FieldDescriptor, base: Option<&Field>) -> Option<Field> {
        let kind = field.kind();
        if field.is_map() {
            return self.map(node, field);
        }
        if field.cardinality() != Cardinality::Repeated {
            return self.single(node, &kind, base.and_then(Field::as_message));
        }
        let items = match &node.value {
            Value::List(items) => &items[..],
            // As Envoy does: one element may stand for a list of one.
            _ => std::slice::from_ref(node),
        };
        let before = base.and_then(Field::as_list).map_or(0, <[Field]>::len);
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let part = format!("[{}]", before + index);
            // An element that cannot be read keeps its place, so that the paths of the others stay right.
            let value = self.read(&part, item, |walk| walk.single(item, &kind, None));
            values.push(value.unwrap_or_else(|| Field::default_value(&kind)));
        }
        Some(Field::List(values))
    }

    fn map(&mut self, node: &Node, field: &FieldDescriptor) -> Option<Field> {
        let Kind::Message(entry) = field.kind() else { return None };
        let Value::Map(entries) = &node.value else {
            self.error(node, format!("expected a mapping, found {}", node.value.kind()));
            return None;
        };
        let kind = entry.map_entry_value_field().kind();
        let mut map = HashMap::new();
        for (key, value) in entries {
            let Value::String(name) = &key.value else {
                self.error(key, format!("expected a string as key, found {}", key.value.kind()));
                continue;
            };
            if let Some(value) = self.read(name, value, |walk| walk.single(value, &kind, None)) {
                map.insert(MapKey::String(name.clone()), value);
            }
        }
        Some(Field::Map(map))
    }

    fn single(&mut self, node: &Node, kind: &Kind, base: Option<&DynamicMessage>) -> Option<Field> {
        match kind {
            Kind::Message(descriptor) => self.message(node, descriptor, base).map(Field::Message),
            Kind::Enum(descriptor) => self.enumeration(node, descriptor),
            scalar => self.scalar(node, scalar),
        }
    }

    fn scalar(&mut self, node: &Node, kind: &Kind) -> Option<Field> {
        let value = match (kind, &node.value) {
            (Kind::Bool, Value::Bool(value)) => Some(Field::Bool(*value)),
            (Kind::Bool, Value::String(text)) => boolean(text).map(Field::Bool),
            (Kind::String, Value::String(value)) => Some(Field::String(value.clone())),
            // As Envoy does: a version such as `1.10` is a text where a text is wanted.
            (Kind::String, Value::Float(_, text)) if !text.is_empty() => Some(Field::String(text.clone())),
            (Kind::String, Value::Int(_) | Value::Float(..) | Value::Bool(_)) => {
                let kind = node.value.kind();
                self.error(node, format!("expected a string, found {kind}: put it in quotes"));
                return None;
            }
            (Kind::Bytes, Value::String(value)) => match base64(value) {
                Some(bytes) => Some(Field::Bytes(bytes.into())),
                None => {
                    self.error(node, "not valid base64".to_owned());
                    return None;
                }
            },
            (Kind::Double, value) => number(value).map(Field::F64),
            (Kind::Float, value) => number(value).map(|value| Field::F32(value as f32)),
            (Kind::Uint32 | Kind::Fixed32, value) => {
                return self.integer(node, value, 0, u32::MAX.into(), |n| Field::U32(n as u32));
            }
            (Kind::Uint64 | Kind::Fixed64, value) => {
                return self.integer(node, value, 0, u64::MAX.into(), |n| Field::U64(n as u64));
            }
            (Kind::Int32 | Kind::Sint32 | Kind::Sfixed32, value) => {
                return self.integer(node, value, i32::MIN.into(), i32::MAX.into(), |n| Field::I32(n as i32));
            }
            (Kind::Int64 | Kind::Sint64 | Kind::Sfixed64, value) => {
                return self.integer(node, value, i64::MIN.into(), i64::MAX.into(), |n| Field::I64(n as i64));
            }
            _ => None,
        };
        if value.is_none() {
            let wanted = match kind {
                Kind::Bool => "true or false",
                Kind::String => "a string",
                Kind::Bytes => "bytes in base64",
                _ => "a number",
            };
            self.error(node, format!("expected {wanted}, found {}", node.value.kind()));
        }
        value
    }

    /// An integer; as in JSON also in a string, or as a fraction without a fractional part.
    fn integer(
        &mut self,
        node: &Node,
        value: &Value,
        least: i128,
        most: i128,
        make: fn(i128) -> Field,
    ) -> Option<Field> {
        let number = match value {
            Value::Int(number) => Some(*number),
            Value::Float(number, _) => whole(*number),
            Value::String(text) => match text.strip_prefix("0x") {
                Some(digits) if !digits.starts_with(['+', '-']) => i128::from_str_radix(digits, 16).ok(),
                _ => text.parse().ok().or_else(|| whole(text.parse().ok()?)),
            },
            _ => None,
        };
        match number {
            Some(number) if (least..=most).contains(&number) => Some(make(number)),
            Some(number) => {
                self.error(node, format!("{number} is out of range: {least} to {most}"));
                None
            }
            None => {
                self.error(node, format!("expected a whole number, found {}", value.kind()));
                None
            }
        }
    }

    fn enumeration(&mut self, node: &Node, descriptor: &EnumDescriptor) -> Option<Field> {
        let by_number = |number: i128| descriptor.get_value(i32::try_from(number).ok()?);
        let found = match &node.value {
            // Names in small letters are not JSON's, but Envoy takes them and people use them.
            Value::String(name) => descriptor
                .values()
                .find(|value| value.name().eq_ignore_ascii_case(name))
                .or_else(|| by_number(name.parse().ok()?)),
            Value::Int(number) => by_number(*number),
            _ => None,
        };
        if let Some(value) = found {
            return Some(Field::EnumNumber(value.number()));
        }
        let known: Vec<String> = descriptor.values().map(|value| value.name().to_owned()).collect();
        let shown = match &node.value {
            Value::String(name) => format!("`{name}`"),
            Value::Int(number) => number.to_string(),
            other => other.kind().to_owned(),
        };
        let (name, list) = (descriptor.name(), known.join(", "));
        self.error(node, format!("{shown} is not a supported value of {name}. Supported: {list}"));
        None
    }

    fn duration(&mut self, node: &Node, descriptor: &MessageDescriptor) -> Option<DynamicMessage> {
        if let Value::Map(entries) = &node.value {
            return self.duration_of_fields(node, entries, descriptor);
        }
        let parsed = match &node.value {
            Value::String(text) => parse_duration(text),
            _ => None,
        };
        let Some((seconds, nanos)) = parsed else {
            let found = match &node.value {
                Value::String(text) => format!("`{text}`"),
                other => other.kind().to_owned(),
            };
            self.error(node, format!("expected a duration in seconds, such as \"0.25s\", found {found}"));
            return None;
        };
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name("seconds", Field::I64(seconds));
        message.set_field_by_name("nanos", Field::I32(nanos));
        Some(message)
    }

    /// `{seconds: 1, nanos: 500000000}`: not JSON's form, but Envoy takes it and people use it.
    fn duration_of_fields(
        &mut self,
        node: &Node,
        entries: &[(Node, Node)],
        descriptor: &MessageDescriptor,
    ) -> Option<DynamicMessage> {
        let errors = self.diagnostics.errors().len();
        let message = self.fields(entries, descriptor, None, false);
        if self.diagnostics.errors().len() > errors {
            return None;
        }
        let field = |name: &str| message.get_field_by_name(name).map(|value| value.into_owned());
        let seconds = field("seconds").and_then(|value| value.as_i64()).unwrap_or_default();
        let nanos = field("nanos").and_then(|value| value.as_i32()).unwrap_or_default();
        if !(-MOST_SECONDS..=MOST_SECONDS).contains(&seconds)
            || !(-999_999_999..=999_999_999).contains(&nanos)
        {
            self.error(
                node,
                format!("not a duration: at most {MOST_SECONDS} seconds and 999999999 nanos are possible"),
            );
            return None;
        }
        Some(message)
    }

    fn any(&mut self, node: &Node, descriptor: &MessageDescriptor) -> Option<DynamicMessage> {
        let Value::Map(entries) = &node.value else {
            self.error(node, format!("expected a mapping with an \"@type\", found {}", node.value.kind()));
            return None;
        };
        let is_type = |entry: &&(Node, Node)| matches!(&entry.0.value, Value::String(key) if key == "@type");
        let mut types = entries.iter().filter(is_type);
        let Some((_, kind)) = types.next() else {
            self.error(node, "\"@type\" is missing: it says which extension is configured".to_owned());
            return None;
        };
        if let Some((key, _)) = types.next() {
            self.error(key, "\"@type\" is given twice".to_owned());
            return None;
        }
        let Value::String(url) = &kind.value else {
            self.error(kind, format!("expected a type URL, found {}", kind.value.kind()));
            return None;
        };
        let name = url.rsplit('/').next().unwrap_or_default();
        let pool = descriptor.parent_pool();
        let Some(inner) = pool.get_message_by_name(name).filter(|_| url.find('/').is_some_and(|at| at > 0))
        else {
            self.unknown_type(kind, url, pool);
            return None;
        };
        let content = self.fields(entries, &inner, None, true);
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name("type_url", Field::String(format!("{TYPE_URL}{name}")));
        message.set_field_by_name("value", Field::Bytes(content.encode_to_vec().into()));
        Some(message)
    }

    /// An object of any shape.
    fn free_object(&mut self, node: &Node, descriptor: &MessageDescriptor) -> Option<DynamicMessage> {
        let Value::Map(entries) = &node.value else {
            self.error(node, format!("expected a mapping, found {}", node.value.kind()));
            return None;
        };
        let fields = descriptor.get_field_by_name("fields").expect("a Struct has fields");
        let Kind::Message(entry) = fields.kind() else { return None };
        let Kind::Message(kind) = entry.map_entry_value_field().kind() else { return None };
        let mut map = HashMap::new();
        for (key, value) in entries {
            let Value::String(name) = &key.value else {
                self.error(key, format!("expected a name, found {}", key.value.kind()));
                continue;
            };
            let value = self.below(name, |walk| {
                if let Some(place) = value.place(walk.text) {
                    walk.diagnostics.place(&walk.path, place);
                }
                walk.free_value(value, &kind)
            });
            if let Some(value) = value {
                map.insert(MapKey::String(name.clone()), Field::Message(value));
            }
        }
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field(&fields, Field::Map(map));
        Some(message)
    }

    /// A value of any kind.
    fn free_value(&mut self, node: &Node, descriptor: &MessageDescriptor) -> Option<DynamicMessage> {
        let inner = |name: &str| match descriptor.get_field_by_name(name).expect("a Value has it").kind() {
            Kind::Message(inner) => inner,
            _ => unreachable!("the field is a message"),
        };
        let (name, field) = match &node.value {
            Value::Null => ("null_value", Field::EnumNumber(0)),
            Value::Bool(value) => ("bool_value", Field::Bool(*value)),
            Value::Int(value) => ("number_value", Field::F64(*value as f64)),
            Value::Float(value, _) => ("number_value", Field::F64(*value)),
            Value::String(text) => ("string_value", Field::String(text.clone())),
            Value::Map(_) => {
                ("struct_value", Field::Message(self.free_object(node, &inner("struct_value"))?))
            }
            Value::List(nodes) => {
                let list = inner("list_value");
                let mut values = Vec::new();
                for (at, node) in nodes.iter().enumerate() {
                    let value = self.below(&format!("[{at}]"), |walk| walk.free_value(node, descriptor))?;
                    values.push(Field::Message(value));
                }
                let mut message = DynamicMessage::new(list);
                message.set_field_by_name("values", Field::List(values));
                ("list_value", Field::Message(message))
            }
        };
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name(name, field);
        Some(message)
    }

    fn unknown_type(&mut self, node: &Node, url: &str, pool: &DescriptorPool) {
        let mut known: Vec<String> = pool
            .all_messages()
            .filter(|message| message.parent_message().is_none())
            .map(|message| message.full_name().to_owned())
            .filter(|name| name.starts_with("envoy.extensions.") && !name.ends_with(".HttpFilter"))
            .map(|name| format!("{TYPE_URL}{name}"))
            .collect();
        known.sort();
        let name = url.rsplit('/').next().unwrap_or_default();
        let hint = hint(&format!("{TYPE_URL}{name}"), &known);
        let list = known.join(", ");
        self.error(node, format!("unknown or unsupported extension type `{url}`.{hint} Supported: {list}"));
    }
}

/// Whether a message stands for a single value: `google.protobuf.UInt32Value` and the like.
fn is_wrapper(descriptor: &MessageDescriptor) -> bool {
    let name = descriptor.full_name().strip_prefix("google.protobuf.");
    name.is_some_and(|name| name.ends_with("Value") && !matches!(name, "Value" | "ListValue"))
}

/// `-1.5s` as seconds and nanoseconds (both of the same sign).
fn parse_duration(text: &str) -> Option<(i64, i32)> {
    let text = text.strip_suffix('s')?;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || fraction.len() > 9 {
        return None;
    }
    let seconds: i64 = whole.parse().ok().filter(|seconds| *seconds <= MOST_SECONDS)?;
    let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
    Some(if negative { (-seconds, -nanos) } else { (seconds, nanos) })
}

/// A boolean in one of the ways of YAML 1.1 or of protobuf's JSON parser, which Envoy takes.
fn boolean(text: &str) -> Option<bool> {
    match &text.to_ascii_lowercase()[..] {
        "true" | "yes" | "on" | "t" | "y" | "1" => Some(true),
        "false" | "no" | "off" | "f" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// A fraction without a fractional part.
fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 1e18).then_some(number as i128)
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number, _) => Some(*number),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Standard or URL-safe base64, with or without padding, as protobuf's JSON mapping takes it.
fn base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    let text = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    base64::engine::general_purpose::STANDARD_NO_PAD.decode(text).ok()
}

/// Whether Envoy has such a field, although the schema does not.
fn is_envoys(name: &str, message: &str) -> bool {
    // A line for each message: its name, a colon, its fields.
    let line = include_str!("envoy_fields.txt")
        .lines()
        .find_map(|line| line.strip_prefix(message)?.strip_prefix(": "));
    line.is_some_and(|fields| fields.split(' ').any(|field| plain(field) == plain(name)))
}

/// A name without what tells its spellings apart: `snake_case`, `lowerCamelCase`, `kebab-case`.
fn plain(name: &str) -> String {
    name.replace(['_', '-'], "").to_lowercase()
}

/// A sentence that suggests the known name that a mistyped one is probably meant to be, or nothing.
pub(crate) fn hint(name: &str, known: &[String]) -> String {
    nearest(name, known).map_or_else(String::new, |name| format!(" Did you mean `{name}`?"))
}

/// The known name that a mistyped one is probably meant to be.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let wanted = plain(name);
    let (distance, best) =
        known.iter().map(|known| (strsim::levenshtein(&wanted, &plain(known)), known)).min()?;
    // Long names have much in common without being meant.
    (distance <= (wanted.len() / 3).clamp(1, 3)).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("1s", Some((1, 0))),
            ("0.25s", Some((0, 250_000_000))),
            ("1.000000001s", Some((1, 1))),
            ("-1.5s", Some((-1, -500_000_000))),
            ("0s", Some((0, 0))),
            ("1", None),
            ("s", None),
            (".5s", None),
            ("1.s", None),
            ("1.0000000001s", None),
            ("1e3s", None),
            ("1 s", None),
            ("+1s", None),
            ("9223372035.999999999s", Some((9_223_372_035, 999_999_999))),
            ("9223372036s", None),
            ("999999999999s", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn bytes_in_base64() {
        for (text, expected) in [
            ("", Some(&b""[..])),
            ("aGk=", Some(b"hi")),
            ("aGk", Some(b"hi")),
            ("_-8", Some(b"\xff\xef")),
            ("/+8=", Some(b"\xff\xef")),
            ("a", None),
            ("a$==", None),
        ] {
            assert_eq!(base64(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn fields_of_envoy_are_known() {
        let cluster = "envoy.config.cluster.v3.Cluster";
        for (name, message, expected) in [
            ("health_checks", cluster, true),
            ("healthChecks", cluster, true),
            ("health_check", cluster, false),
            ("health_checks", "envoy.config.cluster.v3.Clust", false),
            ("slow_start_config", "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig", true),
            ("slow_start_config", cluster, false),
        ] {
            assert_eq!(is_envoys(name, message), expected, "{name} of {message}");
        }
        let pool = crate::api::pool();
        for line in include_str!("envoy_fields.txt").lines() {
            let name = line.split(": ").next().unwrap_or_default();
            assert!(pool.get_message_by_name(name).is_some(), "{line}");
        }
    }

    #[test]
    fn near_names() {
        let known = ["route_config".to_owned(), "stat_prefix".to_owned()];
        for (name, expected) in
            [("routeconfig", Some("route_config")), ("stat_perfix", Some("stat_prefix")), ("zzz", None)]
        {
            assert_eq!(nearest(name, &known), expected, "{name}");
        }
    }
}
