//! Invariant I3, acknowledged session: whoever was told of a session can resume it inside its window, with its rooms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use vedfolnir_cluster::probe::Entry;
use vedfolnir_cluster::state::{Command, Effect, EndReason, Outcome, PidHash, Response, ResumeRefusal};

use crate::history::{History, Recorder};

/// What a session is to be found with, by the commands that were done.
struct Known {
    sid: Arc<str>,
    rooms: BTreeSet<Arc<str>>,
    data: Bytes,
}

/// When sessions were disconnected and ended, in committed cluster time and in the world's.
#[derive(Default)]
pub(crate) struct Windows {
    window_ms: u64,
    time_ms: u64,
    disconnected: BTreeMap<PidHash, (u64, u64)>,
    known: BTreeMap<PidHash, Known>,
    /// When the end of a session was first applied anywhere.
    ended_us: BTreeMap<PidHash, u64>,
}

/// The fastest clock there is, against the world's, per mille.
const CLOCK_PER_MILLE_MAX: u64 = 1_100;

impl Windows {
    pub(crate) fn read(&mut self, entry: &Entry, recorder: &Recorder) {
        if let (Some(proposal), Some(Outcome::Executed { skipped, responses })) = (&entry.proposal, &entry.outcome) {
            for (command, response) in proposal.commands.iter().skip(*skipped).zip(responses) {
                self.read_command(entry.index, command, response, recorder);
            }
        }
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

    fn read_command(&mut self, index: u64, command: &Command, response: &Response, recorder: &Recorder) {
        match (command, response) {
            (Command::Register(register), Response::Registered { .. }) => {
                let (sid, data) = (Arc::clone(&register.sid), register.data.clone());
                self.known.insert(register.pid, Known { rooms: [Arc::clone(&sid)].into(), sid, data });
            }
            (Command::Join { pid, room, .. }, Response::Done) => {
                self.known.get_mut(pid).map(|known| known.rooms.insert(Arc::clone(room)));
            }
            (Command::Leave { pid, room, .. }, Response::Done) => {
                self.known.get_mut(pid).map(|known| known.rooms.remove(room));
            }
            (Command::SetData { pid, data, .. }, Response::Done) => {
                if let Some(known) = self.known.get_mut(pid) {
                    known.data = data.clone();
                }
            }
            (Command::Resume(resume), Response::Resumed { sid, rooms, data, .. }) => {
                let same = self.known.get(&resume.pid).is_some_and(|known| {
                    known.sid == *sid && known.data == *data && known.rooms.iter().eq(rooms.iter())
                });
                if !same {
                    let pid = resume.pid;
                    recorder.violation("I3", format!("index {index}: {pid:?} was resumed as {sid} in {rooms:?}"));
                }
            }
            _ => {}
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
