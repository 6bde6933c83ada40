//! Invariant I2, delivery: every message that was acknowledged as committed while a client was a member reaches that
//! client exactly once, in one order for all, without a gap.
//!
//! | broken promise | counted when |
//! |---|---|
//! | lost | a message is owed to a reception and not among its deliveries |
//! | duplicated | a reception has it more than once |
//! | out of order | a delivery stands before one that the common order puts ahead of it |
//! | phantom | it was refused or never published, or its room was never joined |
//!
//! A message is owed when its publish began after the join's acknowledgement and was known to be committed (acknowledged,
//! or seen by anybody) while the client stayed. What was in flight at a join or a leave may come or not.
//!
//! The common order is not read from any offset: those are opaque. It is whatever total order agrees with every
//! reception and with the order in which each publisher sent; if none exists, the deliveries that contradict the order
//! most of them agree on are counted. The work is linear in the number of deliveries.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

use crate::history::{History, MessageId, Outcome, Publish, Reception};

/// Violations that are kept word for word; further ones are only counted.
const EXAMPLES_MAX: usize = 10;

/// What the history proves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Deliveries that were owed.
    pub owed: u64,
    /// Deliveries that took place.
    pub delivered: u64,
    /// Owed and never made.
    pub lost: u64,
    /// Made again.
    pub duplicated: u64,
    /// Made after a later one.
    pub out_of_order: u64,
    /// Made without cause.
    pub phantom: u64,
    /// The first few violations, in words.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.out_of_order == 0 && self.phantom == 0
    }

    fn example(&mut self, words: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(words());
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} owed, {} delivered: {} lost, {} duplicated, {} out of order, {} phantom",
            self.owed, self.delivered, self.lost, self.duplicated, self.out_of_order, self.phantom
        )
    }
}

/// Judges a whole history.
#[must_use]
pub fn check_delivery(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let messages = Messages::of(history);
    let mut firsts = Vec::with_capacity(history.receptions.len());
    for (client, reception) in history.receptions.iter().enumerate() {
        let first = once_each(client, reception, &messages, &mut verdict);
        owed(client, reception, history, &messages, &first, &mut verdict);
        firsts.push(first);
    }
    let position = common_order(&firsts, &messages);
    for (client, first) in firsts.iter().enumerate() {
        let mut latest: Option<usize> = None;
        for &message in first {
            match latest {
                Some(before) if position[before] > position[message] => {
                    verdict.out_of_order += 1;
                    verdict.example(|| {
                        let (late, early) = (messages.ids[message], messages.ids[before]);
                        format!("client {client} received {late:?} after {early:?}, which follows it")
                    });
                }
                _ => latest = Some(message),
            }
        }
    }
    verdict
}

/// Every message that was published or delivered, by a dense number.
struct Messages {
    ids: Vec<MessageId>,
    numbers: HashMap<MessageId, usize>,
    /// As it was published; `None` for a phantom.
    publishes: Vec<Option<Publish>>,
    /// Whether anybody received it: then it was committed, whatever its publisher knows.
    seen: Vec<bool>,
}

impl Messages {
    fn of(history: &History) -> Self {
        let mut messages = Self { ids: Vec::new(), numbers: HashMap::new(), publishes: Vec::new(), seen: Vec::new() };
        for publish in &history.publishes {
            let number = messages.number(publish.id);
            messages.publishes[number] = Some(*publish);
        }
        for reception in &history.receptions {
            for &id in &reception.deliveries {
                let number = messages.number(id);
                messages.seen[number] = true;
            }
        }
        messages
    }

    fn number(&mut self, id: MessageId) -> usize {
        let next = self.ids.len();
        let number = *self.numbers.entry(id).or_insert(next);
        if number == next {
            self.ids.push(id);
            self.publishes.push(None);
            self.seen.push(false);
        }
        number
    }
}

