//! Addresses and sockets.
//!
//! A [`Socket`] is a descriptor that never blocks, with exactly the calls that an event loop needs; each method is
//! one system call unless it says otherwise. It knows no reactor, keeps no buffer and retries nothing: what to do
//! about `WouldBlock` is the caller's business. Names are not resolved here.

use crate::loopback;
use crate::sys;
use socket2::{Domain, Protocol, SockAddr, Type};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Where a socket is bound or connected to. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// A unix socket.
    Unix(UnixAddress),
}

/// The name of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixAddress {
    /// A file.
    Path(Arc<Path>),
    /// A name in Linux's abstract namespace.
    Abstract(Arc<[u8]>),
    /// None, as of a client that was not bound.
    Unnamed,
}

impl Address {
    /// A unix socket from its textual form: a path, or `@name` for the abstract namespace.
    pub fn unix(text: &str) -> Self {
        Self::Unix(match text.strip_prefix('@') {
            Some(name) => UnixAddress::Abstract(name.as_bytes().into()),
            None => UnixAddress::Path(PathBuf::from(text).into()),
        })
    }

    /// An IPv4 address that is mapped to IPv6, as a socket for both shows it, as itself; others as they are.
    #[must_use]
    pub fn canonical(self) -> Self {
        match self {
            Self::Inet(address) => Self::Inet(SocketAddr::new(address.ip().to_canonical(), address.port())),
            unix => unix,
        }
    }

    pub(crate) fn to_system(&self) -> io::Result<SockAddr> {
        match self {
            Self::Inet(address) => Ok((*address).into()),
            Self::Unix(UnixAddress::Path(path)) => {
                // The kernel would take these for an abstract name, for another file, or invent a name.
                let bytes = path.as_os_str().as_bytes();
                if bytes.is_empty() || bytes.contains(&0) {
                    let why = "the path of a unix socket is not empty and has no NUL";
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
                }
                SockAddr::unix(path)
            }
            Self::Unix(UnixAddress::Abstract(name)) => {
                let mut path = vec![0];
                path.extend_from_slice(name);
                SockAddr::unix(Path::new(std::ffi::OsStr::from_bytes(&path)))
            }
            Self::Unix(UnixAddress::Unnamed) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "a unix socket without a name"))
            }
        }
    }

    fn from_system(address: &SockAddr) -> Self {
        if let Some(address) = address.as_socket() {
            return Self::Inet(address);
        }
        Self::Unix(match (address.as_pathname(), address.as_abstract_namespace()) {
            (Some(path), _) => UnixAddress::Path(path.into()),
            (None, Some(name)) => UnixAddress::Abstract(name.into()),
            (None, None) => UnixAddress::Unnamed,
        })
    }

    fn domain(&self) -> Domain {
        match self {
            Self::Inet(address) => Domain::for_address(*address),
            Self::Unix(_) => Domain::UNIX,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(out),
            Self::Unix(UnixAddress::Path(path)) => path.display().fmt(out),
            Self::Unix(UnixAddress::Abstract(name)) => write!(out, "@{}", String::from_utf8_lossy(name)),
            Self::Unix(UnixAddress::Unnamed) => out.write_str("unix"),
        }
    }
}

/// A text is none of the forms that an [`Address`] has.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct InvalidAddress;

impl fmt::Display for InvalidAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an address is <IPv4>:<port>, [<IPv6>]:<port>, /path or @abstract-name")
    }
}

impl std::error::Error for InvalidAddress {}

impl FromStr for Address {
    type Err = InvalidAddress;

    /// `127.0.0.1:80`, `[::1]:80`, `/run/server.sock`, `@name`: what [`fmt::Display`] writes. Host names and
    /// relative paths are refused.
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        match text.as_bytes() {
            [b'/', ..] if !text.contains('\0') => Ok(Self::unix(text)),
            [b'@', _, ..] => Ok(Self::unix(text)),
            _ => text.parse().map(Self::Inet).map_err(|_| InvalidAddress),
        }
    }
}

