//! [`Settings`] to [`Config`]: every value alone, then against the others.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vedfolnir_cluster::state::Format;
use vedfolnir_cluster::{ClusterTls, RaftTiming, ReplicatedLimits};

use super::settings::{DEFAULT_ADMIN_ADDR, DEFAULT_DATA_DIR, LogSettings, Settings};
use super::value::{check_host_port, given, resolve};
use super::{ClusterPart, Config, ConfigError, LogConfig, LogFormat, PublicConfig};

const DATA_DIR: &str = "--data-dir (WEBSOCKET_CLUSTER_DATA_DIR)";
const PRODUCTION: &str = "--production (WEBSOCKET_PRODUCTION_MODE)";
const RELAY: &str = "--relay (WEBSOCKET_RELAY)";
const WORKER_THREADS: &str = "--worker-threads (WEBSOCKET_WORKER_THREADS)";
const HOST: &str = "--host (WEBSOCKET_HOST)";
const PORT: &str = "--port (WEBSOCKET_PORT)";
const PUBLIC_URL: &str = "--public-url (WEBSOCKET_PUBLIC_URL)";
const ADMIN_ADDR: &str = "--admin-addr (WEBSOCKET_ADMIN_ADDR)";
const CONNECTIONS_MAX: &str = "--connections-max (WEBSOCKET_MAX_CONNECTIONS_PER_SERVER)";
const PING_INTERVAL: &str = "--ping-interval (WEBSOCKET_PING_INTERVAL)";
const PING_TIMEOUT: &str = "--ping-timeout (WEBSOCKET_PING_TIMEOUT)";
const DRAIN_TIMEOUT: &str = "--drain-timeout (WEBSOCKET_DRAIN_TIMEOUT)";
pub(super) const BOOTSTRAP: &str = "--bootstrap (WEBSOCKET_CLUSTER_BOOTSTRAP)";
pub(super) const BOOTSTRAP_EXPECT: &str = "--bootstrap-expect (WEBSOCKET_CLUSTER_BOOTSTRAP_EXPECT)";
const CLUSTER_ADDR: &str = "--cluster-addr (WEBSOCKET_CLUSTER_ADDR)";
const CLUSTER_ADVERTISE: &str = "--cluster-advertise (WEBSOCKET_CLUSTER_ADVERTISE)";
const FORMAT_VERSION: &str = "--format-version (VEDFOLNIR_FORMAT_VERSION)";
const VOTERS_MAX: &str = "--voters-max (WEBSOCKET_CLUSTER_VOTERS_MAX)";
const HEARTBEAT: &str = "--heartbeat (WEBSOCKET_CLUSTER_HEARTBEAT)";
const ELECTION_MIN: &str = "--election-min (WEBSOCKET_CLUSTER_ELECTION_MIN)";
const ELECTION_MAX: &str = "--election-max (WEBSOCKET_CLUSTER_ELECTION_MAX)";
const ISOLATION_AFTER: &str = "--isolation-after (WEBSOCKET_CLUSTER_ISOLATION_AFTER)";
const NODE_DOWN_AFTER: &str = "--node-down-after (WEBSOCKET_CLUSTER_NODE_DOWN_AFTER)";
const REPLACE_AFTER: &str = "--replace-after (WEBSOCKET_CLUSTER_REPLACE_AFTER)";
const SNAPSHOT_ENTRIES: &str = "--snapshot-entries (WEBSOCKET_CLUSTER_SNAPSHOT_ENTRIES)";
const RECOVERY_WINDOW: &str = "--recovery-window (WEBSOCKET_RECOVERY_WINDOW)";
const HISTORY_AGE: &str = "--history-age (WEBSOCKET_HISTORY_AGE)";
const HISTORY_SIZE: &str = "--history-size (WEBSOCKET_HISTORY_SIZE)";
const LOG_LEVEL: &str = "--log-level (WEBSOCKET_LOG_LEVEL)";
const LOG_FORMAT: &str = "--log-format (WEBSOCKET_LOG_FORMAT)";
const LOG_FILTER: &str = "--log-filter (WEBSOCKET_LOG_FILTER)";

/// Bytes of the URL that the node tells its cluster.
const URL_BYTES_MAX: usize = 1_024;
/// Peers that may be listed.
const BOOTSTRAP_ADDRESSES_MAX: usize = 64;
/// Nodes that may form a cluster together: no more can vote.
const BOOTSTRAP_EXPECT_MAX: u64 = 9;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

