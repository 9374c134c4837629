//! Header names that the proxy knows, as small numbers.

use super::chars::{EACH, is_token};
use std::fmt;

/// A well-known header name, or [`HeaderId::OTHER`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderId(u8);

macro_rules! known {
    ($($id:ident = $name:literal;)*) => {
        /// In the order of the constants; sorted by length.
        const NAMES: &[&str] = &[$($name),*];

        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "these number the constants")]
        #[repr(u8)]
        enum Number { $($id),* }

        #[allow(missing_docs, reason = "the constants are the names")]
        impl HeaderId {
            $(pub const $id: Self = Self(Number::$id as u8);)*
        }
    };
}

// Sorted by length: the look-up depends on it, and `STARTS` checks it at compile time.
known! {
    TE = "te";
    B3 = "b3";
    AGE = "age";
    VIA = "via";
    DATE = "date";
    ETAG = "etag";
    FROM = "from";
    HOST = "host";
    LINK = "link";
    VARY = "vary";
    PATH = ":path";
    ALLOW = "allow";
    RANGE = "range";
    ACCEPT = "accept";
    COOKIE = "cookie";
    EXPECT = "expect";
    ORIGIN = "origin";
    PRAGMA = "pragma";
    SERVER = "server";
    METHOD = ":method";
    SCHEME = ":scheme";
    STATUS = ":status";
    ALT_SVC = "alt-svc";
    EXPIRES = "expires";
    REFERER = "referer";
    TRAILER = "trailer";
    UPGRADE = "upgrade";
    IF_MATCH = "if-match";
    IF_RANGE = "if-range";
    LOCATION = "location";
    PRIORITY = "priority";
    PROTOCOL = ":protocol";
    FORWARDED = "forwarded";
    X_REAL_IP = "x-real-ip";
    AUTHORITY = ":authority";
    CONNECTION = "connection";
    KEEP_ALIVE = "keep-alive";
    SET_COOKIE = "set-cookie";
    TRACESTATE = "tracestate";
    USER_AGENT = "user-agent";
    X_B3_FLAGS = "x-b3-flags";
    GRPC_STATUS = "grpc-status";
    RETRY_AFTER = "retry-after";
    TRACEPARENT = "traceparent";
    X_B3_SPANID = "x-b3-spanid";
    X_B3_TRACEID = "x-b3-traceid";
    X_B3_SAMPLED = "x-b3-sampled";
    X_REQUEST_ID = "x-request-id";
    CONTENT_TYPE = "content-type";
    GRPC_MESSAGE = "grpc-message";
    GRPC_TIMEOUT = "grpc-timeout";
    PROXY_STATUS = "proxy-status";
    MAX_FORWARDS = "max-forwards";
    ACCEPT_RANGES = "accept-ranges";
    AUTHORIZATION = "authorization";
    CACHE_CONTROL = "cache-control";
    CONTENT_RANGE = "content-range";
    GRPC_ENCODING = "grpc-encoding";
    IF_NONE_MATCH = "if-none-match";
    LAST_MODIFIED = "last-modified";
    ACCEPT_CHARSET = "accept-charset";
    CONTENT_LENGTH = "content-length";
    HTTP2_SETTINGS = "http2-settings";
    X_FORWARDED_FOR = "x-forwarded-for";
    ACCEPT_ENCODING = "accept-encoding";
    ACCEPT_LANGUAGE = "accept-language";
    X_ENVOY_IP_TAGS = "x-envoy-ip-tags";
    CONTENT_ENCODING = "content-encoding";
    CONTENT_LANGUAGE = "content-language";
    CONTENT_LOCATION = "content-location";
    X_FORWARDED_HOST = "x-forwarded-host";
    X_FORWARDED_PORT = "x-forwarded-port";
    PROXY_CONNECTION = "proxy-connection";
    WWW_AUTHENTICATE = "www-authenticate";
    X_ENVOY_DEGRADED = "x-envoy-degraded";
    X_ENVOY_INTERNAL = "x-envoy-internal";
    X_ENVOY_RETRY_ON = "x-envoy-retry-on";
    X_B3_PARENTSPANID = "x-b3-parentspanid";
    X_FORWARDED_PROTO = "x-forwarded-proto";
    X_CLIENT_TRACE_ID = "x-client-trace-id";
    TRANSFER_ENCODING = "transfer-encoding";
    IF_MODIFIED_SINCE = "if-modified-since";
    SEC_WEBSOCKET_KEY = "sec-websocket-key";
    PROXY_AUTHENTICATE = "proxy-authenticate";
    X_ENVOY_OVERLOADED = "x-envoy-overloaded";
    PROXY_AUTHORIZATION = "proxy-authorization";
    IF_UNMODIFIED_SINCE = "if-unmodified-since";
    X_ENVOY_FORCE_TRACE = "x-envoy-force-trace";
    X_ENVOY_MAX_RETRIES = "x-envoy-max-retries";
    X_ENVOY_RATELIMITED = "x-envoy-ratelimited";
    X_ENVOY_ORIGINAL_URL = "x-envoy-original-url";
    GRPC_ACCEPT_ENCODING = "grpc-accept-encoding";
    SEC_WEBSOCKET_ACCEPT = "sec-websocket-accept";
    SEC_WEBSOCKET_VERSION = "sec-websocket-version";
    X_ENVOY_ATTEMPT_COUNT = "x-envoy-attempt-count";
    X_ENVOY_ORIGINAL_PATH = "x-envoy-original-path";
    X_ENVOY_ORIGINAL_HOST = "x-envoy-original-host";
    X_ENVOY_RETRY_GRPC_ON = "x-envoy-retry-grpc-on";
    X_ENVOY_UPSTREAM_HOST = "x-envoy-upstream-host";
    ACCESS_CONTROL_MAX_AGE = "access-control-max-age";
    SEC_WEBSOCKET_PROTOCOL = "sec-websocket-protocol";
    X_FORWARDED_CLIENT_CERT = "x-forwarded-client-cert";
    X_ENVOY_UPSTREAM_CANARY = "x-envoy-upstream-canary";
    X_ENVOY_EXTERNAL_ADDRESS = "x-envoy-external-address";
    X_ENVOY_IS_TIMEOUT_RETRY = "x-envoy-is-timeout-retry";
    STRICT_TRANSPORT_SECURITY = "strict-transport-security";
    ACCESS_CONTROL_ALLOW_ORIGIN = "access-control-allow-origin";
    X_ENVOY_DECORATOR_OPERATION = "x-envoy-decorator-operation";
    ACCESS_CONTROL_ALLOW_HEADERS = "access-control-allow-headers";
    ACCESS_CONTROL_ALLOW_METHODS = "access-control-allow-methods";
    ACCESS_CONTROL_REQUEST_METHOD = "access-control-request-method";
    ACCESS_CONTROL_EXPOSE_HEADERS = "access-control-expose-headers";
    X_ENVOY_UPSTREAM_SERVICE_TIME = "x-envoy-upstream-service-time";
    ACCESS_CONTROL_REQUEST_HEADERS = "access-control-request-headers";
    X_ENVOY_EXPECTED_RQ_TIMEOUT_MS = "x-envoy-expected-rq-timeout-ms";
    X_ENVOY_RETRIABLE_HEADER_NAMES = "x-envoy-retriable-header-names";
    X_ENVOY_RETRIABLE_STATUS_CODES = "x-envoy-retriable-status-codes";
    X_ENVOY_UPSTREAM_ALT_STAT_NAME = "x-envoy-upstream-alt-stat-name";
    X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS = "x-envoy-upstream-rq-timeout-ms";
    X_ENVOY_DOWNSTREAM_SERVICE_NODE = "x-envoy-downstream-service-node";
    ACCESS_CONTROL_ALLOW_CREDENTIALS = "access-control-allow-credentials";
    X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT = "x-envoy-hedge-on-per-try-timeout";
    X_ENVOY_DOWNSTREAM_SERVICE_CLUSTER = "x-envoy-downstream-service-cluster";
    X_ENVOY_IMMEDIATE_HEALTH_CHECK_FAIL = "x-envoy-immediate-health-check-fail";
    X_ENVOY_UPSTREAM_STREAM_DURATION_MS = "x-envoy-upstream-stream-duration-ms";
    X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS = "x-envoy-upstream-rq-per-try-timeout-ms";
    X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE = "x-envoy-upstream-rq-timeout-alt-response";
}

