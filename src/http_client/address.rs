//! Addresses that are not on the public network: a name that resolves to one of them may be a way into ours.

use std::net::{IpAddr, Ipv4Addr};

/// Whether it is loopback, private, shared, link-local, unspecified, multicast, reserved or for documentation (RFC 6890 and
/// its registries). An IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4) is judged as itself.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => {
            let segments = address.segments();
            let last = || Ipv4Addr::from((u32::from(segments[6]) << 16) | u32::from(segments[7]));
            match segments {
                // ::, ::1, IPv4-compatible and IPv4-mapped.
                [0, 0, 0, 0, 0, 0, _, _] => true,
                [0, 0, 0, 0, 0, 0xffff, _, _] => is_private_v4(last()),
                [0x0064, 0xff9b, 0, 0, 0, 0, _, _] => is_private_v4(last()),
                [0x2002, high, low, ..] => is_private_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))),
                // Unique local, link-local, site-local, multicast, documentation.
                [first, ..] if first & 0xfe00 == 0xfc00 => true,
                [first, ..] if first & 0xff80 == 0xfe80 || first & 0xff00 == 0xff00 => true,
                [0x2001, 0x0db8, ..] => true,
                _ => false,
            }
        }
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        // "This network", shared by carriers, IETF's own, benchmarks, multicast and what is reserved above it.
        || first == 0
        || (first == 100 && second & 0xc0 == 64)
        || (first == 192 && second == 0 && third == 0)
        || (first == 198 && second & 0xfe == 18)
        || first >= 224
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_or_nobodys_is_private() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "fe80::1",
            "fec0::1",
            "fd00::1",
            "ff02::1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(is_private(text.parse().expect(text)), "{text}");
        }
        for text in
            ["8.8.8.8", "172.32.0.1", "100.128.0.1", "192.0.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::"]
        {
            assert!(!is_private(text.parse().expect(text)), "{text}");
        }
    }
}
