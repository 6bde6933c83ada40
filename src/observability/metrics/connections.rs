//! Connections: how many, of which kind, which were refused and why, how they ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vedfolnir_protocol::CloseReason;

use super::{Families, get};
use crate::security::events::{ConnectionScope, RateScope, SecurityCounters, SecurityEvent};
use crate::service::ServiceStats;
use crate::tls::HandshakeFailureKind;

/// Namespaces with a sample of their own; the others share one.
const NAMESPACES_MAX: usize = 64;

pub(super) fn of_connections(families: &mut Families, stats: &ServiceStats, security: &SecurityCounters) {
    families.counter("websocket_connections_total", "Engine.IO sessions opened", get(&stats.connections_total));
    families.gauge("websocket_connections_active", "Engine.IO sessions now", stats.connections_active() as f64);
    let failures = failures(stats, security).map(|(reason, count)| ("reason", reason, count as f64));
    families.counters(
        "websocket_connections_failed_total",
        "Connections that did not come about, by reason",
        &failures,
    );
    let ends: Vec<_> =
        CloseReason::ALL.iter().zip(&stats.closed).map(|(reason, count)| (label(*reason), get(count))).collect();
    let ends: Vec<_> = ends.iter().map(|(reason, count)| ("reason", reason.as_str(), *count)).collect();
    families.counters("websocket_connections_closed_total", "Engine.IO sessions that ended, by reason", &ends);
}

/// Connections that did not come about, by reason.
fn failures(stats: &ServiceStats, security: &SecurityCounters) -> [(&'static str, u64); 10] {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    [
        ("protocol", count(&stats.connections_failed_total)),
        ("auth", security.get(SecurityEvent::AuthFailure)),
        ("origin", security.get(SecurityEvent::BlockedOrigin)),
        ("csrf", security.get(SecurityEvent::CsrfFailure)),
        ("limit", limits(stats, security)),
        ("rate", security.get(SecurityEvent::RateLimited(RateScope::ConnectsPerIp))),
        ("timeout", count(&stats.handshake_timeouts_total)),
        ("tls", stats.tls_failures.iter().map(count).sum()),
        ("unavailable", count(&stats.connections_unavailable_total)),
        ("application", count(&stats.application_connections_failed_total)),
    ]
}

/// All of them.
pub(crate) fn connection_errors(stats: &ServiceStats, security: &SecurityCounters) -> u64 {
    failures(stats, security).iter().map(|(_, count)| count).sum()
}

/// All that were refused because there are as many as there may be.
pub(super) fn limits(stats: &ServiceStats, security: &SecurityCounters) -> u64 {
    let scopes = [ConnectionScope::Ip, ConnectionScope::User, ConnectionScope::Node];
    let refused: u64 = scopes.into_iter().map(|scope| security.get(SecurityEvent::ConnectionLimit(scope))).sum();
    stats.tcp_refused_total.load(Ordering::Relaxed) + refused
}

/// What stands beside `websocket_connections_*` and stays when that is switched off.
pub(super) fn of_transports(families: &mut Families, stats: &ServiceStats) {
    families.gauges(
        "websocket_transport_connections",
        "Engine.IO sessions now, by transport",
        &[
            ("transport", "polling", get(&stats.connections_polling_active)),
            ("transport", "websocket", get(&stats.connections_websocket_active)),
        ],
    );
    families.gauges(
        "websocket_connection_states",
        "Engine.IO sessions now, by state; upgrading counts probes of sessions that are in another state as well",
        &[
            ("state", "handshake", get(&stats.connections_handshake_active)),
            ("state", "open", get(&stats.connections_open_active)),
            ("state", "upgrading", get(&stats.connections_upgrading_active)),
            ("state", "closing", get(&stats.connections_closing_active)),
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
    families.gauge("websocket_sockets_active", "Namespace sockets now", get(&stats.sockets_active));
    families.counter(
        "websocket_connects_refused_total",
        "CONNECTs to a namespace that were answered with connect_error",
        get(&stats.connects_refused_total),
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
}

/// Sockets of each namespace; what clients name and is not there makes no sample.
pub(super) fn of_namespaces(families: &mut Families, namespaces: &[(Arc<str>, u64)], users: u64) {
    let (named, others) = namespaces.split_at(namespaces.len().min(NAMESPACES_MAX));
    let mut samples: Vec<_> = named.iter().map(|(name, count)| ("namespace", &**name, *count as f64)).collect();
    if !others.is_empty() {
        samples.push(("namespace", "other", others.iter().map(|(_, count)| *count as f64).sum()));
    }
    families.gauges("websocket_namespace_connections", "Sockets of each namespace on this node now", &samples);
    families.gauge(
        "websocket_users_active",
        "Users with a session in the whole cluster; one in two namespaces counts in both",
        users as f64,
    );
}

fn label(reason: CloseReason) -> String {
    reason.as_str().replace(' ', "_")
}
