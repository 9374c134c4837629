//! A small event loop in the spirit of libevent, for servers whose threads share nothing.
//!
//! - [`Reactor`]: readiness of sockets (edge-triggered, registered once), timers, deferred work, mail from other
//!   threads, signals. One [`Reactor::turn`] is one wait; what happened comes back as plain values in a batch.
//! - [`Slab`]: storage whose keys carry a generation, so that a stale event cannot reach a new connection.
//! - [`Wheel`]: timers with O(1) arming and cancelling; [`Alarm`]: one timer for many deadlines that seldom come.
//! - [`Watcher`]: folders in which something is written or moved.
//! - [`Socket`], [`Address`]: stream sockets that never block, one system call for each method.
//! - [`UdpSocket`], [`Inbox`], [`Outbox`]: datagrams in batches.
//!
//! Nothing here calls back, locks (but for the mailbox's queue) or allocates in steady state. All `unsafe` is in
//! private modules called `sys`. Linux only, 64 bits.
//!
//! # What to keep in mind
//! - Edge-triggered: an [`Event::Io`] says that something has *become* possible. Read or write until the system
//!   says `WouldBlock` (a short read or write says so too), or [`Reactor::defer`] the rest to stay fair to others;
//!   the same edge does not come again.
//! - A batch may hold events for what an earlier event of it has closed. Put a [`Slab`] key into each token and
//!   task: the key is stale then and finds nothing.
//! - [`Reactor::now`] stands still during a turn. Timers have a granularity of 1 ms and never fire early.
//! - With [`Clock::fake`] no turn waits and time moves by [`Reactor::advance`] only.
//!
//! # Example
//! ```
//! use nuncio_reactor::{Event, Options, Reactor};
//! use std::time::Duration;
//!
//! let mut reactor: Reactor<&str, u32> = Reactor::new(Options::default())?;
//! reactor.arm(Duration::from_millis(5), "tick");
//! let sender = reactor.mailbox();
//! std::thread::spawn(move || sender.send(7));
//! let (mut batch, mut seen) = (Vec::new(), Vec::new());
//! while seen.len() < 2 {
//!     reactor.turn(&mut batch)?;
//!     for event in batch.drain(..) {
//!         match event {
//!             Event::Timer(name) => seen.push(name.to_owned()),
//!             Event::Mail(number) => seen.push(number.to_string()),
//!             _ => {}
//!         }
//!     }
//! }
//! seen.sort();
//! assert_eq!(seen, ["7", "tick"]);
//! # Ok::<(), std::io::Error>(())
//! ```

mod alarm;
mod cpus;
mod listen;
mod loopback;
mod mailbox;
mod net;
mod pipe;
mod reactor;
mod signals;
mod slab;
mod sys;
mod time;
mod udp;
mod watch;
mod wheel;

/// Makes sure that large blocks of memory, from 128 KiB on, go back to the system as soon as they are freed; for the
/// start of a process. The allocator would learn to keep them, for ever and for each thread, from seeing them freed.
pub fn return_large_blocks() {
    sys::map_large_blocks(128 << 10);
}

/// Gives back to the system what the start of a process has taken and its work does not need: memory that was freed, and
/// the program text that has been used so far, of which what is needed comes back from the page cache.
pub fn give_back_memory() {
    sys::trim_heap();
    sys::drop_text();
}

/// Gives back to the system what has been freed since, wherever in the heap it is.
pub fn give_back_heap() {
    sys::trim_heap();
}

/// Lets this process have as many descriptors as it may, and says how many that are.
///
/// # Errors
/// If the system does not tell.
pub fn raise_descriptors() -> std::io::Result<u64> {
    sys::raise_descriptors()
}

pub use alarm::Alarm;
pub use cpus::cpus_available;
pub use listen::{ListenOptions, Moment, RawOption};
pub use mailbox::Sender;
pub use net::{Address, ConnectOptions, InvalidAddress, Keepalive, Socket, UnixAddress, own_address};
pub use pipe::Pipe;
pub use reactor::{Event, Options, Reactor, Readiness, Token};
pub use slab::{RawKey, Slab, SlabKey};
pub use time::{Clock, Time};
pub use udp::{
    BindOptions, Datagram, Inbox, Notes, Outbox, UdpConnectOptions, UdpSocket, may_be_transparent,
};
pub use watch::Watcher;
pub use wheel::{TimerKey, Wheel};
