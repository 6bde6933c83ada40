//! What a refused client hears, and what the log does.

use super::claims::ClaimsError;
use super::identity::TokenSource;
use super::jwt::SignatureError;
use super::token_places::MalformedAuthObject;

/// The stable codes of refusals: clients see them in `connect_error` (`err.data.code`) and in acks (`error.code`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// A token is needed and none was shown.
    AuthRequired,
    /// A token that was good once: a newer one helps.
    TokenExpired,
    /// A token that is not believed. Which part of it is not is for the log only.
    TokenInvalid,
    /// Known, but not allowed.
    Forbidden,
    /// Nobody can be authenticated now: no key was ever loaded. The transport is closed instead of refusing for good, so
    /// that the client comes back by itself.
    AuthUnavailable,
}

impl RefusalCode {
    /// Every code, for a metric's labels.
    pub const ALL: [Self; 5] =
        [Self::AuthRequired, Self::TokenExpired, Self::TokenInvalid, Self::Forbidden, Self::AuthUnavailable];

    /// The code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthRequired => "auth_required",
            Self::TokenExpired => "token_expired",
            Self::TokenInvalid => "token_invalid",
            Self::Forbidden => "forbidden",
            Self::AuthUnavailable => "auth_unavailable",
        }
    }

    /// What a client is told.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::AuthRequired => "authentication is required",
            Self::TokenExpired => "the token has expired",
            Self::TokenInvalid => "the token is not valid",
            Self::Forbidden => "not allowed",
            Self::AuthUnavailable => "authentication is not possible right now",
        }
    }

    /// The `data` of a `connect_error`: a JSON object with the code.
    #[must_use]
    pub const fn data_json(self) -> &'static str {
        match self {
            Self::AuthRequired => r#"{"code":"auth_required"}"#,
            Self::TokenExpired => r#"{"code":"token_expired"}"#,
            Self::TokenInvalid => r#"{"code":"token_invalid"}"#,
            Self::Forbidden => r#"{"code":"forbidden"}"#,
            Self::AuthUnavailable => r#"{"code":"auth_unavailable"}"#,
        }
    }

    /// Whether it is the server's fault, and the client should come back.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::AuthUnavailable)
    }

    /// Whether it counts as a failed authentication; the others are refused permissions or the server's own trouble.
    #[must_use]
    pub const fn is_authentication_failure(self) -> bool {
        matches!(self, Self::AuthRequired | Self::TokenExpired | Self::TokenInvalid)
    }
}

/// Why a client is not authenticated. The text is for the log: it never shows the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusalReason {
    /// No token anywhere that tokens may come from.
    #[error("no token was shown")]
    NoToken,
    /// Something else where the token belongs.
    #[error(transparent)]
    AuthObject(#[from] MalformedAuthObject),
    /// The signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// What it says.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// There is no key at all.
    #[error("no key to verify tokens with has been loaded yet")]
    NoKeys,
}

/// A client that is not authenticated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct AuthRefusal {
    /// Why.
    #[source]
    pub reason: RefusalReason,
    /// How the refused token came; `None`: there was none.
    pub token_source: Option<TokenSource>,
}

impl AuthRefusal {
    /// What the client hears.
    #[must_use]
    pub const fn code(&self) -> RefusalCode {
        match &self.reason {
            RefusalReason::NoToken => RefusalCode::AuthRequired,
            RefusalReason::Claims(ClaimsError::Expired { .. }) => RefusalCode::TokenExpired,
            RefusalReason::NoKeys => RefusalCode::AuthUnavailable,
            RefusalReason::AuthObject(_) | RefusalReason::Signature(_) | RefusalReason::Claims(_) => {
                RefusalCode::TokenInvalid
            }
        }
    }

    /// Whether the keys may have been rotated since they were loaded: another look at their source may help.
    #[must_use]
    pub const fn may_be_a_new_key(&self) -> bool {
        matches!(
            self.reason,
            RefusalReason::NoKeys
                | RefusalReason::Signature(SignatureError::UnknownKid { .. } | SignatureError::NoKey(_))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::jwt::Algorithm;
    use super::*;

    #[test]
    fn a_client_hears_a_code_and_never_what_was_wrong_with_a_signature() {
        let invalid = [
            RefusalReason::Signature(SignatureError::Algorithm),
            RefusalReason::Signature(SignatureError::Signature(Algorithm::Es256)),
            RefusalReason::Signature(SignatureError::UnknownKid { algorithm: Algorithm::Rs256, kid: "k".to_owned() }),
            RefusalReason::Claims(ClaimsError::Audience),
            RefusalReason::Claims(ClaimsError::NotYetValid { from: 2, now: 1 }),
            RefusalReason::AuthObject(MalformedAuthObject),
        ];
        for reason in invalid {
            let refusal = AuthRefusal { reason, token_source: Some(TokenSource::AuthObject) };
            assert_eq!(refusal.code(), RefusalCode::TokenInvalid, "{refusal}");
            assert_eq!(refusal.code().message(), "the token is not valid");
        }
        let expired = RefusalReason::Claims(ClaimsError::Expired { ended_at: 1, now: 2 });
        assert_eq!(AuthRefusal { reason: expired, token_source: None }.code(), RefusalCode::TokenExpired);
        assert_eq!(
            AuthRefusal { reason: RefusalReason::NoToken, token_source: None }.code(),
            RefusalCode::AuthRequired
        );
    }

    #[test]
    fn the_data_of_every_code_is_json_with_the_code() {
        for code in RefusalCode::ALL {
            let data: serde_json::Value = serde_json::from_str(code.data_json()).unwrap();
            assert_eq!(data, serde_json::json!({"code": code.as_str()}));
        }
    }

    #[test]
    fn only_an_absent_key_asks_for_new_ones() {
        let of = |reason| AuthRefusal { reason, token_source: None }.may_be_a_new_key();
        assert!(of(RefusalReason::NoKeys));
        assert!(of(RefusalReason::Signature(SignatureError::NoKey(Algorithm::Es256))));
        assert!(!of(RefusalReason::Signature(SignatureError::Signature(Algorithm::Es256))));
        assert!(!of(RefusalReason::NoToken));
    }
}
