//! Flow control and queues (RFC 9113 sections 5.2 and 6.9).

mod h2_support;

use h2_support::*;
use nuncio_codec::{
    Buffer,
    h2::{Sent, Settings, StreamId},
};

fn bytes(n: usize) -> Buffer {
    Buffer::from(&vec![b'x'; n][..])
}

/// Bytes of DATA for each stream, in the order in which frames come, and where streams end.
fn sizes(out: &mut Buffer) -> Vec<(u32, usize, bool)> {
    let list = frames(&out.to_vec());
    out.clear();
    list.into_iter()
        .filter(|(kind, ..)| *kind == DATA)
        .map(|(_, flags, stream, payload)| (stream, payload.len(), flags & END_STREAM != 0))
        .collect()
}

fn total(list: &[(u32, usize, bool)], stream: u32) -> usize {
    list.iter().filter(|(id, ..)| *id == stream).map(|(_, n, _)| n).sum()
}

/// A server with requests on these streams, whose responses have been started.
fn answering(settings: Settings, streams: &[u32]) -> (ServerRig, Vec<StreamId>) {
    let mut rig = ServerRig::server(settings);
    let ids = streams
        .iter()
        .map(|number| {
            rig.feed(&get(*number));
            let id = id(&rig, *number);
            rig.codec.send_headers(id, &response(200, &[]), false, &mut rig.out);
            id
        })
        .collect();
    rig.out.clear();
    (rig, ids)
}

#[test]
fn no_more_is_sent_than_the_windows_allow() {
    let (mut rig, ids) = answering(Settings::default(), &[1, 3]);
    let sent = rig.codec.send_data(ids[0], &mut bytes(100_000), true, &mut rig.out);
    assert_eq!(sent, Sent { queued: 100_000 - 65_535, pause: false });
    assert_eq!(
        sizes(&mut rig.out),
        [(1, 16_384, false), (1, 16_384, false), (1, 16_384, false), (1, 16_383, false)]
    );
    assert!(rig.codec.is_stalled(ids[0]));
    // The connection's window is used up too.
    rig.codec.send_data(ids[1], &mut bytes(10), true, &mut rig.out);
    assert!(rig.out.is_empty() && rig.codec.is_stalled(ids[1]));
    rig.feed(&window_update(0, 5));
    assert_eq!(sizes(&mut rig.out), [(3, 5, false)]);
    rig.feed(&window_update(0, 1_000_000));
    assert_eq!(sizes(&mut rig.out), [(3, 5, true)]);
    let lines = rig.feed(&window_update(1, 30_000));
    assert_eq!((lines.len(), total(&sizes(&mut rig.out), 1)), (0, 30_000));
    assert_eq!(rig.feed(&window_update(1, 30_000)), ["1 flushed"]);
    assert_eq!(sizes(&mut rig.out).last(), Some(&(1, 100_000 - 65_535 - 30_000, true)));
    assert_eq!((rig.codec.queued(), rig.codec.live()), (0, 0));
}

#[test]
fn an_end_needs_no_window() {
    let (mut rig, ids) = answering(Settings::default(), &[1, 3]);
    rig.codec.send_data(ids[0], &mut bytes(65_535), false, &mut rig.out);
    rig.out.clear();
    rig.codec.send_data(ids[0], &mut Buffer::new(), true, &mut rig.out);
    rig.codec.send_trailers(ids[1], &headers(&[("x", "y")]), &mut rig.out);
    assert_eq!(rig.written(), ["DATA 1  end", "HEADERS 3 [x=y] end"]);
}

#[test]
fn a_change_of_settings_may_make_windows_negative() {
    let (mut rig, ids) = answering(Settings::default(), &[1]);
    rig.codec.send_data(ids[0], &mut bytes(60_000), false, &mut rig.out);
    rig.feed(&settings(&[(4, 10_000)]));
    rig.feed(&window_update(0, 1_000_000));
    rig.out.clear();
    // 50,000 below zero.
    rig.codec.send_data(ids[0], &mut bytes(100), true, &mut rig.out);
    rig.feed(&window_update(1, 50_000));
    assert_eq!(sizes(&mut rig.out), []);
    rig.feed(&window_update(1, 30));
    assert_eq!(sizes(&mut rig.out), [(1, 30, false)]);
    rig.feed(&settings(&[(4, 10_050)]));
    assert_eq!(sizes(&mut rig.out), [(1, 50, false)]);
    rig.feed(&settings(&[(4, 65_535)]));
    assert_eq!(sizes(&mut rig.out), [(1, 20, true)]);
    // Windows that overflow are the connection's error.
    let (mut rig, _) = answering(Settings::default(), &[1]);
    rig.feed(&window_update(1, (1 << 31) - 1 - 65_535));
    assert!(rig.feed(&settings(&[(4, 65_536)]))[0].starts_with("! FLOW_CONTROL_ERROR"));
}

