//! `envoy.config.core.v3.SubstitutionFormatString` to what writes lines and bodies.

use super::{Absent, Format, JsonFormat};
use crate::api::envoy::config::core::v3::{SubstitutionFormatString, substitution_format_string};
use crate::config::{Cx, data};
use crate::stream_info::StreamInfo;
use nuncio_codec::is_field_value;
use prost_types::Struct;
use substitution_format_string::Format as Specifier;

/// What writes a line of a log or the body of a response.
#[derive(Clone, Debug)]
pub struct BodyFormat {
    kind: Kind,
    content_type: Option<Box<str>>,
}

#[derive(Clone, Debug)]
enum Kind {
    Text(Format, Absent),
    Json(JsonFormat),
}

impl BodyFormat {
    /// A text in which what has no value is `-`.
    pub fn text(format: Format) -> Self {
        Self { kind: Kind::Text(format, Absent::Dash), content_type: None }
    }

    /// Appends the text for a stream; JSON is a line of its own.
    pub fn write(&self, info: &StreamInfo<'_>, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Text(format, absent) => format.write(info, *absent, out),
            Kind::Json(format) => {
                format.write(info, out);
                out.push(b'\n');
            }
        }
    }

    /// The MIME type of the text.
    pub fn content_type(&self) -> &str {
        match (&self.content_type, &self.kind) {
            (Some(given), _) => given,
            (None, Kind::Text(..)) => "text/plain",
            (None, Kind::Json(_)) => "application/json",
        }
    }
}

/// Compiles a format.
pub fn substitution(proto: &SubstitutionFormatString, cx: &mut Cx<'_>) -> Option<BodyFormat> {
    let absent = if proto.omit_empty_values { Absent::Empty } else { Absent::Dash };
    let kind = match &proto.format {
        None => {
            cx.one_of(&["text_format", "text_format_source", "json_format"]);
            None
        }
        Some(Specifier::TextFormat(format)) => text("text_format", format, absent, cx),
        Some(Specifier::TextFormatSource(source)) => cx.field("text_format_source", |cx| {
            let bytes = data(source, cx)?;
            match String::from_utf8(bytes) {
                Ok(format) => text("inline_string", &format, absent, cx),
                Err(_) => {
                    cx.error("a format must be UTF-8");
                    None
                }
            }
        }),
        Some(Specifier::JsonFormat(object)) => json("json_format", object, proto.omit_empty_values, cx),
    };
    if !is_field_value(proto.content_type.as_bytes()) {
        cx.error_at("content_type", "there must be no control characters in the value of a header");
    }
    let content_type = (!proto.content_type.is_empty()).then(|| proto.content_type.clone().into());
    Some(BodyFormat { kind: kind?, content_type })
}

/// Compiles a text in a field of the present message.
pub fn plain(field: &str, format: &str, cx: &mut Cx<'_>) -> Option<BodyFormat> {
    Some(BodyFormat { kind: text(field, format, Absent::Dash, cx)?, content_type: None })
}

/// Compiles a JSON object in a field of the present message.
pub fn object(field: &str, object: &Struct, cx: &mut Cx<'_>) -> Option<BodyFormat> {
    Some(BodyFormat { kind: json(field, object, false, cx)?, content_type: None })
}

fn text(field: &str, format: &str, absent: Absent, cx: &mut Cx<'_>) -> Option<Kind> {
    match Format::parse(format) {
        Ok(format) => Some(Kind::Text(format, absent)),
        Err(error) => {
            cx.error_at(field, error.to_string());
            None
        }
    }
}

fn json(field: &str, object: &Struct, omit_empty: bool, cx: &mut Cx<'_>) -> Option<Kind> {
    match JsonFormat::compile(object, omit_empty) {
        Ok(format) => Some(Kind::Json(format)),
        Err(errors) => {
            cx.field(field, |cx| {
                for (name, error) in errors {
                    cx.error_at(&name, error.to_string());
                }
            });
            None
        }
    }
}
