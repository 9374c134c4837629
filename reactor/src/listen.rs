//! Listening sockets and their options.

use crate::loopback;
use crate::net::{Address, ConnectOptions, Keepalive, Socket, UnixAddress};
use crate::sys;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

/// How a listening socket is made. Accepted sockets inherit what concerns a connection.
#[derive(Clone, Debug, Default)]
pub struct ListenOptions {
    /// SO_REUSEPORT: several sockets on one address, among which the kernel spreads connections.
    pub reuse_port: bool,
    /// Length of the accept queue; `None` is the system's maximum.
    pub backlog: Option<u32>,
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// Permission bits of a unix socket's file.
    pub mode: Option<u32>,
    /// A socket at an IPv6 address takes connections by IPv4 too.
    pub dual: bool,
    /// IP_TRANSPARENT; `None` leaves it alone.
    pub transparent: Option<bool>,
    /// IP_FREEBIND; `None` leaves it alone.
    pub freebind: Option<bool>,
    /// TCP_FASTOPEN: the length of its queue; `None` leaves it alone.
    pub fast_open: Option<u32>,
    /// TCP keep-alive probes; `None` sends none.
    pub keepalive: Option<Keepalive>,
    /// Multipath TCP.
    pub multipath: bool,
    /// Options by their numbers, in order.
    pub raw: Vec<RawOption>,
}

/// An option of a socket by its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawOption {
    /// Its level, as setsockopt(2) knows it.
    pub level: i32,
    /// Its number at that level.
    pub name: i32,
    /// Its value, as it lies in memory.
    pub value: Box<[u8]>,
    /// When it is set.
    pub moment: Moment,
}

/// A moment in the making of a listening socket.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before bind(2).
    BeforeBind,
    /// Between bind(2) and listen(2).
    AfterBind,
    /// After listen(2).
    AfterListen,
}

/// The option by which the kernel's redirection tells where a connection wanted to go, for IPv4 and IPv6 (from
/// linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h).
const SO_ORIGINAL_DST: i32 = 80;

impl Socket {
    /// Binds and listens. A unix socket's file that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// The system's, for the step that failed.
    pub fn listen(address: &Address, options: &ListenOptions) -> io::Result<Self> {
        let socket = Self::stream(address, options.multipath)?;
        match address {
            Address::Inet(inet) => {
                socket.set_reuse_address(true)?;
                socket.set_reuse_port(options.reuse_port)?;
                socket.set_tcp_nodelay(options.nodelay)?;
                if inet.is_ipv6() {
                    // `[::]` is IPv6 alone, whatever the system's default, so that `0.0.0.0` can stand beside it.
                    socket.set_only_v6(!options.dual)?;
                }
                options.set_ip(&socket, inet)?;
            }
            Address::Unix(UnixAddress::Path(path)) => remove_stale(path, address)?,
            Address::Unix(_) => {}
        }
        // What is accepted has it too.
        loopback::set_congestion(&socket, address);
        options.set_raw(&socket, Moment::BeforeBind)?;
        socket.bind(&address.to_system()?)?;
        if let (Address::Unix(UnixAddress::Path(path)), Some(mode)) = (address, options.mode) {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        options.set_raw(&socket, Moment::AfterBind)?;
        let backlog = options.backlog.unwrap_or_else(system_backlog);
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        if let (Some(length), Address::Inet(_)) = (options.fast_open, address) {
            let length = i32::try_from(length).unwrap_or(i32::MAX);
            sys::set_option(&socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, &length.to_ne_bytes())?;
        }
        options.set_raw(&socket, Moment::AfterListen)?;
        Ok(socket.into())
    }

    /// Where a connection wanted to go before the kernel redirected it to this machine; `None` if it was not.
    pub fn original_destination(&self) -> Option<SocketAddr> {
        let Address::Inet(local) = self.local_address().ok()? else { return None };
        let mapped = matches!(local, SocketAddr::V6(local) if local.ip().to_ipv4_mapped().is_some());
        let level = if local.is_ipv4() || mapped { libc::SOL_IP } else { libc::SOL_IPV6 };
        sys::address_option(self, level, SO_ORIGINAL_DST).ok()
    }
}

impl ListenOptions {
    pub(crate) fn set_ip(&self, socket: &socket2::Socket, address: &SocketAddr) -> io::Result<()> {
        let v4 = address.is_ipv4() || self.dual;
        let switch = |level, name, on: Option<bool>| match on {
            Some(on) => sys::set_option(socket, level, name, &i32::from(on).to_ne_bytes()),
            None => Ok(()),
        };
        if v4 {
            switch(libc::SOL_IP, libc::IP_TRANSPARENT, self.transparent)?;
            switch(libc::SOL_IP, libc::IP_FREEBIND, self.freebind)?;
        }
        if address.is_ipv6() {
            switch(libc::SOL_IPV6, libc::IPV6_TRANSPARENT, self.transparent)?;
            switch(libc::SOL_IPV6, libc::IPV6_FREEBIND, self.freebind)?;
        }
        self.keepalive.map_or(Ok(()), |keepalive| keepalive.set(socket))
    }

