//! Whether the machine lets a node do what its settings say: files, memory, processors, sockets, ports, threads, clocks.

use std::fs;
use std::path::Path;

use super::Check;
use super::peers::{BUFFER_BYTES_ASKED, BUFFER_BYTES_FEW};
use crate::config::{Config, FILES_RESERVED, millicpus_max, tasks_max};
use crate::server::ACCEPT_QUEUE_MAX;

/// Clients below which a limit of open files is doubtful for a server.
const FILES_FEW: u64 = 4_096;
/// What a node takes of memory with nobody connected and nothing in the history (docs/benchmarks.md), in bytes.
const OWN_MEMORY_BYTES: u64 = 192 << 20;
/// What the history takes for each of its bytes, in hundredths (docs/benchmarks.md).
const HISTORY_PERCENT: u64 = 130;
/// What an idle client takes (docs/benchmarks.md: 6.6 KiB) with room for its buffers, in bytes.
const CLIENT_BYTES: u64 = 10 << 10;
/// From this share of the limit on no new client is taken, in percent.
const MEMORY_PERCENT_USED: u64 = 90;
/// Threads at most: those that wait for files and names, the store's, the runtime's.
const THREADS_MIN: u64 = 640;
/// Bytes of all TCP, and of all UDP sockets, below which a busy node drops packets.
const TCP_BYTES_FEW: u64 = 64 << 20;
const UDP_BYTES_FEW: u64 = 16 << 20;
/// Clock sources that a program reads without a call into the kernel.
const SLOW_CLOCKS: [&str; 4] = ["hpet", "acpi_pm", "jiffies", "refined-jiffies"];

/// The limit of open files of the process that was asked, before it raised it itself: soft and hard.
pub type OpenFiles = Option<(u64, u64)>;

