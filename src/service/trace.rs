//! A delivery audit: for one session, what is committed for it, what its owner has handed to its transport, its resumes.
//!
//! ```text
//!   asked node: its replica ─► session, positions ──┐
//!   every member: its socket, its journal ──────────┴─► what was handed, what is outstanding
//! ```
//!
//! What is committed is the same on every node. The rest is in the memory of whoever owned the session, and goes with it:
//! a node that does not answer is named, and what is not known is not made up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vedfolnir_cluster::state::{Audit, Epoch, LogPosition, NodeId, PidHash, Record, SessionEnd, State, user_of_room};
use vedfolnir_cluster::{NodeStatus, PeerStream};
use vedfolnir_protocol::socket_io::args::event_name;

use super::journal::{Departed, ResumeOutcome, Resumed};
use super::outbox::Handed;
use super::{Inner, Service};

/// The first bytes of the question to another node, before the hash of the session's secret; `forward.rs` has the others.
const HEADER: [u8; 2] = [1, 4];
/// A node that takes longer does not answer.
const PEER_TIMEOUT: Duration = Duration::from_secs(3);
/// Records that a report lists at most, whatever is asked for.
pub const LISTED_MAX: usize = 1_000;
/// Letters of an event's or room's name that a report shows.
const NAME_CHARS_MAX: usize = 256;

/// Why there is no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceError {
    /// There is no such session; how it ended, if that is still known.
    Unknown(Option<SessionEnd>),
    /// So many namespaces have one of that name.
    Ambiguous(usize),
}

/// The report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trace {
    /// `committed for it: N; handed to its transport: N; outstanding: N`.
    pub verdict: String,
    /// Which session; the same on every node.
    pub session: TracedSession,
    /// The node that was asked: what is committed is said by its replica.
    pub seen_by: String,
    /// The log index up to which that replica is.
    pub applied_index: u64,
    /// What is committed for it.
    pub committed: Committed,
    /// What its owners have handed to its transport.
    pub handed: HandedOver,
    /// Committed and not handed; at most so many where `handed` is not exact.
    pub outstanding: u64,
    /// What each member knows beyond the log, sorted by id.
    pub nodes: Vec<NodeTrace>,
}

/// A session, as the log has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TracedSession {
    /// Its public id.
    pub sid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its user.
    pub user: Option<String>,
    /// Whether a transport is connected.
    pub connected: bool,
    /// How many owners it has had.
    pub epoch: Epoch,
    /// Its owner, or its last one.
    pub owner: String,
    /// Until when it can be resumed, in milliseconds of cluster time from now; `None`: it is connected.
    pub recoverable_ms: Option<u64>,
    /// Where it began.
    pub started: LogPosition,
    /// Its rooms, its own sid among them.
    pub rooms: Vec<String>,
}

/// What is committed for a session: durable events to rooms that it was in, but for those that left it out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Committed {
    /// How many after `counted_after`.
    pub count: u64,
    /// The first of them.
    pub first: Option<LogPosition>,
    /// The last of them.
    pub last: Option<LogPosition>,
    /// There may have been more before `counted_after`: the history keeps them no longer.
    pub incomplete: bool,
    /// From here on they are counted.
    pub counted_after: LogPosition,
    /// The last ones.
    pub listed: Vec<Listed>,
}

/// A committed event; never what is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// Where in the log.
    pub position: LogPosition,
    /// The event's name.
    pub event: String,
    /// To which namespace.
    pub namespace: String,
    /// To which rooms; none: to everybody in the namespace.
    pub rooms: Vec<String>,
    /// Whether it was handed over; `None`: not known.
    pub handed: Option<bool>,
}

/// What was handed to the session's transports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    /// How many of those that are counted as committed.
    pub count: u64,
    /// Up to where.
    pub up_to: LogPosition,
    /// The last owner has said so. If not, it is what is certain, and more may have been handed by a node that does not
    /// answer.
    pub exact: bool,
    /// Who knows it; `None`: the log alone, which knows where the session began.
    pub by: Option<String>,
}

/// What one node knows of a session beyond the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeTrace {
    /// The node.
    pub node: String,
    /// Why it did not answer. What it knew is not in the report, and is gone if its process is.
    pub silent: Option<String>,
    /// What it said.
    #[serde(flatten)]
    pub memory: NodeMemory,
}

/// What a node has in its memory of a session: its socket, and the last resumes and sockets that went.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeMemory {
    /// The socket, if it has one.
    pub socket: Option<TracedSocket>,
    /// Resumes that were asked of it, the oldest first.
    pub resumes: Vec<TracedResume>,
    /// Sockets that it had, the oldest first.
    pub departures: Vec<TracedDeparture>,
}

