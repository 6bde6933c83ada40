//! Assembles a node from its floors, and takes it apart again.

use openraft::async_runtime::WatchReceiver;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::{Config, SnapshotPolicy};
use tokio::sync::{mpsc, watch};
use vedfolnir_state::{NodeId, NodeInfo};
use vedfolnir_storage::{Storage, StorageError, StorageOptions};

use crate::compaction::{self, Transfers};
use crate::config::{ClusterConfig, ClusterTls};
use crate::handle::{Cluster, Inner, Notice, Readiness, StartError, StartKind};
use crate::identity::{LocalNode, random_bytes};
use crate::network::{Endpoint, Life, LocalIdentity, NetworkError, NetworkTls, Unwelcome};
use crate::proposer::Proposer;
use crate::raft::Raft;
use crate::raft_network::{AddressBook, NetworkFactory};
use crate::readiness::Contact;
use crate::reads::Reads;
use crate::replica::Replica;
use crate::server::PeerHandler;
use crate::signer::Signer;
use crate::state_machine::StateMachine;
use crate::status::ClusterMetrics;
use crate::{
    bootstrap, disk_watchdog, enrol, incarnation, join, leader, propose_driver, readiness, remove, signer, transfer,
};

/// Between two looks at whether the cluster knows this node's address, and still counts it in.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Who has not heard of a leader for this long asks after itself.
const ASK_AFTER: Duration = Duration::from_secs(2);
/// How often this node looks whether Raft still runs.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A data directory that is held for longer than this is in use.
const DIRECTORY_HELD_MAX: Duration = Duration::from_secs(2);
/// And so is a port. QUIC keeps it until the last connection of an earlier life is over, which its peers may not notice.
const PORT_HELD_MAX: Duration = Duration::from_secs(6);
const HELD_RETRY: Duration = Duration::from_millis(20);
/// A log entry is a batch of 1 MiB at most: this many in one append keep a frame below its bound.
const APPEND_ENTRIES_MAX: u64 = 64;

