//! Invariant I2, delivery: what reaches a session's application is, position by position, what the log owes it.
//!
//! Two judges that share nothing with the replay under test. What the log owes is gathered here from the effects of
//! its entries (who is in which room when something is said); the oracle of the load generator and the end-to-end
//! tests looks at acknowledgements alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vedfolnir_chaos as chaos;
use vedfolnir_cluster::probe::Entry;
use vedfolnir_cluster::state::{Effect, LogPosition, PidHash, Record};

use crate::history::{History, Recorder};
use crate::service::message_of;

/// What each session is owed.
#[derive(Default)]
pub(crate) struct Expected {
    rooms: BTreeMap<PidHash, BTreeSet<Arc<str>>>,
    owed: BTreeMap<PidHash, Vec<LogPosition>>,
    said: BTreeMap<chaos::MessageId, LogPosition>,
}

impl Expected {
    pub(crate) fn read(&mut self, entry: &Entry, recorder: &Recorder) {
        for at in &entry.effects {
            match &at.effect {
                Effect::Opened(opened) => {
                    self.rooms.entry(opened.pid).or_insert_with(|| opened.rooms.iter().cloned().collect());
                }
                Effect::Joined { pid, room } => drop(self.rooms.entry(*pid).or_default().insert(Arc::clone(room))),
                Effect::Left { pid, room } => drop(self.rooms.entry(*pid).or_default().remove(room)),
                Effect::Ended { pid, .. } => drop(self.rooms.remove(pid)),
                Effect::Deliver { record, .. } => self.deliver(at.position, record, recorder),
                _ => {}
            }
        }
    }

    fn deliver(&mut self, position: LogPosition, record: &Record, recorder: &Recorder) {
        if let Some(id) = message_of(&record.payload.text)
            && let Some(before) = self.said.insert(id, position)
        {
            recorder.violation("I2", format!("{id:?} was committed at {before} and again at {position}"));
        }
        for (pid, rooms) in &self.rooms {
            let addressed = record.rooms.is_empty() || record.rooms.iter().any(|room| rooms.contains(room));
            if addressed && !record.except.iter().any(|room| rooms.contains(room)) {
                self.owed.entry(*pid).or_default().push(position);
            }
        }
    }

    /// What a session is owed so far.
    pub(crate) fn owed(&self, pid: &PidHash) -> &[LogPosition] {
        self.owed.get(pid).map_or(&[], Vec::as_slice)
    }

    /// Compares what arrived with what was owed: a prefix of it, and all of it for sessions that still are.
    pub(crate) fn judge(&self, history: &History, settled: bool, recorder: &Recorder) {
        for (pid, reception) in &history.receptions {
            let owed = self.owed(pid);
            let arrived: Vec<LogPosition> = reception.deliveries.iter().map(|(position, _)| *position).collect();
            let differs = arrived.iter().zip(owed).position(|(arrived, owed)| arrived != owed);
            if let Some(at) = differs.or((arrived.len() > owed.len()).then_some(owed.len())) {
                let (found, wanted) = (arrived[at], owed.get(at).copied());
                let kind = match wanted {
                    _ if arrived[..at].contains(&found) => "again",
                    Some(wanted) if found > wanted => "with a gap before it",
                    _ => "though it is not owed",
                };
                recorder.violation(
                    "I2",
                    format!("{pid:?} received {found} {kind}: its delivery number {at}, owed was {wanted:?}"),
                );
            } else if settled && !reception.over && arrived.len() < owed.len() {
                recorder.violation(
                    "I2",
                    format!("{pid:?} received {} of {} events and nothing more came", arrived.len(), owed.len()),
                );
            }
        }
        for pair in self.said.iter().collect::<Vec<_>>().windows(2) {
            let ((before, first), (after, second)) = (pair[0], pair[1]);
            if before.publisher == after.publisher && second < first {
                recorder.violation(
                    "I2",
                    format!("{before:?} was sent before {after:?}, and is committed at {first}, behind {second}"),
                );
            }
        }
        for (id, sent) in &history.sent {
            if matches!(sent.publish.outcome, chaos::Outcome::Ok { .. }) && !self.said.contains_key(id) {
                recorder.violation("I2", format!("{id:?} was acknowledged and is not in the log"));
            }
            if sent.publish.outcome == chaos::Outcome::Failed && self.said.contains_key(id) {
                recorder.violation("I2", format!("{id:?} was refused and is in the log"));
            }
        }
    }
}

/// The oracle's verdict on what is its kind: publishes to one room that leave nobody out.
pub(crate) fn consult_oracle(history: &History, recorder: &Recorder) {
    let plain = |id: &chaos::MessageId| history.sent.get(id).is_some_and(|sent| sent.plain);
    let publishes = history.sent.values().filter(|sent| sent.plain).map(|sent| sent.publish).collect();
    let receptions = history.receptions.values().map(|reception| {
        let memberships = reception.memberships.iter().map(|(room, joined_at, left_at)| chaos::Membership {
            room: *room,
            joined_at: *joined_at,
            // Nobody knows what was still on its way to a session that is over.
            left_at: if reception.over { Some(*joined_at) } else { *left_at },
        });
        let deliveries = reception.deliveries.iter().map(|(_, id)| *id).filter(plain);
        chaos::Reception { memberships: memberships.collect(), deliveries: deliveries.collect() }
    });
    let verdict = chaos::check_delivery(&chaos::History { publishes, receptions: receptions.collect() });
    if !verdict.is_clean() {
        recorder.violation("I2", format!("the oracle: {verdict}; {}", verdict.examples.join("; ")));
    }
}
