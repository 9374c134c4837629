//! A listener's sockets: bound on the main thread before any worker starts.

use super::config::ListenerConfig;
use nuncio_reactor::{Address, Socket};
use std::io;
use std::sync::Arc;

/// A listener with its sockets.
#[derive(Debug)]
pub struct Bound {
    /// What they are for.
    pub config: Arc<ListenerConfig>,
    /// Where it really listens, its own address first; the configured ones if it has no sockets.
    pub addresses: Vec<Address>,
    /// For each worker one socket for each address, or none.
    sockets: Vec<Vec<Socket>>,
}

impl Bound {
    /// Binds a listener for `workers` workers.
    ///
    /// # Errors
    /// The first socket that cannot be made, with its address.
    pub fn new(config: &Arc<ListenerConfig>, workers: usize) -> io::Result<Self> {
        let mut bound = Self {
            config: Arc::clone(config),
            addresses: Vec::with_capacity(config.addresses.len()),
            sockets: (0..workers).map(|_| Vec::new()).collect(),
        };
        for place in &config.addresses {
            if !config.bound {
                bound.addresses.push(place.address.clone());
                continue;
            }
            let bind = |address: &Address| {
                Socket::listen(address, &place.options)
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", place.address)))
            };
            let first = bind(&place.address)?;
            // With port 0 the kernel has chosen one: the others must listen on the same.
            let address = first.local_address()?;
            let shared = !place.options.reuse_port || matches!(address, Address::Unix(_));
            for sockets in bound.sockets.iter_mut().skip(1) {
                sockets.push(if shared { first.try_clone()? } else { bind(&address)? });
            }
            bound.sockets[0].push(first);
            bound.addresses.push(address);
        }
        Ok(bound)
    }

    /// The sockets of one more worker.
    ///
    /// # Panics
    /// If each worker has had its own.
    pub fn take(&mut self) -> Vec<Socket> {
        self.sockets.pop().expect("one set of sockets for each worker")
    }
}
