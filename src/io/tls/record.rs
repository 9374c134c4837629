//! TLS records after the handshake: opening and sealing them with the keys that the handshake has agreed on.
//!
//! Ciphertext is opened out of the buffer that it was received into straight into the connection's input, and output is
//! sealed straight into the buffer that it is sent from: nothing is copied on the way. No sockets, no state of a
//! connection; which records may come when is `session`'s business. RFC 8446 section 5, RFC 5246 section 6.2,
//! RFC 5288, RFC 7905.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ProtocolVersion};

/// Length of a record's header.
pub(super) const HEADER: usize = 5;
/// Most plaintext in one record.
pub(super) const MOST_PLAIN: usize = 1 << 14;
/// What sealing adds to the plaintext at most: header, explicit nonce or content type, tag.
pub(super) const MOST_OVERHEAD: usize = HEADER + EXPLICIT + TAG;

const TAG: usize = 16;
/// The part of the nonce that AES-GCM in TLS 1.2 sends with each record.
const EXPLICIT: usize = 8;
/// After so many records an AES-GCM key must be replaced (RFC 8446 section 5.5: 2^24.5).
const GCM_LIMIT: u64 = 1 << 24;

/// What is in a record.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Alert,
    Handshake,
    Data,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::Data => 23,
        }
    }

    fn of(byte: u8) -> Result<Self, Broken> {
        match byte {
            21 => Ok(Self::Alert),
            22 => Ok(Self::Handshake),
            23 => Ok(Self::Data),
            _ => Err(Broken::Unexpected),
        }
    }
}

/// Why what came is not TLS, or not from the peer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It was not sealed with the peer's key.
    Forged,
    /// A record longer than allowed.
    TooLong,
    /// Something that must not come now.
    Unexpected,
    /// Something that cannot be understood.
    Malformed,
    /// A renegotiation, which is refused.
    Renegotiation,
    /// The peer has sent a fatal alert.
    Alert(u8),
    /// More of something harmless than anybody needs.
    Flood,
}

impl Broken {
    /// The alert that tells the peer (RFC 8446 section 6).
    pub(super) fn alert(self) -> Option<u8> {
        match self {
            Self::Forged => Some(20),
            Self::TooLong => Some(22),
            Self::Unexpected | Self::Flood => Some(10),
            Self::Malformed => Some(50),
            Self::Renegotiation => Some(100),
            Self::Alert(_) => None,
        }
    }
}

/// How records look.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Form {
    Tls13,
    Tls12Gcm,
    Tls12ChaCha,
}

impl Form {
    /// What stands between header and ciphertext.
    fn explicit(self) -> usize {
        if self == Self::Tls12Gcm { EXPLICIT } else { 0 }
    }
}

/// The keys of one direction.
#[derive(Debug)]
struct Keys {
    key: LessSafeKey,
    iv: [u8; 12],
    /// Number of the next record.
    sequence: u64,
    /// How many records may be sealed.
    limit: u64,
    form: Form,
}

impl Keys {
    fn new(version: ProtocolVersion, sequence: u64, secrets: &ConnectionTrafficSecrets) -> Option<Self> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return None,
        };
        let form = match version {
            ProtocolVersion::TLSv1_3 => Form::Tls13,
            ProtocolVersion::TLSv1_2 if algorithm == &CHACHA20_POLY1305 => Form::Tls12ChaCha,
            ProtocolVersion::TLSv1_2 => Form::Tls12Gcm,
            _ => return None,
        };
        let key = key.as_ref().get(..algorithm.key_len())?;
        Some(Self {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?),
            iv: iv.as_ref().try_into().ok()?,
            sequence,
            limit: if algorithm == &CHACHA20_POLY1305 { u64::MAX } else { GCM_LIMIT },
            form,
        })
    }

    /// The nonce of the next record.
    fn nonce(&self) -> [u8; 12] {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        nonce
    }

    /// What is authenticated besides the content in TLS 1.2.
    fn additional(&self, kind: u8, length: usize) -> [u8; 13] {
        let mut bytes = [0; 13];
        bytes[..8].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[8..11].copy_from_slice(&[kind, 3, 3]);
        bytes[11..].copy_from_slice(&(length as u16).to_be_bytes());
        bytes
    }
}

