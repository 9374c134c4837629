//! Tests of the event loop with real sockets, threads, signals and both clocks.
//!
//! No test sleeps. Where a turn waits for the system, a guard timer far beyond what is expected ends it, so that
//! a missing event fails the test instead of hanging it.

use super::*;
use crate::{Address, ConnectOptions, ListenOptions, Socket, sys};
use std::io::{ErrorKind, IoSlice};
use std::sync::atomic::{AtomicUsize, Ordering};

type Loop = Reactor<u32, u32>;
type Batch = Vec<Event<u32, u32>>;

/// The task of guard timers.
const GUARD: u32 = u32::MAX;
const GUARD_AFTER: Duration = Duration::from_secs(20);

fn real() -> Loop {
    Reactor::new(Options::default()).expect("a reactor")
}

fn fake() -> Loop {
    Reactor::new(Options { clock: Clock::fake(), ..Options::default() }).expect("a reactor")
}

/// One turn's batch.
fn turn(reactor: &mut Loop) -> Batch {
    let mut batch = Batch::new();
    reactor.turn(&mut batch).expect("a turn");
    batch
}

/// Turns until `enough` says so of everything that has come.
fn turn_until(reactor: &mut Loop, enough: impl Fn(&Batch) -> bool) -> Batch {
    let guard = reactor.arm(GUARD_AFTER, GUARD);
    let mut batch = Batch::new();
    while !enough(&batch) {
        reactor.turn(&mut batch).expect("a turn");
        assert!(!batch.contains(&Event::Timer(GUARD)), "nothing comes any more: {batch:?}");
    }
    reactor.cancel(guard);
    batch
}

/// What a socket is said to be ready for in a batch, all events of it together.
fn ready(batch: &Batch, of: Token) -> Readiness {
    let mut all = Readiness::empty();
    for event in batch {
        if let Event::Io { token, ready } = event
            && *token == of
        {
            all.0 |= ready.0;
        }
    }
    all
}

/// Two ends of a TCP connection: the one that connected, the one that was accepted.
fn pair() -> (Socket, Socket) {
    let any: Address = "127.0.0.1:0".parse().expect("an address");
    let listener = Socket::listen(&any, &ListenOptions::default()).expect("listen");
    let mut reactor = real();
    reactor.register(&listener, Token(1)).expect("registered");
    let client = Socket::connect(&listener.local_address().expect("bound"), &ConnectOptions::default())
        .expect("connect");
    reactor.register(&client, Token(2)).expect("registered");
    turn_until(&mut reactor, |batch| {
        ready(batch, Token(1)).is_readable() && ready(batch, Token(2)).is_writable()
    });
    client.take_error().expect("connected");
    let (server, _) = listener.accept().expect("a connection waits");
    (client, server)
}

const A: Token = Token(7);
/// The largest token.
const B: Token = Token((1 << 63) - 1);

#[test]
fn readiness_comes_once_for_each_edge() {
    let (client, server) = pair();
    let mut reactor = real();
    reactor.register(&server, A).expect("registered");
    let batch = turn_until(&mut reactor, |batch| !batch.is_empty());
    assert_eq!(batch, [Event::Io { token: A, ready: Readiness::empty().with_writable() }]);

    for _ in 0..2 {
        client.send_vectored(&[IoSlice::new(b"abc")]).expect("sent");
        let batch = turn_until(&mut reactor, |batch| ready(batch, A).is_readable());
        assert!(!ready(&batch, A).is_read_closed() && !ready(&batch, A).is_error());
        // Nothing was read, and nothing new has come: only the timer ends the wait.
        reactor.arm(Duration::from_millis(5), 1);
        assert_eq!(turn_until(&mut reactor, |batch| !batch.is_empty()), [Event::Timer(1)]);
    }
    let mut room = [0; 8];
    assert_eq!(server.recv(&mut room).expect("six bytes"), 6);
}

#[test]
fn both_ends_of_an_echo() {
    let (client, server) = pair();
    let mut reactor = real();
    reactor.register(&client, A).expect("registered");
    reactor.register(&server, B).expect("registered");
    client.send_vectored(&[IoSlice::new(b"hello, "), IoSlice::new(b"world")]).expect("sent");
    turn_until(&mut reactor, |batch| ready(batch, B).is_readable());
    let mut room = [0; 32];
    let n = server.recv(&mut room).expect("bytes");
    server.send_vectored(&[IoSlice::new(&room[..n])]).expect("sent");
    turn_until(&mut reactor, |batch| ready(batch, A).is_readable());
    let n = client.recv(&mut room).expect("bytes");
    assert_eq!(&room[..n], b"hello, world");
}

