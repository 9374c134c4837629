//! Connections within this machine: what the network needs and they do not.

use crate::net::Address;
use std::sync::LazyLock;

/// BBR paces what it sends: it sets a timer for each piece instead of filling the window. That is made for routes with
/// queues that it must not fill. The loopback has none; there, most of the time that a large body takes goes into these
/// timers, the more so in a virtual machine, where setting one means leaving it.
const PACING: &str = "bbr";

/// The congestion control for connections within this machine, if it is not to be the system's default: one without pacing
/// in place of one with it.
static UNPACED: LazyLock<Option<&'static [u8]>> = LazyLock::new(|| {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default();
    choose(&read("tcp_congestion_control"), &read("tcp_allowed_congestion_control"))
});

fn choose(default: &str, allowed: &str) -> Option<&'static [u8]> {
    let paced = default.trim().starts_with(PACING);
    let unpaced =
        ["cubic", "reno"].into_iter().find(|name| allowed.split_whitespace().any(|one| one == *name));
    unpaced.filter(|_| paced).map(str::as_bytes)
}

/// Chooses the congestion control of a socket that is to be bound or connected to an address. That it cannot be chosen is
/// no reason to go without the socket.
pub(crate) fn set_congestion(socket: &socket2::Socket, address: &Address) {
    if let Address::Inet(address) = address
        && address.ip().is_loopback()
        && let Some(name) = *UNPACED
    {
        let _ = socket.set_tcp_congestion(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pacing_is_replaced() {
        for (default, allowed, expected) in [
            ("bbr\n", "reno cubic bbr\n", Some("cubic")),
            ("bbr2\n", "reno bbr2\n", Some("reno")),
            ("bbr\n", "bbr\n", None),
            ("cubic\n", "reno cubic bbr\n", None),
            ("reno\n", "reno\n", None),
            ("", "", None),
        ] {
            assert_eq!(choose(default, allowed), expected.map(str::as_bytes), "{default:?} {allowed:?}");
        }
    }

    #[test]
    #[cfg(not(miri))]
    fn only_connections_within_the_machine_are_changed() {
        for (address, is_ours) in [("127.0.0.1:0", true), ("[::1]:0", true), ("0.0.0.0:0", false)] {
            let address = address.parse().expect("an address");
            let socket = crate::Socket::stream(&address, false).expect("a socket");
            let default = socket.tcp_congestion().expect("a name");
            set_congestion(&socket, &address);
            let expected = UNPACED.filter(|_| is_ours).map_or(default, <[u8]>::to_vec);
            let name = |name: &[u8]| String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
            assert_eq!(name(&socket.tcp_congestion().expect("a name")), name(&expected), "{address}");
        }
    }
}
