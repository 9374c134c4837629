//! Session tickets: sessions in the hands of clients, encrypted with keys that all workers share.
//!
//! A ticket is `name of the key (16) | IV (16) | AES-256-CBC of (when it was made (8) | session) | HMAC-SHA-256 (32)`,
//! the construction that RFC 5077 section 4 recommends, with keys in Envoy's format: name, HMAC key, AES key. The HMAC
//! also covers the identity of the context, so a ticket of one listener does not open another that demands more of its
//! clients, even where both have the same keys.

use aws_lc_rs::cipher::{
    AES_256, AES_CBC_IV_LEN, DecryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::{hmac, iv, rand};
use rustls::server::ProducesTickets;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Length of a configured key.
pub(super) const KEY_LENGTH: usize = 80;
/// How long keys that we make ourselves encrypt; they decrypt for as long again.
const ROTATION: i64 = 6 * 60 * 60;

const NAME: usize = 16;
const TAG: usize = 32;
const TIME: usize = 8;

/// Makes and takes tickets for one context.
pub(super) struct Tickets {
    keys: Arc<TicketKeys>,
    /// What tells this context from others.
    context: [u8; 32],
    lifetime: Duration,
    clock: fn() -> i64,
}

/// Keys, by themselves.
pub(super) struct TicketKeys {
    ring: RwLock<Ring>,
    /// They are made and changed here.
    automatic: bool,
}

struct Ring {
    /// The first encrypts.
    keys: Vec<Arc<Key>>,
    /// When that is to change.
    until: i64,
}

struct Key {
    name: [u8; NAME],
    encrypting: PaddedBlockEncryptingKey,
    decrypting: PaddedBlockDecryptingKey,
    hmac: hmac::Key,
}

impl Key {
    fn new(bytes: &[u8; KEY_LENGTH]) -> Option<Self> {
        let (name, rest) = bytes.split_at(NAME);
        let (hmac, aes) = rest.split_at(32);
        let cipher = || UnboundCipherKey::new(&AES_256, aes).ok();
        Some(Self {
            name: name.try_into().ok()?,
            encrypting: PaddedBlockEncryptingKey::cbc_pkcs7(cipher()?).ok()?,
            decrypting: PaddedBlockDecryptingKey::cbc_pkcs7(cipher()?).ok()?,
            hmac: hmac::Key::new(hmac::HMAC_SHA256, hmac),
        })
    }

    fn random() -> Option<Self> {
        let mut bytes = [0; KEY_LENGTH];
        rand::fill(&mut bytes).ok()?;
        Self::new(&bytes)
    }

    fn tag(&self, context: &[u8; 32], ticket: &[u8]) -> hmac::Context {
        let mut mac = hmac::Context::with_key(&self.hmac);
        mac.update(context);
        mac.update(ticket);
        mac
    }
}

impl TicketKeys {
    /// Keys of the configuration; `None` if there is none.
    pub(super) fn configured(keys: &[[u8; KEY_LENGTH]]) -> Option<Self> {
        let keys: Vec<_> = keys.iter().filter_map(Key::new).map(Arc::new).collect();
        (!keys.is_empty())
            .then(|| Self { ring: RwLock::new(Ring { keys, until: i64::MAX }), automatic: false })
    }

    /// Keys that are still to come.
    pub(super) fn empty() -> Self {
        Self { ring: RwLock::new(Ring { keys: Vec::new(), until: i64::MAX }), automatic: false }
    }

    /// Other keys from now on; those that are there stay if none of the others can be used.
    pub(super) fn replace(&self, keys: &[[u8; KEY_LENGTH]]) {
        let keys: Vec<_> = keys.iter().filter_map(Key::new).map(Arc::new).collect();
        if !keys.is_empty() {
            self.ring.write().unwrap_or_else(PoisonError::into_inner).keys = keys;
        }
    }

    /// Keys that are made here, and changed from time to time.
    pub(super) fn automatic() -> Self {
        Self { ring: RwLock::new(Ring { keys: Vec::new(), until: 0 }), automatic: true }
    }

    fn first(&self, now: i64) -> Option<Arc<Key>> {
        {
            let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
            if now < ring.until {
                return ring.keys.first().map(Arc::clone);
            }
        }
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        if now >= ring.until {
            ring.keys.insert(0, Arc::new(Key::random()?));
            ring.keys.truncate(2);
            ring.until = now + ROTATION;
        }
        ring.keys.first().map(Arc::clone)
    }

    fn called(&self, name: &[u8]) -> Option<Arc<Key>> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        ring.keys.iter().find(|key| key.name == name).map(Arc::clone)
    }
}

