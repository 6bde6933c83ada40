//! The one request of a stranger: for a certificate.

use vedfolnir_cluster::fuzzing::{BODIES, certificate_request};
use vedfolnir_cluster::network::fuzzing::enrol_again;
use vedfolnir_fuzz::Bound;

/// The request twice, and what is read out of it; names of a certificate request are never kept.
pub const MEMORY: Bound = Bound { base_bytes: 16 << 10, bytes_per_input_byte: 64 };
pub const INPUT_BYTES_MAX: usize = 2 << 10;
/// Where `EnrolRequest` stands in the table of bodies.
const ENROL_REQUEST: usize = 7;

pub fn run(input: &[u8]) {
    if let Some((request, again)) = enrol_again(input) {
        assert_eq!(again, input);
        if let Some(written) = BODIES[ENROL_REQUEST](&request) {
            assert_eq!(BODIES[ENROL_REQUEST](&written), Some(written));
        }
    }
    let _ = certificate_request(input);
}
