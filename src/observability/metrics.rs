//! `/websocket/metrics`: Prometheus' text format, every family from the first scrape on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::TextEncoder;
use vedfolnir_cluster::state::{EventStats, KvStats};
use vedfolnir_cluster::{ClusterMetrics, ClusterStatus, StorageMetrics};

use super::families::Families;
use super::health::readiness_reason;
use super::node::Node;
use super::process;
use crate::security::events::{SecurityCounters, SecurityEvent};
use crate::service::{PROCESSING_BUCKETS_US, ServiceStats};
use crate::tls::{HandshakeFailureKind, ListenerTls};

pub(super) async fn metrics(State(node): State<Arc<Node>>) -> Response {
    match page(&node) {
        Ok(page) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

fn page(node: &Node) -> Result<String, String> {
    let mut families = Families::default();
    of_node(&mut families, node);
    match node.parts() {
        Some(parts) => {
            of_service(&mut families, parts.service.stats());
            of_security(&mut families, parts.service.security_counters());
            of_tls(&mut families, parts.tls.as_deref());
            of_cluster(&mut families, parts.cluster.metrics());
            of_storage(&mut families, parts.cluster.storage_metrics());
            of_status(&mut families, Some(&parts.cluster.status()));
            let (store, events, history) =
                parts.cluster.read(|state| (state.kv_stats(), state.event_stats(), state.history_size()));
            of_tables(&mut families, store, events, history);
        }
        // Not a member yet: everything is there, and zero.
        None => {
            of_service(&mut families, &ServiceStats::default());
            of_security(&mut families, &SecurityCounters::default());
            of_tls(&mut families, None);
            of_cluster(&mut families, &ClusterMetrics::default());
            of_storage(&mut families, &StorageMetrics::default());
            of_status(&mut families, None);
            of_tables(&mut families, KvStats::default(), EventStats::default(), (0, 0));
        }
    }
    of_process(&mut families);
    TextEncoder::new().encode_to_string(&families.into_inner()).map_err(|error| error.to_string())
}

fn get(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}

fn of_node(families: &mut Families, node: &Node) {
    families.gauges(
        "vedfolnir_build_info",
        "Always 1; the program's version is the label",
        &[("version", env!("CARGO_PKG_VERSION"), 1.0)],
    );
    let started = node.started_at().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    families.gauge("process_start_time_seconds", "When the process started, since the Unix epoch", started);
    let ready = readiness_reason(node).is_none();
    families.gauge("vedfolnir_ready", "1 while the node can serve", f64::from(u8::from(ready)));
    families.gauge("vedfolnir_draining", "1 while the node is shutting down", f64::from(u8::from(node.draining())));
}

/// What was refused, and why; all labels are known beforehand.
fn of_security(families: &mut Families, counters: &SecurityCounters) {
    let sum = |kind: &str| -> f64 {
        let of_kind = SecurityEvent::ALL.into_iter().filter(|event| event.kind() == kind);
        of_kind.map(|event| counters.get(event) as f64).sum()
    };
    let mut kinds: Vec<&str> = SecurityEvent::ALL.iter().map(|event| event.kind()).collect();
    kinds.dedup();
    let events: Vec<_> = kinds.iter().map(|kind| ("type", *kind, sum(kind))).collect();
    families.counters("websocket_security_events_total", "Security events, by type", &events);
    let refusals: Vec<_> = kinds
        .iter()
        .filter(|kind| SecurityEvent::ALL.iter().any(|event| event.kind() == **kind && event.is_refusal()))
        .map(|kind| ("reason", *kind, sum(kind)))
        .collect();
    families.counters(
        "websocket_security_blocked_connections_total",
        "Connections and requests that were refused, by reason",
        &refusals,
    );
    let scoped = |kind: &str| -> Vec<_> {
        let of_kind = SecurityEvent::ALL.into_iter().filter(|event| event.kind() == kind);
        of_kind.filter_map(|event| Some(("scope", event.scope()?, counters.get(event) as f64))).collect()
    };
    families.counters("websocket_security_rate_limited_total", "Too many in too short a time", &scoped("rate_limited"));
    families.counters("websocket_security_connection_limit_total", "Too many at once", &scoped("connection_limit"));
    families.counter(
        "websocket_security_auth_failures_total",
        "Clients that failed to authenticate",
        counters.get(SecurityEvent::AuthFailure) as f64,
    );
    families.counter(
        "websocket_security_csrf_failures_total",
        "Requests with a login's cookie that were not proved to be the user's",
        counters.get(SecurityEvent::CsrfFailure) as f64,
    );
}

/// The public listener's certificates: the first that expires; 0 without TLS.
fn of_tls(families: &mut Families, tls: Option<&ListenerTls>) {
    let status = tls.map(ListenerTls::status);
    let expiry = status.as_ref().and_then(|status| status.certificates.iter().map(|report| report.not_after).min());
    families.gauge(
        "websocket_tls_certificate_expiry_timestamp_seconds",
        "When the first certificate in use expires, since the Unix epoch; 0 without TLS",
        expiry.unwrap_or(0) as f64,
    );
    let (ok, failed) = status.map_or((0, 0), |status| (status.reloads_ok, status.reloads_failed));
    families.counters(
        "websocket_tls_reloads_total",
        "Times that the certificates' files were read again",
        &[("outcome", "ok", ok as f64), ("outcome", "failed", failed as f64)],
    );
}

fn of_service(families: &mut Families, stats: &ServiceStats) {
    families.counter("websocket_connections_total", "Engine.IO sessions opened", get(&stats.connections_total));
    families.gauge("websocket_connections_active", "Engine.IO sessions now", stats.connections_active() as f64);
    families.gauges(
        "websocket_transport_connections",
        "Engine.IO sessions now, by transport",
        &[
            ("transport", "polling", get(&stats.connections_polling_active)),
            ("transport", "websocket", get(&stats.connections_websocket_active)),
        ],
    );
    families.counters(
        "websocket_connections_failed_total",
        "Connections refused",
        &[
            ("reason", "handshake", get(&stats.connections_failed_total)),
            ("reason", "limit", get(&stats.tcp_refused_total) + get(&stats.connections_full_total)),
        ],
    );
    families.counter(
        "websocket_handshake_timeouts_total",
        "Connections that did not say in time what they were to say first",
        get(&stats.handshake_timeouts_total),
    );
    let failures: Vec<_> = HandshakeFailureKind::ALL
        .iter()
        .zip(&stats.tls_failures)
        .map(|(kind, count)| ("reason", kind.as_str(), get(count)))
        .collect();
    families.counters("websocket_tls_handshake_failures_total", "TLS handshakes that failed", &failures);
    families.gauge("websocket_tcp_connections_active", "TCP connections now", get(&stats.tcp_active));
    families.counter(
        "websocket_upgrades_total",
        "Sessions that went from polling to WebSocket",
        get(&stats.upgrades_total),
    );
    families.counters(
        "vedfolnir_forwarded_requests_total",
        "Requests that came to another node than their session's owner",
        &[
            ("direction", "out", get(&stats.forwarded_total)),
            ("direction", "refused", get(&stats.forward_refusals_total)),
            ("direction", "in", get(&stats.forwarded_here_total)),
        ],
    );
    families.gauge("websocket_sockets_active", "Namespace sockets now", get(&stats.sockets_active));
    families.counters(
        "websocket_messages_total",
        "Events from clients (in); events and acks to clients (out)",
        &[("direction", "in", get(&stats.events_in_total)), ("direction", "out", get(&stats.events_out_total))],
    );
    families.histogram_us(
        "websocket_message_processing_seconds",
        "From an event's arrival until its handler was done",
        processing_buckets(stats),
        &stats.processing_sum_us,
    );
    families.counter("websocket_received_bytes_total", "Payload bytes from clients", get(&stats.bytes_in_total));
    families.counter("websocket_sent_bytes_total", "Payload bytes to clients", get(&stats.bytes_out_total));
    families.counters(
        "websocket_errors_total",
        "What went wrong for a client",
        &[
            ("type", "connection", get(&stats.connections_failed_total)),
            ("type", "limit", get(&stats.tcp_refused_total)),
            ("type", "publish", get(&stats.publishes_failed_total)),
        ],
    );
    families.counter(
        "vedfolnir_sessions_registered_total",
        "New sessions committed for clients of this node",
        get(&stats.sessions_registered_total),
    );
    families.counters(
        "vedfolnir_resumes_total",
        "Clients that came back with a session",
        &[
            ("outcome", "recovered", get(&stats.resumes_recovered_total)),
            ("outcome", "unknown", get(&stats.resumes_unknown_total)),
            ("outcome", "hole", get(&stats.resumes_hole_total)),
            ("outcome", "bad_offset", get(&stats.resumes_bad_offset_total)),
            ("outcome", "foreign", get(&stats.resumes_foreign_total)),
            ("outcome", "epoch_moved", get(&stats.resumes_epoch_moved_total)),
        ],
    );
    families.counter(
        "vedfolnir_fenced_total",
        "Transports closed because their session has a newer owner",
        get(&stats.fenced_total),
    );
    families.counter("vedfolnir_deliveries_total", "Durable events handed to sockets", get(&stats.deliveries_total));
    families.counter(
        "vedfolnir_deliveries_replayed_total",
        "Those of them that came from the history",
        get(&stats.deliveries_replayed_total),
    );
    families.counters(
        "vedfolnir_publishes_total",
        "Durable publishes of clients of this node",
        &[
            ("result", "acknowledged", get(&stats.publishes_acked_total)),
            ("result", "failed", get(&stats.publishes_failed_total)),
        ],
    );
    families.counter(
        "vedfolnir_outbox_overflows_total",
        "Sockets that fell behind and went on from the history",
        get(&stats.overflows_total),
    );
    families.counters(
        "vedfolnir_volatile_events_total",
        "Volatile events at this node's sockets",
        &[
            ("result", "delivered", get(&stats.volatile_delivered_total)),
            ("result", "dropped", get(&stats.volatile_dropped_total)),
        ],
    );
}

/// The buckets' bounds beside their counts; the last has no bound.
fn processing_buckets(stats: &ServiceStats) -> impl Iterator<Item = (Option<u64>, u64)> {
    let bounds = PROCESSING_BUCKETS_US.iter().copied().map(Some).chain([None]);
    bounds.zip(stats.processing_buckets.iter().map(|count| count.load(Ordering::Relaxed)))
}

fn of_storage(families: &mut Families, metrics: &StorageMetrics) {
    families.histogram_us(
        "vedfolnir_log_fsync_seconds",
        "Synced writes of the durable log",
        metrics.fsync_buckets(),
        &metrics.fsync_micros_total,
    );
    families.gauge(
        "vedfolnir_log_fsync_seconds_max",
        "The longest of them since the start",
        get(&metrics.fsync_micros_max) / 1e6,
    );
    families.counter("vedfolnir_log_entries_total", "Entries written to the durable log", get(&metrics.entries_total));
    families.counter("vedfolnir_log_bytes_total", "Bytes written to the durable log", get(&metrics.bytes_total));
}

fn of_cluster(families: &mut Families, metrics: &ClusterMetrics) {
    families.counter("vedfolnir_proposals_total", "Commands handed to the proposer", get(&metrics.proposals_total));
    families.counter(
        "vedfolnir_proposals_refused_total",
        "Commands refused because the proposer's queue was full",
        get(&metrics.proposals_refused_total),
    );
    families.gauge(
        "vedfolnir_proposals_pending_bytes",
        "Bytes waiting in the proposer or in flight",
        get(&metrics.proposals_pending_bytes),
    );
    families.counter(
        "vedfolnir_batches_total",
        "Batches of commands sent to a leader, retries included",
        get(&metrics.batches_total),
    );
    families.counter(
        "vedfolnir_batches_resent_total",
        "Batches sent again after a leader change, a gap or silence",
        get(&metrics.batches_resent_total),
    );
    families.counter("vedfolnir_log_entries_applied_total", "Log entries applied", get(&metrics.entries_applied_total));
    families.counter("vedfolnir_commands_applied_total", "Commands applied", get(&metrics.commands_applied_total));
    families.counter(
        "vedfolnir_snapshots_built_total",
        "Snapshots of the replicated state built here",
        get(&metrics.snapshots_built_total),
    );
    families.gauge(
        "vedfolnir_snapshots_building",
        "Snapshots of the replicated state being built here now",
        get(&metrics.snapshots_building),
    );
    families.counter(
        "vedfolnir_snapshot_build_seconds_total",
        "Time that building them took",
        get(&metrics.snapshot_build_micros_total) / 1e6,
    );
    families.counter(
        "vedfolnir_snapshots_installed_total",
        "Snapshots of the replicated state taken from a leader",
        get(&metrics.snapshots_installed_total),
    );
    families.counter(
        "vedfolnir_snapshot_received_bytes_total",
        "Bytes of snapshots received from leaders",
        get(&metrics.snapshot_bytes_received_total),
    );
    families.counters(
        "vedfolnir_snapshot_transfers_total",
        "Transfers of snapshots from leaders that did not simply come through",
        &[
            ("outcome", "resumed", get(&metrics.snapshot_transfers_resumed_total)),
            ("outcome", "refused", get(&metrics.snapshot_transfers_refused_total)),
        ],
    );
    families.counter(
        "vedfolnir_snapshot_kept_bytes_total",
        "Bytes that resumed transfers did not have to send again",
        get(&metrics.snapshot_bytes_kept_total),
    );
    families.counters(
        "vedfolnir_volatile_frames_total",
        "Volatile broadcasts to peers",
        &[
            ("result", "sent", get(&metrics.volatile_sent_total)),
            ("result", "dropped", get(&metrics.volatile_dropped_total)),
        ],
    );
    families.counter(
        "vedfolnir_disk_stalls_total",
        "Times this node gave up the leadership because its disk did not answer",
        get(&metrics.disk_stalls_total),
    );
    families.counter("vedfolnir_leader_changes_total", "Leader changes seen", get(&metrics.leader_changes_total));
    families.counters(
        "vedfolnir_linearizable_reads_total",
        "Linearizable reads of this node",
        &[
            ("result", "confirmed", get(&metrics.reads_confirmed_total)),
            ("result", "no_quorum", get(&metrics.reads_unconfirmed_total)),
            ("result", "refused", get(&metrics.reads_refused_total)),
        ],
    );
    families.counter(
        "vedfolnir_read_rounds_total",
        "Questions to the leader for its read index; each serves all reads that wait",
        get(&metrics.read_rounds_total),
    );
    families.counters(
        "vedfolnir_membership_changes_total",
        "Changes of the membership made by this node as the leader",
        &[
            ("change", "promoted", get(&metrics.voters_promoted_total)),
            ("change", "replaced", get(&metrics.voters_replaced_total)),
            ("change", "removed", get(&metrics.nodes_removed_total)),
        ],
    );
    families.counters(
        "vedfolnir_certificate_requests_total",
        "Requests for certificates by nodes with a join token",
        &[
            ("result", "issued", get(&metrics.certificates_issued_total)),
            ("result", "refused", get(&metrics.certificates_refused_total)),
            ("result", "postponed", get(&metrics.certificates_postponed_total)),
            ("result", "turned_away", get(&metrics.certificates_turned_away_total)),
        ],
    );
}

fn of_status(families: &mut Families, status: Option<&ClusterStatus>) {
    let of = |value: fn(&ClusterStatus) -> u64| status.map_or(0.0, |status| value(status) as f64);
    let leads = |status: &ClusterStatus| u64::from(status.leader.as_ref() == Some(&status.node_id));
    families.gauge("vedfolnir_raft_term", "Raft term", of(|status| status.term));
    families.gauge("vedfolnir_raft_is_leader", "1 while this node leads", of(leads));
    families.gauge(
        "vedfolnir_raft_has_leader",
        "1 while a leader is known",
        of(|status| u64::from(status.leader.is_some())),
    );
    families.gauge(
        "vedfolnir_raft_committed_index",
        "Committed log index known here",
        of(|status| status.committed_index),
    );
    families.gauge("vedfolnir_raft_applied_index", "Log index applied here", of(|status| status.applied_index));
    families.gauge(
        "vedfolnir_raft_snapshot_index",
        "Log index that the last snapshot here covers",
        of(|status| status.snapshot_index),
    );
    families.gauge(
        "vedfolnir_cluster_format",
        "Format that the cluster writes; it rises once every member speaks a higher one",
        of(|status| u64::from(status.format)),
    );
    families.gauge("vedfolnir_node_format", "Highest format that this node speaks", of(own_format));
    families.gauge("vedfolnir_nodes", "Members of the cluster", of(|status| status.nodes.len() as u64));
    families.gauge(
        "vedfolnir_failure_tolerance",
        "How many more voters may fail before the quorum is lost",
        of(|status| status.failure_tolerance),
    );
    families.gauges(
        "vedfolnir_sessions",
        "Sessions of the whole cluster",
        &[
            ("state", "connected", of(|status| status.sessions_connected)),
            ("state", "disconnected", of(|status| status.sessions_disconnected)),
        ],
    );
    families.counter(
        "vedfolnir_cluster_time_seconds",
        "Committed cluster time; it stands still without a quorum",
        status.map_or(0.0, |status| status.cluster_time_ms as f64 / 1e3),
    );
}

fn own_format(status: &ClusterStatus) -> u64 {
    let own = status.nodes.iter().find(|node| node.id == status.node_id);
    own.and_then(|node| node.format).map_or(0, u64::from)
}

/// Tables of the replicated state: the same on every node that has applied the same.
fn of_tables(families: &mut Families, store: KvStats, events: EventStats, (records, bytes): (usize, u64)) {
    families.gauge("vedfolnir_history_records", "Events kept for replay", records as f64);
    families.gauge("vedfolnir_history_bytes", "What they weigh", bytes as f64);
    families.gauge("vedfolnir_store_entries", "Entries of the key-value store", store.entries as f64);
    families.gauge("vedfolnir_store_bytes", "What they weigh", store.bytes as f64);
    families.counter(
        "vedfolnir_store_expired_total",
        "Entries of the key-value store whose time was over",
        store.expired_total as f64,
    );
    families.counters(
        "vedfolnir_store_refused_total",
        "Writes that changed nothing in the key-value store",
        &[("reason", "conflict", store.conflicts_total as f64), ("reason", "limit", store.refused_total as f64)],
    );
    families.gauge("vedfolnir_events_kept", "Events kept for those who follow them", events.kept as f64);
    families.gauge("vedfolnir_events_kept_bytes", "What they weigh", events.bytes as f64);
    families.counter("vedfolnir_events_total", "Events of sessions and rooms", events.total as f64);
    families.counter("vedfolnir_events_dropped_total", "Events no longer kept", events.dropped_total as f64);
}

fn of_process(families: &mut Families) {
    let process = process::read();
    families.gauge("process_resident_memory_bytes", "Resident memory", process.resident_bytes as f64);
    families.counter("process_cpu_seconds_total", "Processor time, user and system", process.cpu_seconds);
    families.gauge("process_open_fds", "Open files", process.open_fds as f64);
    families.gauge("process_max_fds", "Open files at most", process.max_fds as f64);
}
