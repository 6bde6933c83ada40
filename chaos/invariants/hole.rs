//! What a client may honestly be refused: more was published since its last message than nodes keep for replays. It is told
//! `recovered=false`, and is owed nothing of what it missed; whoever missed less is owed everything.

use std::collections::HashMap;

use crate::clock::Nanos;
use crate::history::MessageId;
use crate::record::{Connect, ListenerLog, Record, SessionLog};

/// What nodes keep for replays, as it was set, and what messages come to.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// What is kept, in bytes.
    pub history_bytes_max: u64,
    /// The most that a message comes to there.
    pub message_bytes_max: u64,
}

/// When each message was published.
pub(super) struct Holes {
    retention: Retention,
    by_id: HashMap<MessageId, Nanos>,
    /// In order.
    times: Vec<Nanos>,
}

impl Holes {
    pub(super) fn of(record: &Record, retention: Retention) -> Self {
        let by_id: HashMap<_, _> = record.publishes.iter().map(|publish| (publish.id, publish.invoked_at)).collect();
        let mut times: Vec<_> = by_id.values().copied().collect();
        times.sort_unstable();
        Self { retention, by_id, times }
    }

    /// When the last message that a session received was published.
    fn last_seen(&self, session: &SessionLog) -> Option<Nanos> {
        session.deliveries.iter().filter_map(|(id, _)| self.by_id.get(id)).copied().max()
    }

    /// From when on a session is owed nothing, because it had fallen out of what is kept when `next` began: `None` when it had not.
    fn begins(&self, session: &SessionLog, next: &Connect) -> Option<Nanos> {
        let seen = self.last_seen(session)?;
        let from = self.times.partition_point(|at| *at <= seen);
        let to = self.times.partition_point(|at| *at <= next.at);
        let missed = to.saturating_sub(from) as u64;
        (missed.saturating_mul(self.retention.message_bytes_max) > self.retention.history_bytes_max).then_some(seen)
    }

    /// From when on each of a client's sessions is owed nothing; `None`: to its end.
    pub(super) fn of_sessions(&self, listener: &ListenerLog) -> Vec<Option<Nanos>> {
        let mut begun = listener.connects.iter().skip(1).filter(|connect| !connect.recovered);
        listener.receptions.iter().map(|session| self.begins(session, begun.next()?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome;
    use crate::record::{ListenerKind, PublishLog};

    const RETENTION: Retention = Retention { history_bytes_max: 1_000, message_bytes_max: 100 };

    fn id(sequence: u64) -> MessageId {
        MessageId { publisher: 0, sequence }
    }

    fn connect(at: Nanos, recovered: bool) -> Connect {
        Connect { began: at, at, node: None, recovered, sid: String::new() }
    }

    /// A client that has received message 0, published at 1, and comes back as somebody new when so many more were published.
    fn hole_after(missed: u64) -> Option<Nanos> {
        let publishes = (0..=missed)
            .map(|at| PublishLog { id: id(at), room: 0, invoked_at: at + 1, outcome: Outcome::Unknown })
            .collect();
        let record = Record { publishes, ..Record::default() };
        let listener = ListenerLog {
            name: String::new(),
            kind: ListenerKind::Own,
            connects: vec![connect(0, false), connect(50, true), connect(100, false)],
            disconnects: vec![],
            receptions: vec![SessionLog { rooms: vec![], deliveries: vec![(id(0), 2)] }, SessionLog::default()],
        };
        let holes = Holes::of(&record, RETENTION).of_sessions(&listener);
        assert_eq!(holes.len(), 2);
        assert_eq!(holes[1], None, "the last session has no end");
        holes[0]
    }

    #[test]
    fn who_missed_more_than_is_kept_is_owed_nothing_after_what_it_saw() {
        assert_eq!(hole_after(11), Some(1));
    }

    #[test]
    fn who_missed_no_more_than_is_kept_is_owed_all_of_it() {
        assert_eq!(hole_after(10), None);
    }
}
