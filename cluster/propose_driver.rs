//! Drives the proposer: finds the leader, sends it batches in order, rewinds when it changes.

use openraft::async_runtime::WatchReceiver;
use std::sync::Weak;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use vedfolnir_state::NodeId;

use crate::handle::Inner;
use crate::network::{FrameReceiver, FrameSender};
use crate::type_config::EntryBytes;
use crate::verdicts::Verdicts;
use crate::wire::kind;

/// How often silence is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Opening a stream to the leader, or handing it a batch, may take this long.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a leader that could not be reached, or did not take a batch: a new one does within a round trip.
const RETRY_AFTER: Duration = Duration::from_millis(5);

/// Where batches go.
enum Route {
    Nowhere,
    Here(Verdicts),
    There(FrameSender, FrameReceiver),
}

/// Runs for as long as the node lives.
pub(crate) async fn run(weak: Weak<Inner>) {
    let Some(node) = weak.upgrade() else { return };
    let mut leadership = node.raft.server_metrics();
    let proposer = std::sync::Arc::clone(&node.proposer);
    drop(node);
    let mut route = Route::Nowhere;
    let mut routed_to: Option<(u64, NodeId)> = None;
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Set when the leadership moved while something else was awaited: look again without waiting.
    let mut again = false;
    loop {
        let lost = tokio::select! {
            biased;
            () = std::future::ready(()), if again => false,
            () = proposer.ready() => false,
            changed = leadership.changed() => {
                if changed.is_err() {
                    return;
                }
                false
            }
            _ = interval.tick() => proposer.rewind_if_silent(Instant::now()),
            () = ended(&mut route) => true,
        };
        again = false;
        let Some(node) = weak.upgrade() else { return };
        let leader = node.leader();
        let term = node.term();
        let target = leader.as_ref().map(|(id, _)| (term, *id));
        if lost || target != routed_to || matches!(route, Route::Nowhere) {
            if target != routed_to && target.is_some() {
                node.metrics.leader_changes_total.fetch_add(1, Relaxed);
            }
            route = match leader {
                None => Route::Nowhere,
                Some((id, _)) if id == node.local.node_id() => Route::Here(Verdicts::default()),
                // A dead leader is not waited for once another is elected.
                Some((id, addr)) => tokio::select! {
                    opened = open(&node, id, &addr) => opened,
                    changed = leadership.changed() => {
                        // Without Raft there is nothing to look for: looking again at once would never end.
                        if changed.is_err() {
                            return;
                        }
                        again = true;
                        Route::Nowhere
                    }
                },
            };
            routed_to = match route {
                Route::Nowhere => None,
                _ => target,
            };
            proposer.rewind();
            if !again && (lost || (matches!(route, Route::Nowhere) && target.is_some())) {
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
        let sent = tokio::select! {
            sent = send_all(&node, &mut route) => sent,
            // What was half sent goes with the stream; the next leader gets all of it.
            changed = leadership.changed() => {
                if changed.is_err() {
                    return;
                }
                again = true;
                false
            }
        };
        if !sent {
            route = Route::Nowhere;
            routed_to = None;
            proposer.rewind();
        }
    }
}

async fn open(node: &Inner, id: NodeId, addr: &str) -> Route {
    let peer = node.endpoint.peer(addr, Some(id));
    match tokio::time::timeout(SEND_TIMEOUT, peer.open_stream(kind::PROPOSE_STREAM, Bytes::new())).await {
        Ok(Ok((sender, receiver))) => Route::There(sender, receiver),
        Ok(Err(error)) => {
            tracing::debug!(leader = addr, %error, "the leader cannot be reached");
            Route::Nowhere
        }
        Err(_) => Route::Nowhere,
    }
}

/// Sends what the window allows; says whether the route still works.
async fn send_all(node: &Inner, route: &mut Route) -> bool {
    if matches!(route, Route::Nowhere) {
        return true;
    }
    while let Some(batch) = node.proposer.next_batch() {
        let sent = match route {
            Route::Nowhere => false,
            Route::Here(verdicts) => verdicts.write(node, EntryBytes(batch.bytes)).await.is_ok(),
            Route::There(sender, _) => {
                matches!(tokio::time::timeout(SEND_TIMEOUT, sender.send(batch.bytes)).await, Ok(Ok(())))
            }
        };
        if !sent {
            return false;
        }
    }
    true
}

/// A leader ends the stream when it does not take a batch, or does not lead any more.
async fn ended(route: &mut Route) {
    match route {
        Route::Here(verdicts) => verdicts.refused().await,
        Route::There(_, receiver) => {
            // Nothing is ever answered on this stream: whatever arrives means its end.
            let _ = receiver.recv().await;
        }
        Route::Nowhere => std::future::pending().await,
    }
}
