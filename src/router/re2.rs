//! The syntax of RE2, in which configurations are written, as that of the `regex` crate.
//!
//! They are nearly the same; what is here would otherwise be refused or, worse, mean something else: classes of one know
//! no sets in sets and no operators, `\<` is a character, and so is a brace that begins no repetition. As in Envoy, what is
//! matched are bytes: `.` is one of them, and a letter beyond ASCII is several.

use super::compile::REGEX_LIMIT;
use regex::bytes::{Regex, RegexBuilder};

/// An expression that may match anywhere.
pub(super) fn unanchored(text: &str) -> Result<Regex, regex::Error> {
    built(&translated(text))
}

/// An expression that must match the whole.
pub(super) fn anchored(text: &str) -> Result<Regex, regex::Error> {
    // Checked alone first, so that a bracket too many does not get its other half.
    unanchored(text)?;
    built(&format!("^(?:{})$", translated(text)))
}

fn built(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).unicode(false).size_limit(REGEX_LIMIT).build()
}

/// The same expression for the `regex` crate. What is wrong stays wrong.
fn translated(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.as_bytes();
    while let Some(byte) = take(&mut rest) {
        match byte {
            b'\\' => escape(&mut rest, &mut out, false),
            b'[' => class(&mut rest, &mut out),
            b'{' if !is_repetition(rest) => out.push_str("\\{"),
            other => literal(other, &mut out),
        }
    }
    out
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (byte, behind) = rest.split_first()?;
    *rest = behind;
    Some(*byte)
}

/// The bytes up to the end of `end`, or all.
fn through<'a>(rest: &mut &'a [u8], end: &[u8]) -> &'a [u8] {
    let at = rest.windows(end.len()).position(|window| window == end);
    let (inside, behind) = rest.split_at(at.map_or(rest.len(), |at| at + end.len()));
    *rest = behind;
    inside
}

/// A byte as it is, or as a number beyond ASCII.
fn literal(byte: u8, out: &mut String) {
    match byte.is_ascii() {
        true => out.push(byte.into()),
        false => out.push_str(&format!("\\x{byte:02x}")),
    }
}

/// Whether `{` begins a repetition: `{2}`, `{2,}`, `{2,3}`.
fn is_repetition(behind: &[u8]) -> bool {
    let Some(end) = behind.iter().position(|byte| *byte == b'}') else { return false };
    let mut parts = behind[..end].splitn(2, |byte| *byte == b',');
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    parts.next().is_some_and(|least| !least.is_empty() && digits(least)) && parts.next().is_none_or(digits)
}

/// What stands behind a backslash.
fn escape(rest: &mut &[u8], out: &mut String, in_class: bool) {
    let Some(byte) = take(rest) else { return out.push('\\') };
    match byte {
        // Without the vertical tab.
        b's' => out.push_str(r"[\t\n\f\r ]"),
        b'S' => out.push_str(r"[^\t\n\f\r ]"),
        b'C' if !in_class => out.push_str("(?s:.)"),
        b'<' | b'>' => out.push(byte.into()),
        b'0' => {
            let length = rest.iter().take(2).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
            let value = rest[..length].iter().fold(0, |value, digit| value * 8 + (digit - b'0'));
            *rest = &rest[length..];
            out.push_str(&format!("\\x{value:02x}"));
        }
        b'Q' if !in_class => {
            let quoted = through(rest, b"\\E");
            let quoted = quoted.strip_suffix(b"\\E").unwrap_or(quoted);
            for byte in quoted {
                out.push_str(&format!("\\x{byte:02x}"));
            }
        }
        b'p' | b'P' => {
            let length = match rest.first() {
                Some(b'{') => rest.iter().position(|byte| *byte == b'}').map_or(rest.len(), |at| at + 1),
                next => usize::from(next.is_some()),
            };
            let (name, behind) = rest.split_at(length);
            *rest = behind;
            property(byte == b'P', &String::from_utf8_lossy(name), out);
        }
        // Beyond 0xff there is nothing to match.
        b'x' if rest.starts_with(b"{") => {
            let digits = String::from_utf8_lossy(through(rest, b"}"));
            let value = u8::from_str_radix(digits.trim_matches(['{', '}']), 16);
            out.push_str(&value.map_or_else(|_| format!(r"\x{digits}"), |value| format!(r"\x{value:02x}")));
        }
        // A letter beyond ASCII needs no backslash.
        other if !other.is_ascii() => literal(other, out),
        other => out.extend(['\\', other.into()]),
    }
}

