//! HPACK: the examples of RFC 7541, hostile blocks, and round trips with an independent implementation.

mod h2_support;

use h2_support::{Random, block, encoded};
use nuncio_codec::{
    HeaderId, HeaderMap,
    h2::hpack::{Decoder, Encoder, Invalid, field_bound},
};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn decode(decoder: &mut Decoder, mut block: &[u8]) -> Result<Fields, Invalid> {
    let mut scratch = Vec::new();
    let mut fields = Fields::new();
    decoder.start();
    while let Some(field) = decoder.next(&mut block, &mut scratch)? {
        assert_eq!(HeaderId::of(field.name), field.id);
        fields.push((field.name.to_vec(), field.value.to_vec()));
    }
    Ok(fields)
}

fn list(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |digit: u8| (digit as char).to_digit(16).expect("a digit") as u8;
    digits.chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}

#[test]
fn examples_of_the_rfc() {
    let requests = [
        list(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")]),
        list(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "www.example.com"),
            ("cache-control", "no-cache"),
        ]),
        list(&[
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            (":authority", "www.example.com"),
            ("custom-key", "custom-value"),
        ]),
    ];
    let (first, later) = ("Mon, 21 Oct 2013 20:13:21 GMT", "Mon, 21 Oct 2013 20:13:22 GMT");
    let (private, location) = (("cache-control", "private"), ("location", "https://www.example.com"));
    let responses = [
        list(&[(":status", "302"), private, ("date", first), location]),
        list(&[(":status", "307"), private, ("date", first), location]),
        list(&[
            (":status", "200"),
            private,
            ("date", later),
            location,
            ("content-encoding", "gzip"),
            ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
        ]),
    ];
    let cases = [
        (
            "C.3",
            4096,
            &requests,
            [
                "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                "8286 84be 5808 6e6f 2d63 6163 6865",
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
            ],
        ),
        (
            "C.4",
            4096,
            &requests,
            [
                "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
                "8286 84be 5886 a8eb 1064 9cbf",
                "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
            ],
        ),
        (
            "C.5",
            256,
            &responses,
            [
                "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
                 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
                 6c65 2e63 6f6d",
                "4803 3330 37c1 c0bf",
                "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
                 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
                 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
                 3d31",
            ],
        ),
        (
            "C.6",
            256,
            &responses,
            [
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
                 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                "4883 640e ffc1 c0bf",
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
                 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
                 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
            ],
        ),
    ];
    for (name, size, expected, blocks) in cases {
        let mut decoder = Decoder::new();
        if size == 256 {
            decoder.set_limit(size);
            assert_eq!(decode(&mut decoder, &hex("3fe101")), Ok(vec![]));
        }
        for (block, expected) in blocks.iter().zip(expected) {
            assert_eq!(decode(&mut decoder, &hex(block)).as_ref(), Ok(expected), "{name}");
        }
    }
    for (block, name, value, sensitive) in [
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key",
            "custom-header",
            false,
        ),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path", "/sample/path", false),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password", "secret", true),
        ("82", ":method", "GET", false),
    ] {
        let (bytes, mut scratch, mut decoder) = (hex(block), Vec::new(), Decoder::new());
        decoder.start();
        let field = decoder.next(&mut &bytes[..], &mut scratch).expect("a block").expect("a field");
        assert_eq!(
            (field.name, field.value, field.sensitive),
            (name.as_bytes(), value.as_bytes(), sensitive)
        );
    }
}

#[test]
fn what_is_no_block() {
    let wrong = [
        // Index 0, indices beyond the tables, with and without a table.
        "80",
        "be",
        "ff80 8080 8000",
        "7f ff ff ff ff 0f 00 00",
        "40 01 61 01 62 bf",
        "7e 01 61",
        "0f 2f 01 61",
        // Integers that do not end or do not fit.
        "ff",
        "ff ff",
        "ff ff ff ff ff ff ff",
        "ff 80 80 80 80 10",
        // Strings that are cut off.
        "40",
        "00 02 61",
        "00 01 61",
        "00 01 61 05 62",
        "00 7f ff ff ff ff 07 61",
        // Huffman code with a wrong end.
        "00 81 ff 00",
        "00 01 61 84 ff ff ff ff",
        "00 01 61 81 00",
        // Changes of size: too large, in the wrong place, cut off.
        "3f e2 1f",
        "82 20",
        "3f",
    ];
    for text in wrong {
        assert_eq!(decode(&mut Decoder::new(), &hex(text)), Err(Invalid), "{text}");
    }
    // Changes of size where they may be: several, and the largest.
    assert_eq!(decode(&mut Decoder::new(), &hex("20 3f e1 1f 82")).map(|fields| fields.len()), Ok(1));
}

/// A field that is larger than the table empties it, and its own name may come from there.
#[test]
fn a_name_outlives_its_entry() {
    // With the name of the newest field, a value that makes it this large.
    let sized = |size: usize| {
        let value = "v".repeat(size - 3 - 32);
        let mut wire = block(&[("", &value)]);
        wire.splice(..2, [0x7e]);
        wire
    };
    let mut decoder = Decoder::new();
    let mut wire = hex("40 03 782d61 01 31");
    wire.extend(sized(4096));
    let fields = decode(&mut decoder, &wire).expect("a block");
    assert_eq!((fields[1].0.as_slice(), fields[1].1.len()), (&b"x-a"[..], 4061));
    // It just fits, and what gave it its name is gone.
    assert_eq!(decode(&mut decoder, &hex("be")).map(|fields| fields[0].0.clone()), Ok(b"x-a".to_vec()));
    assert_eq!(decode(&mut decoder, &hex("bf")), Err(Invalid));
    let fields = decode(&mut decoder, &sized(4097)).expect("a block");
    assert_eq!(fields[0].0, b"x-a");
    assert_eq!(decode(&mut decoder, &hex("be")), Err(Invalid));
}

