//! Bugs that the harnesses must find: the one list of them, and which of them is in.
//!
//! The floors ask [`is`] where a bug would be, by hooks in the other files of this directory; these are compiled only with
//! the feature `planted-bugs`, which no build for users has. Without a selected bug every hook is the correct behaviour.
//! docs/planted-bugs.md says who finds which.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// Names the bug in the environment of a program that was built with the feature `planted-bugs`.
pub const VARIABLE: &str = "VEDFOLNIR_PLANTED_BUG";

/// Where a bug is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// `src/protocol/`.
    Protocol,
    /// `cluster/state/`.
    State,
    /// `storage/`; in the simulator its disk.
    Storage,
    /// `cluster/`.
    Cluster,
    /// `cluster/network/`.
    Network,
    /// `src/service/`.
    Service,
    /// `src/app/`.
    App,
    /// `src/server.rs`.
    Supervision,
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protocol => "protocol",
            Self::State => "state",
            Self::Storage => "storage",
            Self::Cluster => "cluster",
            Self::Network => "network",
            Self::Service => "service",
            Self::App => "app",
            Self::Supervision => "supervision",
        })
    }
}

/// Whether the simulator runs the code that a bug is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// In the simulator and in the program.
    Everywhere,
    /// In the program only.
    Program,
}

macro_rules! bugs {
    ($($variant:ident $name:literal $floor:ident $reach:ident $promises:literal: $what:literal;)*) => {
        /// One planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $(#[doc = $what] $variant,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As it is named on the command line and in the environment.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What is wrong.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$variant => $what,)* }
            }

            /// Where it is.
            #[must_use]
            pub const fn floor(self) -> Floor {
                match self { $(Self::$variant => Floor::$floor,)* }
            }

            /// Which invariants it breaks, as they are numbered in docs/simulation.md; I6 is the time of a failover, I7 the
            /// bound on memory, `-` a promise of another kind.
            #[must_use]
            pub const fn promises(self) -> &'static str {
                match self { $(Self::$variant => $promises,)* }
            }

            const fn reach(self) -> Reach {
                match self { $(Self::$variant => Reach::$reach,)* }
            }
        }
    };
}

bugs! {
    SkipFsync "skip-fsync" Storage Everywhere "I2, I5": "the disk acknowledges before it has synced";
    VoteNotPersisted "vote-not-persisted" Storage Everywhere "I5": "a vote is never written";
    TailDropped "tail-dropped" Storage Everywhere "I2, I5": "a start takes the last entry for one that was not written whole";
    AckBeforeCommit "ack-before-commit" Cluster Everywhere "I2": "a publish is answered before it is committed";
    ApplyTwice "apply-twice" Cluster Everywhere "I5": "after a restart entries are applied twice";
    NoSequenceCheck "no-sequence-check" State Everywhere "I2": "proposals repeated after a change of the leader are executed again";
    NodeDownIgnored "node-down-ignored" State Everywhere "I4": "a life that was declared down goes on proposing";
    GenerationKept "generation-kept" Cluster Everywhere "I8": "a restarted node goes on as its last life";
    ResumeKeepsEpoch "resume-keeps-epoch" State Everywhere "I4": "a resume does not raise the epoch";
    StaleResume "stale-resume" State Everywhere "I1": "a resume does not compare the epoch that its node saw";
    ExpiryByWallClock "expiry-by-wall-clock" State Everywhere "I3, I5": "ticks follow each node's wall clock";
    ReplayByTodaysRooms "replay-by-todays-rooms" State Everywhere "I2": "a replay looks at the rooms of today";
    ExceptIgnoredInReplay "except-ignored-in-replay" State Everywhere "I2": "a replay sends what excludes the session";
    SeamOffByOne "seam-off-by-one" State Everywhere "I2": "a replay repeats the last event seen";
    SnapshotLosesRooms "snapshot-loses-rooms" State Everywhere "I2, I5": "a snapshot forgets the memberships";
    ResyncNotTold "resync-not-told" Cluster Everywhere "I2": "an installed snapshot is not told to the service";
    ReadUnconfirmed "read-unconfirmed" Cluster Everywhere "I1": "a leader answers reads without asking a quorum";
    ReadTooEarly "read-too-early" Cluster Everywhere "I1": "a read does not wait for its replica";

    HoleNotSaid "hole-not-said" State Everywhere "I2": "a session is recovered although history that it missed was dropped";
    ResumeOnlyOnce "resume-only-once" State Everywhere "I3": "a session that was resumed cannot be resumed again";
    LiveTooEarly "live-too-early" Service Everywhere "I2": "a replay ends before the live events begin: what lies between is lost";
    ProposalsNotResent "proposals-not-resent" Cluster Everywhere "I8": "what was on its way to a leader that died is not sent to the next";
    CompareAndSetIgnored "compare-and-set-ignored" State Everywhere "I1": "a conditional write does not look at what is there";
    OwnerUnchecked "owner-unchecked" State Program "-": "a resume does not compare the user: whoever has the secret gets the session";
    SeamSendsBoth "seam-sends-both" Service Program "I2": "what is published while a session catches up is sent live and replayed";
    SlowReaderDrops "slow-reader-drops" Service Program "I2": "what a full outbox has no room for is dropped, and its reader not told";
    SlowReaderUnbounded "slow-reader-unbounded" Service Program "I7": "the outbox of a client that does not read has no bound";
    ReplayWithoutOffset "replay-without-offset" Service Program "I2": "replayed events carry no offset: the next resume gets them again";
    RoomsLostOnResume "rooms-lost-on-resume" Service Program "I2": "the node that a session is resumed on forgets its rooms";
    ResumeUnderNewSid "resume-under-new-sid" Service Program "I3": "the answer to a resume names another sid";
    OldOwnerNotFenced "old-owner-not-fenced" Service Program "I4": "the old owner of a session keeps its socket and goes on delivering";
    DisconnectEndsSession "disconnect-ends-session" Service Program "I3": "a session ends with its transport instead of waiting for its client";
    PostHandledTwice "post-handled-twice" Service Program "I2": "the events of a polling POST are handled twice";
    UpgradeDropsQueued "upgrade-drops-queued" Service Program "I2": "what polls are answered with while a WebSocket probes is lost";
    TwoWriters "two-writers" Service Program "I2": "two tasks write to one WebSocket and overtake each other";
    DrainDisconnects "drain-disconnects" Service Program "I3, I8": "a node that stops sends its clients a 41, after which they stay away";
    MinorityKeepsClients "minority-keeps-clients" Service Program "I6, I8": "a node without a quorum keeps its clients";
    BinaryWithoutOffset "binary-without-offset" Protocol Program "I2": "events with attachments carry no offset: a resume gets them again";
    PingTimeoutIgnored "ping-timeout-ignored" Protocol Program "I7, I8": "a client that answers no ping is never let go";
    TimeoutAcked "timeout-acked" App Program "I2": "a publish that no quorum took in time is acknowledged";
    NodeDownNever "node-down-never" Cluster Program "I8": "a dead node is never declared down: its sessions count as connected for ever";
    WipedNodeKeepsId "wiped-node-keeps-id" Cluster Program "I5, I8": "a node whose disk was wiped comes back under its old id";
    ClusterIdUnchecked "cluster-id-unchecked" Network Program "I5": "a node of another cluster is let in";
    ExpiredCertificateAccepted "expired-certificate-accepted" Network Program "-": "a peer's certificate is good after it has expired";
    WalLeftOut "wal-left-out" Storage Program "I2, I8": "the log is written without RocksDB's write-ahead log";
    DiskErrorSwallowed "disk-error-swallowed" Storage Program "I2, I8": "a write that failed is acknowledged";
    MarkerIgnored "marker-ignored" Storage Program "I2, I5": "a log that has lost its end since goes on voting";
    SnapshotUnchecked "snapshot-unchecked" Storage Program "I5": "a snapshot's checksum is not compared";
    FatalIgnored "fatal-ignored" Supervision Program "I8": "a node whose disk failed does not stop";
}

