//! The chained buffer: what a read, a move and a write cost beside the system call.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use nuncio_codec::Buffer;

fn main() {
    divan::main();
}

const SIZES: [usize; 4] = [300, 4 << 10, 64 << 10, 1 << 20];

#[divan::bench(args = SIZES)]
fn append_and_clear(bencher: Bencher<'_, '_>, size: usize) {
    let bytes = vec![b'x'; size];
    let mut buffer = Buffer::new();
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        buffer.append(black_box(&bytes));
        buffer.clear();
    });
}

/// A read that finds `size` bytes at once, without the copying that the kernel does.
#[divan::bench(args = SIZES)]
fn read_and_write(bencher: Bencher<'_, '_>, size: usize) {
    let mut buffer = Buffer::new();
    bencher.bench_local(|| {
        let mut left = size;
        while left > 0 {
            let read = buffer
                .read_with(left, |room| Ok(room.iter().map(|slice| slice.len()).sum::<usize>().min(left)));
            left -= read.expect("it does not fail");
        }
        while !buffer.is_empty() {
            let all = |slices: &[std::io::IoSlice<'_>]| Ok(slices.iter().map(|slice| slice.len()).sum());
            buffer.write_with(all).expect("it does not fail");
        }
    });
}

/// A body that goes from one connection's buffer to another's behind a head.
#[divan::bench(args = SIZES)]
fn move_behind_a_head(bencher: Bencher<'_, '_>, size: usize) {
    let bytes = vec![b'x'; size];
    bencher
        .with_inputs(|| {
            let (mut from, mut to) = (Buffer::new(), Buffer::new());
            from.append(&bytes);
            to.append(&[b'h'; 200]);
            (from, to)
        })
        .bench_local_refs(|(from, to)| to.move_all(from));
}

#[divan::bench(args = [1, 16])]
fn linearize_over_blocks(bencher: Bencher<'_, '_>, behind: usize) {
    bencher
        .with_inputs(|| {
            let mut buffer = Buffer::new();
            buffer.append(&vec![b'x'; (4 << 10) + behind]);
            buffer.drain((4 << 10) - 100);
            buffer
        })
        .bench_local_refs(|buffer| buffer.linearize(100 + behind).len());
}