#[test]
fn larger_frames_where_the_peer_takes_them() {
    let (mut rig, ids) = answering(Settings::default(), &[1]);
    rig.feed(&[settings(&[(5, 1 << 20), (4, 1 << 20)]), window_update(0, 1 << 20)].concat());
    rig.out.clear();
    rig.codec.send_data(ids[0], &mut bytes(200_000), true, &mut rig.out);
    let list = sizes(&mut rig.out);
    assert_eq!(
        list,
        [(1, 65_536, false), (1, 65_536, false), (1, 65_536, false), (1, 200_000 - 3 * 65_536, true)]
    );
}

#[test]
fn what_is_urgent_is_sent_first() {
    let ask = |stream: u32, priority: &[&str]| {
        let fields: Vec<_> = priority.iter().map(|value| ("priority", *value)).collect();
        frame(HEADERS, WHOLE, stream, &block(&with(&GET, &fields)))
    };
    let mut rig = ServerRig::server(Settings { output_limit: 1 << 20, ..Settings::default() });
    rig.feed(&priority_update(9, "u=0"));
    let priorities = [(1, &["u=5"][..]), (3, &[]), (5, &["u=2, i"]), (7, &["u=9"]), (9, &["u=7"])];
    let waiting: Vec<_> = priorities
        .into_iter()
        .map(|(number, priority)| {
            rig.feed(&ask(number, priority));
            let id = id(&rig, number);
            rig.codec.send_headers(id, &response(200, &[]), false, &mut rig.out);
            id
        })
        .collect();
    // The first takes all of the window.
    rig.codec.send_data(waiting[0], &mut bytes(65_535), false, &mut rig.out);
    rig.out.clear();
    for id in &waiting {
        rig.codec.send_data(*id, &mut bytes(20_000), true, &mut rig.out);
    }
    assert!(rig.out.is_empty());
    rig.feed(&window_update(1, 1 << 20));
    // In pieces, so that the order shows, and so that two of equal urgency take turns.
    let mut order = Vec::new();
    let mut open = |rig: &mut ServerRig, window: u32| {
        rig.feed(&window_update(0, window));
        order.extend(sizes(&mut rig.out).into_iter().map(|(stream, n, _)| (stream, n)));
    };
    open(&mut rig, 20_000 + 15_000);
    // Changed while it waits: it is the next.
    rig.feed(&priority_update(1, "u=0"));
    open(&mut rig, 20_000);
    open(&mut rig, 100_000);
    assert_eq!(
        order,
        [
            (9, 16_384),
            (9, 3_616),
            (5, 15_000),
            (1, 16_384),
            (1, 3_616),
            (5, 5_000),
            (3, 16_384),
            (7, 16_384),
            (3, 3_616),
            (7, 3_616)
        ]
    );
    assert_eq!((rig.codec.queued(), rig.codec.live()), (0, 0));
    // One that is gone, and a client that is told such things.
    assert_eq!(rig.feed(&priority_update(1, "u=0")), [""; 0]);
    let mut rig = ClientRig::client(Settings::default());
    assert!(rig.feed(&priority_update(1, "u=1"))[0].starts_with("! PROTOCOL_ERROR"));
}

#[test]
fn the_output_is_shared() {
    let limits = Settings { output_limit: 40_000, stream_queue_limit: 50_000, ..Settings::default() };
    let (mut rig, ids) = answering(limits, &[1, 3, 5]);
    rig.feed(&[settings(&[(4, 1 << 20)]), window_update(0, 1 << 20)].concat());
    rig.out.clear();
    let sent: Vec<_> =
        ids.iter().map(|id| rig.codec.send_data(*id, &mut bytes(100_000), false, &mut rig.out)).collect();
    // The first fills the output, the others have to wait, and are told so.
    assert_eq!(sent[0], Sent { queued: 100_000 - 3 * 16_384, pause: true });
    assert_eq!(sent[1], Sent { queued: 100_000, pause: true });
    assert!(!rig.codec.is_stalled(ids[1]), "it waits for room only");
    let mut counts = [0; 3];
    let mut writable = Vec::new();
    for turn in 0.. {
        for (stream, n, _) in sizes(&mut rig.out) {
            counts[stream as usize / 2] += n;
        }
        writable.extend(rig.poll());
        if rig.out.is_empty() {
            break;
        }
        // None is far behind.
        let (most, least) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
        assert!(turn < 2 || most - least <= 3 * 16_384, "{counts:?}");
    }
    assert_eq!(counts, [100_000; 3]);
    writable.sort();
    assert_eq!(writable, ["1 writable", "3 writable", "5 writable"]);
    assert_eq!(rig.codec.queued(), 0);
}

