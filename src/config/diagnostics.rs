//! Everything that is wrong with a configuration, in words and with places.

use std::collections::HashMap;
use std::fmt;

/// A place in one of the texts.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which text.
    pub(super) text: usize,
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Path of the field, such as `static_resources.listeners[0].address`; empty for the whole.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Name of the text, line and column; the numbers are 0 when the place is not known.
    pub place: (String, usize, usize),
    /// The line.
    line: String,
}

/// Everything that is wrong, and the texts that it is in.
#[derive(Debug, Default)]
pub struct Diagnostics {
    texts: Vec<(String, String)>,
    places: HashMap<String, Place>,
    errors: Vec<Diagnostic>,
}

impl Diagnostics {
    /// What is wrong, in order of discovery.
    pub fn errors(&self) -> &[Diagnostic] {
        &self.errors
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn add_text(&mut self, name: &str, text: &str) -> usize {
        self.texts.push((name.to_owned(), text.to_owned()));
        self.texts.len() - 1
    }

    /// Remembers where a field stands.
    pub(super) fn place(&mut self, path: &str, place: Place) {
        self.places.insert(path.to_owned(), place);
    }

    /// Complains about the field at `path`, at its place or at that of the nearest field around it.
    pub(super) fn error(&mut self, path: &str, message: String) {
        let mut around = path;
        let place = loop {
            if let Some(place) = self.places.get(around) {
                break Some(*place);
            }
            match around.rfind(['.', '[']) {
                Some(at) => around = &around[..at],
                None => break None,
            }
        };
        self.error_at(path, place, message);
    }

    pub(super) fn error_at(&mut self, path: &str, place: Option<Place>, message: String) {
        let (place, line) = match place {
            None => {
                ((self.texts.first().map_or_else(String::new, |(name, _)| name.clone()), 0, 0), String::new())
            }
            Some(Place { text, line, column }) => {
                let (name, text) = &self.texts[text];
                let line_text = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
                ((name.clone(), line, column), line_text.to_owned())
            }
        };
        self.errors.push(Diagnostic { path: path.to_owned(), message, place, line });
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "error: {}", self.message)?;
        let (name, line, column) = &self.place;
        if *line > 0 {
            let margin = line.to_string().len();
            // Long lines (JSON on one line) are cut to what is around the place.
            let from = column.saturating_sub(60);
            let shown: String = self.line.chars().skip(from).take(120).collect();
            writeln!(out, "{:margin$}--> {name}:{line}:{column}", "")?;
            writeln!(out, "{:margin$} |", "")?;
            writeln!(out, "{line} | {shown}")?;
            writeln!(out, "{:margin$} | {:>width$}", "", "^", width = column - from)?;
        } else if !name.is_empty() {
            writeln!(out, "  --> {name}")?;
        }
        if !self.path.is_empty() {
            writeln!(out, "  = field: {}", self.path)?;
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.errors {
            writeln!(out, "{error}")?;
        }
        let (count, s) = (self.errors.len(), if self.errors.len() == 1 { "" } else { "s" });
        write!(out, "configuration rejected: {count} error{s}")
    }
}

impl std::error::Error for Diagnostics {}
