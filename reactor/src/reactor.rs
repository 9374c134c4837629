//! The event loop: one wait per turn, everything that came of it as plain values.
//!
//! The loop itself belongs to the caller: [`Reactor::turn`] fills a batch and returns. Sockets are registered
//! once, edge-triggered, for both directions. Nothing is called back, and a turn makes no system call but
//! epoll_wait (the clock is read without one; mail takes none; signals are read from their descriptor).

use crate::mailbox::{Mailbox, Sender};
use crate::signals::Signals;
use crate::time::{Cached, Clock, Time};
use crate::wheel::{TimerKey, Wheel, poll_timeout};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, SystemTime};

/// The caller's name for a socket; below 2^63.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// Tokens of the reactor's own sources.
const RESERVED: u64 = 1 << 63;
const MAIL: u64 = RESERVED;
const SIGNALS: u64 = RESERVED + 1;
// Tokens have 64 bits and go through the kernel as mio's, which are usize.
const _: () = assert!(usize::BITS >= u64::BITS, "the reactor needs 64 bits");
/// Most letters handed out in one turn.
const MAIL_PER_TURN: usize = 1024;

/// What a socket is ready for.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness(u8);

impl Readiness {
    const READABLE: u8 = 1;
    const WRITABLE: u8 = 2;
    const READ_CLOSED: u8 = 4;
    const WRITE_CLOSED: u8 = 8;
    const ERROR: u8 = 16;

    /// Nothing.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// And readable.
    #[must_use]
    pub const fn with_readable(self) -> Self {
        Self(self.0 | Self::READABLE)
    }

    /// And writable.
    #[must_use]
    pub const fn with_writable(self) -> Self {
        Self(self.0 | Self::WRITABLE)
    }

    /// And closed for reading.
    #[must_use]
    pub const fn with_read_closed(self) -> Self {
        Self(self.0 | Self::READ_CLOSED)
    }

    /// And closed for writing.
    #[must_use]
    pub const fn with_write_closed(self) -> Self {
        Self(self.0 | Self::WRITE_CLOSED)
    }

    /// And in error.
    #[must_use]
    pub const fn with_error(self) -> Self {
        Self(self.0 | Self::ERROR)
    }

    /// A read will not block.
    pub const fn is_readable(self) -> bool {
        self.0 & Self::READABLE != 0
    }

    /// A write will not block.
    pub const fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }

    /// The peer has finished sending; what it sent before may still be unread.
    pub const fn is_read_closed(self) -> bool {
        self.0 & Self::READ_CLOSED != 0
    }

    /// Nothing more can be sent.
    pub const fn is_write_closed(self) -> bool {
        self.0 & Self::WRITE_CLOSED != 0
    }

    /// The socket has an error.
    pub const fn is_error(self) -> bool {
        self.0 & Self::ERROR != 0
    }

    fn of(event: &mio::event::Event) -> Self {
        let mut ready = Self::empty();
        for (set, bit) in [
            (event.is_readable(), Self::READABLE),
            (event.is_writable(), Self::WRITABLE),
            (event.is_read_closed(), Self::READ_CLOSED),
            (event.is_write_closed(), Self::WRITE_CLOSED),
            (event.is_error(), Self::ERROR),
        ] {
            if set {
                ready.0 |= bit;
            }
        }
        ready
    }
}

/// Something that happened.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Event<T, M> {
    /// A socket's readiness has changed.
    Io {
        /// As registered.
        token: Token,
        /// What for.
        ready: Readiness,
    },
    /// A timer has fired.
    Timer(T),
    /// Work that was put off.
    Deferred(T),
    /// A letter from a [`Sender`].
    Mail(M),
    /// A signal that is watched.
    Signal(i32),
}

/// How a reactor is made.
#[derive(Copy, Clone, Debug)]
pub struct Options {
    /// Most I/O events taken in one turn, at least 1; others come in the next. Default 1024.
    pub events_per_turn: usize,
    /// Where time comes from.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self { events_per_turn: 1024, clock: Clock::Real }
    }
}

/// An event loop's sources: sockets, timers, deferred work, mail, signals.
///
/// `T` is what timers and deferred work carry, `M` what other threads send.
pub struct Reactor<T, M> {
    poll: Poll,
    events: Events,
    clock: Cached,
    wheel: Wheel<T>,
    deferred: Vec<T>,
    mailbox: Mailbox<M>,
    /// More letters wait than one turn took.
    mail_left: bool,
    signals: Option<Signals>,
}

