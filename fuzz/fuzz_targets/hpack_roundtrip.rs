//! Fields out of our encoder are read back by our decoder and by an independent one, and the other's blocks by ours,
//! with tables that change their size on the way.
//!
//! Input: a script: fields with short names and values, ends of blocks, sizes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nuncio_codec::{
    HeaderId,
    h2::hpack::{Decoder, Encoder, field_bound},
};

type Fields = Vec<(Vec<u8>, Vec<u8>, bool)>;

const NAMES: [&str; 12] = [
    ":method", ":path", ":status", "accept-encoding", "cookie", "date", "x-request-id", "authorization", "x-a", "refresh",
    "etag", "content-disposition",
];

fn decode(decoder: &mut Decoder, mut block: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut scratch = Vec::new();
    let mut fields = Vec::new();
    decoder.start();
    while let Some(field) = decoder.next(&mut block, &mut scratch).expect("our own block") {
        fields.push((field.name.to_vec(), field.value.to_vec()));
    }
    fields
}

fuzz_target!(|input: &[u8]| {
    let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new());
    let (mut theirs, mut from_theirs, mut oracle) = (hpack::Encoder::new(), Decoder::new(), hpack::Decoder::new());
    let mut fields = Fields::new();
    let mut rest = input;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first >> 4 {
            // The end of a block.
            0 | 1 => {
                // The other takes no block that has nothing but changes of size.
                fields.push((b"x".to_vec(), vec![], false));
                let plain: Vec<_> = fields.iter().map(|(name, value, _)| (name.clone(), value.clone())).collect();
                let bound: usize = plain.iter().map(|(name, value)| field_bound(name.len(), value.len())).sum();
                let mut room = vec![0; encoder.start_bound() + bound];
                let mut at = encoder.start(&mut room);
                for (name, value, secret) in fields.drain(..) {
                    at += encoder.field(HeaderId::of(&name), &name, &value, secret, &mut room[at..]);
                }
                assert_eq!(decode(&mut decoder, &room[..at]), plain);
                assert_eq!(oracle.decode(&room[..at]).expect("our own block"), plain);
                let block = theirs.encode(plain.iter().map(|(name, value)| (&name[..], &value[..])));
                assert_eq!(decode(&mut from_theirs, &block), plain);
            }
            2 => {
                let size = u32::from(first & 15) * 200;
                encoder.set_limit(size);
                decoder.set_limit(size);
                oracle.set_max_allowed_table_size(size as usize);
            }
            kind => {
                let mut take = |n: usize| {
                    let (taken, tail) = rest.split_at(n.min(rest.len()));
                    rest = tail;
                    taken.to_vec()
                };
                let name = match NAMES.get(usize::from(first & 15)) {
                    Some(name) => name.as_bytes().to_vec(),
                    None => take(usize::from(first & 3)),
                };
                let mut value = take(usize::from(kind - 3));
                if kind == 15 {
                    value = value.repeat(300);
                }
                fields.push((name, value, kind == 4));
            }
        }
    }
});
