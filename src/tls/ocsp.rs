//! OCSP responses (RFC 6960) that are stapled: only how long one is true matters here, the rest is for clients.

use x509_parser::asn1_rs::{Any, Class, FromDer, GeneralizedTime, Header, Sequence, Tag};

const BASIC: [u8; 9] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

/// When a response is true, in seconds since 1970.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub from: i64,
    /// Until then; `None` if it does not say.
    pub until: Option<i64>,
}

/// When a response is true.
pub(super) fn validity(der: &[u8]) -> Result<Validity, &'static str> {
    let (_, response) = Sequence::from_der(der).map_err(|_| "it is not in DER")?;
    let (rest, status) = Any::from_der(&response.content).map_err(|_| "it has no status")?;
    if status.tag() != Tag::Enumerated || status.data != [0] {
        return Err("its status is not `successful`");
    }
    basic(rest).ok_or("it is malformed, or not of the basic kind")?
}

/// The rest after the status: `[0] EXPLICIT ResponseBytes`.
fn basic(rest: &[u8]) -> Option<Result<Validity, &'static str>> {
    let (_, bytes) = Any::from_der(rest).ok()?;
    let (_, bytes) = Sequence::from_der(bytes.data).ok()?;
    let (rest, kind) = Any::from_der(&bytes.content).ok()?;
    if kind.tag() != Tag::Oid || kind.data != BASIC {
        return None;
    }
    let (_, octets) = Any::from_der(rest).ok()?;
    let (_, basic) = Sequence::from_der(octets.data).ok()?;
    let (_, data) = Sequence::from_der(&basic.content).ok()?;
    // version [0] and responderID [1] or [2] are before producedAt.
    let mut rest = &data.content[..];
    loop {
        let (next, item) = Any::from_der(rest).ok()?;
        rest = next;
        if item.tag() == Tag::GeneralizedTime {
            break;
        }
    }
    let (_, responses) = Sequence::from_der(rest).ok()?;
    let (others, single) = Sequence::from_der(&responses.content).ok()?;
    if !others.is_empty() {
        return Some(Err("it is about more than one certificate"));
    }
    let (rest, _certificate) = Any::from_der(&single.content).ok()?;
    let (rest, _status) = Any::from_der(rest).ok()?;
    let (rest, this_update) = GeneralizedTime::from_der(rest).ok()?;
    let next_update = Header::from_der(rest)
        .ok()
        .filter(|(_, header)| header.class() == Class::ContextSpecific && header.tag().0 == 0);
    let seconds = |time: GeneralizedTime| Some(time.utc_datetime().ok()?.unix_timestamp());
    let from = seconds(this_update)?;
    let Some((inside, _)) = next_update else { return Some(Ok(Validity { from, until: None })) };
    let (_, time) = GeneralizedTime::from_der(inside).ok()?;
    Some(Ok(Validity { from, until: Some(seconds(time)?) }))
}
