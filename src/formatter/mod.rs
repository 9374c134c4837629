//! Texts with command operators: `%REQ(user-agent)%` and its kin, for access logs, header values and local replies.
//!
//! A format is parsed once, when configuration is compiled, and written many times from a [`StreamInfo`]. Names and
//! meanings are Envoy's ("Access logging: command operators"). Operators for what cannot exist here, such as client
//! certificates without TLS, are taken and have no value; unknown ones are errors.

mod coalesce;
pub mod compile;
mod json;
mod operator;
mod query;
mod server_name;
mod time;
mod tls;

pub use json::JsonFormat;
pub(crate) use operator::{grpc_status_of_http, is_grpc};
pub(crate) use query::{query_parameter, without_query};

use crate::stream_info::StreamInfo;
use operator::Operator;
use std::fmt;

/// A text with command operators.
#[derive(Clone, Debug)]
pub struct Format {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(Box<[u8]>),
    Operator(Operator),
}

/// What is wrong with a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError(String);

impl fmt::Display for FormatError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for FormatError {}

/// What stands for an operator without a value.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// `-`.
    Dash,
    /// Nothing.
    Empty,
}

impl Format {
    /// Parses a text.
    ///
    /// # Errors
    /// An operator that is unknown, or not closed, or has the wrong arguments.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            literal.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at + 1..];
            if let Some(more) = rest.strip_prefix('%') {
                literal.push(b'%');
                rest = more;
                continue;
            }
            let (operator, length) = operator_at(rest)?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
            }
            pieces.push(Piece::Operator(operator));
            rest = &rest[length..];
        }
        literal.extend_from_slice(rest.as_bytes());
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        Ok(Self { pieces })
    }

    /// Appends the text for a stream.
    pub fn write(&self, info: &StreamInfo<'_>, absent: Absent, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Operator(operator) => {
                    if !operator.write(info, out) && absent == Absent::Dash {
                        out.push(b'-');
                    }
                }
            }
        }
    }

    /// Appends the value of a header for a stream: what has no value adds nothing.
    pub fn write_value(&self, info: &StreamInfo<'_>, out: &mut Vec<u8>) {
        self.write(info, Absent::Empty, out);
    }

    /// The only operator, if there is nothing else.
    fn single(&self) -> Option<&Operator> {
        match &self.pieces[..] {
            [Piece::Operator(operator)] => Some(operator),
            _ => None,
        }
    }
}

/// The operator at the start of a text, behind its `%`, and how long it is with its closing `%`.
fn operator_at(text: &str) -> Result<(Operator, usize), FormatError> {
    let name_end = text
        .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .unwrap_or(text.len());
    let name = &text[..name_end];
    let mut at = name_end;
    let mut arguments = None;
    if text[at..].starts_with('(') {
        let Some(close) = text[at..].find(')') else {
            return Err(FormatError(format!("`%{name}(` has no closing parenthesis")));
        };
        arguments = Some(&text[at + 1..at + close]);
        at += close + 1;
    }
    let mut limit = None;
    if let Some(digits) = text[at..].strip_prefix(':') {
        let length = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let number = digits[..length].parse::<usize>();
        limit = Some(number.map_err(|_| {
            FormatError(format!("behind `%{name}:` a length is expected, as in `%REQ(user-agent):10%`"))
        })?);
        at += 1 + length;
    }
    if !text[at..].starts_with('%') || name.is_empty() {
        let shown: String = text.chars().take(24).collect();
        return Err(FormatError(format!(
            "`%{shown}` is no operator: `%NAME%` or `%NAME(ARGUMENTS):LENGTH%` is expected; a percent sign is `%%`"
        )));
    }
    Ok((Operator::parse(name, arguments, limit).map_err(FormatError)?, at + 1))
}

#[cfg(test)]
mod tests;