pub(crate) async fn start(mut config: ClusterConfig) -> Result<(Cluster, mpsc::Receiver<Notice>), StartError> {
    check(&config)?;
    let open = || Storage::open(&config.data_dir, StorageOptions::default());
    let storage = once_free(DIRECTORY_HELD_MAX, open, StorageError::is_locked).await;
    let storage = storage.map_err(StartError::storage)?;
    let local = LocalNode::open(storage.clone(), config.format_version)?;
    config.node_info.process = u64::from_le_bytes(random_bytes()?);
    let life = Life { generation: local.incarnation().generation, process: config.node_info.process };
    let hello = LocalIdentity::new(local.node_id(), local.cluster_id())
        .speaking(u16::from(config.format_version.number()), life);
    let hello = Arc::new(hello);
    config.tls = enrol::settle(&config, local.node_id()).await?;
    let tls = NetworkTls::load(&config.tls).map_err(|error| StartError::Refused(error.to_string()))?;
    let authority = tls.authority();
    let authorities = match &config.tls {
        ClusterTls::Mutual { ca_file, .. } => signer::read_authorities(ca_file)?,
        _ => Vec::new(),
    };
    let signer = config.tls_ca_key.as_deref().map(|key| Signer::load(&authorities, key)).transpose()?;
    config.node_info.version = env!("CARGO_PKG_VERSION").to_owned();
    config.node_info.signs = signer.is_some();
    let handler = Arc::new(PeerHandler { node: std::sync::OnceLock::new() });
    let bind = || Endpoint::bind(config.bind, tls.clone(), Arc::clone(&hello), Arc::clone(&handler) as _);
    let endpoint = once_free(PORT_HELD_MAX, bind, |error| matches!(error, NetworkError::AddrInUse { .. })).await;
    let endpoint = endpoint.map_err(|error| StartError::Refused(error.to_string()))?;
    let cluster_addr = advertised(&config, endpoint.local_addr())?;
    config.node_info.cluster_addr.clone_from(&cluster_addr);

    let metrics = Arc::new(ClusterMetrics::default());
    let (replica, notices) = Replica::new(Arc::clone(&metrics));
    if config.traces {
        replica.arrivals.turn_on();
    }
    let proposer = Arc::new(Proposer::new(local.incarnation(), Arc::clone(&metrics)));
    let snapshots = storage.snapshots();
    let machine = StateMachine::open(
        Arc::clone(&replica),
        Arc::clone(&proposer),
        snapshots.clone(),
        local.clone(),
        config.format_version,
    )
    .await
    .map_err(|error| StartError::Refused(format!("the newest snapshot cannot be used: {error}")))?;
    let addresses = AddressBook::default();
    let transfers = Transfers::default();
    let log_store = storage.log_store();
    #[cfg(not(feature = "simulation"))]
    let log = log_store.reader();
    let raft = Raft::open(
        local.node_id(),
        Arc::new(raft_config(&config, local.node_id())?),
        NetworkFactory { endpoint: endpoint.clone(), addresses: addresses.clone(), transfers: transfers.clone() },
        log_store,
        machine,
    )
    .await
    .map_err(|error| StartError::Refused(format!("the log cannot be used: {error}")))?;
    addresses.open(&raft);

    let starting = Readiness { ready: false, isolated: false, reason: Some("starting".to_owned()) };
    let (readiness_sender, readiness) = watch::channel(starting);
    let inner = Arc::new(Inner {
        config,
        cluster_addr,
        local,
        hello,
        endpoint,
        storage,
        snapshots,
        transfers,
        #[cfg(not(feature = "simulation"))]
        log,
        raft,
        replica,
        proposer,
        metrics,
        contact: Contact::new(),
        reads: Reads::default(),
        authority,
        authorities,
        signer,
        membership_change: tokio::sync::Mutex::new(()),
        starting: Arc::default(),
        last_refusal: parking_lot::Mutex::new(std::collections::BTreeMap::new()),
        snapshot_refusal: parking_lot::Mutex::new(None),
        readiness,
        peer_service: std::sync::OnceLock::new(),
        questions: tokio::sync::Semaphore::new(crate::question::QUESTIONS_MAX),
        fatal: watch::channel(None).0,
    });
    let weak = Arc::downgrade(&inner);
    // The handler was made two lines above its endpoint and is set nowhere else.
    let _ = handler.node.set(weak.clone());

    let settled = tokio::select! {
        biased;
        reason = unwelcome(&inner) => Err(StartError::Refused(reason)),
        kind = settle(&inner) => kind,
    };
    let kind = match settled {
        Ok(kind) => kind,
        Err(error) => {
            shutdown(&inner).await;
            return Err(error);
        }
    };
    inner.replica.attach();
    tokio::spawn(incarnation::run(weak.clone()));
    tokio::spawn(propose_driver::run(weak.clone()));
    tokio::spawn(leader::run(weak.clone()));
    tokio::spawn(disk_watchdog::run(weak.clone()));
    tokio::spawn(compaction::run(weak.clone()));
    tokio::spawn(readiness::run(weak.clone(), readiness_sender));
    announce_address(&inner);
    tokio::spawn(watch_for_failure(weak.clone()));
    tokio::spawn(watch_for_unwelcome(weak));
    Ok((Cluster::of(inner, kind), notices))
}

/// Opens what an earlier life may still hold: its last tasks end a moment after its shutdown, its process a moment after
/// its supervisor has started the next one.
async fn once_free<T, E>(
    held_max: Duration,
    mut open: impl FnMut() -> Result<T, E>,
    is_held: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let deadline = tokio::time::Instant::now() + held_max;
    loop {
        match open() {
            Err(error) if is_held(&error) && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(HELD_RETRY).await;
            }
            result => return result,
        }
    }
}

