//! An alert as the webhook gets it: a JSON body, what signs it, and the key by which a repetition is known.

use std::fmt::Write as _;

use ring::{digest, hmac};
use serde::Serialize;

use super::book::Word;
use crate::observability::rfc3339_ms;
use crate::security::secret::Secret;

/// Hexadecimal digits of a fingerprint.
const FINGERPRINT_DIGITS: usize = 16;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    alert: &'static str,
    status: &'static str,
    value: f64,
    threshold: f64,
    window_seconds: u64,
    #[serde(rename = "server_id")]
    server_id: &'a str,
    node: &'a str,
    starts_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    fingerprint: &'a str,
    version: &'static str,
}

/// A message, ready to be sent as often as it takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) alert: &'static str,
    pub(super) status: &'static str,
    pub(super) body: Vec<u8>,
    /// The same for every attempt, and for no other message.
    pub(super) idempotency_key: String,
}

/// Who speaks, and over how long it counts.
pub(super) struct Speaker<'a> {
    pub(super) server_id: &'a str,
    pub(super) node: &'a str,
    pub(super) window_seconds: u64,
}

impl Message {
    pub(super) fn of(word: &Word, speaker: &Speaker<'_>, now_ms: u64) -> Self {
        let (alert, status) = (word.condition.as_str(), if word.firing { "firing" } else { "resolved" });
        let fingerprint = hex(&[alert, speaker.node], FINGERPRINT_DIGITS);
        let since = word.since_ms.to_string();
        let idempotency_key = hex(&[&fingerprint, &since, status, &word.repeated.to_string()], 32);
        let body = Body {
            alert,
            status,
            value: word.value,
            threshold: word.threshold,
            window_seconds: speaker.window_seconds,
            server_id: speaker.server_id,
            node: speaker.node,
            starts_at: rfc3339_ms(word.since_ms),
            ends_at: (!word.firing).then(|| rfc3339_ms(now_ms)),
            fingerprint: &fingerprint,
            version: "1",
        };
        // Numbers and texts: nothing that JSON does not take.
        Self { alert, status, body: serde_json::to_vec(&body).unwrap_or_default(), idempotency_key }
    }
}

/// `sha256=HEX` of HMAC-SHA256 over the time (seconds since 1970, as it stands in its header), a dot, and the body.
pub(super) fn signature(secret: &Secret, timestamp: u64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(timestamp.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    let mut text = "sha256=".to_owned();
    digits(context.sign().as_ref(), &mut text);
    text
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
        let message = Message::of(&word(true, 0), &SPEAKER, 1_738_060_300_000);
        let body: serde_json::Value = serde_json::from_slice(&message.body).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({
                "alert": "memory_usage_mb", "status": "firing", "value": 612.5, "threshold": 500.0, "windowSeconds": 60,
                "server_id": "a_1", "node": "00ff", "startsAt": "2025-01-28T10:30:00.000Z",
                "fingerprint": body["fingerprint"], "version": "1",
            })
        );
        let over = Message::of(&word(false, 0), &SPEAKER, 1_738_060_300_000);
        let over_body: serde_json::Value = serde_json::from_slice(&over.body).expect("JSON");
        assert_eq!(over_body["endsAt"], "2025-01-28T10:31:40.000Z");
        assert_eq!(over_body["fingerprint"], body["fingerprint"]);
    }

    #[test]
    fn each_message_has_a_key_of_its_own_that_stays() {
        let key = |firing, repeated| Message::of(&word(firing, repeated), &SPEAKER, 5).idempotency_key;
        assert_eq!(key(true, 0), Message::of(&word(true, 0), &SPEAKER, 99).idempotency_key);
        let keys = std::collections::HashSet::from([key(true, 0), key(true, 1), key(false, 0)]);
        assert_eq!(keys.len(), 3);
    }

    #[test]
    fn a_signature_is_that_of_rfc_4231_with_time_and_dot_before_the_body() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac sesame
        let secret = "sesame".to_owned().into();
        let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"sesame"), b"1700000000.{}");
        let mut hex = "sha256=".to_owned();
        digits(expected.as_ref(), &mut hex);
        assert_eq!(signature(&secret, 1_700_000_000, b"{}"), hex);
        assert_ne!(signature(&secret, 1_700_000_001, b"{}"), hex);
    }
}
