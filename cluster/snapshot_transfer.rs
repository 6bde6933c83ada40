//! Sends a snapshot to a follower, and takes one in.
//!
//! ```text
//!   leader ── Stream: offer (vote, meta, which file) ──►  follower
//!          ◄─────── From(byte): what it has already ────
//!          ── Data: the file from there on ►► end ─────►  verified as a whole, then installed
//!          ◄───────── Installed(vote) | Refused(why) ───
//! ```
//!
//! A transfer that breaks off leaves what came; openraft asks for the snapshot again, and the next transfer of the same
//! file goes on from there. Between nodes of format 1 there is neither offer nor answer: the file comes from its first
//! byte, and nothing of it is kept.

use std::io::{self, SeekFrom};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use openraft::raft::SnapshotResponse;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt};
use vedfolnir_storage::{IncomingSnapshot, SnapshotId, StorageError};

use crate::compaction::UnderWay;
use crate::handle::Inner;
use crate::network::{FrameReceiver, FrameSender, Peer, RpcError};
use crate::state_machine::check_format;
use crate::type_config::{Snapshot, SnapshotMeta, TypeConfig, Vote};
use crate::wire::{self, WireError, kind};

/// Bytes of a snapshot in one frame.
const SNAPSHOT_CHUNK_BYTES: usize = 256 << 10;
/// A follower that refused a snapshot is not offered the same one again before this time: it would refuse it again.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// Transfers can be resumed from this format on.
const RESUMABLE_SINCE: u16 = 2;

/// What is offered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotOffer {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta,
    pub(crate) id: SnapshotId,
}

/// What the follower says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SnapshotAnswer {
    /// It has everything before this byte.
    From(u64),
    /// Done; with the follower's vote.
    Installed(SnapshotResponse<TypeConfig>),
    /// Not taken, and why.
    Refused(String),
}

/// Why a snapshot did not get there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the snapshot file: {0}")]
    File(#[from] io::Error),
    #[error("the peer ended the transfer")]
    Ended,
    #[error("the peer refused the snapshot: {0}")]
    Refused(String),
}

/// Streams a snapshot and waits until the peer has installed it. `refusal`: what was said about it before; `begin` is called
/// once the peer takes it.
pub(crate) async fn send(
    peer: &Peer,
    vote: Vote,
    snapshot: Snapshot,
    refusal: &mut Option<String>,
    begin: impl FnOnce() -> UnderWay,
) -> Result<SnapshotResponse<TypeConfig>, TransferError> {
    let Snapshot { meta, snapshot: file } = snapshot;
    let common_format = peer.hello().await?.common_format;
    // Opened before it is offered: it may be pruned while the peer answers, and stays readable then, as long as `file` is
    // held.
    let mut content = tokio::fs::File::from_std(file.open_raw().map_err(io::Error::other)?);
    if common_format < RESUMABLE_SINCE {
        let header = wire::encode("snapshot header", &(vote, meta))?;
        let (mut sender, mut receiver) = peer.open_stream(kind::SNAPSHOT_STREAM, header).await?;
        let under_way = begin();
        send_file(&mut sender, &mut content, 0).await?;
        let body = receiver.recv().await?.ok_or(TransferError::Ended)?;
        under_way.through();
        return Ok(wire::decode("snapshot answer", &body)?);
    }
    let offer = wire::encode("snapshot offer", &SnapshotOffer { vote, meta, id: file.id() })?;
    let (mut sender, mut receiver) = peer.open_stream(kind::SNAPSHOT_OFFER_STREAM, offer).await?;
    let from = match answer(&mut receiver).await? {
        SnapshotAnswer::From(from) => from,
        SnapshotAnswer::Installed(response) => return Ok(response),
        SnapshotAnswer::Refused(reason) => return Err(refused(peer, reason, refusal).await),
    };
    let under_way = begin();
    let sent = send_file(&mut sender, &mut content, from).await;
    if let Err(error @ TransferError::File(_)) = sent {
        // The peer waits for the rest: letting go of the stream tells it that none will come.
        return Err(error);
    }
    // A follower that refuses what it reads stops reading: its answer says why.
    match answer(&mut receiver).await {
        Ok(SnapshotAnswer::Installed(response)) => {
            under_way.through();
            Ok(response)
        }
        Ok(SnapshotAnswer::Refused(reason)) => {
            under_way.through();
            Err(refused(peer, reason, refusal).await)
        }
        Ok(SnapshotAnswer::From(_)) => Err(TransferError::Ended),
        Err(error) => Err(sent.err().unwrap_or(error)),
    }
}

async fn refused(peer: &Peer, reason: String, said: &mut Option<String>) -> TransferError {
    if said.as_ref() != Some(&reason) {
        tracing::warn!(
            peer = peer.addr(),
            reason,
            "a follower refused the snapshot; it is offered again from time to time"
        );
        *said = Some(reason.clone());
    }
    tokio::time::sleep(REFUSED_PAUSE).await;
    TransferError::Refused(reason)
}

async fn answer(receiver: &mut FrameReceiver) -> Result<SnapshotAnswer, TransferError> {
    let body = receiver.recv().await?.ok_or(TransferError::Ended)?;
    Ok(wire::decode("snapshot answer", &body)?)
}

async fn send_file(
    sender: &mut FrameSender,
    file: &mut (impl AsyncRead + AsyncSeek + Unpin),
    from: u64,
) -> Result<(), TransferError> {
    file.seek(SeekFrom::Start(from)).await?;
    let mut chunk = vec![0; SNAPSHOT_CHUNK_BYTES];
    loop {
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        sender.send(Bytes::copy_from_slice(&chunk[..read])).await?;
    }
    Ok(sender.finish().await?)
}

