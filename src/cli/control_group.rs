//! What the process's control group (cgroup v2) lets it take.

use std::path::{Path, PathBuf};

const MOUNTED_AT: &str = "/sys/fs/cgroup";

/// The lowest limit of memory of the group and those above it, in bytes; `None`: none, or no control groups here.
pub(super) fn memory_bytes_max() -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    lowest(Path::new(MOUNTED_AT), own.lines().find_map(|line| line.strip_prefix("0::"))?)
}

fn lowest(root: &Path, group: &str) -> Option<u64> {
    let mut path: PathBuf = root.join(group.trim_start_matches('/'));
    let mut lowest: Option<u64> = None;
    // In a container the group's own files may be those at the root, whatever the path says.
    loop {
        let limit = std::fs::read_to_string(path.join("memory.max")).ok().and_then(|text| text.trim().parse().ok());
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
        assert_eq!(lowest(root.path(), "/a/b"), None);
        std::fs::write(inner.join("memory.max"), "max\n").expect("a file");
        std::fs::write(root.path().join("a/memory.max"), "1048576\n").expect("a file");
        assert_eq!(lowest(root.path(), "/a/b"), Some(1_048_576));
        std::fs::write(inner.join("memory.max"), "4096\n").expect("a file");
        assert_eq!(lowest(root.path(), "/a/b"), Some(4_096));
        assert_eq!(lowest(root.path(), "/gone"), None);
    }
}
