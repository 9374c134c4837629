//! Which streams an access log has a line for (`envoy.config.accesslog.v3.AccessLogFilter`).

use crate::router::config::HeaderMatch;
use crate::stream_info::{Flag, StreamInfo};

/// A condition on an ended stream.
#[derive(Debug)]
pub enum Filter {
    /// `status_code_filter`; 0 if there was no response.
    Status(Comparison),
    /// `duration_filter`, in milliseconds.
    Duration(Comparison),
    /// `not_health_check_filter`. Nothing here makes a request a health check yet, so it lets all through.
    NotHealthCheck,
    /// `and_filter`.
    All(Vec<Filter>),
    /// `or_filter`.
    Any(Vec<Filter>),
    /// `header_filter`: on the request.
    Header(HeaderMatch),
    /// `response_flag_filter`: one of these, or any at all if there are none.
    Flags(Vec<Flag>),
}

/// `ComparisonFilter`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// How.
    pub op: Op,
    /// With what.
    pub value: u64,
}

/// `ComparisonFilter.Op`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// `EQ`.
    Equal,
    /// `GE`.
    AtLeast,
    /// `LE`.
    AtMost,
    /// `NE`.
    NotEqual,
}

impl Comparison {
    fn holds(self, number: u64) -> bool {
        match self.op {
            Op::Equal => number == self.value,
            Op::AtLeast => number >= self.value,
            Op::AtMost => number <= self.value,
            Op::NotEqual => number != self.value,
        }
    }
}

impl Filter {
    /// Whether the condition holds.
    pub fn accepts(&self, info: &StreamInfo<'_>) -> bool {
        match self {
            Self::Status(comparison) => {
                comparison.holds(info.response.map_or(0, |response| response.status).into())
            }
            Self::Duration(comparison) => {
                comparison.holds(info.times.end.map_or(0, |end| end.as_millis() as u64))
            }
            Self::NotHealthCheck => true,
            Self::All(filters) => filters.iter().all(|filter| filter.accepts(info)),
            Self::Any(filters) => filters.iter().any(|filter| filter.accepts(info)),
            Self::Header(matcher) => matcher.matches(&info.request.headers),
            Self::Flags(flags) if flags.is_empty() => info.has_flags(),
            Self::Flags(flags) => flags.iter().any(|flag| info.has_flag(*flag)),
        }
    }
}
