//! Live and catching up: every interleaving of dispatcher and connection task gives one gapless sequence.

use std::collections::HashSet;

use super::*;

fn event(text: String) -> EncodedEvent {
    EncodedEvent { text: text.into(), attachments: Vec::new() }
}

fn at(index: u64) -> LogPosition {
    LogPosition::new(index, 0)
}

fn drain(outbox: &Outbox) -> Vec<String> {
    let mut out = Vec::new();
    outbox.take(&mut out, usize::MAX);
    out.iter().map(|frame| String::from_utf8(frame.event().unwrap().text.to_vec()).unwrap()).collect()
}

fn live(limits: OutboxLimits) -> Outbox {
    let outbox = Outbox::new(limits, at(0));
    assert!(outbox.try_live(at(0), || 0));
    outbox
}

fn push(outbox: &Outbox, index: u64) -> Pushed {
    outbox.push_live(at(index), &Arc::new(event(index.to_string())), None)
}

/// The steps of both sides as atomic as their locks make them.
///
/// Invariant checked in every state: what the connection took is 1, 2, … without a gap or a repetition, and all of it
/// in the end. `pulling` holds the cursor because a pull reads it before the replica.
#[derive(Clone)]
struct Model {
    /// Entries applied to the replica so far; entry i is record i.
    applied: u64,
    dispatched: u64,
    /// Entries that the dispatcher has visited the socket for.
    visited: u64,
    /// What the outbox has, modelled by replaying the same calls on a real one.
    calls: Vec<Call>,
    /// A pull that has read the replica and not yet stored its result: (cursor, applied at the read).
    pulling: Option<(u64, u64)>,
    /// A pull that has stored its result and not yet tried to go live.
    trying: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Push(u64),
    Replayed(u64, u64),
    TryLive { applied: u64, dispatched: u64 },
    Take,
}

const ENTRIES: u64 = 5;

fn outbox_after(calls: &[Call]) -> (Outbox, Vec<u64>) {
    // Two frames at most: the third push of an unread queue overflows.
    let outbox = Outbox::new(OutboxLimits { bytes_max: 1_000, frames_max: 2 }, at(0));
    let mut taken = Vec::new();
    for call in calls {
        match *call {
            Call::Push(index) => {
                push(&outbox, index);
            }
            Call::Replayed(from, to) => {
                let events = (from + 1..=to).map(|index| (at(index), event(index.to_string())));
                outbox.replayed(events, LogPosition::end_of(to));
            }
            Call::TryLive { applied, dispatched } => {
                outbox.try_live(LogPosition::end_of(applied), || dispatched);
            }
            Call::Take => taken.extend(drain(&outbox).iter().map(|text| text.parse::<u64>().unwrap())),
        }
    }
    (outbox, taken)
}

impl Model {
    /// Everything that decides what can happen from here on.
    fn key(&self, outbox: &Outbox, taken: &[u64]) -> String {
        let queue = outbox.queue.lock();
        let (applied, dispatched, visited) = (self.applied, self.dispatched, self.visited);
        format!("{applied} {dispatched} {visited} {:?} {:?} {queue:?} {taken:?}", self.pulling, self.trying)
    }

    fn explore(&self, seen: &mut HashSet<String>, finished: &mut u64) {
        let (outbox, taken) = outbox_after(&self.calls);
        if !seen.insert(self.key(&outbox, &taken)) {
            return;
        }
        assert!(taken.iter().copied().eq(1..=taken.len() as u64), "{taken:?} by {:?}", self.calls);
        let handed = outbox.handed();
        assert_eq!(handed.up_to, at(taken.len() as u64), "what was taken is known, by {:?}", self.calls);
        assert_eq!(handed.waiting_events, outbox.queue.lock().frames.len());
        let mut next = Vec::new();
        if self.applied < ENTRIES {
            next.push(Self { applied: self.applied + 1, ..self.clone() });
        }
        if self.dispatched < self.applied && self.dispatched == self.visited {
            next.push(Self { dispatched: self.dispatched + 1, ..self.clone() });
        }
        if self.visited < self.dispatched {
            next.push(self.then(Call::Push(self.dispatched), |next| next.visited = next.dispatched));
        }
        if let Some((cursor, read_at)) = self.pulling {
            next.push(self.then(Call::Replayed(cursor, read_at), |next| {
                next.pulling = None;
                next.trying = Some(read_at);
            }));
        } else if let Some(applied) = self.trying {
            let dispatched = self.dispatched;
            next.push(self.then(Call::TryLive { applied, dispatched }, |next| next.trying = None));
        } else if !outbox.queue.lock().frames.is_empty() {
            next.push(self.then(Call::Take, |_| {}));
        } else if let Some(cursor) = outbox.pull_from() {
            next.push(Self { pulling: Some((cursor.index, self.applied)), ..self.clone() });
        }
        if next.is_empty() {
            assert_eq!(taken, (1..=ENTRIES).collect::<Vec<_>>(), "{:?}", self.calls);
            *finished += 1;
        }
        for next in next {
            next.explore(seen, finished);
        }
    }

    fn then(&self, call: Call, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        next.calls.push(call);
        change(&mut next);
        next
    }
}

