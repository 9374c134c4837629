//! Sessions against each other, with a wire between them that splits, delays, cuts and forges.

use super::record::Kind;
use super::session::{Progress, Scratch, Session};
use crate::api::envoy::config::core::v3::{DataSource, data_source::Specifier};
use crate::api::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use crate::api::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use crate::api::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, TlsCertificate, TlsParameters,
    UpstreamTlsContext,
};
use crate::config::{Cx, Diagnostics};
use crate::io::memory::{self, End};
use crate::io::transport::Transport;
use crate::stats::{Block, Merged, Registry};
use crate::tls::config::{ClientContext, ClientOptions, ServerContext};
use crate::tls::{ClientTls, ServerTls, compile};
use nuncio_codec::Buffer;
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};
use std::sync::LazyLock;

/// A certificate and its key in PEM, made once.
static PEM: LazyLock<[String; 2]> = LazyLock::new(|| {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["a.test".to_owned()]).expect("a name");
    [params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem()]
});

fn inline(text: &str) -> Option<DataSource> {
    Some(DataSource { specifier: Some(Specifier::InlineString(text.to_owned())), ..DataSource::default() })
}

fn common(version: TlsProtocol, suite: Option<&str>, server: bool) -> CommonTlsContext {
    let params = TlsParameters {
        tls_minimum_protocol_version: version as i32,
        tls_maximum_protocol_version: version as i32,
        cipher_suites: suite.map(str::to_owned).into_iter().collect(),
        ..TlsParameters::default()
    };
    let [certificate, key] = &*PEM;
    let certificate = TlsCertificate {
        certificate_chain: inline(certificate),
        private_key: inline(key),
        ..TlsCertificate::default()
    };
    CommonTlsContext {
        tls_params: Some(params),
        tls_certificates: if server { vec![certificate] } else { Vec::new() },
        alpn_protocols: vec!["http/1.1".to_owned()],
        validation_context_type: (!server).then(|| {
            ValidationContextType::ValidationContext(CertificateValidationContext {
                trusted_ca: inline(&PEM[0]),
                ..CertificateValidationContext::default()
            })
        }),
        ..CommonTlsContext::default()
    }
}

/// Contexts of both sides, and what they count.
struct World {
    server: ServerContext,
    client: ClientContext,
    registry: Registry,
    stats: Block,
}

impl World {
    fn new(version: TlsProtocol, suite: Option<&str>) -> Self {
        let (mut diagnostics, mut registry) = (Diagnostics::default(), Registry::new());
        let mut cx = Cx::new(&mut diagnostics, &mut registry);
        let proto = DownstreamTlsContext {
            common_tls_context: Some(common(version, suite, true)),
            ..DownstreamTlsContext::default()
        };
        let server = compile::server(&proto, "s.", &mut cx);
        let proto = UpstreamTlsContext {
            common_tls_context: Some(common(version, suite, false)),
            sni: "a.test".to_owned(),
            ..UpstreamTlsContext::default()
        };
        let client = compile::client(&proto, ClientOptions::default(), "c.", &mut cx);
        let (Some(server), Some(client)) = (server, client) else { panic!("{:?}", diagnostics.errors()) };
        let stats = Block::new(&registry);
        Self { server, client, registry, stats }
    }

    fn tls13() -> Self {
        Self::new(TlsProtocol::TlSv13, None)
    }

    fn stat(&self, name: &str) -> u64 {
        Merged::of(&self.registry, std::slice::from_ref(&self.stats)).value(name).unwrap_or(0)
    }

    fn pair(&self, window: usize) -> Pair {
        let mut client = ClientTls::new(&self.client);
        let name = client.server_name("");
        let client = Session::client(&mut client, name, || [None, None]).expect("a client");
        let server = Session::server(&ServerTls::new(&self.server), Buffer::new());
        let sides = [client, server].map(|session| Side::new(session, window, self.stats.clone()));
        Pair { sides }
    }
}

/// A session at one end of a wire.
struct Side {
    session: Session,
    transport: Transport,
    far: End,
    input: Buffer,
    output: Buffer,
    scratch: Scratch,
    stats: Block,
    last: bool,
    done: bool,
    failed: bool,
    ended: bool,
    received: Vec<u8>,
}

impl Side {
    fn new(session: Session, window: usize, stats: Block) -> Self {
        let (near, far) = memory::pair(window);
        Self {
            session,
            transport: Transport::Memory(near),
            far,
            input: Buffer::new(),
            output: Buffer::new(),
            scratch: Scratch::new(),
            stats,
            last: false,
            done: false,
            failed: false,
            ended: false,
            received: Vec::new(),
        }
    }

