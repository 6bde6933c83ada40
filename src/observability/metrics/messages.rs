//! Messages: how many, which, how large, how long they took.

use super::{Families, get};
use crate::service::ServiceStats;

pub(super) fn of_messages(families: &mut Families, stats: &ServiceStats) {
    let messages = [
        ("in", "event", get(&stats.events_in_total)),
        ("in", "ack", get(&stats.acks_in_total)),
        ("out", "event", get(&stats.events_out_total)),
        ("out", "ack", get(&stats.acks_out_total)),
        ("out", "control", get(&stats.control_out_total)),
    ];
    families.counters_of_two(
        "websocket_messages_total",
        "Messages from clients (in) and to clients (out), by kind",
        ["direction", "type"],
        &messages,
    );
    let events = stats.events_in.all();
    let events: Vec<_> = events.iter().map(|(name, count)| ("event", &**name, *count as f64)).collect();
    families.counters(
        "websocket_message_events_total",
        "Events from clients, by name; those that WEBSOCKET_METRICS_EVENTS does not list are other",
        &events,
    );
    let distributions = &stats.distributions;
    families.sizes(
        "websocket_message_size_bytes",
        "Messages from clients, as large as they came",
        &distributions.message_bytes,
    );
    families.times(
        "websocket_message_processing_seconds",
        "From an event's arrival until its handler was done",
        "",
        &[("", &distributions.processing)],
    );
}

/// What stands beside `websocket_message*` and stays when that is switched off.
pub(super) fn of_traffic(families: &mut Families, stats: &ServiceStats) {
    families.counter("websocket_received_bytes_total", "Payload bytes from clients", get(&stats.bytes_in_total));
    families.counter("websocket_sent_bytes_total", "Payload bytes to clients", get(&stats.bytes_out_total));
    let distributions = &stats.distributions;
    families.times(
        "websocket_response_seconds",
        "From a request until its answer: HTTP requests but for long polls, and events that asked for an ack",
        "kind",
        &[("http", &distributions.http_answers), ("ack", &distributions.acks)],
    );
}
