//! Who this node is, durably: its id, its cluster, its generation, and the cluster it has promised to form.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use vedfolnir_state::{Format, Incarnation, NodeId};
use vedfolnir_storage::Storage;

use crate::admission;
use crate::handle::StartError;
use crate::wire::{self, ClusterId, FormationPlan};

pub(crate) const IDENTITY_KEY: &str = "identity";

/// The durable record. Its layout is the same in both formats; a binary that does not know the version says so.
/// `generation` is written before it is used, so no two lives share one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IdentityRecord {
    /// The format of its cluster, as far as the node has seen: one that speaks less must not start on it.
    pub(crate) version: u8,
    pub(crate) node_id: NodeId,
    pub(crate) generation: u64,
    pub(crate) cluster_id: Option<ClusterId>,
    pub(crate) plan: Option<FormationPlan>,
    /// The cluster removed the node: it must not come back under this identity.
    #[serde(default)]
    pub(crate) removed: bool,
}

impl IdentityRecord {
    /// A node that has never lived.
    pub(crate) fn draw() -> Result<Self, StartError> {
        Ok(Self {
            version: Format::FIRST.number(),
            node_id: random_node_id()?,
            generation: 0,
            cluster_id: None,
            plan: None,
            removed: false,
        })
    }
}

/// The node's identity; every change is on disk before the call returns.
#[derive(Clone)]
pub(crate) struct LocalNode {
    storage: Storage,
    record: Arc<Mutex<IdentityRecord>>,
}

impl LocalNode {
    /// Reads the identity, or draws one for an empty data directory, and begins a new generation.
    ///
    /// `speaks`: the highest format that the node may speak.
    pub(crate) fn open(storage: Storage, speaks: Format) -> Result<Self, StartError> {
        let stored = storage.get_meta(IDENTITY_KEY).map_err(StartError::storage)?;
        let mut record = match stored {
            Some(bytes) => wire::decode::<IdentityRecord>("node identity", &bytes)
                .map_err(|error| StartError::Refused(format!("the data directory holds {error}")))?,
            None => IdentityRecord::draw()?,
        };
        if record.version > speaks.number() {
            return Err(StartError::Refused(format!(
                "the data directory is of a cluster that writes format {}, {}",
                record.version,
                admission::speaks_too_little(record.version, speaks)
            )));
        }
        if record.removed {
            return Err(StartError::Refused(format!(
                "node {:016x} left or was removed from cluster {} and does not come back under that identity: \
                 start it with an empty data directory to join as a new node",
                record.node_id,
                record.cluster_id.map(|id| crate::hex(&id)).unwrap_or_default()
            )));
        }
        record.generation += 1;
        #[cfg(feature = "planted-bugs")]
        crate::planted::keep_generation(&mut record.generation);
        let node = Self { storage, record: Arc::new(Mutex::new(record)) };
        node.update(|_| ())?;
        Ok(node)
    }

    pub(crate) fn node_id(&self) -> NodeId {
        self.record.lock().node_id
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        let record = self.record.lock();
        Incarnation { node: record.node_id, generation: record.generation }
    }

    pub(crate) fn cluster_id(&self) -> Option<ClusterId> {
        self.record.lock().cluster_id
    }

    pub(crate) fn plan(&self) -> Option<FormationPlan> {
        self.record.lock().plan.clone()
    }

    /// Begins a new life after the old one was declared down.
    pub(crate) fn next_generation(&self) -> Result<Incarnation, StartError> {
        self.update(|record| {
            record.generation += 1;
            Incarnation { node: record.node_id, generation: record.generation }
        })
    }

    /// Binds the node to a plan, unless it is bound to another one.
    ///
    /// Returns the plan it is bound to after the call.
    pub(crate) fn promise(&self, plan: &FormationPlan) -> Result<FormationPlan, StartError> {
        self.update(|record| record.plan.get_or_insert_with(|| plan.clone()).clone())
    }

    /// Gives a promise back, if it is still the one for this cluster and no cluster was adopted.
    pub(crate) fn release(&self, cluster_id: ClusterId) -> Result<(), StartError> {
        self.update(|record| {
            if record.cluster_id.is_none() && record.plan.as_ref().is_some_and(|plan| plan.cluster_id == cluster_id) {
                record.plan = None;
            }
        })
    }

    /// The cluster writes this format from now on.
    pub(crate) fn raise_format(&self, format: Format) -> Result<(), StartError> {
        if self.record.lock().version >= format.number() {
            return Ok(());
        }
        self.update(|record| record.version = format.number())
    }

    /// The cluster removed the node.
    pub(crate) fn mark_removed(&self) -> Result<(), StartError> {
        self.update(|record| record.removed = true)
    }

    /// The node belongs to this cluster from now on.
    pub(crate) fn adopt(&self, cluster_id: ClusterId) -> Result<(), StartError> {
        self.update(|record| record.cluster_id = Some(cluster_id))
    }

    /// Changes the record, on disk first: memory never runs ahead of what a restart would find.
    fn update<R>(&self, change: impl FnOnce(&mut IdentityRecord) -> R) -> Result<R, StartError> {
        let mut record = self.record.lock();
        let mut changed = record.clone();
        let result = change(&mut changed);
        let bytes = wire::encode("node identity", &changed).map_err(|error| StartError::Refused(error.to_string()))?;
        self.storage.put_meta(IDENTITY_KEY, &bytes).map_err(StartError::storage)?;
        *record = changed;
        Ok(result)
    }
}

/// 63 random bits, never 0: JSON readers that keep integers as signed 64-bit numbers lose nothing.
pub(crate) fn random_node_id() -> Result<NodeId, StartError> {
    let id = u64::from_le_bytes(random_bytes()?) >> 1;
    #[cfg(feature = "planted-bugs")]
    let id = crate::planted::node_id(id);
    Ok(id.max(1))
}

/// Random bytes from the system.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| StartError::Refused(format!("the system has no random numbers: {error}")))?;
    Ok(bytes)
}
