//! The HTTP API's listener.

use std::net::SocketAddr;

use super::security::token;
use crate::config::schema::kind::resolve;
use crate::config::schema::{mode, security as schema};
use crate::config::values::Values;
use crate::config::{ApiConfig, ApiTokens, Severity};

pub(super) fn compose(values: &Values<'_>, production: bool) -> Option<ApiConfig> {
    let settings = [&schema::API_TOKEN, &schema::API_PUBLISH_TOKEN, &schema::API_READ_TOKEN];
    let [admin, publish, read] = settings.map(|setting| token(values, setting));
    for (index, setting) in settings.into_iter().enumerate().skip(1) {
        let text = values.given(setting);
        let is_same = |earlier: &&_| text.is_some() && values.given(earlier) == text;
        if let Some(earlier) = settings[..index].iter().find(|earlier| is_same(*earlier)) {
            let reason = format!("it is the one of --{} as well, so that its role is not clear", earlier.about.option);
            values.refuse(setting, reason, "a token of its own for each role");
        }
    }
    let address = values.given(&mode::API_ADDR)?;
    let bind = resolve(&address).unwrap_or_else(|reason| {
        values.refuse(&mode::API_ADDR, reason, "HOST:PORT, where HOST is an address or name of this machine");
        SocketAddr::from(([127, 0, 0, 1], 0))
    });
    let has_tokens = admin.is_some() || publish.is_some() || read.is_some();
    if !has_tokens && (production || !bind.ip().is_loopback()) {
        let where_ = if production { "in production mode" } else { "beyond this machine" };
        let reason = format!("{where_} the HTTP API needs a token");
        values.refuse(&mode::API_ADDR, reason, "the same with --api-token-file, or --api-publish-token-file");
    } else if !bind.ip().is_loopback() {
        let reason = "the HTTP API speaks plain HTTP: its tokens can be read on the way";
        values.say(Severity::Warning, &mode::API_ADDR, reason, "a loopback address, or a network of its own");
    }
    Some(ApiConfig { bind, tokens: ApiTokens { admin, publish, read } })
}