impl Settings {
    /// Checks every setting, alone and against the others.
    ///
    /// # Errors
    /// The first setting that is refused.
    pub fn validate(&self) -> Result<Config, ConfigError> {
        let production =
            given(PRODUCTION, self.production.as_ref()).map_or(Ok(false), |production| production.boolean())?;
        let relay = given(RELAY, self.relay.as_ref()).map_or(Ok(!production), |relay| relay.boolean())?;
        let worker_threads = given(WORKER_THREADS, self.worker_threads.as_ref())
            .map(|threads| threads.number(1, 1024))
            .transpose()?
            .and_then(|threads| usize::try_from(threads).ok());
        let drain_timeout = given(DRAIN_TIMEOUT, self.drain_timeout.as_ref())
            .map_or(Ok(2 * SECOND), |drain| drain.duration(Duration::ZERO, 3 * SECOND))?;
        let data_dir = given(DATA_DIR, self.data_dir.as_ref())
            .map_or_else(|| PathBuf::from(DEFAULT_DATA_DIR), |data_dir| PathBuf::from(data_dir.text));
        Ok(Config {
            production,
            public: self.public()?,
            admin_bind: self.admin_bind()?,
            cluster: self.cluster(&data_dir)?,
            data_dir,
            relay,
            log: self.log.validate(production)?,
            worker_threads,
            drain_timeout,
        })
    }

    fn public(&self) -> Result<PublicConfig, ConfigError> {
        const HOST_FORM: &str = "an address or name of this machine, such as 127.0.0.1, ::1 or 0.0.0.0";
        let port = given(PORT, self.port.as_ref()).map_or(Ok(5000), |port| port.number(0, 65_535))?;
        let host = given(HOST, self.host.as_ref()).map_or("127.0.0.1", |host| host.text);
        let host_port = match host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::Ipv6Addr>() {
            Ok(address) => format!("[{address}]:{port}"),
            Err(_) => format!("{host}:{port}"),
        };
        let bind = check_host_port(&host_port)
            .and_then(|_| resolve(&host_port))
            .map_err(|reason| ConfigError::new(HOST, host, reason, HOST_FORM))?;
        let ping = |setting, text: Option<&String>, default| {
            given(setting, text).map_or(Ok(default), |ping| ping.duration(Duration::from_millis(100), 600 * SECOND))
        };
        Ok(PublicConfig {
            bind,
            url: self.public_url()?,
            connections_max: given(CONNECTIONS_MAX, self.connections_max.as_ref())
                .map_or(Ok(200_000), |connections| connections.number(1, 10_000_000))?
                as usize,
            ping_interval: ping(PING_INTERVAL, self.ping_interval.as_ref(), 25 * SECOND)?,
            ping_timeout: ping(PING_TIMEOUT, self.ping_timeout.as_ref(), 20 * SECOND)?,
        })
    }

    fn public_url(&self) -> Result<Option<String>, ConfigError> {
        let Some(url) = given(PUBLIC_URL, self.public_url.as_ref()) else { return Ok(None) };
        let rest = url.text.strip_prefix("http://").or_else(|| url.text.strip_prefix("https://"));
        match rest {
            Some(_) if url.text.len() > URL_BYTES_MAX => Err(url.refuse(
                format!("{} bytes long", url.text.len()),
                format!("a web address of at most {URL_BYTES_MAX} bytes"),
            )),
            Some(rest) if !rest.trim_end_matches('/').is_empty() && !rest.contains(char::is_whitespace) => {
                Ok(Some(url.text.trim_end_matches('/').to_owned()))
            }
            _ => Err(url.refuse("not a web address", "http://HOST[:PORT] or https://HOST[:PORT]")),
        }
    }

    fn admin_bind(&self) -> Result<SocketAddr, ConfigError> {
        let default = DEFAULT_ADMIN_ADDR.to_owned();
        let Some(admin) = given(ADMIN_ADDR, self.admin_addr.as_ref().or(Some(&default))) else {
            return self.admin_default();
        };
        let bind = admin.bind()?;
        if !bind.ip().is_loopback() {
            return Err(admin.refuse(
                "the operators' listener has neither authentication nor encryption yet",
                "a loopback address, such as 127.0.0.1:5002",
            ));
        }
        Ok(bind)
    }

    fn admin_default(&self) -> Result<SocketAddr, ConfigError> {
        resolve(DEFAULT_ADMIN_ADDR)
            .map_err(|reason| ConfigError::new(ADMIN_ADDR, DEFAULT_ADMIN_ADDR, reason, "HOST:PORT"))
    }