/// Looks at everything; what this system does not tell is left out.
pub(super) fn examine(config: &Config, open_files: OpenFiles) -> Vec<Check> {
    let connections = config.public.connections_max as u64;
    let mut checks = Vec::new();
    checks.extend(open_files.map(|(soft, hard)| judge_files(soft, hard, connections)));
    let memory = &config.monitoring.checks.memory_bytes_max;
    let group = crate::config::memory_bytes_max();
    checks.push(judge_memory(*memory, group, installed(), config.cluster.limits.history_bytes_max, connections));
    let threads = config.node.worker_threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    checks.push(judge_processors(millicpus_max(), threads.unwrap_or(1) as u64));
    checks.push(judge_threads(threads_max()));
    for (name, direction) in [("net/core/rmem_max", "receive"), ("net/core/wmem_max", "send")] {
        checks.extend(number(name).map(|bytes| judge_buffer(name, direction, bytes)));
    }
    checks.extend(number("net/core/somaxconn").map(judge_queue));
    let ports = [Some(config.public.bind), config.public.tls.as_ref().map(|tls| tls.bind), Some(config.admin.bind)];
    let ports = ports.into_iter().flatten().chain([config.cluster.bind]).map(|address| address.port());
    if let [low, high] = numbers("net/ipv4/ip_local_port_range")[..] {
        let reserved = fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default();
        checks.push(judge_ports(low, high, &reserved, &ports.collect::<Vec<_>>(), connections));
    }
    for (protocol, few) in [("tcp", TCP_BYTES_FEW), ("udp", UDP_BYTES_FEW)] {
        if let [_, _, pages] = numbers(&format!("net/ipv4/{protocol}_mem"))[..] {
            checks.push(judge_pages(protocol, pages.saturating_mul(page_bytes()), few));
        }
    }
    checks.extend(word("/sys/kernel/mm/transparent_hugepage/enabled").map(|text| judge_huge_pages(&text)));
    let clock = word("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    checks.extend(clock.map(|clock| judge_clock(&clock)));
    checks.push(judge_time(Path::new("/run")));
    checks
}

fn word(path: impl AsRef<Path>) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn numbers(name: &str) -> Vec<u64> {
    let text = word(Path::new("/proc/sys").join(name)).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}

fn number(name: &str) -> Option<u64> {
    numbers(name).first().copied()
}

/// The machine's memory, in bytes.
fn installed() -> Option<u64> {
    let text = word("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// What the kernel counts those memories in.
fn page_bytes() -> u64 {
    let text = word("/proc/self/smaps").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("KernelPageSize:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kibibytes.unwrap_or(4) << 10
}

/// The lowest limit of threads and what sets it.
fn threads_max() -> Option<(u64, &'static str)> {
    // Root is not bound by the limit of its own processes.
    let own = (!rustix::process::geteuid().is_root())
        .then(|| rlimit::Resource::NPROC.get().ok())
        .flatten()
        .map(|(soft, _)| (soft, "LimitNPROC, ulimit -u"));
    let group = tasks_max().map(|tasks| (tasks, "TasksMax, the control group's pids.max"));
    let kernel = number("kernel/threads-max").map(|threads| (threads, "sysctl kernel.threads-max"));
    [own, group, kernel].into_iter().flatten().min()
}

fn judge_files(soft: u64, hard: u64, connections: u64) -> Check {
    let needed = connections.saturating_add(FILES_RESERVED);
    let why = format!("soft {soft}, hard {hard} (a node raises the soft one to it); {connections} clients at most");
    let fix = "raise it: LimitNOFILE in the unit, ulimit -n, --ulimit nofile of a container";
    if hard < needed {
        Check::fail("open files", format!("{why}, and {FILES_RESERVED} for itself do not fit"), fix)
    } else if hard < FILES_FEW {
        Check::warn("open files", why, fix)
    } else {
        Check::ok("open files", why)
    }
}

/// `limit`: the setting's, or else the group's.
fn judge_memory(
    limit: Option<u64>,
    group: Option<u64>,
    installed: Option<u64>,
    history: u64,
    connections: u64,
) -> Check {
    let what = "memory";
    let Some(bytes) = [limit, group, installed].into_iter().flatten().min() else {
        return Check::warn(what, "it cannot be found out", "set WEBSOCKET_MEMORY_LIMIT");
    };
    let setting = "--memory-limit (WEBSOCKET_MEMORY_LIMIT)";
    if let (Some(limit), Some(least)) = (limit, [group, installed].into_iter().flatten().min())
        && limit > least
    {
        let why = format!("the limit is {} MiB, and there are {} MiB", limit >> 20, least >> 20);
        let fix = format!("lower {setting}: the kernel ends the node before it refuses new clients");
        return Check::fail(what, why, fix);
    }
    let fixed = OWN_MEMORY_BYTES + history / 100 * HISTORY_PERCENT;
    let clients = (bytes / 100 * MEMORY_PERCENT_USED).saturating_sub(fixed) / CLIENT_BYTES;
    let why = format!(
        "{} MiB; the node's own and the history take up to {} MiB, which leaves room for about {} of \
         {connections} idle clients",
        bytes >> 20,
        fixed >> 20,
        clients.min(connections)
    );
    if clients == 0 {
        let fix = "give it more, or keep less: --history-size (WEBSOCKET_HISTORY_SIZE)";
        Check::warn(what, why, fix)
    } else if limit.or(group).is_none() {
        Check::warn(
            what,
            format!("{why}; nothing limits it"),
            format!("set {setting}, so that it refuses new clients in time"),
        )
    } else {
        Check::ok(what, why)
    }
}

fn judge_processors(millicpus: Option<u64>, threads: u64) -> Check {
    let what = "processors";
    let Some(millicpus) = millicpus else {
        return Check::ok(what, format!("{threads} threads serve, nothing limits their time"));
    };
    let why = format!(
        "{threads} threads serve, {}.{:02} processors' time is theirs",
        millicpus / 1_000,
        millicpus % 1_000 / 10
    );
    if millicpus < 1_000 || threads.saturating_mul(1_000) > millicpus.next_multiple_of(1_000) {
        let fix = "give it more, or as many as --worker-threads (WEBSOCKET_WORKER_THREADS): a node that is throttled misses heartbeats";
        Check::warn(what, why, fix)
    } else {
        Check::ok(what, why)
    }
}

fn judge_threads(limit: Option<(u64, &'static str)>) -> Check {
    match limit {
        Some((threads, by)) if threads < THREADS_MIN => {
            let why = format!("{threads} at most, a node may take {THREADS_MIN}");
            Check::warn("threads", why, format!("raise it: {by}"))
        }
        Some((threads, _)) => Check::ok("threads", format!("{threads} at most")),
        None => Check::ok("threads", "nothing limits them"),
    }
}

fn judge_buffer(name: &str, direction: &str, bytes: u64) -> Check {
    let (what, name) = (format!("UDP {direction} buffer"), name.replace('/', "."));
    let why = format!("{name} = {bytes}, {BUFFER_BYTES_ASKED} are asked for");
    if bytes < BUFFER_BYTES_FEW as u64 {
        Check::warn(
            what,
            why,
            format!("sysctl -w {name}={BUFFER_BYTES_ASKED}, so that bursts between nodes are not lost"),
        )
    } else {
        Check::ok(what, why)
    }
}

fn judge_queue(somaxconn: u64) -> Check {
    let why = format!("net.core.somaxconn = {somaxconn}, a queue of {ACCEPT_QUEUE_MAX} is asked for");
    if somaxconn < u64::from(ACCEPT_QUEUE_MAX) {
        let fix = format!(
            "sysctl -w net.core.somaxconn={ACCEPT_QUEUE_MAX}: clients that all come back at once are dropped beyond it"
        );
        Check::warn("accept queue", why, fix)
    } else {
        Check::ok("accept queue", why)
    }
}

/// Ports of outgoing connections: a listener's among them may be taken while the node restarts, and a proxy on this machine
/// needs one for each client.
fn judge_ports(low: u64, high: u64, reserved: &str, listeners: &[u16], connections: u64) -> Check {
    let what = "ports";
    let count = (high + 1).saturating_sub(low);
    let why = format!("net.ipv4.ip_local_port_range = {low} {high}");
    let is_reserved = |port: u64| {
        reserved.trim().split(',').any(|range| {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            matches!((from.parse::<u64>(), to.parse::<u64>()), (Ok(from), Ok(to)) if (from..=to).contains(&port))
        })
    };
    let taken =
        listeners.iter().map(|port| u64::from(*port)).find(|port| (low..=high).contains(port) && !is_reserved(*port));
    if let Some(port) = taken {
        let why = format!("{why}: an outgoing connection may have port {port} when the node starts again");
        let fix = format!(
            "sysctl -w net.ipv4.ip_local_reserved_ports={port} (add it to what is there), or listen below {low}"
        );
        Check::warn(what, why, fix)
    } else if count < connections.min(28_000) {
        let why =
            format!("{why}: a proxy on this machine opens one for each of {connections} clients, {count} are there");
        Check::warn(
            what,
            why,
            "sysctl -w net.ipv4.ip_local_port_range=\"10240 65535\", or more addresses for the proxy's connections",
        )
    } else {
        Check::ok(what, why)
    }
}

fn judge_pages(protocol: &str, bytes: u64, few: u64) -> Check {
    let what = format!("{} memory", protocol.to_uppercase());
    let why = format!("net.ipv4.{protocol}_mem allows {} MiB for all sockets", bytes >> 20);
    if bytes < few {
        Check::warn(what, why, format!("raise its third number: at least {} MiB, in pages", few >> 20))
    } else {
        Check::ok(what, why)
    }
}

fn judge_huge_pages(text: &str) -> Check {
    let what = "transparent huge pages";
    if text.contains("[always]") {
        let fix = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled: with `always` a page of 2 MiB stays for one small thing in it";
        Check::warn(what, "always", fix)
    } else {
        Check::ok(what, text)
    }
}

fn judge_clock(source: &str) -> Check {
    let what = "clock source";
    if SLOW_CLOCKS.contains(&source) {
        let fix = "use tsc or the hypervisor's own where the machine has it: each look at this clock is a call into the kernel";
        Check::warn(what, source, fix)
    } else {
        Check::ok(what, source)
    }
}

/// By what the usual programs leave in the directory of running ones.
fn judge_time(run: &Path) -> Check {
    let what = "time";
    let there = |path: &str| run.join(path).exists();
    if there("systemd/timesync/synchronized") {
        return Check::ok(what, "systemd-timesyncd has synchronised the clock");
    }
    match ["chrony/chronyd.pid", "chronyd.pid", "ntpd.pid", "ntpd-rs"].into_iter().find(|path| there(path)) {
        Some(path) => Check::ok(what, format!("a program keeps the clock ({})", run.join(path).display())),
        None => Check::warn(
            what,
            "no program that keeps the clock is seen from here (in a container the host's is not)",
            "see `timedatectl` on the host; `vedfolnir doctor cluster` says whether the nodes' clocks agree",
        ),
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
