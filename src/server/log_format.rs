//! `--log-format`: a line of the process's own log, in the language of Envoy's (spdlog's patterns).

use log::{Level, Record};
use std::io::{self, Write};
use std::iter::Peekable;
use std::str::{Chars, FromStr};

/// What a line looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormat(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Flag(char, Padding),
    /// A part of the time, by strftime's name.
    Time(&'static str, Padding),
}

/// To how many characters something is filled up, and where it stands in them.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
struct Padding {
    width: usize,
    side: Side,
}

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
enum Side {
    #[default]
    Right,
    Left,
    Middle,
}

/// Flags for times and what they are in strftime.
const TIMES: [(char, &str); 26] = [
    ('a', "%a"),
    ('A', "%A"),
    ('b', "%b"),
    ('h', "%b"),
    ('B', "%B"),
    ('c', "%a %b %e %H:%M:%S %Y"),
    ('C', "%y"),
    ('Y', "%Y"),
    ('D', "%m/%d/%y"),
    ('x', "%m/%d/%y"),
    ('m', "%m"),
    ('d', "%d"),
    ('H', "%H"),
    ('I', "%I"),
    ('M', "%M"),
    ('S', "%S"),
    ('e', "%3f"),
    ('f', "%6f"),
    ('F', "%9f"),
    ('p', "%p"),
    ('r', "%I:%M:%S %p"),
    ('R', "%H:%M"),
    ('T', "%H:%M:%S"),
    ('X', "%H:%M:%S"),
    ('z', "%:z"),
    ('E', "%s"),
];

/// The other flags.
const FLAGS: &str = "vjnlLtPsg#@";

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars().peekable();
        while let Some(character) = rest.next() {
            if character != '%' {
                literal.push(character);
                continue;
            }
            let padding = padding(&mut rest)?;
            match rest.next() {
                // Where colours begin and end; there are none.
                Some('^' | '$') => {}
                Some('%') => literal.push('%'),
                Some(flag) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    let time = TIMES.iter().find(|(known, _)| *known == flag);
                    pieces.push(match time {
                        Some((_, format)) => Piece::Time(format, padding),
                        None if FLAGS.contains(flag) => Piece::Flag(flag, padding),
                        None => return Err(unknown(flag)),
                    });
                }
                None => {
                    return Err("a flag is expected behind the last `%`; a percent sign is `%%`".to_owned());
                }
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces.into()))
    }
}

fn unknown(flag: char) -> String {
    let times: String = TIMES.iter().map(|(flag, _)| *flag).collect();
    format!("`%{flag}` is none of the flags that are supported: {FLAGS}{times}^$%")
}

/// The padding in front of a flag: `8`, `-8` or `=8`.
fn padding(rest: &mut Peekable<Chars<'_>>) -> Result<Padding, String> {
    let side = match rest.peek() {
        Some('-') => Side::Left,
        Some('=') => Side::Middle,
        _ => Side::Right,
    };
    if side != Side::Right {
        rest.next();
    }
    let mut width = 0;
    while let Some(digit) = rest.peek().and_then(|character| character.to_digit(10)) {
        width = width * 10 + digit as usize;
        rest.next();
        if width > 64 {
            return Err("more than 64 characters are not filled up".to_owned());
        }
    }
    Ok(Padding { width, side })
}

impl LogFormat {
    /// Appends a line.
    pub(super) fn write(
        &self,
        record: &Record<'_>,
        now: &jiff::Zoned,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.write_all(text.as_bytes())?,
                Piece::Time(format, padding) => padding.write(&now.strftime(format).to_string(), out)?,
                Piece::Flag('v', Padding { width: 0, .. }) => write!(out, "{}", record.args())?,
                Piece::Flag(flag, padding) => padding.write(&text(*flag, record), out)?,
            }
        }
        out.write_all(b"\n")
    }
}

fn text(flag: char, record: &Record<'_>) -> String {
    let file = record.file().unwrap_or_default();
    match flag {
        'v' => record.args().to_string(),
        'j' => {
            let quoted = serde_json::Value::from(record.args().to_string()).to_string();
            quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
        }
        'n' => target(record).to_owned(),
        'l' => name(record.level()).to_owned(),
        'L' => name(record.level())[..1].to_uppercase(),
        't' => THREAD.with(|id| id.to_string()),
        'P' => std::process::id().to_string(),
        's' => file.rsplit('/').next().unwrap_or_default().to_owned(),
        'g' => file.to_owned(),
        '#' => record.line().unwrap_or_default().to_string(),
        _ => format!("{file}:{}", record.line().unwrap_or_default()),
    }
}

thread_local! {
    /// The system's number of this thread.
    static THREAD: Box<str> = std::fs::read_link("/proc/thread-self")
        .ok()
        .and_then(|path| Some(path.file_name()?.to_str()?.into()))
        .unwrap_or_else(|| "0".into());
}

/// The part of the program that speaks.
pub(super) fn target<'a>(record: &'a Record<'_>) -> &'a str {
    record.target().trim_start_matches("nuncio::")
}

/// Envoy's name of a level.
pub(super) fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

impl Padding {
    fn write(self, text: &str, out: &mut dyn Write) -> io::Result<()> {
        let width = self.width;
        match self.side {
            Side::Right => write!(out, "{text:>width$}"),
            Side::Left => write!(out, "{text:<width$}"),
            Side::Middle => write!(out, "{text:^width$}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: &str) -> Result<String, String> {
        let now =
            jiff::Timestamp::new(784_111_777, 5_006_007).expect("a time").to_zoned(jiff::tz::TimeZone::UTC);
        let mut out = Vec::new();
        let format: LogFormat = format.parse()?;
        let mut record = Record::builder();
        record
            .level(Level::Warn)
            .target("nuncio::server::run")
            .file(Some("src/server/run.rs"))
            .line(Some(12));
        format.write(&record.args(format_args!("say \"hi\"")).build(), &now, &mut out).expect("memory");
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn flags_are_those_of_envoy() {
        for (format, wanted) in [
            (
                "[%Y-%m-%d %T.%e][%l][%n] [%g:%#] %v",
                "[1994-11-06 08:49:37.005][warning][server::run] [src/server/run.rs:12] say \"hi\"",
            ),
            (
                "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %s:%#\t%v",
                "1994-11-06T08:49:37.005006Z\twarning\tenvoy server::run run.rs:12\tsay \"hi\"",
            ),
            (r#"{"level": "%l", "message": "%j"}"#, r#"{"level": "warning", "message": "say \"hi\""}"#),
            ("%L|%8l|%-8l|%=9l|%^x%$|100%%|%@", "W| warning|warning | warning |x|100%|src/server/run.rs:12"),
            ("%F %D %R %E %z %c", "005006007 11/06/94 08:49 784111777 +00:00 Sun Nov  6 08:49:37 1994"),
            (
                "%a %A %b %B %H %I %M %S %p %r %C %x %X",
                "Sun Sunday Nov November 08 08 49 37 AM 08:49:37 AM 94 11/06/94 08:49:37",
            ),
        ] {
            assert_eq!(written(format).expect(format), format!("{wanted}\n"), "{format}");
        }
        let id = std::process::id().to_string();
        assert_eq!(written("%P").expect("valid").trim_end(), id);
        assert!(written("%t").expect("valid").trim_end().parse::<u32>().is_ok_and(|thread| thread > 0));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (format, says) in
            [("%q", "`%q` is none"), ("%!", "`%!` is none"), ("a%", "behind the last"), ("%99l", "64")]
        {
            let error = written(format).expect_err(format);
            assert!(error.contains(says), "{format}: {error}");
        }
    }
}
