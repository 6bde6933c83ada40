//! Planted bugs of the service, of applications and of the program that runs them.

use std::sync::Arc;

use bytes::Bytes;
use vedfolnir_cluster::state::{Epoch, Opened};
use vedfolnir_planted::{Bug, is};
use vedfolnir_protocol::{EncodedEvent, Message, Packet, encode_disconnect};

use super::driver::Session;
use super::link::CloseCause;
use super::outbox::Frame;
use crate::app::{Committed, EmitError};

#[path = "outbox.rs"]
mod outbox;
pub(super) use outbox::{behind, complete, full, is_overflow_dropped, is_seam_doubled};

/// The epoch of a session that was never resumed.
const EPOCH_OF_NEW: Epoch = 1;

/// The offset of a replayed event.
pub(super) fn replayed<T>(offset: Option<T>) -> Option<T> {
    offset.filter(|_| !is(Bug::ReplayWithoutOffset))
}

/// A session was opened on this node.
pub(super) fn opened(opened: Opened) -> Opened {
    if is(Bug::RoomsLostOnResume) && opened.epoch > EPOCH_OF_NEW {
        return Opened { rooms: vec![Arc::clone(&opened.sid)], ..opened };
    }
    opened
}

/// The sid that a CONNECT is answered with.
pub(super) fn sid(sid: &Arc<str>, epoch: Epoch) -> Arc<str> {
    if is(Bug::ResumeUnderNewSid) && epoch > EPOCH_OF_NEW {
        return sid.chars().rev().collect::<String>().into();
    }
    Arc::clone(sid)
}

pub(super) fn is_fence_forgotten() -> bool {
    is(Bug::OldOwnerNotFenced)
}

/// Whether a session waits for its client when its transport is gone.
pub(super) fn waits(waits: bool) -> bool {
    waits && !is(Bug::DisconnectEndsSession)
}

/// The packets of a POST.
pub(super) fn posted(packets: Vec<Packet>) -> Vec<Packet> {
    if !is(Bug::PostHandledTwice) {
        return packets;
    }
    let is_event = |packet: &Packet| matches!(packet, Packet::Message(Message::Text(text)) if text.starts_with(b"2"));
    packets
        .into_iter()
        .flat_map(|packet| if is_event(&packet) { vec![packet.clone(), packet] } else { vec![packet] })
        .collect()
}

/// What a poll is about to be answered with; a noop in its place while a WebSocket probes.
pub(super) fn polled(queued: &mut Vec<Frame>, probing: bool) {
    if is(Bug::UpgradeDropsQueued) && probing {
        *queued = vec![Frame::Own(EncodedEvent { text: Bytes::from_static(b"6"), attachments: Vec::new() })];
    }
}

/// What is written next.
pub(super) fn written(batch: &mut [Frame]) {
    let is_event = |frame: &Frame| frame.event().is_some_and(|event| event.text.starts_with(b"42"));
    if is(Bug::TwoWriters)
        && let [.., a, b] = batch
        && is_event(a)
        && is_event(b)
    {
        std::mem::swap(a, b);
    }
}

/// The transport is to be closed.
pub(super) fn closing(session: &mut Session, cause: CloseCause) {
    if is(Bug::DrainDisconnects) && cause == CloseCause::Draining && session.closed().is_none() {
        let goodbyes = session.sockets.iter().map(|socket| encode_disconnect(socket.namespace.name()));
        session.control.extend(goodbyes);
    }
}

pub(super) fn is_minority_kept() -> bool {
    is(Bug::MinorityKeepsClients)
}

/// What becomes of a publish that timed out.
pub(crate) fn late(late: Result<Committed, EmitError>, history: u64) -> Result<Committed, EmitError> {
    if is(Bug::TimeoutAcked) { Ok(Committed { position: None, history }) } else { late }
}

/// A node that cannot go on goes on.
pub(crate) async fn failed() {
    if is(Bug::FatalIgnored) {
        std::future::pending::<()>().await;
    }
}