/// The address by which others may know this machine: that of its first interface, or 127.0.0.1 if it has none.
pub fn own_address() -> IpAddr {
    sys::interface_address().unwrap_or(std::net::Ipv4Addr::LOCALHOST).into()
}

/// How a connection is made.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// TCP keep-alive probes; `None` sends none.
    pub keepalive: Option<Keepalive>,
}

/// TCP keep-alive probes; `None` leaves the system's setting.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// Time without traffic before the first probe, in whole seconds (TCP_KEEPIDLE).
    pub time: Option<Duration>,
    /// Time between probes, in whole seconds (TCP_KEEPINTVL).
    pub interval: Option<Duration>,
    /// Unanswered probes after which the connection is dead (TCP_KEEPCNT).
    pub probes: Option<u32>,
}

impl Keepalive {
    /// Turns probes on.
    pub(crate) fn set(self, socket: &socket2::Socket) -> io::Result<()> {
        let Self { time, interval, probes } = self;
        let mut probing = socket2::TcpKeepalive::new();
        probing = time.map_or(probing.clone(), |time| probing.with_time(time));
        probing = interval.map_or(probing.clone(), |interval| probing.with_interval(interval));
        probing = probes.map_or(probing.clone(), |probes| probing.with_retries(probes));
        socket.set_keepalive(true)?;
        socket.set_tcp_keepalive(&probing)
    }
}

