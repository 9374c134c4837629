//! The system calls that safe crates lack: all `unsafe` of this crate, each behind a safe function.
//!
//! One function is one call and decides nothing. Arguments are borrowed for the call only; descriptors that come
//! back are owned by the caller.

use socket2::SockAddr;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::{ptr, slice};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_size(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// accept4(2): one call gives a non-blocking, close-on-exec socket and its peer's address.
pub(crate) fn accept(listener: &impl AsRawFd) -> io::Result<(OwnedFd, SockAddr)> {
    // SAFETY: `try_init` gives storage and length that accept4 may fill, and the address is used only if it
    // succeeds; a descriptor that accept4 returns is open and owned by nobody else.
    unsafe {
        SockAddr::try_init(|storage, length| {
            let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            let fd = check(libc::accept4(listener.as_raw_fd(), storage.cast(), length, flags))?;
            Ok(OwnedFd::from_raw_fd(fd))
        })
    }
}

/// recv(2), past the C library: its function is a point at which threads can be cancelled, which ours never are, and makes
/// every call dearer by two atomic operations.
pub(crate) fn recv(socket: &impl AsRawFd, room: &mut [u8]) -> io::Result<usize> {
    let nobody = ptr::null::<libc::c_void>();
    let (fd, to, length) = (socket.as_raw_fd(), room.as_mut_ptr(), room.len());
    // SAFETY: the pointer and length describe memory that is borrowed mutably for the call; no address is asked for.
    check_size(
        unsafe { libc::syscall(libc::SYS_recvfrom, fd, to, length, 0, nobody, nobody) } as libc::ssize_t
    )
}

/// readv(2).
pub(crate) fn recv_vectored(socket: &impl AsRawFd, room: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let count = room.len().min(libc::UIO_MAXIOV as usize) as libc::c_int;
    // SAFETY: `IoSliceMut` has the layout of iovec by its documentation, each describes memory that is borrowed
    // mutably for the call, and `count` does not exceed their number.
    check_size(unsafe { libc::readv(socket.as_raw_fd(), room.as_mut_ptr().cast(), count) })
}

/// send(2), without SIGPIPE, and past the C library as [`recv`].
pub(crate) fn send(socket: &impl AsRawFd, data: &[u8]) -> io::Result<usize> {
    let (flags, nobody) = (libc::MSG_NOSIGNAL, ptr::null::<libc::c_void>());
    let (fd, from, length) = (socket.as_raw_fd(), data.as_ptr(), data.len());
    // SAFETY: the pointer and length describe memory that is borrowed for the call; no address is given.
    check_size(unsafe { libc::syscall(libc::SYS_sendto, fd, from, length, flags, nobody, 0) } as libc::ssize_t)
}

/// sendmsg(2), without SIGPIPE.
pub(crate) fn send_vectored(socket: &impl AsRawFd, data: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: msghdr is plain data for which all zeroes is a valid value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = data.as_ptr().cast_mut().cast();
    message.msg_iovlen = data.len().min(libc::UIO_MAXIOV as usize) as _;
    // SAFETY: `IoSlice` has the layout of iovec by its documentation; sendmsg only reads through the pointers,
    // which are borrowed for the call.
    check_size(unsafe { libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) })
}

/// inotify_init1(2).
pub(crate) fn inotify() -> io::Result<OwnedFd> {
    // SAFETY: the call has no preconditions; a descriptor that it returns is open and owned by nobody else.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC))?)) }
}

/// inotify_add_watch(2), for what is written, made in or moved into a folder.
pub(crate) fn watch_folder(inotify: &impl AsRawFd, folder: &std::path::Path) -> io::Result<i32> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes())?;
    let mask = libc::IN_CLOSE_WRITE | libc::IN_MOVED_TO | libc::IN_CREATE | libc::IN_ONLYDIR;
    // SAFETY: the path ends with a NUL and lives as long as the call.
    check(unsafe { libc::inotify_add_watch(inotify.as_raw_fd(), path.as_ptr(), mask) })
}

/// read(2).
pub(crate) fn read(fd: &impl AsRawFd, room: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length describe memory that is borrowed mutably for the call.
    check_size(unsafe { libc::read(fd.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) })
}

