//! Buffers against a plain vector of bytes.

use super::*;
use proptest::prelude::*;
use std::io;

#[derive(Clone, Debug)]
enum Step {
    Append(usize, usize),
    MoveAll(usize),
    MoveFrom(usize, usize),
    Drain(usize, usize),
    Linearize(usize, usize),
    Read(usize, usize, usize),
    ReadFails(usize, usize),
    TryAppendWith(usize, usize, usize),
    Write(usize, usize),
    Compact(usize),
    AppendWith(usize, usize, usize),
}

/// Sizes around the places where something changes.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        0..20usize,
        500..530usize,
        1000..1050usize,
        4080..4110usize,
        8000..70_000usize,
        65_530..65_545usize
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2usize, size()).prop_map(|(b, n)| Step::Append(b, n)),
        1 => (0..2usize).prop_map(Step::MoveAll),
        2 => (0..2usize, size()).prop_map(|(b, n)| Step::MoveFrom(b, n)),
        3 => (0..2usize, size()).prop_map(|(b, n)| Step::Drain(b, n)),
        2 => (0..2usize, size()).prop_map(|(b, n)| Step::Linearize(b, n)),
        3 => (0..2usize, 1..300_000usize, size()).prop_map(|(b, w, n)| Step::Read(b, w, n)),
        1 => (0..2usize, 1..300_000usize).prop_map(|(b, w)| Step::ReadFails(b, w)),
        2 => (0..2usize, 1..70_000usize, size()).prop_map(|(b, most, n)| Step::TryAppendWith(b, most, n)),
        2 => (0..2usize, size()).prop_map(|(b, n)| Step::Write(b, n)),
        1 => (0..2usize).prop_map(Step::Compact),
        2 => (0..2usize, size(), size()).prop_map(|(b, most, n)| Step::AppendWith(b, most, n)),
    ]
}

fn run(steps: &[Step]) {
    let mut buffers = [Buffer::new(), Buffer::new()];
    let mut models = [Vec::<u8>::new(), Vec::new()];
    let mut next = 0u8;
    let mut fresh = |n: usize| -> Vec<u8> {
        (0..n)
            .map(|_| {
                next = next.wrapping_mul(5).wrapping_add(7);
                next
            })
            .collect()
    };
    for step in steps {
        match *step {
            Step::Append(b, n) => {
                let bytes = fresh(n);
                buffers[b].append(&bytes);
                models[b].extend(bytes);
            }
            Step::MoveAll(b) => {
                let [one, two] = &mut buffers;
                if b == 0 {
                    one.move_all(two)
                } else {
                    two.move_all(one)
                }
                let taken = std::mem::take(&mut models[1 - b]);
                models[b].extend(taken);
            }
            Step::MoveFrom(b, n) => {
                let [one, two] = &mut buffers;
                if b == 0 {
                    one.move_from(two, n)
                } else {
                    two.move_from(one, n)
                }
                let n = n.min(models[1 - b].len());
                let taken: Vec<u8> = models[1 - b].drain(..n).collect();
                models[b].extend(taken);
            }
            Step::Drain(b, n) => {
                buffers[b].drain(n);
                let n = n.min(models[b].len());
                models[b].drain(..n);
            }
            Step::Linearize(b, n) => {
                let n_model = n.min(models[b].len());
                assert_eq!(buffers[b].linearize(n), &models[b][..n_model]);
            }
            Step::Read(b, want, n) => {
                let mut taken = 0;
                let read = buffers[b].read_with(want, |room| {
                    let offered: usize = room.iter().map(|slice| slice.len()).sum();
                    assert!(offered >= want.min(SMALL), "{offered} offered, {want} wanted");
                    assert!(room.iter().all(|slice| !slice.is_empty()));
                    let bytes = fresh(n.min(offered));
                    let mut rest = &bytes[..];
                    for slice in room {
                        let n = rest.len().min(slice.len());
                        slice[..n].copy_from_slice(&rest[..n]);
                        rest = &rest[n..];
                    }
                    taken = bytes.len();
                    models[b].extend(bytes);
                    Ok(taken)
                });
                assert_eq!(read.expect("no error"), taken);
            }
            Step::ReadFails(b, want) => {
                let error = buffers[b].read_with(want, |_| Err(io::ErrorKind::WouldBlock.into()));
                assert_eq!(error.expect_err("an error").kind(), io::ErrorKind::WouldBlock);
                assert_eq!(buffers[b].read_with(want, |_| Ok(0)).expect("no error"), 0);
            }
            Step::TryAppendWith(b, most, n) => {
                let bytes = fresh(n.min(most));
                let filled = buffers[b].try_append_with(most, |room| {
                    assert_eq!(room.len(), most);
                    room[..bytes.len()].copy_from_slice(&bytes);
                    Ok::<_, ()>(bytes.len())
                });
                assert_eq!(filled, Ok(bytes.len()));
                models[b].extend(bytes);
                assert_eq!(buffers[b].try_append_with(most, |_| Err(())), Err(()));
            }
            Step::Write(b, n) => {
                let mut seen = Vec::new();
                let written = buffers[b].write_with(|slices| {
                    slices.iter().for_each(|slice| seen.extend_from_slice(slice));
                    Ok(n.min(seen.len()))
                });
                let written = written.expect("no error");
                assert!(models[b].starts_with(&seen));
                models[b].drain(..written);
            }
            Step::Compact(b) => buffers[b].compact(),
            Step::AppendWith(b, most, n) => {
                let bytes = fresh(n.min(most));
                buffers[b].append_with(most, |room| {
                    assert!(room.len() >= most);
                    room[..bytes.len()].copy_from_slice(&bytes);
                    bytes.len()
                });
                models[b].extend(bytes);
            }
        }
        for (buffer, model) in buffers.iter().zip(&models) {
            assert_eq!(buffer.len(), model.len());
            assert!(*buffer == model[..]);
            assert_eq!(buffer.is_empty(), buffer.blocks() == 0, "an empty buffer holds no block");
            assert!(buffer.chunks().all(|chunk| !chunk.is_empty()));
            for at in [0, 1, 600, model.len().saturating_sub(1), model.len()] {
                assert_eq!(buffer.byte(at), model.get(at).copied());
                let found = model.iter().skip(at).position(|byte| *byte == 42).map(|n| n + at);
                assert_eq!(buffer.find(42, at), found);
                let mut room = [0; 700];
                let n = buffer.copy_to(at, &mut room);
                let expected =
                    &model[at.min(model.len())..(at + 700).min(model.len()).max(at.min(model.len()))];
                assert_eq!(&room[..n], expected);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 200 }))]
    #[test]
    fn a_buffer_is_a_queue_of_bytes(steps in prop::collection::vec(step(), 0..40)) {
        let before = pool_stats();
        run(&steps);
        let after = pool_stats();
        prop_assert_eq!(before.small_outstanding, after.small_outstanding);
        prop_assert_eq!(before.large_outstanding, after.large_outstanding);
        prop_assert_eq!(before.odd_outstanding, after.odd_outstanding);
    }
}

