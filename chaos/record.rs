//! What happened in a run, as it was seen from outside: what the report shows and the invariants judge.

use serde::Serialize;

use crate::clock::Nanos;
use crate::history::{MessageId, Outcome};

/// Everything that was recorded. Times are those of [`crate::clock`].
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// When the workload began.
    pub began: Nanos,
    /// When everything had settled.
    pub ended: Nanos,
    /// Faults and phases, in the order of their beginning.
    pub marks: Vec<Mark>,
    /// What the clients that listen saw.
    pub listeners: Vec<ListenerLog>,
    /// What was published.
    pub publishes: Vec<PublishLog>,
    /// Who led, whenever a node's view of that changed.
    pub leaders: Vec<LeaderSeen>,
    /// The workload and the nodes, about once a second.
    pub samples: Vec<Sample>,
    /// The nodes' states, at rest.
    pub states: Vec<StateSeen>,
    /// Attempts of a session's earlier connection to act after another has taken the session over.
    pub stale: Vec<StaleAct>,
    /// What an earlier connection was given after that.
    pub stale_deliveries: Vec<StaleDelivery>,
    /// What the clients of the registry asked of sessions, and what was answered.
    pub registry: Vec<RegistryAct>,
    /// What did not come back in time after everything was healed, in words.
    pub unhealed: Vec<String>,
    /// The longest that messages took to flow under a fault, and which one that was.
    pub longest: Option<(std::time::Duration, String)>,
}

/// What a mark is about: its row on the time line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MarkKind {
    /// A part of the run.
    Phase,
    /// A process was killed, stopped, frozen, starved.
    Process,
    /// Links between nodes, or from clients.
    Network,
    /// What is below a node's data directory.
    Disk,
    /// A node's clock.
    Clock,
    /// Nodes came or went, leadership was handed over.
    Membership,
    /// Clients did it.
    Clients,
}

/// How a node was lost to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// By kill -9: the system ends its connections.
    Killed,
    /// By SIGSTOP: its connections fall silent.
    Frozen,
    /// Of its peers: it hears its clients, and can do nothing for them.
    Isolated,
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Killed => "killed",
            Self::Frozen => "frozen",
            Self::Isolated => "isolated",
        })
    }
}

/// A fault or a phase.
#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    /// From here ...
    pub at: Nanos,
    /// ... to here; `None`: to the end.
    pub until: Option<Nanos>,
    /// Its row.
    pub kind: MarkKind,
    /// In words.
    pub what: String,
    /// Which node; `None`: several or none.
    pub node: Option<usize>,
    /// How that node was lost to its clients at `at`, if it was: their resumes are timed from here.
    pub loss: Option<Loss>,
    /// Whether that node led at `at`.
    pub was_leader: bool,
}

impl std::fmt::Display for MarkKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Phase => "phase",
            Self::Process => "process",
            Self::Network => "network",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Membership => "membership",
            Self::Clients => "clients",
        })
    }
}

/// What kind of client it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerKind {
    /// The harness's own, which reconnects at once.
    Own,
    /// The official JavaScript client with its default delays.
    OfficialDefault,
    /// The official JavaScript client without a delay before it reconnects.
    OfficialEager,
    /// The harness's own, which stops reading now and then.
    Stalled,
}

impl std::fmt::Display for ListenerKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Own => "no delay",
            Self::OfficialDefault => "official, default delays",
            Self::OfficialEager => "official, no delay",
            Self::Stalled => "stalling",
        })
    }
}

/// What a client that listens saw.
#[derive(Clone, Debug, Serialize)]
pub struct ListenerLog {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ListenerKind,
    /// Every time that its session stood.
    pub connects: Vec<Connect>,
    /// Every time that its connection broke.
    pub disconnects: Vec<Disconnect>,
    /// What each of its sessions received; one, unless the server said that it could not be resumed.
    #[serde(skip)]
    pub receptions: Vec<SessionLog>,
}