/// Why a snapshot was not taken.
enum Untaken {
    /// It must not be: the leader is told.
    Refused(String),
    /// The leader is gone, or has begun anew.
    BrokeOff(String),
}

impl Untaken {
    fn broke_off(error: impl std::fmt::Display) -> Self {
        Self::BrokeOff(error.to_string())
    }

    fn of(error: &StorageError) -> Self {
        match error {
            StorageError::Overtaken | StorageError::Incomplete { .. } => Self::broke_off(error),
            error => Self::Refused(error.to_string()),
        }
    }
}

/// Takes in a snapshot from a leader of format 1.
pub(crate) async fn take_whole(
    node: &Inner,
    header: &[u8],
    mut sender: FrameSender,
    mut receiver: FrameReceiver,
) -> Result<(), String> {
    let text = |error: WireError| error.to_string();
    let (vote, meta): (Vote, SnapshotMeta) = wire::decode("snapshot header", header).map_err(text)?;
    let incoming = node.snapshots.receive().map_err(|error| error.to_string())?;
    let response = match receive(node, incoming, &mut receiver, vote, meta).await {
        Ok(response) => response,
        Err(Untaken::Refused(reason)) => {
            say_refused(node, &reason);
            return Err(reason);
        }
        Err(Untaken::BrokeOff(reason)) => return Err(reason),
    };
    sender.send(wire::encode("snapshot answer", &response).map_err(text)?).await.map_err(|error| error.to_string())?;
    sender.finish().await.map_err(|error| error.to_string())
}

/// Takes in an offered snapshot, from where an earlier transfer of it broke off.
pub(crate) async fn take_offered(
    node: &Inner,
    offer: &[u8],
    mut sender: FrameSender,
    mut receiver: FrameReceiver,
) -> Result<(), String> {
    let offer: SnapshotOffer = wire::decode("snapshot offer", offer).map_err(|error| error.to_string())?;
    let answer = match take(node, offer, &mut sender, &mut receiver).await {
        Ok(response) => SnapshotAnswer::Installed(response),
        Err(Untaken::Refused(reason)) => {
            say_refused(node, &reason);
            SnapshotAnswer::Refused(reason)
        }
        Err(Untaken::BrokeOff(reason)) => return Err(reason),
    };
    tell(&mut sender, &answer).await.map_err(|error| error.to_string())?;
    sender.finish().await.map_err(|error| error.to_string())
}

async fn take(
    node: &Inner,
    offer: SnapshotOffer,
    sender: &mut FrameSender,
    receiver: &mut FrameReceiver,
) -> Result<SnapshotResponse<TypeConfig>, Untaken> {
    let incoming = node.snapshots.resume(offer.id).map_err(|error| Untaken::of(&error))?;
    let kept = incoming.received();
    if kept > 0 {
        node.metrics.snapshot_transfers_resumed_total.fetch_add(1, Relaxed);
        node.metrics.snapshot_bytes_kept_total.fetch_add(kept, Relaxed);
        tracing::info!(kept, bytes = offer.id.bytes, "the transfer of a snapshot goes on where it broke off");
    }
    tell(sender, &SnapshotAnswer::From(kept)).await.map_err(Untaken::broke_off)?;
    receive(node, incoming, receiver, offer.vote, offer.meta).await
}

async fn tell(sender: &mut FrameSender, answer: &SnapshotAnswer) -> Result<(), TransferError> {
    Ok(sender.send(wire::encode("snapshot answer", answer)?).await?)
}

/// Takes in the file to its end, and installs it if it is sound and this node can read it.
async fn receive(
    node: &Inner,
    mut incoming: IncomingSnapshot,
    receiver: &mut FrameReceiver,
    vote: Vote,
    meta: SnapshotMeta,
) -> Result<SnapshotResponse<TypeConfig>, Untaken> {
    while let Some(chunk) = receiver.recv().await.map_err(Untaken::broke_off)? {
        node.contact.touch();
        node.metrics.snapshot_bytes_received_total.fetch_add(chunk.len() as u64, Relaxed);
        incoming.write(&chunk).map_err(|error| Untaken::of(&error))?;
        if incoming.is_sync_due() {
            incoming = tokio::task::spawn_blocking(move || incoming.sync().map(|()| incoming))
                .await
                .map_err(Untaken::broke_off)?
                .map_err(|error| Untaken::of(&error))?;
        }
    }
    let speaks = node.config.format_version;
    // Verifying reads the whole file: not on a task that answers heartbeats.
    let file = tokio::task::spawn_blocking(move || incoming.finish_if(|file| check_format(file, speaks)))
        .await
        .map_err(Untaken::broke_off)?
        .map_err(|error| Untaken::of(&error))?;
    let response = node.raft.install_full_snapshot(vote, Snapshot { meta, snapshot: file }).await;
    let response = response.map_err(Untaken::broke_off)?;
    *node.snapshot_refusal.lock() = None;
    Ok(response)
}

/// One line for each reason: the leader offers it again and again.
fn say_refused(node: &Inner, reason: &str) {
    node.metrics.snapshot_transfers_refused_total.fetch_add(1, Relaxed);
    let mut said = node.snapshot_refusal.lock();
    if said.as_deref() != Some(reason) {
        tracing::warn!(reason, "the leader's snapshot was refused; this node goes on with what it has");
        *said = Some(reason.to_owned());
    }
}
