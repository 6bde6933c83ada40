//! What becomes of the batches that this node's Raft was handed: told early only when it does not take them after all.
//!
//! A leader refuses when its lease is not confirmed, which is so for a moment after every election, or when it leads no
//! more. Whoever handed the batch over must send it again at once; without this word it would wait for its silence.

use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use openraft::alias::OneshotReceiverOf;
use openraft::errors::Fatal;
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;

use crate::handle::Inner;
use crate::type_config::{EntryBytes, TypeConfig};

/// The batches that were handed over and are neither applied nor refused yet; the proposer's window bounds them.
#[derive(Default)]
pub(crate) struct Verdicts {
    pending: FuturesUnordered<OneshotReceiverOf<TypeConfig, ClientWriteResult<TypeConfig>>>,
}

impl Verdicts {
    /// Hands a batch to Raft.
    pub(crate) async fn write(&mut self, node: &Inner, batch: EntryBytes) -> Result<(), Fatal<TypeConfig>> {
        node.replica.arrivals.note(&batch.0, Instant::now());
        let (responder, verdict) = ProgressResponder::complete_only();
        node.raft.client_write_ff(batch, responder).await?;
        self.pending.push(verdict);
        Ok(())
    }

    /// Resolves when a batch was refused; what was applied is passed over, the replica tells of it.
    pub(crate) async fn refused(&mut self) {
        loop {
            match self.pending.next().await {
                Some(Ok(Ok(_))) => {}
                Some(Ok(Err(_)) | Err(_)) => return,
                None => std::future::pending().await,
            }
        }
    }
}
