//! The backend proxy: who is asked, and whether they may be.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::backend::BackendConfig;
use crate::config::problem::Severity;
use crate::config::schema::kind::{FilePath, Text, WebAddress};
use crate::config::schema::{Setting, backend as schema};
use crate::config::values::Values;
use crate::http_client::is_private;
use crate::observability::logging::client_tls;
use crate::security::endpoint::Endpoint;

/// `None`: nobody is asked.
pub(super) fn compose(values: &Values<'_>) -> Option<BackendConfig> {
    let urls = [&schema::BACKEND_CONNECT_URL, &schema::BACKEND_EVENT_URL];
    let allow_private = values.get(&schema::BACKEND_ALLOW_PRIVATE);
    let [connect, event] =
        urls.map(|setting| endpoint(values, setting, allow_private, schema::BACKEND_ALLOW_PRIVATE.about.name));
    let is_secure = [&connect, &event].into_iter().flatten().any(Endpoint::is_secure);
    let first = urls.into_iter().find(|setting| values.is_given(setting))?;
    let secret = secret(values, first, &schema::BACKEND_SECRET);
    let tls = is_secure.then(|| tls(values, &schema::BACKEND_CA_FILE)).flatten();
    let namespaces = values.get(&schema::BACKEND_NAMESPACES);
    if namespaces.is_empty() || namespaces.iter().any(|name| !name.starts_with('/')) {
        let accepted = "names that begin with /, such as /,/admin";
        values.refuse(&schema::BACKEND_NAMESPACES, "not names of namespaces", accepted);
    }
    Some(BackendConfig {
        connect,
        event,
        tls,
        secret,
        allow_private,
        namespaces,
        connect_timeout: values.get(&schema::BACKEND_CONNECT_TIMEOUT),
        event_timeout: values.get(&schema::BACKEND_EVENT_TIMEOUT),
        connect_failure: values.get(&schema::BACKEND_CONNECT_FAILURE),
        requests_max: usize::try_from(values.get(&schema::BACKEND_REQUESTS_MAX)).unwrap_or(usize::MAX),
    })
}

/// An address that is asked or told; what can be judged of it before its name is resolved is.
pub(super) fn endpoint(
    values: &Values<'_>,
    setting: &Setting<WebAddress>,
    allow_private: bool,
    allowed_by: &str,
) -> Option<Endpoint> {
    let endpoint: Endpoint = match values.given(setting)?.parse() {
        Ok(endpoint) => endpoint,
        Err(error) => {
            values.refuse_for(setting, &error);
            return None;
        }
    };
    let address = endpoint.host().parse().ok();
    if !allow_private && address.is_some_and(is_private) {
        let accepted = format!("a public one, or {allowed_by}=true for one of your own network");
        values.refuse(setting, "it is a private address", accepted);
    } else if !endpoint.is_secure() && (!allow_private || address.is_some_and(|address| !is_private(address))) {
        let accepted = format!("an https:// address, or {allowed_by}=true for one of your own network");
        values.refuse(setting, "what is sent to a public address would be read on the way", accepted);
    }
    Some(endpoint)
}

/// What requests are signed with; without it nobody can tell them from anybody's.
pub(super) fn secret(
    values: &Values<'_>,
    url: &Setting<WebAddress>,
    setting: &Setting<Text>,
) -> Option<crate::security::secret::Secret> {
    let secret = values.given(setting);
    if secret.is_none() && !values.is_given(setting) {
        let reason = "requests are not signed: whoever receives them cannot tell whose they are";
        let accepted = format!("the same with --{}-file", setting.about.option);
        values.say(values.strict(), url, reason, accepted);
    } else if secret.as_ref().is_some_and(|secret| secret.len() < 16) {
        values.say(Severity::Warning, setting, "shorter than 16 bytes: it can be guessed", "a random text of 32 bytes");
    }
    secret.map(Into::into)
}

pub(super) fn tls(values: &Values<'_>, setting: &Setting<FilePath>) -> Option<Arc<ClientConfig>> {
    let file: Option<PathBuf> = values.given(setting);
    let read = file.map(std::fs::read).transpose().map_err(|error| format!("cannot be read ({error})"));
    let made = read.and_then(|pem| client_tls(pem.as_deref()).map_err(|error| error.to_string()));
    made.map_err(|reason| values.refuse(setting, reason, "a PEM file with certificates of authorities")).ok()
}
