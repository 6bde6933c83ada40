//! What the process's control group (cgroup v2) lets it take.

use std::path::{Path, PathBuf};

const MOUNTED_AT: &str = "/sys/fs/cgroup";

/// The lowest limit of memory of the group and those above it, in bytes; `None`: none, or no control groups here.
#[must_use]
pub fn memory_bytes_max() -> Option<u64> {
    lowest_here("memory.max", |text| text.trim().parse().ok())
}

/// The lowest limit of its processor time, in thousandths of a processor.
#[must_use]
pub fn millicpus_max() -> Option<u64> {
    lowest_here("cpu.max", millicpus)
}

/// The lowest limit of its threads and processes.
#[must_use]
pub fn tasks_max() -> Option<u64> {
    lowest_here("pids.max", |text| text.trim().parse().ok())
}

/// `QUOTA PERIOD`, in microseconds.
fn millicpus(text: &str) -> Option<u64> {
    let (quota, period) = text.trim().split_once(' ')?;
    quota.parse::<u64>().ok()?.saturating_mul(1_000).checked_div(period.parse().ok()?)
}

fn lowest_here(file: &str, read: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    lowest(Path::new(MOUNTED_AT), own.lines().find_map(|line| line.strip_prefix("0::"))?, file, read)
}

fn lowest(root: &Path, group: &str, file: &str, read: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let mut path: PathBuf = root.join(group.trim_start_matches('/'));
    let mut lowest: Option<u64> = None;
    // In a container the group's own files may be those at the root, whatever the path says.
    loop {
        let limit = std::fs::read_to_string(path.join(file)).ok().and_then(|text| read(&text));
        lowest = [lowest, limit].into_iter().flatten().min();
        if path == root || !path.pop() {
            return lowest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_on_the_way_up_counts() {
        let root = tempfile::tempdir().expect("a directory");
        let inner = root.path().join("a/b");
        std::fs::create_dir_all(&inner).expect("directories");
        let memory = |group| lowest(root.path(), group, "memory.max", |text| text.trim().parse().ok());
        assert_eq!(memory("/a/b"), None);
        std::fs::write(inner.join("memory.max"), "max\n").expect("a file");
        std::fs::write(root.path().join("a/memory.max"), "1048576\n").expect("a file");
        assert_eq!(memory("/a/b"), Some(1_048_576));
        std::fs::write(inner.join("memory.max"), "4096\n").expect("a file");
        assert_eq!(memory("/a/b"), Some(4_096));
        assert_eq!(memory("/gone"), None);
    }

    #[test]
    fn processor_time_is_a_quota_of_a_period() {
        assert_eq!(millicpus("150000 100000\n"), Some(1_500));
        assert_eq!(millicpus("max 100000\n"), None);
        assert_eq!(millicpus("1 0"), None);
        assert_eq!(millicpus(""), None);
    }
}