/// The characters up to 0xff with a property of Unicode, each of which is a byte.
fn property(mut negated: bool, name: &str, out: &mut String) {
    let mut name = name.to_owned();
    if name.starts_with("{^") {
        name.remove(1);
        negated = !negated;
    }
    let Ok(test) = regex::Regex::new(&format!(r"^\p{name}$")) else {
        // The error will be about this.
        return out.push_str(&format!(r"\p{name}"));
    };
    out.push('[');
    // Never an empty class: both begin with a set that has all or nothing in it.
    out.push_str(if negated { r"^[^\x00-\xff]" } else { r"[^\x00-\xff]" });
    for byte in 0..=u8::MAX {
        if test.is_match(char::from(byte).encode_utf8(&mut [0; 4])) {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push(']');
}

/// What stands behind an opening bracket, up to the closing one.
fn class(rest: &mut &[u8], out: &mut String) {
    out.push('[');
    if let Some(behind) = rest.strip_prefix(b"^") {
        out.push('^');
        *rest = behind;
    }
    // Whether the last item may begin a range, and whether the next one ends a range.
    let (mut first, mut begins, mut ends) = (true, false, false);
    while let Some(byte) = take(rest) {
        let mut single = true;
        match byte {
            b']' if !first => return out.push(']'),
            b'-' if begins && !rest.starts_with(b"]") => {
                out.push('-');
                (begins, ends) = (false, true);
                continue;
            }
            b'\\' => {
                single = !rest.first().is_some_and(|next| b"dDwWsSpP".contains(next));
                escape(rest, out, true);
            }
            b'[' if rest.starts_with(b":") && rest.windows(2).any(|window| window == b":]") => {
                out.push('[');
                through(rest, b":]").iter().for_each(|byte| literal(*byte, out));
                single = false;
            }
            b'[' | b']' | b'&' | b'~' | b'-' => out.extend(['\\', byte.into()]),
            other => literal(other, out),
        }
        (begins, ends) = (single && !ends, false);
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        anchored(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(text.as_bytes())
    }

    #[test]
    fn what_means_something_else() {
        for (pattern, yes, no) in [
            (r"\d+", &["09"][..], &["٣", "a"][..]),
            (r"\w+", &["a_Z9"], &["é", "-"]),
            (r"\s", &[" ", "\t"], &["\u{a0}", "\u{b}"]),
            (r"\D\W\S", &["a-.", "aé"], &["1..", "aa.", "a. "]),
            (r"[\d_]+", &["1_"], &["٣"]),
            (r"[^\d]", &["a"], &["1"]),
            (r"[\D1]", &["a", "1"], &["2"]),
            (r"[\w-]+", &["a-b"], &["."]),
            (r"a\b.*", &["aé", "a b"], &["ab"]),
            (r"\<\>", &["<>"], &[""]),
            (r"[a&&b]", &["a", "&", "b"], &["c"]),
            (r"[a~~b]", &["a", "~", "b"], &["c"]),
            (r"[[a]", &["[", "a"], &["]"]),
            (r"[[a]b]", &["ab]", "[b]"], &["a", "ab"]),
            (r"[]a]", &["]", "a"], &["["]),
            (r"[^]a]", &["b"], &["]", "a", "é"]),
            (r"[a-]", &["a", "-"], &["b"]),
            (r"[-a]", &["a", "-"], &["b"]),
            (r"[+--]", &["+", ",", "-"], &["."]),
            (r"[\w-.]+", &["a-.", "_"], &["/", "`"]),
            (r"[\w-a]+", &["a-_"], &["`"]),
            (r"[a-c-e]+", &["b-e"], &["d"]),
            (r"[!-\]]+", &["A]!"], &["a"]),
            (r"[%-&]", &["%", "&"], &["'"]),
            (r"[[:alpha:]_]+", &["a_"], &[":", "é"]),
            (r"/\{id}/{id}", &["/{id}/{id}"], &["/id"]),
            (r"a{,2}", &["a{,2}"], &["aa"]),
            (r"a{2}b{1,}c{0,1}", &["aab", "aabbc"], &["ab"]),
            (r"\x{41}\x42\pL\p{^Greek}\PL", &["ABab-"], &["AB-b-"]),
            (r"[\x{c3}\x{A9}]+", &["é"], &["a"]),
            (r".", &["a"], &["é", ""]),
            (r"..", &["é"], &["a"]),
            (r"é+[é]{2}", &["éé"], &["é"]),
            (r"(?i)é", &["é"], &["É"]),
            (r"\é[^\p{Lu}]", &["éa"], &["éA"]),
            (r"\Qa.b\E.", &["a.bc"], &["axbc"]),
            (r"(?i)stra\.e", &["STRA.E"], &["straße"]),
        ] {
            for text in yes {
                assert!(matches(pattern, text), "{pattern} {text}");
            }
            for text in no {
                assert!(!matches(pattern, text), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn what_is_wrong_stays_wrong() {
        for pattern in ["[", "(", "a{2,1}", "[z-a]", "\\", "\\1", "(?=a)", "\\p{Foo}", "[a", "*"] {
            assert!(anchored(pattern).is_err(), "{pattern}");
        }
    }
}
