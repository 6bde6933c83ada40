//! Who a client is, and what it may do: tokens, keys, and the policy of the namespaces.
//!
//! ```text
//!   CONNECT (resume too) ─► TokenPlaces ─► jwt (signature, Keyring) ─► claims ─► Identity ─► Policy::decide(Connect)
//!                                                 ▲                                  │
//!   key files (reload) ─► Keyring ◄─ Jwks ◄─ Fetcher (https)                         └─► join, publish, broadcast; expiry
//! ```
//!
//! Everything but [`Jwks::run`], [`Fetcher`], [`KeyFiles::read`] and [`client_tls`] is pure: time is handed in. A refusal
//! tells the client a [`RefusalCode`] and the log a [`RefusalReason`]; neither ever shows a token or a key.

mod claims;
mod identity;
mod jwk;
mod jwks;
mod jwks_fetch;
mod jwks_url;
mod jwt;
mod keyring;
mod keys;
mod pattern;
mod pem_keys;
pub mod policy;
mod policy_file;
mod refusal;
mod schedule;
#[cfg(test)]
mod testing;
mod token_places;

use std::sync::Arc;

pub use claims::{ClaimName, ClaimRules, ClaimsError, SKEW_SECONDS, SKEW_SECONDS_MAX};
pub use identity::{Identity, NAME_BYTES_MAX, ROLE_BYTES_MAX, ROLES_MAX, Roles, RolesRefused, TokenSource};
pub use jwk::{JWKS_BYTES_MAX, JWKS_ENTRIES_MAX, JwksError, JwksKeys, Secrets, SkipReason, Skipped, keys_from_jwks};
pub use jwks::{Jwks, JwksStatus, JwksUpdateError, REFRESH, REFRESH_MIN};
pub use jwks_fetch::{ClientTlsError, FETCH_TIMEOUT, FetchError, Fetcher, client_tls};
pub use jwks_url::{JwksUrl, JwksUrlError};
pub use jwt::{Algorithm, KEYS_TRIED_MAX, SignatureError, TOKEN_BYTES_MAX};
pub use keyring::{KeyFileError, KeyFiles, Keyring, KeysRead};
pub use keys::{KEYS_MAX, KID_BYTES_MAX, Key, KeyError, KeySet, RSA_BITS, SECRET_BYTES_MAX, SECRET_BYTES_MIN};
pub use pattern::{PATTERN_BYTES_MAX, Pattern, PatternError};
pub use pem_keys::{PEM_BYTES_MAX, PemKeysError, keys_from_pem};
pub use policy::{Action, AuthMode, Decision, NamespacePolicy, Policy};
pub use policy_file::{Mistake, POLICY_BYTES_MAX, PolicyFileError};
pub use refusal::{AuthRefusal, RefusalCode, RefusalReason};
pub use schedule::Schedule;
pub use token_places::{AUTH_OBJECT_MEMBER, MalformedAuthObject, OpeningRequest, TokenPlaces};

/// Tells who clients are.
#[derive(Debug)]
pub struct Authenticator {
    /// Whether there is somebody without a token.
    pub mode: AuthMode,
    /// Where tokens may come from.
    pub places: TokenPlaces,
    /// What is asked of a token.
    pub claims: ClaimRules,
    /// Bytes of a token, at most.
    pub token_bytes_max: usize,
    /// The keys in force.
    pub keyring: Arc<Keyring>,
    /// Where some of them are fetched.
    pub jwks: Option<Arc<Jwks>>,
}

impl Authenticator {
    /// Everybody is nobody in particular.
    #[must_use]
    pub fn off() -> Self {
        Self {
            mode: AuthMode::Off,
            places: TokenPlaces::default(),
            claims: ClaimRules::default(),
            token_bytes_max: TOKEN_BYTES_MAX,
            keyring: Arc::default(),
            jwks: None,
        }
    }

    /// Who a client is, by its CONNECT packet's auth object, the request that opened its connection, the keys in force and
    /// the time (unix seconds). To be asked for every CONNECT, a resume too, before anything is committed.
    ///
    /// A token that is shown must be good, also where none is required.
    ///
    /// # Errors
    /// [`AuthRefusal`].
    pub fn authenticate(
        &self,
        auth_object: Option<&[u8]>,
        request: &impl OpeningRequest,
        now_unix: u64,
    ) -> Result<Identity, AuthRefusal> {
        if self.mode == AuthMode::Off {
            return Ok(Identity::anonymous());
        }
        let refuse = |reason, token_source| AuthRefusal { reason, token_source };
        let found = self
            .places
            .find(auth_object, request)
            .map_err(|error| refuse(error.into(), Some(TokenSource::AuthObject)))?;
        let Some((token, source)) = found else {
            return match self.mode {
                AuthMode::Required => Err(refuse(RefusalReason::NoToken, None)),
                AuthMode::Optional | AuthMode::Off => Ok(Identity::anonymous()),
            };
        };
        let keys = self.keyring.current();
        if keys.is_empty() {
            return Err(refuse(RefusalReason::NoKeys, Some(source)));
        }
        let payload =
            jwt::verify(&token, &keys, self.token_bytes_max).map_err(|error| refuse(error.into(), Some(source)))?;
        let bearer =
            claims::judge(&payload, &self.claims, now_unix).map_err(|error| refuse(error.into(), Some(source)))?;
        Ok(Identity::of(bearer.user, bearer.roles, bearer.expires_at, source))
    }

    /// Like [`Authenticator::authenticate`], but a token of an unknown key is judged once more after a fetch of the
    /// issuer's keys, if one may be made now. Takes as long as a fetch at most.
    ///
    /// # Errors
    /// [`AuthRefusal`].
    pub async fn authenticate_with_fresh_keys(
        &self,
        auth_object: Option<&[u8]>,
        request: &impl OpeningRequest,
        now_unix: u64,
    ) -> Result<Identity, AuthRefusal> {
        match (self.authenticate(auth_object, request, now_unix), &self.jwks) {
            (Err(refusal), Some(jwks)) if refusal.may_be_a_new_key() => {
                jwks.refreshed().await;
                self.authenticate(auth_object, request, now_unix)
            }
            (judged, _) => judged,
        }
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