    fn cluster(&self, data_dir: &Path) -> Result<ClusterPart, ConfigError> {
        let default = "127.0.0.1:5001".to_owned();
        let tls = self.tls(data_dir)?;
        let tls_ca_key = self.tls_ca_key(&tls)?;
        let (bind, bind_text) = match given(CLUSTER_ADDR, self.cluster_addr.as_ref()) {
            Some(address) => (address.bind()?, address.text.to_owned()),
            None => (SocketAddr::from(([127, 0, 0, 1], 5001)), default),
        };
        if matches!(tls, ClusterTls::InsecureLoopback) && !bind.ip().is_loopback() {
            return Err(ConfigError::new(
                CLUSTER_ADDR,
                bind_text,
                "without certificates the cluster port is bound to loopback only",
                "a loopback address, or --tls-ca, --tls-cert and --tls-key (make them with: vedfolnir cert init DIR), or a join token",
            ));
        }
        let advertise = match given(CLUSTER_ADVERTISE, self.cluster_advertise.as_ref()) {
            Some(advertise) => {
                advertise.peer()?;
                if advertise.text.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_unspecified()) {
                    return Err(advertise.refuse("no peer can reach an unspecified address", "HOST:PORT of this node"));
                }
                Some(advertise.text.to_owned())
            }
            None if bind.ip().is_unspecified() => {
                return Err(ConfigError::missing(
                    CLUSTER_ADVERTISE,
                    format!("the cluster address {bind} is unspecified, so peers need to be told another one"),
                    "HOST:PORT that peers reach this node at",
                ));
            }
            None => None,
        };
        let bootstrap = self.bootstrap()?;
        let bootstrap_expect = self.bootstrap_expect(&bootstrap)?;
        let timing = self.timing()?;
        let lease = Duration::from_millis(timing.election_ms_max);
        let isolation_after = given(ISOLATION_AFTER, self.isolation_after.as_ref())
            .map_or(Ok(5 * SECOND), |after| after.duration(2 * lease, 600 * SECOND))?;
        let node_down_after = given(NODE_DOWN_AFTER, self.node_down_after.as_ref())
            .map_or(Ok(6 * SECOND), |after| after.duration(2 * lease, 600 * SECOND))?;
        let replace_after = match given(REPLACE_AFTER, self.replace_after.as_ref()) {
            Some(after) => {
                let duration = after.duration(SECOND, DAY)?;
                if duration < node_down_after {
                    return Err(after.refuse(
                        format!("a node is declared down only after {node_down_after:?} (--node-down-after)"),
                        "at least that long",
                    ));
                }
                duration
            }
            None => (30 * SECOND).max(node_down_after),
        };
        let voters_max = match given(VOTERS_MAX, self.voters_max.as_ref()) {
            Some(voters) => {
                let number = voters.number(1, BOOTSTRAP_EXPECT_MAX)?;
                if number % 2 == 0 {
                    return Err(voters.refuse("an even number of voters tolerates no more failures", "an odd number"));
                }
                number as usize
            }
            None => 5,
        };
        Ok(ClusterPart {
            bind,
            advertise,
            bootstrap,
            bootstrap_expect,
            tls,
            tls_ca_key,
            format_version: self.format_version()?,
            timing,
            limits: self.limits()?,
            voters_max,
            isolation_after,
            node_down_after,
            replace_after,
            snapshot_every_entries: given(SNAPSHOT_ENTRIES, self.snapshot_entries.as_ref())
                .map_or(Ok(50_000), |entries| entries.number(100, 100_000_000))?,
        })
    }

    fn format_version(&self) -> Result<Format, ConfigError> {
        let Some(given) = given(FORMAT_VERSION, self.format_version.as_ref()) else { return Ok(Format::NEWEST) };
        let number = given.number(u64::from(Format::PREVIOUS.number()), u64::from(Format::NEWEST.number()))?;
        Ok(if number == u64::from(Format::PREVIOUS.number()) { Format::PREVIOUS } else { Format::NEWEST })
    }

    fn bootstrap(&self) -> Result<Vec<String>, ConfigError> {
        let Some(list) = given(BOOTSTRAP, self.bootstrap.as_ref()) else { return Ok(Vec::new()) };
        let mut addresses: Vec<String> = Vec::new();
        for address in list.text.split(',').map(str::trim).filter(|address| !address.is_empty()) {
            const FORM: &str = "HOST:PORT[,HOST:PORT...]";
            match check_host_port(address) {
                Ok(0) => return Err(list.refuse(format!("{address:?}: port 0 is no peer's"), FORM)),
                Ok(_) => {}
                Err(reason) => return Err(list.refuse(format!("{address:?}: {reason}"), FORM)),
            }
            if !addresses.iter().any(|known| known == address) {
                addresses.push(address.to_owned());
            }
        }
        if addresses.len() > BOOTSTRAP_ADDRESSES_MAX {
            return Err(list.refuse("too many addresses", format!("at most {BOOTSTRAP_ADDRESSES_MAX}")));
        }
        Ok(addresses)
    }

    /// More than half of the listed addresses, so that two disjoint halves of one list can never both form a cluster.
    fn bootstrap_expect(&self, bootstrap: &[String]) -> Result<Option<usize>, ConfigError> {
        let Some(expect) = given(BOOTSTRAP_EXPECT, self.bootstrap_expect.as_ref()) else { return Ok(None) };
        let number = expect.number(1, BOOTSTRAP_EXPECT_MAX)? as usize;
        let listed = bootstrap.len();
        if number * 2 <= listed {
            return Err(expect.refuse(
                format!(
                    "{number} is not more than half of the {listed} addresses of --bootstrap: two clusters could form"
                ),
                format!("a number from {} to {}", listed / 2 + 1, listed + 1),
            ));
        }
        if number > listed + 1 {
            return Err(expect.refuse(
                format!("--bootstrap lists {listed} addresses, so this node can meet at most {} nodes", listed + 1),
                format!("a number up to {}, or more addresses in --bootstrap", listed + 1),
            ));
        }
        Ok(Some(number))
    }

    fn timing(&self) -> Result<RaftTiming, ConfigError> {
        let default = RaftTiming::default();
        let milliseconds = |setting, text: Option<&String>, default| {
            given(setting, text).map_or(Ok(default), |given| {
                given.duration(Duration::from_millis(10), 60 * SECOND).map(|duration| duration.as_millis() as u64)
            })
        };
        let timing = RaftTiming {
            heartbeat_ms: milliseconds(HEARTBEAT, self.heartbeat.as_ref(), default.heartbeat_ms)?,
            election_ms_min: milliseconds(ELECTION_MIN, self.election_min.as_ref(), default.election_ms_min)?,
            election_ms_max: milliseconds(ELECTION_MAX, self.election_max.as_ref(), default.election_ms_max)?,
        };
        if timing.election_ms_min < 2 * timing.heartbeat_ms {
            return Err(ConfigError::new(
                ELECTION_MIN,
                format!("{}ms", timing.election_ms_min),
                format!("one lost heartbeat ({}ms) would start an election", timing.heartbeat_ms),
                "at least twice the heartbeat",
            ));
        }
        if timing.election_ms_max <= timing.election_ms_min {
            return Err(ConfigError::new(
                ELECTION_MAX,
                format!("{}ms", timing.election_ms_max),
                format!("candidates would collide, the minimum is {}ms", timing.election_ms_min),
                "more than the minimum",
            ));
        }
        Ok(timing)
    }

    fn limits(&self) -> Result<ReplicatedLimits, ConfigError> {
        let default = ReplicatedLimits::default();
        let recovery_window = given(RECOVERY_WINDOW, self.recovery_window.as_ref())
            .map_or(Ok(default.recovery_window), |window| window.duration(SECOND, DAY))?;
        let history_age_max = match given(HISTORY_AGE, self.history_age.as_ref()) {
            Some(age) => {
                let duration = age.duration(SECOND, 2 * DAY)?;
                if duration < recovery_window {
                    return Err(age.refuse(
                        format!(
                            "shorter than the recovery window ({recovery_window:?}): a session could not be resumed"
                        ),
                        "at least the recovery window",
                    ));
                }
                duration
            }
            None => default.history_age_max.max(recovery_window + recovery_window / 2),
        };
        let history_bytes_max = given(HISTORY_SIZE, self.history_size.as_ref())
            .map_or(Ok(default.history_bytes_max), |size| size.size(1 << 20, 64 << 30))?;
        Ok(ReplicatedLimits { recovery_window, history_age_max, history_bytes_max })
    }
}

