//! Ranges of IP addresses, written as `10.0.0.0/8` or as a single address (RFC 4632, RFC 4291).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// Ranges in one list.
pub const RANGES_MAX: usize = 256;

/// Leading bits of an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2) that say it is one.
const MAPPED_BITS: u8 = 96;

/// Why a text is no range, or no list of ranges.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CidrError {
    /// The part before the slash is no address.
    #[error("`{text}` is not an IP range: no address before the prefix (accepted: 10.0.0.0/8, 192.0.2.7, fd00::/8)")]
    Address {
        /// What was written.
        text: String,
    },
    /// The part behind the slash is no prefix length of the address's family.
    #[error("`{text}` is not an IP range: its prefix is not a number from 0 to {bits_max}")]
    Prefix {
        /// What was written.
        text: String,
        /// Bits of an address of that family.
        bits_max: u8,
    },
    /// The address names a machine, the prefix a network: which of the two was meant is unsure.
    #[error(
        "`{text}` has bits set beyond its prefix (accepted: `{network}` for the network, `{single}` for one address)"
    )]
    HostBits {
        /// What was written.
        text: String,
        /// The network it lies in.
        network: IpRange,
        /// The address alone.
        single: IpRange,
    },
    /// The list is too long.
    #[error("{count} IP ranges are too many (accepted: up to {RANGES_MAX})")]
    TooMany {
        /// Ranges given.
        count: usize,
    },
}

/// A range of addresses of one family.
///
/// IPv4-mapped IPv6 addresses are IPv4 addresses here: `::ffff:10.0.0.0/104` is `10.0.0.0/8`, since a dual-stack
/// socket shows IPv4 peers in that form. `::/0` therefore holds no IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRange {
    network: IpAddr,
    prefix: u8,
}

impl IpRange {
    /// The range that holds `address` alone.
    #[must_use]
    pub fn single(address: IpAddr) -> Self {
        let network = address.to_canonical();
        Self { network, prefix: bits(network) }
    }

    /// Whether the range holds `address`.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => mask_v4(address, self.prefix) == network,
            (IpAddr::V6(network), IpAddr::V6(address)) => mask_v6(address, self.prefix) == network,
            _ => false,
        }
    }

    /// Whether the range holds every address of its family: to trust it is to trust everybody.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask_v4(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() & mask)
}

fn mask_v6(address: Ipv6Addr, prefix: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

fn mask(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => mask_v4(address, prefix).into(),
        IpAddr::V6(address) => mask_v6(address, prefix).into(),
    }
}

impl FromStr for IpRange {
    type Err = CidrError;

    /// Bits beyond the prefix are refused, not masked away: in a list of who is trusted, `10.0.0.7/8` is more likely
    /// one machine with a wrong prefix than sixteen million.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let text = text.trim();
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| CidrError::Address { text: text.to_owned() })?;
        let bits_max = bits(address);
        let prefix = match prefix {
            None => bits_max,
            Some(prefix) => parse_prefix(prefix)
                .filter(|prefix| *prefix <= bits_max)
                .ok_or_else(|| CidrError::Prefix { text: text.to_owned(), bits_max })?,
        };
        let canonical = address.to_canonical();
        let (address, prefix) = match prefix.checked_sub(MAPPED_BITS) {
            Some(prefix) if canonical.is_ipv4() && address.is_ipv6() => (canonical, prefix),
            _ => (address, prefix),
        };
        let network = mask(address, prefix);
        if network != address {
            let network = Self { network, prefix };
            return Err(CidrError::HostBits { text: text.to_owned(), network, single: Self::single(address) });
        }
        Ok(Self { network, prefix })
    }
}

/// Digits only: `u8::from_str` would let a sign in.
fn parse_prefix(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl fmt::Display for IpRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == bits(self.network) {
            return self.network.fmt(formatter);
        }
        write!(formatter, "{}/{}", self.network, self.prefix)
    }
}

/// Up to [`RANGES_MAX`] ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpRanges(Vec<IpRange>);

impl IpRanges {
    /// A list of these ranges.
    ///
    /// # Errors
    /// [`CidrError::TooMany`].
    pub fn new(ranges: Vec<IpRange>) -> Result<Self, CidrError> {
        if ranges.len() > RANGES_MAX {
            return Err(CidrError::TooMany { count: ranges.len() });
        }
        Ok(Self(ranges))
    }