/// The longest known name.
const LONGEST: usize = 40;

/// Where the names of each length begin in `NAMES`.
const STARTS: [u8; LONGEST + 2] = {
    let mut starts = [0; LONGEST + 2];
    let (mut length, mut at) = (0, 0);
    while length < starts.len() {
        while at < NAMES.len() && NAMES[at].len() < length {
            at += 1;
        }
        starts[length] = at as u8;
        length += 1;
    }
    let mut n = 1;
    while n < NAMES.len() {
        assert!(NAMES[n - 1].len() <= NAMES[n].len(), "names are sorted by length");
        n += 1;
    }
    assert!(at == NAMES.len() && NAMES.len() < 128, "presence is a 128-bit set");
    starts
};

/// The ends of the known names: what they are told apart by.
static ENDS: [(u64, u64); NAMES.len()] = {
    let mut all = [(0, 0); NAMES.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = ends(NAMES[at].as_bytes());
        at += 1;
    }
    all
};

/// The first and the last eight bytes of a name, as numbers, which is all of it up to a length of 16. Of a shorter one than
/// eight bytes the first and the last four, or each of up to three: for names of one length there is but one way to read
/// them.
#[inline]
const fn ends(name: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64);
    }
    match name {
        [] => (0, 0),
        [first, .., last] => (*first as u64 | (name[name.len() / 2] as u64) << 8, *last as u64),
        [only] => (*only as u64, 0),
    }
}

