//! The cluster floor's part.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use vedfolnir_cluster::state::Format;
use vedfolnir_cluster::{ClusterTls, RaftTiming};

use super::{peers, recovery};
use crate::config::ClusterPart;
use crate::config::schema::Setting;
use crate::config::schema::cluster as schema;
use crate::config::schema::kind::{Span, resolve};
use crate::config::schema::performance;
use crate::config::values::Values;
use crate::service::JITTER_MAX;

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn compose(values: &Values<'_>, data_dir: &Path) -> ClusterPart {
    let tls = peers::tls(values, data_dir);
    let tls_ca_key = peers::tls_ca_key(values, &tls);
    let bind = bind(values, &tls);
    let bootstrap = bootstrap(values);
    let bootstrap_expect = bootstrap_expect(values, &bootstrap);
    let timing = timing(values);
    let two_leases = 2 * Duration::from_millis(timing.election_ms_max);
    let node_down_after = values.get(&schema::NODE_DOWN_AFTER);
    let isolation_after = isolation_after(values, two_leases);
    for (setting, after) in [(&schema::ISOLATION_AFTER, isolation_after), (&schema::NODE_DOWN_AFTER, node_down_after)] {
        if after < two_leases {
            values.refuse(
                setting,
                "an election alone may take that long",
                format!("at least {two_leases:?}, two leases"),
            );
        }
    }
    ClusterPart {
        bind,
        advertise: advertise(values, bind),
        bootstrap,
        bootstrap_expect,
        tls,
        tls_ca_key,
        format_version: match values.given(&schema::FORMAT_VERSION) {
            Some(number) if number == u64::from(Format::PREVIOUS.number()) => Format::PREVIOUS,
            _ => Format::NEWEST,
        },
        timing,
        limits: recovery::compose(values),
        voters_max: voters_max(values),
        isolation_after,
        node_down_after,
        replace_after: replace_after(values, node_down_after),
        snapshot_every_entries: values.get(&schema::SNAPSHOT_ENTRIES),
        snapshot_every_bytes: values.get(&schema::SNAPSHOT_LOG_SIZE),
    }
}

fn bind(values: &Values<'_>, tls: &ClusterTls) -> SocketAddr {
    let bind = match resolve(&values.get(&schema::ADDR)) {
        Ok(bind) => bind,
        Err(reason) => {
            values.refuse(&schema::ADDR, reason, "HOST:PORT, where HOST is an address or name of this machine");
            SocketAddr::from(([127, 0, 0, 1], 5001))
        }
    };
    if matches!(tls, ClusterTls::InsecureLoopback) && !bind.ip().is_loopback() {
        values.refuse(
            &schema::ADDR,
            "without certificates the cluster port is bound to loopback only",
            "a loopback address, or --tls-ca, --tls-cert and --tls-key (make them with: vedfolnir cert init DIR), or a join token",
        );
    }
    bind
}

fn advertise(values: &Values<'_>, bind: SocketAddr) -> Option<String> {
    let Some(advertise) = values.given(&schema::ADVERTISE) else {
        if bind.ip().is_unspecified() {
            values.refuse(
                &schema::ADVERTISE,
                format!("the cluster address {bind} is unspecified, so peers need to be told another one"),
                "HOST:PORT that peers reach this node at",
            );
        }
        return None;
    };
    if advertise.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_unspecified()) {
        values.refuse(&schema::ADVERTISE, "no peer can reach an unspecified address", "HOST:PORT of this node");
    }
    Some(advertise)
}

fn bootstrap(values: &Values<'_>) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    for address in values.given(&schema::BOOTSTRAP).unwrap_or_default() {
        if address.ends_with(":0") {
            values.refuse(&schema::BOOTSTRAP, format!("{address:?}: port 0 is no peer's"), "HOST:PORT[,HOST:PORT...]");
        }
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// More than half of the listed addresses, so that two disjoint halves of one list can never both form a cluster.
fn bootstrap_expect(values: &Values<'_>, bootstrap: &[String]) -> Option<usize> {
    let number = usize::try_from(values.given(&schema::BOOTSTRAP_EXPECT)?).ok()?;
    let listed = bootstrap.len();
    if number * 2 <= listed {
        values.refuse(
            &schema::BOOTSTRAP_EXPECT,
            format!("{number} is not more than half of the {listed} addresses of --bootstrap: two clusters could form"),
            format!("a number from {} to {}", listed / 2 + 1, listed + 1),
        );
    }
    if number > listed + 1 {
        values.refuse(
            &schema::BOOTSTRAP_EXPECT,
            format!("--bootstrap lists {listed} addresses, so this node can meet at most {} nodes", listed + 1),
            format!("a number up to {}, or more addresses in --bootstrap", listed + 1),
        );
    }
    Some(number)
}

fn timing(values: &Values<'_>) -> RaftTiming {
    let ms = |setting: &Setting<Span>| u64::try_from(values.get(setting).as_millis()).unwrap_or(u64::MAX);
    let timing = RaftTiming {
        heartbeat_ms: ms(&schema::HEARTBEAT),
        election_ms_min: ms(&schema::ELECTION_MIN),
        election_ms_max: ms(&schema::ELECTION_MAX),
    };
    if timing.election_ms_min < 2 * timing.heartbeat_ms {
        values.refuse(
            &schema::ELECTION_MIN,
            format!(
                "{}ms: one lost heartbeat ({}ms) would start an election",
                timing.election_ms_min, timing.heartbeat_ms
            ),
            "at least twice the heartbeat",
        );
    }
    if timing.election_ms_max <= timing.election_ms_min {
        values.refuse(
            &schema::ELECTION_MAX,
            format!("candidates would collide, the minimum is {}ms", timing.election_ms_min),
            "more than the minimum",
        );
    }
    timing
}

fn voters_max(values: &Values<'_>) -> usize {
    let number = values.get(&schema::VOTERS_MAX);
    if number.is_multiple_of(2) {
        values.refuse(&schema::VOTERS_MAX, "an even number of voters tolerates no more failures", "an odd number");
    }
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The clients of a node that is cut off notice nothing: it answers their pings. So they are let go about when they would
/// notice a dead node.
fn isolation_after(values: &Values<'_>, two_leases: Duration) -> Duration {
    values.given(&schema::ISOLATION_AFTER).unwrap_or_else(|| {
        let noticed = values.get(&performance::PING_INTERVAL) + values.get(&performance::PING_TIMEOUT);
        noticed.saturating_sub(JITTER_MAX).clamp(3 * SECOND, 5 * SECOND).max(two_leases)
    })
}

fn replace_after(values: &Values<'_>, node_down_after: Duration) -> Duration {
    let Some(after) = values.given(&schema::REPLACE_AFTER) else { return (30 * SECOND).max(node_down_after) };
    if after < node_down_after {
        values.refuse(
            &schema::REPLACE_AFTER,
            format!("a node is declared down only after {node_down_after:?} (--node-down-after)"),
            "at least that long",
        );
    }
    after
}
