//! Ranges of addresses.

use crate::api::envoy::config::core::v3::CidrRange;
use crate::config::Cx;
use nuncio_reactor::Address;
use std::net::IpAddr;

/// A range of addresses (`envoy.config.core.v3.CidrRange`).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// The addresses that share their first `bits` bits with `address`; at most 32 for IPv4, 128 for IPv6.
    pub fn new(address: IpAddr, bits: u8) -> Self {
        let most = if address.is_ipv4() { 32 } else { 128 };
        Self { address, bits: bits.min(most) }
    }

    /// Compiles one.
    pub fn compile(range: &CidrRange, cx: &mut Cx<'_>) -> Option<Self> {
        let text = cx.text("address_prefix", &range.address_prefix)?;
        let Ok(address) = text.parse::<IpAddr>() else {
            cx.error_at("address_prefix", format!("`{text}` is not an IP address"));
            return None;
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = range.prefix_len.unwrap_or(0);
        if bits > most {
            cx.error_at("prefix_len", format!("{bits} is out of range: 0 to {most}"));
        }
        Some(Self::new(address, bits.min(most) as u8))
    }

    /// One of them.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many leading bits they share.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// Whether an address is one of them.
    pub fn contains(self, address: IpAddr) -> bool {
        let differs = match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => return false,
        };
        differs >= u32::from(self.bits)
    }

    /// The same for the address of a socket; a unix socket is in no range.
    pub fn contains_socket(self, address: &Address) -> bool {
        matches!(address, Address::Inet(inet) if self.contains(inet.ip()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_shares_their_bits() {
        for (range, bits, address, inside) in [
            ("10.0.0.0", 8, "10.255.0.1", true),
            ("10.0.0.0", 8, "11.0.0.1", false),
            ("0.0.0.0", 0, "255.1.2.3", true),
            ("0.0.0.0", 0, "::1", false),
            ("192.168.1.7", 32, "192.168.1.7", true),
            ("192.168.1.7", 32, "192.168.1.6", false),
            ("192.168.1.7", 31, "192.168.1.6", true),
            ("10.0.0.0", 8, "::ffff:10.1.2.3", true),
            ("::", 0, "fe80::1", true),
            ("2001:db8::", 32, "2001:db8:1::", true),
            ("2001:db8::", 32, "2001:db9::", false),
            ("::1", 128, "::1", true),
        ] {
            let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
            assert_eq!(
                Cidr::new(parse(range), bits).contains(parse(address)),
                inside,
                "{range}/{bits} {address}"
            );
        }
        let all = Cidr::new("0.0.0.0".parse().expect("an address"), 0);
        assert!(!all.contains_socket(&Address::unix("@x")));
        assert!(all.contains_socket(&"1.2.3.4:5".parse().expect("an address")));
    }
}
