//! A connection driven by a script of bytes: frames of the peer that are right more often than not, and an owner that
//! answers, queues, consumes and resets. Whatever the script, what is written is well-formed: frames, no more than the
//! windows allow, nothing behind the end of a stream.

use super::*;
use nuncio_codec::h2::{ClientSide, ServerSide};
use std::collections::{HashMap, HashSet};

struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn size(&mut self) -> usize {
        let byte = usize::from(self.byte());
        match byte {
            0..128 => byte,
            128..224 => (byte - 127) * 300,
            _ => (byte - 223) * 2000,
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let n = usize::from(self.byte() % 32).min(self.0.len());
        let (bytes, rest) = self.0.split_at(n);
        self.0 = rest;
        bytes.to_vec()
    }
}

/// What a script needs of either side.
trait Owner: Describe + Sized {
    fn answer(codec: &mut Connection<Self>, id: StreamId, byte: u8, out: &mut Buffer);
    fn open(codec: &mut Connection<Self>, byte: u8, out: &mut Buffer);
}

impl Owner for ServerSide {
    fn answer(codec: &mut Connection<Self>, id: StreamId, byte: u8, out: &mut Buffer) {
        let status = [200, 103, 204, 404][usize::from(byte % 4)];
        codec.send_headers(id, &response(status, &[("x", "y")]), byte & 4 != 0, out);
    }

    fn open(_: &mut Connection<Self>, _: u8, _: &mut Buffer) {}
}

impl Owner for ClientSide {
    fn answer(_: &mut Connection<Self>, _: StreamId, _: u8, _: &mut Buffer) {}

    fn open(codec: &mut Connection<Self>, byte: u8, out: &mut Buffer) {
        let method = ["GET", "POST", "HEAD", "PUT"][usize::from(byte % 4)];
        let opened = codec.open(&request(method, "/", &[]), byte & 4 != 0, 1, out);
        assert_eq!(opened.is_err(), codec.capacity() == 0 && opened.is_err());
    }
}

pub fn run_server(input: &[u8]) {
    run::<ServerSide>(input, PREFACE, &[&GET, &POST]);
}

pub fn run_client(input: &[u8]) {
    run::<ClientSide>(input, &[], &[&OK, &[(":status", "103")]]);
}