/// The deliveries without repetition; counts repetitions and phantoms.
fn once_each(client: usize, reception: &Reception, messages: &Messages, verdict: &mut Verdict) -> Vec<usize> {
    let mut received = HashSet::with_capacity(reception.deliveries.len());
    let mut first = Vec::with_capacity(reception.deliveries.len());
    for id in &reception.deliveries {
        verdict.delivered += 1;
        let number = messages.numbers[id];
        if !received.insert(number) {
            verdict.duplicated += 1;
            verdict.example(|| format!("client {client} received {id:?} again"));
            continue;
        }
        first.push(number);
        let due = messages.publishes[number].is_some_and(|publish| {
            publish.outcome != Outcome::Failed
                && reception.memberships.iter().any(|membership| membership.room == publish.room)
        });
        if !due {
            verdict.phantom += 1;
            verdict.example(|| format!("client {client} received {id:?}, which was not published to it"));
        }
    }
    first
}

/// Counts what the reception was owed, and what of it never came.
fn owed(
    client: usize,
    reception: &Reception,
    history: &History,
    messages: &Messages,
    first: &[usize],
    verdict: &mut Verdict,
) {
    let received: HashSet<usize> = first.iter().copied().collect();
    for publish in &history.publishes {
        let number = messages.numbers[&publish.id];
        let is_owed = reception.memberships.iter().any(|membership| {
            membership.room == publish.room
                && membership.joined_at <= publish.invoked_at
                && match (publish.outcome, membership.left_at) {
                    (Outcome::Ok { at }, Some(left)) => at <= left,
                    (Outcome::Ok { .. }, None) => true,
                    // When an unanswered publish was committed nobody knows, but it was if anybody has it.
                    (Outcome::Unknown, None) => messages.seen[number],
                    (Outcome::Unknown, Some(_)) | (Outcome::Failed, _) => false,
                }
        });
        if !is_owed {
            continue;
        }
        verdict.owed += 1;
        if !received.contains(&number) {
            verdict.lost += 1;
            verdict.example(|| format!("client {client} never received {:?}", publish.id));
        }
    }
}

/// Each message's place in an order that agrees with every reception and every publisher, as far as one exists.
fn common_order(firsts: &[Vec<usize>], messages: &Messages) -> Vec<usize> {
    let count = messages.ids.len();
    let mut sent: Vec<usize> = (0..count).filter(|&message| messages.seen[message]).collect();
    sent.sort_unstable_by_key(|&message| messages.ids[message]);
    let sent_pairs = sent
        .windows(2)
        .filter(|pair| messages.ids[pair[0]].publisher == messages.ids[pair[1]].publisher)
        .map(|pair| (pair[0], pair[1]));
    let seen_pairs = firsts.iter().flat_map(|first| first.windows(2).map(|pair| (pair[0], pair[1])));

    let mut successors: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut distinct = HashSet::new();
    for (before, after) in sent_pairs.chain(seen_pairs) {
        if distinct.insert((before, after)) {
            successors[before].push(after);
        }
    }
    let mut waiting_for = vec![0_usize; count];
    for &after in successors.iter().flatten() {
        waiting_for[after] += 1;
    }

    // Kahn's algorithm. In a cycle no message is free: the one that was sent first breaks it, which never contradicts
    // the order of a publisher, so that what was contradicted is found among the deliveries.
    sent.sort_unstable_by_key(|&message| {
        let invoked_at = messages.publishes[message].map_or(u64::MAX, |publish| publish.invoked_at);
        (invoked_at, messages.ids[message])
    });
    let mut fallback = sent.into_iter();
    let mut free: VecDeque<usize> = (0..count).filter(|&message| waiting_for[message] == 0).collect();
    let mut position = vec![usize::MAX; count];
    let mut place = 0;
    loop {
        let next = match free.pop_front() {
            Some(next) => next,
            None => match fallback.find(|&message| position[message] == usize::MAX) {
                Some(next) => next,
                None => return position,
            },
        };
        if position[next] != usize::MAX {
            continue;
        }
        position[next] = place;
        place += 1;
        for &after in &successors[next] {
            waiting_for[after] = waiting_for[after].saturating_sub(1);
            if waiting_for[after] == 0 {
                free.push_back(after);
            }
        }
    }
}