/// A stream socket that never blocks.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Starts to connect. Whether it succeeded is known when the socket becomes writable: see
    /// [`Self::take_error`].
    ///
    /// # Errors
    /// If it fails at once.
    pub fn connect(address: &Address, options: &ConnectOptions) -> io::Result<Self> {
        let socket = Self::stream(address, false)?;
        if options.nodelay && matches!(address, Address::Inet(_)) {
            socket.set_tcp_nodelay(true)?;
        }
        if let (Some(keepalive), Address::Inet(_)) = (options.keepalive, address) {
            keepalive.set(&socket)?;
        }
        loopback::set_congestion(&socket, address);
        match socket.connect(&address.to_system()?) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(Self(socket.into())),
        }
    }

    /// A TCP or unix socket, with Multipath TCP if that is asked for.
    pub(crate) fn stream(address: &Address, multipath: bool) -> io::Result<socket2::Socket> {
        let protocol = if multipath { Protocol::MPTCP } else { Protocol::TCP };
        let protocol = matches!(address, Address::Inet(_)).then_some(protocol);
        // One call sets both flags on Linux.
        socket2::Socket::new_raw(address.domain(), Type::STREAM.nonblocking().cloexec(), protocol)
    }

    /// The next connection and its peer.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub fn accept(&self) -> io::Result<(Self, Address)> {
        let (fd, peer) = sys::accept(self)?;
        Ok((Self(fd), Address::from_system(&peer)))
    }

    /// The error that the socket has met since this was last asked (SO_ERROR).
    ///
    /// # Errors
    /// That error.
    pub fn take_error(&self) -> io::Result<()> {
        self.options().take_error()?.map_or(Ok(()), Err)
    }

    /// Reads; 0 is the end (or no room was given).
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing.
    #[inline]
    pub fn recv(&self, room: &mut [u8]) -> io::Result<usize> {
        sys::recv(self, room)
    }

    /// Reads into several pieces; 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing.
    #[inline]
    pub fn recv_vectored(&self, room: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match room {
            [one] => sys::recv(self, one),
            many => sys::recv_vectored(self, many),
        }
    }

    /// Writes several pieces; raises no SIGPIPE.
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes nothing.
    #[inline]
    pub fn send_vectored(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        match data {
            [one] => sys::send(self, one),
            many => sys::send_vectored(self, many),
        }
    }

    /// Finishes sending; reading goes on.
    ///
    /// # Errors
    /// If the peer is gone.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.options().shutdown(std::net::Shutdown::Write)
    }

    /// Makes closing the socket reset the connection (SO_LINGER with time 0).
    ///
    /// # Errors
    /// The system's.
    pub fn reset_on_close(&self) -> io::Result<()> {
        self.options().set_linger(Some(Duration::ZERO))
    }

    /// Where the socket is bound.
    ///
    /// # Errors
    /// The system's.
    pub fn local_address(&self) -> io::Result<Address> {
        Ok(Address::from_system(&self.options().local_addr()?))
    }

    /// Where the socket is connected to.
    ///
    /// # Errors
    /// If it is not connected.
    pub fn peer_address(&self) -> io::Result<Address> {
        Ok(Address::from_system(&self.options().peer_addr()?))
    }

    /// A second descriptor of the same socket, as for threads that accept from one queue. The kernel watches
    /// sockets, not descriptors: one that has a second descriptor must be deregistered before it is dropped.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    fn options(&self) -> socket2::SockRef<'_> {
        socket2::SockRef::from(&self.0)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<socket2::Socket> for Socket {
    fn from(socket: socket2::Socket) -> Self {
        Self(socket.into())
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;
    use crate::listen::ListenOptions;
    use std::os::unix::fs::PermissionsExt;

    fn wait<T>(mut attempt: impl FnMut() -> io::Result<T>) -> T {
        loop {
            match attempt() {
                Ok(value) => return value,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn exchange(address: &Address) {
        let listener = Socket::listen(address, &ListenOptions { nodelay: true, ..ListenOptions::default() })
            .expect("listen");
        let address = listener.local_address().expect("bound");
        assert_eq!(listener.accept().expect_err("nobody yet").kind(), io::ErrorKind::WouldBlock);
        let client =
            Socket::connect(&address, &ConnectOptions { nodelay: true, keepalive: None }).expect("connect");
        let (server, _) = wait(|| listener.accept());
        client.take_error().expect("connected");
        assert_eq!(client.peer_address().expect("connected"), address);
        assert_eq!(client.send_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"c")]).expect("sent"), 3);
        let (mut one, mut two) = ([0; 1], [0; 8]);
        let n = wait(|| server.recv_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)]));
        assert_eq!((n, &one, &two[..2]), (3, b"a", &b"bc"[..]));
        client.shutdown_write().expect("shut");
        assert_eq!(wait(|| server.recv(&mut two)), 0);
        server.reset_on_close().expect("linger");
    }

    #[test]
    fn inet_and_unix_sockets_carry_bytes() {
        exchange(&Address::Inet("127.0.0.1:0".parse().expect("address")));
        exchange(&Address::Inet("[::1]:0".parse().expect("address")));
        exchange(&Address::unix(&format!("@nuncio-net-test-{}", std::process::id())));
        let path = std::env::temp_dir().join(format!("nuncio-net-test-{}.sock", std::process::id()));
        let address = Address::unix(path.to_str().expect("a plain path"));
        exchange(&address);
        // The file is left over; nobody listens: it is replaced.
        exchange(&address);
        let listening =
            Socket::listen(&address, &ListenOptions { mode: Some(0o600), ..ListenOptions::default() })
                .expect("listen");
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = Socket::listen(&address, &ListenOptions::default()).expect_err("somebody listens");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        drop(listening);
        std::fs::remove_file(&path).expect("ours");
        // A file that is no socket is left alone.
        std::fs::write(&path, "text").expect("written");
        Socket::listen(&address, &ListenOptions::default()).expect_err("a file is in the way");
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), "text");
        std::fs::remove_file(&path).expect("ours");
    }

    #[test]
    fn reuse_port_lets_several_listen() {
        let options = ListenOptions { reuse_port: true, ..ListenOptions::default() };
        let first = Socket::listen(&Address::Inet("127.0.0.1:0".parse().expect("address")), &options)
            .expect("listen");
        let address = first.local_address().expect("bound");
        Socket::listen(&address, &options).expect("a second one");
        Socket::listen(&address, &ListenOptions::default()).expect_err("not without the option");
    }

    #[test]
    fn a_refused_connection_says_so() {
        let address = {
            let any = Address::Inet("127.0.0.1:0".parse().expect("address"));
            Socket::listen(&any, &ListenOptions::default()).expect("listen").local_address().expect("bound")
        };
        let error = match Socket::connect(&address, &ConnectOptions::default()) {
            Err(error) => error,
            Ok(socket) => loop {
                if let Err(error) = socket.take_error() {
                    break error;
                }
            },
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn addresses_in_words() {
        for text in
            ["127.0.0.1:80", "0.0.0.0:0", "[::1]:80", "[fe80::1%2]:65535", "/run/x.sock", "@name", "@@"]
        {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.to_string(), text);
            assert_eq!(matches!(address, Address::Unix(_)), text.starts_with(['/', '@']));
        }
        for text in
            ["", "@", "localhost:80", "127.0.0.1", "::1:80", "[::1]", "1.2.3.4:65536", "run/x.sock", "/a\0b"]
        {
            assert_eq!(text.parse::<Address>(), Err(InvalidAddress), "{text:?}");
        }
    }

    #[test]
    fn names_that_mean_something_else_to_the_kernel_are_refused() {
        let long = format!("/{}", "x".repeat(200));
        for path in ["", "\0abstract", "/tmp/a\0b", &long] {
            let error = Socket::listen(&Address::unix(path), &ListenOptions::default()).expect_err(path);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path:?}");
        }
        let unnamed = Address::Unix(UnixAddress::Unnamed);
        Socket::connect(&unnamed, &ConnectOptions::default()).expect_err("no name");
    }

    #[test]
    fn options_reach_the_kernel() {
        let any: Address = "127.0.0.1:0".parse().expect("an address");
        for nodelay in [false, true] {
            let options = ListenOptions { nodelay, backlog: Some(3), ..ListenOptions::default() };
            let listener = Socket::listen(&any, &options).expect("listen");
            assert!(listener.options().reuse_address().expect("an option"));
            let client = Socket::connect(
                &listener.local_address().expect("bound"),
                &ConnectOptions { nodelay, keepalive: None },
            )
            .expect("connect");
            assert_eq!(client.options().tcp_nodelay().expect("an option"), nodelay);
            let (server, peer) = wait(|| listener.accept());
            assert_eq!(peer, client.local_address().expect("bound"));
            assert_eq!(server.options().tcp_nodelay().expect("an option"), nodelay, "inherited");
            // However it was made, it does not block.
            for socket in [&client, &server] {
                assert_eq!(socket.recv(&mut [0]).expect_err("nothing").kind(), io::ErrorKind::WouldBlock);
            }
        }
    }

    #[test]
    fn a_peer_that_is_gone_is_an_error_not_a_signal() {
        let listener = Socket::listen(&"127.0.0.1:0".parse().expect("an address"), &ListenOptions::default())
            .expect("listen");
        let client = Socket::connect(&listener.local_address().expect("bound"), &ConnectOptions::default())
            .expect("connect");
        let (server, _) = wait(|| listener.accept());
        server.reset_on_close().expect("linger");
        drop(server);
        let received = loop {
            match client.recv(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                result => break result,
            }
        };
        assert_eq!(received.expect_err("reset").kind(), io::ErrorKind::ConnectionReset);
        for pieces in [&[IoSlice::new(b"a")][..], &[IoSlice::new(b"a"), IoSlice::new(b"b")]] {
            let error = client.send_vectored(pieces).expect_err("nobody receives");
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
    }

    #[test]
    fn more_pieces_than_the_kernel_takes_are_cut() {
        let listener = Socket::listen(&"127.0.0.1:0".parse().expect("an address"), &ListenOptions::default())
            .expect("listen");
        let client = Socket::connect(&listener.local_address().expect("bound"), &ConnectOptions::default())
            .expect("connect");
        let (server, _) = wait(|| listener.accept());
        let pieces = vec![IoSlice::new(b"x"); 3000];
        assert_eq!(client.send_vectored(&pieces).expect("sent"), libc::UIO_MAXIOV as usize);
        let mut room = vec![[0u8; 1]; 3000];
        let mut room: Vec<_> = room.iter_mut().map(|byte| IoSliceMut::new(byte)).collect();
        assert!(wait(|| server.recv_vectored(&mut room)) <= libc::UIO_MAXIOV as usize);
    }
}
