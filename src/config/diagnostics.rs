//! Everything that is wrong with a configuration, in words and with places.
//!
//! Filled by reading the text ([`super::walk`]) and by compiling the messages ([`super::Cx`]), shown by whoever asked
//! for the configuration. What could not even be read is remembered, so that nobody complains about its absence.

use std::collections::HashMap;
use std::fmt;

/// Most characters of a line that are shown.
const WIDTH: usize = 120;

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

/// What is known of a field in the text.
#[derive(Debug, Default)]
struct Seen {
    place: Option<Place>,
    /// It could not be read, and is left out.
    unreadable: bool,
    /// It is a message with a key that its schema does not have.
    strange: bool,
}

/// Everything that is wrong, and the texts that it is in.
#[derive(Debug, Default)]
pub struct Diagnostics {
    texts: Vec<(String, String)>,
    /// By path.
    fields: HashMap<String, Seen>,
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

    fn seen(&mut self, path: &str) -> &mut Seen {
        self.fields.entry(path.to_owned()).or_default()
    }

    /// Remembers where a field stands.
    pub(super) fn place(&mut self, path: &str, place: Place) {
        self.seen(path).place = Some(place);
    }

    /// Remembers that a field is given, but could not be read.
    pub(super) fn unreadable(&mut self, path: &str) {
        self.seen(path).unreadable = true;
    }

    /// Whether a field is given, but could not be read, or is in one that could not.
    pub(super) fn is_unreadable(&self, path: &str) -> bool {
        around(path).any(|path| self.fields.get(path).is_some_and(|seen| seen.unreadable))
    }

    /// Remembers that a message has a key that its schema does not have.
    pub(super) fn strange(&mut self, path: &str) {
        self.seen(path).strange = true;
    }

    /// Whether a message has a key that its schema does not have: it may be meant as anything that is missing.
    pub(super) fn is_strange(&self, path: &str) -> bool {
        self.fields.get(path).is_some_and(|seen| seen.strange)
    }

    /// Complains about the field at `path`, at its place or at that of the nearest field around it; but not about
    /// a field that could not be read, for that has been said.
    pub(super) fn error(&mut self, path: &str, message: String) {
        if self.is_unreadable(path) {
            return;
        }
        let place = around(path).find_map(|path| self.fields.get(path)?.place);
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
        let (path, message) = (printable(path), printable(&message));
        self.errors.push(Diagnostic { path, message, place, line });
    }
}

/// A text in which control characters are shown and not obeyed: it is often what somebody else has written.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

/// A path and all paths that it is in, from the inside out; the last one is the empty path of the root.
fn around(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        (!path.is_empty()).then(|| &path[..path.rfind(['.', '[']).unwrap_or(0)])
    })
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "error: {}", self.message)?;
        let (name, line, column) = &self.place;
        if *line > 0 {
            let margin = line.to_string().len();
            // Long lines (JSON on one line) are cut to what is around the place.
            let long = self.line.chars().count() > WIDTH;
            let from = if long { column.saturating_sub(WIDTH / 2) } else { 0 };
            let shown: String = self.line.chars().skip(from).take(WIDTH).collect();
            // So that the caret stands below its character.
            let shown = shown.replace(char::is_control, " ");
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
