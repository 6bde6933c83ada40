//! What counts as one client in tables kept by address.

use std::net::IpAddr;

/// Bits of an IPv6 address behind the network that one customer gets (RFC 6177 hands out no less than a /64).
const V6_HOST_BITS: u32 = 64;

/// An IPv4 address, or the /64 of an IPv6 address: whoever has one address of a /64 has them all, and would have as
/// many budgets as there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IpKey {
    /// An IPv4 address, also when it came IPv4-mapped.
    V4(u32),
    /// The upper half of an IPv6 address.
    V6(u64),
}

impl From<IpAddr> for IpKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            // The upper half fits: 64 bits are shifted out.
            IpAddr::V6(address) => Self::V6((address.to_bits() >> V6_HOST_BITS) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> IpKey {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn neighbours_share_a_key_in_ipv6_only() {
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("0.0.0.0"), key("::"));
    }
}
