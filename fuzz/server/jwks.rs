//! Files of keys: JWK Sets and PEM.

use vedfolnir::security::auth::{KEYS_MAX, Secrets, keys_from_jwks, keys_from_pem};
use vedfolnir_fuzz::Bound;

/// Slices of the set, one key's texts at a time, and the keys: up to 1 KiB each, prepared for verifying.
pub const MEMORY: Bound = Bound { base_bytes: 64 << 10, bytes_per_input_byte: 64 };
pub const INPUT_BYTES_MAX: usize = 4 << 10;

pub fn run(input: &[u8]) {
    for secrets in [Secrets::Taken, Secrets::Skipped] {
        if let Ok(read) = keys_from_jwks(input, secrets) {
            assert!((1..=KEYS_MAX).contains(&read.keys.len()));
        }
    }
    if let Ok(keys) = keys_from_pem(input) {
        assert!((1..=KEYS_MAX).contains(&keys.len()));
    }
}
