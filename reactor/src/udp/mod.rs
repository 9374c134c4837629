//! Datagram sockets: batches in, batches out.
//!
//! A [`UdpSocket`] never blocks, and each of its methods is one system call. An [`Inbox`] receives many datagrams in
//! one call into memory of the caller, an [`Outbox`] sends many in one call; both keep what the kernel wants to know
//! between calls, so a batch allocates nothing. A run of datagrams of one size may come and go as one piece of memory
//! with the size of its *segments* (the kernel's GRO and GSO): to the network they are datagrams like any others, but
//! the kernel does its work once for all of them.

mod sys;

use crate::listen::{ListenOptions, Moment};
use socket2::{Domain, Protocol, Type};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// What a socket that clients send to asks for.
#[derive(Copy, Clone, Debug, Default)]
pub struct BindOptions {
    /// Ask for the address that each datagram was sent to, and send from it: for sockets on a wildcard address.
    pub local: bool,
    /// UDP_GRO: datagrams of one sender may come as segments.
    pub segments: bool,
}

/// How a socket towards one server is made.
#[derive(Copy, Clone, Debug, Default)]
pub struct UdpConnectOptions {
    /// UDP_GRO: datagrams may come as segments.
    pub segments: bool,
    /// Send from this address, which need not be one of this machine's (IP_TRANSPARENT); takes CAP_NET_ADMIN.
    pub source: Option<IpAddr>,
}

/// A datagram socket that never blocks.
#[derive(Debug)]
pub struct UdpSocket(OwnedFd);

impl UdpSocket {
    /// A socket that anybody may send to. With `reuse_port` there may be several on one address, among which the
    /// kernel spreads clients by their addresses. Of the general options, those that are about connections are not
    /// looked at.
    ///
    /// # Errors
    /// The system's, for the step that failed.
    pub fn bind(address: SocketAddr, general: &ListenOptions, options: &BindOptions) -> io::Result<Self> {
        let socket = Self::datagram(address)?;
        // A port that the system chooses must be nobody else's. It would take one of another process that lets its ports be
        // shared, so this is allowed once the port is ours.
        let chosen = address.port() == 0;
        socket.set_reuse_port(general.reuse_port && !chosen)?;
        if address.is_ipv6() {
            // `[::]` is IPv6 alone, whatever the system's default, so that `0.0.0.0` can stand beside it.
            socket.set_only_v6(!general.dual)?;
        }
        general.set_ip(&socket, &address)?;
        general.set_raw(&socket, Moment::BeforeBind)?;
        if options.local {
            let option = match address {
                SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
                SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
            };
            sys::set_option(&socket, option, 1)?;
        }
        if options.segments {
            set_segments(&socket);
        }
        socket.bind(&address.into())?;
        if chosen {
            socket.set_reuse_port(general.reuse_port)?;
        }
        general.set_raw(&socket, Moment::AfterBind)?;
        // It does not listen, but is as far as it will be.
        general.set_raw(&socket, Moment::AfterListen)?;
        Ok(Self(socket.into()))
    }

    /// A socket that exchanges datagrams with one server; errors that the network reports come to it.
    ///
    /// # Errors
    /// The system's, for the step that failed.
    pub fn connect(address: SocketAddr, options: &UdpConnectOptions) -> io::Result<Self> {
        let socket = Self::datagram(address)?;
        if let Some(source) = options.source {
            set_transparent(&socket, source)?;
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        if options.segments {
            set_segments(&socket);
        }
        socket.connect(&address.into())?;
        Ok(Self(socket.into()))
    }

    fn datagram(address: SocketAddr) -> io::Result<socket2::Socket> {
        // One call sets both flags on Linux.
        let kind = Type::DGRAM.nonblocking().cloexec();
        socket2::Socket::new_raw(Domain::for_address(address), kind, Some(Protocol::UDP))
    }

    /// Sends one datagram to the server that the socket is connected to.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room. An error may also be one that an earlier datagram has caused and that is
    /// reported now; then this one was not sent.
    #[inline]
    pub fn send(&self, data: &[u8]) -> io::Result<()> {
        crate::sys::send(self, data).map(drop)
    }

    /// Sends to the server that the socket is connected to: the pieces as one datagram, or, unless `segment` is 0,
    /// cut into datagrams of that size, of which the last may be shorter.
    ///
    /// # Errors
    /// As [`Self::send`]; also where the path or the system does not take segments.
    pub fn send_pieces(&self, pieces: &[IoSlice<'_>], segment: usize) -> io::Result<()> {
        sys::send_pieces(self, pieces, segment)
    }

    /// How many datagrams the socket has lost for want of room since it was made, modulo 2^32.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn lost(&self) -> io::Result<u32> {
        sys::lost(self)
    }

    /// Where the socket is bound.
    ///
    /// # Errors
    /// The system's.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        let address = socket2::SockRef::from(&self.0).local_addr()?;
        address
            .as_socket()
            .ok_or_else(|| io::Error::other("the address of a datagram socket is of another kind"))
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<OwnedFd> for UdpSocket {
    /// The socket must not block.
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

/// A kernel without it gives datagrams one by one: nothing is lost but speed.
fn set_segments(socket: &socket2::Socket) {
    if let Err(error) = sys::set_option(socket, (libc::SOL_UDP, libc::UDP_GRO), 1) {
        log::debug!("UDP_GRO is not to be had: {error}");
    }
}

fn set_transparent(socket: &socket2::Socket, source: IpAddr) -> io::Result<()> {
    let option = match source {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TRANSPARENT),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT),
    };
    sys::set_option(socket, option, 1)
}

/// Whether this process may send from addresses that are not this machine's: see [`UdpConnectOptions::source`].
///
/// # Errors
/// Why not.
pub fn may_be_transparent(family_of: IpAddr) -> io::Result<()> {
    set_transparent(&UdpSocket::datagram(SocketAddr::new(family_of, 0))?, family_of)
}

/// A batch of datagrams that were received.
#[derive(Debug)]
pub struct Inbox {
    headers: sys::Received,
    slot: usize,
}

/// What is known of a datagram besides its bytes and its sender.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// The address that it was sent to, if the socket asks for it.
    pub local: Option<IpAddr>,
    /// Size of the segments that it is made of; 0 if it is one datagram.
    pub segment: usize,
}