    pub(crate) fn set_raw(&self, socket: &socket2::Socket, moment: Moment) -> io::Result<()> {
        for RawOption { level, name, value, .. } in self.raw.iter().filter(|option| option.moment == moment) {
            sys::set_option(socket, *level, *name, value).map_err(|error| {
                let text = format!("socket option {name} at level {level} could not be set: {error}");
                io::Error::new(error.kind(), text)
            })?;
        }
        Ok(())
    }
}

/// Removes the file of a unix socket that nobody listens on.
fn remove_stale(path: &Path, address: &Address) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        // Nothing is there, or something that is not ours to remove: binding will tell.
        return Ok(());
    }
    match Socket::connect(address, &ConnectOptions::default()) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => Ok(()),
    }
}

/// `net.core.somaxconn`, as Envoy uses it; 128 where it cannot be read.
fn system_backlog() -> u32 {
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    text.trim().parse().unwrap_or(128)
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    fn listen(address: &str, options: &ListenOptions) -> Socket {
        Socket::listen(&address.parse().expect("an address"), options).expect("listen")
    }

    fn number(socket: &Socket, level: i32, name: i32) -> i32 {
        let mut value = [0; 4];
        assert_eq!(sys::option(socket, level, name, &mut value).expect("an option"), 4);
        i32::from_ne_bytes(value)
    }

    fn raw(level: i32, name: i32, value: i32, moment: Moment) -> RawOption {
        RawOption { level, name, value: value.to_ne_bytes().as_slice().into(), moment }
    }

    #[test]
    fn options_are_set() {
        let socket = listen(
            "127.0.0.1:0",
            &ListenOptions {
                freebind: Some(true),
                fast_open: Some(7),
                keepalive: Some(Keepalive { probes: Some(3), ..Keepalive::default() }),
                raw: vec![
                    raw(libc::SOL_SOCKET, libc::SO_PRIORITY, 3, Moment::BeforeBind),
                    raw(libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 1, Moment::AfterBind),
                    raw(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 77, Moment::AfterListen),
                ],
                ..ListenOptions::default()
            },
        );
        for (level, name, wanted) in [
            (libc::SOL_IP, libc::IP_FREEBIND, 1),
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 7),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3),
            (libc::SOL_SOCKET, libc::SO_PRIORITY, 3),
            (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 1),
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 77),
        ] {
            assert_eq!(number(&socket, level, name), wanted, "{level} {name}");
        }
        let wrong = ListenOptions {
            raw: vec![raw(libc::SOL_SOCKET, 12_345, 1, Moment::BeforeBind)],
            ..ListenOptions::default()
        };
        let error = Socket::listen(&"127.0.0.1:0".parse().expect("an address"), &wrong).expect_err("refused");
        assert!(
            error.to_string().starts_with("socket option 12345 at level 1 could not be set: "),
            "{error}"
        );
    }

    #[test]
    fn an_address_that_is_not_ours_can_be_bound_freely() {
        let address = "192.0.2.1:0".parse().expect("an address");
        assert!(Socket::listen(&address, &ListenOptions::default()).is_err());
        let free = ListenOptions { freebind: Some(true), ..ListenOptions::default() };
        Socket::listen(&address, &free).expect("free");
    }

    #[test]
    fn two_stacks_on_one_socket() {
        let dual = ListenOptions { dual: true, ..ListenOptions::default() };
        let socket = listen("[::]:0", &dual);
        let Address::Inet(bound) = socket.local_address().expect("bound") else { panic!("an IP address") };
        let client = std::net::TcpStream::connect(("127.0.0.1", bound.port())).expect("connect");
        let (accepted, peer) = loop {
            match socket.accept() {
                Ok(accepted) => break accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        let wanted = Address::Inet(client.local_addr().expect("bound"));
        assert_ne!(peer, wanted);
        assert_eq!(peer.canonical(), wanted);
        assert_eq!(accepted.original_destination(), None);
        assert!(std::net::TcpStream::connect(("127.0.0.1", listen_port("[::]:0"))).is_err());
    }

    fn listen_port(address: &str) -> u16 {
        match listen(address, &ListenOptions::default()).local_address().expect("bound") {
            Address::Inet(address) => address.port(),
            Address::Unix(_) => 0,
        }
    }
}
