//! What another node's service asks for and answers.

use bytes::Bytes;
use vedfolnir::service::fuzzing::{answer_again, question_again};
use vedfolnir_fuzz::Bound;

/// The question or answer twice.
pub const MEMORY: Bound = Bound { base_bytes: 512, bytes_per_input_byte: 4 };
pub const INPUT_BYTES_MAX: usize = 256;

pub fn run(input: &[u8]) {
    if let Some(again) = question_again(input) {
        assert_eq!(again, input, "a question has one form");
    }
    let again = answer_again(&Bytes::copy_from_slice(input));
    assert_eq!(answer_again(&again), again);
    assert!(again == input || again.len() == 3, "what is no answer is a refusal");
}