/// setsockopt(2).
pub(crate) fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &[u8],
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointer and length describe memory that is borrowed for the call, which only reads it.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), length) })
        .map(drop)
}

/// getsockopt(2): how many bytes of the value there are.
#[cfg(test)]
pub(crate) fn option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &mut [u8],
) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointer and length describe memory that is borrowed mutably for the call.
    check(unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut length)
    })?;
    Ok(length as usize)
}

/// getsockopt(2) for an option whose value is an IP address.
pub(crate) fn address_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<std::net::SocketAddr> {
    // SAFETY: `try_init` gives storage and length that getsockopt may fill, and the address is used only if it
    // succeeds.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            check(libc::getsockopt(socket.as_raw_fd(), level, name, storage.cast(), length)).map(drop)
        })
    }?;
    address.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// pipe2(2): the end to read from and the end to write to, non-blocking and close-on-exec.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two descriptors' room; what pipe2 returns is open and owned by nobody else.
    unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC))?;
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// fcntl(2), F_SETPIPE_SZ.
pub(crate) fn set_pipe_size(pipe: &OwnedFd, size: usize) -> io::Result<()> {
    // SAFETY: the call takes a descriptor and a number.
    check(unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, size as libc::c_int) }).map(drop)
}

/// splice(2) between a socket and a pipe, without blocking. `more`: further bytes will follow at once.
pub(crate) fn splice(from: &impl AsRawFd, to: &impl AsRawFd, most: usize, more: bool) -> io::Result<usize> {
    let nowhere = ptr::null_mut();
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK | if more { libc::SPLICE_F_MORE } else { 0 };
    // SAFETY: null offsets are what sockets and pipes want; no other pointers are passed.
    check_size(unsafe { libc::splice(from.as_raw_fd(), nowhere, to.as_raw_fd(), nowhere, most, flags) })
}

/// Blocks signals in this thread and gives a descriptor that they can be read from.
pub(crate) fn signalfd(signals: &[i32]) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set before anything reads it; the other calls get a pointer to that
    // set; the descriptor that signalfd returns is open and owned by nobody else.
    unsafe {
        check(libc::sigemptyset(set.as_mut_ptr()))?;
        for signal in signals {
            check(libc::sigaddset(set.as_mut_ptr(), *signal))?;
        }
        match libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()) {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        Ok(OwnedFd::from_raw_fd(check(libc::signalfd(-1, set.as_ptr(), flags))?))
    }
}

/// The next signal from a descriptor of [`signalfd`]; `None` when there is none.
pub(crate) fn next_signal(fd: &OwnedFd) -> Option<i32> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let size = size_of_val(&info);
    // SAFETY: the pointer and size describe `info`; it is read only if the kernel has filled all of it, and it is
    // plain data.
    unsafe {
        let n = libc::read(fd.as_raw_fd(), info.as_mut_ptr().cast(), size);
        (n == size as libc::ssize_t).then(|| info.assume_init().ssi_signo as i32)
    }
}

/// Lets the allocator map blocks of this size and more by themselves, whatever has been freed before.
pub(crate) fn map_large_blocks(size: libc::c_int) {
    // SAFETY: mallopt has no preconditions; a value that it does not take changes nothing.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, size);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = size;
}

