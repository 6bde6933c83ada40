//! The cluster: which peers, how they trust each other, Raft's clock.

use super::kind::{FilePath, HostPort, List, Number, Size, Span, Text};
use super::{Setting, settings};

/// Peers that may be listed.
pub(crate) const BOOTSTRAP_ADDRESSES_MAX: usize = 64;
/// Nodes that may form a cluster together: no more can vote.
pub(crate) const BOOTSTRAP_EXPECT_MAX: u64 = 9;

const RAFT_MS_MIN: u64 = 10;
const RAFT_MS_MAX: u64 = 60_000;

settings! {
    BOOTSTRAP: List<HostPort> = Setting::new(
        "WEBSOCKET_CLUSTER_BOOTSTRAP",
        "bootstrap",
        List::of(HostPort, BOOTSTRAP_ADDRESSES_MAX),
        "Peers to join through; any live one will do",
    )
    .or(&["WEBSOCKET_CLUSTER_PEERS"])
    .production("10.0.0.1:5001,10.0.0.2:5001,10.0.0.3:5001");

    BOOTSTRAP_EXPECT: Number = Setting::new(
        "WEBSOCKET_CLUSTER_BOOTSTRAP_EXPECT",
        "bootstrap-expect",
        Number::new(1, BOOTSTRAP_EXPECT_MAX),
        "How many empty nodes form a new cluster together; without it a node with peers only joins",
    )
    .production("3");

    ADDR: HostPort = Setting::new(
        "WEBSOCKET_CLUSTER_ADDR",
        "cluster-addr",
        HostPort,
        "UDP address of the cluster endpoint",
    )
    .or(&["WEBSOCKET_CLUSTER_LISTEN"])
    .default("127.0.0.1:5001")
    .production("0.0.0.0:5001");

    ADVERTISE: HostPort = Setting::new(
        "WEBSOCKET_CLUSTER_ADVERTISE",
        "cluster-advertise",
        HostPort,
        "HOST:PORT that peers reach this node at",
    )
    .unset("the cluster address")
    .production("10.0.0.1:5001");

    TLS_CA_FILE: FilePath = Setting::new(
        "WEBSOCKET_CLUSTER_TLS_CA_FILE",
        "tls-ca",
        FilePath::of("a PEM file"),
        "The authority that signs the nodes' certificates",
    )
    .or(&["WEBSOCKET_CLUSTER_CA_FILE"])
    .production("/etc/vedfolnir/cluster/ca.pem");

    TLS_CERT_FILE: FilePath = Setting::new(
        "WEBSOCKET_CLUSTER_TLS_CERT_FILE",
        "tls-cert",
        FilePath::of("a PEM file"),
        "This node's certificate",
    )
    .or(&["WEBSOCKET_CLUSTER_CERT_FILE"])
    .production("/etc/vedfolnir/cluster/cert.pem");

    TLS_KEY_FILE: FilePath = Setting::new(
        "WEBSOCKET_CLUSTER_TLS_KEY_FILE",
        "tls-key",
        FilePath::of("a PEM file"),
        "This node's private key",
    )
    .or(&["WEBSOCKET_CLUSTER_KEY_FILE"])
    .production("/etc/vedfolnir/cluster/key.pem");

    TLS_CA_KEY_FILE: FilePath = Setting::new(
        "WEBSOCKET_CLUSTER_TLS_CA_KEY_FILE",
        "tls-ca-key",
        FilePath::of("a PEM file"),
        "The authority's key, for nodes that sign certificates of nodes with a join token",
    );

    JOIN_TOKEN: Text = Setting::new(
        "WEBSOCKET_CLUSTER_JOIN_TOKEN",
        "join-token",
        Text::of("the whole line that `vedfolnir token create --join` printed", 4 << 10),
        "Lets a node without certificates join, once; better given in a file",
    )
    .secret();

    FORMAT_VERSION: Number = Setting::new(
        "WEBSOCKET_CLUSTER_FORMAT_VERSION",
        "format-version",
        Number::new(
            vedfolnir_cluster::state::Format::PREVIOUS.number() as u64,
            vedfolnir_cluster::state::Format::NEWEST.number() as u64,
        ),
        "Format of the log, of snapshots and between nodes that this node speaks at most: the newest, or the one before it, so \
         that an older binary can take over again",
    )
    .or(&["VEDFOLNIR_FORMAT_VERSION"])
    .unset("the newest");

    VOTERS_MAX: Number = Setting::new(
        "WEBSOCKET_CLUSTER_VOTERS_MAX",
        "voters-max",
        Number::new(1, BOOTSTRAP_EXPECT_MAX),
        "Voters at most, odd; further nodes are learners",
    )
    .default("5");

    HEARTBEAT: Span = Setting::new(
        "WEBSOCKET_CLUSTER_HEARTBEAT",
        "heartbeat",
        Span::milliseconds(RAFT_MS_MIN, RAFT_MS_MAX),
        "Between Raft heartbeats",
    )
    .default("50ms");

    ELECTION_MIN: Span = Setting::new(
        "WEBSOCKET_CLUSTER_ELECTION_MIN",
        "election-min",
        Span::milliseconds(RAFT_MS_MIN, RAFT_MS_MAX),
        "A follower waits at least this long for its leader",
    )
    .default("150ms");

    ELECTION_MAX: Span = Setting::new(
        "WEBSOCKET_CLUSTER_ELECTION_MAX",
        "election-max",
        Span::milliseconds(RAFT_MS_MIN, RAFT_MS_MAX),
        "And at most this long; also the leader's lease",
    )
    .default("300ms");

    ISOLATION_AFTER: Span = Setting::new(
        "WEBSOCKET_CLUSTER_ISOLATION_AFTER",
        "isolation-after",
        Span::milliseconds(2 * RAFT_MS_MIN, 600_000),
        "Without a quorum for this long the node lets its clients go; at least two leases",
    )
    .unset("5s, or a second less than the ping interval and time-out together, but at least 3s and two leases");

    NODE_DOWN_AFTER: Span = Setting::new(
        "WEBSOCKET_CLUSTER_NODE_DOWN_AFTER",
        "node-down-after",
        Span::milliseconds(2 * RAFT_MS_MIN, 600_000),
        "A peer unheard for this long is declared down; at least two leases",
    )
    .default("6s");

    REPLACE_AFTER: Span = Setting::new(
        "WEBSOCKET_CLUSTER_REPLACE_AFTER",
        "replace-after",
        Span::seconds(1, 86_400),
        "A voter unheard for this long is replaced by a caught-up learner, if there is one",
    )
    .unset("30s, or as long as a peer takes to be declared down");

    SNAPSHOT_ENTRIES: Number = Setting::new(
        "WEBSOCKET_CLUSTER_SNAPSHOT_ENTRIES",
        "snapshot-entries",
        Number::new(100, 100_000_000),
        "Log entries between snapshots; each node adds up to half as many, so that not all are busy at once",
    )
    .default("50000");

    SNAPSHOT_LOG_SIZE: Size = Setting::new(
        "WEBSOCKET_CLUSTER_SNAPSHOT_LOG_SIZE",
        "snapshot-log-size",
        Size::new(16 << 20, 1 << 40),
        "Bytes of log after which a snapshot is taken however few entries they are, on each node up to half as many more; a quarter stays behind it, and twice as much for a follower that is taking a snapshot",
    )
    .default("1GiB");
}
