//! Every type of event that a log line can have: name, category, usual level, meaning and fields, once.
//!
//! Operators' queries and alerts hang on these names: one that is not here is never written. `docs/events.md`, the command
//! `config events` and the JSON Schema are made of this table.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::level::{Category, Level};

/// A type of event.
#[derive(Debug, PartialEq, Eq)]
pub struct EventType {
    /// In snake case.
    pub name: &'static str,
    /// Where it belongs.
    pub category: Category,
    /// How grave it usually is. An ERROR of a type that is CRITICAL here is logged as CRITICAL.
    pub level: Level,
    /// What happened, for operators.
    pub meaning: &'static str,
    /// What a record of it holds beside what every record holds; those that the schema does not name are in `metadata`.
    pub fields: &'static [&'static str],
}

/// Other names that code may use: counters and refusals have had theirs longer than the log.
const ALIASES: [(&str, &str); 1] = [("auth_failure", "authentication_failed")];

const CLIENT: &[&str] = &["session_id", "user_id", "connection_id", "namespace", "client_ip", "user_agent"];
const ESTABLISHED: &[&str] =
    &["session_id", "user_id", "connection_id", "namespace", "client_ip", "user_agent", "transport", "scheme", "host"];
const ENDED: &[&str] =
    &["session_id", "user_id", "connection_id", "namespace", "client_ip", "user_agent", "duration_ms", "reason"];
const MESSAGE: &[&str] = &["session_id", "user_id", "connection_id", "namespace", "event", "bytes"];
const REFUSED: &[&str] = &["client_ip", "user_agent", "session_id", "user_id", "error_code", "scope"];
const TIMED: &[&str] = &["duration_ms", "session_id", "connection_id", "namespace"];
const FAILED: &[&str] = &["error", "error_code", "session_id"];

macro_rules! table {
    ($($category:ident { $($level:ident $name:literal $meaning:literal $fields:expr;)* })*) => {
        &[$($(EventType {
            name: $name,
            category: Category::$category,
            level: Level::$level,
            meaning: $meaning,
            fields: $fields,
        },)*)*]
    };
}

