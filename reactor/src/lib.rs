//! A small event loop in the spirit of libevent, for servers whose threads share nothing.
//!
//! - [`Reactor`]: readiness of sockets (edge-triggered, registered once), timers, deferred work, mail from other
//!   threads, signals. One [`Reactor::turn`] is one wait; what happened comes back as plain values in a batch.
//! - [`Slab`]: storage whose keys carry a generation, so that a stale event cannot reach a new connection.
//! - [`Wheel`]: timers with O(1) arming and cancelling; [`Alarm`]: one timer for many deadlines that seldom come.
//! - [`Socket`], [`Address`]: stream sockets that never block, one system call for each method.
//!
//! Nothing here calls back, locks (but for the mailbox's queue) or allocates in steady state. All `unsafe` is in
//! the private module `sys`.
//!
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
mod mailbox;
mod net;
mod reactor;
mod signals;
mod slab;
mod sys;
mod time;
mod wheel;

pub use alarm::Alarm;
pub use cpus::cpus_available;
pub use mailbox::Sender;
pub use net::{Address, ConnectOptions, ListenOptions, Socket, UnixAddress};
pub use reactor::{Event, Options, Reactor, Readiness, Token};
pub use slab::{RawKey, Slab, SlabKey};
pub use time::{Clock, Time};
pub use wheel::{TimerKey, Wheel};
