//! Following what happens to sessions and rooms: the replica's kept events as a stream, from a cursor on.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use tokio::sync::watch;
use vedfolnir_state::{Event, EventId};

use crate::handle::Inner;

/// Events taken from the replica at once.
const PAGE_EVENTS: usize = 256;

/// Where following begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsFrom {
    /// With what this replica has not seen yet.
    Now,
    /// With the oldest kept event.
    Oldest,
    /// After an event that has been processed, on whichever node.
    After(EventId),
}

/// Why a stream has no next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventsError {
    /// Events after the cursor are no longer kept, or the cursor is of another history. The stream goes on with the
    /// oldest kept event: whoever derives something from the events has to look at the state anew.
    #[error("events after {after} are no longer kept: the consumer was away for longer than they are, or is too slow")]
    Lost {
        /// The last event that was seen.
        after: EventId,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Closed,
}

/// What happens to sessions and rooms, in the one total order, from a cursor on.
///
/// It reads the local replica, so that it goes on over elections, snapshots and restarts, and on any other node, from the
/// id of the last event that was processed: every event exactly once. It buffers one page and never holds up the cluster:
/// a consumer that is slower than events are kept is told so.
#[derive(Debug)]
pub struct EventStream {
    node: Weak<Inner>,
    said: watch::Receiver<u64>,
    /// The last event that is in `page` or has been given out; `None`: from the oldest on.
    cursor: Option<EventId>,
    page: VecDeque<Arc<Event>>,
}

impl EventStream {
    pub(crate) fn open(node: &Arc<Inner>, from: EventsFrom) -> Self {
        let said = node.replica.said();
        let cursor = match from {
            EventsFrom::Now => node.replica.read(vedfolnir_state::State::events_end),
            EventsFrom::Oldest => None,
            EventsFrom::After(id) => Some(id),
        };
        Self { node: Arc::downgrade(node), said, cursor, page: VecDeque::new() }
    }

    /// The next event; waits for one. Cancel-safe.
    ///
    /// # Errors
    /// [`EventsError::Lost`], after which the stream goes on; [`EventsError::Closed`].
    pub async fn next(&mut self) -> Result<Arc<Event>, EventsError> {
        loop {
            if let Some(event) = self.page.pop_front() {
                return Ok(event);
            }
            // Before looking: what is said while looking wakes again.
            self.said.borrow_and_update();
            {
                let node = self.node.upgrade().ok_or(EventsError::Closed)?;
                let page = node.replica.read(|state| state.events_after(self.cursor, PAGE_EVENTS));
                let lost = self.cursor.filter(|_| page.hole);
                if page.hole || !page.events.is_empty() {
                    self.cursor = Some(page.events.last().map_or(page.after, |last| last.id));
                }
                self.page.extend(page.events);
                if let Some(after) = lost {
                    return Err(EventsError::Lost { after });
                }
                if self.page.is_empty() && node.proposer.is_closed() {
                    return Err(EventsError::Closed);
                }
            }
            if self.page.is_empty() {
                self.said.changed().await.map_err(|_| EventsError::Closed)?;
            }
        }
    }
}