/// Every type, by category.
pub static EVENT_TYPES: &[EventType] = table! {
    Connection {
        Info "connection_established" "A client's connection stands and the client is in its namespace" ESTABLISHED;
        Info "connection_closed" "A client's connection ended; duration_ms is how long it stood" ENDED;
        Info "connection_upgraded" "A client went from polling to WebSocket" CLIENT;
        Warning "connection_refused" "A client was turned away because there are too many, or the node does not serve" REFUSED;
        Warning "connection_timeout" "A client did not answer pings, or did not finish its handshake in time" ENDED;
        Info "connection_error" "A client's connection broke" ENDED;
        Info "session_resumed" "A client came back and missed nothing" CLIENT;
        Info "session_not_resumed" "A client came back too late or with an unknown session, and got a new one" ENDED;
        Info "session_expired" "A session that no client came back for was given up" &["session_id", "user_id", "namespace"];
        Info "namespace_joined" "A client joined a namespace" CLIENT;
        Info "namespace_left" "A client left a namespace" ENDED;
        Info "slow_client" "A client reads more slowly than it is written to" &["session_id", "connection_id", "bytes"];
        Info "connections_drained" "Clients were let go so that other nodes take them" &["connections", "duration_ms"];
        Debug "transport_ended" "A transport or a TLS handshake below a client's connection ended" &["client_ip", "error"];
    }
    Message {
        Debug "message_received" "A client's message arrived; never its payload" MESSAGE;
        Debug "message_sent" "A message went to a client; never its payload" MESSAGE;
        Debug "message_acknowledged" "A message was acknowledged" TIMED;
        Debug "message_broadcast" "A message went to a room or a namespace" &["namespace", "room", "receivers", "bytes"];
        Info "message_refused" "A client's message broke the protocol, a limit or a permission" REFUSED;
        Warning "message_dropped" "A message was not delivered" &["namespace", "reason", "count"];
        Debug "room_joined" "A client entered a room" &["session_id", "namespace", "room"];
        Debug "room_left" "A client left a room" &["session_id", "namespace", "room"];
    }
    Security {
        Warning "authentication_failed" "A login was not good" REFUSED;
        Info "authentication_succeeded" "A client was recognised" CLIENT;
        Info "token_expired" "A login's time was over on a live connection" REFUSED;
        Warning "forbidden" "A client that is known asked for what it may not do" REFUSED;
        Warning "blocked_origin" "A page of an origin that is not allowed wanted to connect" REFUSED;
        Warning "blocked_host" "A request was for a host that the service does not answer for" REFUSED;
        Warning "https_required" "A request came over plain HTTP where HTTPS is asked for" REFUSED;
        Warning "rate_limited" "Too many requests, messages or bytes in too short a time" REFUSED;
        Warning "connection_limit" "Too many connections at once, of one address, one user or the node" REFUSED;
        Warning "csrf_failure" "A login's cookie came without a proof of who asked" REFUSED;
        Warning "proxy_header_untrusted" "Proxy headers of a peer that is no trusted proxy were ignored" REFUSED;
        Warning "proxy_header_invalid" "Proxy headers contradict each other or cannot be read" REFUSED;
        Warning "proxy_protocol_untrusted" "A PROXY protocol header of a peer that is no trusted proxy" REFUSED;
        Warning "proxy_protocol_missing" "A connection without the PROXY protocol header that must be there" REFUSED;
        Warning "proxy_protocol_invalid" "A broken PROXY protocol header" REFUSED;
        Warning "affinity_forged" "An affinity cookie or key that no node of the cluster has made was ignored" REFUSED;
        Warning "limit_table_full" "A limit has too many to tell apart: newcomers share one bucket" &["scope"];
        Critical "brute_force_suspected" "One address keeps failing to authenticate" REFUSED;
        Warning "session_hijack_suspected" "A session was asked for by another user or in another namespace" REFUSED;
        Info "client_certificate_shown" "A client showed its certificate" &["client_ip", "subject"];
        Warning "admin_authentication_failed" "A request to the operators' listener had no right token" REFUSED;
        Info "admin_action" "An operator changed something" &["action", "role", "client_ip", "outcome"];
        Warning "api_authentication_failed" "A request to the HTTP API had no right token" REFUSED;
        Info "api_action" "A program changed something by the HTTP API, or tried to; what was published is at DEBUG" &["role", "client_ip", "method", "path", "status"];
        Info "join_token_created" "A token by which a node joins was made" &["ttl_ms"];
        Info "signing_keys_fetched" "The keys that sign logins were fetched" &["url", "keys"];
        Warning "signing_keys_not_fetched" "They were not; those at hand stay" &["url", "error", "keys"];
        Warning "insecure_configuration" "The configuration allows what production should not" &["setting"];
        Warning "private_key_readable" "Others than the service can read a private key" &["path"];
    }
    Performance {
        Info "message_processing" "How long a message took from arrival to its acknowledgement" TIMED;
        Info "operation_completed" "How long an operation took" TIMED;
        Warning "slow_handler" "An application's handler took longer than it should; five lines a second, 20 at once, and `left_out` says how many there were besides" &["duration_ms", "session_id", "namespace", "event", "left_out"];
        Warning "slow_operation" "An operation took longer than it should" TIMED;
        Warning "slow_commit" "The cluster took long to agree on something" TIMED;
        Warning "slow_disk" "The disk took long to make something durable" TIMED;
    }
    Error {
        Error "error" "Something failed, and says what" FAILED;
        Error "internal_error" "An error that is the server's own" FAILED;
        Error "handler_failed" "An application's handler failed" FAILED;
        Critical "panic" "A thread gave up; a bug" &["location", "thread"];
        Critical "runtime_stalled" "Every thread of the process's runtime is blocked: nothing is answered" &["duration_ms"];
        Critical "disk_failed" "The disk failed: nothing is acknowledged any more" &["reason"];
        Error "disk_full" "No room is left for the node's state" &["path", "free_bytes"];
        Error "data_damaged" "Durable data is not what was written" &["path", "error"];
        Error "log_sink_failed" "A receiver of logs does not take lines" &["sink", "error", "lines"];
        Error "listener_failed" "Accepting a connection failed" FAILED;
        Error "certificate_reload_failed" "New certificates are no good; those in use stay" FAILED;
        Error "configuration_refused" "A new configuration is refused; the old one stays in force" &["setting", "reason"];
        Error "backup_failed" "A backup was not made" FAILED;
        Error "backup_archive_failed" "What is committed between backups was not archived" FAILED;
        Error "backup_not_restored" "A new cluster could not start from a backup" &["backup_id", "error"];
        Error "backend_failed" "The backend has not decided about a client or an event; the client is told. One line in ten seconds at most" &["hook", "endpoint", "error_code", "error", "unsaid"];
        Warning "webhook_failed" "The webhooks' receiver does not take a message; it is tried again. One line in ten seconds at most" &["endpoint", "error"];
        Error "webhook_given_up" "A message for the webhooks' receiver is given up: it is a dead letter now" &["id", "kind", "attempts", "error"];
        Critical "webhook_events_lost" "Events that the webhooks' receiver was not told are no longer kept" &["after"];
        Error "alert_not_delivered" "An alert's receiver does not take it" FAILED;
    }
    System {
        Info "log" "Anything without a type of its own; metadata.target says which part speaks" &["target"];
        Info "webhooks_led" "This node, which leads, tells the webhooks' receiver from here on" &["after"];
        Info "webhooks_handed_over" "This node tells the webhooks' receiver no more" &["reason"];
        Info "starting" "The process starts" &["version", "mode"];
        Info "configuration" "What is configured, or doubtful in it" &["setting"];
        Info "ready" "The node serves" &["duration_ms"];
        Warning "not_ready" "The node does not serve" &["reason"];
        Info "draining" "Clients are let go: an operator drains the node, or it is about to end" &["reason", "connections", "rate"];
        Info "drain_stopped" "A node that was drained takes clients again" &[];
        Info "maintenance_on" "An operator keeps new clients away from the node" &["forced"];
        Info "maintenance_off" "They may come again" &["forced"];
        Info "stopping" "The process ends" &["reason"];
        Info "stopped" "Everything is closed" &["duration_ms"];
        Warning "runtime_turns" "The process's runtime goes on after it was blocked" &["duration_ms"];
        Info "configuration_reloaded" "The configuration was read again and is in force" &["changed"];
        Info "log_level_changed" "An operator gave a category, or all, another level" &["target_category", "from", "to"];
        Info "certificate_reloaded" "New certificates are in use" &["subject", "not_after"];
        Warning "certificate_expiring" "A certificate ends soon" &["subject", "not_after", "days"];
        Info "leader_changed" "Another node leads the cluster" &["leader", "term"];
        Info "leadership_transferred" "The node gave the leadership away" &["heir"];
        Info "node_joined" "A node is a member now" &["member", "address"];
        Info "node_left" "A node is a member no more" &["member"];
        Warning "node_down" "A node is silent and was declared down" &["member"];
        Info "membership_changed" "Others vote" &["voters"];
        Info "peer_connected" "A connection to another node stands" &["peer"];
        Info "peer_disconnected" "A connection to another node ended" &["peer", "reason"];
        Warning "quorum_lost" "The node hears too few others" &["reason"];
        Info "quorum_regained" "It hears enough again" &["duration_ms"];
        Info "snapshot_taken" "The state was written to a snapshot" &["index", "bytes", "duration_ms"];
        Info "snapshot_installed" "The state was taken from a snapshot" &["index", "bytes", "duration_ms"];
        Info "format_raised" "The cluster writes a newer format" &["format"];
        Info "backup_completed" "A backup was made and read back" &["backup_id", "path", "bytes", "duration_ms", "index", "sessions"];
        Warning "backup_archive_gap" "Entries of the log were gone before they were archived: a backup is made at once" &["from", "to"];
        Info "backup_restored" "A new cluster starts from a backup" &["backup_id", "path", "duration_ms", "index", "entries", "sessions", "recovered_connections", "messages"];
        Warning "memory_high" "The process uses more memory than it should" &["bytes", "limit_bytes"];
        Warning "alert_firing" "An alert's threshold is passed; member: whom an alert about the cluster is about" &["alert", "member", "value", "threshold"];
        Info "alert_resolved" "It is passed no more" &["alert", "member", "value", "threshold"];
        Warning "traces_not_delivered" "The receiver of traces does not take them" &["endpoint", "spans", "reason"];
        Info "log_rotated" "A log file was full and is kept under another name" &["sink", "bytes"];
        Info "log_reopened" "Log files were opened again" &["sink"];
        Warning "log_lines_dropped" "A receiver of logs was too slow or did not take lines: that many are not in it" &["sink", "lines"];
        Info "log_sink_recovered" "A receiver of logs takes lines again" &["sink", "lines"];
    }
};

