//! Proposals as bytes: a version, then MessagePack.

use bytes::Bytes;

use crate::command::Proposal;

/// The version of proposals and snapshots written here.
pub(crate) const VERSION: u8 = 1;

/// Bytes that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Another version.
    #[error("version {0}, this binary reads version {VERSION}")]
    UnknownVersion(u8),
    /// No such thing.
    #[error("damaged: {0}")]
    Malformed(String),
    /// The reader or writer failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A proposal as a log entry holds it.
#[must_use]
pub fn encode_proposal(proposal: &Proposal) -> Bytes {
    let mut bytes = vec![VERSION];
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
/// [`CodecError`].
pub fn decode_proposal(bytes: &[u8]) -> Result<Proposal, CodecError> {
    match bytes.split_first() {
        Some((&VERSION, mut body)) => {
            let proposal = rmp_serde::from_read(&mut body).map_err(|error| CodecError::Malformed(error.to_string()))?;
            match body.len() {
                0 => Ok(proposal),
                more => Err(CodecError::Malformed(format!("{more} bytes behind the proposal"))),
            }
        }
        Some((version, _)) => Err(CodecError::UnknownVersion(*version)),
        None => Err(CodecError::Malformed("empty".to_owned())),
    }
}
