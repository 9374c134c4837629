//! Tags: the parts of names that say which thing is meant, taken out of the name.
//!
//! `cluster.app.upstream_rq_2xx` is `cluster.upstream_rq_xx` with `envoy.response_code_class=2` and
//! `envoy.cluster_name=app`. The default tags are Envoy's for the names that exist here and are found by hand, since a
//! scrape asks for every name; only an operator's own are regular expressions. Order of tags as in Envoy: first those
//! that look anywhere in a name, then those bound to its first part; in both the defaults first.

use regex::Regex;
use std::ops::Range;

/// The default tags.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum BuiltIn {
    ResponseCode,
    ResponseCodeClass,
    WorkerId,
    ClusterName,
    HttpPrefix,
    UdpPrefix,
    TcpPrefix,
    ConnectionLimitPrefix,
    LocalRateLimitPrefix,
    ListenerRateLimitPrefix,
    ProxyProtocolPrefix,
    ProxyProtocolVersion,
    RbacPrefix,
    TlsCertificate,
    ResourceName,
    ListenerCipher,
    ClusterCipher,
    Curve,
    SignatureAlgorithm,
    TlsVersion,
    ListenerAddress,
}

impl BuiltIn {
    /// In the order in which they are applied.
    pub(super) const ALL: [Self; 21] = [
        Self::ResponseCode,
        Self::ResponseCodeClass,
        Self::WorkerId,
        Self::ClusterName,
        Self::HttpPrefix,
        Self::UdpPrefix,
        Self::TcpPrefix,
        Self::ConnectionLimitPrefix,
        Self::LocalRateLimitPrefix,
        Self::ListenerRateLimitPrefix,
        Self::ProxyProtocolPrefix,
        Self::ProxyProtocolVersion,
        Self::RbacPrefix,
        Self::TlsCertificate,
        Self::ResourceName,
        Self::ListenerCipher,
        Self::ClusterCipher,
        Self::Curve,
        Self::SignatureAlgorithm,
        Self::TlsVersion,
        Self::ListenerAddress,
    ];

