//! HTTP/2 at both ends of a case.

use super::Script;
use crate::cases::{Answer, Do};
use crate::support::h2::*;
use crate::wire::header;
use std::fmt::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;

/// A client that has said these frames.
pub fn client(stream: TcpStream, first: &[u8]) -> Peer {
    let mut peer = Peer::of(stream);
    peer.patience(std::time::Duration::from_secs(3));
    peer.resigned = true;
    peer.try_send([PREFACE, &frame(SETTINGS, 0, 0, &[]), first].concat());
    peer
}

pub fn step(step: &Do, peer: &mut Peer, text: &mut String) {
    match step {
        Do::Frames(bytes) => drop(peer.try_send(bytes)),
        Do::Message(stream) => {
            let message = peer.message(*stream);
            text.push_str(&show(&message));
            if !message.ended {
                rest(peer, text);
            }
        }
        Do::Ping => {
            peer.frame(PING, 0, 0, b"pingpong");
            let answered = peer.until(|frame| frame.kind == PING && frame.has(ACK)).is_some();
            ends(peer.kept.drain(..), text);
            text.push_str(if answered { "alive\n" } else { "ended\n" });
        }
        Do::Rest => rest(peer, text),
        other => panic!("{other:?} is of HTTP/1"),
    }
}

fn rest(peer: &mut Peer, text: &mut String) {
    ends(peer.rest().into_iter(), text);
    let gone = peer.stream.set_nonblocking(true).is_ok() && peer.stream.peek(&mut [0]).is_ok();
    text.push_str(if gone { "ended\n" } else { "goes on\n" });
}

fn ends(frames: impl Iterator<Item = Frame>, text: &mut String) {
    for frame in frames {
        match frame.kind {
            RST_STREAM => drop(writeln!(text, "reset {} with {}", frame.stream, frame.code())),
            GOAWAY => drop(writeln!(text, "goaway after {} with {}", frame.last(), frame.code())),
            _ => {}
        }
    }
}

fn fields(fields: &[(String, String)]) -> String {
    let mut lines: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    lines.sort_by_key(|line| line[1..].split(':').next().unwrap_or_default().to_owned());
    lines.concat()
}

fn show(message: &Message) -> String {
    let body = match message.body.len() {
        0..=2000 => format!("{:?}", message.text()),
        n => format!("{n} bytes, sum {}", message.body.iter().map(|b| u64::from(*b)).sum::<u64>()),
    };
    let interim = message.interim.join(" ");
    let mut text =
        format!("interim {interim}\n{}[{body}]\n{}", fields(&message.head), fields(&message.trailers));
    match message.reset {
        Some(code) => drop(writeln!(text, "reset with {code}")),
        None => text.push_str(if message.ended { "complete\n" } else { "cut\n" }),
    }
    text
}

/// One upstream connection.
pub fn converse(stream: TcpStream, script: &Mutex<Script>) {
    let Some(mut peer) = Peer::accept(stream, &[(8, 1)]) else { return };
    peer.resigned = true;
    let mut open: Vec<(u32, Message)> = Vec::new();
    while let Some(frame) = peer.read() {
        let record = |text: &str| script.lock().expect("script").recorded.push_str(text);
        let answer = script.lock().expect("script").answer.clone();
        let at = open.iter().position(|(stream, _)| *stream == frame.stream);
        match (frame.kind, at) {
            (HEADERS, None) => {
                let head = frame.fields.clone();
                let connect = head.contains(&(":method".to_owned(), "CONNECT".to_owned()));
                if let (Answer::Tunnel(bytes), true) = (&answer, connect) {
                    record(&fields(&head));
                    reply(&mut peer, frame.stream, bytes, false);
                    open.push((frame.stream, Message { head: Vec::new(), ..Message::default() }));
                    continue;
                }
                open.push((frame.stream, Message { head, ..Message::default() }));
            }
            (HEADERS, Some(at)) => open[at].1.trailers = frame.fields.clone(),
            (DATA, Some(at)) if open[at].1.head.is_empty() => {
                let text = frame.payload.to_ascii_uppercase();
                peer.data(frame.stream, &text, text.ends_with(b"BYE") || frame.has(END_STREAM));
                continue;
            }
            (DATA, Some(at)) => open[at].1.body.extend(&frame.payload),
            // What comes last may come too late to be seen: RST_STREAM and GOAWAY are not compared here.
            _ => {}
        }
        let Some(at) = open.iter().position(|(stream, _)| *stream == frame.stream) else { continue };
        let early = matches!(answer, Answer::Early(_)) && frame.kind == HEADERS;
        if !matches!(frame.kind, HEADERS | DATA) || !(frame.has(END_STREAM) || early) {
            continue;
        }
        let (stream, mut message) = open.swap_remove(at);
        message.ended = frame.has(END_STREAM);
        record(&show(&message));
        match &answer {
            Answer::Reply(bytes) | Answer::Tunnel(bytes) | Answer::Early(bytes) => {
                reply(&mut peer, stream, bytes, true)
            }
            Answer::ReplyAndClose(bytes) => {
                reply(&mut peer, stream, bytes, true);
                return drop(peer.stream.shutdown(Shutdown::Write));
            }
            Answer::Close => return drop(peer.stream.shutdown(Shutdown::Both)),
            Answer::Silent => {}
            Answer::Frames(frames, close) => {
                for (kind, flags, payload) in frames {
                    let on = if matches!(*kind, GOAWAY | SETTINGS | PING) { 0 } else { stream };
                    peer.frame(*kind, *flags, on, payload);
                }
                if *close {
                    return drop(peer.stream.shutdown(Shutdown::Write));
                }
            }
        }
    }
}

/// A response that is written down as HTTP/1 has it.
fn reply(peer: &mut Peer, stream: u32, bytes: &[u8], end: bool) {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.get(9..12).unwrap_or("200");
    let mut list = vec![(":status", status)];
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    list.extend(lines.map(|(name, value)| (name, value.trim())));
    let empty = body.is_empty() && end;
    peer.headers(stream, &list, empty && header(head, "content-length").is_none_or(|length| length == "0"));
    if !empty {
        peer.body(stream, body.as_bytes(), end);
    } else if header(head, "content-length").is_some_and(|length| length != "0") {
        peer.data(stream, b"", true);
    }
}
