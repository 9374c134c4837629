//! `%COALESCE(…)%`: the first of several operators that has a value.

use super::operator::Operator;
use crate::stream_info::StreamInfo;
use serde_json::{Map, Value};

/// Operators in the order in which they are asked.
#[derive(Clone, Debug)]
pub(super) struct Coalesce(Box<[Operator]>);

impl Coalesce {
    /// From `{"operators": ["NAME", {"command": "NAME", "param": "ARGUMENTS", "max_length": LENGTH}]}`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let object = match serde_json::from_str(text) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Err("%COALESCE% needs a JSON object with `operators`".to_owned()),
            Err(error) => return Err(format!("%COALESCE% needs a JSON object: {error}")),
        };
        only(&object, &["operators"])?;
        let Some(Value::Array(list)) = object.get("operators") else {
            return Err("%COALESCE% needs a list of `operators`".to_owned());
        };
        if list.is_empty() {
            return Err("the `operators` of %COALESCE% are empty".to_owned());
        }
        let operators = list.iter().enumerate().map(|(at, entry)| {
            operator(entry).map_err(|error| format!("operators[{at}] of %COALESCE%: {error}"))
        });
        Ok(Self(operators.collect::<Result<_, _>>()?))
    }

    /// Appends the value; says whether there is one. An empty value is one.
    pub(super) fn write(&self, info: &StreamInfo<'_>, out: &mut Vec<u8>) -> bool {
        self.0.iter().any(|operator| operator.write(info, out))
    }

    /// Whether what is written is JSON as it stands.
    pub(super) fn is_json(&self, info: &StreamInfo<'_>) -> bool {
        let mut scratch = Vec::new();
        let chosen = self.0.iter().find(|operator| operator.write(info, &mut scratch));
        chosen.is_some_and(|operator| operator.is_json(info))
    }
}

fn operator(entry: &Value) -> Result<Operator, String> {
    let object = match entry {
        Value::String(name) => return Operator::parse(name, None, None),
        Value::Object(object) => object,
        _ => return Err("the name of an operator, or an object with a `command`, is expected".to_owned()),
    };
    only(object, &["command", "param", "max_length"])?;
    let Some(Value::String(name)) = object.get("command") else {
        return Err("the `command` must be the name of an operator".to_owned());
    };
    let arguments = match object.get("param") {
        None => None,
        Some(Value::String(text)) => Some(&text[..]),
        Some(_) => return Err("the `param` must be a text".to_owned()),
    };
    let limit = match object.get("max_length") {
        None => None,
        Some(length) => {
            let length = length.as_u64().filter(|length| *length > 0);
            let length = length.and_then(|length| usize::try_from(length).ok());
            Some(length.ok_or("the `max_length` must be a whole number above 0")?)
        }
    };
    Operator::parse(name, arguments, limit)
}

/// Refuses other keys.
fn only(object: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match object.keys().find(|key| !known.contains(&&key[..])) {
        Some(key) => Err(format!("%COALESCE% knows no `{key}`, only {}", known.join(", "))),
        None => Ok(()),
    }
}
