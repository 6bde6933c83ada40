//! The WebSocket service's part: listeners, times, sizes, how many clients.

use std::sync::Arc;
use std::time::Duration;

use super::node::host_bind;
use crate::config::schema::{backup, balancer, mode, monitoring, performance as schema, security, tls};
use crate::config::values::Values;
use crate::config::{Inputs, PublicConfig, TlsConfig};
use crate::security::affinity::AffinityRule;
use crate::security::guard::CSRF_COOKIE;

/// Connections at once when nothing else limits them.
const CONNECTIONS_MAX: u64 = 200_000;
/// How long a client may take to join a namespace when nothing else is said, as in socket.io.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);
/// Open files that are not clients': logs, storage, peers, health checks, second connections of polling clients.
pub(crate) const FILES_RESERVED: u64 = 512;

pub(super) fn compose(values: &Values<'_>, inputs: &Inputs, tls: Option<TlsConfig>) -> PublicConfig {
    let transports = values.get(&schema::TRANSPORTS);
    if transports.is_empty() {
        values.refuse(&schema::TRANSPORTS, "clients could not connect", "polling, websocket or both");
    }
    let production_plain = tls.is_none() && values.production() && !values.get(&balancer::TRUST_PROXY_HEADERS);
    if production_plain {
        let reason = "SSL/TLS not configured for production: neither a certificate nor a trusted proxy that has one";
        let accepted = "a certificate and a key (--ssl-key-file), or --trust-proxy-headers with --trusted-proxies";
        values.say(crate::config::Severity::Warning, &tls::SSL_CERT_FILE, reason, accepted);
    }
    PublicConfig {
        bind: host_bind(values, values.get(&mode::PORT), &mode::PORT),
        tls,
        url: values.given(&mode::PUBLIC_URL),
        connections_max: connections_max(values, inputs),
        ping_interval: values.get(&schema::PING_INTERVAL),
        ping_timeout: values.get(&schema::PING_TIMEOUT),
        connect_timeout: values
            .given(&schema::CONNECT_TIMEOUT)
            .or_else(|| values.given(&balancer::CONNECTION_TIMEOUT))
            .unwrap_or(CONNECT_TIMEOUT),
        upgrade_timeout: values.get(&schema::UPGRADE_TIMEOUT),
        handshake_timeout: values.get(&balancer::CONNECTION_TIMEOUT),
        payload_bytes_max: usize::try_from(values.get(&schema::MAX_PAYLOAD)).unwrap_or(usize::MAX),
        transports,
        affinity: affinity(values),
        affinity_timeout: values.get(&balancer::SESSION_AFFINITY_TIMEOUT),
        forwards: values.get(&balancer::STICKY_SESSIONS),
        keep_alive: values.get(&balancer::KEEP_ALIVE),
        counted_events: counted_events(values),
        notes_connections: values.get(&backup::PERSIST_CONNECTIONS),
        proxy_protocol: values.get(&balancer::PROXY_PROTOCOL),
    }
}

fn affinity(values: &Values<'_>) -> Option<AffinityRule> {
    let cookie = values.get(&balancer::SESSION_AFFINITY_COOKIE);
    let login = values.given(&security::AUTH_COOKIE).into_iter();
    if login.chain([CSRF_COOKIE.to_owned()]).any(|taken| taken == cookie) {
        let reason = "the cookie of a login or of CSRF tokens would be overwritten";
        values.refuse(&balancer::SESSION_AFFINITY_COOKIE, reason, "a name of its own");
    }
    values.get(&balancer::SESSION_AFFINITY).then(|| AffinityRule {
        cookie,
        key: values.get(&balancer::STICKY_SESSION_KEY),
        seconds: values.get(&balancer::SESSION_AFFINITY_TIMEOUT).as_secs(),
        same_site: values.get(&balancer::SESSION_AFFINITY_SAMESITE),
    })
}

fn counted_events(values: &Values<'_>) -> Vec<Arc<str>> {
    values.given(&monitoring::METRICS_EVENTS).into_iter().flatten().map(Arc::from).collect()
}

fn connections_max(values: &Values<'_>, inputs: &Inputs) -> usize {
    let allowed = inputs.open_files_max.map(|files| files.saturating_sub(FILES_RESERVED).max(1));
    let connections = match (values.given(&balancer::MAX_CONNECTIONS_PER_SERVER), allowed) {
        (Some(connections), Some(allowed)) if connections > allowed => {
            let files = inputs.open_files_max.unwrap_or_default();
            values.refuse(
                &balancer::MAX_CONNECTIONS_PER_SERVER,
                format!(
                    "each connection is an open file; the process may have {files}, {FILES_RESERVED} of them for itself"
                ),
                format!("at most {allowed}, or a higher limit of open files (LimitNOFILE, ulimit -n)"),
            );
            connections
        }
        (Some(connections), _) => connections,
        (None, Some(allowed)) => allowed.min(CONNECTIONS_MAX),
        (None, None) => CONNECTIONS_MAX,
    };
    usize::try_from(connections).unwrap_or(usize::MAX)
}
