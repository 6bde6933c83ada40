//! An alert as the webhook gets it: a JSON body, what signs it, and the key by which a repetition is known.

use std::fmt::Write as _;

use ring::digest;
use serde::Serialize;

use super::book::Word;
use crate::http_client::hmac_sha256;
use crate::observability::rfc3339_ms;
use crate::security::secret::Secret;

/// Hexadecimal digits of a fingerprint.
const FINGERPRINT_DIGITS: usize = 16;

/// What a message tells.
pub(super) struct Event<'a> {
    pub(super) alert: &'a str,
    /// Or it is over.
    pub(super) firing: bool,
    pub(super) value: f64,
    pub(super) threshold: f64,
    /// Over how long it counts; `None`: it is what it is now.
    pub(super) window_seconds: Option<u64>,
    /// Who speaks.
    pub(super) server_id: &'a str,
    /// The node that it is about.
    pub(super) node: Option<&'a str>,
    /// The cluster, for which its leader speaks.
    pub(super) cluster: Option<&'a str>,
    /// When it began, in milliseconds since 1970.
    pub(super) since_ms: u64,
    /// The time, for one that is over.
    pub(super) now_ms: u64,
    /// How often it was told before that it fires.
    pub(super) repeated: u32,
    pub(super) fingerprint: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    alert: &'a str,
    status: &'static str,
    value: f64,
    threshold: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_seconds: Option<u64>,
    #[serde(rename = "server_id")]
    server_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a str>,
    starts_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    fingerprint: &'a str,
    version: &'static str,
}

/// A message, ready to be sent as often as it takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) alert: String,
    pub(super) status: &'static str,
    pub(super) body: Vec<u8>,
    /// The same for every attempt, and for no other message.
    pub(super) idempotency_key: String,
}

/// Who speaks of itself, and over how long it counts.
pub(super) struct Speaker<'a> {
    pub(super) server_id: &'a str,
    pub(super) node: &'a str,
    pub(super) window_seconds: u64,
}

impl Message {
    /// A node's word about itself.
    pub(super) fn of_node(word: &Word, speaker: &Speaker<'_>, now_ms: u64) -> Self {
        let alert = word.condition.as_str();
        Self::of(&Event {
            alert,
            firing: word.firing,
            value: word.value,
            threshold: word.threshold,
            window_seconds: Some(speaker.window_seconds),
            server_id: speaker.server_id,
            node: Some(speaker.node),
            cluster: None,
            since_ms: word.since_ms,
            now_ms,
            repeated: word.repeated,
            fingerprint: &fingerprint(&[alert, speaker.node]),
        })
    }

    pub(super) fn of(event: &Event<'_>) -> Self {
        let status = if event.firing { "firing" } else { "resolved" };
        let since = event.since_ms.to_string();
        let idempotency_key = hex(&[event.fingerprint, &since, status, &event.repeated.to_string()], 32);
        let body = Body {
            alert: event.alert,
            status,
            value: event.value,
            threshold: event.threshold,
            window_seconds: event.window_seconds,
            server_id: event.server_id,
            node: event.node,
            cluster: event.cluster,
            starts_at: rfc3339_ms(event.since_ms),
            ends_at: (!event.firing).then(|| rfc3339_ms(event.now_ms)),
            fingerprint: event.fingerprint,
            version: "1",
        };
        // Numbers and texts: nothing that JSON does not take.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        Self { alert: event.alert.to_owned(), status, body, idempotency_key }
    }
}

/// Names what an alert is about, whatever becomes of it.
pub(super) fn fingerprint(parts: &[&str]) -> String {
    hex(parts, FINGERPRINT_DIGITS)
}

/// `sha256=HEX`, see [`hmac_sha256`].
pub(super) fn signature(secret: &Secret, timestamp: u64, body: &[u8]) -> String {
    format!("sha256={}", hmac_sha256(secret, timestamp, body))
}

fn hex(parts: &[&str], length: usize) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut text = String::new();
    digits(context.finish().as_ref(), &mut text);
    text.truncate(length);
    text
}

fn digits(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::Condition;
    use super::*;

    fn word(firing: bool, repeated: u32) -> Word {
        Word {
            condition: Condition::MemoryUsageMb,
            firing,
            value: 612.5,
            threshold: 500.0,
            since_ms: 1_738_060_200_000,
            repeated,
        }
    }

    const SPEAKER: Speaker<'_> = Speaker { server_id: "a_1", node: "00ff", window_seconds: 60 };

    #[test]
    fn a_message_says_what_since_when_and_of_whom() {
        let message = Message::of_node(&word(true, 0), &SPEAKER, 1_738_060_300_000);
        let body: serde_json::Value = serde_json::from_slice(&message.body).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({
                "alert": "memory_usage_mb", "status": "firing", "value": 612.5, "threshold": 500.0, "windowSeconds": 60,
                "server_id": "a_1", "node": "00ff", "startsAt": "2025-01-28T10:30:00.000Z",
                "fingerprint": body["fingerprint"], "version": "1",
            })
        );
        let over = Message::of_node(&word(false, 0), &SPEAKER, 1_738_060_300_000);
        let over_body: serde_json::Value = serde_json::from_slice(&over.body).expect("JSON");
        assert_eq!(over_body["endsAt"], "2025-01-28T10:31:40.000Z");
        assert_eq!(over_body["fingerprint"], body["fingerprint"]);
    }

    #[test]
    fn each_message_has_a_key_of_its_own_that_stays() {
        let key = |firing, repeated| Message::of_node(&word(firing, repeated), &SPEAKER, 5).idempotency_key;
        assert_eq!(key(true, 0), Message::of_node(&word(true, 0), &SPEAKER, 99).idempotency_key);
        let keys = std::collections::HashSet::from([key(true, 0), key(true, 1), key(false, 0)]);
        assert_eq!(keys.len(), 3);
    }
}
