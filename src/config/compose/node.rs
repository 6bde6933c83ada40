//! Category 1 but for the listeners: what the node is.

use std::net::SocketAddr;

use crate::config::problem::Severity;
use crate::config::schema::kind::{Kind as _, resolve};
use crate::config::schema::{Setting, mode, performance};
use crate::config::values::Values;
use crate::config::{NodeConfig, StopConfig};

pub(super) fn compose(values: &Values<'_>) -> NodeConfig {
    let production = values.production();
    let debug = values.get(&mode::DEBUG_MODE);
    if debug && production {
        values.refuse(&mode::DEBUG_MODE, "production mode is on", "false, or WEBSOCKET_PRODUCTION_MODE=false");
    }
    let relay = values.get(&mode::RELAY);
    if relay && production {
        let reason = "the relay lets any client that may connect join and publish to any room that the policy allows";
        values.say(Severity::Warning, &mode::RELAY, reason, "");
    }
    NodeConfig {
        production,
        debug,
        data_dir: values.get(&mode::DATA_DIR),
        server_id: values.given(&mode::SERVER_ID).inspect(|name| {
            if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
                values.refuse(&mode::SERVER_ID, "not a plain name", "letters, digits, '.', '-' and '_'");
            }
        }),
        relay,
        worker_threads: values.given(&performance::WORKER_THREADS).and_then(|threads| usize::try_from(threads).ok()),
        stop: StopConfig {
            delay: values.get(&performance::SHUTDOWN_DELAY),
            timeout: values.get(&performance::DRAIN_TIMEOUT),
            rate: values.get(&performance::DRAIN_RATE),
        },
    }
}

/// The public host with a port.
pub(super) fn host_bind<K>(values: &Values<'_>, port: u64, setting: &Setting<K>) -> SocketAddr {
    let host = values.get(&mode::BIND);
    let port = u16::try_from(port).unwrap_or_default();
    let host_port =
        if host.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    resolve(&host_port).unwrap_or_else(|reason| {
        // Once, for the plain listener, though both have the host.
        if setting.about.name == mode::PORT.about.name {
            values.refuse(&mode::BIND, reason, mode::BIND.kind.accepted());
        }
        SocketAddr::from(([127, 0, 0, 1], port))
    })
}
