//! Private keys under a password: PKCS#8 with PBES2 (RFC 8018), PBKDF2 and AES-CBC, which is what OpenSSL makes.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::{iv, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::num::NonZeroU32;
use x509_parser::asn1_rs::{Any, FromDer, Integer, Sequence, Tag};

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// What is before the last byte in the identifiers of HMACs and of AES.
const HMAC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];

/// Most rounds of the key derivation: seconds of work.
const MOST_ROUNDS: u32 = 10_000_000;

/// Whether there is such a key in a text.
pub(super) fn is_there(pem: &[u8]) -> bool {
    find(pem, BEGIN.as_bytes()).is_some()
}

/// The key in PKCS#8, in DER.
pub(super) fn decrypt(pem: &[u8], password: &[u8]) -> Result<Vec<u8>, &'static str> {
    let der = section(pem).ok_or("its PEM is not valid")?;
    let sealed = Sealed::of(&der).ok_or("it is not PKCS#8 with PBES2, PBKDF2 and AES in CBC mode")?;
    if sealed.rounds.get() > MOST_ROUNDS {
        return Err("its key derivation takes too many rounds");
    }
    // A wrong password shows in the padding, or in what comes out.
    let opened = sealed.open(password).filter(|der| Sequence::from_der(der).is_ok());
    opened.ok_or("the `password` is not the right one (a line end counts)")
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn section(pem: &[u8]) -> Option<Vec<u8>> {
    let text = &pem[find(pem, BEGIN.as_bytes())? + BEGIN.len()..];
    let text = &text[..find(text, END.as_bytes())?];
    let digits: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).ok()
}

/// `EncryptedPrivateKeyInfo`.
struct Sealed<'a> {
    salt: &'a [u8],
    rounds: NonZeroU32,
    hmac: pbkdf2::Algorithm,
    cipher: (&'static Algorithm, usize),
    iv: [u8; 16],
    data: &'a [u8],
}

impl<'a> Sealed<'a> {
    fn of(der: &'a [u8]) -> Option<Self> {
        let (_, whole) = any(der, Tag::Sequence)?;
        let (rest, scheme) = algorithm(whole, PBES2)?;
        let (_, data) = any(rest, Tag::OctetString)?;
        let (_, parts) = any(scheme, Tag::Sequence)?;
        let (rest, derivation) = algorithm(parts, PBKDF2)?;
        let (_, derivation) = any(derivation, Tag::Sequence)?;
        let (after, salt) = any(derivation, Tag::OctetString)?;
        let (mut after, rounds) = Integer::from_der(after).ok()?;
        // The length of the key follows from the cipher.
        if let Ok((next, _)) = Integer::from_der(after) {
            after = next;
        }
        let hmac = match after.is_empty() {
            true => pbkdf2::PBKDF2_HMAC_SHA1,
            false => match identifier(after, HMAC)?.1 {
                7 => pbkdf2::PBKDF2_HMAC_SHA1,
                9 => pbkdf2::PBKDF2_HMAC_SHA256,
                10 => pbkdf2::PBKDF2_HMAC_SHA384,
                11 => pbkdf2::PBKDF2_HMAC_SHA512,
                _ => return None,
            },
        };
        let (parameters, cipher) = identifier(rest, AES)?;
        let cipher = match cipher {
            2 => (&AES_128, 16),
            22 => (&AES_192, 24),
            42 => (&AES_256, 32),
            _ => return None,
        };
        let (_, iv) = any(parameters, Tag::OctetString)?;
        let rounds = NonZeroU32::new(rounds.as_u32().ok()?)?;
        Some(Self { salt, rounds, hmac, cipher, iv: iv.try_into().ok()?, data })
    }

    fn open(&self, password: &[u8]) -> Option<Vec<u8>> {
        let (cipher, length) = self.cipher;
        let mut key = [0; 32];
        pbkdf2::derive(self.hmac, self.rounds, self.salt, password, &mut key[..length]);
        let key = UnboundCipherKey::new(cipher, &key[..length]).ok()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
        let mut data = self.data.to_vec();
        let iv = DecryptionContext::Iv128(iv::FixedLength::from(self.iv));
        Some(key.decrypt(&mut data, iv).ok()?.to_vec())
    }
}

/// The content of the next element, which must have this tag, and what follows it.
fn any(der: &[u8], tag: Tag) -> Option<(&[u8], &[u8])> {
    let (rest, found) = Any::from_der(der).ok()?;
    (found.tag() == tag).then_some((rest, found.data))
}

/// The parameters of an `AlgorithmIdentifier` that must be this one, and what follows it.
fn algorithm<'a>(der: &'a [u8], wanted: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (rest, content) = any(der, Tag::Sequence)?;
    let (parameters, found) = any(content, Tag::Oid)?;
    (found == wanted).then_some((rest, parameters))
}

/// The parameters of an `AlgorithmIdentifier` of this family, and the last byte of its identifier.
fn identifier<'a>(der: &'a [u8], family: &[u8]) -> Option<(&'a [u8], u8)> {
    let (_, content) = any(der, Tag::Sequence)?;
    let (parameters, found) = any(content, Tag::Oid)?;
    match found.strip_prefix(family)? {
        [last] => Some((parameters, *last)),
        _ => None,
    }
}