    /// Whether one of the ranges holds `address`.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }

    /// The first range that holds every address of its family, for the caller to refuse or to warn of.
    #[must_use]
    pub fn everything(&self) -> Option<IpRange> {
        self.0.iter().copied().find(IpRange::is_everything)
    }

    /// Whether the list holds no address at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for IpRanges {
    type Err = CidrError;

    /// Ranges with commas between them; empty parts are skipped.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let count = parts.clone().count();
        if count > RANGES_MAX {
            return Err(CidrError::TooMany { count });
        }
        Self::new(parts.map(str::parse).collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> IpRange {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        let table = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "11.1.2.3", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("0.0.0.0/0", "255.1.2.3", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("::/0", "::ffff:10.0.0.1", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("2001:db8::/127", "2001:db8::1", true),
            ("2001:db8::/127", "2001:db8::2", false),
            ("128.0.0.0/1", "127.255.255.255", false),
            ("128.0.0.0/1", "128.0.0.0", true),
        ];
        for (text, address, inside) in table {
            assert_eq!(range(text).contains(ip(address)), inside, "{text} {address}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_its_reason() {
        let address = |text: &str| CidrError::Address { text: text.to_owned() };
        let prefix = |text: &str, bits_max| CidrError::Prefix { text: text.to_owned(), bits_max };
        let table = [
            ("10.0.0.0/33", prefix("10.0.0.0/33", 32)),
            ("10.0.0.0/", prefix("10.0.0.0/", 32)),
            ("10.0.0.0/+8", prefix("10.0.0.0/+8", 32)),
            ("10.0.0.0/-1", prefix("10.0.0.0/-1", 32)),
            ("10.0.0.0/8/8", prefix("10.0.0.0/8/8", 32)),
            ("10.0.0.0/256", prefix("10.0.0.0/256", 32)),
            ("::/129", prefix("::/129", 128)),
            ("", address("")),
            ("/8", address("/8")),
            ("10.0.0/8", address("10.0.0/8")),
            ("010.0.0.0/8", address("010.0.0.0/8")),
            ("localhost", address("localhost")),
            ("fe80::1%eth0", address("fe80::1%eth0")),
            ("[::1]", address("[::1]")),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<IpRange>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn bits_beyond_the_prefix_are_refused_and_both_meanings_named() {
        let error = "10.0.0.7/8".parse::<IpRange>().unwrap_err().to_string();
        assert!(error.contains("`10.0.0.0/8`") && error.contains("`10.0.0.7`"), "{error}");
        assert!("::1/64".parse::<IpRange>().is_err());
        assert!("::ffff:10.0.0.7/104".parse::<IpRange>().is_err());
    }

    #[test]
    fn a_range_of_everybody_is_known_as_such() {
        for text in ["0.0.0.0/0", "::/0", "::ffff:0:0/96"] {
            assert!(range(text).is_everything(), "{text}");
        }
        assert!(!range("0.0.0.0/1").is_everything());
        let ranges: IpRanges = "10.0.0.0/8, ::/0".parse().unwrap();
        assert_eq!(ranges.everything(), Some(range("::/0")));
    }

    #[test]
    fn a_list_is_bounded_and_may_be_empty() {
        let list: IpRanges = " 10.0.0.0/8,,fd00::/8 , 192.0.2.1".parse().unwrap();
        assert!(list.contains(ip("fd00::1")) && list.contains(ip("192.0.2.1")) && !list.contains(ip("192.0.2.2")));
        assert!("".parse::<IpRanges>().unwrap().is_empty());
        let many = "10.0.0.1,".repeat(RANGES_MAX + 1);
        assert_eq!(many.parse::<IpRanges>(), Err(CidrError::TooMany { count: RANGES_MAX + 1 }));
        assert!("10.0.0.1,".repeat(RANGES_MAX).parse::<IpRanges>().is_ok());
        assert!("10.0.0.0/8,10.0.0.0/33".parse::<IpRanges>().is_err());
    }

    #[test]
    fn a_range_is_written_as_it_is_read() {
        for text in ["10.0.0.0/8", "192.0.2.7", "::/0", "fd00::/8", "::1"] {
            assert_eq!(range(text).to_string(), text);
        }
        assert_eq!(range("::ffff:10.0.0.0/104").to_string(), "10.0.0.0/8");
    }
}