/// Settles which cluster the node belongs to.
async fn settle(node: &Arc<Inner>) -> Result<StartKind, StartError> {
    let expect = match (node.config.bootstrap_expect, node.config.bootstrap.is_empty()) {
        (Some(expect), _) => Some(expect),
        (None, true) => Some(1),
        (None, false) => None,
    };
    if node.is_initialized().await? {
        if node.local.cluster_id().is_none()
            && let Some(plan) = node.local.plan()
        {
            node.adopt(plan.cluster_id)?;
        }
        bootstrap::refuse_foreign_peers(node).await?;
        return Ok(StartKind::Restarted);
    }
    match (node.local.plan(), expect) {
        // A crash between promise and initialisation: the plan is carried to its end.
        (Some(plan), _) if plan.members.len() == 1 => {
            bootstrap::form_alone(node).await?;
            Ok(StartKind::Initialized)
        }
        (Some(plan), _) => bootstrap::form_or_join(node, plan.members.len()).await,
        // A crash between adoption and the first log entry of a joiner.
        (None, _) if node.local.cluster_id().is_some() => join::join(node).await,
        (None, Some(1)) if node.config.bootstrap.is_empty() => {
            bootstrap::form_alone(node).await?;
            Ok(StartKind::Initialized)
        }
        (None, Some(expect)) => bootstrap::form_or_join(node, expect).await,
        (None, None) => join::join(node).await,
    }
}

/// Resolves once a peer says that this node must not come in; with what is to be said about it.
async fn unwelcome(node: &Inner) -> String {
    let mut told = node.hello.unwelcome();
    let why = match told.wait_for(Option::is_some).await {
        Ok(why) => why.clone(),
        Err(_) => None,
    };
    match why {
        None => std::future::pending().await,
        Some(Unwelcome::Stale(reason) | Unwelcome::Outdated(reason)) => reason,
        Some(Unwelcome::Removed(_)) => {
            if let Err(error) = node.local.mark_removed() {
                tracing::error!(%error, "the data directory could not be marked");
            }
            format!(
                "{}: start it with an empty data directory to join as a new node",
                remove::removed_line(node, node.local.node_id())
            )
        }
    }
}

/// A node that is told so while it runs stops.
async fn watch_for_unwelcome(weak: std::sync::Weak<Inner>) {
    let Some(node) = weak.upgrade() else { return };
    let mut told = node.hello.unwelcome();
    drop(node);
    if told.wait_for(Option::is_some).await.is_err() {
        return;
    }
    if let Some(node) = weak.upgrade().filter(|node| !node.proposer.is_closed()) {
        node.fail(unwelcome(&node).await);
    }
}

/// A member tells its address again after a restart, until a leader knows it. One that hears of no leader asks after
/// itself in the same way: its peers tell it if it was removed, which a learner would never notice otherwise.
fn announce_address(node: &Arc<Inner>) {
    let weak = Arc::downgrade(node);
    tokio::spawn(async move {
        loop {
            let Some(node) = weak.upgrade() else { return };
            let known = {
                let metrics = node.raft.server_metrics();
                let metrics = metrics.borrow_watched();
                metrics.membership_config.get_node(&node.local.node_id()).map(|member| member.addr.clone())
            };
            let is_known = known.as_deref() == Some(node.cluster_addr.as_str());
            if !is_known && node.leads() && known.is_some() {
                // Nobody else is there to be told: a node that was restored, or the only one after its port has changed.
                join::tell_own_address(&node).await;
            }
            if is_known && node.contact.age(Instant::now()) < ASK_AFTER {
                drop(node);
                tokio::time::sleep(ASK_EVERY).await;
                continue;
            }
            let mut through: Vec<String> = node.other_members().into_iter().map(|(_, addr)| addr).collect();
            through.extend(node.config.bootstrap.iter().cloned());
            for addr in through {
                match join::join_through(&node, &addr).await {
                    Ok(Some(_)) => break,
                    Ok(None) => {}
                    Err(error) => {
                        node.fail(error.to_string());
                        return;
                    }
                }
            }
            drop(node);
            tokio::time::sleep(ASK_EVERY).await;
        }
    });
}