    /// Does what can be done at once; says whether that was anything for us.
    fn turn(&mut self) -> bool {
        let before = (self.received.len(), self.done, self.ended);
        let parts = (&mut self.scratch, &self.stats);
        if !self.done && !self.failed {
            let mut readable = true;
            let progress =
                self.session.handshake(&self.transport, (&mut readable, false), || [None, None], parts);
            self.done = progress == Progress::Done;
            self.failed = progress == Progress::Failed;
        } else if !self.failed && !self.ended {
            let fill = self.session.fill(&self.transport, true, &mut self.input, parts);
            self.failed |= fill.failed;
            self.ended |= fill.ended;
        }
        self.received.extend(self.input.to_vec());
        self.input.clear();
        let sent = self.session.send(&self.transport, &mut self.output, self.last, &mut self.scratch);
        self.failed |= sent.is_err();
        before != (self.received.len(), self.done, self.ended)
    }
}

struct Pair {
    /// Client and server.
    sides: [Side; 2],
}

impl Pair {
    /// Runs until nothing moves any more; `most` bytes at a time, which `change` may change.
    fn run(&mut self, most: usize, mut change: impl FnMut(usize, &mut Vec<u8>)) {
        let mut quiet = 0;
        while quiet < 3 {
            quiet += 1;
            for from in 0..2 {
                if self.sides[from].turn() {
                    quiet = 0;
                }
                let (mut bytes, _) = self.sides[from].far.take(most);
                if !bytes.is_empty() {
                    quiet = 0;
                    change(from, &mut bytes);
                    let mut at = 0;
                    while at < bytes.len() {
                        at += self.sides[1 - from].far.put(&bytes[at..]);
                        self.sides[1 - from].turn();
                    }
                }
            }
        }
    }

    fn settle(&mut self) {
        self.run(usize::MAX, |_, _| {});
    }