#[test]
fn what_is_put_into_the_table() {
    let mut encoder = Encoder::new(4096);
    let first = encoded(&mut encoder, &[("server", "nuncio"), ("x-custom", "value")]);
    let again = encoded(&mut encoder, &[("server", "nuncio"), ("x-custom", "value")]);
    assert!(first.len() > 15 && again == hex("bf be"), "{again:x?}");
    // Static ones need no table.
    assert_eq!(
        encoded(&mut encoder, &[(":status", "404"), ("accept-encoding", "gzip, deflate")]),
        hex("8d 90")
    );
    // Secrets are marked, in whatever table they are.
    assert_eq!(encoded(&mut encoder, &[("authorization", "x")])[..2], hex("1f 08"));
    assert_eq!(encoded(&mut encoder, &[("cookie", "a=b")])[..2], hex("1f 11"));
    // Values that never come again do not push out the others: only the name is kept.
    for n in 0..1000 {
        let id = format!("{n:036}");
        let sizes = encoded(&mut encoder, &[("x-request-id", &id), ("x-mine", &id), ("etag", &id)]).len();
        assert!(n < 10 || sizes < 37 * 3 + 12, "{sizes}");
    }
    assert!(encoded(&mut encoder, &[("x-custom", "value")]).len() <= 2);
}

/// The peer's table may be made smaller and larger between two blocks: it is told of the least and the last size.
#[test]
fn two_changes_of_size() {
    let mut encoder = Encoder::new(4096);
    encoder.set_limit(100);
    encoder.set_limit(50);
    encoder.set_limit(200);
    assert_eq!(encoded(&mut encoder, &[(":status", "200")]), hex("3f 13 3f a9 01 88"));
    encoder.set_limit(200);
    assert_eq!(encoded(&mut encoder, &[(":status", "200")]), hex("88"));
    assert_eq!(encoded(&mut Encoder::new(0), &[(":status", "200")]), hex("20 88"));
}

fn random_field(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let names: &[&str] = &[
        ":method",
        ":path",
        ":status",
        "accept",
        "cookie",
        "date",
        "x-request-id",
        "authorization",
        "x-a",
        "x-b",
        "refresh",
        "content-disposition",
        "a-name-that-is-rather-long-and-nobody-knows",
        "",
    ];
    let values: &[&str] = &["", "a", "GET", "/", "200", "gzip, deflate", "Mon, 21 Oct 2013 20:13:21 GMT"];
    let name = names[random.below(names.len())].as_bytes().to_vec();
    let value = match random.below(4) {
        0 | 1 => values[random.below(values.len())].as_bytes().to_vec(),
        2 => format!("{}", random.below(30)).into_bytes(),
        _ => {
            let length = if random.chance(10) { random.below(5000) } else { random.below(40) };
            (0..length).map(|_| random.next() as u8).collect()
        }
    };
    (name, value)
}

fn write(encoder: &mut Encoder, fields: &Fields) -> Vec<u8> {
    let bound: usize = fields.iter().map(|(name, value)| field_bound(name.len(), value.len())).sum();
    let mut room = vec![0; encoder.start_bound() + bound];
    let mut at = encoder.start(&mut room);
    for (name, value) in fields {
        at += encoder.field(HeaderId::of(name), name, value, false, &mut room[at..]);
    }
    room.truncate(at);
    room
}

/// Ours to ours, ours to the other, the other to ours.
#[test]
fn round_trips() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let (mut ours, mut decoder) = (Encoder::new(4096), Decoder::new());
        let (mut theirs, mut oracle) = (hpack::Encoder::new(), hpack::Decoder::new());
        let mut from_theirs = Decoder::new();
        for _ in 0..60 {
            if random.chance(8) {
                let size = [0, 50, 200, 1000, 4096][random.below(5)];
                ours.set_limit(size);
                decoder.set_limit(size);
                oracle.set_max_allowed_table_size(size as usize);
            }
            // The other takes no block that has nothing but changes of size.
            let fields: Fields = (0..1 + random.below(12)).map(|_| random_field(&mut random)).collect();
            let block = write(&mut ours, &fields);
            assert_eq!(decode(&mut decoder, &block).as_ref(), Ok(&fields), "seed {seed}");
            assert_eq!(oracle.decode(&block).as_ref().ok(), Some(&fields), "seed {seed}");
            let block = theirs.encode(fields.iter().map(|(name, value)| (&name[..], &value[..])));
            assert_eq!(decode(&mut from_theirs, &block), Ok(fields), "seed {seed}");
        }
    }
}

#[test]
fn marks_of_what_is_valid_stay_with_the_table() {
    for (name, value, valid) in [
        ("x-a", "1", true),
        ("X-A", "1", false),
        ("x-a", " 1", false),
        ("x-a", "\n", false),
        ("", "", false),
        (":x", "1", false),
    ] {
        let mut wire = block(&[(name, value)]);
        wire[0] = 0x40;
        // As a literal, from the table, and with its name from there.
        wire.push(0xbe);
        wire.extend([0x7e, 1, b'v']);
        let (mut rest, mut scratch, mut decoder) = (&wire[..], Vec::new(), Decoder::new());
        decoder.start();
        let mut seen = Vec::new();
        while let Some(field) = decoder.next(&mut rest, &mut scratch).expect("a block") {
            seen.push(field.valid);
        }
        assert_eq!(seen, [valid, valid, name == "x-a"], "{name:?} {value:?}");
    }
    let mut map = HeaderMap::new();
    map.append(b"x", b"y");
    assert!(!map.iter().any(|header| header.sensitive));
}
