//! The replicated state alone, in this process: what a session and the history weigh, what a copy of the state costs while
//! it is kept, and what a resume costs that has missed nothing, little or much.
//!
//! No network, no disk, no clock: entries are applied as every node applies them, so the figures are those of one core.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use vedfolnir_state::{
    Command, Configuration, Format, Incarnation, LogPosition, NodeInfo, Offset, Origin, Outcome, Payload, PidHash,
    Proposal, Publish, Record, Register, Response, Resume, SidKey, State, encode_proposal,
};

use crate::args::StateArgs;
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::server::resident_bytes;

const NODE: Incarnation = Incarnation { node: 1, generation: 1 };
const HISTORY_ID: u64 = 1;
/// Commands of one entry.
const BATCH_COMMANDS: usize = 256;
/// Sessions that share a room.
const ROOM_SESSIONS: usize = 10;
/// What the measured clients may have missed.
const MISSED: [usize; 3] = [0, 10, 1000];
/// Clients measured for each of them.
const RESUMES: usize = 200;
/// What a step of a replay hands on at most, as the service asks for it.
const REPLAY_BYTES: usize = 256 << 10;
/// Publishes applied while a copy is kept, and without one.
const COPIED_PUBLISHES: usize = 20_000;
/// Sessions changed while a copy is kept, and without one.
const COPIED_CHANGES: usize = 20_000;
/// Fewer sessions weigh less than what a process takes and gives back meanwhile.
const SESSIONS_WEIGHED_MIN: usize = 100_000;
/// Outlasts the run.
const WINDOW_MS: u64 = 86_400_000;

pub(super) fn run(arguments: &StateArgs) -> Result<Report, BenchError> {
    let mut report = Report::new(
        &arguments.label,
        format!(
            "state: {} sessions of {} bytes of data{} in {} rooms each, {} MiB of history in records of {} bytes, seed {}",
            arguments.sessions,
            arguments.data,
            if arguments.users { ", a user each" } else { "" },
            arguments.rooms,
            arguments.history_mib,
            arguments.payload,
            arguments.seed
        ),
    );
    let mut machine = Machine::new(arguments);
    let before = resident_bytes(std::process::id())?;
    machine.open_sessions(arguments)?;
    let with_sessions = resident_bytes(std::process::id())?;
    machine.fill_history(arguments)?;
    let with_history = resident_bytes(std::process::id())?;
    let per_session = (with_sessions.saturating_sub(before)) as f64 / arguments.sessions.max(1) as f64;
    if arguments.sessions >= SESSIONS_WEIGHED_MIN {
        report.figure("resident per session", per_session, "bytes");
    }
    report.figure("history", with_history.saturating_sub(with_sessions) as f64 / f64::from(1 << 20), "MiB resident");
    report.figure("records", machine.state.history_size().0 as f64, "");

    machine.measure_resumes(arguments, &mut report)?;
    machine.measure_snapshot(&mut report)?;
    machine.measure_copies(arguments, &mut report)?;
    machine.measure_backup(arguments, &mut report)?;
    let began = Instant::now();
    drop(machine.state);
    report.figure("giving the whole state back", began.elapsed().as_secs_f64() * 1e3, "ms");
    Ok(report)
}

/// The state, and where the next entry goes.
pub(super) struct Machine {
    pub(super) state: State,
    index: u64,
    sequence: u64,
    waiting: Vec<Command>,
    pub(super) random: Random,
}

impl Machine {
    fn new(arguments: &StateArgs) -> Self {
        let (state, random) = (State::default(), Random(arguments.seed));
        let mut machine = Self { state, index: 0, sequence: 0, waiting: Vec::new(), random };
        machine.system(Command::Configure(Configuration {
            history_id: HISTORY_ID,
            recovery_window_ms: WINDOW_MS,
            history_age_ms_max: WINDOW_MS,
            history_bytes_max: arguments.history_mib << 20,
            sid_key: SidKey::default(),
        }));
        machine.system(Command::NodeUp { incarnation: NODE, info: NodeInfo::default() });
        machine
    }

    fn system(&mut self, command: Command) {
        self.index += 1;
        let proposal = Proposal { origin: Origin::System, commands: vec![command] };
        self.state.apply(self.index, &encode_proposal(Format::FIRST, &proposal));
    }

