//! Category 3: load balancers and proxies in front, and how many clients a node takes.

use super::kind::{Boolean, Choice, List, Number, Parsed, Span, UrlPath};
use super::{Setting, settings};
use crate::security::affinity::SameSite;
use crate::security::cidr::IpRange;
use crate::security::proxy_headers::ProxyHeaders;
use crate::security::proxy_protocol::Mode;

/// Ranges of trusted proxies at most.
const TRUSTED_RANGES_MAX: usize = 256;

settings! {
    SESSION_AFFINITY: Boolean = Setting::new(
        "WEBSOCKET_SESSION_AFFINITY",
        "session-affinity",
        Boolean,
        "Answers carry a cookie by which a balancer can keep a client on its node; nothing depends on it",
    )
    .default("false")
    .production("true");

    SESSION_AFFINITY_COOKIE: Parsed<String> = Setting::new(
        "WEBSOCKET_SESSION_AFFINITY_COOKIE",
        "session-affinity-cookie",
        Parsed { read: token, what: "a cookie's name (RFC 6265): no blanks, ';', ',', '='" },
        "Its name",
    )
    .default("WEBSOCKET_SERVER")
    .production("WEBSOCKET_SERVER");

    SESSION_AFFINITY_TIMEOUT: Span = Setting::new(
        "WEBSOCKET_SESSION_AFFINITY_TIMEOUT",
        "session-affinity-timeout",
        Span::seconds(1, 31 * 86_400),
        "How long it lasts",
    )
    .default("3600")
    .production("3600");

    SESSION_AFFINITY_SAMESITE: Choice<SameSite> = Setting::new(
        "WEBSOCKET_SESSION_AFFINITY_SAMESITE",
        "session-affinity-samesite",
        Choice::of(&[("lax", SameSite::Lax), ("strict", SameSite::Strict), ("none", SameSite::None)]),
        "When browsers send it along; none: also from pages of other sites, by HTTPS only",
    )
    .default("lax")
    .production("lax");

    STICKY_SESSIONS: Boolean = Setting::new(
        "WEBSOCKET_STICKY_SESSIONS",
        "sticky-sessions",
        Boolean,
        "Requests of a session that another node owns are passed on to it, so no balancer has to be sticky; false: 400",
    )
    .default("true")
    .production("true");

    STICKY_SESSION_KEY: Parsed<String> = Setting::new(
        "WEBSOCKET_STICKY_SESSION_KEY",
        "sticky-session-key",
        Parsed { read: query_key, what: "a name of letters, digits, '-' and '_', none of Engine.IO's" },
        "With session affinity: the member of the handshake's data that names the node, and the query parameter by which a client \
         can show it to balancers that hash on one",
    )
    .default("websocket_server_id")
    .production("websocket_server_id");

    HEALTH_CHECK_PATH: UrlPath = Setting::new(
        "WEBSOCKET_HEALTH_CHECK_PATH",
        "health-check-path",
        UrlPath,
        "Path of a load balancer's check: whether this node may be given clients",
    )
    .unset("none besides the health endpoint")
    .production("/websocket/health");

    HEALTH_CHECK_INTERVAL: Span = Setting::new(
        "WEBSOCKET_HEALTH_CHECK_INTERVAL",
        "health-check-interval",
        Span::seconds(1, 3600),
        "Period of the node's checks of its own parts",
    )
    .default("30")
    .production("30");

    HEALTH_CHECK_TIMEOUT: Span = Setting::new(
        "WEBSOCKET_HEALTH_CHECK_TIMEOUT",
        "health-check-timeout",
        Span::seconds(1, 3600),
        "A check that takes longer has failed; less than the interval",
    )
    .default("5")
    .production("5");

    HEALTH_CHECK_RETRIES: Number = Setting::new(
        "WEBSOCKET_HEALTH_CHECK_RETRIES",
        "health-check-retries",
        Number::new(1, 100),
        "Failures in a row that make the node unhealthy",
    )
    .default("3")
    .production("3");

    TRUST_PROXY_HEADERS: Boolean = Setting::new(
        "WEBSOCKET_TRUST_PROXY_HEADERS",
        "trust-proxy-headers",
        Boolean,
        "Whether the trusted proxies' headers say who the client is",
    )
    .default("false")
    .reloads()
    .production("true");

    TRUSTED_PROXIES: List<Parsed<IpRange>> = Setting::new(
        "WEBSOCKET_TRUSTED_PROXIES",
        "trusted-proxies",
        List::of(Parsed { read: cidr, what: "an address or range such as 10.0.0.0/8" }, TRUSTED_RANGES_MAX),
        "Proxies whose headers count, by address; the PROXY protocol is taken from them only, too",
    )
    .unset("loopback, when proxy headers are trusted outside production mode")
    .reloads()
    .production("10.0.0.0/8");

    PROXY_HEADERS: Parsed<ProxyHeaders> = Setting::new(
        "WEBSOCKET_PROXY_HEADERS",
        "proxy-headers",
        Parsed {
            read: proxy_headers,
            what: "a list of X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Port, X-Real-IP, Forwarded",
        },
        "Their headers that count; all others are ignored",
    )
    .default("X-Forwarded-For,X-Forwarded-Proto,X-Forwarded-Host,X-Real-IP")
    .reloads()
    .production("X-Forwarded-For,X-Forwarded-Proto,X-Forwarded-Host,X-Real-IP");

    PROXY_PROTOCOL: Parsed<Mode> = Setting::new(
        "WEBSOCKET_PROXY_PROTOCOL",
        "proxy-protocol",
        Parsed { read: proxy_protocol, what: "off, v1, v2, auto" },
        "The PROXY protocol of TCP balancers, before anything else on a connection",
    )
    .default("off")
    .production("off");

    MAX_CONNECTIONS_PER_SERVER: Number = Setting::new(
        "WEBSOCKET_MAX_CONNECTIONS_PER_SERVER",
        "connections-max",
        Number::new(1, 10_000_000),
        "Connections (Engine.IO sessions) at once; one more is answered with 503",
    )
    .unset("what the limit of open files allows, at most 200000")
    .production("1000");

    CONNECTION_TIMEOUT: Span = Setting::new(
        "WEBSOCKET_CONNECTION_TIMEOUT",
        "connection-timeout",
        Span::milliseconds(100, 600_000),
        "How long each step of a handshake may take: PROXY header, TLS, request, body; idle clients are not meant",
    )
    .or(&["WEBSOCKET_HANDSHAKE_TIMEOUT"])
    .default("30")
    .production("30");

    KEEP_ALIVE: Boolean = Setting::new(
        "WEBSOCKET_KEEP_ALIVE",
        "keep-alive",
        Boolean,
        "TCP keep-alive on the clients' connections, beside Engine.IO's own pings",
    )
    .or(&["SOCKETIO_KEEP_ALIVE"])
    .default("true")
    .production("true");
}

pub(super) fn token(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if text.len() > 128 || !text.chars().all(allowed) {
        return Err("not a token".to_owned());
    }
    Ok(text.to_owned())
}

/// A query's key that needs no escapes and is none of the protocol's.
fn query_key(text: &str) -> Result<String, String> {
    let taken = ["EIO", "transport", "sid", "t", "b64", "j", "upgrades", "pingInterval", "pingTimeout", "maxPayload"];
    if text.len() > 128 || !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        return Err("not a plain name".to_owned());
    }
    if taken.contains(&text) {
        return Err("Engine.IO uses it itself".to_owned());
    }
    Ok(text.to_owned())
}

fn cidr(text: &str) -> Result<IpRange, String> {
    text.parse::<IpRange>().map_err(|error| super::reason_of(&error))
}

fn proxy_headers(text: &str) -> Result<ProxyHeaders, String> {
    text.parse::<ProxyHeaders>().map_err(|error| super::reason_of(&error))
}

fn proxy_protocol(text: &str) -> Result<Mode, String> {
    text.parse::<Mode>().map_err(|error| super::reason_of(&error))
}