impl Tickets {
    /// For a context, with a lifetime in whole seconds.
    pub(super) fn new(keys: Arc<TicketKeys>, context: [u8; 32], lifetime: Duration) -> Self {
        Self { keys, context, lifetime, clock: super::material::now }
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (sealed, tag) = ticket.split_at_checked(ticket.len().checked_sub(TAG)?)?;
        let (name, rest) = sealed.split_at_checked(NAME)?;
        let (iv, encrypted) = rest.split_at_checked(AES_CBC_IV_LEN)?;
        let key = self.keys.called(name)?;
        let mut authenticated = Vec::with_capacity(self.context.len() + sealed.len());
        authenticated.extend_from_slice(&self.context);
        authenticated.extend_from_slice(sealed);
        hmac::verify(&key.hmac, &authenticated, tag).ok()?;
        let iv: [u8; AES_CBC_IV_LEN] = iv.try_into().ok()?;
        let mut bytes = encrypted.to_vec();
        let opened =
            key.decrypting.decrypt(&mut bytes, DecryptionContext::Iv128(iv::FixedLength::from(iv))).ok()?;
        let (made, session) = opened.split_at_checked(TIME)?;
        let age = (self.clock)() - i64::from_be_bytes(made.try_into().ok()?);
        (0..=self.lifetime.as_secs() as i64).contains(&age).then(|| session.to_vec())
    }

    fn seal(&self, session: &[u8]) -> Option<Vec<u8>> {
        let now = (self.clock)();
        let key = self.keys.first(now)?;
        let mut bytes = Vec::with_capacity(TIME + session.len() + 16);
        bytes.extend_from_slice(&now.to_be_bytes());
        bytes.extend_from_slice(session);
        let context = key.encrypting.encrypt(&mut bytes).ok()?;
        let iv: &[u8] = (&context).try_into().ok()?;
        let mut ticket = Vec::with_capacity(NAME + iv.len() + bytes.len() + TAG);
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(iv);
        ticket.extend_from_slice(&bytes);
        let tag = key.tag(&self.context, &ticket).sign();
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.seal(session)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Tickets({:?})", self.lifetime)
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the keys themselves.
        write!(out, "TicketKeys(automatic: {})", self.automatic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(keys: &Arc<TicketKeys>, context: u8) -> Tickets {
        Tickets {
            clock: || 1_000_000,
            ..Tickets::new(Arc::clone(keys), [context; 32], Duration::from_secs(60))
        }
    }

    fn configured(seeds: &[u8]) -> Arc<TicketKeys> {
        let keys: Vec<_> = seeds.iter().map(|seed| [*seed; KEY_LENGTH]).collect();
        Arc::new(TicketKeys::configured(&keys).expect("keys"))
    }

    #[test]
    fn a_ticket_comes_back() {
        for keys in [configured(&[1]), Arc::new(TicketKeys::automatic())] {
            let tickets = tickets(&keys, 0);
            for length in [0, 1, 15, 16, 17, 1000] {
                let session: Vec<u8> = (0..length).map(|n| n as u8).collect();
                let ticket = tickets.encrypt(&session).expect("a ticket");
                assert_eq!(tickets.decrypt(&ticket), Some(session));
                assert_ne!(tickets.encrypt(b"x"), tickets.encrypt(b"x"), "never the same twice");
            }
        }
    }

    #[test]
    fn every_byte_is_guarded() {
        let tickets = tickets(&configured(&[1]), 0);
        let ticket = tickets.encrypt(b"session").expect("a ticket");
        for at in 0..ticket.len() {
            let mut bad = ticket.clone();
            bad[at] ^= 1;
            assert_eq!(tickets.decrypt(&bad), None, "byte {at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None, "cut at {at}");
        }
        assert_eq!(tickets.decrypt(&[&ticket[..], b"x"].concat()), None);
    }

    #[test]
    fn other_contexts_and_old_tickets_do_not_count() {
        let keys = configured(&[1]);
        let ticket = tickets(&keys, 0).encrypt(b"session").expect("a ticket");
        assert_eq!(tickets(&keys, 1).decrypt(&ticket), None);
        for (clock, there) in
            [((|| 1_000_060) as fn() -> i64, true), (|| 1_000_061, false), (|| 999_999, false)]
        {
            let later = Tickets { clock, ..tickets(&keys, 0) };
            assert_eq!(later.decrypt(&ticket).is_some(), there);
        }
    }

    #[test]
    fn keys_are_rotated() {
        let old = tickets(&configured(&[1]), 0).encrypt(b"session").expect("a ticket");
        assert!(tickets(&configured(&[2, 1]), 0).decrypt(&old).is_some(), "the second key decrypts");
        assert!(tickets(&configured(&[2]), 0).decrypt(&old).is_none());
        let keys = Arc::new(TicketKeys::automatic());
        let at = |now: i64| keys.first(now).expect("a key").name;
        let first = at(0);
        assert_eq!(at(ROTATION - 1), first);
        let second = at(ROTATION);
        assert_ne!(second, first);
        assert!(keys.called(&first).is_some(), "still decrypts");
        assert_ne!(at(2 * ROTATION), second);
        assert!(keys.called(&first).is_none(), "no longer");
    }
}