fn run<S: Owner>(input: &[u8], preface: &[u8], heads: &[&[(&str, &str)]]) {
    let mut script = Script(input);
    let settings = Settings {
        stream_error_on_invalid_http_messaging: true,
        initial_stream_window_size: 65_535,
        initial_connection_window_size: 65_535,
        max_concurrent_streams: 8,
        max_outbound_frames: 300,
        max_outbound_control_frames: 100,
        output_limit: 1000 + script.size(),
        stream_queue_limit: script.size(),
        premature_reset_total_stream_count: 0,
        max_inbound_window_update_frames_per_data_frame_sent: 1000,
        ..Settings::default()
    };
    let mut rig = Rig::<S>::fresh(settings);
    let mut wire = Buffer::from(&[preface, &frame(SETTINGS, 0, 0, &[])].concat()[..]);
    let mut written = Vec::new();
    let mut seen = Vec::new();
    let mut next = 1;
    let mut given = 65_535_u64;
    while !script.0.is_empty() && !rig.failed {
        let op = script.byte();
        let stream = 1 + u32::from(op >> 4) * 2;
        let live: Vec<StreamId> = rig.codec.streams().map(|(id, _)| id).collect();
        let id = (!live.is_empty()).then(|| live[usize::from(op >> 4) % live.len()]);
        match op & 15 {
            0 => {
                let (kind, flags) = (script.byte() % 12, script.byte());
                if kind != SETTINGS && kind != WINDOW_UPDATE {
                    wire.append(&frame(kind, flags, stream, &script.bytes()));
                }
            }
            1 => {
                let flags = END_HEADERS | (script.byte() & 1);
                wire.append(&frame(HEADERS, flags, next, &block(heads[usize::from(op >> 4) % heads.len()])));
                next += 2;
            }
            2 => {
                let flags = END_HEADERS | (script.byte() & 1);
                wire.append(&frame(
                    HEADERS,
                    flags,
                    stream,
                    &block(heads[usize::from(op >> 4) % heads.len()]),
                ));
            }
            3 => {
                let byte = script.byte();
                wire.append(&data(stream, &vec![b'd'; script.size().min(16_384)], byte & 1 != 0));
            }
            4 => {
                let increment = script.size() as u32 * 10 + 1;
                let target = if op >> 4 == 0 { 0 } else { stream };
                if target == 0 {
                    given += u64::from(increment);
                }
                wire.append(&window_update(target, increment));
            }
            5 => {
                let value = script.size() as u32;
                let entry = [(4, value * 20), (5, 16_384 + value), (1, value), (3, value), (8, 1)];
                wire.append(&super::settings(&entry[usize::from(op >> 4) % 5..][..1]));
            }
            6 => wire.append(&rst(stream, Code(script.byte().into()))),
            7 => wire.append(&frame(HEADERS, WHOLE, stream, &block(&[("x-t", "1")]))),
            8 => match id {
                Some(id) => S::answer(&mut rig.codec, id, script.byte(), &mut rig.out),
                None => S::open(&mut rig.codec, script.byte(), &mut rig.out),
            },
            9 => S::open(&mut rig.codec, script.byte(), &mut rig.out),
            10 => {
                let byte = script.byte();
                let mut data = Buffer::from(&vec![b's'; script.size()][..]);
                if let Some(id) = id {
                    let sent = rig.codec.send_data(id, &mut data, byte & 1 != 0, &mut rig.out);
                    let queued = rig.codec.queued_on(id);
                    assert!(data.is_empty() && (sent.queued == queued || sent.queued == 0));
                }
            }
            11 => {
                if let Some(id) = id {
                    rig.codec.send_trailers(id, &headers(&[("x", "y")]), &mut rig.out);
                }
            }
            12 => {
                let n = script.size();
                if let Some(id) = id {
                    rig.codec.consume(id, n, &mut rig.out);
                }
            }
            13 => {
                let code = Code(script.byte().into());
                match (op >> 4, id) {
                    (0, _) => rig.codec.drain(&mut rig.out),
                    (1, _) => rig.codec.goaway(code, &mut rig.out),
                    (2, _) => rig.codec.ping(7, &mut rig.out),
                    (_, Some(id)) => {
                        rig.codec.reset(id, code, &mut rig.out);
                        assert_eq!(rig.codec.tag(id), None);
                    }
                    _ => {}
                }
            }
            14 => {
                let n = script.size();
                let mut part = Buffer::new();
                part.move_from(&mut rig.out, n);
                written.extend(part.to_vec());
            }
            _ => {
                let n = script.size() + 1;
                rig.input.move_from(&mut wire, n);
                seen.extend(rig.poll());
            }
        }
        let queued: usize = rig.codec.streams().map(|(id, _)| rig.codec.queued_on(id)).sum();
        assert_eq!(queued, rig.codec.queued());
        assert!(rig.codec.live() <= 8);
    }
    rig.input.move_all(&mut wire);
    seen.extend(rig.poll());
    written.extend(rig.out.to_vec());
    check(&written, given, rig.failed);
    check_events(&seen);
}

/// What was written keeps to the rules.
fn check(written: &[u8], given: u64, failed: bool) {
    let mut ended = HashSet::new();
    let mut reset = HashSet::new();
    let mut sent = 0;
    for (kind, flags, stream, payload) in frames(written) {
        assert!(kind <= CONTINUATION && kind != PRIORITY && kind != PUSH_PROMISE);
        if matches!(kind, DATA | HEADERS) {
            assert!(
                !ended.contains(&stream) && !reset.contains(&stream),
                "{kind} behind the end of {stream}"
            );
            if flags & END_STREAM != 0 {
                ended.insert(stream);
            }
        }
        match kind {
            DATA => sent += payload.len() as u64,
            RST_STREAM => {
                reset.insert(stream);
            }
            WINDOW_UPDATE => assert!(number(&payload) > 0 && !reset.contains(&stream)),
            _ => {}
        }
    }
    assert!(failed || sent <= given, "{sent} of {given}");
}

/// Each stream has one head, and ends once.
fn check_events(lines: &[String]) {
    let mut ends: HashMap<&str, u32> = HashMap::new();
    for line in lines {
        let Some((id, rest)) = line.split_once(' ') else { continue };
        if id.parse::<u32>().is_err() {
            continue;
        }
        let over = rest.ends_with(" end") || rest.starts_with("trailers");
        let reset = rest.starts_with("reset: ");
        let count = ends.entry(id).or_default();
        assert!(*count == 0 || reset || rest == "flushed" || rest == "writable", "{line} behind the end");
        *count += u32::from(over);
        assert!(*count <= 1, "{line}");
    }
}
