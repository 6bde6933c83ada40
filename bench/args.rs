//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::child::Taken;

/// Load generator for Vedfolnir, and for any Socket.IO server that speaks the same few events.
#[derive(Debug, Parser)]
#[command(name = "vedfolnir-bench", version, max_term_width = 120)]
pub(crate) struct Cli {
    /// One line of JSON on standard output; the table goes to standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Connect many clients: connects per second, and resident bytes per idle client
    Connect(ConnectArgs),
    /// `echo` with an ack: round trips per second and their latency
    Echo(EchoArgs),
    /// Events through the backend proxy to an empty backend on this machine: round trips per second and their latency
    Backend(BackendArgs),
    /// Publishes over the HTTP API to rooms without members, alone or in batches: committed → answered
    HttpPublish(HttpPublishArgs),
    /// One publisher, many subscribers in one room over all nodes: deliveries per second, checked by the oracle
    Fanout(FanoutArgs),
    /// `publish` to rooms without members: publish → committed → ack
    Publish(PublishArgs),
    /// Durable commands through the log of three node processes, by proposers inside them; or puts into etcd
    Commands(CommandsArgs),
    /// What one durable command cannot be cheaper than here: an fsync, and a round trip over QUIC
    Floor(FloorArgs),
    /// One node of `commands`, one side of `floor`: talks to its parent over standard input and output
    #[command(hide = true)]
    Child(ChildArgs),
    /// kill -9 of the node that 100 clients are on: time until they are served by another one, and what they missed
    Resume(ResumeArgs),
    /// SIGTERM or kill -9 of the leader: how long no publish of clients of the other nodes is acknowledged
    Handover(HandoverArgs),
    /// The replicated state alone, in this process: memory per session, replay, the cost of a copy
    State(StateArgs),
    /// What a line of the log and what a message's metrics cost whoever tells them, in this process
    Telling(TellingArgs),
    /// Many sessions and a full history: memory, snapshots and commits, resumes, a late follower
    Large(LargeArgs),
    /// Markdown table of the JSON lines in files, the median of the runs of each
    Table(TableArgs),
}

/// Where the load goes: to running servers, or to a cluster that is started for this run.
#[derive(Args, Debug, Clone)]
pub(crate) struct TargetArgs {
    /// Running servers, as http://HOST:PORT[,…]
    #[arg(long, visible_alias = "url", value_delimiter = ',', required_unless_present_any = ["bin", "embedded"])]
    pub(crate) urls: Vec<String>,
    /// Processes whose memory and processor time are read [default: those that --bin starts]
    #[arg(long, value_delimiter = ',')]
    pub(crate) server_pid: Vec<u32>,
    /// Start `PATH dev --nodes N --json` for this run
    #[arg(long, value_name = "PATH", conflicts_with_all = ["urls", "server_pid"])]
    pub(crate) bin: Option<PathBuf>,
    /// Start a node that embeds the server for this run, whose handler of `echo`, its only event, takes this
    #[arg(long, value_enum, conflicts_with_all = ["urls", "server_pid", "bin"])]
    pub(crate) embedded: Option<Taken>,
    /// Nodes that --bin starts
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) nodes: usize,
    /// The one core that the nodes run on (taskset)
    #[arg(long, value_name = "CORE")]
    pub(crate) server_core: Option<usize>,
    /// Name of the run in the table
    #[arg(long, default_value = "")]
    pub(crate) label: String,
}

#[derive(Args, Debug)]
pub(crate) struct TellingArgs {
    /// Lines that are written
    #[arg(long, default_value_t = 200_000)]
    pub(crate) lines: usize,
    /// Messages whose metrics are counted
    #[arg(long, default_value_t = 5_000_000)]
    pub(crate) messages: usize,
    /// Name of the run in the table
    #[arg(long, default_value = "")]
    pub(crate) label: String,
}

#[derive(Args, Debug)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[arg(long, default_value_t = 10_000)]
    pub(crate) clients: usize,
    /// Handshakes at once
    #[arg(long, default_value_t = 128)]
    pub(crate) concurrency: usize,
    /// Seconds between the last connect and reading the memory
    #[arg(long, default_value_t = 5)]
    pub(crate) hold: u64,
    /// Metrics pages that are read of the first node while all clients are there
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) scrapes: usize,
}

#[derive(Args, Debug)]
pub(crate) struct EchoArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[arg(long, default_value_t = 50)]
    pub(crate) clients: usize,
    /// Echoes that a client has under way, unless there is a rate
    #[arg(long, default_value_t = 1)]
    pub(crate) inflight: usize,
    /// Echoes per second of all clients together [default: as fast as they return]
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    #[arg(long, default_value_t = 64)]
    pub(crate) payload: usize,
    #[command(flatten)]
    pub(crate) span: SpanArgs,
}

