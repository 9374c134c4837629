//! The syntax of RE2, in which configurations are written, as that of the `regex` crate.
//!
//! They are nearly the same; what is here would otherwise be refused or, worse, mean something else: classes of one know
//! no sets in sets and no operators, `\d`, `\w`, `\s` and `\b` are about ASCII, `\<` is a character, and so is a brace
//! that begins no repetition.

/// The same expression for the `regex` crate. What is wrong stays wrong.
pub(super) fn translated(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(character) = take(&mut rest) {
        match character {
            '\\' => escape(&mut rest, &mut out, false),
            '[' => class(&mut rest, &mut out),
            '{' if !is_repetition(rest) => out.push_str("\\{"),
            other => out.push(other),
        }
    }
    out
}

fn take(rest: &mut &str) -> Option<char> {
    let character = rest.chars().next()?;
    *rest = &rest[character.len_utf8()..];
    Some(character)
}

/// Whether `{` begins a repetition: `{2}`, `{2,}`, `{2,3}`.
fn is_repetition(behind: &str) -> bool {
    let Some((inside, _)) = behind.split_once('}') else { return false };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    !least.is_empty() && digits(least) && digits(most)
}

/// What stands behind a backslash.
fn escape(rest: &mut &str, out: &mut String, in_class: bool) {
    let Some(character) = take(rest) else { return out.push('\\') };
    let text = match character {
        'd' => "[0-9]",
        'w' => "[0-9A-Za-z_]",
        's' => r"[\t\n\f\r ]",
        'D' => r"[^0-9]",
        'W' => r"[^0-9A-Za-z_]",
        'S' => r"[^\t\n\f\r ]",
        'b' if !in_class => r"(?-u:\b)",
        'B' if !in_class => r"(?-u:\B)",
        'C' if !in_class => "(?s-u:.)",
        '<' | '>' => return out.push(character),
        '0' => {
            let length = rest.bytes().take(2).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
            let value = rest[..length].bytes().fold(0, |value, digit| value * 8 + u32::from(digit - b'0'));
            *rest = &rest[length..];
            return out.push_str(&format!("\\x{{{value:x}}}"));
        }
        'Q' if !in_class => {
            let (literal, behind) = rest.split_once("\\E").unwrap_or((rest, ""));
            out.push_str(&regex::escape(literal));
            *rest = behind;
            return;
        }
        // Braces behind these belong to them.
        'p' | 'P' | 'x' if rest.starts_with('{') => {
            let end = rest.find('}').map_or(rest.len(), |at| at + 1);
            out.extend(['\\', character]);
            out.push_str(&rest[..end]);
            *rest = &rest[end..];
            return;
        }
        other => return out.extend(['\\', other]),
    };
    out.push_str(text);
}

/// What stands behind an opening bracket, up to the closing one.
fn class(rest: &mut &str, out: &mut String) {
    out.push('[');
    if let Some(behind) = rest.strip_prefix('^') {
        out.push('^');
        *rest = behind;
    }
    // Whether the last item may begin a range, and whether the next one ends a range.
    let (mut first, mut begins, mut ends) = (true, false, false);
    while let Some(character) = take(rest) {
        let mut single = true;
        match character {
            ']' if !first => return out.push(']'),
            '-' if begins && !rest.starts_with(']') => {
                out.push('-');
                (begins, ends) = (false, true);
                continue;
            }
            '\\' => {
                single = !rest.starts_with(['d', 'D', 'w', 'W', 's', 'S', 'p', 'P']);
                escape(rest, out, true);
            }
            '[' if rest.starts_with(':') && rest.contains(":]") => {
                let end = rest.find(":]").map_or(rest.len(), |at| at + 2);
                out.push('[');
                out.push_str(&rest[..end]);
                *rest = &rest[end..];
                single = false;
            }
            '[' | ']' | '&' | '~' | '-' => out.extend(['\\', character]),
            other => out.push(other),
        }
        (begins, ends) = (single && !ends, false);
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let translated = format!("^(?:{})$", translated(pattern));
        let built = regex::bytes::Regex::new(&translated);
        built.unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(text.as_bytes())
    }

    #[test]
    fn what_means_something_else() {
        for (pattern, yes, no) in [
            (r"\d+", &["09"][..], &["٣", "a"][..]),
            (r"\w+", &["a_Z9"], &["é", "-"]),
            (r"\s", &[" ", "\t"], &["\u{a0}", "\u{b}"]),
            (r"\D\W\S", &["aé."], &["1..", "aa.", "a. "]),
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
            (r"[^]a]", &["b"], &["]", "a"]),
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
            (r"\x{41}\x42\pL\p{Greek}", &["ABéα"], &["ABéb"]),
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
            assert!(regex::bytes::Regex::new(&translated(pattern)).is_err(), "{pattern}");
        }
    }
}
