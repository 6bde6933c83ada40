//! A join token: the secret that lets one new node in, and the pin of the authority that the node must meet.
//!
//! ```text
//!   vfjoin1_ + base64url( SHA-256 of the authority's certificate, 32 · secret, 32 · checksum, 4 )
//! ```
//!
//! The checksum tells a token that was cut or mistyped from one that is not accepted.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use vedfolnir_state::TokenHash;

const PREFIX: &str = "vfjoin1_";
const CHECKSUM_BYTES: usize = 4;

/// A join token. It is shown once, where it was made; everywhere else there is only its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    authority: [u8; 32],
    secret: [u8; 32],
}

/// Why a text is no join token; says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinTokenError {
    /// Something else.
    #[error("it is no join token")]
    Form,
    /// A join token that lost or changed a character.
    #[error("it was cut off or mistyped")]
    Damaged,
}

impl JoinToken {
    pub(crate) fn new(authority: [u8; 32], secret: [u8; 32]) -> Self {
        Self { authority, secret }
    }

    /// SHA-256 of the certificate of the authority that the node must meet.
    pub(crate) fn authority(&self) -> &[u8; 32] {
        &self.authority
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The token as it is handed to the operator of the new node.
    #[must_use]
    pub fn reveal(&self) -> String {
        let body = [self.authority, self.secret].concat();
        let text = [body.as_slice(), &checksum(&body)].concat();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(text))
    }
}

/// What the log and the peers know a token by. A secret of 256 random bits needs no slow hash, and looking a hash up
/// tells nothing about the secret, however long it takes.
pub(crate) fn token_hash(secret: &[u8; 32]) -> TokenHash {
    TokenHash(sha256(&[b"vedfolnir join token ".as_slice(), secret].concat()))
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = sha256(&[b"vedfolnir join token checksum ".as_slice(), body].concat());
    [hash[0], hash[1], hash[2], hash[3]]
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let text = text.trim().strip_prefix(PREFIX).ok_or(JoinTokenError::Form)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| JoinTokenError::Damaged)?;
        let (body, sum) = bytes.split_at_checked(64).ok_or(JoinTokenError::Damaged)?;
        if sum != checksum(body) {
            return Err(JoinTokenError::Damaged);
        }
        let (mut authority, mut secret) = ([0; 32], [0; 32]);
        authority.copy_from_slice(&body[..32]);
        secret.copy_from_slice(&body[32..]);
        Ok(Self { authority, secret })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(…)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = JoinToken::new([7; 32], [9; 32]);
        assert_eq!(format!(" {}\n", token.reveal()).parse(), Ok(token));
    }

    #[test]
    fn what_was_damaged_is_told_from_what_is_no_token() {
        let text = JoinToken::new([7; 32], [9; 32]).reveal();
        for (bad, why) in [
            ("", JoinTokenError::Form),
            ("garbage", JoinTokenError::Form),
            (&text[..text.len() - 1], JoinTokenError::Damaged),
            (&format!("{text}A"), JoinTokenError::Damaged),
            (&text.replacen("BwcH", "BwcI", 1), JoinTokenError::Damaged),
            ("vfjoin1_", JoinTokenError::Damaged),
            ("vfjoin1_\u{e9}", JoinTokenError::Damaged),
        ] {
            assert_eq!(bad.parse::<JoinToken>(), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn a_token_is_never_shown_by_accident() {
        let token = JoinToken::new([7; 32], [9; 32]);
        assert_eq!(format!("{token:?}"), "JoinToken(…)");
        assert_ne!(token_hash(&[9; 32]).0, [9; 32]);
    }
}
