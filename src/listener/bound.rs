//! A listener's sockets: bound on the main thread before any worker starts.

use super::config::ListenerConfig;
use nuncio_reactor::{Address, ListenOptions, Socket};
use std::io;
use std::sync::Arc;

/// A listener's sockets, bound: one for each worker.
#[derive(Debug)]
pub struct Bound {
    /// What they are for.
    pub config: Arc<ListenerConfig>,
    /// Where they really listen.
    pub address: Address,
    /// Indexed by worker.
    pub sockets: Vec<Socket>,
}

impl Bound {
    /// Binds a listener for `workers` workers.
    ///
    /// # Errors
    /// The first socket that cannot be made.
    pub fn new(config: &Arc<ListenerConfig>, workers: usize) -> io::Result<Self> {
        let options = ListenOptions {
            reuse_port: config.reuse_port,
            backlog: config.backlog,
            nodelay: true,
            mode: config.mode,
        };
        let first = Socket::listen(&config.address, &options)?;
        // With port 0 the kernel has chosen one: the others must listen on the same.
        let address = first.local_address()?;
        let mut sockets = vec![first];
        let shared = !config.reuse_port || matches!(address, Address::Unix(_));
        for _ in 1..workers {
            let next = if shared { sockets[0].try_clone()? } else { Socket::listen(&address, &options)? };
            sockets.push(next);
        }
        Ok(Self { config: Arc::clone(config), address, sockets })
    }
}