/// A record that tells a client without encryption that all versions it knows are too old: the fatal alert
/// `protocol_version`, in the oldest form of a record.
pub(super) const TOO_OLD: [u8; HEADER + 2] = [21, 3, 1, 0, 2, 2, 70];

/// The length of the record that `bytes` begins with, without its header; `None` if not even that is known.
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    let Some(header) = bytes.get(..HEADER) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if header[1] != 3 {
        return Err(Broken::Malformed);
    }
    // The limit of TLS 1.2; that of TLS 1.3 is checked where the version is known.
    if length > MOST_PLAIN + 2048 {
        return Err(Broken::TooLong);
    }
    Ok(Some(length))
}

/// Opens what the peer sends.
#[derive(Debug)]
pub(super) struct Opener(Keys);

impl Opener {
    /// With the keys that a handshake has agreed on; `None` for a version or algorithm that is not known here.
    pub(super) fn new(
        version: ProtocolVersion,
        sequence: u64,
        secrets: &ConnectionTrafficSecrets,
    ) -> Option<Self> {
        Keys::new(version, sequence, secrets).map(Self)
    }

    /// Whether this is TLS 1.3.
    pub(super) fn is_tls13(&self) -> bool {
        self.0.form == Form::Tls13
    }

    /// Most plaintext in a record of this length (without its header).
    pub(super) fn room(&self, length: usize) -> usize {
        length.saturating_sub(TAG + self.0.form.explicit())
    }

    /// Opens a whole record into the start of `room`, which has as many bytes as [`Self::room`] says. Says what it is,
    /// and how much.
    pub(super) fn open(&mut self, record: &[u8], room: &mut [u8]) -> Result<(Kind, usize), Broken> {
        let (header, body) = record.split_at_checked(HEADER).ok_or(Broken::Malformed)?;
        if self.is_tls13() { self.open13(header, body, room) } else { self.open12(header[0], body, room) }
    }

    fn open13(&mut self, header: &[u8], body: &[u8], room: &mut [u8]) -> Result<(Kind, usize), Broken> {
        if header[0] != Kind::Data.byte() {
            // All records are disguised as data now.
            return Err(Broken::Unexpected);
        }
        if body.len() > MOST_PLAIN + 256 {
            return Err(Broken::TooLong);
        }
        let nonce = self.0.nonce();
        let inner = self.decrypt(nonce, header, body, room)?;
        let end = inner.iter().rposition(|byte| *byte != 0).ok_or(Broken::Unexpected)?;
        if end > MOST_PLAIN {
            return Err(Broken::TooLong);
        }
        Ok((Kind::of(inner[end])?, end))
    }

    fn open12(&mut self, kind: u8, body: &[u8], room: &mut [u8]) -> Result<(Kind, usize), Broken> {
        let known = Kind::of(kind)?;
        let mut nonce = self.0.nonce();
        let (explicit, body) = body.split_at_checked(self.0.form.explicit()).ok_or(Broken::Forged)?;
        if !explicit.is_empty() {
            nonce[4..].copy_from_slice(explicit);
        }
        let length = body.len().checked_sub(TAG).ok_or(Broken::Forged)?;
        if length > MOST_PLAIN {
            return Err(Broken::TooLong);
        }
        let additional = self.0.additional(kind, length);
        self.decrypt(nonce, &additional, body, room)?;
        Ok((known, length))
    }

    fn decrypt<'r>(
        &mut self,
        nonce: [u8; 12],
        additional: &[u8],
        body: &[u8],
        room: &'r mut [u8],
    ) -> Result<&'r [u8], Broken> {
        let length = body.len().checked_sub(TAG).ok_or(Broken::Forged)?;
        let (sealed, tag) = body.split_at(length);
        let room = room.get_mut(..length).ok_or(Broken::TooLong)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.0.key.open_separate_gather(nonce, Aad::from(additional), sealed, tag, room);
        opened.map_err(|_| Broken::Forged)?;
        self.0.sequence = self.0.sequence.checked_add(1).ok_or(Broken::Flood)?;
        Ok(room)
    }
}

