//! The system calls for datagrams that safe crates lack: all `unsafe` of this module's parent.
//!
//! One function is one call and decides nothing. [`Received`] and [`Outgoing`] keep the headers that the kernel wants
//! between calls, so that a batch costs no allocation; the memory for the data is borrowed for each call only.

use std::fmt;
use std::io::{self, IoSlice};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::ptr;

/// Room for an address of either family.
#[derive(Copy, Clone)]
#[repr(C)]
union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Room for all control messages that a datagram can have here, aligned as they must be: the address that it was sent
/// to or is to be sent from (40 bytes for IPv6), and the size of its segments (24).
#[derive(Copy, Clone)]
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Statistics of a socket's memory (linux/sock_diag.h); how many datagrams it has lost is one of them.
const SO_MEMINFO: libc::c_int = 55;

/// `SO_*`, `IP_*` and `UDP_*` options that are a number.
pub(super) fn set_option(
    socket: &impl AsRawFd,
    (level, name): (libc::c_int, libc::c_int),
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the pointer and length describe `value`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How many datagrams a socket has lost for want of room, modulo 2^32.
pub(super) fn lost(socket: &impl AsRawFd) -> io::Result<u32> {
    let mut info = [0u32; 9];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the pointer and length describe `info`, which the kernel fills with numbers up to that length.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(info[libc::SK_MEMINFO_DROPS as usize]) }
}

/// What came with a datagram.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) local: Option<IpAddr>,
    pub(super) segment: usize,
}

/// The headers of datagrams that are received together.
pub(super) struct Received {
    messages: Box<[libc::mmsghdr]>,
    pieces: Box<[libc::iovec]>,
    names: Box<[Name]>,
    controls: Box<[Control]>,
    /// The memory, size of a slot, number of slots, and whether there is room for control messages: what the headers
    /// describe, to see whether they still do.
    prepared: (usize, usize, usize, bool),
    /// How many headers the last call has written to.
    used: usize,
}

impl Received {
    /// Headers for `most` datagrams; with room for their peers only where they are wanted.
    pub(super) fn new(most: usize, names: bool) -> Self {
        // SAFETY: these are plain data for which all zeroes is a valid value.
        let (message, name) = unsafe { (mem::zeroed::<libc::mmsghdr>(), mem::zeroed::<Name>()) };
        let piece = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Self {
            messages: vec![message; most].into(),
            pieces: vec![piece; most].into(),
            names: vec![name; if names { most } else { 0 }].into(),
            controls: vec![Control([0; 64]); most].into(),
            prepared: (0, 0, 0, false),
            used: 0,
        }
    }

    /// recvmmsg(2): the n-th datagram goes into the n-th `slot` bytes of `room`; what else is known of it is asked for
    /// with `notes`. Says how many came.
    pub(super) fn receive(
        &mut self,
        socket: &impl AsRawFd,
        room: &mut [u8],
        (slot, most): (usize, usize),
        notes: bool,
    ) -> io::Result<usize> {
        let count = self.messages.len().min(most).min(room.len() / slot.max(1));
        let prepared = (room.as_mut_ptr() as usize, slot, count, notes);
        // Unless the memory is another one, only what the kernel has written to needs to be put right.
        let from = if self.prepared == prepared { self.used } else { count };
        for at in 0..from {
            self.pieces[at] = libc::iovec { iov_base: room[at * slot..].as_mut_ptr().cast(), iov_len: slot };
            let header = &mut self.messages[at].msg_hdr;
            header.msg_iov = &raw mut self.pieces[at];
            header.msg_iovlen = 1;
            if let Some(name) = self.names.get_mut(at) {
                header.msg_name = ptr::from_mut(name).cast();
                header.msg_namelen = size_of::<Name>() as libc::socklen_t;
            }
            header.msg_control = if notes { (&raw mut self.controls[at]).cast() } else { ptr::null_mut() };
            header.msg_controllen = if notes { size_of::<Control>() } else { 0 } as _;
        }
        self.prepared = prepared;
        // SAFETY: the first `count` headers point to pieces, names and controls that live in boxes of this value,
        // and the pieces to disjoint slots within `room`: each was checked above, when they were written for this
        // very memory, which is borrowed mutably for the call. A header that the last call has not written to is as
        // it was written then.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        // A call that fails may have touched the first header.
        self.used = usize::try_from(result).unwrap_or(0).max(1).min(count);
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }

    /// Length of the n-th datagram, as much of it as there was room for.
    pub(super) fn length(&self, at: usize) -> usize {
        self.messages[at].msg_len as usize
    }

    /// Whether there was no room for all of it.
    pub(super) fn is_truncated(&self, at: usize) -> bool {
        self.messages[at].msg_hdr.msg_flags & libc::MSG_TRUNC != 0
    }