#[test]
fn the_peers_end_is_seen_with_what_it_sent_before() {
    let (client, server) = pair();
    let mut reactor = real();
    reactor.register(&server, A).expect("registered");
    client.send_vectored(&[IoSlice::new(b"last")]).expect("sent");
    client.shutdown_write().expect("shut");
    let batch = turn_until(&mut reactor, |batch| ready(batch, A).is_read_closed());
    assert!(ready(&batch, A).is_readable() && ready(&batch, A).is_writable());
    assert!(!ready(&batch, A).is_write_closed(), "the other direction stays open");
    let mut room = [0; 8];
    assert_eq!(server.recv(&mut room).expect("bytes"), 4);
    assert_eq!(server.recv(&mut room).expect("the end"), 0);
    server.send_vectored(&[IoSlice::new(b"reply")]).expect("sent");
}

#[test]
fn a_reset_is_an_error() {
    let (client, server) = pair();
    let mut reactor = real();
    reactor.register(&server, A).expect("registered");
    client.reset_on_close().expect("linger");
    drop(client);
    let batch = turn_until(&mut reactor, |batch| ready(batch, A).is_error());
    assert!(ready(&batch, A).is_read_closed() && ready(&batch, A).is_write_closed());
    assert_eq!(server.recv(&mut [0]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_refused_connection_is_an_error() {
    let free = {
        let any: Address = "127.0.0.1:0".parse().expect("an address");
        let listener = Socket::listen(&any, &ListenOptions::default()).expect("listen");
        listener.local_address().expect("bound")
    };
    let client = Socket::connect(&free, &ConnectOptions::default()).expect("under way");
    let mut reactor = real();
    reactor.register(&client, A).expect("registered");
    turn_until(&mut reactor, |batch| ready(batch, A).is_error());
    assert_eq!(client.take_error().expect_err("refused").kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn registered_once_until_deregistered_or_closed() {
    let (client, server) = pair();
    let mut reactor = fake();
    reactor.register(&server, A).expect("registered");
    assert_eq!(reactor.register(&server, B).expect_err("twice").kind(), ErrorKind::AlreadyExists);
    assert_eq!(turn(&mut reactor).len(), 1);

    reactor.deregister(&server).expect("registered");
    assert_eq!(reactor.deregister(&server).expect_err("twice").kind(), ErrorKind::NotFound);
    client.send_vectored(&[IoSlice::new(b"x")]).expect("sent");
    assert_eq!(turn(&mut reactor), []);

    // Registering again tells what the socket is ready for now, under the new token.
    reactor.register(&server, B).expect("registered");
    assert!(ready(&turn_until(&mut reactor, |batch| ready(batch, B).is_readable()), A) == Readiness::empty());
    drop(server);
    assert_eq!(turn(&mut reactor), []);
}

#[test]
fn a_duplicate_keeps_a_registration_alive() {
    for deregister in [false, true] {
        let (client, server) = pair();
        let second = server.try_clone().expect("a descriptor");
        let mut reactor = real();
        reactor.register(&server, A).expect("registered");
        turn_until(&mut reactor, |batch| ready(batch, A).is_writable());
        if deregister {
            reactor.deregister(&server).expect("registered");
        }
        drop(server);
        client.send_vectored(&[IoSlice::new(b"x")]).expect("sent");
        reactor.arm(Duration::from_millis(5), 1);
        let batch = turn_until(&mut reactor, |batch| batch.contains(&Event::Timer(1)));
        assert_eq!(ready(&batch, A).is_readable(), !deregister);
        drop(second);
    }
}

#[test]
fn no_more_events_in_a_turn_than_asked_for() {
    for events_per_turn in [0, 1, 2] {
        let sockets = [pair(), pair(), pair()];
        let mut reactor: Loop =
            Reactor::new(Options { events_per_turn, clock: Clock::fake() }).expect("a reactor");
        for (n, (_, server)) in sockets.iter().enumerate() {
            reactor.register(server, Token(n as u64)).expect("registered");
        }
        let mut tokens = Vec::new();
        while tokens.len() < 3 {
            let batch = turn(&mut reactor);
            assert!((1..=events_per_turn.max(1)).contains(&batch.len()), "{batch:?}");
            tokens.extend(batch.iter().map(|event| match event {
                Event::Io { token, .. } => token.0,
                other => panic!("{other:?}"),
            }));
        }
        tokens.sort_unstable();
        assert_eq!(tokens, [0, 1, 2]);
        assert_eq!(turn(&mut reactor), []);
    }
}

#[test]
#[should_panic(expected = "below 2^63")]
fn reserved_tokens_are_refused() {
    let (client, _server) = pair();
    let _ = fake().register(&client, Token(1 << 63));
}

#[test]
fn timers_fire_in_order_and_never_early() {
    let mut reactor = real();
    let start = reactor.now();
    let after = [70u32, 3, 1, 64, 2, 15];
    for ms in after {
        reactor.arm(Duration::from_millis(ms.into()), ms);
    }
    // A fraction of a millisecond must not make the last one early either.
    reactor.arm(Duration::from_micros(17_500), 18);
    let (mut fired, mut turns) = (Vec::new(), 0);
    while reactor.armed() > 0 {
        turns += 1;
        for event in turn(&mut reactor) {
            let Event::Timer(ms) = event else { panic!("{event:?}") };
            let exact =
                if ms == 18 { Duration::from_micros(17_500) } else { Duration::from_millis(ms.into()) };
            assert!(reactor.now() - start >= exact, "timer {ms} at {:?}", reactor.now() - start);
            fired.push(ms);
        }
    }
    assert_eq!(fired, [1, 2, 3, 15, 18, 64, 70]);
    // One wait for each timer, and one for each time that a higher level of the wheel comes up.
    assert!(turns <= 10, "{turns} turns: a busy loop");
}

#[test]
fn a_timer_that_is_armed_for_now_fires_in_a_later_turn() {
    let mut reactor = real();
    reactor.arm(Duration::ZERO, 1);
    for n in 1..4 {
        // The handler of timer n arms timer n + 1 for the same moment.
        assert_eq!(turn_until(&mut reactor, |batch| !batch.is_empty()), [Event::Timer(n)]);
        reactor.arm(Duration::ZERO, n + 1);
    }
}

#[test]
fn a_cancelled_timer_is_gone() {
    let mut reactor = fake();
    let key = reactor.arm(Duration::from_millis(5), 1);
    let other = reactor.arm_at(reactor.now() + Duration::from_millis(5), 2);
    assert_eq!((reactor.armed(), reactor.cancel(key), reactor.cancel(key)), (2, Some(1), None));
    reactor.advance(Duration::from_millis(5));
    assert_eq!(turn(&mut reactor), [Event::Timer(2)]);
    assert_eq!((reactor.armed(), reactor.cancel(other)), (0, None));
}

#[test]
fn deferred_work_comes_next_without_waiting() {
    let mut reactor = real();
    assert_eq!(reactor.timeout(), None, "nothing ends a wait but I/O and mail");
    reactor.arm(GUARD_AFTER, GUARD);
    assert!(reactor.timeout().is_some_and(|timeout| !timeout.is_zero()));
    reactor.defer(1);
    reactor.defer(2);
    assert_eq!(reactor.timeout(), Some(Duration::ZERO));
    assert_eq!(turn(&mut reactor), [Event::Deferred(1), Event::Deferred(2)]);
    assert!(reactor.timeout().is_some_and(|timeout| !timeout.is_zero()));
    // Deferred while a batch is worked off: not in that batch, but in the next.
    reactor.defer(3);
    assert_eq!(turn(&mut reactor), [Event::Deferred(3)]);
    reactor.arm(Duration::from_millis(1), 4);
    assert_eq!(turn_until(&mut reactor, |batch| !batch.is_empty()), [Event::Timer(4)]);
}

#[test]
fn a_batch_is_appended_to_in_a_fixed_order() {
    let (client, server) = pair();
    let mut reactor = fake();
    reactor.register(&server, A).expect("registered");
    reactor.mailbox().send(3).expect("open");
    reactor.defer(2);
    reactor.arm(Duration::from_millis(1), 1);
    reactor.advance(Duration::from_millis(1));
    let mut batch = vec![Event::Deferred(0)];
    reactor.turn(&mut batch).expect("a turn");
    assert!(matches!(
        batch[..],
        [Event::Deferred(0), Event::Io { token: A, .. }, Event::Timer(1), Event::Deferred(2), Event::Mail(3)]
    ));
    drop(client);
}

#[test]
fn a_fake_clock_stands_still_and_never_waits() {
    let mut reactor = fake();
    let (start, wall) = (reactor.now(), reactor.wall());
    assert_eq!(turn(&mut reactor), [], "with nothing at all");
    for (seconds, task) in [(3600, 2), (60, 1), (1 << 33, 3)] {
        reactor.arm(Duration::from_secs(seconds), task);
    }
    assert_eq!(turn(&mut reactor), []);
    reactor.advance(Duration::from_millis(59_999));
    assert_eq!(turn(&mut reactor), []);
    reactor.advance(Duration::from_millis(1));
    assert_eq!(turn(&mut reactor), [Event::Timer(1)]);
    reactor.advance(Duration::from_secs(3540));
    assert_eq!(turn(&mut reactor), [Event::Timer(2)]);
    assert_eq!(reactor.now() - start, Duration::from_secs(3600));
    assert_eq!(reactor.wall(), wall + Duration::from_secs(3600));
    reactor.advance(Duration::from_secs(1 << 33));
    assert_eq!(turn(&mut reactor), [Event::Timer(3)]);
}

#[test]
#[should_panic(expected = "fake")]
fn a_real_clock_is_not_moved() {
    real().advance(Duration::from_secs(1));
}

#[test]
fn time_goes_on_between_turns_only() {
    let mut reactor = real();
    reactor.arm(Duration::from_millis(2), 1);
    let before = reactor.now();
    turn_until(&mut reactor, |batch| !batch.is_empty());
    assert!(reactor.now() > before);
    assert!(SystemTime::now() >= reactor.wall() - Duration::from_secs(1));
    assert_eq!(reactor.now(), reactor.now());
}

#[test]
fn mail_wakes_a_waiting_loop() {
    let mut reactor = real();
    let senders: Vec<_> = (0..4).map(|_| reactor.mailbox()).collect();
    const EACH: u32 = 5_000;
    let threads: Vec<_> = (0..4u32)
        .zip(senders)
        .map(|(thread, sender)| {
            std::thread::spawn(move || {
                for n in 0..EACH {
                    sender.send(thread * EACH + n).expect("the loop runs");
                }
            })
        })
        .collect();
    let batch = turn_until(&mut reactor, |batch| batch.len() == 4 * EACH as usize);
    for thread in threads {
        thread.join().expect("no panic");
    }
    // Nothing is lost, and what one thread sends stays in order.
    let letters: Vec<_> = batch
        .iter()
        .map(|event| match event {
            Event::Mail(letter) => *letter,
            other => panic!("{other:?}"),
        })
        .collect();
    for thread in 0..4 {
        let own = letters.iter().copied().filter(|letter| letter / EACH == thread);
        assert!(own.eq(thread * EACH..(thread + 1) * EACH));
    }
}

#[test]
fn a_letter_for_each_wait() {
    // Ping-pong: a lost wake-up would show as a wait that does not end.
    let (mut one, mut two) = (real(), real());
    let (to_one, to_two) = (one.mailbox(), two.mailbox());
    let other = std::thread::spawn(move || {
        for n in 0..500 {
            assert_eq!(turn_until(&mut two, |batch| !batch.is_empty()), [Event::Mail(n)]);
            to_one.send(n).expect("the loop runs");
        }
    });
    for n in 0..500 {
        to_two.send(n).expect("the loop runs");
        assert_eq!(turn_until(&mut one, |batch| !batch.is_empty()), [Event::Mail(n)]);
    }
    other.join().expect("no panic");
}

#[test]
fn much_mail_is_spread_over_turns_that_do_not_wait() {
    let mut reactor = real();
    reactor.arm(GUARD_AFTER, GUARD);
    let sender = reactor.mailbox();
    for n in 0..2500 {
        sender.send(n).expect("the loop runs");
    }
    let mut turns = vec![turn(&mut reactor)];
    for _ in 0..2 {
        assert_eq!(reactor.timeout(), Some(Duration::ZERO), "letters are left");
        turns.push(turn(&mut reactor));
    }
    assert!(reactor.timeout().is_some_and(|timeout| !timeout.is_zero()), "none is left");
    assert_eq!(turns.iter().map(Vec::len).collect::<Vec<_>>(), [1024, 1024, 452]);
    assert!(turns.concat().into_iter().eq((0..2500).map(Event::Mail)));
    // The queue is empty now: the next letter wakes again.
    sender.send(1).expect("the loop runs");
    assert_eq!(turn_until(&mut reactor, |batch| !batch.is_empty()), [Event::Mail(1)]);
}

#[test]
fn mail_to_a_loop_that_is_gone_comes_back() {
    let reactor = real();
    let sender = reactor.mailbox();
    drop(reactor);
    assert_eq!(sender.send(5), Err(5));
}

#[test]
fn signals_come_as_events() {
    // A thread of its own, for the signals stay blocked in it.
    let thread = std::thread::spawn(|| {
        let mut reactor = real();
        let watched = [libc::SIGUSR1, libc::SIGHUP];
        reactor.watch_signals(&watched).expect("watched");
        for signal in watched {
            sys::testing::raise(signal);
            assert_eq!(turn_until(&mut reactor, |batch| !batch.is_empty()), [Event::Signal(signal)]);
        }
        // Two at once come in one turn; one that is raised twice comes once.
        sys::testing::raise(libc::SIGHUP);
        sys::testing::raise(libc::SIGUSR1);
        sys::testing::raise(libc::SIGUSR1);
        let mut batch = turn_until(&mut reactor, |batch| !batch.is_empty());
        batch.sort_by_key(|event| matches!(event, Event::Signal(libc::SIGUSR1)));
        assert_eq!(batch, [Event::Signal(libc::SIGHUP), Event::Signal(libc::SIGUSR1)]);
        let again = reactor.watch_signals(&[libc::SIGTERM]).expect_err("only once");
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    });
    thread.join().expect("no panic");
}

#[test]
fn sending_to_nobody_raises_no_signal() {
    // A blocked signal is kept even if it is ignored, as SIGPIPE is in tests; so it would be seen here.
    let thread = std::thread::spawn(|| {
        let mut reactor = fake();
        reactor.watch_signals(&[libc::SIGPIPE]).expect("watched");
        let (client, _server) = pair();
        client.shutdown_write().expect("shut");
        for pieces in [&[IoSlice::new(b"a")][..], &[IoSlice::new(b"a"), IoSlice::new(b"b")]] {
            let error = client.send_vectored(pieces).expect_err("nothing more can be sent");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            assert_eq!(turn(&mut reactor), []);
        }
        sys::testing::raise(libc::SIGPIPE);
        assert_eq!(turn(&mut reactor), [Event::Signal(libc::SIGPIPE)]);
    });
    thread.join().expect("no panic");
}

#[test]
fn what_is_no_signal_cannot_be_watched() {
    assert_eq!(real().watch_signals(&[100_000]).expect_err("no signal").kind(), ErrorKind::InvalidInput);
}

#[test]
fn an_interruption_is_an_empty_turn() {
    sys::testing::handle(libc::SIGUSR2).expect("a handler");
    static INTERRUPTED: AtomicUsize = AtomicUsize::new(0);
    let mut reactor = real();
    let sender = reactor.mailbox();
    let thread = std::thread::spawn(move || {
        reactor.arm(GUARD_AFTER, GUARD);
        loop {
            match turn(&mut reactor)[..] {
                [] => INTERRUPTED.fetch_add(1, Ordering::SeqCst),
                ref batch => return batch.to_vec(),
            };
        }
    });
    // The first signals may come before the thread waits: go on until it was interrupted while waiting.
    while INTERRUPTED.load(Ordering::SeqCst) < 3 && !thread.is_finished() {
        sys::testing::interrupt(&thread, libc::SIGUSR2);
        std::thread::yield_now();
    }
    sender.send(1).expect("the loop runs");
    assert_eq!(thread.join().expect("no panic"), [Event::Mail(1)]);
}

#[test]
fn readiness_is_what_it_was_made_of() {
    let all = [
        (Readiness::empty().with_readable(), [true, false, false, false, false]),
        (Readiness::empty().with_writable(), [false, true, false, false, false]),
        (Readiness::empty().with_read_closed(), [false, false, true, false, false]),
        (Readiness::empty().with_write_closed(), [false, false, false, true, false]),
        (Readiness::empty().with_error(), [false, false, false, false, true]),
        (Readiness::empty().with_readable().with_error(), [true, false, false, false, true]),
    ];
    for (ready, expected) in all {
        let is = [
            ready.is_readable(),
            ready.is_writable(),
            ready.is_read_closed(),
            ready.is_write_closed(),
            ready.is_error(),
        ];
        assert_eq!(is, expected, "{ready:?}");
    }
}
