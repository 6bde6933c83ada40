//! What a verified token says: when it holds, for whom it was made, who its bearer is (RFC 7519, section 4.1).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::identity::{NAME_BYTES_MAX, Roles, RolesRefused, is_name};
use super::jwt::is_object;

/// Seconds that clocks may differ, at most.
pub const SKEW_SECONDS_MAX: u64 = 300;
/// Seconds that clocks may differ, unless configured otherwise.
pub const SKEW_SECONDS: u64 = 30;

/// What is asked of the claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRules {
    /// `iss` is one of these; empty: whoever holds a key may issue.
    pub issuers: Vec<String>,
    /// `aud` has one of these; empty: for whom a token was made is not looked at.
    pub audiences: Vec<String>,
    /// Where the user's name stands.
    pub user: ClaimName,
    /// Where the roles stand: a list of texts, or one text separated by spaces (`scope`). Absent: no roles.
    pub roles: ClaimName,
    /// Seconds that this clock and the issuer's may differ; [`SKEW_SECONDS_MAX`] at most.
    pub skew_seconds: u64,
    /// Whether a token must expire.
    pub expiry_required: bool,
}

impl Default for ClaimRules {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            audiences: Vec::new(),
            user: ClaimName::new("sub"),
            roles: ClaimName::new("roles"),
            skew_seconds: SKEW_SECONDS,
            expiry_required: true,
        }
    }
}

/// The name of a claim (`sub`, `https://example.com/roles`), or where it stands: a JSON pointer (RFC 6901) such as
/// `/realm_access/roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimName(Box<str>);

impl ClaimName {
    /// A name; one that starts with `/` is a JSON pointer.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    fn find<'a>(&self, claims: &'a Claims) -> Option<&'a Value> {
        let Some(path) = self.0.strip_prefix('/') else { return claims.0.get(&*self.0) };
        let (first, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        claims.0.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
    }
}

impl fmt::Display for ClaimName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the claims of a well-signed token are refused. For the log: nothing in it is taken from the token but numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// Not a claims set.
    #[error("the payload is not a JSON object whose names occur once each")]
    Malformed,
    /// A date of the wrong type; it does not count as absent.
    #[error("the claim {0} is not a number of seconds")]
    NotADate(&'static str),
    /// It does not expire.
    #[error("the claim exp is missing")]
    NeverExpires,
    /// Over.
    #[error("the token expired {} s ago, skew included", .now.saturating_sub(*.ended_at))]
    Expired {
        /// When it ended, skew included; unix seconds.
        ended_at: u64,
        /// The time of the judgement; unix seconds.
        now: u64,
    },
    /// Not yet valid.
    #[error("the token is valid only in {} s (nbf), skew included", .from.saturating_sub(*.now))]
    NotYetValid {
        /// From when, skew included; unix seconds.
        from: u64,
        /// The time of the judgement; unix seconds.
        now: u64,
    },
    /// Issued later than now.
    #[error("the token was issued {} s in the future (iat), skew included: do the clocks agree?", .at.saturating_sub(*.now))]
    IssuedInFuture {
        /// When, skew included; unix seconds.
        at: u64,
        /// The time of the judgement; unix seconds.
        now: u64,
    },
    /// Another issuer, or none.
    #[error("the issuer (iss) is missing or none of those configured")]
    Issuer,
    /// For others, or for nobody.
    #[error("the audience (aud) is missing or has none of those configured")]
    Audience,
    /// Nobody in particular.
    #[error("the user's claim {0} is missing")]
    NoUser(String),
    /// Not a name.
    #[error(
        "the user's claim {0} is not a text of 1 to {NAME_BYTES_MAX} bytes without control characters, nor a whole number"
    )]
    User(String),
    /// Not roles.
    #[error("the roles' claim {claim}: {reason}")]
    Roles {
        /// Its name.
        claim: String,
        /// What is wrong.
        reason: RolesRefused,
    },
}

/// What a token says about its bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Who it is.
    pub user: Arc<str>,
    /// Its roles.
    pub roles: Roles,
    /// Until when the token is accepted, skew included; unix seconds. `None`: it does not expire.
    pub expires_at: Option<u64>,
}

