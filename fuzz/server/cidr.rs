//! Addresses and ranges of addresses.

use std::net::IpAddr;

use vedfolnir::security::cidr::{IpRange, IpRanges, RANGES_MAX};
use vedfolnir::security::forwarded::address;
use vedfolnir_fuzz::Bound;

/// Ranges of 18 bytes in a list of 256; a text of an error.
pub const MEMORY: Bound = Bound { base_bytes: 2 * 24 * RANGES_MAX, bytes_per_input_byte: 8 };
pub const INPUT_BYTES_MAX: usize = 1 << 10;

pub fn run(input: &[u8]) {
    if let Some(address) = address(input) {
        assert!(IpRange::single(address).contains(address) && address == address.to_canonical());
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(range) = text.parse::<IpRange>() {
        let again: IpRange = range.to_string().parse().expect("what is shown can be read");
        assert_eq!(again, range);
        if let Some(address) = text.trim().split('/').next().and_then(|address| address.parse::<IpAddr>().ok()) {
            assert!(range.contains(address), "a range does not hold its own address");
        }
    }
    if let Ok(ranges) = text.parse::<IpRanges>() {
        assert_eq!(ranges.is_empty(), text.split(',').all(|range| range.trim().is_empty()));
    }
}
