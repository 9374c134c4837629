//! Listener filters: what looks at a connection before its filter chain is chosen.
//!
//! A filter is a state machine that is shown the connection's input: it wants more, lets the connection go on, or
//! refuses it. What it finds out goes into the connection's [`Findings`]. It consumes what is not part of the
//! connection's own bytes (a PROXY header) and leaves everything else where it is.

pub(super) mod compile;
mod http;
mod predicate;
mod proxy;
mod rate;
mod tls;

pub(super) use predicate::Predicate;
pub(super) use proxy::{ProxyRules, Store};
pub(super) use rate::Rate;
pub(super) use tls::TlsRules;

use crate::io::{ConnKey, Cx, Findings, Provenance};
use crate::stats::HttpInspectorStats;
use nuncio_codec::http_sniff::Sniffer;
use nuncio_codec::tls_hello::Inspector;
use nuncio_reactor::Address;

/// `envoy.config.listener.v3.ListenerFilter`.
#[derive(Debug)]
pub struct ListenerFilter {
    pub(super) kind: Kind,
    /// Where this is fulfilled the filter is left out.
    pub(super) disabled: Option<Predicate>,
}

/// The filters that there are.
#[derive(Debug)]
pub(super) enum Kind {
    /// `envoy.filters.listener.tls_inspector`.
    Tls(TlsRules),
    /// `envoy.filters.listener.http_inspector`.
    Http(HttpInspectorStats),
    /// `envoy.filters.listener.proxy_protocol`.
    Proxy(Box<ProxyRules>),
    /// `envoy.filters.listener.original_dst`; whether the listener is transparent.
    OriginalDst { transparent: bool },
    /// `envoy.filters.listener.local_ratelimit`.
    Rate(Rate),
}

/// A filter at work on a connection.
#[derive(Debug)]
pub(super) enum Run {
    Tls(Box<Inspector>),
    Http(Sniffer),
    /// The others keep nothing between two looks.
    Plain,
}

/// What a filter has decided.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next filter's turn.
    Next,
    /// It must see more.
    More,
    /// The connection is not wanted.
    Refuse,
}

impl ListenerFilter {
    /// Whether it is left out for a connection.
    pub(super) fn is_disabled(&self, connection: &Provenance) -> bool {
        self.disabled.as_ref().is_some_and(|predicate| predicate.holds(connection.local()))
    }

    /// Starts on a connection.
    pub(super) fn start(&self) -> Run {
        match &self.kind {
            Kind::Tls(rules) => Run::Tls(Box::new(Inspector::new(rules.limit))),
            Kind::Http(_) => Run::Http(Sniffer::default()),
            Kind::Proxy(_) | Kind::OriginalDst { .. } | Kind::Rate(_) => Run::Plain,
        }
    }

    /// Looks at the connection.
    pub(super) fn step(
        &self,
        run: &mut Run,
        conn: ConnKey,
        provenance: &mut Provenance,
        cx: &mut Cx<'_>,
    ) -> Step {
        match (&self.kind, run) {
            (Kind::Tls(rules), Run::Tls(inspector)) => tls::step(rules, inspector, conn, provenance, cx),
            (Kind::Http(stats), Run::Http(sniffer)) => http::step(stats, sniffer, conn, provenance, cx),
            (Kind::Proxy(rules), _) => proxy::step(rules, conn, provenance, cx),
            (Kind::OriginalDst { transparent }, _) => original_dst(*transparent, conn, provenance, cx),
            (Kind::Rate(rate), _) => rate.step(cx),
            (Kind::Tls(_) | Kind::Http(_), _) => unreachable!("a run belongs to the filter that started it"),
        }
    }
}

/// What was found out about a connection so far.
fn findings(provenance: &mut Provenance) -> &mut Findings {
    provenance.findings.get_or_insert_default()
}

/// Takes where the client wanted to go for the connection's local address.
fn original_dst(transparent: bool, conn: ConnKey, provenance: &mut Provenance, cx: &mut Cx<'_>) -> Step {
    let original = match cx.io.original_destination(conn) {
        // A transparent socket's own address is the one that the client has asked for.
        None if transparent => Some(provenance.socket_local.clone()),
        original => original.map(Address::Inet).filter(|original| original != provenance.local()),
    };
    if let Some(original) = original {
        findings(provenance).local = Some(original);
    }
    Step::Next
}