impl<T: Copy, M: Send + 'static> Reactor<T, M> {
    /// A reactor without sources.
    ///
    /// # Errors
    /// If the system has no more descriptors.
    pub fn new(options: Options) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mailbox = Mailbox::new(poll.registry(), mio::Token(MAIL as usize))?;
        let mut clock = Cached::new(options.clock);
        clock.read();
        Ok(Self {
            poll,
            events: Events::with_capacity(options.events_per_turn.max(1)),
            clock,
            wheel: Wheel::new(),
            deferred: Vec::new(),
            mailbox,
            mail_left: false,
            signals: None,
        })
    }

    /// Watches a socket in both directions, edge-triggered, until it is closed. What it is ready for already
    /// comes with the next turn.
    ///
    /// "Closed" means the last descriptor of it: a socket that was duplicated ([`crate::Socket::try_clone`]) goes
    /// on to give events until it is deregistered.
    ///
    /// # Errors
    /// If the system refuses, as for a descriptor that is registered already.
    ///
    /// # Panics
    /// If the token is not below 2^63.
    pub fn register(&self, fd: &impl AsRawFd, token: Token) -> io::Result<()> {
        self.watch(fd, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// The same for reading only: for datagram sockets, which tell after each datagram that they take another.
    ///
    /// # Errors
    /// As for [`Self::register`].
    ///
    /// # Panics
    /// As [`Self::register`].
    pub fn register_reader(&self, fd: &impl AsRawFd, token: Token) -> io::Result<()> {
        self.watch(fd, token, Interest::READABLE)
    }

    fn watch(&self, fd: &impl AsRawFd, token: Token, interest: Interest) -> io::Result<()> {
        assert!(token.0 < RESERVED, "tokens are below 2^63");
        let token = mio::Token(token.0 as usize);
        self.poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), token, interest)
    }

    /// Stops watching a socket that stays open. Closing its last descriptor does the same.
    ///
    /// # Errors
    /// If it was not registered.
    pub fn deregister(&self, fd: &impl AsRawFd) -> io::Result<()> {
        self.poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd()))
    }

    /// A batch for [`Self::turn`], with room for all I/O events of one: a crowded turn need not make any.
    pub fn batch(&self) -> Vec<Event<T, M>> {
        Vec::with_capacity(self.events.capacity())
    }

    /// Waits until something happens and appends all of it to `batch`: I/O, then expired timers in order, deferred
    /// work, mail (at most 1024 letters; the rest comes next, without waiting), signals. Does not wait when work is
    /// deferred, or with a fake clock. The batch may stay empty: after an interruption, or when distant timers
    /// were only looked at.
    ///
    /// # Errors
    /// If the system cannot wait. An interruption by a signal is not an error.
    pub fn turn(&mut self, batch: &mut Vec<Event<T, M>>) -> io::Result<()> {
        let timeout = self.timeout();
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            result => result?,
        }
        self.clock.read();
        let (mut mail, mut signals) = (std::mem::take(&mut self.mail_left), false);
        for event in &self.events {
            match event.token().0 as u64 {
                MAIL => mail = true,
                SIGNALS => signals = true,
                token => batch.push(Event::Io { token: Token(token), ready: Readiness::of(event) }),
            }
        }
        self.wheel.expire(self.clock.now(), |task| batch.push(Event::Timer(task)));
        batch.extend(self.deferred.drain(..).map(Event::Deferred));
        if mail {
            self.mail_left = self.mailbox.take(MAIL_PER_TURN, |letter| batch.push(Event::Mail(letter)));
        }
        if let (true, Some(watched)) = (signals, &self.signals) {
            watched.take(|signal| batch.push(Event::Signal(signal)));
        }
        Ok(())
    }

    /// How long the next turn may wait; `None` is for ever.
    fn timeout(&self) -> Option<Duration> {
        if !self.deferred.is_empty() || self.mail_left || self.clock.is_fake() {
            return Some(Duration::ZERO);
        }
        self.wheel.next_deadline().map(|deadline| poll_timeout(deadline, self.clock.now()))
    }

    /// The time of this turn.
    #[inline]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// The wall-clock time of this turn.
    pub fn wall(&self) -> SystemTime {
        self.clock.wall()
    }

    /// Arms a timer; it never fires early and up to a millisecond late.
    pub fn arm(&mut self, after: Duration, task: T) -> TimerKey {
        self.arm_at(self.now() + after, task)
    }

    /// Arms a timer for a point in time; one in the past fires next.
    pub fn arm_at(&mut self, at: Time, task: T) -> TimerKey {
        self.wheel.arm(at, task)
    }

    /// Disarms a timer; nothing if it has fired or was cancelled.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.wheel.cancel(key)
    }

    /// Number of armed timers.
    pub fn armed(&self) -> usize {
        self.wheel.len()
    }

    /// Puts work off to the next turn, which then does not wait.
    pub fn defer(&mut self, task: T) {
        self.deferred.push(task);
    }

    /// The means to send letters to this loop from any thread.
    pub fn mailbox(&self) -> Sender<M> {
        self.mailbox.sender()
    }

    /// Takes these signals as events. They are blocked in the calling thread and in those that it starts
    /// afterwards, so call this before starting any.
    ///
    /// # Errors
    /// If the system refuses, or signals are watched already.
    pub fn watch_signals(&mut self, signals: &[i32]) -> io::Result<()> {
        if self.signals.is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "signals are watched already"));
        }
        let watched = Signals::watch(signals)?;
        let token = mio::Token(SIGNALS as usize);
        self.poll.registry().register(&mut SourceFd(&watched.as_raw_fd()), token, Interest::READABLE)?;
        self.signals = Some(watched);
        Ok(())
    }

    /// Moves a fake clock.
    ///
    /// # Panics
    /// If the clock is real.
    pub fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
    }
}

impl<T, M> fmt::Debug for Reactor<T, M> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reactor")
            .field("now", &self.clock.now())
            .field("armed", &self.wheel.len())
            .field("deferred", &self.deferred.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
