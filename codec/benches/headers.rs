//! The header map: filling it, finding in it, changing it.

use divan::{Bencher, black_box};
use nuncio_codec::{HeaderId, HeaderMap};

fn main() {
    divan::main();
}

/// A browser's request as it arrives: pseudo-headers, known names, one unknown.
const FIELDS: [(&str, &str); 14] = [
    (":method", "GET"),
    (":path", "/articles/2026/a-page?from=start"),
    (":authority", "www.example.com"),
    (":scheme", "https"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.7"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "none"),
    ("Cache-Control", "max-age=0"),
    ("X-Unknown-Header", "some value"),
];

fn filled() -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in FIELDS {
        map.append(name.as_bytes(), value.as_bytes());
    }
    map
}

#[divan::bench]
fn fill_and_clear(bencher: Bencher<'_, '_>) {
    let mut map = HeaderMap::new();
    bencher.bench_local(|| {
        for (name, value) in black_box(FIELDS) {
            map.append(name.as_bytes(), value.as_bytes());
        }
        black_box(&map);
        map.clear();
    });
}

#[divan::bench]
fn find_known(bencher: Bencher<'_, '_>) {
    let map = filled();
    bencher.bench_local(|| black_box(&map).get(black_box(HeaderId::COOKIE)));
}

#[divan::bench]
fn find_known_absent(bencher: Bencher<'_, '_>) {
    let map = filled();
    bencher.bench_local(|| black_box(&map).get(black_box(HeaderId::CONTENT_LENGTH)));
}

#[divan::bench]
fn find_by_name(bencher: Bencher<'_, '_>) {
    let map = filled();
    bencher.bench_local(|| black_box(&map).get_name(black_box(b"x-unknown-header")));
}

#[divan::bench]
fn name_to_id(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| HeaderId::of(black_box(b"accept-encoding")));
}

#[divan::bench]
fn iterate(bencher: Bencher<'_, '_>) {
    let map = filled();
    bencher.bench_local(|| {
        black_box(&map).iter().map(|header| header.name.len() + header.value.len()).sum::<usize>()
    });
}

#[divan::bench]
fn set_and_remove(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(filled).bench_local_refs(|map| {
        map.set(HeaderId::CACHE_CONTROL, b"no-cache");
        map.remove(HeaderId::COOKIE)
    });
}