    /// The tag's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ResponseCode => "envoy.response_code",
            Self::ResponseCodeClass => "envoy.response_code_class",
            Self::WorkerId => "envoy.worker_id",
            Self::ClusterName => "envoy.cluster_name",
            Self::HttpPrefix => "envoy.http_conn_manager_prefix",
            Self::UdpPrefix => "envoy.udp_prefix",
            Self::TcpPrefix => "envoy.tcp_prefix",
            Self::ConnectionLimitPrefix => "envoy.connection_limit_prefix",
            Self::LocalRateLimitPrefix => "envoy.local_network_ratelimit_prefix",
            Self::ListenerRateLimitPrefix => "envoy.local_listener_ratelimit_prefix",
            Self::ProxyProtocolPrefix => "envoy.proxy_protocol_prefix",
            Self::ProxyProtocolVersion => "envoy.proxy_protocol_version",
            Self::RbacPrefix => "envoy.rbac_prefix",
            Self::TlsCertificate => "envoy.tls_certificate",
            Self::ResourceName => "envoy.xds_resource_name",
            Self::ListenerCipher => "envoy.ssl_cipher",
            Self::ClusterCipher => "cipher_suite",
            Self::Curve => "envoy.ssl_curve",
            Self::SignatureAlgorithm => "envoy.ssl_sigalg",
            Self::TlsVersion => "envoy.ssl_version",
            Self::ListenerAddress => "envoy.listener_address",
        }
    }

    /// Whether it looks at names with a certain first part only.
    fn is_bound(self) -> bool {
        !matches!(
            self,
            Self::ResponseCode
                | Self::ResponseCodeClass
                | Self::WorkerId
                | Self::RbacPrefix
                | Self::TlsCertificate
                | Self::ListenerCipher
                | Self::ClusterCipher
                | Self::Curve
                | Self::SignatureAlgorithm
                | Self::TlsVersion
        )
    }

    /// What to take out of the name, and where the value is.
    fn find(self, name: &str) -> Option<(Range<usize>, Range<usize>)> {
        let end = name.len();
        match self {
            Self::ResponseCode => {
                let at = name.len().checked_sub(7)?;
                let (start, code) = (name.get(..at + 4)?, name.get(at + 4..)?);
                (start.ends_with("_rq_") && code.bytes().all(|byte| byte.is_ascii_digit()))
                    .then_some((at + 3..end, at + 4..end))
            }
            Self::ResponseCodeClass => {
                let start = name.strip_suffix("xx")?;
                let at = start.len().checked_sub(1)?;
                let found = start.as_bytes()[at].is_ascii_digit() && start.get(..at)?.ends_with("_rq_");
                found.then_some((at..at + 1, at..at + 1))
            }
            Self::WorkerId => {
                let address = listener_address(name)?;
                let start = address.end + ".worker_".len();
                let rest = name.get(address.end..)?.strip_prefix(".worker_")?;
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                (digits > 0 && rest.as_bytes().get(digits) == Some(&b'.'))
                    .then_some((start..start + digits + 1, start..start + digits))
            }
            Self::ClusterName => behind(name, "cluster."),
            Self::HttpPrefix if name.starts_with("http.") => part(name, "http.".len()),
            Self::HttpPrefix if name.starts_with("listener.") => {
                part(name, name.find(".http.").filter(|at| *at >= "listener.".len())? + ".http.".len())
            }
            Self::HttpPrefix => None,
            Self::UdpPrefix => behind(name, "udp."),
            Self::TcpPrefix => behind(name, "tcp."),
            Self::ConnectionLimitPrefix => behind(name, "connection_limit."),
            Self::LocalRateLimitPrefix => behind(name, "local_rate_limit."),
            Self::ListenerRateLimitPrefix => behind(name, "listener_local_ratelimit."),
            Self::ProxyProtocolPrefix => {
                behind(name, "proxy_proto.").filter(|(_, value)| name[value.clone()] != *"versions")
            }
            Self::ProxyProtocolVersion => {
                let at = name.find(".versions.v").filter(|_| name.starts_with("proxy_proto."))?;
                let (out, value) = part(name, at + ".versions.v".len())?;
                Some((at + 1..out.end, value))
            }
            Self::RbacPrefix => {
                let at = name.find('.').filter(|at| name[*at..].starts_with(".rbac."))?;
                Some((0..at + 1, 0..at))
            }
            Self::TlsCertificate => {
                let at = name.find(".ssl.certificate.")? + ".ssl.certificate.".len();
                let end = at + name[at..].strip_suffix(".expiration_unix_time_seconds")?.len();
                Some((at..end + 1, at..end))
            }
            Self::ResourceName => behind(name, "sds."),
            Self::ListenerCipher => ssl(name, ".ssl.ciphers.").filter(|_| name.starts_with("listener.")),
            Self::ClusterCipher => ssl(name, ".ssl.ciphers.").filter(|_| name.starts_with("cluster.")),
            Self::Curve => ssl(name, ".ssl.curves."),
            Self::SignatureAlgorithm => ssl(name, ".ssl.sigalgs."),
            Self::TlsVersion => ssl(name, ".ssl.versions."),
            Self::ListenerAddress => {
                let value = listener_address(name)?;
                Some((value.start..value.end + 1, value))
            }
        }
    }
}

/// The part behind this beginning.
fn behind(name: &str, start: &str) -> Option<(Range<usize>, Range<usize>)> {
    part(name, start.len()).filter(|_| name.starts_with(start))
}

/// Everything behind this, for properties of TLS connections.
fn ssl(name: &str, mark: &str) -> Option<(Range<usize>, Range<usize>)> {
    let at = name.find(mark)? + mark.len();
    (at < name.len()).then_some((at - 1..name.len(), at..name.len()))
}

/// The part of a name that begins at `at` and ends before the next dot; taken out with the dot.
fn part(name: &str, at: usize) -> Option<(Range<usize>, Range<usize>)> {
    let length = name.get(at..)?.find('.').filter(|length| *length > 0)?;
    Some((at..at + length + 1, at..at + length))
}

/// Where the address or `stat_prefix` of a listener stands; none for the admin listener.
fn listener_address(name: &str) -> Option<Range<usize>> {
    let start = "listener.".len();
    let rest = name.strip_prefix("listener.")?;
    if rest.starts_with("admin.") {
        return None;
    }
    // An IPv4 address has dots itself.
    let mut parts = rest.splitn(5, '.');
    let numbers: Vec<_> = parts.by_ref().take(4).collect();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_v4 = parts.next().is_some()
        && numbers[..3].iter().all(|number| digits(number))
        && numbers[3].split_once('_').is_some_and(|(number, port)| digits(number) && digits(port));
    let length = if is_v4 {
        numbers.iter().map(|number| number.len() + 1).sum::<usize>() - 1
    } else {
        rest.find('.')?
    };
    (length > 0).then_some(start..start + length)
}

/// Finds one tag.
#[derive(Clone, Debug)]
pub(super) enum Extractor {
    /// Built in.
    BuiltIn(BuiltIn),
    /// The first group is taken out of the name; the second, or else the first, is the value.
    Regex { tag: String, regex: Regex, bound_to: Option<String> },
    /// Always there.
    Fixed { tag: String, value: String },
}

