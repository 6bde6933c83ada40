//! Category 8: who may come in, from where, how often; what browsers are told; the operators' tokens.

use super::kind::{Boolean, Choice, FilePath, List, Number, Parsed, Rate, Size, Span, Text, WebAddress};
use super::{Setting, settings};
use crate::security::auth::{AuthMode, SKEW_SECONDS_MAX};

/// Entries of a list of origins, hosts, methods or headers at most.
const LIST_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 256;
const SECRET_BYTES_MAX: usize = 4_096;
/// Connections of one address or user that can be told apart from no limit.
const CONNECTIONS_MAX: u64 = 1_000_000;
const RATE_MAX: u64 = 1_000_000;

settings! {
    ENHANCED_SECURITY: Boolean = Setting::new(
        "WEBSOCKET_ENHANCED_SECURITY",
        "enhanced-security",
        Boolean,
        "Rate limits and limits of connections per address and user are on by default",
    )
    .or(&["SOCKETIO_ENHANCED_SECURITY"])
    .by_mode("false", "true")
    .production("true");

    CORS_ALLOWED_ORIGINS: List<Text> = Setting::new(
        "WEBSOCKET_CORS_ALLOWED_ORIGINS",
        "cors-allowed-origins",
        List::of(Text::of("an origin such as https://app.example.com or https://*.example.com, or *", 512), LIST_MAX),
        "Web pages that may connect, on both transports; * lets in all, without credentials",
    )
    .or(&["WEBSOCKET_CORS_ORIGINS", "SOCKETIO_CORS_ORIGINS", "SOCKETIO_CORS_ALLOWED_ORIGINS"])
    .unset("made of host and port, the public URL, FLASK_HOST and FLASK_PORT, with their localhost variants")
    .reloads()
    .production("https://app.example.com");

    CORS_CREDENTIALS: Boolean = Setting::new(
        "WEBSOCKET_CORS_CREDENTIALS",
        "cors-credentials",
        Boolean,
        "Whether browsers may send cookies along; refused with *",
    )
    .or(&["SOCKETIO_CORS_CREDENTIALS"])
    .unset("true, unless all origins are let in")
    .reloads();

    CORS_METHODS: List<Text> = Setting::new(
        "WEBSOCKET_CORS_METHODS",
        "cors-methods",
        List::of(Text::of("an HTTP method", 32), 16),
        "Methods that preflights allow",
    )
    .or(&["SOCKETIO_CORS_METHODS"])
    .default("GET,POST,OPTIONS")
    .reloads();

    CORS_HEADERS: List<Text> = Setting::new(
        "WEBSOCKET_CORS_HEADERS",
        "cors-headers",
        List::of(Text::of("a header's name", 128), 64),
        "Headers that preflights allow",
    )
    .or(&["SOCKETIO_CORS_HEADERS"])
    .default("Content-Type,Authorization,X-CSRFToken,X-CSRF-Token,X-Requested-With")
    .reloads();

    ALLOWED_HOSTS: List<Text> = Setting::new(
        "WEBSOCKET_ALLOWED_HOSTS",
        "allowed-hosts",
        List::of(Text::of("a host such as ws.example.com, *.example.com or 10.0.0.1, or *", 260), LIST_MAX),
        "Names under which this service may be addressed; another Host is answered with 421",
    )
    .unset("any, unless the public URL names one")
    .reloads()
    .production("ws.example.com");

    SECURITY_HEADERS: Boolean = Setting::new(
        "WEBSOCKET_SECURITY_HEADERS",
        "security-headers",
        Boolean,
        "Answers carry X-Content-Type-Options, X-Frame-Options, Referrer-Policy and their like",
    )
    .or(&["SOCKETIO_SECURITY_HEADERS"])
    .default("true")
    .reloads()
    .production("true");

    AUTH_MODE: Choice<AuthMode> = Setting::new(
        "WEBSOCKET_AUTH_MODE",
        "auth",
        Choice::of(&[("off", AuthMode::Off), ("optional", AuthMode::Optional), ("required", AuthMode::Required)]),
        "Whether clients show a token (JWT) when they connect to a namespace",
    )
    .unset("off; required when there is a key");

    AUTH_JWT_SECRET: Text = Setting::new(
        "WEBSOCKET_AUTH_JWT_SECRET",
        "auth-jwt-secret",
        Text::of("a shared secret of at least 32 bytes", SECRET_BYTES_MAX),
        "Key of tokens signed with HS256",
    )
    .secret()
    .reloads();

    AUTH_JWT_KEY_FILE: FilePath = Setting::new(
        "WEBSOCKET_AUTH_JWT_KEY_FILE",
        "auth-jwt-key",
        FilePath::of("a PEM file of public keys: RSA, P-256 or Ed25519"),
        "Keys of tokens signed with RS256, ES256 or EdDSA",
    )
    .reloads();

    AUTH_JWKS_FILE: FilePath = Setting::new(
        "WEBSOCKET_AUTH_JWKS_FILE",
        "auth-jwks",
        FilePath::of("a file of a JSON Web Key Set (RFC 7517)"),
        "Keys, each with an id",
    )
    .reloads();

    AUTH_JWKS_URL: WebAddress = Setting::new(
        "WEBSOCKET_AUTH_JWKS_URL",
        "auth-jwks-url",
        WebAddress,
        "Where a JSON Web Key Set is fetched from, at the start, now and then, and when a token names an unknown key",
    )
    .in_file();

    AUTH_JWKS_CA_FILE: FilePath = Setting::new(
        "WEBSOCKET_AUTH_JWKS_CA_FILE",
        "auth-jwks-ca",
        FilePath::of("a PEM file of authorities"),
        "Authorities of that server, besides the system's",
    );

    AUTH_JWKS_REFRESH: Span = Setting::new(
        "WEBSOCKET_AUTH_JWKS_REFRESH",
        "auth-jwks-refresh",
        Span::seconds(10, 7 * 86_400),
        "How often it is fetched again",
    )
    .default("10m");

    AUTH_WEBHOOK_URL: WebAddress = Setting::new(
        "WEBSOCKET_AUTH_WEBHOOK_URL",
        "auth-webhook-url",
        WebAddress,
        "Who is asked about each client that connects, in place of judging its token here",
    )
    .in_file()
    .later("authentication by a webhook");

    AUTH_ISSUER: Text = Setting::new(
        "WEBSOCKET_AUTH_ISSUER",
        "auth-issuer",
        Text::of("an issuer", NAME_BYTES_MAX),
        "The issuer (iss) that tokens must have",
    )
    .unset("any")
    .reloads();

    AUTH_AUDIENCE: Text = Setting::new(
        "WEBSOCKET_AUTH_AUDIENCE",
        "auth-audience",
        Text::of("an audience", NAME_BYTES_MAX),
        "The audience (aud) that tokens must be meant for",
    )
    .unset("any")
    .reloads();

    AUTH_CLOCK_SKEW: Span = Setting::new(
        "WEBSOCKET_AUTH_CLOCK_SKEW",
        "auth-clock-skew",
        Span::seconds(0, SKEW_SECONDS_MAX),
        "How far the issuer's clock may be off",
    )
    .default("30")
    .reloads();

    AUTH_USER_CLAIM: Text = Setting::new(
        "WEBSOCKET_AUTH_USER_CLAIM",
        "auth-user-claim",
        Text::of("a claim's name", NAME_BYTES_MAX),
        "The claim that is the user",
    )
    .default("sub")
    .reloads();

    AUTH_ROLES_CLAIM: Text = Setting::new(
        "WEBSOCKET_AUTH_ROLES_CLAIM",
        "auth-roles-claim",
        Text::of("a claim's name", NAME_BYTES_MAX),
        "The claim that lists the user's roles: an array, or text with blanks between",
    )
    .default("roles")
    .reloads();

    AUTH_COOKIE: Parsed<String> = Setting::new(
        "WEBSOCKET_AUTH_COOKIE",
        "auth-cookie",
        Parsed { read: super::balancer::token, what: "a cookie's name" },
        "A cookie that may hold the token, besides the auth object and the Authorization header",
    )
    .unset("none");

    AUTH_QUERY_PARAMETER: Parsed<String> = Setting::new(
        "WEBSOCKET_AUTH_QUERY_PARAMETER",
        "auth-query-parameter",
        Parsed { read: super::balancer::token, what: "a parameter's name" },
        "A query parameter that may hold the token; addresses end up in logs, so better none",
    )
    .unset("none");

    AUTH_POLICY_FILE: FilePath = Setting::new(
        "WEBSOCKET_AUTH_POLICY_FILE",
        "auth-policy",
        FilePath::of("a TOML file of rules"),
        "Who may connect to which namespace, join and publish to which rooms, by role",
    )
    .unset("everybody who may come in; /admin for the role admin, when authentication is on")
    .reloads();

    CSRF_PROTECTION: Boolean = Setting::new(
        "WEBSOCKET_CSRF_PROTECTION",
        "csrf-protection",
        Boolean,
        "Requests that a cookie authenticates must come from an allowed page or carry X-CSRFToken",
    )
    .or(&["SOCKETIO_CSRF_PROTECTION"])
    .default("true")
    .production("true");

    CSRF_SECRET: Text = Setting::new(
        "WEBSOCKET_CSRF_SECRET",
        "csrf-secret",
        Text::of("a secret of at least 32 bytes, the same on all nodes", SECRET_BYTES_MAX),
        "Key of the tokens; with it the web application can issue them as well",
    )
    .secret()
    .unset("made of the cluster's own key");

    RATE_LIMITING: Boolean = Setting::new(
        "WEBSOCKET_RATE_LIMITING",
        "rate-limiting",
        Boolean,
        "Whether the rates below are limits",
    )
    .or(&["SOCKETIO_RATE_LIMITING"])
    .hardened("false", "true")
    .reloads()
    .production("true");

    RATE_LIMIT_CONNECTS: Rate = Setting::new(
        "WEBSOCKET_RATE_LIMIT_CONNECTS",
        "rate-limit-connects",
        Rate { to: RATE_MAX },
        "New connections of one address (IPv6: of one /64); beyond it 429",
    )
    .default("20/s")
    .reloads()
    .production("20/s");

    RATE_LIMIT_CONNECTS_BURST: Number = Setting::new(
        "WEBSOCKET_RATE_LIMIT_CONNECTS_BURST",
        "rate-limit-connects-burst",
        Number::new(1, RATE_MAX),
        "How many may come at once after a quiet time",
    )
    .default("100")
    .reloads()
    .production("100");

    RATE_LIMIT_MESSAGES: Rate = Setting::new(
        "WEBSOCKET_RATE_LIMIT_MESSAGES",
        "rate-limit-messages",
        Rate { to: RATE_MAX },
        "Messages of one client, pings and pongs among them; beyond it the connection is closed (1008)",
    )
    .default("200/s")
    .reloads()
    .production("200/s");

    RATE_LIMIT_MESSAGES_BURST: Number = Setting::new(
        "WEBSOCKET_RATE_LIMIT_MESSAGES_BURST",
        "rate-limit-messages-burst",
        Number::new(1, RATE_MAX),
        "How many may come at once after a quiet time",
    )
    .default("1000")
    .reloads()
    .production("1000");

    RATE_LIMIT_BYTES: Size = Setting::new(
        "WEBSOCKET_RATE_LIMIT_BYTES",
        "rate-limit-bytes",
        Size::new(0, 1 << 40),
        "Bytes of one client in a second; beyond it the connection is closed (1008); 0: no limit",
    )
    .default("2MB")
    .reloads()
    .production("2MB");

    RATE_LIMIT_BYTES_BURST: Size = Setting::new(
        "WEBSOCKET_RATE_LIMIT_BYTES_BURST",
        "rate-limit-bytes-burst",
        Size::new(1_000, 1 << 40),
        "How many may come at once after a quiet time; at least the largest message",
    )
    .default("20MB")
    .reloads()
    .production("20MB");

    MAX_CONNECTIONS_PER_IP: Number = Setting::new(
        "WEBSOCKET_MAX_CONNECTIONS_PER_IP",
        "max-connections-per-ip",
        Number::new(0, CONNECTIONS_MAX),
        "Connections of one address to this node at once; beyond it 429; 0: no limit",
    )
    .hardened("0", "1000")
    .reloads()
    .production("1000");

    MAX_CONNECTIONS_PER_USER: Number = Setting::new(
        "WEBSOCKET_MAX_CONNECTIONS_PER_USER",
        "max-connections-per-user",
        Number::new(0, CONNECTIONS_MAX),
        "Sessions of one user in a namespace, anywhere in the cluster, those that can still be resumed among them; 0: no limit",
    )
    .or(&["SOCKETIO_MAX_CONNECTIONS_PER_USER"])
    .hardened("0", "100")
    .reloads()
    .production("100");

    ADMIN_TOKEN: Text = Setting::new(
        "WEBSOCKET_ADMIN_TOKEN",
        "admin-token",
        Text::of("a bearer token of at least 16 bytes", SECRET_BYTES_MAX),
        "Lets operators do everything on the operators' listener; once any of the three is set, all requests need one",
    )
    .secret()
    .reloads();

    ADMIN_OPERATE_TOKEN: Text = Setting::new(
        "WEBSOCKET_ADMIN_OPERATE_TOKEN",
        "admin-operate-token",
        Text::of("a bearer token of at least 16 bytes", SECRET_BYTES_MAX),
        "Lets them operate: read, transfer the leadership, give the log other levels",
    )
    .secret()
    .reloads();

    ADMIN_READ_TOKEN: Text = Setting::new(
        "WEBSOCKET_ADMIN_READ_TOKEN",
        "admin-read-token",
        Text::of("a bearer token of at least 16 bytes", SECRET_BYTES_MAX),
        "Lets them read",
    )
    .secret()
    .reloads();

    API_TOKEN: Text = Setting::new(
        "WEBSOCKET_API_TOKEN",
        "api-token",
        Text::of("a bearer token of at least 16 bytes", SECRET_BYTES_MAX),
        "Lets programs do everything at the HTTP API; once any of the three is set, all requests need one",
    )
    .secret()
    .reloads();

    API_PUBLISH_TOKEN: Text = Setting::new(
        "WEBSOCKET_API_PUBLISH_TOKEN",
        "api-publish-token",
        Text::of("a bearer token of at least 16 bytes", SECRET_BYTES_MAX),
        "Lets them publish, and nothing else",
    )
    .secret()
    .reloads();

    API_READ_TOKEN: Text = Setting::new(
        "WEBSOCKET_API_READ_TOKEN",
        "api-read-token",
        Text::of("a bearer token of at least 16 bytes", SECRET_BYTES_MAX),
        "Lets them read, and nothing else",
    )
    .secret()
    .reloads();

    SECURITY_TXT: Text = Setting::new(
        "WEBSOCKET_SECURITY_TXT",
        "security-txt",
        Text::of("a contact such as mailto:security@example.com", 512),
        "Contact in /.well-known/security.txt (RFC 9116)",
    )
    .later("security.txt");
}
