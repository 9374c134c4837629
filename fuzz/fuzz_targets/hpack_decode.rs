//! Bytes as header blocks: nothing may panic, and an independent implementation reads the same fields.
//!
//! Input: blocks, each behind a byte that is its length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nuncio_codec::{
    HeaderId, is_field_value, is_token,
    h2::hpack::{Decoder, Invalid},
};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn decode(decoder: &mut Decoder, mut block: &[u8]) -> Result<Fields, Invalid> {
    let mut scratch = Vec::new();
    let mut fields = Fields::new();
    decoder.start();
    while let Some(field) = decoder.next(&mut block, &mut scratch)? {
        assert_eq!(HeaderId::of(field.name), field.id);
        let name = field.name.strip_prefix(b":").unwrap_or(field.name);
        if field.valid {
            assert!(is_token(name) && !name.iter().any(u8::is_ascii_uppercase));
            assert!(is_field_value(field.value) && field.value.trim_ascii() == field.value);
        } else {
            let known = field.id != HeaderId::OTHER;
            let name = known || (is_token(field.name) && !field.name.iter().any(u8::is_ascii_uppercase));
            let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
            let value = is_field_value(field.value) && !blank(field.value.first()) && !blank(field.value.last());
            assert!(!name || !value);
        }
        fields.push((field.name.to_vec(), field.value.to_vec()));
    }
    Ok(fields)
}

fuzz_target!(|input: &[u8]| {
    let (mut ours, mut oracle) = (Decoder::new(), hpack::Decoder::new());
    oracle.set_max_allowed_table_size(4096);
    let mut rest = input;
    while let [length, tail @ ..] = rest {
        let (block, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        let Ok(fields) = decode(&mut ours, block) else { return };
        match oracle.decode(block) {
            Ok(others) => assert_eq!(fields, others),
            // It takes no block that has nothing but changes of size.
            Err(error) => {
                assert!(fields.is_empty(), "{error:?}");
                return;
            }
        }
    }
});
