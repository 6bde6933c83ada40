//! Which of the events that were read may be told now, and how far all are settled.

use std::collections::{HashMap, VecDeque};

use vedfolnir_cluster::state::EventId;

use super::message::{Message, Subject};

/// Events that are read and not settled from the front on.
pub(super) const EVENTS_MAX: usize = 1_024;

/// See the module.
///
/// Invariants: `slots` are consecutive events in their order, the first not settled; a subject is in `subjects` exactly
/// while one of its messages is being delivered, and those behind that one wait there in their order.
#[derive(Debug, Default)]
pub(super) struct Window {
    slots: VecDeque<Slot>,
    /// The number of the first slot.
    first: u64,
    subjects: HashMap<Subject, VecDeque<(u64, Message)>>,
    /// Everything up to it is settled.
    reached: Option<EventId>,
    /// Messages that are not settled.
    pending: u64,
}

#[derive(Debug)]
struct Slot {
    id: EventId,
    settled: bool,
}

/// A message that may be delivered now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) number: u64,
    pub(super) subject: Subject,
    pub(super) message: Message,
}

impl Window {
    /// Whether there is room for another event.
    pub(super) fn has_room(&self) -> bool {
        self.slots.len() < EVENTS_MAX
    }

    /// Messages that are not settled.
    pub(super) const fn pending(&self) -> u64 {
        self.pending
    }

    /// The last event up to which all are settled; `None`: not even the first.
    pub(super) const fn reached(&self) -> Option<EventId> {
        self.reached
    }

    /// An event that nobody is told.
    pub(super) fn pass(&mut self, id: EventId) {
        self.slots.push_back(Slot { id, settled: true });
        self.advance();
    }

    /// The next event; its message, unless it has to wait for an earlier one of its subject.
    pub(super) fn take(&mut self, subject: Subject, message: Message) -> Option<Turn> {
        let number = self.first + self.slots.len() as u64;
        self.slots.push_back(Slot { id: message.id, settled: false });
        self.pending += 1;
        if let Some(waiting) = self.subjects.get_mut(&subject) {
            waiting.push_back((number, message));
            return None;
        }
        self.subjects.insert(subject.clone(), VecDeque::new());
        Some(Turn { number, subject, message })
    }

    /// A message is taken or given up; the next one of its subject, if there is one.
    pub(super) fn settle(&mut self, number: u64, subject: Subject) -> Option<Turn> {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(slot) = at.and_then(|at| self.slots.get_mut(at)).filter(|slot| !slot.settled) {
            slot.settled = true;
            self.pending -= 1;
        }
        self.advance();
        match self.subjects.get_mut(&subject).and_then(VecDeque::pop_front) {
            Some((number, message)) => Some(Turn { number, subject, message }),
            None => {
                self.subjects.remove(&subject);
                None
            }
        }
    }

    fn advance(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.settled) {
            self.reached = self.slots.pop_front().map(|slot| slot.id);
            self.first += 1;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use vedfolnir_cluster::state::LogPosition;

    use super::super::WebhookKind;
    use super::*;

    fn id(index: u64) -> EventId {
        EventId { history_id: 1, position: LogPosition::new(index, 0), ordinal: 0 }
    }

    fn message(index: u64) -> Message {
        Message { id: id(index), kind: WebhookKind::Closed, at_ms: 0, body: bytes::Bytes::new() }
    }

    fn of(sid: &str) -> Subject {
        Subject::Session("/".into(), sid.into())
    }

    #[test]
    fn the_cursor_is_the_end_of_what_is_settled_and_no_session_overtakes_itself() {
        let mut window = Window::default();
        let first = window.take(of("a"), message(1)).unwrap();
        assert_eq!(window.take(of("a"), message(2)), None, "behind the first");
        let other = window.take(of("b"), message(3)).unwrap();
        window.pass(id(4));
        assert_eq!((window.pending(), window.reached()), (3, None));
        assert_eq!(window.settle(other.number, other.subject), None);
        assert_eq!(window.reached(), None, "the first is not settled");
        let second = window.settle(first.number, first.subject).unwrap();
        assert_eq!((second.message.id, window.reached()), (id(2), Some(id(1))));
        assert_eq!(window.settle(second.number, second.subject), None);
        assert_eq!((window.pending(), window.reached()), (0, Some(id(4))));
        assert!(window.subjects.is_empty() && window.slots.is_empty());
        assert!(window.take(of("a"), message(5)).is_some(), "nothing of the session is under way any more");
    }

    #[test]
    fn what_is_read_ahead_is_bounded() {
        let mut window = Window::default();
        let stuck = window.take(of("stuck"), message(0)).unwrap();
        for index in 1..EVENTS_MAX as u64 {
            assert!(window.has_room());
            let turn = window.take(of(&format!("{index}")), message(index)).unwrap();
            window.settle(turn.number, turn.subject);
        }
        assert!(!window.has_room());
        window.settle(stuck.number, stuck.subject);
        assert!(window.has_room());
        assert_eq!(window.reached(), Some(id(EVENTS_MAX as u64 - 1)));
    }
}