#[test]
fn what_is_queued_dies_with_its_stream() {
    let (mut rig, ids) = answering(Settings::default(), &[1, 3, 5]);
    rig.codec.send_data(ids[0], &mut bytes(70_000), false, &mut rig.out);
    for id in &ids[1..] {
        rig.codec.send_data(*id, &mut bytes(1000), true, &mut rig.out);
    }
    rig.out.clear();
    rig.codec.reset(ids[0], nuncio_codec::h2::Code::CANCEL, &mut rig.out);
    assert_eq!(rig.feed(&rst(3, nuncio_codec::h2::Code::CANCEL)), ["3 reset: CANCEL Peer"]);
    assert_eq!((rig.written(), rig.codec.queued()), (vec!["RST_STREAM 1 CANCEL".into()], 1000));
    assert_eq!(rig.feed(&window_update(0, 10_000)), ["5 flushed"]);
    assert_eq!(sizes(&mut rig.out), [(5, 1000, true)]);
    assert_eq!((rig.codec.queued(), rig.codec.live()), (0, 0));
}

#[test]
fn trailers_wait_for_what_is_queued() {
    let (mut rig, ids) = answering(Settings::default(), &[1]);
    rig.codec.send_data(ids[0], &mut bytes(65_536), false, &mut rig.out);
    let sent = rig.codec.send_trailers(ids[0], &headers(&[("x", "y")]), &mut rig.out);
    assert_eq!(sent.queued, 1);
    rig.out.clear();
    let lines = rig.feed(&[window_update(0, 1), window_update(1, 1)].concat());
    assert_eq!(
        (lines, rig.written()),
        (vec!["1 flushed".into()], vec!["DATA 1 x".into(), "HEADERS 1 [x=y] end".into()])
    );
}

const SMALL: u32 = 65_535;

fn small() -> Settings {
    Settings {
        initial_stream_window_size: SMALL,
        initial_connection_window_size: SMALL,
        ..Settings::default()
    }
}

/// `n` bytes of DATA in frames of at most 16,384.
fn upload(stream: u32, n: usize) -> Vec<u8> {
    vec![b'x'; n].chunks(16_384).flat_map(|piece| data(stream, piece, false)).collect()
}

#[test]
fn windows_are_given_back_as_bytes_are_consumed() {
    let mut rig = ServerRig::server(small());
    rig.feed(&post(1));
    let id = id(&rig, 1);
    rig.feed(&upload(1, 40_000));
    assert_eq!(rig.written(), [""; 0], "nothing was consumed");
    rig.codec.consume(id, 32_766, &mut rig.out);
    assert_eq!(rig.written(), [""; 0], "less than half");
    rig.codec.consume(id, 1, &mut rig.out);
    assert_eq!(rig.written(), ["WINDOW_UPDATE 1 32767"]);
    // The connection's is half as large again.
    rig.feed(&upload(1, 20_000));
    rig.codec.consume(id, usize::MAX, &mut rig.out);
    assert_eq!(rig.written(), ["WINDOW_UPDATE 0 60000"]);
    rig.feed(&upload(1, 5000));
    rig.codec.consume(id, 5000, &mut rig.out);
    rig.feed(&data(1, &[0; 16_384], true));
    assert_eq!(rig.written(), [""; 0]);
    // For a stream that has ended there is no window.
    rig.codec.consume(id, 16_384, &mut rig.out);
    assert_eq!(rig.written(), [""; 0]);
}

#[test]
fn padding_is_consumed_at_once() {
    let mut rig = ServerRig::server(small());
    rig.feed(&post(1));
    let padded = frame(DATA, PADDED, 1, &[&[255][..], &[0; 256]].concat());
    for _ in 0..127 {
        rig.feed(&padded);
    }
    // 256 of 257 bytes were padding.
    assert_eq!(rig.written(), [""; 0]);
    rig.feed(&padded);
    assert_eq!(rig.written(), ["WINDOW_UPDATE 1 32768"]);
}