#[derive(Args, Debug)]
pub(crate) struct BackendArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[arg(long, default_value_t = 256)]
    pub(crate) clients: usize,
    /// Events that a client has under way, of which the backend is asked about one after the other
    #[arg(long, default_value_t = 1)]
    pub(crate) inflight: usize,
    /// Events per second of all clients together [default: as fast as they return]
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    #[arg(long, default_value_t = 64)]
    pub(crate) payload: usize,
    #[command(flatten)]
    pub(crate) span: SpanArgs,
}

#[derive(Args, Debug)]
pub(crate) struct HttpPublishArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Connections, spread evenly over the nodes, with one request under way on each
    #[arg(long, default_value_t = 64)]
    pub(crate) clients: usize,
    /// Publishes in a request: 1 is `/publish`, more are `/batch`
    #[arg(long, default_value_t = 1)]
    pub(crate) batch: usize,
    /// An idempotency key for each request
    #[arg(long)]
    pub(crate) keys: bool,
    #[arg(long, default_value_t = 64)]
    pub(crate) payload: usize,
    #[command(flatten)]
    pub(crate) span: SpanArgs,
}

#[derive(Args, Debug)]
pub(crate) struct FanoutArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Subscribers, spread evenly over the nodes
    #[arg(long, default_value_t = 999)]
    pub(crate) clients: usize,
    /// URL of the publisher's node [default: the first]
    #[arg(long)]
    pub(crate) publish_to: Option<String>,
    /// Publishes per second [default: saturated, see --inflight]
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Saturated: publishes that are not yet acknowledged and received by every subscriber
    #[arg(long, default_value_t = 8)]
    pub(crate) inflight: usize,
    /// Use publish_volatile: no log, no promise, so the oracle's losses are information only
    #[arg(long)]
    pub(crate) volatile: bool,
    #[arg(long, default_value_t = 64)]
    pub(crate) payload: usize,
    #[command(flatten)]
    pub(crate) span: SpanArgs,
}

#[derive(Args, Debug)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Publishers, spread evenly over the nodes
    #[arg(long, default_value_t = 256)]
    pub(crate) clients: usize,
    #[arg(long, default_value_t = 1)]
    pub(crate) inflight: usize,
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    #[arg(long, default_value_t = 64)]
    pub(crate) payload: usize,
    #[command(flatten)]
    pub(crate) span: SpanArgs,
}

/// What commits the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    /// Vedfolnir's cluster floor: `KvPut` proposed inside the node processes
    Vedfolnir,
    /// etcd: `KV.Put` over gRPC
    Etcd,
}

#[derive(Args, Debug)]
pub(crate) struct CommandsArgs {
    /// Who commits them
    #[arg(long, value_enum, default_value_t = Engine::Vedfolnir)]
    pub(crate) engine: Engine,
    /// etcd's program
    #[arg(long, value_name = "PATH", default_value = "etcd")]
    pub(crate) etcd: PathBuf,
    /// Node processes
    #[arg(long, default_value_t = 3)]
    pub(crate) nodes: usize,
    /// Proposers, each with one command under way; a single one sits at the leader, more are spread evenly
    #[arg(long, default_value_t = 256)]
    pub(crate) proposers: usize,
    /// Bytes of a value
    #[arg(long, default_value_t = 64)]
    pub(crate) payload: usize,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) span: SpanArgs,
}

/// Where children run, and under which name.
#[derive(Args, Debug)]
pub(crate) struct PlaceArgs {
    /// Where their files go; the disk under it is what is measured [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The one core that they run on (taskset)
    #[arg(long, value_name = "CORE")]
    pub(crate) server_core: Option<usize>,
    /// Name of the run in the table
    #[arg(long, default_value = "")]
    pub(crate) label: String,
}

#[derive(Args, Debug)]
pub(crate) struct FloorArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Fsyncs, and round trips
    #[arg(long, default_value_t = 5_000)]
    pub(crate) samples: usize,
    /// Bytes of each
    #[arg(long, default_value_t = 256)]
    pub(crate) payload: usize,
}

#[derive(Args, Debug)]
pub(crate) struct ChildArgs {
    /// The orders, as JSON
    pub(crate) orders: String,
}

