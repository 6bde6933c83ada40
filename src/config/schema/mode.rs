//! Category 1: production mode, what the node is, where it listens and keeps its state.

use super::kind::{Boolean, FilePath, Host, HostPort, Number, Text, WebAddress};
use super::{Setting, settings};

/// Where operators reach a node when nothing else is said.
pub const DEFAULT_ADMIN_BIND: &str = "127.0.0.1:5002";

settings! {
    PRODUCTION_MODE: Boolean = Setting::new(
        "WEBSOCKET_PRODUCTION_MODE",
        "production",
        Boolean,
        "Safe defaults for a public service: no built-in application, JSON logs, limits on; what is a warning otherwise is refused",
    )
    .default("false")
    .production("true");

    DEBUG_MODE: Boolean = Setting::new(
        "WEBSOCKET_DEBUG_MODE",
        "debug",
        Boolean,
        "Logs of level debug unless a level is given; refused in production mode. Secrets and payloads are in no log at any level",
    )
    .default("false")
    .production("false");

    CONFIG_FILE: FilePath = Setting::new(
        "WEBSOCKET_CONFIG_FILE",
        "config",
        FilePath::of("a TOML file of settings"),
        "A TOML file of settings; keys are the names without WEBSOCKET_ in small letters, tables join with an underscore",
    );

    DATA_DIR: FilePath = Setting::new(
        "WEBSOCKET_DATA_DIR",
        "data-dir",
        FilePath::of("a directory that this user may write to"),
        "Directory of the node's identity, log and snapshots",
    )
    .or(&["WEBSOCKET_CLUSTER_DATA_DIR"])
    .default("./vedfolnir-data")
    .production("/var/lib/vedfolnir");

    SERVER_ID: Text = Setting::new(
        "WEBSOCKET_SERVER_ID",
        "server-id",
        Text::of("a name of letters, digits, '.', '-' and '_'", 128),
        "Name of this server in health, status and logs; no two nodes of a cluster may have the same one",
    )
    .or(&["WEBSOCKET_NODE_ID"])
    .unset("made of the host's name and the start: new at every start");

    BIND: Host = Setting::new(
        "WEBSOCKET_BIND",
        "host",
        Host,
        "Address of the public listeners",
    )
    .or(&["WEBSOCKET_HOST"])
    .default("127.0.0.1")
    .production("0.0.0.0");

    PORT: Number = Setting::new(
        "WEBSOCKET_PORT",
        "port",
        Number::new(0, 65_535),
        "TCP port of the public listener without TLS; 0: chosen by the system",
    )
    .default("5000")
    .production("5000");

    TLS_PORT: Number = Setting::new(
        "WEBSOCKET_TLS_PORT",
        "tls-port",
        Number::new(0, 65_535),
        "TCP port of the public listener with TLS, opened when a certificate is given; 0: chosen by the system",
    )
    .default("5443")
    .production("5443");

    PUBLIC_URL: WebAddress = Setting::new(
        "WEBSOCKET_PUBLIC_URL",
        "public-url",
        WebAddress,
        "URL that clients use for this service: shown by status, target of redirects to HTTPS, one of the allowed hosts",
    )
    .unset("made of host and port")
    .production("https://ws.example.com");

    ADMIN_BIND: HostPort = Setting::new(
        "WEBSOCKET_ADMIN_BIND",
        "admin-addr",
        HostPort,
        "HOST:PORT of the operators' listener; anything but loopback needs tokens",
    )
    .or(&["WEBSOCKET_ADMIN_ADDR"])
    .default(DEFAULT_ADMIN_BIND)
    .production(DEFAULT_ADMIN_BIND);

    API_ADDR: HostPort = Setting::new(
        "WEBSOCKET_API_ADDR",
        "api-addr",
        HostPort,
        "HOST:PORT of the HTTP API (docs/http-api.md); tokens are needed but for loopback in development",
    )
    .unset("no HTTP API");

    RELAY: Boolean = Setting::new(
        "WEBSOCKET_RELAY",
        "relay",
        Boolean,
        "Built-in relay application: join, leave, rooms, publish, publish_volatile, echo",
    )
    .by_mode("true", "false");

    FLASK_HOST: Host = Setting::new(
        "FLASK_HOST",
        "flask-host",
        Host,
        "Host of the web application whose pages connect here: one of the generated CORS origins",
    )
    .reloads();

    FLASK_PORT: Number = Setting::new(
        "FLASK_PORT",
        "flask-port",
        Number::new(1, 65_535),
        "Its port",
    )
    .reloads();
}