#[test]
fn every_interleaving_gives_one_gapless_sequence() {
    let start = Model { applied: 0, dispatched: 0, visited: 0, calls: Vec::new(), pulling: None, trying: None };
    let (mut seen, mut finished) = (HashSet::new(), 0);
    start.explore(&mut seen, &mut finished);
    assert!(finished > 0 && seen.len() > 500, "only {} states were explored", seen.len());
    assert!(seen.iter().any(|state| state.contains("Live")), "no run went live");
}

#[test]
fn an_overflow_remembers_where_to_go_on() {
    let outbox = live(OutboxLimits { bytes_max: 4, frames_max: 100 });
    for index in 1..=4 {
        assert!(matches!(push(&outbox, index), Pushed::Queued { .. }));
    }
    assert_eq!(push(&outbox, 9), Pushed::Overflowed);
    assert_eq!(push(&outbox, 10), Pushed::Ignored);
    assert_eq!(outbox.pull_from(), None, "what is queued is written first");
    assert_eq!(drain(&outbox), ["1", "2", "3", "4"]);
    assert_eq!(outbox.pull_from(), Some(LogPosition::end_of(8)), "everything before the overflow was seen");
}

#[test]
fn going_live_waits_for_what_was_dispatched_meanwhile() {
    let outbox = Outbox::new(OutboxLimits::default(), at(1));
    outbox.replayed(std::iter::empty(), LogPosition::end_of(5));
    assert!(!outbox.try_live(LogPosition::end_of(5), || 6));
    assert_eq!(push(&outbox, 6), Pushed::Ignored);
    assert!(!outbox.try_live(LogPosition::end_of(6), || 6), "6 was not pulled yet");
    outbox.replayed(std::iter::empty(), LogPosition::end_of(6));
    assert!(outbox.try_live(LogPosition::end_of(6), || 6));
    assert_eq!(push(&outbox, 6), Pushed::Ignored);
    assert_eq!(push(&outbox, 7), Pushed::Queued { first: true });
}

#[test]
fn acks_stand_behind_the_emits_made_before_them() {
    let outbox = live(OutboxLimits { bytes_max: 1, frames_max: 1 });
    push(&outbox, 1);
    outbox.push_ack(1, event("ack of 1".into()));
    assert_eq!(push(&outbox, 2), Pushed::Overflowed);
    outbox.push_ack(2, event("ack of 2".into()));
    outbox.push_ack(1, event("another of 1".into()));
    assert_eq!(drain(&outbox), ["1", "ack of 1", "another of 1"]);
    outbox.replayed(std::iter::once((at(2), event("2".into()))), at(2));
    assert_eq!(outbox.handed().waiting_events, 1, "an ack is no event");
    assert_eq!(drain(&outbox), ["2", "ack of 2"]);
}

#[test]
fn questions_stand_where_acks_do_and_are_refused_while_too_much_waits() {
    let outbox = live(OutboxLimits { bytes_max: 10, frames_max: 3 });
    assert!(outbox.push_ask(0, event("larger than ten bytes".into())).is_some(), "alone it goes");
    assert_eq!(outbox.push_ask(0, event("x".into())), None);
    drain(&outbox);
    push(&outbox, 1);
    assert_eq!(outbox.push_ask(1, event("a".into())), Some(Pushed::Queued { first: false }));
    outbox.push_ask(1, event("b".into()));
    assert_eq!(outbox.push_ask(1, event("c".into())), None, "a fourth frame");
    assert_eq!(push(&outbox, 2), Pushed::Overflowed);
    assert_eq!(drain(&outbox), ["1", "a", "b"]);
    for question in ["c", "d", "e"] {
        assert!(outbox.push_ask(2, event(question.into())).is_some());
    }
    assert_eq!(outbox.push_ask(2, event("f".into())), None, "what is held counts, too");
    outbox.replayed(std::iter::once((at(2), event("2".into()))), at(2));
    assert_eq!(drain(&outbox), ["2", "c", "d", "e"]);
    outbox.close();
    assert_eq!(outbox.push_ask(0, event("x".into())), Some(Pushed::Ignored));
}

#[test]
fn volatile_events_carry_the_cursor_and_yield() {
    let outbox = live(OutboxLimits { bytes_max: 10, frames_max: 10 });
    let volatile = |completed| outbox.push_volatile(completed, |cursor| event(format!("v{}", cursor.index)));
    push(&outbox, 3);
    assert_eq!(volatile(2), Pushed::Queued { first: false });
    assert_eq!(volatile(4), Pushed::Queued { first: false });
    assert_eq!(drain(&outbox), ["3", "v3", "v4"]);
    outbox.push_ack(0, event("longer than ten bytes".into()));
    assert_eq!(volatile(5), Pushed::Ignored);
    drain(&outbox);
    outbox.catch_up(5);
    assert_eq!(volatile(5), Pushed::Ignored);
    assert_eq!(outbox.pull_from(), Some(LogPosition::end_of(5)));
    outbox.close();
    assert_eq!(outbox.push_ack(0, event("x".into())), Pushed::Ignored);
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn taking_stops_at_the_budget() {
    let outbox = live(OutboxLimits::default());
    for index in 1..=5 {
        push(&outbox, index);
    }
    let mut out = Vec::new();
    assert_eq!(outbox.take(&mut out, 2), 2);
    assert_eq!((out.len(), outbox.bytes()), (2, 3));
}
