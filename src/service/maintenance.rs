//! Maintenance: a node that an operator has taken out of the balancers' sight; its sockets stay, new ones go elsewhere.
//!
//! Which nodes are in maintenance is one entry of the replicated store, exchanged by compare-and-set: of two nodes that ask
//! at the same moment, the second one's write is refused in the one order, and it looks again. So the bounds below hold for
//! the cluster, and the flag outlives restarts. Docs: decision 0016.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use vedfolnir_cluster::state::{
    Command, KvDelete, KvEntry, KvExpected, KvPut, KvRefusal, LogPosition, Response, State,
};
use vedfolnir_cluster::{ProposeError, ReadError};

use super::{Inner, Service};
use crate::observability::unix_ms;

/// Where it is in the replicated store.
const KEY: &str = "\0vedfolnir/maintenance";
/// A quorum that has not confirmed the change by then does not.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(5);
/// Nodes that ask at the same moment have at most so many others before them; nine can vote.
const ATTEMPTS_MAX: usize = 32;

/// The nodes that are in maintenance, by id (16 hexadecimal digits).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Document {
    nodes: BTreeMap<String, Since>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Since {
    /// Milliseconds since 1970, by the clock of the node that was asked.
    since_ms: u64,
}

/// The entry as it was read last, so that a handshake does not have to parse it.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<(Option<LogPosition>, Arc<Document>)>);

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaintenanceError {
    /// Too few would be left.
    #[error("{0}; --force does it all the same")]
    TooFew(String),
    /// No quorum took it.
    #[error("no quorum took the change: {0}; whether it was made is unknown, and it is safe to ask again")]
    NotCommitted(String),
}

impl From<ProposeError> for MaintenanceError {
    fn from(error: ProposeError) -> Self {
        Self::NotCommitted(error.to_string())
    }
}

impl From<ReadError> for MaintenanceError {
    fn from(error: ReadError) -> Self {
        Self::NotCommitted(error.to_string())
    }
}

impl Document {
    fn of(entry: &KvEntry) -> Self {
        serde_json::from_slice(&entry.value).unwrap_or_default()
    }
}

fn entry(state: &State) -> Option<KvEntry> {
    state.kv_get(KEY)
}

/// Whether enough members go on serving when a node goes into maintenance: half of them at least, and one besides it.
/// Members are given by id, and whether each lives.
fn enough<'m>(
    members: impl Iterator<Item = (&'m str, bool)>,
    document: &Document,
    node: &str,
) -> Result<(), MaintenanceError> {
    let (mut count, mut serving) = (0, 0);
    for (id, live) in members {
        count += 1;
        serving += usize::from(live && id != node && !document.nodes.contains_key(id));
    }
    if serving == 0 {
        return Err(MaintenanceError::TooFew("no other node would take clients".to_owned()));
    }
    if serving * 2 < count {
        let reason = format!("only {serving} of {count} nodes would take clients, less than half");
        return Err(MaintenanceError::TooFew(reason));
    }
    Ok(())
}

impl Service {
    /// Puts this node into maintenance, or back into service; says whether that changed anything.
    ///
    /// # Errors
    /// [`MaintenanceError`]: without `force`, when too few nodes would be left; without a quorum.
    pub async fn set_maintenance(&self, on: bool, force: bool) -> Result<bool, MaintenanceError> {
        let changed = tokio::time::timeout(CONFIRMED_WITHIN, set(&self.inner, on, force)).await;
        changed.unwrap_or_else(|_| Err(MaintenanceError::NotCommitted(format!("not within {CONFIRMED_WITHIN:?}"))))
    }

    /// The nodes that are in maintenance, as this node knows them, and since when (milliseconds since 1970).
    #[must_use]
    pub fn maintained(&self) -> Vec<(String, u64)> {
        let document = self.inner.maintained();
        document.nodes.iter().map(|(id, since)| (id.clone(), since.since_ms)).collect()
    }
}

