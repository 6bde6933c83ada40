//! Files of certificates and keys, and a certificate that a client shows.

use vedfolnir::tls::fuzzing::{certificates, facts, has_private_key};
use vedfolnir::tls::inspect::{REPORTED_NAMES_MAX, SUBJECT_BYTES_MAX};
use vedfolnir::tls::pem_file::PEM_FILE_CERTIFICATES_MAX;
use vedfolnir_fuzz::Bound;

/// The sections decoded, what is told of a certificate, and x509-parser's own lists of its parts.
pub const MEMORY: Bound = Bound { base_bytes: 32 << 10, bytes_per_input_byte: 256 };
pub const INPUT_BYTES_MAX: usize = 4 << 10;

pub fn run(input: &[u8]) {
    if let Some(count) = certificates(input) {
        assert!((1..=PEM_FILE_CERTIFICATES_MAX).contains(&count));
    }
    let _ = has_private_key(input);
    if let Some((subject, names)) = facts(input) {
        assert!(names <= REPORTED_NAMES_MAX && subject.len() <= 4 * SUBJECT_BYTES_MAX);
        assert!(!subject.contains(char::is_control), "a name that ends a line of the log");
    }
}