/// Judges the payload of a token whose signature is verified, at `now` (unix seconds).
///
/// # Errors
/// [`ClaimsError`]. A claim of the wrong type is an error, not an absent claim.
pub fn judge(payload: &[u8], rules: &ClaimRules, now: u64) -> Result<Bearer, ClaimsError> {
    let claims: Claims = match is_object(payload).then(|| serde_json::from_slice(payload)) {
        Some(Ok(claims)) => claims,
        _ => return Err(ClaimsError::Malformed),
    };
    let skew = rules.skew_seconds.min(SKEW_SECONDS_MAX);
    let expires_at = claims.date("exp")?.map(|exp| exp.saturating_add(skew));
    match expires_at {
        Some(ended_at) if now >= ended_at => return Err(ClaimsError::Expired { ended_at, now }),
        None if rules.expiry_required => return Err(ClaimsError::NeverExpires),
        _ => {}
    }
    if let Some(from) = claims.date("nbf")?.map(|nbf| nbf.saturating_sub(skew)).filter(|from| *from > now) {
        return Err(ClaimsError::NotYetValid { from, now });
    }
    if let Some(at) = claims.date("iat")?.map(|iat| iat.saturating_sub(skew)).filter(|at| *at > now) {
        return Err(ClaimsError::IssuedInFuture { at, now });
    }
    let listed =
        |accepted: &[String], value: &Value| value.as_str().is_some_and(|text| accepted.iter().any(|a| a == text));
    if !rules.issuers.is_empty() && !claims.0.get("iss").is_some_and(|iss| listed(&rules.issuers, iss)) {
        return Err(ClaimsError::Issuer);
    }
    if !rules.audiences.is_empty() {
        let fits = match claims.0.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(|audience| listed(&rules.audiences, audience)),
            Some(audience) => listed(&rules.audiences, audience),
            None => false,
        };
        if !fits {
            return Err(ClaimsError::Audience);
        }
    }
    Ok(Bearer { user: user(&claims, rules)?, roles: roles(&claims, rules)?, expires_at })
}

fn user(claims: &Claims, rules: &ClaimRules) -> Result<Arc<str>, ClaimsError> {
    match rules.user.find(claims) {
        None | Some(Value::Null) => Err(ClaimsError::NoUser(rules.user.to_string())),
        Some(Value::String(name)) if is_name(name) => Ok(name.as_str().into()),
        Some(Value::Number(number)) if number.is_u64() || number.is_i64() => Ok(number.to_string().into()),
        Some(_) => Err(ClaimsError::User(rules.user.to_string())),
    }
}

fn roles(claims: &Claims, rules: &ClaimRules) -> Result<Roles, ClaimsError> {
    let refused = |reason| ClaimsError::Roles { claim: rules.roles.to_string(), reason };
    match rules.roles.find(claims) {
        None | Some(Value::Null) => Ok(Roles::default()),
        Some(Value::String(text)) => Roles::new(text.split_ascii_whitespace()).map_err(refused),
        Some(Value::Array(list)) => {
            let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            Roles::new(texts.ok_or_else(|| refused(RolesRefused::Type))?).map_err(refused)
        }
        Some(_) => Err(refused(RolesRefused::Type)),
    }
}

/// A claims set whose names occur once each (RFC 7519, section 4).
struct Claims(BTreeMap<String, Value>);

impl Claims {
    /// A NumericDate (RFC 7519, section 2), in whole seconds; before 1970 is 0.
    fn date(&self, name: &'static str) -> Result<Option<u64>, ClaimsError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let Value::Number(number) = value else { return Err(ClaimsError::NotADate(name)) };
        // Out of range saturates: far away is far away.
        let seconds = number.as_u64().or_else(|| number.as_f64().map(|seconds| seconds as u64));
        seconds.map(Some).ok_or(ClaimsError::NotADate(name))
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
                let mut claims = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if claims.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name occurs twice"));
                    }
                }
                Ok(Claims(claims))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