#[test]
fn large_blocks_are_moved_not_copied() {
    let mut from = Buffer::new();
    from.append(&vec![7; LARGE]);
    let address = from.front().as_ptr();
    let mut to = Buffer::from(&b"head"[..]);
    to.move_all(&mut from);
    assert_eq!(to.chunks().nth(1).expect("a second block").as_ptr(), address);
    let mut last = Buffer::new();
    to.drain(4);
    last.move_from(&mut to, LARGE);
    assert_eq!(last.front().as_ptr(), address);
}

#[test]
fn large_parts_are_moved_not_copied() {
    let mut from = Buffer::from(&vec![7; LARGE][..]);
    let address = from.front().as_ptr() as usize;
    let mut parts: Vec<Buffer> = (0..4).map(|_| Buffer::new()).collect();
    for part in &mut parts {
        part.append(b"head");
        part.move_from(&mut from, LARGE / 4);
    }
    assert!(from.is_empty());
    for (at, part) in parts.iter().enumerate() {
        let moved = part.chunks().nth(1).expect("a second block");
        assert_eq!((moved.as_ptr() as usize, moved.len()), (address + at * LARGE / 4, LARGE / 4));
    }
    // What one of them gets more does not overwrite another.
    parts[0].append(b"tail");
    assert!(parts[1].chunks().nth(1).is_some_and(|moved| moved.iter().all(|byte| *byte == 7)));
    // The memory goes back with the last.
    parts.truncate(1);
    assert_eq!(pool_stats().large_outstanding, 1);
    parts.clear();
    assert_eq!(pool_stats().large_outstanding, 0);
}

#[test]
fn small_parts_do_not_keep_a_large_block() {
    let mut from = Buffer::from(&vec![7; LARGE][..]);
    let mut part = Buffer::new();
    part.move_from(&mut from, LARGE / 8);
    drop(from);
    part.drain(LARGE / 8 - 100);
    part.compact();
    assert_eq!((pool_stats().large_outstanding, pool_stats().small_outstanding), (0, 1));
}

#[test]
fn small_pieces_are_gathered() {
    let mut buffer = Buffer::new();
    for _ in 0..100 {
        buffer.move_all(&mut Buffer::from(&b"0123456789"[..]));
    }
    assert_eq!((buffer.len(), buffer.blocks()), (1000, 1));
}

#[test]
fn a_waiting_remainder_leaves_its_large_block() {
    let mut buffer = Buffer::from(&vec![1; LARGE][..]);
    buffer.drain(LARGE - 10);
    assert_eq!(pool_stats().large_outstanding, 1);
    buffer.compact();
    assert_eq!((pool_stats().large_outstanding, pool_stats().small_outstanding), (0, 1));
    assert!(buffer == [1; 10][..]);
}

#[test]
fn what_a_thread_keeps_is_bounded() {
    let buffers: Vec<Buffer> = (0..1000).map(|_| Buffer::from(&[0; 10][..])).collect();
    drop(buffers);
    assert!(pool_stats().small_free <= (1 << 20) / SMALL);
}
