//! Sessions with the hosts of a cluster, kept for resumption.
//!
//! As in Envoy the last few of the whole cluster are kept (`max_session_keys`), whichever host they come from.

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sessions of one cluster.
#[derive(Debug)]
pub(super) struct Sessions {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// What the server has chosen last, so that the next handshake begins with it.
    group: Option<NamedGroup>,
    /// The newest at the end.
    tls12: VecDeque<(ServerName<'static>, Tls12ClientSessionValue)>,
    tls13: VecDeque<(ServerName<'static>, Tls13ClientSessionValue)>,
}

impl Sessions {
    /// Keeps up to `most`.
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.kept().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept().group
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        let mut kept = self.kept();
        kept.tls12.retain(|(known, _)| *known != name);
        kept.tls12.push_back((name, value));
        if kept.tls12.len() > self.most {
            kept.tls12.pop_front();
        }
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept().tls12.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.kept().tls12.retain(|(known, _)| known != name);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut kept = self.kept();
        kept.tls13.push_back((name, value));
        if kept.tls13.len() > self.most {
            kept.tls13.pop_front();
        }
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut kept = self.kept();
        let at = kept.tls13.iter().rposition(|(known, _)| known == name)?;
        kept.tls13.remove(at).map(|(_, value)| value)
    }
}
