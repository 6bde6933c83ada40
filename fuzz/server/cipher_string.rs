//! OpenSSL's cipher strings.

use vedfolnir::tls::cipher_string::evaluate;
use vedfolnir_fuzz::Bound;

/// The table of suites and the words that were ignored.
pub const MEMORY: Bound = Bound { base_bytes: 32 << 10, bytes_per_input_byte: 64 };
pub const INPUT_BYTES_MAX: usize = 512;

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(selection) = evaluate(text) {
        let mut offered: Vec<_> = selection.offered.iter().map(|suite| suite.suite()).collect();
        let count = offered.len();
        offered.sort_unstable_by_key(|suite| u16::from(*suite));
        offered.dedup();
        assert_eq!(offered.len(), count, "a suite is offered twice");
    }
}