/// A session stands (again).
#[derive(Clone, Debug, Serialize)]
pub struct Connect {
    /// When the attempt that succeeded began.
    pub began: Nanos,
    /// When the server's answer had come.
    pub at: Nanos,
    /// Where; `None`: the client does not know.
    pub node: Option<usize>,
    /// Whether it is the session that it was before.
    pub recovered: bool,
    /// The public id.
    pub sid: String,
}

/// A connection broke.
#[derive(Clone, Debug, Serialize)]
pub struct Disconnect {
    /// When the client noticed.
    pub at: Nanos,
    /// Where it was.
    pub node: Option<usize>,
    /// In the client's words.
    pub reason: String,
}

/// What one session received.
#[derive(Clone, Debug, Default)]
pub struct SessionLog {
    /// The rooms it was in, by number: joined, left.
    pub rooms: Vec<(u32, Nanos, Option<Nanos>)>,
    /// In the order in which the application saw them.
    pub deliveries: Vec<(MessageId, Nanos)>,
}

/// One publish.
#[derive(Clone, Copy, Debug)]
pub struct PublishLog {
    /// Unique in the run.
    pub id: MessageId,
    /// The room's number.
    pub room: u32,
    /// When it was sent.
    pub invoked_at: Nanos,
    /// How it ended.
    pub outcome: Outcome,
}

/// A node saw somebody lead.
#[derive(Clone, Debug, Serialize)]
pub struct LeaderSeen {
    /// When the harness learned it.
    pub at: Nanos,
    /// The node that was asked.
    pub seen_by: usize,
    /// In which life of its process.
    pub pid: u32,
    /// Its term.
    pub term: u64,
    /// The id of the node that leads, if any does.
    pub leader: Option<String>,
    /// Its number, if it is one of the harness's.
    pub node: Option<usize>,
    /// The id of the cluster.
    pub cluster_id: String,
}

/// The run at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sample {
    /// When.
    pub at: Nanos,
    /// Clients that have a session now.
    pub connected: u64,
    /// Publishes acknowledged so far.
    pub acknowledged: u64,
    /// Deliveries so far.
    pub delivered: u64,
    /// The median of the acknowledgements since the last sample, in nanoseconds; 0: there was none.
    pub latency_p50: Nanos,
    /// Their 99th percentile.
    pub latency_p99: Nanos,
    /// Resident bytes of each node; 0: it does not run.
    pub resident_bytes: Vec<u64>,
}

/// A node's state at rest.
#[derive(Clone, Debug, Serialize)]
pub struct StateSeen {
    /// The node.
    pub node: usize,
    /// The cluster that it is in.
    pub cluster_id: String,
    /// Everything up to here is applied.
    pub applied_index: u64,
    /// The hash of the whole replicated state there.
    pub hash: String,
}

/// A publish by a connection whose session is known to be elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct StaleAct {
    /// The message.
    pub id: MessageId,
    /// When the session's new connection was acknowledged.
    pub taken_over_at: Nanos,
    /// When the old one published.
    pub invoked_at: Nanos,
    /// Whether that was acknowledged: it must not be.
    pub acknowledged: bool,
}

/// A delivery to a connection whose session is known to be elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct StaleDelivery {
    /// The message.
    pub id: MessageId,
    /// When the session's new connection was acknowledged.
    pub taken_over_at: Nanos,
}

/// What was asked of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegistryCall {
    /// It begins.
    Register,
    /// It is taken over.
    Resume,
    /// It is looked at, linearizably.
    Read,
    /// It ends.
    Close,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegistryAnswer {
    /// It was done.
    Done,
    /// There is no such session.
    Gone,
    /// It has had so many owners.
    Epoch(u64),
}

/// One call to the registry of sessions.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RegistryAct {
    /// The session, by number.
    pub session: u32,
    /// What was asked.
    pub call: RegistryCall,
    /// When.
    pub invoked_at: Nanos,
    /// The answer and its time; `None`: none came, and it may have taken place or not.
    pub answer: Option<(RegistryAnswer, Nanos)>,
}