#[derive(Args, Debug)]
pub(crate) struct ResumeArgs {
    /// The program to start
    #[arg(long, value_name = "PATH")]
    pub(crate) bin: PathBuf,
    #[arg(long, value_name = "CORE")]
    pub(crate) server_core: Option<usize>,
    #[arg(long, default_value_t = 3)]
    pub(crate) nodes: usize,
    /// Clients of the node that is killed
    #[arg(long, default_value_t = 100)]
    pub(crate) clients: usize,
    /// Publishes per second, of one publisher on each other node together
    #[arg(long, default_value_t = 50.0)]
    pub(crate) rate: f64,
    /// Kill the leader instead of a follower
    #[arg(long)]
    pub(crate) leader: bool,
    /// Kills, each in a new cluster
    #[arg(long, default_value_t = 1)]
    pub(crate) cycles: usize,
    /// Milliseconds that a client waits before it connects again
    #[arg(long, default_value_t = 0)]
    pub(crate) delay_ms: u64,
    #[arg(long, default_value = "")]
    pub(crate) label: String,
}

/// How a leader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LeaderEnd {
    /// SIGTERM: it hands the leadership over
    Term,
    /// kill -9: the others elect one
    Kill,
}

#[derive(Args, Debug)]
pub(crate) struct HandoverArgs {
    /// The program to start
    #[arg(long, value_name = "PATH")]
    pub(crate) bin: PathBuf,
    #[arg(long, value_name = "CORE")]
    pub(crate) server_core: Option<usize>,
    #[arg(long, default_value_t = 3)]
    pub(crate) nodes: usize,
    /// Clients of the other nodes, spread evenly, each with one publish under way
    #[arg(long, default_value_t = 16)]
    pub(crate) clients: usize,
    /// How the leader ends
    #[arg(long, value_enum, default_value_t = LeaderEnd::Term)]
    pub(crate) end: LeaderEnd,
    /// Ends, each in a new cluster
    #[arg(long, default_value_t = 10)]
    pub(crate) cycles: usize,
    #[arg(long, default_value = "")]
    pub(crate) label: String,
}

#[derive(Args, Debug)]
pub(crate) struct LargeArgs {
    /// The program to start
    #[arg(long, value_name = "PATH")]
    pub(crate) bin: PathBuf,
    #[arg(long, value_name = "CORE")]
    pub(crate) server_core: Option<usize>,
    #[arg(long, default_value_t = 3)]
    pub(crate) nodes: usize,
    /// Where the nodes live [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) sessions: usize,
    /// Rooms that each joins, besides its own
    #[arg(long, default_value_t = 2)]
    pub(crate) rooms: usize,
    /// Clients at once while the sessions are opened
    #[arg(long, default_value_t = 256)]
    pub(crate) concurrency: usize,
    /// MiB of history
    #[arg(long, default_value_t = 256)]
    pub(crate) history_mib: u64,
    /// Bytes of a record in it
    #[arg(long, default_value_t = 1024)]
    pub(crate) payload: usize,
    /// Log entries between two snapshots
    #[arg(long, default_value_t = 5_000)]
    pub(crate) snapshot_entries: u64,
    /// Publishes per second of the steady load, of one client on each node together
    #[arg(long, default_value_t = 300.0)]
    pub(crate) rate: f64,
    /// Publishers of the saturated load, one publish under way each
    #[arg(long, default_value_t = 192)]
    pub(crate) publishers: usize,
    /// Seconds of each load
    #[arg(long, default_value_t = 90.0)]
    pub(crate) seconds: f64,
    /// Resumes of each kind
    #[arg(long, default_value_t = 200)]
    pub(crate) resumes: usize,
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[arg(long, default_value = "")]
    pub(crate) label: String,
}

#[derive(Args, Debug)]
pub(crate) struct StateArgs {
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) sessions: usize,
    /// Rooms of each session, besides its own
    #[arg(long, default_value_t = 2)]
    pub(crate) rooms: usize,
    /// Bytes of application data of each session
    #[arg(long, default_value_t = 64)]
    pub(crate) data: usize,
    /// Each session is of a user of its own
    #[arg(long)]
    pub(crate) users: bool,
    /// MiB of history
    #[arg(long, default_value_t = 256)]
    pub(crate) history_mib: u64,
    /// Bytes of a record in it
    #[arg(long, default_value_t = 1024)]
    pub(crate) payload: usize,
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[arg(long, default_value = "")]
    pub(crate) label: String,
}

#[derive(Args, Debug, Clone, Copy)]
pub(crate) struct SpanArgs {
    /// Seconds that are measured
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Seconds before them that are not
    #[arg(long, default_value_t = 2.0)]
    pub(crate) warm_up: f64,
}

#[derive(Args, Debug)]
pub(crate) struct TableArgs {
    /// Files of JSON lines
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}
