//! Category 8: origins, hosts, tokens, policy, limits; and the operators' listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::schema::kind::{PerSecond, resolve};
use crate::config::schema::{Setting, kind::Text, mode, security as schema, tls};
use crate::config::values::Values;
use crate::config::{AdminConfig, AdminTokens, PublicConfig, SecurityConfig, Severity};
use crate::security::headers::SecurityHeaders;
use crate::security::hosts::AllowedHosts;
use crate::security::hsts::Hsts;
use crate::security::origin::OriginPolicy;
use crate::security::origin_settings::{CorsSettings, RequestHeaders};
use crate::security::proxy::ProxyTrust;
use crate::security::rate_limit::Rate;
use crate::security::redirect::{HttpsRedirect, PublicUrl};
use crate::security::rules::{CsrfRule, HttpsRule, Limits, Rules};
use crate::security::secret::Secret;

/// Bytes of an operators' or program's token at least.
const TOKEN_BYTES_MIN: usize = 16;
/// Bytes of a CSRF secret at least.
const CSRF_SECRET_BYTES_MIN: usize = 32;

pub(super) fn compose(values: &Values<'_>, public: &PublicConfig, proxies: ProxyTrust) -> SecurityConfig {
    let (authenticator, jwks, policy) = super::auth::compose(values);
    let rules = Rules {
        proxies,
        hosts: hosts(values),
        origins: origins(values, public),
        https: https(values, public),
        headers: values.get(&schema::SECURITY_HEADERS).then(|| SecurityHeaders::new(None)),
        hsts: hsts(values),
        csrf: csrf(values),
        limits: limits(values, public),
        policy,
    };
    SecurityConfig { rules: Arc::new(rules), authenticator, jwks }
}

