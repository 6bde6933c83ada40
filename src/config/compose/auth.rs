//! Who clients are: keys, claims, where tokens may come from, and the policy of the namespaces.

use std::path::Path;
use std::sync::Arc;

use crate::config::env_file::read_text;
use crate::config::schema::security as schema;
use crate::config::values::Values;
use crate::config::{JwksConfig, Severity};
use crate::security::auth::{
    AuthMode, Authenticator, ClaimName, ClaimRules, Jwks, JwksUrl, KeyFileError, KeyFiles, Keyring, Policy,
    REFRESH_MIN, TOKEN_BYTES_MAX, TokenPlaces,
};

pub(super) fn compose(values: &Values<'_>) -> (Arc<Authenticator>, Option<JwksConfig>, Policy) {
    let jwks_config = jwks_config(values);
    let keyring = Arc::new(keyring(values));
    let has_keys = !keyring.current().is_empty() || jwks_config.is_some();
    let asked = values.given(&schema::AUTH_MODE);
    let mode = asked.unwrap_or(if has_keys { AuthMode::Required } else { AuthMode::Off });
    if mode != AuthMode::Off && !has_keys {
        let accepted = "also --auth-jwt-secret-file, --auth-jwt-key, --auth-jwks or --auth-jwks-url";
        values.refuse(&schema::AUTH_MODE, "there is no key to verify tokens with", accepted);
    }
    if mode == AuthMode::Off {
        if has_keys {
            let reason = "there are keys of tokens, and nobody is asked for one";
            values.say(Severity::Warning, &schema::AUTH_MODE, reason, "required or optional");
        }
        if values.is_given(&schema::AUTH_POLICY_FILE) {
            let reason = "authentication is off: no client can be told from another";
            values.refuse(&schema::AUTH_POLICY_FILE, reason, "also a key, or no policy");
        }
    }
    let jwks =
        jwks_config.as_ref().map(|config| Arc::new(Jwks::new(Arc::clone(&keyring), config.refresh, REFRESH_MIN)));
    let authenticator = Authenticator {
        mode,
        places: TokenPlaces {
            query: values.given(&schema::AUTH_QUERY_PARAMETER).map(Into::into),
            cookie: values.given(&schema::AUTH_COOKIE).map(Into::into),
            ..TokenPlaces::default()
        },
        claims: ClaimRules {
            issuers: values.given(&schema::AUTH_ISSUER).into_iter().collect(),
            audiences: values.given(&schema::AUTH_AUDIENCE).into_iter().collect(),
            user: ClaimName::new(&values.get(&schema::AUTH_USER_CLAIM)),
            roles: ClaimName::new(&values.get(&schema::AUTH_ROLES_CLAIM)),
            skew_seconds: values.get(&schema::AUTH_CLOCK_SKEW).as_secs(),
            expiry_required: true,
        },
        token_bytes_max: TOKEN_BYTES_MAX,
        keyring,
        jwks,
    };
    (Arc::new(authenticator), jwks_config, policy(values, mode))
}

fn keyring(values: &Values<'_>) -> Keyring {
    let files = KeyFiles {
        pem: values.given(&schema::AUTH_JWT_KEY_FILE).into_iter().collect(),
        jwks: values.given(&schema::AUTH_JWKS_FILE).into_iter().collect(),
    };
    let secret = values.given(&schema::AUTH_JWT_SECRET);
    let read = match files.read(secret.as_deref().map(str::as_bytes)) {
        Ok(read) => read,
        Err(error) => {
            say(values, &error);
            return Keyring::default();
        }
    };
    for (_, skipped) in &read.skipped {
        let reason = format!("a key of the set is skipped: {skipped:?}");
        values.say(Severity::Warning, &schema::AUTH_JWKS_FILE, reason, "");
    }
    Keyring::new(read.keys).unwrap_or_else(|error| {
        values.refuse_for(&schema::AUTH_JWKS_FILE, &error);
        Keyring::default()
    })
}

/// A key that is refused, at the setting that names it.
fn say(values: &Values<'_>, error: &KeyFileError) {
    match error {
        KeyFileError::Pem { .. } => values.refuse_for(&schema::AUTH_JWT_KEY_FILE, error),
        KeyFileError::Jwks { .. } => values.refuse_for(&schema::AUTH_JWKS_FILE, error),
        KeyFileError::Read { path, .. } if values.given(&schema::AUTH_JWKS_FILE).as_ref() == Some(path) => {
            values.refuse_for(&schema::AUTH_JWKS_FILE, error);
        }
        KeyFileError::Read { .. } => values.refuse_for(&schema::AUTH_JWT_KEY_FILE, error),
        KeyFileError::Set(_) => values.refuse_for(&schema::AUTH_JWT_SECRET, error),
    }
}

fn jwks_config(values: &Values<'_>) -> Option<JwksConfig> {
    let text = values.given(&schema::AUTH_JWKS_URL)?;
    let ca_file = values.given(&schema::AUTH_JWKS_CA_FILE);
    if let Some(Err(error)) = ca_file.as_deref().map(std::fs::File::open) {
        values.refuse(&schema::AUTH_JWKS_CA_FILE, format!("cannot be read ({error})"), "a readable PEM file");
    }
    match text.parse::<JwksUrl>() {
        Ok(url) => Some(JwksConfig { url, ca_file, refresh: values.get(&schema::AUTH_JWKS_REFRESH) }),
        Err(error) => {
            values.refuse_for(&schema::AUTH_JWKS_URL, &error);
            None
        }
    }
}

fn policy(values: &Values<'_>, mode: AuthMode) -> Policy {
    let read = |path: &Path| {
        let text = read_text(path)?;
        Policy::from_toml(&text).map_err(|error| error.to_string())
    };
    match values.given(&schema::AUTH_POLICY_FILE).map(|path| read(&path)) {
        None => Policy::built_in(mode),
        Some(Ok(policy)) => policy,
        Some(Err(reason)) => {
            values.refuse(&schema::AUTH_POLICY_FILE, reason, "a readable TOML file of rules (docs/security.md)");
            Policy::built_in(mode)
        }
    }
}
