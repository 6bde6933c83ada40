//! What a receiver knows us by: an HMAC over the time and the body.

use std::fmt::Write as _;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

use crate::security::secret::Secret;

const EVENT_ID: HeaderName = HeaderName::from_static("vedfolnir-event-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("vedfolnir-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("vedfolnir-signature");

/// Signs requests to a backend and a webhook's receiver, with a secret that can be exchanged.
#[derive(Debug, Default)]
pub(crate) struct Signer(ArcSwapOption<Secret>);

impl Signer {
    /// Without a secret nothing is signed.
    pub(crate) fn new(secret: Option<Secret>) -> Self {
        Self(ArcSwapOption::new(secret.map(Arc::new)))
    }

    /// From now on this is the secret.
    pub(crate) fn replace(&self, secret: Option<Secret>) {
        self.0.store(secret.map(Arc::new));
    }

    /// What says which event it is, when it is sent (seconds since 1970), and that it is ours.
    pub(crate) fn headers(&self, event_id: &str, now: u64, body: &[u8]) -> HeaderMap {
        let signature = self.0.load().as_deref().map(|secret| format!("v1={}", hmac_sha256(secret, now, body)));
        let values =
            [(EVENT_ID, Some(event_id.to_owned())), (TIMESTAMP, Some(now.to_string())), (SIGNATURE, signature)];
        // All of them are letters, digits and a few signs: headers take them.
        let header = |(name, text): (HeaderName, Option<String>)| Some((name, HeaderValue::try_from(text?).ok()?));
        values.into_iter().filter_map(header).collect()
    }
}

/// HMAC-SHA256 over the time (seconds since 1970, as it stands in its header), a dot, and the body, in hexadecimal digits.
pub(crate) fn hmac_sha256(secret: &Secret, timestamp: u64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(timestamp.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    context.sign().as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_openssl_says_of_time_dot_and_body() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac sesame
        let secret = "sesame".to_owned().into();
        let hex = "d3abd3f5600670832b9e0ff7116224a4ba4b043d1ef3a02836e89810336ec0cc";
        assert_eq!(hmac_sha256(&secret, 1_700_000_000, b"{}"), hex);
        assert_ne!(hmac_sha256(&secret, 1_700_000_001, b"{}"), hex);
    }
}
