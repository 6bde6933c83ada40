//! Keys from a JWK Set (RFC 7517, 7518 section 6, 8037 section 2). What cannot be used is skipped, and told.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::jwt::{Algorithm, is_object};
use super::keys::{Key, KeyError, KeySet};

/// Bytes of a JWK Set.
pub const JWKS_BYTES_MAX: usize = 256 << 10;
/// Entries of a JWK Set, usable or not.
pub const JWKS_ENTRIES_MAX: usize = 256;

/// Whether shared secrets (`oct`) are taken from a set: from a file that only the server reads, never from an address that
/// others can read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// They are keys.
    Taken,
    /// They are skipped.
    Skipped,
}

/// What a JWK Set came to.
#[derive(Debug)]
pub struct JwksKeys {
    /// The usable keys; there is one at least.
    pub keys: KeySet,
    /// Entries that were passed over.
    pub skipped: Vec<Skipped>,
}

/// An entry that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its place in `keys`, from 0.
    pub entry: usize,
    /// Why.
    pub reason: SkipReason,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys[{}]: {}", self.entry, self.reason)
    }
}

/// Why an entry of a JWK Set is passed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// Not a JWK.
    #[error("not a JWK: {0}")]
    Malformed(&'static str),
    /// `use` or `key_ops` is for something else.
    #[error("not a key that verifies signatures (use, key_ops)")]
    Use,
    /// Another kind of key.
    #[error("another kind of key (kty, crv); accepted: RSA, EC P-256, OKP Ed25519, oct")]
    Kind,
    /// The key says that it is for another algorithm.
    #[error("a key for another algorithm (alg); this kind is accepted for {0}")]
    Algorithm(Algorithm),
    /// A shared secret that others can read.
    #[error("a shared secret (oct) in a published set")]
    Published,
    /// The private half of a key pair.
    #[error("a private key: whoever signs the tokens keeps it and publishes the public key")]
    Private,
    /// A key that is refused.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why a JWK Set is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// More than is read.
    #[error("the JWK Set has {bytes} bytes; accepted: {JWKS_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not `{"keys": […]}`.
    #[error("not a JWK Set ({{\"keys\": […]}}): {0}")]
    Malformed(String),
    /// More entries than are looked at.
    #[error("the JWK Set has {entries} entries; accepted: {JWKS_ENTRIES_MAX}")]
    TooMany {
        /// How many there are.
        entries: usize,
    },
    /// More usable keys than are kept.
    #[error("the JWK Set: {0}")]
    Keys(#[from] KeyError),
    /// Nothing to verify with.
    #[error("the JWK Set has no usable key ({})", first(.0))]
    NoUsableKey(Vec<Skipped>),
}

fn first(skipped: &[Skipped]) -> String {
    skipped.first().map_or_else(|| "it is empty".to_owned(), ToString::to_string)
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The members that matter; unknown ones are ignored (RFC 7517, section 4).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default, rename = "use")]
    usage: Option<String>,
    #[serde(default)]
    key_ops: Option<Vec<String>>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    k: Option<String>,
    #[serde(default)]
    d: Option<IgnoredAny>,
}

/// The keys of a JWK Set.
///
/// # Errors
/// [`JwksError`] when it is no set, too large, or has no usable key. Single entries that cannot be used are only skipped.
pub fn keys_from_jwks(json: &[u8], secrets: Secrets) -> Result<JwksKeys, JwksError> {
    if json.len() > JWKS_BYTES_MAX {
        return Err(JwksError::TooLong { bytes: json.len() });
    }
    if !is_object(json) {
        return Err(JwksError::Malformed("not a JSON object".to_owned()));
    }
    // Line and column only: serde_json's own text may quote what stands there, and that may be a secret.
    let Set { keys: entries } = serde_json::from_slice(json)
        .map_err(|error| JwksError::Malformed(format!("wrong at line {}, column {}", error.line(), error.column())))?;
    if entries.len() > JWKS_ENTRIES_MAX {
        return Err(JwksError::TooMany { entries: entries.len() });
    }
    let (mut keys, mut skipped) = (Vec::new(), Vec::new());
    for (entry, json) in entries.into_iter().enumerate() {
        match key_of(json.get(), secrets) {
            Ok(key) => keys.push(key),
            Err(reason) => skipped.push(Skipped { entry, reason }),
        }
    }
    if keys.is_empty() {
        return Err(JwksError::NoUsableKey(skipped));
    }
    Ok(JwksKeys { keys: KeySet::new(keys)?, skipped })
}

fn key_of(json: &str, secrets: Secrets) -> Result<Key, SkipReason> {
    if !is_object(json.as_bytes()) {
        return Err(SkipReason::Malformed("not a JSON object"));
    }
    let jwk: Jwk = serde_json::from_str(json)
        .map_err(|_| SkipReason::Malformed("a member has the wrong type or occurs twice, or kty is missing"))?;
    let verifies = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
        && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !verifies {
        return Err(SkipReason::Use);
    }
    let algorithm = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Algorithm::Rs256,
        ("EC", Some("P-256")) => Algorithm::Es256,
        ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
        ("oct", _) => Algorithm::Hs256,
        _ => return Err(SkipReason::Kind),
    };
    if jwk.alg.as_deref().is_some_and(|name| Algorithm::from_name(name) != Some(algorithm)) {
        return Err(SkipReason::Algorithm(algorithm));
    }
    if jwk.d.is_some() {
        return Err(SkipReason::Private);
    }
    let key = match algorithm {
        Algorithm::Rs256 => Key::rs256(&bytes(jwk.n.as_ref())?, &bytes(jwk.e.as_ref())?)?,
        Algorithm::Es256 => {
            let (x, y) = (bytes(jwk.x.as_ref())?, bytes(jwk.y.as_ref())?);
            // Both at full length (RFC 7518, section 6.2.1.2): otherwise the parts could be shifted against each other.
            if x.len() != 32 || y.len() != 32 {
                return Err(SkipReason::Malformed("a coordinate (x, y) of P-256 does not have 32 bytes"));
            }
            Key::es256(&[&[4][..], &x, &y].concat())?
        }
        Algorithm::EdDsa => Key::ed25519(&bytes(jwk.x.as_ref())?)?,
        Algorithm::Hs256 if secrets == Secrets::Skipped => return Err(SkipReason::Published),
        Algorithm::Hs256 => Key::hs256(&bytes(jwk.k.as_ref())?)?,
    };
    match jwk.kid {
        Some(kid) => Ok(key.with_kid(&kid)?),
        None => Ok(key),
    }
}

fn bytes(member: Option<&String>) -> Result<Vec<u8>, SkipReason> {
    let text = member.ok_or(SkipReason::Malformed("a member that this kind of key has is missing"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| SkipReason::Malformed("a member of the key is not base64url"))
}

#[cfg(test)]
#[path = "jwk_tests.rs"]
mod tests;