    fn shake_hands(mut self) -> Self {
        self.settle();
        assert!(
            self.sides.iter().all(|side| side.done && !side.failed),
            "{:?}",
            self.sides.map(|side| side.session.failure().map(str::to_owned))
        );
        self
    }
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[test]
fn every_version_and_suite_carries_bytes_both_ways() {
    for (version, suite, name, cipher) in [
        (TlsProtocol::TlSv13, None, "TLSv1.3", "TLS_AES_128_GCM_SHA256"),
        (
            TlsProtocol::TlSv12,
            Some("ECDHE-ECDSA-AES128-GCM-SHA256"),
            "TLSv1.2",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
        ),
        (
            TlsProtocol::TlSv12,
            Some("ECDHE-ECDSA-AES256-GCM-SHA384"),
            "TLSv1.2",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
        ),
        (
            TlsProtocol::TlSv12,
            Some("ECDHE-ECDSA-CHACHA20-POLY1305"),
            "TLSv1.2",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
        ),
    ] {
        let world = World::new(version, suite);
        let mut pair = world.pair(1 << 20).shake_hands();
        let info = pair.sides[1].session.info().expect("done").clone();
        assert_eq!((info.version, info.cipher), (name, cipher));
        assert_eq!(info.alpn, Some(crate::tls::Alpn::Http11));
        assert!(info.local.is_some() && info.peer.is_empty() && !info.resumed);
        let theirs = pair.sides[0].session.info().expect("done");
        assert_eq!((theirs.version, theirs.peer.len(), theirs.validated), (name, 1, true));
        for n in [1, 4096, 16_384, 16_385, 300_000] {
            for side in &mut pair.sides {
                side.output.append(&bytes(n));
                side.received.clear();
            }
            pair.settle();
            assert!(pair.sides.iter().all(|side| side.received == bytes(n)), "{cipher} {n}");
            assert!(pair.sides.iter().all(|side| side.session.is_lean()), "an idle session holds no buffers");
        }
        pair.sides[0].last = true;
        pair.settle();
        assert!(pair.sides[1].ended && !pair.sides[1].session.is_truncated());
        // Half closed: the other half goes on.
        pair.sides[1].output.append(b"tail");
        pair.sides[1].last = true;
        pair.settle();
        assert!(pair.sides[0].ended && pair.sides[0].received.ends_with(b"tail"));
        assert_eq!(world.stat(&format!("s.ssl.ciphers.{cipher}")), 1);
        assert_eq!((world.stat("s.ssl.handshake"), world.stat("s.ssl.no_certificate")), (1, 1));
        assert_eq!((world.stat("c.ssl.handshake"), world.stat("c.ssl.no_certificate")), (1, 0));
    }
}

#[test]
fn sessions_are_resumed() {
    for version in [TlsProtocol::TlSv13, TlsProtocol::TlSv12] {
        let world = World::new(version, None);
        for round in 0..3 {
            let mut pair = world.pair(1 << 20).shake_hands();
            let resumed = pair.sides[1].session.info().expect("done").resumed;
            assert_eq!(resumed, round > 0, "{version:?}");
            pair.sides[0].output.append(b"hello");
            pair.settle();
            assert_eq!(pair.sides[1].received, b"hello");
        }
        assert_eq!((world.stat("s.ssl.session_reused"), world.stat("c.ssl.session_reused")), (2, 2));
    }
}

#[test]
fn keys_wear_out_and_are_replaced() {
    let mut pair = World::tls13().pair(1 << 20).shake_hands();
    for _ in 0..3 {
        for side in &mut pair.sides {
            side.session.set_limit(5);
            side.output.append(&bytes(500_000));
            side.received.clear();
        }
        pair.settle();
        for side in &pair.sides {
            assert!(!side.failed, "{:?}", side.session.failure());
            assert!(side.received == bytes(500_000), "{} bytes", side.received.len());
        }
    }
    pair.sides[0].session.ask_for_update();
    pair.sides[0].output.append(b"after");
    pair.settle();
    pair.sides[1].output.append(b"before");
    pair.sides[0].received.clear();
    pair.settle();
    assert_eq!(pair.sides[0].received, b"before");
    assert!(pair.sides[1].received.ends_with(b"after"));

    let mut pair = World::new(TlsProtocol::TlSv12, None).pair(1 << 20).shake_hands();
    pair.sides[0].session.set_limit(5);
    pair.sides[0].output.append(&bytes(500_000));
    pair.settle();
    assert!(pair.sides[0].failed, "TLS 1.2 has no other keys");
}

#[test]
fn an_end_without_a_word_is_told_from_one_with() {
    let mut pair = World::tls13().pair(1 << 20).shake_hands();
    pair.sides[0].output.append(b"half");
    pair.settle();
    pair.sides[1].far.shutdown_write();
    pair.sides[1].turn();
    assert!(pair.sides[1].ended && pair.sides[1].session.is_truncated());
    assert_eq!(pair.sides[1].received, b"half");
}

#[test]
fn every_forged_byte_is_noticed() {
    for version in [TlsProtocol::TlSv13, TlsProtocol::TlSv12] {
        let world = World::new(version, None);
        // Header, explicit nonce or ciphertext, tag.
        for at in [0, 1, 3, 4, 5, 12, 13, 20, 30] {
            let mut pair = world.pair(1 << 20).shake_hands();
            pair.sides[0].output.append(b"0123456789");
            pair.run(usize::MAX, |from, bytes| {
                if let (0, Some(byte)) = (from, bytes.get_mut(at)) {
                    *byte ^= 0x40;
                }
            });
            let [client, server] = &pair.sides;
            assert_eq!(server.received, b"", "byte {at}");
            // A longer length only makes the server wait for more.
            let waits = matches!(at, 3 | 4) && !server.failed;
            assert!(server.failed || waits, "byte {at}");
            assert!(client.failed || waits, "the client is told: byte {at}");
        }
    }
    assert_eq!(World::tls13().stat("s.ssl.connection_error"), 0);
}

#[test]
fn what_must_not_come_after_a_handshake_ends_the_session() {
    for (version, kind, content) in [
        // ClientHello and HelloRequest: a renegotiation.
        (TlsProtocol::TlSv12, Kind::Handshake, &[1, 0, 0, 0][..]),
        (TlsProtocol::TlSv12, Kind::Handshake, &[0, 0, 0, 0]),
        (TlsProtocol::TlSv13, Kind::Handshake, &[1, 0, 0, 0]),
        // A ticket from a client.
        (TlsProtocol::TlSv13, Kind::Handshake, &[4, 0, 0, 0]),
        // New keys: with something behind, with a wrong value, in TLS 1.2.
        (TlsProtocol::TlSv13, Kind::Handshake, &[24, 0, 0, 1, 0, 24]),
        (TlsProtocol::TlSv13, Kind::Handshake, &[24, 0, 0, 1, 2]),
        (TlsProtocol::TlSv12, Kind::Handshake, &[24, 0, 0, 1, 0]),
        (TlsProtocol::TlSv13, Kind::Handshake, &[4, 0xff, 0xff, 0xff]),
        (TlsProtocol::TlSv13, Kind::Handshake, &[]),
        (TlsProtocol::TlSv13, Kind::Alert, &[2, 40]),
        (TlsProtocol::TlSv13, Kind::Alert, &[1, 100]),
        (TlsProtocol::TlSv12, Kind::Alert, &[2, 40]),
        (TlsProtocol::TlSv12, Kind::Alert, &[1]),
    ] {
        let world = World::new(version, None);
        let mut pair = world.pair(1 << 20).shake_hands();
        pair.sides[0].session.send_control(kind, content);
        pair.settle();
        assert!(pair.sides[1].failed, "{version:?} {kind:?} {content:?}");
        assert_eq!(world.stat("s.ssl.connection_error"), 1);
    }
}

#[test]
fn harmless_things_are_bounded() {
    for (version, kind, content) in [
        (TlsProtocol::TlSv13, Kind::Data, &[][..]),
        (TlsProtocol::TlSv12, Kind::Alert, &[1, 90]),
        (TlsProtocol::TlSv13, Kind::Alert, &[1, 90]),
    ] {
        let mut pair = World::new(version, None).pair(1 << 20).shake_hands();
        for n in 0..40 {
            pair.sides[0].session.send_control(kind, content);
            pair.settle();
            assert_eq!(pair.sides[1].failed, n >= 32, "{n} {kind:?}");
        }
    }
}

#[test]
fn a_wrong_server_is_refused() {
    let (mut diagnostics, mut registry) = (Diagnostics::default(), Registry::new());
    let other = KeyPair::generate().expect("a key");
    let other = CertificateParams::new(["b.test".to_owned()]).expect("a name").self_signed(&other);
    let mut world = World::tls13();
    let mut common = common(TlsProtocol::TlSv13, None, false);
    common.validation_context_type =
        Some(ValidationContextType::ValidationContext(CertificateValidationContext {
            trusted_ca: inline(&other.expect("a certificate").pem()),
            ..CertificateValidationContext::default()
        }));
    let proto = UpstreamTlsContext { common_tls_context: Some(common), ..UpstreamTlsContext::default() };
    let mut cx = Cx::new(&mut diagnostics, &mut registry);
    world.client = compile::client(&proto, ClientOptions::default(), "c.", &mut cx).expect("a client");
    world.stats = Block::new(&registry);
    let mut client = ClientTls::new(&world.client);
    let session = Session::client(&mut client, None, || [None, None]).expect("a client");
    let server = World::tls13();
    let mut pair = Pair {
        sides: [
            Side::new(session, 1 << 20, world.stats.clone()),
            Side::new(
                Session::server(&ServerTls::new(&server.server), Buffer::new()),
                1 << 20,
                server.stats.clone(),
            ),
        ],
    };
    pair.settle();
    let failure = pair.sides[0].session.failure().unwrap_or_default();
    assert!(pair.sides[0].failed && failure.contains("CERTIFICATE_VERIFY_FAILED"), "{failure}");
    assert!(pair.sides[1].failed, "the server is told");
    assert_eq!(server.stat("s.ssl.connection_error"), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_the_wire_does_to_sizes_the_bytes_arrive(
        tls13: bool,
        window in 1..70_000usize,
        most in prop_oneof![1..50usize, 1..40_000usize],
        sizes in proptest::collection::vec(0..60_000usize, 1..6),
    ) {
        let most = most.max(window / 50);
        let version = if tls13 { TlsProtocol::TlSv13 } else { TlsProtocol::TlSv12 };
        let mut pair = World::new(version, None).pair(window.max(64));
        let mut sent = [Vec::new(), Vec::new()];
        for (at, size) in sizes.iter().enumerate() {
            let piece = bytes(*size);
            pair.sides[at % 2].output.append(&piece);
            sent[at % 2].extend(piece);
            pair.run(most.max(100), |_, _| {});
        }
        for side in &mut pair.sides {
            side.last = true;
        }
        pair.run(most.max(100), |_, _| {});
        let [client, server] = &pair.sides;
        prop_assert!(!client.failed && !server.failed);
        prop_assert_eq!(&server.received, &sent[0]);
        prop_assert_eq!(&client.received, &sent[1]);
        prop_assert!(client.ended && server.ended);
    }

    #[test]
    fn garbage_never_panics(noise in proptest::collection::vec(any::<u8>(), 1..400), at in 0..2000usize, during: bool) {
        let mut pair = World::tls13().pair(1 << 20);
        if !during {
            pair = pair.shake_hands();
            pair.sides[0].output.append(&bytes(1500));
        }
        let mut seen = 0;
        pair.run(usize::MAX, |from, bytes| {
            if from == 0 {
                for (byte, noise) in bytes.iter_mut().skip(at.saturating_sub(seen)).zip(&noise) {
                    *byte ^= noise;
                }
                seen += bytes.len();
            }
        });
        prop_assert!(pair.sides[1].received.len() <= 1500);
    }
}
