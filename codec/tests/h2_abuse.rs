//! What is allowed once and an attack a thousand times: each ends with its error, a counter, and memory that is
//! bounded.

mod h2_support;

use h2_support::*;
use nuncio_codec::h2::{Code, Counters, Error, Settings};

/// Feeds `bytes` until the connection fails, a number of times at most; how often, and why.
fn until_failure(
    rig: &mut ServerRig,
    most: usize,
    mut bytes: impl FnMut(usize) -> Vec<u8>,
) -> Option<(usize, Error)> {
    for at in 0..most {
        rig.input.append(&bytes(at));
        loop {
            match rig.codec.poll(&mut rig.input, &mut rig.out) {
                Ok(None) => break,
                Ok(Some(_)) => {}
                Err(error) => {
                    let last = rig.written().pop().expect("GOAWAY");
                    assert!(last.starts_with("GOAWAY") && last.ends_with(error.code().name()), "{last}");
                    return Some((at + 1, error));
                }
            }
        }
    }
    None
}

fn calm(
    settings: Settings,
    most: usize,
    bytes: impl FnMut(usize) -> Vec<u8>,
) -> (Option<(usize, Error)>, Counters) {
    let mut rig = ServerRig::server(settings);
    let failure = until_failure(&mut rig, most, bytes);
    (failure, rig.codec.take_counters())
}

fn more_settings(list: &[(u16, u32)]) -> Vec<u8> {
    settings(list)
}

fn stream(at: usize) -> u32 {
    at as u32 * 2 + 1
}

#[test]
fn cve_2023_44487_rapid_reset() {
    let attack = |at| [get(stream(at)), rst(stream(at), Code::CANCEL)].concat();
    let (failure, counters) = calm(Settings::default(), 10_000, attack);
    assert_eq!(failure, Some((250, Error::PrematureResets)));
    assert_eq!((counters.premature_resets, counters.rx_reset), (1, 250));
    assert_eq!(Error::PrematureResets.code(), Code::ENHANCE_YOUR_CALM);
    // Somebody who changes his mind now and then is no attacker.
    let mut rig = ServerRig::server(Settings::default());
    for at in 0..5000 {
        rig.feed(&get(stream(at)));
        if at % 3 != 0 {
            rig.codec.send_headers(id(&rig, stream(at)), &response(200, &[]), true, &mut rig.out);
        } else if at > 1000 {
            rig.feed(&rst(stream(at), Code::CANCEL));
        } else {
            rig.codec.reset(id(&rig, stream(at)), Code::INTERNAL_ERROR, &mut rig.out);
        }
        rig.out.clear();
    }
    assert!(!rig.failed);
    // Nor is somebody who waited for a while.
    let mut rig = ServerRig::server(Settings::default());
    for at in 0..3000 {
        rig.codec.set_time((u32::MAX - 500).wrapping_add(at as u32 * 1000));
        rig.feed(&get(stream(at)));
        rig.codec.set_time((u32::MAX - 500).wrapping_add(at as u32 * 1000 + 1000));
        rig.feed(&rst(stream(at), Code::CANCEL));
    }
    assert!(!rig.failed);
}

#[test]
fn cve_2025_8671_made_you_reset() {
    let provocations: [fn(u32) -> Vec<u8>; 5] = [
        |id| [get(id), window_update(id, 0)].concat(),
        |id| [get(id), window_update(id, (1 << 31) - 1)].concat(),
        |id| [get(id), data(id, b"x", false)].concat(),
        |id| [get(id), frame(PRIORITY, 0, id, &[0; 4])].concat(),
        |id| frame(HEADERS, WHOLE, id, &block(&with(&GET, &[("X", "y")]))),
    ];
    for provoke in provocations {
        let lenient = Settings { stream_error_on_invalid_http_messaging: true, ..Settings::default() };
        let (failure, counters) = calm(lenient, 10_000, |at| provoke(stream(at)));
        assert_eq!(failure, Some((250, Error::PrematureResets)));
        assert!(counters.premature_resets == 1 && counters.tx_reset >= 249);
    }
}

#[test]
fn cve_2024_27316_continuation_flood() {
    // Without an end, in small and in large pieces.
    for (size, most) in [(1, 16 + 60 * 4 + 1), (16_384, 9)] {
        let piece = vec![0x82; size];
        let (failure, counters) = calm(Settings::default(), 100_000, |at| match at {
            0 => frame(HEADERS, END_STREAM, 1, &block(&GET)),
            _ => frame(CONTINUATION, 0, 1, &piece),
        });
        let (frames, error) = failure.expect("it is stopped");
        assert_eq!(error, Error::ContinuationFlood);
        assert!(frames <= most + 1, "{frames} frames of {size}");
        assert_eq!(counters.inbound_continuation_flood, 1);
    }
    let (failure, _) = calm(Settings::default(), 10, |at| match at {
        0 => frame(HEADERS, 0, 1, &block(&GET)),
        _ => frame(CONTINUATION, 0, 1, &[]),
    });
    assert_eq!(failure, Some((3, Error::EmptyFramesFlood)));
}

