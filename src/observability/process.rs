//! The process as the kernel counts it; whatever cannot be read is zero.

/// Ticks of `/proc/PID/stat` per second: fixed by the kernel's interface to programs.
const USER_HZ: f64 = 100.0;

/// A reading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process {
    pub(super) resident_bytes: u64,
    pub(super) cpu_seconds: f64,
    pub(super) open_fds: u64,
    pub(super) max_fds: u64,
}

pub(super) fn read() -> Process {
    Process {
        resident_bytes: resident_bytes(),
        cpu_seconds: cpu_seconds().unwrap_or(0.0),
        open_fds: std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        max_fds: rlimit::Resource::NOFILE.get().map_or(0, |(soft, _)| soft),
    }
}

/// Resident memory; 0 when it cannot be read.
pub(crate) fn resident_bytes() -> u64 {
    resident().unwrap_or(0)
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name, in brackets, may hold spaces: count the fields after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let user: u64 = fields.get(11)?.parse().ok()?;
    let system: u64 = fields.get(12)?.parse().ok()?;
    Some((user + system) as f64 / USER_HZ)
}
