//! Floor 3: what requests, proxies and other nodes' services say, and what operators write into files.
#![no_main]
// What a target expects is what it checks.
#![allow(clippy::expect_used)]

mod cidr;
mod cipher_string;
mod config_env;
mod config_toml;
mod config_value;
mod csrf;
mod forward;
mod forwarded;
mod hosts;
mod jwks;
mod jwt;
mod otlp_answer;
mod placeholder;
mod policy;
mod proxy_protocol;
mod query;
mod retry_after;
mod tls_files;
mod traceparent;
mod websocket;

vedfolnir_fuzz::fuzz!(
    websocket,
    query,
    placeholder,
    forward,
    traceparent,
    proxy_protocol,
    forwarded,
    hosts,
    csrf,
    cidr,
    jwt,
    jwks,
    policy,
    tls_files,
    cipher_string,
    config_env,
    config_toml,
    config_value,
    retry_after,
    otlp_answer,
);

/// Headers out of what is left of an input, each a byte that chooses a name and a line that is its value.
fn headers(input: &mut vedfolnir_fuzz::input::Input<'_>, names: &[&'static str], most: usize) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    for _ in 0..most {
        if input.is_empty() {
            break;
        }
        let name = names[input.below(names.len())];
        if let Ok(value) = http::HeaderValue::from_bytes(input.line()) {
            headers.append(name, value);
        }
    }
    headers
}