impl Inbox {
    /// For up to `most` datagrams in one call from a socket that anybody may send to.
    pub fn new(most: usize) -> Self {
        Self { headers: sys::Received::new(most, true), slot: 0 }
    }

    /// For up to `most` datagrams in one call from a connected socket: who sends is known.
    pub fn connected(most: usize) -> Self {
        Self { headers: sys::Received::new(most, false), slot: 0 }
    }

    /// Receives up to `most` datagrams, each into a slot of this size in `room`, as far as that has slots. Fewer
    /// than asked for means that no more are there at the moment. Without `notes` there are no [`Notes`]: for a
    /// socket that does not ask for what is in them, which costs less.
    ///
    /// # Errors
    /// `WouldBlock` when there are none.
    pub fn receive(
        &mut self,
        socket: &UdpSocket,
        room: &mut [u8],
        (slot, most): (usize, usize),
        notes: bool,
    ) -> io::Result<usize> {
        self.slot = slot;
        self.headers.receive(socket, room, (slot, most), notes)
    }

    /// Where in the room of the last call the n-th datagram is.
    #[inline]
    pub fn range(&self, at: usize) -> Range<usize> {
        let start = at * self.slot;
        start..start + self.headers.length(at).min(self.slot)
    }

    /// Whether the n-th datagram was longer than its slot.
    #[inline]
    pub fn is_truncated(&self, at: usize) -> bool {
        self.headers.is_truncated(at)
    }

    /// Who sent the n-th datagram; nobody known for connected sockets.
    #[inline]
    pub fn peer(&self, at: usize) -> Option<SocketAddr> {
        self.headers.peer(at)
    }

    /// What else is known of the n-th datagram.
    #[inline]
    pub fn notes(&self, at: usize) -> Notes {
        let sys::Notes { local, segment } = self.headers.notes(at);
        Notes { local, segment }
    }
}

/// A datagram to send.
#[derive(Copy, Clone, Debug)]
pub struct Datagram<'a> {
    /// Its bytes, or those of several.
    pub data: &'a [u8],
    /// Where to; `None` on a connected socket.
    pub to: Option<SocketAddr>,
    /// From which of the machine's addresses; `None` is for the system to choose.
    pub from: Option<IpAddr>,
    /// Size of the datagrams that `data` is cut into, of which the last may be shorter; 0 sends it as one.
    pub segment: usize,
}

/// A batch of datagrams to send.
#[derive(Debug)]
pub struct Outbox {
    headers: sys::Outgoing,
}

impl Outbox {
    /// For up to `most` datagrams in one call.
    pub fn new(most: usize) -> Self {
        Self { headers: sys::Outgoing::new(most) }
    }

    /// Sends datagrams in their order, and says how many went: fewer than given if the batch is full, or if one
    /// failed, which begins the next call to hear of its error.
    ///
    /// # Errors
    /// What the first met; it has not been sent.
    pub fn send<'a>(
        &mut self,
        socket: &UdpSocket,
        datagrams: impl Iterator<Item = Datagram<'a>>,
    ) -> io::Result<usize> {
        self.headers.send(socket, datagrams)
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