fn hosts(values: &Values<'_>) -> AllowedHosts {
    let url =
        values.given(&mode::PUBLIC_URL).and_then(|url| PublicUrl::parse(&url).ok().map(|url| url.host().to_owned()));
    let listed = match (values.given(&schema::ALLOWED_HOSTS), url) {
        (Some(hosts), url) if !hosts.iter().any(|host| host == "*") => hosts.into_iter().chain(url).collect(),
        (Some(hosts), _) => hosts,
        // Operators and probes on the machine itself say localhost.
        (None, Some(url)) => vec![url, "localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned()],
        (None, None) => return AllowedHosts::Any,
    };
    AllowedHosts::list(&listed).unwrap_or_else(|error| {
        values.refuse_for(&schema::ALLOWED_HOSTS, &error);
        AllowedHosts::Any
    })
}

fn origins(values: &Values<'_>, public: &PublicConfig) -> OriginPolicy {
    let listed = values.given(&schema::CORS_ALLOWED_ORIGINS);
    let is_any = listed.as_ref().is_some_and(|origins| origins.iter().any(|origin| origin == "*"));
    let cors = CorsSettings {
        credentials: values.given(&schema::CORS_CREDENTIALS).unwrap_or(!is_any),
        methods: methods(values),
        request_headers: request_headers(values),
        max_age: CorsSettings::default().max_age,
    };
    let made = match listed {
        Some(origins) => OriginPolicy::list(&origins, &cors),
        None => OriginPolicy::list(&generated(values, public), &cors),
    };
    made.unwrap_or_else(|error| {
        values.refuse_for(&schema::CORS_ALLOWED_ORIGINS, &error);
        OriginPolicy::open()
    })
}

/// The origins of whatever pages are known to belong to this service: its own, and those of the Flask application that it
/// stands beside; each by its names on this machine, too.
fn generated(values: &Values<'_>, public: &PublicConfig) -> Vec<String> {
    let mut origins = Vec::new();
    let mut add = |scheme: &str, host: &str, port: u64| {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let is_named = host != "0.0.0.0" && host != "[::]";
        let names = is_named.then_some(host.as_str()).into_iter().chain(["localhost", "127.0.0.1", "[::1]"]);
        for name in names {
            let origin = format!("{scheme}://{name}:{port}");
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
    };
    let host = values.get(&mode::BIND);
    if public.bind.port() != 0 {
        add("http", &host, u64::from(public.bind.port()));
    }
    if let Some(tls) = public.tls.as_ref().filter(|tls| tls.bind.port() != 0) {
        add("https", &host, u64::from(tls.bind.port()));
    }
    let flask = (values.given(&mode::FLASK_HOST), values.given(&mode::FLASK_PORT));
    if flask.0.is_some() || flask.1.is_some() {
        let (host, port) = (flask.0.unwrap_or_else(|| "127.0.0.1".to_owned()), flask.1.unwrap_or(5000));
        add("http", &host, port);
        add("https", &host, port);
    }
    if let Some(url) = &public.url {
        let authority_ends = url.match_indices('/').nth(2).map_or(url.len(), |(at, _)| at);
        origins.push(url[..authority_ends].to_owned());
    }
    origins
}

fn methods(values: &Values<'_>) -> Vec<axum::http::Method> {
    let parse = |text: &String| match text.to_ascii_uppercase().parse() {
        Ok(method) => Some(method),
        Err(_) => {
            values.refuse(&schema::CORS_METHODS, format!("{text:?} is no method"), "GET, POST and their like");
            None
        }
    };
    values.get(&schema::CORS_METHODS).iter().filter_map(parse).collect()
}

fn request_headers(values: &Values<'_>) -> RequestHeaders {
    let names = values.get(&schema::CORS_HEADERS);
    if names.iter().any(|name| name == "*") {
        return RequestHeaders::Reflect;
    }
    let parse = |text: &String| match text.parse() {
        Ok(name) => Some(name),
        Err(_) => {
            values.refuse(
                &schema::CORS_HEADERS,
                format!("{text:?} is no header's name"),
                "names such as Content-Type, or *",
            );
            None
        }
    };
    RequestHeaders::List(names.iter().filter_map(parse).collect())
}

fn https(values: &Values<'_>, public: &PublicConfig) -> HttpsRule {
    if !values.get(&tls::FORCE_HTTPS) {
        if values.given(&tls::HTTPS_REDIRECT) == Some(true) {
            let reason = "HTTPS is not forced, so nothing is redirected";
            values.say(Severity::Warning, &tls::HTTPS_REDIRECT, reason, "also --force-https true");
        }
        return HttpsRule::Plain;
    }
    if !values.get(&tls::HTTPS_REDIRECT) {
        return HttpsRule::Required;
    }
    if let Some(Ok(url)) = public.url.as_deref().filter(|url| url.starts_with("https://")).map(PublicUrl::parse) {
        return HttpsRule::Redirected(HttpsRedirect::PublicUrl(url));
    }
    if hosts(values) == AllowedHosts::Any {
        let reason = "whatever host a request names would be redirected to";
        values.refuse(&tls::HTTPS_REDIRECT, reason, "also --public-url https://HOST, or --allowed-hosts");
    }
    let port = public.tls.as_ref().map_or(443, |tls| tls.bind.port());
    HttpsRule::Redirected(HttpsRedirect::SameHost { port })
}

fn hsts(values: &Values<'_>) -> Option<Hsts> {
    if !values.get(&tls::HSTS_ENABLED) {
        return None;
    }
    let (age, subdomains) = (values.get(&tls::HSTS_MAX_AGE), values.get(&tls::HSTS_INCLUDE_SUBDOMAINS));
    match Hsts::new(age, subdomains, values.get(&tls::HSTS_PRELOAD)) {
        Ok(hsts) => {
            if hsts.is_short() {
                let reason = "shorter than a day, it protects nobody who stays away for longer";
                values.say(Severity::Warning, &tls::HSTS_MAX_AGE, reason, "31536000, a year");
            }
            Some(hsts)
        }
        Err(error) => {
            values.refuse_for(&tls::HSTS_PRELOAD, &error);
            None
        }
    }
}

fn csrf(values: &Values<'_>) -> Option<CsrfRule> {
    let cookie = values.given(&schema::AUTH_COOKIE)?;
    let secret = values.given(&schema::CSRF_SECRET);
    if secret.as_ref().is_some_and(|secret| secret.len() < CSRF_SECRET_BYTES_MIN) {
        let reason = format!("shorter than {CSRF_SECRET_BYTES_MIN} bytes");
        values.refuse(&schema::CSRF_SECRET, reason, format!("at least {CSRF_SECRET_BYTES_MIN} random bytes"));
    }
    if !values.get(&schema::CSRF_PROTECTION) {
        let reason = "with a cookie that authenticates, any web page can act as its user";
        values.say(values.strict(), &schema::CSRF_PROTECTION, reason, "true");
        return None;
    }
    Some(CsrfRule { cookies: vec![cookie], secret: secret.map(Into::into) })
}

fn limits(values: &Values<'_>, public: &PublicConfig) -> Limits {
    let some = |number: u64| u32::try_from(number).ok().filter(|number| *number > 0);
    let mut limits = Limits {
        connections_per_ip: some(values.get(&schema::MAX_CONNECTIONS_PER_IP)),
        sessions_per_user: some(values.get(&schema::MAX_CONNECTIONS_PER_USER)),
        ..Limits::default()
    };
    if !values.get(&schema::RATE_LIMITING) {
        return limits;
    }
    let rate = |per_second: Option<PerSecond>, burst: u64, setting| {
        let per_second = per_second?;
        // A thousandth is as fine as it gets.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let per_thousand = (per_second.0 * 1000.0).round().clamp(1.0, f64::from(u32::MAX)) as u32;
        let burst = u32::try_from(burst).unwrap_or(u32::MAX);
        match Rate::new(per_thousand, Duration::from_secs(1000), burst) {
            Ok(rate) => Some(rate),
            Err(error) => {
                values.say(Severity::Error, setting, error.to_string(), "");
                None
            }
        }
    };
    limits.connects = rate(
        values.get(&schema::RATE_LIMIT_CONNECTS),
        values.get(&schema::RATE_LIMIT_CONNECTS_BURST),
        &schema::RATE_LIMIT_CONNECTS_BURST,
    );
    limits.messages = rate(
        values.get(&schema::RATE_LIMIT_MESSAGES),
        values.get(&schema::RATE_LIMIT_MESSAGES_BURST),
        &schema::RATE_LIMIT_MESSAGES_BURST,
    );
    let (bytes, burst) = (values.get(&schema::RATE_LIMIT_BYTES), values.get(&schema::RATE_LIMIT_BYTES_BURST));
    if bytes > 0 {
        if burst < public.payload_bytes_max as u64 {
            let reason = format!("a message of {} bytes (--max-payload) could never be sent", public.payload_bytes_max);
            values.refuse(&schema::RATE_LIMIT_BYTES_BURST, reason, "at least the largest message");
        }
        let saturated = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        match Rate::per_second(saturated(bytes), saturated(burst)) {
            Ok(rate) => limits.bytes = Some(rate),
            Err(error) => values.refuse_for(&schema::RATE_LIMIT_BYTES, &error),
        }
    }
    limits
}

/// A bearer token that nobody guesses.
pub(super) fn token(values: &Values<'_>, setting: &'static Setting<Text>) -> Option<Secret> {
    let token = values.given(setting)?;
    if token.len() < TOKEN_BYTES_MIN {
        let reason = format!("shorter than {TOKEN_BYTES_MIN} bytes");
        values.refuse(setting, reason, format!("at least {TOKEN_BYTES_MIN} random bytes"));
    }
    Some(token.into())
}

pub(super) fn admin(values: &Values<'_>) -> AdminConfig {
    let bind = resolve(&values.get(&mode::ADMIN_BIND)).unwrap_or_else(|reason| {
        values.refuse(&mode::ADMIN_BIND, reason, "HOST:PORT, where HOST is an address or name of this machine");
        SocketAddr::from(([127, 0, 0, 1], 0))
    });
    let tokens = AdminTokens {
        admin: token(values, &schema::ADMIN_TOKEN),
        operate: token(values, &schema::ADMIN_OPERATE_TOKEN),
        read: token(values, &schema::ADMIN_READ_TOKEN),
    };
    if !bind.ip().is_loopback() {
        if tokens.is_none() {
            values.refuse(
                &mode::ADMIN_BIND,
                "beyond this machine the operators' listener needs a token",
                "a loopback address, such as 127.0.0.1:5002, or also --admin-token-file",
            );
        } else {
            let reason = "the operators' listener speaks plain HTTP: its tokens can be read on the way";
            values.say(Severity::Warning, &mode::ADMIN_BIND, reason, "a loopback address, or a network of its own");
        }
    }
    AdminConfig { bind, tokens }
}
