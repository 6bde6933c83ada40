//! Invariant I3, acknowledged session: whoever was told of a session can resume it inside its window, with its rooms.

use std::collections::BTreeMap;

use vedfolnir_cluster::probe::Entry;
use vedfolnir_cluster::state::{Command, Effect, EndReason, PidHash, ResumeRefusal};

use crate::history::{History, Recorder};

/// When sessions were disconnected and ended, in committed cluster time and in the world's.
#[derive(Default)]
pub(crate) struct Windows {
    window_ms: u64,
    time_ms: u64,
    disconnected: BTreeMap<PidHash, (u64, u64)>,
    /// When the end of a session was first applied anywhere.
    ended_us: BTreeMap<PidHash, u64>,
}

/// The fastest clock there is, against the world's, per mille.
const CLOCK_PER_MILLE_MAX: u64 = 1_100;

impl Windows {
    pub(crate) fn read(&mut self, entry: &Entry, recorder: &Recorder) {
        for command in entry.proposal.iter().flat_map(|proposal| &proposal.commands) {
            match command {
                Command::Configure(configuration) => self.window_ms = configuration.recovery_window_ms,
                Command::Tick { elapsed_ms } => self.time_ms += u64::from(*elapsed_ms),
                _ => {}
            }
        }
        for effect in entry.effects() {
            match effect {
                Effect::Disconnected { pid, .. } => drop(self.disconnected.insert(*pid, (self.time_ms, entry.at_us))),
                Effect::Opened(opened) => drop(self.disconnected.remove(&opened.pid)),
                Effect::Ended { pid, reason, .. } => {
                    self.ended_us.insert(*pid, entry.at_us);
                    let since = self.disconnected.remove(pid);
                    if *reason == EndReason::Expired {
                        self.judge_expiry(*pid, since, entry, recorder);
                    }
                }
                _ => {}
            }
        }
    }

    fn judge_expiry(&self, pid: PidHash, since: Option<(u64, u64)>, entry: &Entry, recorder: &Recorder) {
        let Some((since_ms, since_us)) = since else {
            recorder.violation("I3", format!("{pid:?} expired at index {} while it was connected", entry.index));
            return;
        };
        let cluster_ms = self.time_ms - since_ms;
        // Replicas apply at different moments: a step of the world is granted.
        let world_ms = (entry.at_us.saturating_sub(since_us) / 1_000 + 100) * CLOCK_PER_MILLE_MAX / 1_000;
        if cluster_ms < self.window_ms || world_ms < self.window_ms.saturating_sub(2_000) {
            recorder.violation(
                "I3",
                format!(
                    "{pid:?} expired at index {} after {cluster_ms} ms of cluster time, {world_ms} ms of the world's; \
                     its window is {} ms",
                    entry.index, self.window_ms
                ),
            );
        }
    }

    /// Whether the refusals of resumes were honest.
    pub(crate) fn judge(&self, history: &History, holes: bool, recorder: &Recorder) {
        for refused in &history.refused {
            let honest = match refused.refusal {
                ResumeRefusal::Unknown => self.ended_us.get(&refused.pid).is_some_and(|at| *at <= refused.at_us),
                ResumeRefusal::Hole => holes,
                ResumeRefusal::EpochMoved => true,
                ResumeRefusal::Foreign | ResumeRefusal::BadOffset => false,
            };
            if !honest {
                let (pid, refusal) = (refused.pid, refused.refusal);
                recorder.violation("I3", format!("{pid:?} could not be resumed ({refusal:?}) inside its window"));
            }
        }
    }
}
