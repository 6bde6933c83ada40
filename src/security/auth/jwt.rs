//! A compact JWS is taken apart and its signature verified (RFC 7515); nothing in it is believed before that.
//!
//! Why not a library: `jsonwebtoken` 9 is the last with a ring backend and has GHSA-h395-gr6q-cpjc (a claim of the wrong
//! type counts as absent); 10 and later need aws-lc-rs, which is banned here, or RustCrypto's `rsa` (RUSTSEC-2023-0071).
//! What is left to do over ring is this file.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::keys::KeySet;

/// Bytes of a token, unless configured otherwise.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Keys whose signature is tried for one token: a token without `kid` fits each key of its algorithm.
pub const KEYS_TRIED_MAX: usize = 4;
/// Bytes of an unknown `kid` that a log reason shows.
const KID_SHOWN_BYTES_MAX: usize = 64;

/// A signature algorithm (RFC 7518, section 3.1; RFC 8037, section 3.1). There is no `none`, and a key has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The name in a header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of that name; `Ed25519` is the same as `EdDSA` (RFC 9864, section 2.2).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a token's signature is not believed. The text is for the log: it never shows the token, and a client never sees it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Longer than is looked at.
    #[error("the token has {bytes} bytes, more than {bytes_max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// Not a compact JWS.
    #[error("the token is not a signed JWT: {0}")]
    Malformed(&'static str),
    /// `none`, one of the weaker or rarer ones, or something made up.
    #[error("the token's algorithm is none of HS256, RS256, ES256, EdDSA")]
    Algorithm,
    /// Extensions that must be understood (RFC 7515, section 4.1.11); none is.
    #[error("the token's header has critical extensions (crit)")]
    Critical,
    /// No key has this id and algorithm.
    #[error("no {algorithm} key has the token's kid {kid:?}")]
    UnknownKid {
        /// The token's algorithm.
        algorithm: Algorithm,
        /// Its key id, shortened.
        kid: String,
    },
    /// No key has this algorithm; the token names none.
    #[error("no key is for {0}, and the token has no kid")]
    NoKey(Algorithm),
    /// Not signed by the key.
    #[error("the {0} signature does not verify")]
    Signature(Algorithm),
}

/// The protected header, as far as it is looked at: `jku`, `jwk`, `x5u` and `x5c` never are.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// True whatever stands there, `null` too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// The payload of a token that one of `keys` signed.
///
/// The algorithm is the key's: a token that names another one finds no key. `kid` selects; a key without an id of its own
/// stands in for any.
///
/// # Errors
/// [`SignatureError`], always before anything of the payload is read.
pub fn verify(token: &str, keys: &KeySet, token_bytes_max: usize) -> Result<Vec<u8>, SignatureError> {
    if token.len() > token_bytes_max {
        return Err(SignatureError::TooLong { bytes: token.len(), bytes_max: token_bytes_max });
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SignatureError::Malformed("it does not have three parts"));
    };
    let signed = &token[..header.len() + 1 + payload.len()];
    let header = decode(header, "the header is not base64url")?;
    let signature = decode(signature, "the signature is not base64url")?;
    if !is_object(&header) {
        return Err(SignatureError::Malformed("the header is not a JSON object"));
    }
    // Names that occur twice are refused here.
    let header: Header = serde_json::from_slice(&header).map_err(|_| {
        SignatureError::Malformed("the header does not have a text `alg`, or repeats or mistypes a name")
    })?;
    if header.crit {
        return Err(SignatureError::Critical);
    }
    let algorithm = Algorithm::from_name(&header.alg).ok_or(SignatureError::Algorithm)?;
    let mut tried = 0;
    for key in keys.candidates(algorithm, header.kid.as_deref()).take(KEYS_TRIED_MAX) {
        tried += 1;
        if key.verifies(signed.as_bytes(), &signature) {
            return decode(payload, "the payload is not base64url");
        }
    }
    match (tried, header.kid) {
        (0, Some(kid)) => Err(SignatureError::UnknownKid { algorithm, kid: shown(&kid) }),
        (0, None) => Err(SignatureError::NoKey(algorithm)),
        _ => Err(SignatureError::Signature(algorithm)),
    }
}

/// Whether JSON text is an object: structs would also be read from arrays.
pub(super) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

fn decode(part: &str, otherwise: &'static str) -> Result<Vec<u8>, SignatureError> {
    // Strict: no padding, no bits to spare, so that a token has one form only.
    URL_SAFE_NO_PAD.decode(part).map_err(|_| SignatureError::Malformed(otherwise))
}

fn shown(kid: &str) -> String {
    let mut end = kid.len().min(KID_SHOWN_BYTES_MAX);
    while !kid.is_char_boundary(end) {
        end -= 1;
    }
    kid[..end].to_owned()
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