impl Bug {
    /// Whether the simulator runs the code that it is in.
    #[must_use]
    pub fn is_simulated(self) -> bool {
        self.reach() == Reach::Everywhere
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}: {})", self.name(), self.floor(), self.what())
    }
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|bug| bug.name() == name).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|bug| bug.name()).collect();
            format!("no bug {name}; there are: {}", known.join(", "))
        })
    }
}

static SELECTED: OnceLock<Result<Option<Bug>, String>> = OnceLock::new();

/// Puts a bug in, or none, whatever the environment says; the first call in a process stands.
pub fn select(bug: Option<Bug>) {
    SELECTED.get_or_init(|| Ok(bug));
}

/// Whether this bug is in.
#[must_use]
pub fn is(bug: Bug) -> bool {
    selected() == &Ok(Some(bug))
}

/// Says loudly what this program is.
///
/// # Errors
/// The environment names a bug that there is not; with the list.
pub fn announce() -> Result<(), String> {
    let purpose = "it is for chaos tests and never for users";
    match selected() {
        Ok(Some(bug)) => eprintln!("!!! THIS VEDFOLNIR HAS A PLANTED BUG, {purpose}: {bug}"),
        Ok(None) => eprintln!("!!! THIS VEDFOLNIR CAN HAVE PLANTED BUGS, {purpose}; {VARIABLE} selects none"),
        Err(refusal) => return Err(format!("{VARIABLE}: {refusal}")),
    }
    Ok(())
}

fn selected() -> &'static Result<Option<Bug>, String> {
    SELECTED.get_or_init(|| {
        let name = std::env::var(VARIABLE).unwrap_or_default();
        if name.is_empty() { Ok(None) } else { name.parse().map(Some) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_none_is_refused_with_the_list() {
        let refusal = "no-such-bug".parse::<Bug>().err().unwrap_or_default();
        assert!(Bug::ALL.iter().all(|bug| refusal.contains(bug.name())), "{refusal}");
        assert!(Bug::ALL.iter().all(|bug| bug.name().parse() == Ok(*bug)), "every name is that of one bug");
    }

    #[test]
    fn the_document_names_every_bug_as_the_list_does() {
        let document = include_str!("../../docs/planted-bugs.md");
        for bug in Bug::ALL {
            let row = format!("| `{}` | {} | {} | {} |", bug.name(), bug.what(), bug.floor(), bug.promises());
            assert!(document.contains(&row), "docs/planted-bugs.md has no row that begins with {row}");
        }
        assert_eq!(document.lines().filter(|line| line.starts_with("| `")).count(), Bug::ALL.len());
    }
}