    /// Applies one entry; returns the responses and the nanoseconds it took.
    pub(super) fn entry(&mut self, commands: Vec<Command>) -> Result<(Vec<Response>, u64), BenchError> {
        self.index += 1;
        let origin = Origin::Node { incarnation: NODE, first_sequence: self.sequence + 1 };
        self.sequence += commands.len() as u64;
        let bytes = encode_proposal(Format::FIRST, &Proposal { origin, commands });
        let began = Instant::now();
        let applied = self.state.apply(self.index, &bytes);
        let nanos = began.elapsed().as_nanos() as u64;
        match applied.outcome {
            Outcome::Executed { responses, .. } => {
                match responses.iter().find(|response| matches!(response, Response::Refused(_))) {
                    Some(refused) => Err(BenchError::Other(format!("the state refused a command: {refused:?}"))),
                    None => Ok((responses, nanos)),
                }
            }
            other => Err(BenchError::Other(format!("the state did not execute an entry: {other:?}"))),
        }
    }

    fn queue(&mut self, command: Command) -> Result<(), BenchError> {
        self.waiting.push(command);
        if self.waiting.len() < BATCH_COMMANDS { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), BenchError> {
        let commands = std::mem::take(&mut self.waiting);
        self.entry(commands).map(drop)
    }

    /// Sessions as clients leave them behind: registered, in their rooms, disconnected, inside the recovery window.
    fn open_sessions(&mut self, arguments: &StateArgs) -> Result<(), BenchError> {
        let namespace: Arc<str> = "/".into();
        for number in 0..arguments.sessions {
            let (pid, sid) = (pid(number), format!("{:020x}", self.random.next()).into());
            self.queue(Command::Register(Register {
                pid,
                sid,
                namespace: Arc::clone(&namespace),
                user: arguments.users.then(|| format!("user-{number:012}").into()),
                data: Bytes::from(vec![b'x'; arguments.data]),
            }))?;
            for room in 0..arguments.rooms {
                self.queue(Command::Join { pid, epoch: 1, room: room_of(room, number) })?;
            }
            self.queue(Command::Disconnect { pid, epoch: 1 })?;
        }
        self.flush()
    }

    /// Publishes, spread over all rooms, until the history is as large as it may be.
    fn fill_history(&mut self, arguments: &StateArgs) -> Result<(), BenchError> {
        let bytes_max = arguments.history_mib << 20;
        // What one more would exceed is full.
        while self.state.history_size().1 < bytes_max - bytes_max / 1000 {
            for _ in 0..BATCH_COMMANDS {
                let number = self.random.below(arguments.sessions.max(1));
                self.queue(publish(room_of(0, number), arguments.payload))?;
            }
            self.flush()?;
        }
        Ok(())
    }

    /// The parts of a resume in the state: the command, and what the session missed.
    fn measure_resumes(&mut self, arguments: &StateArgs, report: &mut Report) -> Result<(), BenchError> {
        for missed in MISSED {
            let (mut replays, mut commands) = (Histogram::default(), Histogram::default());
            for turn in 0..RESUMES.min(arguments.sessions) {
                let number = turn * (arguments.sessions / RESUMES.min(arguments.sessions));
                let pid = pid(number);
                let after = self.state.applied();
                // To the session's own room: what others of its rooms were sent is no part of it.
                let sid = match self.state.session(&pid) {
                    Some(session) => session.sid,
                    None => return Err(BenchError::Other("a session is gone".to_owned())),
                };
                for _ in 0..missed {
                    self.queue(publish(Arc::clone(&sid), 64))?;
                }
                self.flush()?;
                let began = Instant::now();
                let (mut position, mut found) = (after, 0);
                loop {
                    let step = self.state.replay(&pid, position, REPLAY_BYTES);
                    let step = step.ok_or_else(|| BenchError::Other("a session is gone".to_owned()))?;
                    found += step.records.len();
                    position = step.reached;
                    if step.complete {
                        break;
                    }
                }
                replays.record(began.elapsed().as_nanos() as u64);
                if found != missed {
                    report.broken.push(format!("a replay of {missed} found {found}"));
                }
                let epoch = self.state.session_epoch(&pid);
                let resume = Command::Resume(Resume {
                    pid,
                    namespace: "/".into(),
                    user: arguments.users.then(|| format!("user-{number:012}").into()),
                    expected_epoch: epoch,
                    offset: Some(Offset { history_id: HISTORY_ID, position: LogPosition::new(after.index, 0) }),
                });
                let (responses, nanos) = self.entry(vec![resume])?;
                commands.record(nanos);
                if !matches!(responses.first(), Some(Response::Resumed { .. })) {
                    report.broken.push(format!("a resume that missed {missed} was answered with {responses:?}"));
                }
                self.entry(vec![Command::Disconnect { pid, epoch: epoch.unwrap_or_default() + 1 }])?;
            }
            report.figure(&format!("replay of {missed} p50"), commands_us(&replays, 0.5), "µs");
            report.figure(&format!("replay of {missed} p99"), commands_us(&replays, 0.99), "µs");
            report.figure(&format!("resume after {missed} p50"), commands_us(&commands, 0.5), "µs");
        }
        Ok(())
    }

    fn measure_snapshot(&mut self, report: &mut Report) -> Result<(), BenchError> {
        let other = |error: vedfolnir_state::CodecError| BenchError::Other(error.to_string());
        let began = Instant::now();
        let copy = self.state.clone();
        report.figure("copy", began.elapsed().as_secs_f64() * 1e6, "µs");
        let mut counted = Counted(0);
        let began = Instant::now();
        copy.encode_snapshot(&mut counted).map_err(other)?;
        report.figure("encoding", began.elapsed().as_secs_f64() * 1e3, "ms");
        report.figure("encoded", counted.0 as f64 / f64::from(1 << 20), "MiB");
        let mut bytes = Vec::with_capacity(counted.0 as usize);
        copy.encode_snapshot(&mut bytes).map_err(other)?;
        let before = resident_bytes(std::process::id())?;
        let began = Instant::now();
        let decoded = State::decode_snapshot(bytes.as_slice()).map_err(other)?;
        report.figure("decoding", began.elapsed().as_secs_f64() * 1e3, "ms");
        let resident = resident_bytes(std::process::id())?.saturating_sub(before);
        report.figure("decoded", resident as f64 / f64::from(1 << 20), "MiB resident");
        if decoded != self.state {
            report.broken.push("a snapshot did not come back as the state it was of".to_owned());
        }
        Ok(())
    }

    /// What entries cost while a copy of the state is kept, and without one.
    fn measure_copies(&mut self, arguments: &StateArgs, report: &mut Report) -> Result<(), BenchError> {
        for (name, kept) in [("without a copy", false), ("with a copy kept", true)] {
            let copy = kept.then(|| self.state.clone());
            let mut publishes = Histogram::default();
            for _ in 0..COPIED_PUBLISHES {
                let number = self.random.below(arguments.sessions);
                let (_, nanos) = self.entry(vec![publish(room_of(0, number), 64)])?;
                publishes.record(nanos);
            }
            let mut changes = Histogram::default();
            for _ in 0..COPIED_CHANGES {
                let pid = pid(self.random.below(arguments.sessions));
                let (epoch, offset) = (self.state.session_epoch(&pid), None);
                let user = self.state.session(&pid).and_then(|session| session.user);
                let resume = Resume { pid, namespace: "/".into(), user, expected_epoch: epoch, offset };
                // Its history may have a hole by now: then it is refused, which costs the same look.
                let (responses, nanos) = self.entry(vec![Command::Resume(resume)])?;
                changes.record(nanos);
                if let Some(Response::Resumed { epoch, .. }) = responses.first() {
                    let (_, nanos) = self.entry(vec![Command::Disconnect { pid, epoch: *epoch }])?;
                    changes.record(nanos);
                }
            }
            for (what, histogram) in [("publish", &publishes), ("resume or disconnect", &changes)] {
                report.figure(&format!("{what} {name} p50"), commands_us(histogram, 0.5), "µs");
                report.figure(&format!("{what} {name} p99"), commands_us(histogram, 0.99), "µs");
                report.figure(&format!("{what} {name} max"), commands_us(histogram, 1.0), "µs");
            }
            let began = Instant::now();
            drop(copy);
            if kept {
                report.figure("giving the copy back", began.elapsed().as_secs_f64() * 1e3, "ms");
            }
        }
        Ok(())
    }
}

pub(super) fn commands_us(histogram: &Histogram, share: f64) -> f64 {
    let nanos = if share < 1.0 { histogram.quantile(share) } else { histogram.max() };
    nanos as f64 / 1e3
}

fn pid(number: usize) -> PidHash {
    // Hashes are random: neighbours in time are no neighbours in the table.
    let mut random = Random(number as u64);
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&random.next().to_be_bytes());
    hash[8..].copy_from_slice(&random.next().to_be_bytes());
    PidHash(hash)
}

pub(super) fn room_of(kind: usize, number: usize) -> Arc<str> {
    format!("room-{kind}-{:08}", number / ROOM_SESSIONS).into()
}

pub(super) fn publish(room: Arc<str>, bytes: usize) -> Command {
    let payload = Payload { text: Bytes::from(format!("[\"m\",\"{}\"]", "x".repeat(bytes))), attachments: Vec::new() };
    let record = Record { namespace: "/".into(), rooms: vec![room], except: Vec::new(), payload };
    Command::Publish(Publish { from: None, record: Arc::new(record), trace: None })
}

/// Counts what is written.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// SplitMix64: the same numbers for the same seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}
