//! Acknowledgement ids that the server hands out, unique over the owners that a session has had.

/// The largest integer that a JavaScript client keeps exactly; no id on the wire is larger.
pub const ACK_ID_MAX: u64 = (1 << 53) - 1;

/// How many low bits count the acks inside one epoch.
const SEQUENCE_BITS: u32 = 32;

/// The id of the `sequence`-th ack that an owner asks for under `epoch`.
///
/// A late ack for the old connection arrives on the new one with its old id, so the epoch is in the high bits: it
/// then names nothing that is waiting. The epoch wraps after 2^21 owners, long after any such ack has died.
#[must_use]
pub const fn ack_id(epoch: u64, sequence: u32) -> u64 {
    ((epoch << SEQUENCE_BITS) | sequence as u64) & ACK_ID_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_two_epochs_differ_and_stay_exact_in_javascript() {
        assert_ne!(ack_id(1, 7), ack_id(2, 7));
        assert_eq!(ack_id(1, 7), (1 << 32) + 7);
        assert!(ack_id(u64::MAX, u32::MAX) <= ACK_ID_MAX);
    }
}