static INDEX: LazyLock<HashMap<&'static str, &'static EventType>> =
    LazyLock::new(|| EVENT_TYPES.iter().map(|event| (event.name, event)).collect());

/// What has no type of its own.
pub(crate) static LOG: LazyLock<&'static EventType> = LazyLock::new(|| known("log"));
/// What failed without one.
pub(crate) static ERROR: LazyLock<&'static EventType> = LazyLock::new(|| known("error"));

/// One that is in the table.
fn known(name: &str) -> &'static EventType {
    // The tests ask for each of the names that this file and its neighbours use.
    INDEX.get(name).copied().unwrap_or(&EVENT_TYPES[0])
}

impl EventType {
    /// By its name, or by one of the names that counters use.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        let alias = || ALIASES.iter().find(|(alias, _)| *alias == name).and_then(|(_, name)| INDEX.get(name));
        INDEX.get(name).or_else(alias).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_snake_case_and_unique() {
        assert_eq!(INDEX.len(), EVENT_TYPES.len());
        for event in EVENT_TYPES {
            let is_snake = event.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(is_snake && !event.name.starts_with('_') && !event.name.ends_with('_'), "{}", event.name);
            // Syslog's MSGID has room for 32 characters (RFC 5424, section 6).
            assert!(event.name.len() <= 32, "{}", event.name);
            assert!(!event.meaning.is_empty() && !event.meaning.contains(['|', '\n']), "{}", event.name);
        }
    }

    #[test]
    fn every_category_and_every_type_of_the_document_is_there() {
        for category in Category::ALL {
            assert!(EVENT_TYPES.iter().any(|event| event.category == category), "{category:?}");
        }
        for (name, category) in [
            ("connection_established", Category::Connection),
            ("authentication_failed", Category::Security),
            ("message_processing", Category::Performance),
        ] {
            assert_eq!(EventType::find(name).map(|event| event.category), Some(category));
        }
    }

    #[test]
    fn aliases_lead_to_types_and_unknown_names_nowhere() {
        for (alias, name) in ALIASES {
            assert_eq!(EventType::find(alias).map(|event| event.name), Some(name));
            assert!(!INDEX.contains_key(alias), "{alias}");
        }
        assert_eq!(EventType::find("made_up"), None);
        assert_eq!((LOG.name, ERROR.name), ("log", "error"));
    }

    #[test]
    fn no_field_is_one_that_is_hidden() {
        for event in EVENT_TYPES {
            for field in event.fields {
                assert_eq!(super::super::redaction::judge(field), super::super::redaction::Verdict::Shown, "{field}");
            }
        }
    }
}
