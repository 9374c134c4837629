//! Conditions on the alternative names of a peer's certificate.

use super::certificate::Names;
use crate::router::config::{StringMatch, StringPattern};

/// `SubjectAltNameMatcher`, or an entry of the deprecated `match_subject_alt_names`.
#[derive(Debug)]
pub(super) struct SanMatch {
    /// Which names; `None` for all kinds.
    pub kind: Option<SanKind>,
    /// The condition.
    pub test: StringMatch,
}

/// Kinds of alternative names.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum SanKind {
    /// DNS names.
    Dns,
    /// URIs.
    Uri,
    /// Mail addresses.
    Email,
    /// IP addresses.
    Ip,
}

impl SanMatch {
    /// Whether one of the names fits.
    pub(super) fn matches(&self, names: &Names) -> bool {
        let exact = match &self.test.pattern {
            StringPattern::Exact(text) => std::str::from_utf8(text).ok(),
            _ => None,
        };
        let kinds = [
            (SanKind::Dns, &names.dns),
            (SanKind::Uri, &names.uri),
            (SanKind::Email, &names.email),
            (SanKind::Ip, &names.ip),
        ];
        kinds.into_iter().filter(|(kind, _)| self.kind.is_none_or(|wanted| wanted == *kind)).any(
            |(kind, values)| {
                values.iter().any(|value| match exact {
                    // The certificate's name may be a wildcard then.
                    Some(wanted) if kind == SanKind::Dns => dns_matches(value, wanted),
                    _ => self.test.matches(value.as_bytes()),
                })
            },
        )
    }
}

/// Whether a DNS name of a certificate stands for a host: they are equal, or it is a wildcard in its first label.
pub(super) fn dns_matches(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(rest), Some((label, domain))) = (pattern.strip_prefix("*."), host.split_once('.')) else {
        return false;
    };
    // A wildcard for everything below a top-level domain is nobody's.
    !label.is_empty() && rest.contains('.') && rest.eq_ignore_ascii_case(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_one_label() {
        for (pattern, host, fits) in [
            ("a.test", "a.test", true),
            ("A.test", "a.TEST", true),
            ("*.a.test", "b.a.test", true),
            ("*.a.test", "a.test", false),
            ("*.a.test", "c.b.a.test", false),
            ("*.test", "a.test", false),
            ("b*.a.test", "bc.a.test", false),
            ("*.a.test", ".a.test", false),
            ("*", "a", false),
        ] {
            assert_eq!(dns_matches(pattern, host), fits, "{pattern} {host}");
        }
    }
}
