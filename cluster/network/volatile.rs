//! Frames that may be lost: a bounded queue for each peer, oldest dropped first, and the task that empties it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::client::{Slot, link_for_volatile};
use super::error::RpcError;
use super::frame::{self, FRAME_HEADER_BYTES, FrameKind};
use super::link::Link;
use super::stream::FrameSender;

/// Bytes of volatile frames that wait for one peer, headers included.
pub const VOLATILE_QUEUE_BYTES_MAX: usize = 4 << 20;
/// Frames are handed to QUIC together up to this size.
const BATCH_BYTES_MAX: usize = 64 << 10;
/// Streams of a higher priority are sent first.
const VOLATILE_PRIORITY: i32 = -1;

/// Invariant: `bytes` is what the queued frames take on the wire, at most [`VOLATILE_QUEUE_BYTES_MAX`].
pub(super) struct VolatileQueue {
    queue: Mutex<Queue>,
    ready: Notify,
    pump_started: AtomicBool,
    closed: AtomicBool,
    /// Of this peer.
    pub(super) dropped: AtomicU64,
    /// Of all peers of the endpoint.
    dropped_by_all: Arc<AtomicU64>,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<(Option<u64>, Bytes)>,
    bytes: usize,
}

impl VolatileQueue {
    pub(super) fn new(dropped_by_all: Arc<AtomicU64>) -> Self {
        Self {
            queue: Mutex::default(),
            ready: Notify::new(),
            pump_started: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            dropped_by_all,
        }
    }

    /// Appends a frame, dropping the oldest ones while there is no room for it.
    pub(super) fn push(&self, expected: Option<u64>, body: Bytes) {
        let size = FRAME_HEADER_BYTES + body.len();
        if size > VOLATILE_QUEUE_BYTES_MAX {
            self.count_dropped(1);
            return;
        }
        let mut lost = 0;
        {
            let mut queue = self.queue.lock();
            while queue.bytes + size > VOLATILE_QUEUE_BYTES_MAX {
                let Some((_, oldest)) = queue.frames.pop_front() else { break };
                queue.bytes -= FRAME_HEADER_BYTES + oldest.len();
                lost += 1;
            }
            queue.bytes += size;
            queue.frames.push_back((expected, body));
        }
        self.count_dropped(lost);
        self.ready.notify_one();
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.ready.notify_one();
    }

    pub(super) fn ensure_pump(self: &Arc<Self>, slot: &Arc<Slot>) {
        if !self.pump_started.swap(true, Ordering::AcqRel) {
            tokio::spawn(pump(Arc::clone(self), Arc::downgrade(slot)));
        }
    }

    fn count_dropped(&self, frames: u64) {
        if frames > 0 {
            self.dropped.fetch_add(frames, Ordering::Relaxed);
            self.dropped_by_all.fetch_add(frames, Ordering::Relaxed);
        }
    }

    /// The oldest frames for this node, encoded, and how many they are; frames for another node are dropped: the
    /// address has changed hands.
    fn take_batch(&self, node_id: u64) -> (BytesMut, u64) {
        let mut batch = BytesMut::new();
        let (mut taken, mut lost) = (0, 0);
        let mut queue = self.queue.lock();
        while let Some((expected, body)) = queue.frames.front() {
            let size = FRAME_HEADER_BYTES + body.len();
            if taken > 0 && batch.len() + size > BATCH_BYTES_MAX {
                break;
            }
            let is_theirs = expected.is_none_or(|expected| expected == node_id);
            // The queue takes no frame as large as the bound of a frame.
            if is_theirs && frame::append(&mut batch, FrameKind::Volatile, body).is_ok() {
                taken += 1;
            } else {
                lost += 1;
            }
            queue.bytes -= size;
            queue.frames.pop_front();
        }
        drop(queue);
        self.count_dropped(lost);
        (batch, taken)
    }

    fn is_empty(&self) -> bool {
        self.queue.lock().frames.is_empty()
    }

    fn drop_all(&self) {
        let lost = {
            let mut queue = self.queue.lock();
            queue.bytes = 0;
            std::mem::take(&mut queue.frames).len()
        };
        self.count_dropped(lost as u64);
    }
}

/// Sends what is queued, for as long as anybody holds the peer or the endpoint.
async fn pump(queue: Arc<VolatileQueue>, slot: Weak<Slot>) {
    let mut open: Option<(Arc<Link>, FrameSender)> = None;
    loop {
        while queue.is_empty() {
            if queue.closed.load(Ordering::Acquire) {
                return;
            }
            queue.ready.notified().await;
        }
        let Some(slot) = slot.upgrade() else { return };
        if !open.as_ref().is_some_and(|(link, sender)| slot.is_usable(link) && sender.is_open()) {
            open = match open_volatile(&slot).await {
                Ok(opened) => Some(opened),
                Err(error) => {
                    tracing::debug!("volatile frames are dropped: {error}");
                    queue.drop_all();
                    None
                }
            };
        }
        drop(slot);
        let Some((link, sender)) = &mut open else { continue };
        let (batch, count) = queue.take_batch(link.identity.node_id);
        if count > 0 && sender.send_encoded(batch).await.is_err() {
            queue.count_dropped(count);
            open = None;
        }
    }
}

async fn open_volatile(slot: &Arc<Slot>) -> Result<(Arc<Link>, FrameSender), RpcError> {
    let link = link_for_volatile(slot).await?;
    let opened = link.channel.connection.open_uni().await;
    let stream = opened.map_err(|error| RpcError::connection(&link.channel.peer, &error))?;
    let sender = FrameSender::new(stream, Arc::clone(&link.channel));
    sender.set_priority(VOLATILE_PRIORITY);
    Ok((link, sender))
}