/// A socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedSocket {
    /// Under which epoch.
    pub epoch: Epoch,
    /// All for it up to here was taken for its transport, or its client has said that it has it.
    pub handed_up_to: LogPosition,
    /// Durable events in its queue.
    pub waiting_events: u64,
    /// Bytes of everything in its queue.
    pub waiting_bytes: u64,
    /// It is behind, and is given what it missed from the history.
    pub catches_up: bool,
}

/// A resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedResume {
    /// When, in milliseconds since 1970 by the node's clock.
    pub at_unix_ms: u64,
    /// The offset that the client sent; `None`: none that can be read.
    pub from: Option<LogPosition>,
    /// What it came to.
    pub outcome: ResumeOutcome,
    /// The new epoch.
    pub epoch: Option<Epoch>,
    /// Where in the log it stands.
    pub position: Option<LogPosition>,
    /// It was replayed what came after this.
    pub replayed_after: Option<LogPosition>,
    /// How long the decision took, in milliseconds.
    pub took_ms: u64,
}

/// A socket that went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedDeparture {
    /// When, in milliseconds since 1970 by the node's clock.
    pub at_unix_ms: u64,
    /// Under which epoch.
    pub epoch: Epoch,
    /// What had been taken for its transport.
    pub handed_up_to: LogPosition,
    /// Why.
    pub cause: String,
}

impl Service {
    /// Reports what became of a session's messages, with the last `listed_max` of them; `namespace`: in this one only.
    ///
    /// # Errors
    /// When there is no such session, or more than one.
    pub async fn trace(&self, sid: &str, namespace: Option<&str>, listed_max: usize) -> Result<Trace, TraceError> {
        let cluster = &self.inner.cluster;
        let (sid, namespace): (Arc<str>, Option<Arc<str>>) = (sid.into(), namespace.map(Into::into));
        let find = |state: &State| match state.sessions_called(&sid, namespace.as_ref()).as_slice() {
            [pid] => Ok(*pid),
            [] => Err(TraceError::Unknown(state.end_of_session(&sid))),
            several => Err(TraceError::Ambiguous(several.len())),
        };
        let pid = find(&cluster.read(State::clone))?;
        // Those that own it are asked first: what they have handed is then committed here, or this node is behind.
        let nodes = ask_members(&self.inner, pid).await;
        // A clone costs nothing, and looking at all of it must not keep the node from applying more.
        let state = cluster.read(State::clone);
        let now_ms = state.cluster_time_ms();
        let looked = tokio::task::spawn_blocking(move || {
            let audit = state.audit(&pid, listed_max.min(LISTED_MAX));
            audit.ok_or_else(|| state.end_of_session(&sid))
        });
        // It fails only if the process is ending.
        let audit = looked.await.unwrap_or(Err(None)).map_err(TraceError::Unknown)?;
        let status = cluster.status();
        Ok(report(&audit, now_ms, (status.node_id, status.applied_index), nodes))
    }
}

fn report(audit: &Audit, now_ms: u64, (seen_by, applied_index): (String, u64), nodes: Vec<NodeTrace>) -> Trace {
    let session = &audit.session;
    let (up_to, exact, by) = handed(session.epoch, session.started, &nodes);
    let count = audit.positions.len() as u64;
    let handed = audit.positions.partition_point(|position| *position <= up_to) as u64;
    let outstanding = count - handed;
    let (at_least, at_most) = if exact { ("", "") } else { ("at least ", "at most ") };
    let listed = audit.latest.iter().map(|(position, record)| listed(*position, record, up_to, exact));
    Trace {
        verdict: format!(
            "committed for it: {count}; handed to its transport: {at_least}{handed}; outstanding: {at_most}{outstanding}"
        ),
        session: TracedSession {
            sid: session.sid.to_string(),
            namespace: session.namespace.to_string(),
            user: session.user.as_ref().map(ToString::to_string),
            connected: session.connected,
            epoch: session.epoch,
            owner: format!("{:016x}", session.owner.node),
            recoverable_ms: session.deadline_ms.map(|deadline| deadline.saturating_sub(now_ms)),
            started: session.started,
            rooms: session.rooms.iter().map(|room| shown(room)).collect(),
        },
        seen_by,
        applied_index,
        committed: Committed {
            count,
            first: audit.positions.first().copied(),
            last: audit.positions.last().copied(),
            incomplete: audit.incomplete,
            counted_after: audit.counted_after,
            listed: listed.collect(),
        },
        handed: HandedOver { count: handed, up_to, exact, by },
        outstanding,
        nodes,
    }
}

fn listed(position: LogPosition, record: &Record, up_to: LogPosition, exact: bool) -> Listed {
    Listed {
        position,
        event: event_name(&record.payload.text).map_or_else(String::new, |name| shown(&name)),
        namespace: record.namespace.to_string(),
        rooms: record.rooms.iter().map(|room| target(room)).collect(),
        handed: if position <= up_to { Some(true) } else { exact.then_some(false) },
    }
}

/// A room that something is for; or whose it is.
fn target(room: &str) -> String {
    user_of_room(room).map_or_else(|| shown(room), |user| format!("(user {})", shown(user)))
}