#[test]
fn cve_2019_9512_ping_flood() {
    let (failure, counters) = calm(Settings::default(), 10_000, |_| frame(PING, 0, 0, &[0; 8]));
    assert_eq!(failure, Some((1001, Error::OutboundControlFlood)));
    assert_eq!(counters.outbound_control_flood, 1);
    // Whoever reads the answers may go on.
    let mut rig = ServerRig::server(Settings::default());
    for _ in 0..20 {
        assert!(rig.feed(&frame(PING, 0, 0, &[0; 8]).repeat(900)).is_empty());
        rig.out.drain(900 * 17);
    }
    assert!(!rig.failed);
}

#[test]
fn cve_2019_9515_settings_flood() {
    let (failure, counters) = calm(Settings::default(), 10_000, |_| frame(SETTINGS, 0, 0, &[]));
    assert_eq!(failure, Some((1001, Error::OutboundControlFlood)));
    assert_eq!(counters.outbound_control_flood, 1);
}

#[test]
fn cve_2019_9514_reset_flood() {
    // Requests that are refused, from somebody who does not read.
    let settings = Settings { max_concurrent_streams: 1, ..Settings::default() };
    let (failure, counters) = calm(settings, 10_000, |at| get(stream(at)));
    assert_eq!(failure, Some((1002, Error::OutboundControlFlood)));
    assert_eq!((counters.outbound_control_flood, counters.refused_streams), (1, 1001));
}

#[test]
fn cve_2019_9518_empty_frames() {
    let empty = |at| if at == 0 { post(1) } else { data(1, b"", false) };
    let (failure, counters) = calm(Settings::default(), 100, empty);
    assert_eq!(failure, Some((3, Error::EmptyFramesFlood)));
    assert_eq!(counters.inbound_empty_frames_flood, 1);
    let more = Settings { max_consecutive_inbound_frames_with_empty_payload: 10, ..Settings::default() };
    assert_eq!(calm(more, 100, empty).0.map(|(n, _)| n), Some(12));
    // Padding alone is empty too, an end is not, and neither are two with something between.
    let padded = |at| if at == 0 { post(1) } else { frame(DATA, PADDED, 1, &[1, 0]) };
    assert_eq!(calm(Settings::default(), 100, padded).0.map(|(n, _)| n), Some(3));
    let mixed = |at| if at == 0 { post(1) } else { data(1, &[0; 1][..at % 2], false) };
    assert_eq!(calm(Settings::default(), 1000, mixed).0, None);
    let joined = |at| if at == 0 { post(1) } else { [data(1, b"", false), data(1, b"x", false)].concat() };
    assert_eq!(calm(Settings::default(), 1000, joined).0, None);
}

#[test]
fn cve_2019_9513_priority_flood() {
    let (failure, counters) = calm(Settings::default(), 10_000, |_| frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]));
    assert_eq!(failure, Some((101, Error::PriorityFlood)));
    assert_eq!(counters.inbound_priority_frames_flood, 1);
    let updates = |_| priority_update(1, "u=1");
    assert_eq!(calm(Settings::default(), 10_000, updates).0, Some((101, Error::PriorityFlood)));
    let with_streams = |at| {
        if at < 4 { get(stream(at)) } else { frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]) }
    };
    assert_eq!(calm(Settings::default(), 10_000, with_streams).0, Some((4 + 501, Error::PriorityFlood)));
}

#[test]
fn cve_2019_9511_window_update_flood() {
    let (failure, counters) = calm(Settings::default(), 10_000, |_| window_update(0, 1));
    assert_eq!(failure, Some((6, Error::WindowUpdateFlood)));
    assert_eq!(counters.inbound_window_update_frames_flood, 1);
    // Each DATA frame that was sent accounts for twenty.
    let mut rig = ServerRig::server(Settings::default());
    rig.feed(&get(1));
    let id = id(&rig, 1);
    rig.codec.send_headers(id, &response(200, &[]), false, &mut rig.out);
    rig.codec.send_data(id, &mut (&b"x"[..]).into(), false, &mut rig.out);
    let failure = until_failure(&mut rig, 1000, |_| window_update(0, 1));
    assert_eq!(failure, Some((5 + 2 + 20 + 1, Error::WindowUpdateFlood)));
}

