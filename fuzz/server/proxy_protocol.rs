//! The PROXY protocol's header: as a whole, and byte by byte as the reader asks for it.

use vedfolnir::security::proxy_protocol::{HEADER_BYTES_MAX, Mode, Parsed, parse};
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;

/// Nothing: a header is read where it is.
pub const MEMORY: Bound = Bound { base_bytes: 0, bytes_per_input_byte: 0 };
pub const INPUT_BYTES_MAX: usize = 2 * HEADER_BYTES_MAX;

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let mode = [Mode::Off, Mode::V1, Mode::V2, Mode::Auto][input.below(4)];
    let bytes = input.0;
    let whole = parse(mode, bytes);
    if let Parsed::Header(header) = whole {
        assert!((1..=HEADER_BYTES_MAX.min(bytes.len())).contains(&header.consumed));
        // What stands behind a header changes nothing in it, and nothing of it is missing.
        assert_eq!(parse(mode, &bytes[..header.consumed]), whole);
        assert!(matches!(parse(mode, &bytes[..header.consumed - 1]), Parsed::NeedMore { at_most: 1.. }));
    }
    let mut read = 0;
    loop {
        match parse(mode, &bytes[..read]) {
            Parsed::NeedMore { at_most } => {
                assert!(at_most > 0 && read < HEADER_BYTES_MAX);
                if read == bytes.len() {
                    return assert_eq!(whole, Parsed::NeedMore { at_most });
                }
                read = (read + at_most).min(bytes.len());
            }
            parsed => {
                if let Parsed::Header(header) = parsed {
                    assert_eq!(header.consumed, read, "bytes behind the header were asked for");
                }
                return assert_eq!(parsed, whole, "in pieces it is something else");
            }
        }
    }
}