fn shown(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// Up to where a session's messages were handed to its transports, whether its last owner has said so, and who did.
///
/// What a resume under the newest known epoch was replayed after, its client has said that it has. What was handed under
/// an older epoch counts only while nobody knows of a newer one: a client resumes from what it has, which may be less.
fn handed(epoch: Epoch, started: LogPosition, nodes: &[NodeTrace]) -> (LogPosition, bool, Option<String>) {
    let mut known: Vec<(Epoch, LogPosition, bool, &str)> = Vec::new();
    for NodeTrace { node, memory, .. } in nodes {
        known.extend(memory.socket.iter().map(|socket| (socket.epoch, socket.handed_up_to, true, node.as_str())));
        known.extend(memory.departures.iter().map(|gone| (gone.epoch, gone.handed_up_to, true, node.as_str())));
        known.extend(
            memory
                .resumes
                .iter()
                .filter_map(|resume| Some((resume.epoch?, resume.replayed_after?, false, node.as_str()))),
        );
    }
    // An epoch that has come since this replica was read is of no use: what it was replayed after may not be here yet.
    match known.into_iter().filter(|(of, ..)| *of <= epoch).max() {
        Some((of, up_to, exact, node)) => (up_to.max(started), exact && of == epoch, Some(node.to_owned())),
        None => (started, false, None),
    }
}

// ---- the members ----

async fn ask_members(service: &Arc<Inner>, pid: PidHash) -> Vec<NodeTrace> {
    let status = service.cluster.status();
    let asked = status.nodes.iter().map(|member| async {
        if member.id == status.node_id {
            return NodeTrace { node: member.id.clone(), silent: None, memory: memory(service, &pid) };
        }
        match ask(service, member, pid).await {
            Ok(memory) => NodeTrace { node: member.id.clone(), silent: None, memory },
            Err(reason) => NodeTrace { node: member.id.clone(), silent: Some(reason), memory: NodeMemory::default() },
        }
    });
    futures_util::future::join_all(asked).await
}

async fn ask(service: &Inner, member: &NodeStatus, pid: PidHash) -> Result<NodeMemory, String> {
    let node: NodeId = u64::from_str_radix(&member.id, 16).map_err(|error| error.to_string())?;
    let answer = async {
        let header = Bytes::from([&HEADER[..], &pid.0].concat());
        let mut stream = service.cluster.open_peer_stream(node, header).await.map_err(|error| error.reason)?;
        // Releases from before this question end the stream.
        let answer = stream.recv().await.ok_or("it does not know the question, or has just gone")?;
        serde_json::from_slice(&answer).map_err(|error| error.to_string())
    };
    let late = || format!("no answer within {} s", PEER_TIMEOUT.as_secs());
    tokio::time::timeout(PEER_TIMEOUT, answer).await.unwrap_or_else(|_| Err(late()))
}

/// The session that another node asks about, if that is what it asks.
pub(super) fn parse_header(header: &[u8]) -> Option<PidHash> {
    Some(PidHash(header.strip_prefix(&HEADER)?.try_into().ok()?))
}

/// Answers another node.
pub(super) async fn answer(service: &Inner, pid: PidHash, mut stream: PeerStream) {
    // Numbers and names: it cannot fail.
    if let Ok(answer) = serde_json::to_vec(&memory(service, &pid)) {
        stream.send(answer.into()).await;
    }
}

fn memory(service: &Inner, pid: &PidHash) -> NodeMemory {
    let socket = service.hub.read().socket(pid);
    let (resumes, departures) = service.journal.of(pid);
    NodeMemory {
        socket: socket.map(|socket| {
            let Handed { up_to, waiting_events, waiting_bytes, catches_up } = socket.outbox.handed();
            TracedSocket {
                epoch: socket.epoch,
                handed_up_to: up_to,
                waiting_events: waiting_events as u64,
                waiting_bytes: waiting_bytes as u64,
                catches_up,
            }
        }),
        resumes: resumes.into_iter().map(Into::into).collect(),
        departures: departures.into_iter().map(Into::into).collect(),
    }
}

impl From<Resumed> for TracedResume {
    fn from(resumed: Resumed) -> Self {
        let Resumed { at_unix_ms, from, outcome, recovered, took_ms } = resumed;
        let (epoch, position, replayed_after) =
            recovered.map_or((None, None, None), |(epoch, position, after)| (Some(epoch), Some(position), Some(after)));
        Self { at_unix_ms, from, outcome, epoch, position, replayed_after, took_ms }
    }
}

impl From<Departed> for TracedDeparture {
    fn from(departed: Departed) -> Self {
        let Departed { at_unix_ms, epoch, handed, cause } = departed;
        let cause = cause.map_or("its transport ended, or its client went", |cause| cause.told());
        Self { at_unix_ms, epoch, handed_up_to: handed, cause: cause.to_owned() }
    }
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
