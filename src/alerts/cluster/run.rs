//! The leader's watch over its cluster: looks, has decided what is to be told, sends it, has it settled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vedfolnir_cluster::state::{Command, KvExpected, KvPut, LogPosition, Response};
use vedfolnir_cluster::{Cluster, ClusterStatus};

use super::super::message::Message;
use super::super::post::Receiver;
use super::super::{AlertConfig, AlertStats, sender};
use super::ClusterAlertConfig;
use super::ledger::{KEY, Ledger, Speaker, Told};
use super::watch::{Finding, Subject, Watch};
use crate::backup::unix_seconds;
use crate::observability::Node;
use crate::observability::logging::unix_ms;

/// How often the leader looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A quorum confirms the leader, and commits what it decided, within this time, or not this time.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(3);

/// One term of leading.
struct Duty {
    term: u64,
    watch: Watch,
    /// Keys of messages that are being sent, or whose end is not committed yet.
    under_way: BTreeSet<String>,
    /// Ends with the term: whoever leads no more sends nothing.
    sending: JoinSet<String>,
    /// Keys of messages that were taken or given up.
    ended: BTreeSet<String>,
    /// The store did not take the ledger; said once.
    unwritten: bool,
}

impl Duty {
    fn new(term: u64) -> Self {
        Self {
            term,
            watch: Watch::new(Instant::now()),
            under_way: BTreeSet::new(),
            sending: JoinSet::new(),
            ended: BTreeSet::new(),
            unwritten: false,
        }
    }
}

/// What is to be done about the cluster, from one look.
struct Plan {
    ledger: Ledger,
    told: Vec<Told>,
}

/// Watches until `stop`.
pub(crate) async fn run(node: Arc<Node>, config: AlertConfig, cluster: ClusterAlertConfig, stop: CancellationToken) {
    let receiver = Receiver::new(&config);
    let mut duty: Option<Duty> = None;
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            Some(ended) = ended(&mut duty) => {
                let _ = duty.as_mut().map(|duty| duty.ended.insert(ended));
            }
            () = stop.cancelled() => return,
        }
        let Some(parts) = node.parts() else { continue };
        let status = parts.cluster.status();
        if !leads(&status) {
            duty = None;
            continue;
        }
        let current = match &mut duty {
            Some(current) if current.term == status.term => current,
            _ => duty.insert(Duty::new(status.term)),
        };
        tokio::select! {
            () = look(&node, &parts.cluster, &status, (&config, &receiver), &cluster, current) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// The next message that was taken or given up.
async fn ended(duty: &mut Option<Duty>) -> Option<String> {
    match duty {
        Some(duty) if !duty.sending.is_empty() => duty.sending.join_next().await?.ok(),
        _ => std::future::pending().await,
    }
}

fn leads(status: &ClusterStatus) -> bool {
    status.leader.as_deref() == Some(status.node_id.as_str())
}

async fn look(
    node: &Node,
    cluster: &Cluster,
    status: &ClusterStatus,
    (config, receiver): (&AlertConfig, &Receiver),
    bounds: &ClusterAlertConfig,
    duty: &mut Duty,
) {
    let mut findings = duty.watch.look(status, bounds, Instant::now());
    if let Some(backups) = node.backups() {
        findings.extend(super::backups::findings(backups, unix_seconds(SystemTime::now())));
    }
    if let Some(webhooks) = node.webhooks() {
        findings.extend([super::webhooks::finding(webhooks)]);
    }
    let (ledger, revision) = cluster.read(Ledger::read);
    let speaker = Speaker {
        server_id: node.server_id(),
        cluster_id: &status.cluster_id,
        now_ms: unix_ms(SystemTime::now()),
        cluster_time_ms: status.cluster_time_ms,
        repeat_ms: u64::try_from(config.repeat.as_millis()).unwrap_or(u64::MAX),
    };
    let plan = plan(&ledger, &findings, &duty.ended, &speaker);
    let is_new = |message: &Message| !duty.under_way.contains(&message.idempotency_key);
    if plan.ledger == ledger && !ledger.pending().any(|message| is_new(&message)) {
        return;
    }
    // What was seen counts only if this node led while it looked, and its replica shows what was committed before.
    if cluster.read_index(COMMIT_TIMEOUT).await.is_err() || !still_leads(cluster, duty.term) {
        return;
    }
    if cluster.read(Ledger::read).1 != revision {
        return;
    }
    if plan.ledger != ledger && !write(node, cluster, &plan.ledger, revision, duty).await {
        return;
    }
    for told in &plan.told {
        say(told);
    }
    duty.ended.clear();
    let pending: BTreeMap<String, Message> =
        plan.ledger.pending().map(|message| (message.idempotency_key.clone(), message)).collect();
    duty.under_way.retain(|key| pending.contains_key(key));
    for (key, message) in pending {
        if duty.under_way.insert(key.clone()) {
            let (receiver, stats) = (receiver.clone(), Arc::clone(node.alerts()));
            duty.sending.spawn(async move {
                sender::deliver(&receiver, &stats, &message).await;
                key
            });
        }
    }
}

fn plan(
    ledger: &Ledger,
    findings: &BTreeMap<Subject, Option<Finding>>,
    ended: &BTreeSet<String>,
    speaker: &Speaker<'_>,
) -> Plan {
    let mut next = ledger.clone();
    for key in ended {
        next.settle(key);
    }
    let told = next.judge(findings, speaker);
    Plan { ledger: next, told }
}

fn still_leads(cluster: &Cluster, term: u64) -> bool {
    let status = cluster.status();
    leads(&status) && status.term == term
}

/// Commits the ledger if nobody has written it since; whether it did, and this node still leads.
async fn write(
    node: &Node,
    cluster: &Cluster,
    ledger: &Ledger,
    revision: Option<LogPosition>,
    duty: &mut Duty,
) -> bool {
    let expected = revision.map_or(KvExpected::Absent, KvExpected::Revision);
    let put = KvPut { key: KEY.into(), value: ledger.to_bytes().into(), ttl_ms: None, expected };
    let Ok(ticket) = cluster.propose(Command::KvPut(put)) else { return false };
    match tokio::time::timeout(COMMIT_TIMEOUT, ticket).await {
        Ok(Ok(Response::KvStored { .. })) => {
            duty.unwritten = false;
            still_leads(cluster, duty.term)
        }
        Ok(Ok(Response::KvRefused(refusal)))
            if !matches!(refusal, vedfolnir_cluster::state::KvRefusal::Conflict { .. }) =>
        {
            if !std::mem::replace(&mut duty.unwritten, true) {
                AlertStats::one(&node.alerts().dropped_total);
                tracing::error!(
                    event_type = "alert_not_delivered",
                    error = ?refusal,
                    "alerts of the cluster are not told while the replicated store has no room for what is told: delete entries"
                );
            }
            false
        }
        // Somebody else was first, or it is not known: the next look shows.
        _ => false,
    }
}

fn say(told: &Told) {
    let Told { alert, node, value, threshold, .. } = told;
    let member = node.as_deref();
    if told.firing {
        tracing::warn!(
            event_type = "alert_firing",
            alert,
            member,
            value,
            threshold,
            "an alert about the cluster fires"
        );
    } else {
        tracing::info!(
            event_type = "alert_resolved",
            alert,
            member,
            value,
            threshold,
            "an alert about the cluster is over"
        );
    }
}
