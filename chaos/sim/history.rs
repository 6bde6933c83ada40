//! What happened, for the invariants: operations of sessions, publishes, deliveries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use vedfolnir_chaos::{MessageId, Outcome, Publish};
use vedfolnir_cluster::state::{Epoch, Incarnation, LogPosition, PidHash, ResumeRefusal};
use vedfolnir_sim_world::{clock, random, trace};

use crate::invariants::{Operation, registry, store};
use crate::store::revision_of;

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// I1 to I8.
    pub invariant: &'static str,
    /// What was found.
    pub what: String,
}

/// What one session's application saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reception {
    /// In the order of arrival.
    pub(crate) deliveries: Vec<(LogPosition, MessageId)>,
    /// (room, joined at, asked to leave at).
    pub(crate) memberships: Vec<(u32, u64, Option<u64>)>,
    /// It will not be resumed: closed, or it could not be.
    pub(crate) over: bool,
}

/// A publish and where it was addressed.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) publish: Publish,
    /// To one room and nobody left out: the oracle's kind.
    pub(crate) plain: bool,
}

/// A resume that was refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) pid: PidHash,
    pub(crate) refusal: ResumeRefusal,
    pub(crate) at_us: u64,
}

/// Everything recorded.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) operations: Operations<PidHash, registry::Call, registry::Answer>,
    /// On the key-value store, by key.
    pub(crate) store: Operations<Arc<str>, store::Call, store::Answer>,
    pub(crate) writes: store::Write,
    pub(crate) sent: BTreeMap<MessageId, Sent>,
    pub(crate) receptions: BTreeMap<PidHash, Reception>,
    /// Who served a session under an epoch.
    pub(crate) owners: BTreeMap<(PidHash, Epoch), Incarnation>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) violations: Vec<Violation>,
    /// Clients that had a publish acknowledged since the last phase began.
    pub(crate) served: BTreeSet<u32>,
    /// Clients that hold a connected session.
    pub(crate) connected: BTreeMap<u32, PidHash>,
    /// Clients that resumed elsewhere in the last phase.
    pub(crate) resumed: BTreeSet<u32>,
    pub(crate) counts: Counts,
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Publishes acknowledged.
    pub published: u64,
    /// Events that reached a client.
    pub delivered: u64,
    /// Sessions taken up again.
    pub resumed: u64,
    /// Sessions that could not be.
    pub lost: u64,
    /// Operations whose outcome nobody knows.
    pub unknown: u64,
}

/// The recorder; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Recorder(pub(crate) Arc<Mutex<History>>);

/// Operations by what they are on.
type Operations<K, C, A> = BTreeMap<K, Vec<Operation<C, A>>>;

/// One operation under way on a node.
pub(crate) struct Pending<K, C, A> {
    recorder: Recorder,
    of: fn(&mut History) -> &mut Operations<K, C, A>,
    on: K,
    at: usize,
}

impl Recorder {
    pub(crate) fn violation(&self, invariant: &'static str, what: String) {
        trace::tell(&format!("{invariant}: {what}"));
        self.0.lock().violations.push(Violation { invariant, what });
    }

    pub(crate) fn invoke(
        &self,
        pid: PidHash,
        call: registry::Call,
    ) -> Pending<PidHash, registry::Call, registry::Answer> {
        self.begin(|history| &mut history.operations, pid, call)
    }

    pub(crate) fn invoke_on_store(
        &self,
        key: &Arc<str>,
        call: store::Call,
    ) -> Pending<Arc<str>, store::Call, store::Answer> {
        self.begin(|history| &mut history.store, Arc::clone(key), call)
    }

    fn begin<K: Ord + Clone, C, A>(
        &self,
        of: fn(&mut History) -> &mut Operations<K, C, A>,
        on: K,
        call: C,
    ) -> Pending<K, C, A> {
        let mut history = self.0.lock();
        let operations = of(&mut history).entry(on.clone()).or_default();
        operations.push(Operation { call, answer: None, invoked_us: clock::now_us(), returned_us: u64::MAX });
        Pending { recorder: self.clone(), of, on, at: operations.len() - 1 }
    }

    /// A number that no other write has.
    pub(crate) fn next_write(&self) -> store::Write {
        let mut history = self.0.lock();
        history.writes += 1;
        history.writes
    }

    /// The newest that anybody was told of this key.
    pub(crate) fn last_revision(&self, key: &str) -> Option<LogPosition> {
        let history = self.0.lock();
        let answers = history.store.get(key)?.iter().filter_map(|operation| operation.answer);
        answers.filter_map(revision_of).max()
    }

    /// One of the sessions that are held at present.
    pub(crate) fn any_session(&self) -> Option<PidHash> {
        let history = self.0.lock();
        let held: Vec<PidHash> =
            history.receptions.iter().filter(|(_, session)| !session.over).map(|(pid, _)| *pid).collect();
        (!held.is_empty()).then(|| random::pick(&held))
    }

    /// A node begins to serve a session under an epoch.
    pub(crate) fn serves(&self, pid: PidHash, epoch: Epoch, by: Incarnation) {
        let known = *self.0.lock().owners.entry((pid, epoch)).or_insert(by);
        if known != by {
            self.violation("I4", format!("{pid:?} is served under epoch {epoch} by {known} and by {by}"));
        }
    }

    pub(crate) fn sent(&self, id: MessageId, room: u32, plain: bool) {
        let publish = Publish { id, room, invoked_at: clock::now_us(), outcome: Outcome::Unknown };
        self.0.lock().sent.insert(id, Sent { publish, plain });
    }

    pub(crate) fn published(&self, client: u32, id: MessageId, done: bool) {
        let mut history = self.0.lock();
        if let Some(sent) = history.sent.get_mut(&id) {
            sent.publish.outcome = if done { Outcome::Ok { at: clock::now_us() } } else { Outcome::Failed };
        }
        if done {
            history.counts.published += 1;
            history.served.insert(client);
        }
    }

    pub(crate) fn reception<R>(&self, pid: PidHash, change: impl FnOnce(&mut Reception) -> R) -> R {
        change(self.0.lock().receptions.entry(pid).or_default())
    }
}

impl<K: Ord, C, A> Pending<K, C, A> {
    pub(crate) fn answered(self, answer: A) {
        let mut history = self.recorder.0.lock();
        if let Some(operation) = (self.of)(&mut history).get_mut(&self.on).and_then(|all| all.get_mut(self.at)) {
            operation.answer = Some(answer);
            operation.returned_us = clock::now_us();
        }
    }

    /// Nobody knows whether it took place.
    pub(crate) fn unknown(self) {
        self.recorder.0.lock().counts.unknown += 1;
    }
}