impl Extractor {
    /// An operator's expression.
    pub(super) fn regex(tag: &str, regex: Regex) -> Self {
        let text = regex.as_str().strip_prefix('^').unwrap_or_default();
        let length = text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let bound_to = (length > 0 && text[length..].starts_with("\\.")).then(|| text[..length].to_owned());
        Self::Regex { tag: tag.to_owned(), regex, bound_to }
    }

    /// The name of its tag.
    pub(super) fn tag(&self) -> &str {
        match self {
            Self::BuiltIn(built_in) => built_in.name(),
            Self::Regex { tag, .. } | Self::Fixed { tag, .. } => tag,
        }
    }

    fn is_bound(&self) -> bool {
        match self {
            Self::BuiltIn(built_in) => built_in.is_bound(),
            Self::Regex { bound_to, .. } => bound_to.is_some(),
            Self::Fixed { .. } => false,
        }
    }

    /// What to take out, and the value.
    fn find<'a>(&'a self, name: &'a str) -> Option<(Range<usize>, &'a str)> {
        match self {
            Self::BuiltIn(built_in) => built_in.find(name).map(|(out, value)| (out, &name[value])),
            Self::Fixed { value, .. } => Some((0..0, value)),
            Self::Regex { regex, .. } => {
                let captures = regex.captures(name)?;
                let out = captures.get(1)?;
                let value = captures.get(2).unwrap_or(out);
                Some((out.range(), value.as_str()))
            }
        }
    }
}

/// A name without what became tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The rest of the name.
    pub name: String,
    /// Tag and value.
    pub tags: Vec<(String, String)>,
}

/// Finds the tags of names.
#[derive(Clone, Debug)]
pub struct Tags {
    /// In the order of the tags.
    extractors: Vec<Extractor>,
}

impl Tags {
    /// Applies these, given in the order of the configuration, the defaults first.
    pub(super) fn new(mut extractors: Vec<Extractor>) -> Self {
        extractors.sort_by_key(Extractor::is_bound);
        Self { extractors }
    }

    /// Takes the tags out of a name.
    pub fn extract(&self, name: &str) -> Tagged {
        let mut out = Vec::new();
        let mut tags = Vec::new();
        for extractor in &self.extractors {
            if let Some((range, value)) = extractor.find(name) {
                tags.push((extractor.tag().to_owned(), value.to_owned()));
                out.push(range);
            }
        }
        out.sort_by_key(|range| range.start);
        let (mut rest, mut at) = (String::with_capacity(name.len()), 0);
        for range in out {
            // Two expressions may have found the same part.
            rest.push_str(name.get(at..range.start).unwrap_or_default());
            at = at.max(range.end);
        }
        rest.push_str(&name[at..]);
        Tagged { name: rest, tags }
    }
}