/// A window of one byte after the other makes us write frames of one byte; whoever does not read them is stopped.
#[test]
fn cve_2019_9511_data_dribble() {
    let settings = Settings {
        max_outbound_frames: 500,
        max_inbound_window_update_frames_per_data_frame_sent: 1000,
        ..Settings::default()
    };
    let mut rig = ServerRig::server(settings);
    rig.feed(&more_settings(&[(4, 0)]));
    rig.feed(&get(1));
    let id = id(&rig, 1);
    rig.codec.send_headers(id, &response(200, &[]), false, &mut rig.out);
    rig.codec.send_data(id, &mut vec![0; 10_000][..].into(), false, &mut rig.out);
    let failure = until_failure(&mut rig, 10_000, |_| window_update(1, 1));
    let (frames, error) = failure.expect("it is stopped");
    assert_eq!((error, rig.codec.take_counters().outbound_flood), (Error::OutboundFlood, 1));
    assert!(frames <= 501, "{frames}");
}

#[test]
fn cve_2016_6581_hpack_bomb() {
    // A field of 4000 bytes, named by one byte each time.
    let mut bomb = block(&GET);
    bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend([b'v'; 4000]);
    bomb.extend([0xbe; 10_000]);
    let mut rig = ServerRig::server(Settings { max_headers_count: u32::MAX, ..Settings::default() });
    let lines = rig.feed(&frame(HEADERS, WHOLE, 1, &bomb));
    assert_eq!(lines, ["1 too large: http2.header_list_size_too_large"]);
    let lines = ServerRig::server(Settings::default()).feed(&frame(
        HEADERS,
        WHOLE,
        1,
        &[&block(&GET)[..], &[0x82; 10_000]].concat(),
    ));
    assert!(lines[0].starts_with('!'), "{lines:?}");
}

#[test]
fn streams_over_the_limit() {
    let settings = Settings { max_concurrent_streams: 3, ..Settings::default() };
    let mut rig = ServerRig::server(settings);
    rig.feed(&[get(1), get(3), post(5)].concat());
    assert_eq!(rig.feed(&get(7)), ["7 refused: TooManyStreams"]);
    assert_eq!(rig.written(), ["RST_STREAM 7 REFUSED_STREAM"]);
    assert_eq!((rig.codec.live(), rig.codec.take_counters().refused_streams), (3, 1));
    rig.codec.send_headers(id(&rig, 3), &response(200, &[]), true, &mut rig.out);
    assert!(rig.feed(&get(9))[0].starts_with("9 ["));
}

/// Streams that are reset while they have something queued leave nothing behind.
#[test]
fn queues_of_streams_that_are_reset() {
    let mut rig =
        ServerRig::server(Settings { premature_reset_total_stream_count: 0, ..Settings::default() });
    rig.feed(&more_settings(&[(4, 1 << 20)]));
    rig.feed(&get(1));
    let first = id(&rig, 1);
    rig.codec.send_headers(first, &response(200, &[]), false, &mut rig.out);
    // The connection's window is gone.
    rig.codec.send_data(first, &mut vec![0; 65_535][..].into(), false, &mut rig.out);
    for at in 1..5000 {
        rig.feed(&get(stream(at)));
        let id = id(&rig, stream(at));
        rig.codec.send_headers(id, &response(200, &[]), false, &mut rig.out);
        rig.codec.send_data(id, &mut vec![0; 1000][..].into(), true, &mut rig.out);
        rig.feed(&rst(stream(at), Code::CANCEL));
        rig.out.clear();
    }
    assert_eq!((rig.codec.live(), rig.codec.queued(), rig.failed), (1, 0, false));
    assert!(format!("{:?}", rig.codec).len() < 20_000, "nothing piles up");
}

/// Identifiers that were chosen to collide.
#[test]
fn odd_identifiers() {
    let mut rig = ServerRig::server(Settings::default());
    for at in 0..1000_u32 {
        rig.feed(&get(at * (1 << 20) + 1));
    }
    assert_eq!(rig.codec.live(), 1000);
    for at in 0..1000_u32 {
        let id = id(&rig, at * (1 << 20) + 1);
        rig.codec.send_headers(id, &response(200, &[]), true, &mut rig.out);
    }
    assert_eq!(rig.codec.live(), 0);
    let mut rig = ServerRig::server(Settings::default());
    rig.feed(&get((1 << 31) - 1));
    assert!(rig.codec.is_draining());
}