impl LogSettings {
    fn validate(&self, production: bool) -> Result<LogConfig, ConfigError> {
        let level = match given(LOG_LEVEL, self.log_level.as_ref()) {
            None => "info",
            Some(level) => match level.text.to_ascii_lowercase().as_str() {
                "trace" => "trace",
                "debug" => "debug",
                "info" => "info",
                "warning" | "warn" => "warn",
                "error" | "critical" | "fatal" => "error",
                _ => return Err(level.refuse("not a level", "trace, debug, info, warning, error, critical")),
            },
        };
        let filter = match given(LOG_FILTER, self.log_filter.as_ref()) {
            Some(filter) => {
                tracing_subscriber::EnvFilter::try_new(filter.text).map_err(|error| {
                    filter.refuse(error.to_string(), "tracing directives, such as info,vedfolnir_cluster=debug")
                })?;
                filter.text.to_owned()
            }
            // The libraries' own spans and lines are for their authors; a level below info is asked for on purpose.
            None if level == "info" => "info,openraft=error,quinn=warn,quinn_proto=warn,rustls=warn".to_owned(),
            None => level.to_owned(),
        };
        let format = match given(LOG_FORMAT, self.log_format.as_ref()) {
            None if production => LogFormat::Json,
            None => LogFormat::Human,
            Some(format) => match format.text.to_ascii_lowercase().as_str() {
                "human" => LogFormat::Human,
                "json" => LogFormat::Json,
                "bunyan" => LogFormat::Bunyan,
                _ => return Err(format.refuse("not a format", "human, json, bunyan")),
            },
        };
        Ok(LogConfig { filter, format })
    }
}