/// Has the allocator give back what is free.
pub(crate) fn trim_heap() {
    // SAFETY: malloc_trim has no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Unmaps the pages of program text that have been touched so far; each is mapped again when it is next executed.
pub(crate) fn drop_text() {
    extern "C" fn drop_of(
        object: *mut libc::dl_phdr_info,
        _: libc::size_t,
        page: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: dl_iterate_phdr gives a valid object with that many program headers, for the duration of this call.
        let (base, headers) = unsafe {
            let object = &*object;
            let count = usize::from(object.dlpi_phnum);
            (
                object.dlpi_addr,
                if count == 0 { &[][..] } else { slice::from_raw_parts(object.dlpi_phdr, count) },
            )
        };
        let page = page as u64;
        let is_text = |header: &&libc::Elf64_Phdr| {
            header.p_type == libc::PT_LOAD && header.p_flags & (libc::PF_X | libc::PF_W) == libc::PF_X
        };
        for header in headers.iter().filter(is_text) {
            let start = base.wrapping_add(header.p_vaddr) & !(page - 1);
            let length = base.wrapping_add(header.p_vaddr).wrapping_add(header.p_memsz).saturating_sub(start);
            // SAFETY: the segment is mapped from a file and never written to, so that a page of it that is dropped comes
            // back from the file as it was.
            unsafe { libc::madvise(start as *mut libc::c_void, length as usize, libc::MADV_DONTNEED) };
        }
        0
    }
    // SAFETY: sysconf has no preconditions; the callback gets the page size through its last argument, as it is.
    unsafe {
        let page = libc::sysconf(libc::_SC_PAGESIZE);
        if page > 0 {
            libc::dl_iterate_phdr(Some(drop_of), page as *mut libc::c_void);
        }
    }
}

/// Raises the soft limit of open descriptors to the hard one, and gives the limit.
pub(crate) fn raise_descriptors() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for what the first call writes and the second one reads.
    unsafe {
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit))?;
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            check(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit))?;
        }
    }
    Ok(limit.rlim_cur)
}

/// Number of CPUs that this thread may run on.
/// The first IPv4 address of an interface that is up and not the loopback.
pub(crate) fn interface_address() -> Option<std::net::Ipv4Addr> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `list` is a valid place for the pointer that the call writes.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return None;
    }
    let mut found = None;
    let mut next = list;
    // SAFETY: the entries of the list live until `freeifaddrs`, and each `ifa_next` is another one or null.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        let usable = entry.ifa_flags & libc::IFF_UP as libc::c_uint != 0;
        // SAFETY: `ifa_addr` is null or points to an address whose family says what it is.
        let family = unsafe { entry.ifa_addr.as_ref() }.map(|address| libc::c_int::from(address.sa_family));
        if usable && family == Some(libc::AF_INET) {
            // SAFETY: an address of the family AF_INET is a `sockaddr_in`; it need not be aligned as one.
            let address = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            let address = std::net::Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            if !address.is_loopback() {
                found = Some(address);
                break;
            }
        }
    }
    // SAFETY: `list` came from `getifaddrs` and is not used any more.
    unsafe { libc::freeifaddrs(list) };
    found
}

pub(crate) fn affinity() -> io::Result<usize> {
    // The kernel refuses a set that is smaller than its own; cpu_set_t has room for 1,024 CPUs only.
    let mut words = 1024 / u64::BITS as usize;
    loop {
        let mut set = vec![0u64; words];
        // SAFETY: the kernel fills at most the size that it is given, which is that of the zeroed vector; a
        // cpu_set_t is an array of words that may have any length, and u64 has its alignment.
        let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set[..]), set.as_mut_ptr().cast()) };
        match check(result) {
            Ok(_) => return Ok(set.iter().map(|word| word.count_ones() as usize).sum()),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && words < 1 << 14 => words *= 4,
            Err(error) => return Err(error),
        }
    }
}

/// What tests of signals need.
#[cfg(test)]
#[cfg(not(miri))]
pub(crate) mod testing {
    use super::check;
    use std::io;
    use std::mem;
    use std::os::unix::thread::JoinHandleExt;
    use std::ptr;
    use std::thread::JoinHandle;

    extern "C" fn nothing(_: libc::c_int) {}

    /// Handles a signal by doing nothing, so that it interrupts a wait and no more.
    pub(crate) fn handle(signal: i32) -> io::Result<()> {
        // SAFETY: sigaction is plain data for which all zeroes is a valid value; the handler touches nothing.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
            check(libc::sigaction(signal, &action, ptr::null_mut())).map(drop)
        }
    }

    /// Sends a signal to the calling thread.
    pub(crate) fn raise(signal: i32) {
        // SAFETY: raise has no preconditions.
        assert_eq!(unsafe { libc::raise(signal) }, 0);
    }

    /// Sends a signal to a thread; it may have ended.
    pub(crate) fn interrupt<T>(thread: &JoinHandle<T>, signal: i32) {
        // SAFETY: a thread's id is valid until it is joined, which takes the handle.
        unsafe { libc::pthread_kill(thread.as_pthread_t(), signal) };
    }
}
