//! What went wrong for a client.

use std::sync::atomic::{AtomicU64, Ordering};

use vedfolnir_protocol::CloseReason;

use super::connections::limits;
use super::{Families, get};
use crate::security::events::{SecurityCounters, SecurityEvent};
use crate::service::ServiceStats;

/// Messages that failed: publishes without an answer of the cluster, what could not be read, what an embedding application
/// could not handle.
pub(crate) fn message_errors(stats: &ServiceStats) -> u64 {
    let parse = CloseReason::ALL.iter().zip(&stats.closed).filter(|(reason, _)| **reason == CloseReason::ParseError);
    let parse: u64 = parse.map(|(_, count)| count.load(Ordering::Relaxed)).sum();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    parse + count(&stats.publishes_failed_total) + count(&stats.application_messages_failed_total)
}

pub(super) fn of_errors(families: &mut Families, stats: &ServiceStats, security: &SecurityCounters) {
    let ended = |reason: CloseReason| -> f64 {
        let of_reason = CloseReason::ALL.iter().zip(&stats.closed).filter(|(known, _)| **known == reason);
        of_reason.map(|(_, count)| get(count)).sum()
    };
    let refused: u64 = SecurityEvent::ALL
        .into_iter()
        .filter(|event| {
            event.is_refusal() && !matches!(event, SecurityEvent::AuthFailure | SecurityEvent::ConnectionLimit(_))
        })
        .map(|event| security.get(event))
        .sum();
    families.counters(
        "websocket_errors_total",
        "What went wrong for a client, by kind",
        &[
            // A request that is none of the protocol, or no answer to it now.
            ("type", "connection", get(&stats.connections_failed_total) + get(&stats.connections_unavailable_total)),
            ("type", "auth", security.get(SecurityEvent::AuthFailure) as f64),
            ("type", "limit", limits(stats, security) as f64),
            ("type", "refused", refused as f64),
            ("type", "timeout", get(&stats.handshake_timeouts_total) + ended(CloseReason::PingTimeout)),
            ("type", "transport", ended(CloseReason::TransportError)),
            ("type", "parse", ended(CloseReason::ParseError)),
            ("type", "publish", get(&stats.publishes_failed_total)),
            (
                "type",
                "application",
                get(&stats.application_connections_failed_total) + get(&stats.application_messages_failed_total),
            ),
        ],
    );
}
