//! Invariant I4, single owner: nothing of a life that was declared down is executed, nothing of an epoch is accepted
//! after the next one, an epoch follows its predecessor, and a life's sequences are executed once and densely.

use std::collections::{BTreeMap, BTreeSet};

use vedfolnir_cluster::probe::Entry;
use vedfolnir_cluster::state::{Command, Effect, Epoch, Incarnation, Origin, Outcome, PidHash, PublishOnce, Response};

use crate::history::Recorder;

/// What the log says about lives and epochs, read from effects alone.
#[derive(Default)]
pub(crate) struct Owners {
    live: BTreeSet<Incarnation>,
    epochs: BTreeMap<PidHash, (Epoch, bool)>,
    sequences: BTreeMap<Incarnation, u64>,
}

impl Owners {
    pub(crate) fn read(&mut self, entry: &Entry, recorder: &Recorder) {
        let index = entry.index;
        if let (Some(proposal), Some(Outcome::Executed { skipped, responses })) = (&entry.proposal, &entry.outcome) {
            if let Origin::Node { incarnation, first_sequence } = proposal.origin
                && !responses.is_empty()
            {
                if !self.live.contains(&incarnation) {
                    recorder.violation("I4", format!("index {index}: {incarnation} is not live and was executed"));
                }
                let first = first_sequence + *skipped as u64;
                let last = self.sequences.entry(incarnation).or_default();
                if first != *last + 1 {
                    recorder.violation(
                        "I4",
                        format!("index {index}: sequence {first} of {incarnation} was executed after {last}"),
                    );
                }
                *last = first + responses.len() as u64 - 1;
            }
            for (at, (command, response)) in proposal.commands.iter().skip(*skipped).zip(responses).enumerate() {
                let by =
                    acts_under(command).filter(|_| matches!(response, Response::Done | Response::Published { .. }));
                let ordinal = (skipped + at) as u32;
                if let Some((pid, epoch)) = by
                    && self.epochs.get(&pid) != Some(&(epoch, true))
                {
                    let known = self.epochs.get(&pid);
                    recorder.violation(
                        "I4",
                        format!("index {index}: {pid:?} acts under epoch {epoch}, but (epoch, connected) is {known:?}"),
                    );
                }
                self.read_effects(entry, ordinal, recorder);
            }
        }
    }

    /// The effects of one command.
    fn read_effects(&mut self, entry: &Entry, ordinal: u32, recorder: &Recorder) {
        for at in entry.effects.iter().filter(|at| at.position.ordinal == ordinal) {
            match &at.effect {
                Effect::NodeUp { incarnation, .. } => drop(self.live.insert(*incarnation)),
                Effect::NodeDown { incarnation } => drop(self.live.remove(incarnation)),
                Effect::Opened(opened) => {
                    let known = self.epochs.insert(opened.pid, (opened.epoch, true));
                    let expected = known.map_or(1, |(epoch, _)| epoch + 1);
                    if opened.epoch != expected {
                        let (pid, epoch) = (opened.pid, opened.epoch);
                        recorder.violation(
                            "I4",
                            format!("index {}: {pid:?} opened under epoch {epoch}, {expected} was next", entry.index),
                        );
                    }
                }
                Effect::Disconnected { pid, .. } => {
                    if let Some((_, connected)) = self.epochs.get_mut(pid) {
                        *connected = false;
                    }
                }
                Effect::Ended { pid, .. } => drop(self.epochs.remove(pid)),
                _ => {}
            }
        }
    }
}

/// Under whose epoch a command acts.
fn acts_under(command: &Command) -> Option<(PidHash, Epoch)> {
    match command {
        Command::Join { pid, epoch, .. }
        | Command::Leave { pid, epoch, .. }
        | Command::SetData { pid, epoch, .. }
        | Command::Disconnect { pid, epoch }
        | Command::Close { pid, epoch } => Some((*pid, *epoch)),
        Command::Publish(publish) | Command::PublishOnce(PublishOnce { publish, .. }) => publish.from,
        _ => None,
    }
}
