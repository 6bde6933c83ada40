//! What the tests share: fixtures made by another implementation, and a signer for tokens that no honest one would make.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::keys::{Key, KeySet};
use super::token_places::OpeningRequest;

pub(super) const RSA_PEM: &str = include_str!("fixtures/rsa.pem");
pub(super) const P256_PEM: &str = include_str!("fixtures/p256.pem");
pub(super) const ED25519_PEM: &str = include_str!("fixtures/ed25519.pem");
pub(super) const JWKS: &str = include_str!("fixtures/jwks.json");
pub(super) const JWKS_ROTATED: &str = include_str!("fixtures/jwks_rotated.json");

/// Within the life of the fixtures' tokens; unix seconds.
pub(super) const NOW: u64 = 1_800_000_000;
/// When they expire; unix seconds.
pub(super) const EXP: u64 = 4_102_444_800;

static TOKENS: LazyLock<HashMap<String, String>> =
    LazyLock::new(|| serde_json::from_str(include_str!("fixtures/tokens.json")).unwrap());

/// A token of the fixtures.
pub(super) fn token(name: &str) -> &'static str {
    &TOKENS[name]
}

/// The shared secret of the fixtures.
pub(super) fn secret() -> Key {
    Key::hs256(token("secret").as_bytes()).unwrap()
}

/// A set of that secret alone.
pub(super) fn secret_set() -> KeySet {
    KeySet::new([secret()]).unwrap()
}

pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Anything, signed with the fixtures' secret.
pub(super) fn signed(header: &str, payload: impl AsRef<[u8]>) -> String {
    let signed = format!("{}.{}", base64url(header), base64url(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, token("secret").as_bytes());
    let tag = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", base64url(tag))
}

/// Claims, signed with the fixtures' secret.
pub(super) fn claims(claims: &serde_json::Value) -> String {
    signed(r#"{"alg":"HS256"}"#, claims.to_string())
}

/// A request with these headers and this query.
#[derive(Default)]
pub(super) struct Opening {
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) query: String,
}

impl OpeningRequest for Opening {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| *have == name).map(|(_, value)| value.as_str())
    }

    fn query(&self) -> &str {
        &self.query
    }
}