    /// Who sent it.
    pub(super) fn peer(&self, at: usize) -> Option<SocketAddr> {
        let length = self.messages[at].msg_hdr.msg_namelen as usize;
        let name = self.names.get(at)?;
        // SAFETY: both members of the union are plain data that was zeroed before the kernel wrote to it, and both
        // begin with the family.
        let family = unsafe { name.v4.sin_family };
        match libc::c_int::from(family) {
            libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
                // SAFETY: as above; the family says that this is the member that was written.
                let v4 = unsafe { name.v4 };
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 if length >= size_of::<libc::sockaddr_in6>() => {
                // SAFETY: as above.
                let v6 = unsafe { name.v6 };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }

    /// What its control messages say.
    pub(super) fn notes(&self, at: usize) -> Notes {
        let mut notes = Notes::default();
        let control = &self.controls[at];
        let header_size = size_of::<libc::cmsghdr>();
        let mut rest = &control.0[..control.0.len().min(self.messages[at].msg_hdr.msg_controllen)];
        while rest.len() >= header_size {
            // SAFETY: there are enough bytes for a header, which is plain data; it need not be aligned.
            let header = unsafe { rest.as_ptr().cast::<libc::cmsghdr>().read_unaligned() };
            let length = header.cmsg_len;
            let Some(data) = rest.get(header_size..length) else { break };
            match (header.cmsg_level, header.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    // The address of the header, not the one that the system would answer from.
                    let field = data.get(8..12).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
                    notes.local = field.map(|bytes| Ipv4Addr::from(bytes).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let field = data.get(..16).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
                    notes.local = field.map(|bytes| Ipv6Addr::from(bytes).into());
                }
                (libc::SOL_UDP, libc::UDP_GRO) => notes.segment = number(data).unwrap_or(0) as usize,
                _ => {}
            }
            rest = rest.get(length.next_multiple_of(size_of::<usize>())..).unwrap_or_default();
        }
        notes
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Received").field("most", &self.messages.len()).finish_non_exhaustive()
    }
}

fn number(data: &[u8]) -> Option<u32> {
    data.get(..4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(u32::from_ne_bytes)
}

/// The headers of datagrams that are sent together.
pub(super) struct Outgoing {
    messages: Box<[libc::mmsghdr]>,
    pieces: Box<[libc::iovec]>,
    names: Box<[Name]>,
    controls: Box<[Control]>,
}

impl Outgoing {
    /// Headers for `most` datagrams.
    pub(super) fn new(most: usize) -> Self {
        // SAFETY: these are plain data for which all zeroes is a valid value.
        let (message, name) = unsafe { (mem::zeroed::<libc::mmsghdr>(), mem::zeroed::<Name>()) };
        let piece = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Self {
            messages: vec![message; most].into(),
            pieces: vec![piece; most].into(),
            names: vec![name; most].into(),
            controls: vec![Control([0; 64]); most].into(),
        }
    }

    /// sendmmsg(2): sends as many of `datagrams` as there are headers, and says how many went before one failed; an
    /// error is that of the first.
    pub(super) fn send<'a>(
        &mut self,
        socket: &impl AsRawFd,
        datagrams: impl Iterator<Item = super::Datagram<'a>>,
    ) -> io::Result<usize> {
        let mut count = 0;
        for (datagram, message) in datagrams.zip(&mut self.messages) {
            let super::Datagram { data, to, from, segment } = datagram;
            self.pieces[count] =
                libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
            let header = &mut message.msg_hdr;
            header.msg_iov = &raw mut self.pieces[count];
            header.msg_iovlen = 1;
            header.msg_namelen = to.map_or(0, |to| put_name(to, &mut self.names[count]));
            header.msg_name = match header.msg_namelen {
                0 => ptr::null_mut(),
                _ => (&raw mut self.names[count]).cast(),
            };
            header.msg_controllen = put_control(from, segment, &mut self.controls[count]) as _;
            header.msg_control = match header.msg_controllen {
                0 => ptr::null_mut(),
                _ => (&raw mut self.controls[count]).cast(),
            };
            count += 1;
        }
        // SAFETY: the first `count` headers were written just now; they point to names and controls in boxes of this
        // value and to data that lives for `'a`, which the kernel only reads.
        let result = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Outgoing").field("most", &self.messages.len()).finish_non_exhaustive()
    }
}

/// sendmsg(2) on a connected socket: the pieces as one datagram, or cut into segments of that size.
pub(super) fn send_pieces(socket: &impl AsRawFd, pieces: &[IoSlice<'_>], segment: usize) -> io::Result<()> {
    let mut control = Control([0; 64]);
    // SAFETY: msghdr is plain data for which all zeroes is a valid value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len().min(libc::UIO_MAXIOV as usize) as _;
    message.msg_controllen = put_control(None, segment, &mut control) as _;
    if message.msg_controllen > 0 {
        message.msg_control = (&raw mut control).cast();
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `IoSlice` has the layout of iovec by its documentation; sendmsg only reads through the pointers, which
    // are borrowed for the call or point to `control`.
    let result = unsafe { libc::sendmsg(socket.as_raw_fd(), &message, flags) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Writes an address and says how long it is.
fn put_name(address: SocketAddr, name: &mut Name) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            name.v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            };
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            name.v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Writes the control messages for a source address and for segments, and says how long they are.
fn put_control(from: Option<IpAddr>, segment: usize, control: &mut Control) -> usize {
    let mut at = 0;
    let mut put = |level: libc::c_int, kind: libc::c_int, data: &[u8]| {
        let header_size = size_of::<libc::cmsghdr>();
        let length = header_size + data.len();
        control.0[at..at + size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
        control.0[at + 8..at + 12].copy_from_slice(&level.to_ne_bytes());
        control.0[at + 12..at + 16].copy_from_slice(&kind.to_ne_bytes());
        control.0[at + header_size..at + length].copy_from_slice(data);
        at += length.next_multiple_of(size_of::<usize>());
    };
    match from {
        None => {}
        Some(IpAddr::V4(ip)) => {
            // Interface (any), source, destination (unused).
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&ip.octets());
            put(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        Some(IpAddr::V6(ip)) => {
            let mut info = [0; 20];
            info[..16].copy_from_slice(&ip.octets());
            put(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
    }
    if let Some(size) = u16::try_from(segment).ok().filter(|size| *size > 0) {
        put(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes());
    }
    at
}