async fn set(service: &Arc<Inner>, on: bool, force: bool) -> Result<bool, MaintenanceError> {
    for _ in 0..ATTEMPTS_MAX {
        // What was committed before this was asked counts, whoever committed it.
        service.cluster.read_index(CONFIRMED_WITHIN).await?;
        let status = service.cluster.status();
        let found = service.cluster.read(entry);
        let mut document = found.as_ref().map(Document::of).unwrap_or_default();
        if document.nodes.contains_key(&status.node_id) == on {
            return Ok(false);
        }
        // Those that have left the cluster count no more.
        document.nodes.retain(|id, _| status.nodes.iter().any(|member| member.id == *id));
        if on {
            if !force {
                let members = status.nodes.iter().map(|member| (member.id.as_str(), member.live));
                enough(members, &document, &status.node_id)?;
                if !service.has_open_peer().await {
                    return Err(MaintenanceError::TooFew("no other node takes clients now".to_owned()));
                }
            }
            let since_ms = unix_ms(SystemTime::now());
            document.nodes.insert(status.node_id.clone(), Since { since_ms });
        } else {
            document.nodes.remove(&status.node_id);
        }
        let expected = found.map_or(KvExpected::Absent, |entry| KvExpected::Revision(entry.revision));
        match service.cluster.propose(write(&document, expected)?)?.await? {
            Response::KvStored { .. } | Response::KvDeleted { .. } => {
                tracing::info!(
                    event_type = if on { "maintenance_on" } else { "maintenance_off" },
                    forced = force,
                    "the node's maintenance was changed"
                );
                return Ok(true);
            }
            // Another node's change came first.
            Response::KvRefused(KvRefusal::Conflict { .. }) => {}
            response => return Err(MaintenanceError::NotCommitted(format!("the store answered {response:?}"))),
        }
    }
    Err(MaintenanceError::NotCommitted("other nodes changed it again and again".to_owned()))
}

fn write(document: &Document, expected: KvExpected) -> Result<Command, MaintenanceError> {
    let key: Arc<str> = KEY.into();
    if document.nodes.is_empty() {
        return Ok(Command::KvDelete(KvDelete { key, expected }));
    }
    let value = serde_json::to_vec(document).map_err(|error| MaintenanceError::NotCommitted(error.to_string()))?;
    Ok(Command::KvPut(KvPut { key, value: value.into(), ttl_ms: None, expected }))
}

impl Inner {
    fn maintained(&self) -> Arc<Document> {
        let found = self.cluster.read(entry);
        let mut known = self.maintenance.0.lock();
        let revision = found.as_ref().map(|entry| entry.revision);
        if known.0 != revision {
            *known = (revision, Arc::new(found.as_ref().map(Document::of).unwrap_or_default()));
        }
        Arc::clone(&known.1)
    }

    /// Whether this node is in maintenance.
    pub(crate) fn is_in_maintenance(&self) -> bool {
        let document = self.maintained();
        !document.nodes.is_empty() && document.nodes.contains_key(&format!("{:016x}", self.cluster.incarnation().node))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn document(nodes: &[&str]) -> Document {
        Document { nodes: nodes.iter().map(|id| ((*id).to_owned(), Since { since_ms: 1 })).collect() }
    }

    #[test]
    fn at_least_half_of_the_members_and_one_besides_it_go_on_serving() {
        let may = |lives: &[(&'static str, bool)], maintained: &[&str], node: &str| {
            enough(lives.iter().copied(), &document(maintained), node).map_err(|error| error.to_string())
        };
        let three = [("a", true), ("b", true), ("c", true)];
        assert_eq!(may(&three, &[], "a"), Ok(()));
        assert!(may(&three, &["b"], "a").is_err_and(|reason| reason.contains("only 1 of 3")));
        let one_dead = [("a", true), ("b", false), ("c", true)];
        assert!(may(&one_dead, &[], "a").is_err_and(|reason| reason.contains("only 1 of 3")));
        assert_eq!(may(&[("a", true), ("b", true)], &[], "a"), Ok(()));
        assert!(may(&[("a", true)], &[], "a").is_err_and(|reason| reason.contains("no other node")));
        assert!(may(&[("a", true), ("b", true)], &["b"], "a").is_err_and(|reason| reason.contains("--force")));
        let five = ["a", "b", "c", "d", "e"].map(|id| (id, true));
        assert_eq!(may(&five, &["b"], "a"), Ok(()));
        assert!(may(&five, &["b", "c"], "a").is_err());
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_is_no_entry() {
        let written = write(&document(&["a"]), KvExpected::Absent).unwrap();
        let Command::KvPut(put) = written else { panic!("{written:?}") };
        let entry = KvEntry { key: put.key, value: put.value, revision: LogPosition::new(1, 0), expires_in_ms: None };
        assert_eq!(Document::of(&entry), document(&["a"]));
        assert!(matches!(write(&document(&[]), KvExpected::Anything), Ok(Command::KvDelete(_))));
    }
}