#[test]
fn more_than_a_window_is_an_error() {
    let mut rig = ServerRig::server(small());
    rig.feed(&[post(1), upload(1, SMALL as usize)].concat());
    let lines = rig.feed(&data(1, b"x", false));
    assert_eq!(
        (lines, rig.written()[0].as_str()),
        (vec!["1 reset: FLOW_CONTROL_ERROR FlowControl".into()], "RST_STREAM 1 FLOW_CONTROL_ERROR")
    );
    // The connection lives, and has its window back.
    assert_eq!(rig.feed(&get(3)).len(), 1);
    let mut rig = ServerRig::server(small());
    rig.feed(&[post(1), post(3), upload(1, SMALL as usize), upload(3, SMALL as usize / 2)].concat());
    assert!(rig.feed(&data(3, b"x", false))[0].starts_with("! FLOW_CONTROL_ERROR"));
}

#[test]
fn one_stream_that_is_not_consumed_does_not_stop_the_others() {
    let mut rig = ServerRig::server(small());
    rig.feed(&[post(1), post(3)].concat());
    let other = id(&rig, 3);
    rig.feed(&upload(1, SMALL as usize));
    for _ in 0..20 {
        assert!(!rig.feed(&upload(3, 30_000)).is_empty());
        rig.codec.consume(other, 30_000, &mut rig.out);
    }
    assert!(!rig.failed);
}

#[test]
fn what_nobody_wants_goes_back_to_the_connection() {
    let mut rig = ServerRig::server(small());
    for stream in (1..40).step_by(2) {
        rig.feed(&[post(stream), upload(stream, 30_000)].concat());
        // Not consumed, and half a frame is still on its way.
        let rest = data(stream, &[0; 5000], false);
        rig.feed(&rest[..2000]);
        rig.codec.reset(id(&rig, stream), nuncio_codec::h2::Code::CANCEL, &mut rig.out);
        rig.feed(&rest[2000..]);
        rig.feed(&upload(stream, 20_000));
    }
    assert!(!rig.failed);
    let given: usize = frames(&rig.out.to_vec())
        .iter()
        .filter(|(kind, _, stream, _)| (*kind, *stream) == (WINDOW_UPDATE, 0))
        .map(|(.., payload)| u32::from_be_bytes(payload[..].try_into().unwrap()) as usize)
        .sum();
    assert!(20 * 55_000 - given < SMALL as usize, "{given}");
}

#[test]
fn a_response_is_kept_until_it_is_consumed() {
    let mut rig = ClientRig::client(small());
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(rig.codec.open(&request("GET", "/", &[]), true, 9, &mut rig.out).expect("capacity"));
    }
    for (stream, n) in [(1, 50_000), (3, 40_000)] {
        let mut wire = frame(HEADERS, END_HEADERS, stream, &block(&OK));
        wire.extend(upload(stream, n));
        wire.extend(data(stream, b"", true));
        rig.feed(&wire);
    }
    rig.out.clear();
    assert_eq!((rig.codec.live(), rig.codec.tag(ids[0]), rig.codec.tag(ids[1])), (1, Some(9), Some(9)));
    // They hold the connection's window.
    rig.codec.consume(ids[0], 49_999, &mut rig.out);
    assert_eq!(rig.written(), ["WINDOW_UPDATE 0 49999"]);
    rig.codec.consume(ids[0], 1, &mut rig.out);
    assert_eq!(rig.codec.tag(ids[0]), None);
    // Or it is thrown away; there is nobody to be told.
    rig.codec.reset(ids[1], nuncio_codec::h2::Code::CANCEL, &mut rig.out);
    assert_eq!((rig.written(), rig.codec.streams().count()), (vec![], 1));
}

#[test]
fn streams_beyond_what_the_upstream_allows_are_not_opened() {
    let mut rig = ClientRig::client(Settings { max_concurrent_streams: 5, ..Settings::default() });
    assert_eq!(rig.codec.capacity(), 5);
    rig.feed(&settings(&[(3, 2)]));
    assert_eq!(rig.codec.capacity(), 2);
    for _ in 0..2 {
        rig.codec.open(&request("GET", "/", &[]), true, 0, &mut rig.out).expect("capacity");
    }
    assert!(rig.codec.open(&request("GET", "/", &[]), true, 0, &mut rig.out).is_err());
    rig.feed(&settings(&[(3, 1)]));
    assert_eq!(rig.codec.capacity(), 0);
    rig.feed(&frame(HEADERS, WHOLE, 1, &block(&OK)));
    assert_eq!(rig.codec.capacity(), 0);
    rig.feed(&frame(HEADERS, WHOLE, 3, &block(&OK)));
    assert_eq!(rig.codec.capacity(), 1);
    rig.feed(&settings(&[(3, u32::MAX)]));
    assert_eq!(rig.codec.capacity(), 5);
}
