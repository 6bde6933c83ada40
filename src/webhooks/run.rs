//! The leader's duty: reads events behind the cursor, has each delivered, and moves the cursor behind what is settled.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vedfolnir_cluster::state::{Event, EventId, LogPosition};
use vedfolnir_cluster::{Cluster, EventStream, EventsError, EventsFrom};

use super::cursor::{COMMIT_TIMEOUT, Cursor, NotWritten};
use super::message::{Message, Subject, subject_of};
use super::window::{Turn, Window};
use super::{WebhookKind, WebhookStats, Webhooks, delivery};
use crate::observability::Node;

/// How often a node looks whether it leads.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A cursor that only moved over events that nobody is told is written no more often than this many looks.
const LOOKS_PER_PASSED: u32 = 8;

/// Delivers while this node leads, until `stop`.
pub(crate) async fn run(node: Arc<Node>, webhooks: Arc<Webhooks>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stop.cancelled() => return,
        }
        let Some(parts) = node.parts() else { continue };
        if !parts.cluster.leads() {
            continue;
        }
        tokio::select! {
            () = lead(&parts.cluster, &webhooks) => {}
            () = stop.cancelled() => return,
        }
        webhooks.stats.pending.store(0, Ordering::Relaxed);
        webhooks.stats.failed_in_a_row.store(0, Ordering::Relaxed);
    }
}

/// One stay as the leader. It ends when it is over, or when somebody else has moved the cursor.
pub(super) async fn lead(cluster: &Cluster, webhooks: &Arc<Webhooks>) {
    // A quorum confirms that it leads, and its replica then shows what any leader before it had committed.
    if cluster.read_index(COMMIT_TIMEOUT).await.is_err() || !cluster.leads() {
        return;
    }
    let (cursor, revision) = cluster.read(Cursor::read);
    let from = cursor.after.map_or(EventsFrom::Oldest, EventsFrom::After);
    tracing::info!(
        event_type = "webhooks_led",
        after = cursor.after.map(|id| id.to_string()),
        "this node tells the webhooks' receiver from here on"
    );
    let mut duty = Duty {
        cluster,
        webhooks,
        cursor,
        revision,
        window: Window::default(),
        room: Arc::new(Semaphore::new(webhooks.config.requests_max)),
        under_way: JoinSet::new(),
        writing: JoinSet::new(),
        is_told: false,
    };
    let ended = duty.work(cluster.events(from)).await;
    tracing::info!(
        event_type = "webhooks_handed_over",
        reason = ended,
        "this node tells the webhooks' receiver no more"
    );
}

/// What a leader knows of its deliveries. Dropped, it ends them: whoever leads goes on from the committed cursor.
struct Duty<'a> {
    cluster: &'a Cluster,
    webhooks: &'a Arc<Webhooks>,
    /// As it is to be written next.
    cursor: Cursor,
    /// Of the committed one.
    revision: Option<LogPosition>,
    window: Window,
    room: Arc<Semaphore>,
    under_way: JoinSet<(u64, Subject, u64)>,
    /// One at a time.
    writing: JoinSet<Result<LogPosition, NotWritten>>,
    /// Whether something was delivered that the committed cursor does not say.
    is_told: bool,
}

impl Duty<'_> {
    /// Until it is over; why.
    async fn work(&mut self, mut events: EventStream) -> &'static str {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looked = 0_u32;
        loop {
            tokio::select! {
                event = events.next(), if self.window.has_room() => match event {
                    Ok(event) => self.take(&event),
                    Err(EventsError::Lost { after }) => self.lost(after),
                    Err(EventsError::Closed) => return "the node stops",
                },
                Some(settled) = self.under_way.join_next() => match settled {
                    Ok((number, subject, dropped)) => self.settle(number, subject, dropped),
                    // What it was to deliver is not settled: from the committed cursor on, everything anew.
                    Err(_) => return "a delivery failed to end",
                },
                Some(written) = self.writing.join_next() => match written {
                    Ok(Ok(revision)) => self.revision = Some(revision),
                    Ok(Err(NotWritten::Unknown)) | Err(_) => return "the cursor was moved elsewhere, or no quorum answered",
                    Ok(Err(error)) => {
                        tracing::error!(event_type = "webhook_failed", %error, "how far the webhooks' receiver was told is not kept");
                        // Nothing is skipped: after another look, all behind the committed one anew.
                        tokio::time::sleep(COMMIT_TIMEOUT).await;
                        return "the cursor is not kept";
                    }
                },
                _ = looks.tick() => {
                    if !self.cluster.leads() {
                        return "another node leads";
                    }
                    looked = looked.wrapping_add(1);
                }
            }
            self.webhooks.stats.pending.store(self.window.pending(), Ordering::Relaxed);
            let moved = self.window.reached().filter(|reached| Some(*reached) != self.cursor.after);
            if self.writing.is_empty() && (self.is_told || looked.is_multiple_of(LOOKS_PER_PASSED)) && moved.is_some() {
                self.write(moved);
            }
        }
    }

    fn take(&mut self, event: &Event) {
        if !self.webhooks.config.kinds.contains(&WebhookKind::of(&event.kind)) {
            self.window.pass(event.id);
        } else if let Some(turn) = self.window.take(subject_of(event), Message::of(event)) {
            self.start(turn);
        }
    }

    fn start(&mut self, Turn { number, subject, message }: Turn) {
        let (webhooks, cluster, room) = (Arc::clone(self.webhooks), self.cluster.clone(), Arc::clone(&self.room));
        self.under_way.spawn(async move {
            let dropped = delivery::deliver(webhooks, cluster, room, message).await;
            (number, subject, dropped)
        });
    }

    fn settle(&mut self, number: u64, subject: Subject, dropped: u64) {
        self.is_told = true;
        self.cursor.dead_dropped += dropped;
        if let Some(turn) = self.window.settle(number, subject) {
            self.start(turn);
        }
    }

    fn lost(&mut self, after: EventId) {
        self.cursor.lost += 1;
        WebhookStats::one(&self.webhooks.stats.lost_total);
        tracing::error!(
            event_type = "webhook_events_lost",
            %after,
            "events that the webhooks' receiver was not told are no longer kept: they are skipped, from the oldest kept one it goes on"
        );
    }

    fn write(&mut self, after: Option<EventId>) {
        self.is_told = false;
        self.cursor.after = after;
        let (cursor, cluster, revision) = (self.cursor.clone(), self.cluster.clone(), self.revision);
        self.writing.spawn(cursor.write(cluster, revision));
    }
}