/// The letters A to Z among eight bytes, and nothing else, in lower case.
#[inline]
const fn lower(bytes: u64) -> u64 {
    let low = bytes & (0x7f * EACH);
    let from_a = low + (0x80 - b'A' as u64) * EACH;
    let after_z = low + (0x7f - b'Z' as u64) * EACH;
    let is_letter = from_a & !after_z & !bytes & (0x80 * EACH);
    bytes | (is_letter >> 2)
}

impl HeaderId {
    /// A name that is not in the table.
    pub const OTHER: Self = Self(u8::MAX);

    /// The number of a lower-case name.
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        let length = name.len();
        if length == 0 || length > LONGEST {
            return Self::OTHER;
        }
        let ends = ends(name);
        Self::among(length, |at| ENDS[at] == ends && (length <= 16 || NAMES[at].as_bytes() == name))
    }

    /// The number of a name in any case.
    #[inline]
    pub fn of_any_case(name: &[u8]) -> Self {
        let length = name.len();
        if length == 0 || length > LONGEST {
            return Self::OTHER;
        }
        let (first, last) = ends(name);
        let ends = (lower(first), lower(last));
        Self::among(length, |at| {
            ENDS[at] == ends && (length <= 16 || NAMES[at].as_bytes().eq_ignore_ascii_case(name))
        })
    }

    /// Puts a name into lower case, in its place, and gives its number.
    #[inline]
    pub(super) fn of_lowered(name: &mut [u8]) -> Self {
        let length = name.len();
        if !(8..=LONGEST).contains(&length) {
            name.make_ascii_lowercase();
            return Self::of(name);
        }
        let (first, last) = ends(name);
        let ends = (lower(first), lower(last));
        if length > 16 {
            for group in name[8..length - 8].as_chunks_mut().0 {
                *group = lower(u64::from_le_bytes(*group)).to_le_bytes();
            }
            if let Some(rest) = name[..length - 8].last_chunk_mut() {
                *rest = lower(u64::from_le_bytes(*rest)).to_le_bytes();
            }
        }
        if let Some(group) = name.first_chunk_mut() {
            *group = ends.0.to_le_bytes();
        }
        if let Some(group) = name.last_chunk_mut() {
            *group = ends.1.to_le_bytes();
        }
        Self::among(length, |at| ENDS[at] == ends && (length <= 16 || NAMES[at].as_bytes() == name))
    }

    /// The known name of this length that is the one.
    #[inline]
    fn among(length: usize, is: impl Fn(usize) -> bool) -> Self {
        for at in STARTS[length]..STARTS[length + 1] {
            if is(usize::from(at)) {
                return Self(at);
            }
        }
        Self::OTHER
    }

    /// How many names are known.
    pub(crate) const COUNT: usize = NAMES.len();

    /// The name; empty for [`Self::OTHER`].
    #[inline]
    pub const fn name(self) -> &'static str {
        match self.number() {
            Some(number) => NAMES[number],
            None => "",
        }
    }

    /// Its place among the known names, below [`Self::COUNT`].
    #[inline]
    pub(crate) const fn number(self) -> Option<usize> {
        if (self.0 as usize) < NAMES.len() { Some(self.0 as usize) } else { None }
    }
}