impl Default for Tags {
    fn default() -> Self {
        Self::new(BuiltIn::ALL.map(Extractor::BuiltIn).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tags: &Tags, name: &str) -> String {
        let Tagged { name, tags } = tags.extract(name);
        let tags: Vec<_> =
            tags.iter().map(|(tag, value)| format!("{}={value}", tag.trim_start_matches("envoy."))).collect();
        format!("{name} {}", tags.join(" "))
    }

    #[test]
    fn default_tags_are_envoys() {
        let rows = [
            ("cluster.app.upstream_rq_total", "cluster.upstream_rq_total cluster_name=app"),
            (
                "cluster.app.external.upstream_rq_200",
                "cluster.external.upstream_rq response_code=200 cluster_name=app",
            ),
            (
                "cluster.a.b_c.upstream_rq_5xx",
                "cluster.b_c.upstream_rq_xx response_code_class=5 cluster_name=a",
            ),
            ("cluster_manager.cluster_added", "cluster_manager.cluster_added "),
            ("cluster.", "cluster. "),
            ("cluster.x", "cluster.x "),
            (
                "http.in.gress.downstream_rq_2xx",
                "http.gress.downstream_rq_xx response_code_class=2 http_conn_manager_prefix=in",
            ),
            (
                "listener.127.0.0.1_0.http.in.downstream_rq_4xx",
                "listener.http.downstream_rq_xx response_code_class=4 http_conn_manager_prefix=in listener_address=127.0.0.1_0",
            ),
            ("udp.dns.downstream_sess_total", "udp.downstream_sess_total udp_prefix=dns"),
            ("tcp.t.downstream_cx_total", "tcp.downstream_cx_total tcp_prefix=t"),
            ("tcp.x.y.idle_timeout", "tcp.y.idle_timeout tcp_prefix=x"),
            ("connection_limit.c.active", "connection_limit.active connection_limit_prefix=c"),
            (
                "local_rate_limit.l.rate_limited",
                "local_rate_limit.rate_limited local_network_ratelimit_prefix=l",
            ),
            (
                "listener_local_ratelimit.l.rate_limited",
                "listener_local_ratelimit.rate_limited local_listener_ratelimit_prefix=l",
            ),
            ("who.rbac.allowed", "rbac.allowed rbac_prefix=who"),
            ("a.b.rbac.allowed", "a.b.rbac.allowed "),
            ("proxy_proto.not_found_allowed", "proxy_proto.not_found_allowed "),
            ("proxy_proto.m.not_found_allowed", "proxy_proto.not_found_allowed proxy_protocol_prefix=m"),
            ("proxy_proto.versions.v1.found", "proxy_proto.found proxy_protocol_version=1"),
            (
                "proxy_proto.m.versions.v2.found",
                "proxy_proto.found proxy_protocol_prefix=m proxy_protocol_version=2",
            ),
            ("listener.t.ssl.ciphers.A_B", "listener.ssl.ciphers ssl_cipher=A_B listener_address=t"),
            ("cluster.c.ssl.ciphers.A-B", "cluster.ssl.ciphers cipher_suite=A-B cluster_name=c"),
            (
                "listener.t.ssl.versions.TLSv1.3",
                "listener.ssl.versions ssl_version=TLSv1.3 listener_address=t",
            ),
            ("cluster.c.ssl.curves.X25519", "cluster.ssl.curves ssl_curve=X25519 cluster_name=c"),
            ("cluster.c.ssl.sigalgs.e_s", "cluster.ssl.sigalgs ssl_sigalg=e_s cluster_name=c"),
            (
                "listener.t.ssl.certificate.a_1.expiration_unix_time_seconds",
                "listener.ssl.certificate.expiration_unix_time_seconds tls_certificate=a_1 listener_address=t",
            ),
            ("sds.web.update_success", "sds.update_success xds_resource_name=web"),
            ("listener.t.ssl.handshake", "listener.ssl.handshake listener_address=t"),
            (
                "listener.127.0.0.1_0.udp.downstream_rx_datagram_dropped",
                "listener.udp.downstream_rx_datagram_dropped listener_address=127.0.0.1_0",
            ),
            ("listener.[__1]_0.downstream_cx_total", "listener.downstream_cx_total listener_address=[__1]_0"),
            (
                "listener.web.worker_12.downstream_cx_total",
                "listener.worker_downstream_cx_total worker_id=12 listener_address=web",
            ),
            ("listener.127.0.0.1_0.worker_0.x", "listener.worker_x worker_id=0 listener_address=127.0.0.1_0"),
            ("listener./tmp/s.sock.worker_0.x", "listener.sock.worker_0.x listener_address=/tmp/s"),
            (
                "listener.admin.http.admin.downstream_rq_2xx",
                "listener.admin.http.downstream_rq_xx response_code_class=2 http_conn_manager_prefix=admin",
            ),
            (
                "listener.admin.main_thread.downstream_cx_total",
                "listener.admin.main_thread.downstream_cx_total ",
            ),
            ("listener", "listener "),
            ("_rq_2xx", "_rq_xx response_code_class=2"),
            ("é_rq_200", "é_rq response_code=200"),
            ("ééé", "ééé "),
        ];
        for (name, wanted) in rows {
            assert_eq!(shown(&Tags::default(), name), wanted);
        }
    }

    #[test]
    fn own_tags_stand_where_envoy_puts_them() {
        let regex = |tag, text| Extractor::regex(tag, Regex::new(text).expect("valid"));
        let mut extractors: Vec<_> = BuiltIn::ALL.map(Extractor::BuiltIn).into();
        extractors.push(Extractor::Fixed { tag: "fixed".into(), value: "v".into() });
        extractors.push(regex("conn", r"^http\..*?\.(downstream_(cx)_)"));
        extractors.push(regex("one", r"server\.(uptime)"));
        let tags = Tags::new(extractors);
        let rows = [
            ("http.in.downstream_cx_total", "http.total fixed=v http_conn_manager_prefix=in conn=cx"),
            ("server.uptime", "server. fixed=v one=uptime"),
            ("listener.web.worker_0.x", "listener.worker_x worker_id=0 fixed=v listener_address=web"),
        ];
        for (name, wanted) in rows {
            assert_eq!(shown(&tags, name), wanted);
        }
    }
}