/// Contradictions that would only show later, at a worse moment.
fn check(config: &ClusterConfig) -> Result<(), StartError> {
    let timing = &config.timing;
    if timing.heartbeat_ms == 0
        || timing.heartbeat_ms * 2 > timing.election_ms_min
        || timing.election_ms_min >= timing.election_ms_max
    {
        return Err(StartError::Refused(format!(
            "Raft timing {timing:?}: a heartbeat must be at most half of the shortest election time-out, \
             and that shorter than the longest"
        )));
    }
    if config.voters_max.is_multiple_of(2) {
        return Err(StartError::Refused(format!("voters at most {}: an odd number is needed", config.voters_max)));
    }
    Ok(())
}

fn advertised(config: &ClusterConfig, bound: SocketAddr) -> Result<String, StartError> {
    match &config.advertise {
        Some(addr) => Ok(addr.clone()),
        None if bound.ip().is_unspecified() => Err(StartError::Refused(format!(
            "--cluster-addr (WEBSOCKET_CLUSTER_ADDR) {bound} is no address that peers can reach: \
             add --cluster-advertise HOST:PORT"
        ))),
        None => Ok(bound.to_string()),
    }
}

fn raft_config(config: &ClusterConfig, node: NodeId) -> Result<Config, StartError> {
    let every = config.snapshot_every_entries.max(1);
    let raft = Config {
        cluster_name: "vedfolnir".to_owned(),
        heartbeat_interval: config.timing.heartbeat_ms,
        election_timeout_min: config.timing.election_ms_min,
        election_timeout_max: config.timing.election_ms_max,
        max_payload_entries: APPEND_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(compaction::own_pace(every, node)),
        // compaction.rs purges.
        max_in_snapshot_log_to_keep: u64::MAX,
        replication_lag_threshold: every * 2,
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    raft.validate().map_err(|error| StartError::Refused(format!("Raft timing {:?}: {error}", config.timing)))
}

/// A disk error or a stopped Raft core ends the node.
async fn watch_for_failure(weak: std::sync::Weak<Inner>) {
    let Some(node) = weak.upgrade() else { return };
    let storage = node.storage.clone();
    let running = node.raft.metrics();
    let mut ended = node.raft.server_metrics();
    drop(node);
    let reason = tokio::select! {
        reason = storage.failed() => format!("the disk failed: {reason}"),
        reason = async {
            let stopped = || running.borrow_watched().running_state.as_ref().err().map(ToString::to_string);
            loop {
                if let Some(reason) = stopped() {
                    return reason;
                }
                // These metrics change with every entry: looked at now and then, not followed.
                if let Ok(Err(_)) = tokio::time::timeout(LOOK_EVERY, ended.changed()).await {
                    // It said why before it ended, perhaps since the last look.
                    return stopped().unwrap_or_else(|| "Raft stopped".to_owned());
                }
            }
        } => reason,
    };
    if let Some(node) = weak.upgrade().filter(|node| !node.proposer.is_closed()) {
        node.fail(reason);
    }
}

pub(crate) async fn shutdown(node: &Inner) {
    let began = Instant::now();
    transfer::transfer_leadership(node).await;
    // From here on the end of Raft and of this life are no faults.
    node.proposer.close();
    node.replica.wake_followers();
    if node.local.cluster_id().is_some() && node.hello.unwelcome().borrow().is_none() {
        incarnation::farewell(node).await;
    }
    if let Err(error) = node.raft.shutdown().await {
        tracing::warn!(%error, "Raft did not stop cleanly");
    }
    node.endpoint.close();
    tracing::info!(elapsed_ms = began.elapsed().as_millis() as u64, "the cluster floor stopped");
}

/// What this node tells the cluster about itself.
pub(crate) fn node_info(node: &Inner) -> NodeInfo {
    node.config.node_info.clone()
}
