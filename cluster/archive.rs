//! What is committed, as whoever archives the log reads it from the leader.

use std::io;

use openraft::EntryPayload;

use crate::handle::Cluster;
use crate::hex;
pub use crate::segment::{
    ArchiveType, ArchivedEntry, Mark, SEGMENT_BYTES_MAX, Segment, SegmentAbout, SegmentName, SegmentNameError,
    segment_about,
};

/// Why nothing was read of the log.
#[derive(Debug, thiserror::Error)]
pub enum CommittedError {
    /// It was purged meanwhile; what follows is there.
    #[error("log entries {from} to {to} are gone: a snapshot has taken their place")]
    Purged {
        /// The first one.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// Another node leads.
    #[error("this node does not lead any more")]
    NotLeading,
    /// The disk cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Cluster {
    /// The last log index that this replica has applied.
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        self.inner.replica.applied_index()
    }

    /// Committed entries of this leader's log from an index on, up to what is applied or about [`SEGMENT_BYTES_MAX`].
    ///
    /// A leader installs no snapshot, so what stands in its log up to what it has applied is committed; whoever lost the
    /// leadership meanwhile may have read something else.
    ///
    /// # Errors
    /// [`CommittedError`].
    pub async fn committed(&self, from: u64) -> Result<Vec<ArchivedEntry>, CommittedError> {
        let node = &self.inner;
        let term = node.term();
        let leads = || node.leads() && node.term() == term;
        let end = node.replica.applied_index().saturating_add(1);
        let (mut entries, mut bytes, mut next) = (Vec::new(), 0, from);
        while leads() && next < end && bytes < SEGMENT_BYTES_MAX {
            let piece = node.log.entries(next, end).await?;
            let first = piece.first().map_or(end, |first| first.log_id.index);
            if first != next {
                if entries.is_empty() && leads() {
                    return Err(CommittedError::Purged { from, to: first - 1 });
                }
                break;
            }
            for entry in piece {
                let proposal = match entry.payload {
                    EntryPayload::Normal(bytes) => Some(bytes.0),
                    EntryPayload::Blank | EntryPayload::Membership(_) => None,
                };
                next = entry.log_id.index.saturating_add(1);
                let term = entry.log_id.committed_leader_id().term;
                let entry = ArchivedEntry { index: entry.log_id.index, term, proposal };
                bytes += entry.bytes();
                entries.push(entry);
            }
        }
        if leads() { Ok(entries) } else { Err(CommittedError::NotLeading) }
    }

    /// A piece of this cluster's log, written by this node.
    #[must_use]
    pub fn segment(&self, entries: Vec<ArchivedEntry>, marks: Vec<Mark>) -> Segment {
        let node = &self.inner;
        Segment {
            cluster_id: node.local.cluster_id().map(|id| hex(&id)).unwrap_or_default(),
            history_id: format!("{:016x}", self.read(|state| state.history_id()).unwrap_or_default()),
            server_id: node.config.node_info.server_id.clone(),
            entries,
            marks,
        }
    }
}