/// Seals what we send.
#[derive(Debug)]
pub(super) struct Sealer(Keys);

impl Sealer {
    /// With the keys that a handshake has agreed on; `None` for a version or algorithm that is not known here.
    pub(super) fn new(
        version: ProtocolVersion,
        sequence: u64,
        secrets: &ConnectionTrafficSecrets,
    ) -> Option<Self> {
        Keys::new(version, sequence, secrets).map(Self)
    }

    /// Whether the key has sealed as much as it may.
    pub(super) fn is_worn(&self) -> bool {
        self.0.sequence >= self.0.limit
    }

    /// Lets the key seal only so many records.
    #[cfg(test)]
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.0.limit = limit;
    }

    /// Where the content of a record lies.
    fn content(&self) -> usize {
        HEADER + self.0.form.explicit()
    }

    /// Seals up to [`MOST_PLAIN`] bytes into a record at the start of `out`, which has room for them and
    /// [`MOST_OVERHEAD`]; says how long it is.
    pub(super) fn seal(&mut self, kind: Kind, plain: &[u8], out: &mut [u8]) -> Option<usize> {
        let at = self.content();
        let (extra, nonce, additional, total) = self.prepare(kind, plain.len(), out)?;
        let (content, rest) = out.get_mut(at..total)?.split_at_mut_checked(plain.len())?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .key
            .seal_out_of_place_scatter(
                nonce,
                Aad::from(additional.bytes()),
                plain,
                content,
                extra.bytes(),
                rest,
            )
            .ok()?;
        self.0.sequence += 1;
        Some(total)
    }

    /// The same for what `gather` puts together in place: it is given the room for `length` bytes.
    pub(super) fn seal_gathered(
        &mut self,
        kind: Kind,
        length: usize,
        out: &mut [u8],
        gather: impl FnOnce(&mut [u8]),
    ) -> Option<usize> {
        let at = self.content();
        let (extra, nonce, additional, total) = self.prepare(kind, length, out)?;
        let (content, rest) = out.get_mut(at..total)?.split_at_mut_checked(length)?;
        gather(content);
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .key
            .seal_in_place_scatter(nonce, Aad::from(additional.bytes()), content, extra.bytes(), rest)
            .ok()?;
        self.0.sequence += 1;
        Some(total)
    }

    /// Writes header and explicit nonce. Gives what is sealed behind the content, the nonce, what is authenticated
    /// besides, and the length of the whole record.
    fn prepare(
        &self,
        kind: Kind,
        length: usize,
        out: &mut [u8],
    ) -> Option<(Short<1>, [u8; 12], Short<13>, usize)> {
        if length > MOST_PLAIN || self.0.sequence == u64::MAX {
            return None;
        }
        let nonce = self.0.nonce();
        let tls13 = self.0.form == Form::Tls13;
        let extra =
            if tls13 { Short { bytes: [kind.byte()], length: 1 } } else { Short { bytes: [0], length: 0 } };
        let total = self.content() + length + usize::from(extra.length) + TAG;
        let outer = if tls13 { Kind::Data.byte() } else { kind.byte() };
        let [high, low] = ((total - HEADER) as u16).to_be_bytes();
        let header = [outer, 3, 3, high, low];
        out.get_mut(..HEADER)?.copy_from_slice(&header);
        if self.0.form == Form::Tls12Gcm {
            out.get_mut(HEADER..HEADER + EXPLICIT)?.copy_from_slice(&nonce[4..]);
        }
        let mut additional = Short { bytes: [0; 13], length: 13 };
        if tls13 {
            additional.bytes[..HEADER].copy_from_slice(&header);
            additional.length = HEADER as u8;
        } else {
            additional.bytes = self.0.additional(kind.byte(), length);
        }
        Some((extra, nonce, additional, total))
    }
}

/// A few bytes.
struct Short<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> Short<N> {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}
