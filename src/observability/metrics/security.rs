//! What was refused, and why.

use super::Families;
use crate::security::events::{SecurityCounters, SecurityEvent};

/// What was refused, and why; all labels are known beforehand.
pub(super) fn of_security(families: &mut Families, counters: &SecurityCounters) {
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
