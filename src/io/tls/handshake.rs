//! One step of a handshake: what rustls makes of the records that have come, and what it wants to send.
//!
//! Nothing here reads or writes a socket, and no step waits; all cryptography of a handshake happens within these calls.

use super::record::{self, HEADER};
use nuncio_codec::Buffer;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{CommonState, Error};

/// Either side of a handshake.
pub(super) trait Handshaker {
    type Data;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn common(&self) -> &CommonState;
}

impl Handshaker for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl Handshaker for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

/// Where a handshake stands after a step.
#[derive(Debug)]
pub(super) enum Step {
    /// More must come.
    Blocked,
    /// It is done.
    Done,
    /// It has failed; what is to be sent tells the peer why.
    Failed(Error),
}

/// What a step has brought.
#[derive(Debug)]
pub(super) struct Stepped {
    /// How much of what had come is used up.
    pub(super) used: usize,
    pub(super) step: Step,
}

/// Goes on with a handshake as far as `incoming` allows. What is to be sent is appended to `outgoing`.
///
/// rustls gets one record more at a time: it would go on with what comes behind the handshake, and that is ours.
pub(super) fn step<H: Handshaker>(handshaker: &mut H, incoming: &mut [u8], outgoing: &mut Buffer) -> Stepped {
    let mut stepped = Stepped { used: 0, step: Step::Blocked };
    let mut failed = None;
    let mut end = next_record(incoming, 0).unwrap_or(0);
    loop {
        let UnbufferedStatus { discard, state } = handshaker.process(&mut incoming[stepped.used..end]);
        stepped.used += discard;
        match state {
            Ok(ConnectionState::EncodeTlsData(data)) => {
                let alert = encode(data, outgoing);
                // Asked on, rustls would go on with what has come.
                if alert && failed.is_some() {
                    break;
                }
            }
            Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
            // It is gone round once more after a failure, for the alert that rustls has made of it.
            Err(error) if failed.is_none() => failed = Some(error),
            _ if failed.is_some() => break,
            Ok(ConnectionState::BlockedHandshake) => match next_record(incoming, end) {
                Some(next) => end = next,
                None => return stepped,
            },
            Ok(ConnectionState::WriteTraffic(_)) => {
                stepped.step = Step::Done;
                return stepped;
            }
            Ok(ConnectionState::PeerClosed) => failed = Some(Error::HandshakeNotComplete),
            // Nothing of these comes: early data is not accepted, and other data is not shown to it.
            Ok(_) | Err(_) => {
                failed = Some(Error::General("unexpected state of a handshake".to_owned()));
            }
        }
    }
    stepped.step = Step::Failed(failed.unwrap_or(Error::HandshakeNotComplete));
    stepped
}

/// Where the record ends that begins at `from`, if it has come whole. rustls is to say what is wrong with what cannot
/// be a record.
fn next_record(incoming: &[u8], from: usize) -> Option<usize> {
    let rest = incoming.get(from..).filter(|rest| !rest.is_empty())?;
    match record::length(rest) {
        Ok(length) => length.map(|length| from + HEADER + length).filter(|end| *end <= incoming.len()),
        Err(_) => Some(incoming.len()),
    }
}

/// Appends a record that is to be sent. Says whether it may be an alert, in plaintext or encrypted.
fn encode<D>(mut data: EncodeTlsData<'_, D>, outgoing: &mut Buffer) -> bool {
    // The size is told only to who offers too little.
    let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) else { return false };
    let mut kind = 0;
    let written = outgoing.try_append_with(needed.required_size, |room| {
        let written = data.encode(room);
        kind = room[0];
        written
    });
    debug_assert!(written.is_ok(), "there is as much room as was asked for");
    kind == 21 || (kind == 23 && needed.required_size < 32)
}
