//! Proposals as bytes: the format they are written in, then MessagePack.

use bytes::Bytes;
use serde::Deserialize as _;

use crate::command::{Origin, Proposal};
use crate::format::Format;

/// Bytes that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// A newer release's.
    #[error("format {0}, this binary reads formats {oldest} to {newest}", oldest = Format::FIRST, newest = Format::NEWEST)]
    UnknownVersion(u8),
    /// No such thing.
    #[error("damaged: {0}")]
    Malformed(String),
    /// The reader or writer failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A proposal as a log entry holds it, for replicas that all speak this format.
#[must_use]
pub fn encode_proposal(format: Format, proposal: &Proposal) -> Bytes {
    let mut bytes = vec![format.number()];
    // Writing to memory does not fail, and the vocabulary has nothing that MessagePack cannot hold; were it
    // otherwise, every replica would find the same malformed entry and skip it.
    if rmp_serde::encode::write(&mut bytes, proposal).is_err() {
        bytes.truncate(1);
    }
    Bytes::from(bytes)
}

/// A log entry's proposal.
///
/// # Errors
/// [`CodecError`]. A command that is younger than the format it claims to be written in is malformed: an older replica,
/// which has never heard of it, finds the same.
pub fn decode_proposal(bytes: &[u8]) -> Result<Proposal, CodecError> {
    let Some((version, body)) = bytes.split_first() else {
        return Err(CodecError::Malformed("empty".to_owned()));
    };
    let format = Format::try_from(*version).map_err(|_| CodecError::UnknownVersion(*version))?;
    // From memory: names and payloads are copied once, into what keeps them.
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(body);
    let proposal =
        Proposal::deserialize(&mut deserializer).map_err(|error| CodecError::Malformed(error.to_string()))?;
    if !is_at_end(&mut deserializer) {
        return Err(CodecError::Malformed("there are bytes behind the proposal".to_owned()));
    }
    match proposal.commands.iter().map(|command| command.since()).max() {
        Some(since) if since > format => {
            Err(CodecError::Malformed(format!("a command of format {since} in a proposal of format {format}")))
        }
        _ => Ok(proposal),
    }
}

/// Whether nothing is left to read. A boolean is one byte, so that the only way to fail for want of a byte is to have none.
fn is_at_end(deserializer: &mut rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'_, [u8]>>) -> bool {
    matches!(bool::deserialize(deserializer), Err(rmp_serde::decode::Error::InvalidMarkerRead(_)))
}

/// Whose proposal it is, by its first bytes alone. `None`: it is no proposal, as far as those say.
#[must_use]
pub fn origin_of(bytes: &[u8]) -> Option<Origin> {
    // MessagePack's array of two: the origin, then the commands.
    let [_, 0x92, rest @ ..] = bytes else { return None };
    Origin::deserialize(&mut rmp_serde::Deserializer::new(rest)).ok()
}

/// The format that a log entry says it is written in, known or not.
#[must_use]
pub fn written_in(bytes: &[u8]) -> Option<u8> {
    bytes.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    #[test]
    fn whatever_stands_behind_a_proposal_makes_it_malformed() {
        let proposal = Proposal { origin: Origin::System, commands: vec![Command::Tick { elapsed_ms: 1 }] };
        let bytes = encode_proposal(Format::FIRST, &proposal);
        assert_eq!(decode_proposal(&bytes).ok(), Some(proposal));
        for first in 0..=u8::MAX {
            let behind = |rest: &[u8]| decode_proposal(&[&bytes[..], &[first], rest].concat());
            assert!(matches!(behind(&[]), Err(CodecError::Malformed(_))), "{first:02x}");
            for second in 0..=u8::MAX {
                assert!(matches!(behind(&[second]), Err(CodecError::Malformed(_))), "{first:02x} {second:02x}");
            }
        }
    }
}
