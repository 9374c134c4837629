//! `envoy.filters.network.tcp_proxy`: passes bytes between a client and a host of a cluster.
//!
//! A session begins by asking the cluster manager for a connection (`connect`), then bytes go both ways with backpressure
//! and each end is passed on by itself (`relay`), and it ends for exactly one reason, from which everything that is said
//! about it follows (`ending`).

pub mod compile;
pub mod config;
mod connect;
mod ending;
mod relay;
mod time;
mod tunnel;
mod view;

pub(super) use ending::End;

use crate::io::ConnKey;
use crate::stats::Counter;
use crate::stream_info::{CloseType, Flags};
use crate::tls::TlsInfo;
use crate::upstream::config::ClusterId;
use crate::upstream::{AttemptKey, By, LineKey};
use config::TcpProxyConfig;
use nuncio_reactor::{Address, Time};
use std::borrow::Cow;
use std::sync::Arc;

/// What a session of the TCP proxy knows.
#[derive(Debug)]
pub(super) struct Tcp {
    config: Arc<TcpProxyConfig>,
    pub(super) up: Up,
    /// The last cluster that was tried.
    cluster: Option<ClusterId>,
    /// The last host that was tried.
    host: Option<u32>,
    /// This end of the connection to it.
    local: Option<Address>,
    /// That connection's number in the process.
    up_id: Option<u64>,
    /// TLS of it.
    tls: Option<Arc<TlsInfo>>,
    /// Attempts to connect.
    attempts: u32,
    /// Why the last one failed.
    failure: Option<Cow<'static, str>>,
    flags: Flags,
    /// From the client to the host.
    down: Flow,
    /// From the host to the client.
    back: Flow,
    /// Bytes to and from the host besides those that were passed on: what a tunnel costs.
    framing: (u64, u64),
    /// What has come from the client, whether or not it was passed on.
    received: u64,
    /// The connection to the host waits for the client's first byte.
    waits_for_data: bool,
    /// When a byte was last read.
    last: Time,
    /// When it must end.
    expires: Option<Time>,
    /// When the next line of the access log is due.
    next_line: Option<Time>,
    /// When the next attempt to connect is due.
    retry_at: Option<Time>,
    /// The client's connection is closed; what it has sent is still being written to the host.
    flushing: bool,
    /// How the connections ended, for the access log: the client's and the host's.
    ended: (CloseType, CloseType),
    /// Who finished last.
    ended_by: By,
    /// Why we closed them, for the access log.
    reason: (&'static str, &'static str),
    /// Why a filter ended it.
    termination: Option<Box<str>>,
}

/// The host's side of a session.
#[derive(Debug)]
pub(super) enum Up {
    /// There is none yet, or not again yet.
    None,
    /// It is being made.
    Dialing(LineKey),
    /// It is there.
    Open {
        /// Its bytes.
        conn: ConnKey,
        /// Its accounts.
        line: LineKey,
    },
    /// Through an HTTP proxy.
    Tunnel {
        /// The request for the tunnel.
        attempt: AttemptKey,
        /// It was granted.
        open: bool,
    },
    /// It has ended.
    Gone,
}

/// One direction of a session.
#[derive(Debug)]
struct Flow {
    /// Its sender has finished.
    ended: bool,
    /// It is not read because its receiver is slow.
    paused: bool,
    /// Bytes that were passed on.
    passed: u64,
    haul: Haul,
    meters: Meters,
}

/// How bytes are carried: through memory, or, once a transfer is large, from socket to socket (splice(2)), which costs
/// more for a few bytes and much less for many.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Haul {
    /// Through memory; so many reads in a row were large.
    Copy(u8),
    /// From socket to socket; so many reads in a row were small.
    Splice(u8),
}

/// A read from which on many bytes are under way, and one below which they are not, in bytes.
const LARGE: usize = 48 << 10;
const SMALL: usize = 12 << 10;
/// How many of them in a row change the way.
const IN_A_ROW: u8 = 3;

impl Haul {
    /// Takes note of a read.
    fn note(&mut self, n: usize) {
        *self = match *self {
            Self::Copy(large) if n >= LARGE && large + 1 == IN_A_ROW => Self::Splice(0),
            Self::Copy(large) if n >= LARGE => Self::Copy(large + 1),
            Self::Copy(_) => Self::Copy(0),
            Self::Splice(small) if n < SMALL && small + 1 == IN_A_ROW => Self::Copy(0),
            Self::Splice(small) if n < SMALL => Self::Splice(small + 1),
            Self::Splice(_) => Self::Splice(0),
        };
    }
}

/// Where a direction counts.
#[derive(Copy, Clone, Debug)]
struct Meters {
    received: Counter,
    sent: Counter,
    paused: Counter,
    resumed: Counter,
}

impl Tcp {
    /// How it goes through an HTTP proxy, if it does.
    pub(super) fn tunnel(&self) -> Option<&config::Tunnel> {
        self.config.tunnel.as_ref()
    }

    /// Whether both senders have finished.
    pub(super) fn has_ended(&self) -> bool {
        self.down.ended && self.back.ended
    }
}

impl Flow {
    fn new(meters: Meters) -> Self {
        Self { ended: false, paused: false, passed: 0, haul: Haul::Copy(0), meters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_changes_with_what_is_carried() {
        let mut haul = Haul::Copy(0);
        let mut after = |sizes: &[usize]| {
            sizes.iter().for_each(|n| haul.note(*n));
            matches!(haul, Haul::Splice(_))
        };
        assert!(!after(&[LARGE, LARGE]));
        assert!(!after(&[100]), "one small read begins anew");
        assert!(!after(&[LARGE, LARGE]));
        assert!(after(&[LARGE]));
        assert!(
            after(&[SMALL - 1, SMALL - 1, SMALL, SMALL - 1, SMALL - 1]),
            "what is between counts as large"
        );
        assert!(!after(&[1]));
        assert!(!after(&[SMALL, LARGE - 1, LARGE, LARGE]));
        assert!(after(&[usize::MAX]));
    }
}
