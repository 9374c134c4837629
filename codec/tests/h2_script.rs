//! Random scripts (see `h2_support/script.rs`) and random bytes, as the fuzz targets feed them, so that what they find
//! is found without a fuzzer too.

mod h2_support;

use h2_support::{Cut, PREFACE, Random, fuzzed_client, fuzzed_server, get, post, script};

fn noise(random: &mut Random, most: usize) -> Vec<u8> {
    (0..random.below(most)).map(|_| random.next() as u8).collect()
}

#[test]
fn scripts() {
    for seed in 0..3000 {
        let input = noise(&mut Random(seed), 400);
        let run = std::panic::AssertUnwindSafe(|| {
            script::run_server(&input);
            script::run_client(&input);
        });
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn bytes_that_were_changed_on_the_way() {
    for seed in 0..500 {
        let mut random = Random(seed);
        let mut wire = [PREFACE, &h2_support::settings(&[(4, 70_000)]), &get(1), &post(3)].concat();
        wire.extend(h2_support::data(3, b"body", false));
        wire.extend(h2_support::frame(1, 5, 3, &h2_support::block(&[("x", "y")])));
        wire.extend(get(5));
        for _ in 0..1 + random.below(4) {
            let at = random.below(wire.len());
            wire[at] = random.next() as u8;
        }
        let flags = random.next() as u8;
        let whole = fuzzed_server(flags, &wire, Cut::Whole);
        assert_eq!(whole, fuzzed_server(flags, &wire, Cut::Bytes), "seed {seed}");
        assert_eq!(whole, fuzzed_server(flags, &wire, Cut::Random(seed)), "seed {seed}");
        let wire = &wire[PREFACE.len()..];
        let whole = fuzzed_client(flags, wire, Cut::Whole);
        assert_eq!(whole, fuzzed_client(flags, wire, Cut::Bytes), "seed {seed}");
    }
}