/// Known names, as a set.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names([u64; 2]);

impl Names {
    /// None.
    pub(super) const NONE: Self = Self([0; 2]);

    /// Whether a name is in it; [`HeaderId::OTHER`] never is.
    #[inline]
    pub(super) fn has(&self, id: HeaderId) -> bool {
        self.0.get(usize::from(id.0 / 64)).is_some_and(|word| word & (1 << (id.0 % 64)) != 0)
    }

    /// Adds a name.
    #[inline]
    pub(super) fn add(&mut self, id: HeaderId) {
        if let Some(word) = self.0.get_mut(usize::from(id.0 / 64)) {
            *word |= 1 << (id.0 % 64);
        }
    }
}

/// A header name made ready at configuration time: known, or lower-case bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderKey {
    id: HeaderId,
    /// Empty for a known name.
    other: Box<[u8]>,
}

/// What was given is not a header name (RFC 9110 section 5.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct InvalidName;

impl fmt::Display for InvalidName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("not a header name: only letters, digits and !#$%&'*+-.^_`|~ may stand in it")
    }
}

impl std::error::Error for InvalidName {}

impl HeaderKey {
    /// From a name in any case; pseudo-headers such as `:path` are names too.
    ///
    /// # Errors
    /// If it is not a token.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let name = name.to_ascii_lowercase().into_bytes();
        let id = HeaderId::of(&name);
        if id != HeaderId::OTHER {
            return Ok(Self { id, other: Box::default() });
        }
        if is_token(&name) { Ok(Self { id, other: name.into() }) } else { Err(InvalidName) }
    }

    /// Its number.
    pub fn id(&self) -> HeaderId {
        self.id
    }

    /// The lower-case name.
    pub fn as_str(&self) -> &str {
        if self.id == HeaderId::OTHER {
            std::str::from_utf8(&self.other).expect("a token is ASCII")
        } else {
            self.id.name()
        }
    }
}

impl From<HeaderId> for HeaderKey {
    fn from(id: HeaderId) -> Self {
        Self { id, other: Box::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_and_no_other() {
        for (at, name) in NAMES.iter().enumerate() {
            let id = HeaderId::of(name.as_bytes());
            assert_eq!((usize::from(id.0), id.name()), (at, *name));
            let mut other = name.as_bytes().to_vec();
            other[name.len() / 2] ^= 1;
            assert_ne!(HeaderId::of(&other).name(), *name);
        }
        for name in NAMES {
            for other in [name.to_ascii_uppercase(), name.replace('e', "E")] {
                assert_eq!(HeaderId::of_any_case(other.as_bytes()).name(), *name);
            }
            for at in 0..name.len() {
                for bit in [1, 0x20, 0x80] {
                    let mut other = name.as_bytes().to_vec();
                    other[at] ^= bit;
                    let found = HeaderId::of_any_case(&other).name();
                    assert_eq!(
                        found == *name,
                        other.eq_ignore_ascii_case(name.as_bytes()),
                        "{name} {at} {bit}"
                    );
                    assert_ne!(HeaderId::of(&other), HeaderId::of(name.as_bytes()), "{name} {at} {bit}");
                }
            }
        }
        for name in ["", "x", "X-Request-Id", "content-lengtH", "x-envoy-unknown", &"a".repeat(300)] {
            assert_eq!(HeaderId::of(name.as_bytes()), HeaderId::OTHER, "{name}");
        }
        assert_eq!(NAMES.iter().map(|name| name.len()).max(), Some(LONGEST));
    }

    #[test]
    fn keys() {
        assert_eq!(HeaderKey::new("Host").map(|key| key.id()), Ok(HeaderId::HOST));
        assert_eq!(HeaderKey::new(":PATH").map(|key| key.id()), Ok(HeaderId::PATH));
        assert_eq!(HeaderKey::new("X-Custom").expect("a name").as_str(), "x-custom");
        for name in ["", "a b", "a:b", ":nope", "caf\u{e9}", "a\n"] {
            assert_eq!(HeaderKey::new(name), Err(InvalidName), "{name:?}");
        }
    }
}
