//! The token of [`super::csrf`]: made without a table, good on every node of the cluster, for one login and some hours.
//!
//! ```text
//!   base64url, no padding, of   version (1) · nonce (16) · expiry, Unix seconds (8, big-endian) · tag (32)
//!   tag = HMAC-SHA256(key, label · version · nonce · expiry · binding)
//! ```
//!
//! `binding` is a digest of the login that the token goes with: another user's token, planted as a cookie by a
//! subdomain, is none here.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq as _;
use thiserror::Error;

/// Bytes of the nonce, which the caller draws at random.
pub const NONCE_BYTES: usize = 16;
/// Bytes of the digest of a login.
pub const BINDING_BYTES: usize = 32;
/// Bytes of a token's text.
pub const TOKEN_BYTES: usize = 76;

const VERSION: u8 = 1;
const CLAIM_BYTES: usize = 1 + NONCE_BYTES + 8;
const TAG_BYTES: usize = 32;
const LABEL: &[u8] = b"vedfolnir csrf token";
const KEY_LABEL: &[u8] = b"vedfolnir csrf key";

/// Why a token is not good. Which it was is for the log: the client hears that its token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The header and no cookie hold the same.
    #[error("the CSRF token in the header is not the one in the cookie")]
    Mismatch,
    /// It is no token, or one of a version that is not known.
    #[error("the CSRF token is not well-formed")]
    Malformed,
    /// It was made with another key, for another login, or not here.
    #[error("the CSRF token is not one of this service's for this login")]
    Forged,
    /// It was good once.
    #[error("the CSRF token has expired")]
    Expired,
}

/// What tokens are made and checked with.
#[derive(Clone)]
pub struct CsrfKey(hmac::Key);

impl fmt::Debug for CsrfKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CsrfKey(..)")
    }
}

impl CsrfKey {
    /// The key that goes with a secret which all nodes of the cluster share and which may have other uses.
    #[must_use]
    pub fn derive(secret: &[u8; 32]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), KEY_LABEL);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// A new token, good until `expiry` (Unix seconds).
    #[must_use]
    pub fn issue(&self, nonce: [u8; NONCE_BYTES], expiry: u64, binding: &[u8; BINDING_BYTES]) -> String {
        let mut token = [0; CLAIM_BYTES + TAG_BYTES];
        let (claim, tag) = token.split_at_mut(CLAIM_BYTES);
        claim[0] = VERSION;
        claim[1..=NONCE_BYTES].copy_from_slice(&nonce);
        claim[1 + NONCE_BYTES..].copy_from_slice(&expiry.to_be_bytes());
        tag.copy_from_slice(hmac::sign(&self.0, &signed(claim, binding)).as_ref());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Whether `token` was made with this key for this login, and is still good at `now` (Unix seconds).
    ///
    /// # Errors
    /// [`TokenError`], never [`TokenError::Mismatch`].
    pub fn verify(&self, token: &[u8], binding: &[u8; BINDING_BYTES], now: u64) -> Result<(), TokenError> {
        if token.len() != TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError::Malformed)?;
        let (claim, tag) = bytes.split_first_chunk::<CLAIM_BYTES>().ok_or(TokenError::Malformed)?;
        let [version, .., e0, e1, e2, e3, e4, e5, e6, e7] = *claim;
        if version != VERSION {
            return Err(TokenError::Malformed);
        }
        hmac::verify(&self.0, &signed(claim, binding), tag).map_err(|_| TokenError::Forged)?;
        let expiry = u64::from_be_bytes([e0, e1, e2, e3, e4, e5, e6, e7]);
        if now >= expiry { Err(TokenError::Expired) } else { Ok(()) }
    }
}

/// Whether the header holds what the cookie holds, in a time that does not depend on where they differ.
#[must_use]
pub fn is_same(header: &[u8], cookie: &[u8]) -> bool {
    header.ct_eq(cookie).into()
}

/// All parts have fixed lengths: no two different ones make the same.
fn signed(claim: &[u8], binding: &[u8; BINDING_BYTES]) -> Vec<u8> {
    [LABEL, claim, binding].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BINDING: [u8; 32] = [5; 32];

    fn key() -> CsrfKey {
        CsrfKey::derive(&[7; 32])
    }

    fn token() -> String {
        key().issue([9; 16], 1000, &BINDING)
    }

    #[test]
    fn a_token_is_good_for_its_login_until_it_expires() {
        let token = token();
        assert_eq!(token.len(), TOKEN_BYTES);
        let verify = |key: &CsrfKey, binding, now| key.verify(token.as_bytes(), binding, now);
        assert_eq!(verify(&key(), &BINDING, 0), Ok(()));
        assert_eq!(verify(&key(), &BINDING, 999), Ok(()));
        assert_eq!(verify(&key(), &BINDING, 1000), Err(TokenError::Expired));
        assert_eq!(verify(&key(), &[6; 32], 0), Err(TokenError::Forged));
        assert_eq!(verify(&CsrfKey::derive(&[8; 32]), &BINDING, 0), Err(TokenError::Forged));
        // A forged token is not told apart by its expiry.
        assert_eq!(verify(&CsrfKey::derive(&[8; 32]), &BINDING, 2000), Err(TokenError::Forged));
    }

    #[test]
    fn no_two_tokens_are_the_same() {
        assert_ne!(key().issue([9; 16], 1000, &BINDING), key().issue([8; 16], 1000, &BINDING));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let verify = |token: &[u8]| key().verify(token, &BINDING, 0);
        let good = token();
        for text in
            ["", "a", &good[1..], &format!("{good}="), &format!("{good}A"), &good.replace(char::is_alphanumeric, "!")]
        {
            assert_eq!(verify(text.as_bytes()), Err(TokenError::Malformed), "{text}");
        }
        assert_eq!(verify(&[0xff; TOKEN_BYTES]), Err(TokenError::Malformed));
        let mut bytes = URL_SAFE_NO_PAD.decode(&good).unwrap();
        bytes[0] = 2;
        assert_eq!(verify(URL_SAFE_NO_PAD.encode(&bytes).as_bytes()), Err(TokenError::Malformed));
    }

    #[test]
    fn header_and_cookie_are_compared_whole() {
        assert!(is_same(b"abc", b"abc"));
        for (header, cookie) in [("abc", "abd"), ("abc", "ab"), ("", "a")] {
            assert!(!is_same(header.as_bytes(), cookie.as_bytes()));
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", key()), "CsrfKey(..)");
    }

    proptest! {
        #[test]
        fn every_changed_bit_is_noticed(bit in 0_usize..57 * 8) {
            let mut bytes = URL_SAFE_NO_PAD.decode(token()).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let verified = key().verify(URL_SAFE_NO_PAD.encode(&bytes).as_bytes(), &BINDING, 0);
            prop_assert!(matches!(verified, Err(TokenError::Forged | TokenError::Malformed)));
        }

        #[test]
        fn no_bytes_make_it_panic(token in prop::collection::vec(any::<u8>(), 0..100), text in "[A-Za-z0-9_-]{76}") {
            prop_assert!(key().verify(&token, &BINDING, 0).is_err());
            prop_assert!(key().verify(text.as_bytes(), &BINDING, 0).is_err());
        }
    }
}
