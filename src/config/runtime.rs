//! Values for keys (`layered_runtime`), looked up while the rest is compiled: there is no way to change them later.
//!
//! What nothing has looked up is an error, like a field that nothing reads.

use super::Cx;
use crate::api::envoy::config::bootstrap::v3::{LayeredRuntime, runtime_layer::LayerSpecifier};
use prost_types::{Struct, value::Kind};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

/// Keys and their values; of several layers the last one wins.
#[derive(Debug, Default)]
pub struct Runtime {
    values: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    value: Value,
    /// Its layer and the fields that lead to it.
    place: (usize, Vec<String>),
    used: Cell<bool>,
}

#[derive(Clone, Debug)]
enum Value {
    Number(f64),
    Text(String),
    Boolean(bool),
}

impl Runtime {
    /// Reads all layers.
    pub(crate) fn compile(proto: &LayeredRuntime, cx: &mut Cx<'_>) -> Self {
        let mut runtime = Self::default();
        let mut names = HashMap::new();
        let mut layer = 0;
        cx.each("layers", &proto.layers, |cx, proto| {
            if let Some(name) = cx.text("name", &proto.name)
                && names.insert(name.to_owned(), ()).is_some()
            {
                cx.error_at("name", format!("there is another layer called `{name}`"));
            }
            match &proto.layer_specifier {
                None => cx.one_of(&["static_layer"]),
                Some(LayerSpecifier::StaticLayer(values)) => cx.field("static_layer", |cx| {
                    runtime.read(values, &mut Vec::new(), layer, cx);
                }),
            }
            layer += 1;
            None::<()>
        });
        runtime
    }

    fn read(&mut self, values: &Struct, path: &mut Vec<String>, layer: usize, cx: &mut Cx<'_>) {
        // In the order of the names, so that complaints have one too.
        for (name, value) in values.fields.iter().collect::<BTreeMap<_, _>>() {
            path.push(name.clone());
            cx.field(name, |cx| {
                let value = match &value.kind {
                    Some(Kind::StructValue(inner)) => return self.read(inner, path, layer, cx),
                    Some(Kind::NumberValue(number)) => Value::Number(*number),
                    Some(Kind::StringValue(text)) => Value::Text(text.clone()),
                    Some(Kind::BoolValue(on)) => Value::Boolean(*on),
                    Some(Kind::ListValue(_)) | Some(Kind::NullValue(_)) | None => {
                        return cx.error("a value is a number, a text, a boolean or an object");
                    }
                };
                let entry = Entry { value, place: (layer, path.clone()), used: Cell::new(false) };
                self.values.insert(path.join("."), entry);
            });
            path.pop();
        }
    }

    fn value(&self, key: &str) -> Option<&Value> {
        let entry = self.values.get(key)?;
        entry.used.set(true);
        Some(&entry.value)
    }

    /// The whole number that a key stands for; `None` if it stands for none.
    pub fn integer(&self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::Number(number) if number.fract() == 0.0 && (0.0..=u64::MAX as f64).contains(number) => {
                Some(*number as u64)
            }
            Value::Text(text) => text.trim().parse().ok(),
            Value::Number(_) | Value::Boolean(_) => None,
        }
    }

    /// The switch that a key stands for; `None` if it stands for none.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Value::Boolean(on) => Some(*on),
            Value::Text(text) => text.trim().to_ascii_lowercase().parse().ok(),
            Value::Number(_) => None,
        }
    }

    /// Complains about what was not looked up; for when all else is compiled.
    pub(crate) fn complain(&self, cx: &mut Cx<'_>) {
        let unused: BTreeMap<_, _> = self.values.iter().filter(|(_, entry)| !entry.used.get()).collect();
        for (key, Entry { place: (layer, path), .. }) in unused {
            cx.field(&format!("layered_runtime.layers[{layer}].static_layer"), |cx| {
                cx.field(&path.join("."), |cx| {
                    cx.error(format!("nothing looks up the key `{key}`"));
                });
            });
        }
    }
}
