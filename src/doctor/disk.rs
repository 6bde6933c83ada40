//! Whether the disk below a node is one that it can live on: directories, file systems, room, and a write that is synced.
//!
//! The only thing that is written is a probe of its own name in the directory, which is removed again.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Check;
use crate::admin::SOCKET_NAME;
use crate::config::Config;
use crate::observability::logging::Target;

/// What the log writes at once, about: a batch of commands with its frame, in bytes.
const RECORD_BYTES: usize = 4 << 10;
/// Records that are written and synced, one after the other; fewer when they take longer than this together.
const RECORDS: usize = 100;
const PROBE_TIME_MAX: Duration = Duration::from_secs(3);
/// A sync that takes longer, for one of a hundred, delays every message of the cluster noticeably.
const SYNC_MS_MAX: f64 = 10.0;
/// A leader whose disk hangs for so long gives up the leadership.
const SYNC_MS_HANGING: f64 = 1_000.0;
/// Files that a node makes at most: tables and logs of its store, snapshots, and what is being received.
const INODES_MIN: u64 = 4_096;
/// The store's own files (write-ahead logs, tables that are being merged), in bytes.
const STORE_BYTES: u64 = 512 << 20;
/// Room for logs, in bytes.
const LOG_BYTES_MIN: u64 = 256 << 20;

/// Looks at the data directory and at those of log files.
pub(super) fn examine(config: &Config) -> Vec<Check> {
    let data_dir = &config.node.data_dir;
    let what = format!("data directory {}", data_dir.display());
    let mut checks = Vec::new();
    match fs::metadata(data_dir) {
        Ok(metadata) if metadata.is_dir() => {
            checks.push(permissions(&what, &metadata, 0o077, "chmod 0700: the log and the snapshots are in it"));
            checks.extend(owner(&what, &metadata));
            checks.push(holder(&what, data_dir));
            checks.push(probe(&what, data_dir));
        }
        Ok(_) => {
            let fix = "give a directory to --data-dir (WEBSOCKET_DATA_DIR)";
            checks.push(Check::fail(&what, "it is no directory", fix));
            return checks;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = "it does not exist yet; `vedfolnir start` makes it (0700)";
            checks.push(Check::warn(&what, why, "run this again afterwards, to have its disk measured"));
        }
        Err(error) => {
            let fix = "give one that this user may enter to --data-dir (WEBSOCKET_DATA_DIR)";
            checks.push(Check::fail(&what, format!("it cannot be looked at: {error}"), fix));
            return checks;
        }
    }
    let needed = needed_bytes(config);
    checks.extend(file_system(&what, data_dir, true));
    checks.extend(room(&what, data_dir, needed, "the history twice in snapshots, the log between them, and the store"));
    for directory in log_directories(config) {
        checks.extend(log_directory(&directory));
    }
    checks
}

/// What a node may take of its disk.
fn needed_bytes(config: &Config) -> u64 {
    // One snapshot in force, one that is being written, and the log since the last.
    config.cluster.limits.history_bytes_max.saturating_mul(3).saturating_add(STORE_BYTES)
}

fn log_directories(config: &Config) -> Vec<PathBuf> {
    let log = &config.log;
    let files = [log.security_file.as_ref(), log.performance_file.as_ref(), log.error_file.as_ref()];
    let main = if let Target::File(file) = &log.target { Some(file) } else { None };
    let mut directories: Vec<PathBuf> = main
        .into_iter()
        .chain(files.into_iter().flatten())
        .filter_map(|file| file.parent())
        .map(|parent| if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
        .collect();
    directories.sort();
    directories.dedup();
    directories
}

fn log_directory(directory: &Path) -> Vec<Check> {
    let what = format!("log directory {}", directory.display());
    let metadata = match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => return vec![Check::fail(what, "it is no directory", "name a log file inside a directory")],
        Err(error) => {
            let fix = "create it, writable for the service's user: the node does not start without";
            return vec![Check::fail(what, format!("it cannot be used: {error}"), fix)];
        }
    };
    let mut checks = vec![permissions(&what, &metadata, 0o002, "chmod o-w: others could replace the log")];
    checks.push(match write_probe(directory, |_| Ok(())) {
        Ok(()) => Check::ok(&what, "it takes files"),
        Err(error) => Check::fail(
            &what,
            format!("it takes no files: {error}"),
            "make it writable for the service's user: rotation makes files",
        ),
    });
    checks.extend(file_system(&what, directory, false));
    checks.extend(room(&what, directory, LOG_BYTES_MIN, "logs"));
    checks
}

/// Whether others may do in a directory what they had better not.
fn permissions(what: &str, metadata: &fs::Metadata, forbidden: u32, fix: &str) -> Check {
    let mode = metadata.mode() & 0o7777;
    // In a directory with the sticky bit nobody removes what is another's.
    let open = if mode & 0o1000 == 0 { mode & forbidden } else { mode & forbidden & !0o002 };
    match open {
        0 => Check::ok(what, format!("mode {mode:04o}")),
        _ => Check::warn(what, format!("mode {mode:04o} is open to more than its owner"), fix),
    }
}

fn owner(what: &str, metadata: &fs::Metadata) -> Option<Check> {
    let (own, owner) = (rustix::process::geteuid().as_raw(), metadata.uid());
    (own != owner && own != 0).then(|| {
        let why = format!("it belongs to user {owner}, this is user {own}");
        Check::warn(what, why, "run this, and the node, as the user whom the directory belongs to")
    })
}

/// Whether a process has it.
fn holder(what: &str, data_dir: &Path) -> Check {
    if UnixStream::connect(data_dir.join(SOCKET_NAME)).is_ok() {
        return Check::ok(what, "a node runs in it, and answers on its admin.sock; a second one would be refused");
    }
    match File::open(data_dir.join("LOCK")).map(|file| file.try_lock()) {
        Ok(Err(TryLockError::WouldBlock)) => Check::warn(
            what,
            "a process holds its LOCK, and does not answer on admin.sock",
            "if it is not a node that starts or ends just now, find it with `fuser -v LOCK` and end it",
        ),
        Ok(Err(TryLockError::Error(error))) => {
            Check::fail(what, format!("its LOCK cannot be locked: {error}"), "use a file system that has locks")
        }
        Ok(Ok(())) | Err(_) => Check::ok(what, "no process holds it"),
    }
}

/// Writes and syncs records as the log does.
fn probe(what: &str, directory: &Path) -> Check {
    match write_probe(directory, measure) {
        Ok(times) => judge_syncs(what, &times),
        Err(error) => Check::fail(
            what,
            format!("it takes no writes: {error}"),
            "make it writable for the node's user, on a file system that is mounted read-write and has room",
        ),
    }
}

/// With a file of its own, which is gone afterwards.
fn write_probe<T>(directory: &Path, write: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
    let path = directory.join(format!(".vedfolnir-doctor-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let result = write(&mut file);
    fs::remove_file(&path)?;
    result
}

/// How long each of the syncs took, in milliseconds.
fn measure(file: &mut File) -> io::Result<Vec<f64>> {
    let record = vec![0x5a; RECORD_BYTES];
    let began = Instant::now();
    let mut times = Vec::with_capacity(RECORDS);
    while times.len() < RECORDS && (times.is_empty() || began.elapsed() < PROBE_TIME_MAX) {
        let each = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        times.push(each.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(times)
}

fn judge_syncs(what: &str, times: &[f64]) -> Check {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted.get(((sorted.len() as f64 * share).ceil() as usize).max(1) - 1).copied();
    let (half, most) = (at(0.5).unwrap_or_default(), at(0.99).unwrap_or_default());
    let why = format!(
        "{} writes of {} KiB, each synced: half within {half:.2} ms, 99 of 100 within {most:.2} ms",
        sorted.len(),
        RECORD_BYTES >> 10
    );
    if most > SYNC_MS_HANGING {
        let fix = "use another disk: a leader whose disk hangs for a second gives up the leadership";
        Check::fail(what, why, fix)
    } else if most > SYNC_MS_MAX {
        let fix = format!(
            "use a local SSD: every message waits for a sync on a majority of the nodes, {SYNC_MS_MAX} ms are the bound"
        );
        Check::warn(what, why, fix)
    } else {
        Check::ok(what, why)
    }
}

/// The path, or what is there of it.
fn existing(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.ancestors().find(|path| path.exists()).map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

#[cfg(target_os = "linux")]
fn file_system(what: &str, path: &Path, durable: bool) -> Option<Check> {
    let magic = (rustix::fs::statfs(existing(path)).ok()?.f_type as u64) & 0xffff_ffff;
    let (name, kind) = kind_of(magic);
    let why = format!("on {name}");
    Some(match kind {
        Kind::Memory if durable => Check::warn(
            what,
            format!("{why}: what is acknowledged is gone when the machine restarts"),
            "use a directory on a disk; for tests only it does",
        ),
        Kind::Network if durable => Check::warn(
            what,
            format!("{why}: a sync goes over the network, and locks may not hold"),
            "use a local disk: every node has its own copy of everything",
        ),
        Kind::Layers if durable => Check::warn(
            what,
            format!("{why}: it is the container's own layer, and gone with it"),
            "mount a volume there",
        ),
        _ => Check::ok(what, why),
    })
}

#[cfg(not(target_os = "linux"))]
fn file_system(_what: &str, _path: &Path, _durable: bool) -> Option<Check> {
    None
}

/// What a file system means for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Disk,
    Memory,
    Network,
    Layers,
    Unknown,
}

/// Its name and kind, by the magic number (statfs(2)).
fn kind_of(magic: u64) -> (String, Kind) {
    let (name, kind) = match magic {
        0xef53 => ("ext4", Kind::Disk),
        0x5846_5342 => ("XFS", Kind::Disk),
        0x9123_683e => ("Btrfs", Kind::Disk),
        0x2fc1_2fc1 => ("ZFS", Kind::Disk),
        0xf2f5_2010 => ("F2FS", Kind::Disk),
        0x0102_1994 => ("tmpfs", Kind::Memory),
        0x8584_58f6 => ("ramfs", Kind::Memory),
        0x794c_7630 => ("overlayfs", Kind::Layers),
        0x6969 => ("NFS", Kind::Network),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => ("SMB", Kind::Network),
        0x00c3_6400 => ("CephFS", Kind::Network),
        0x0102_1997 => ("9P", Kind::Network),
        0x6573_5546 => ("FUSE", Kind::Unknown),
        _ => return (format!("a file system that is not known here ({magic:#x})"), Kind::Unknown),
    };
    (name.to_owned(), kind)
}

fn room(what: &str, path: &Path, needed: u64, what_for: &str) -> Vec<Check> {
    match rustix::fs::statvfs(existing(path)) {
        Ok(room) => {
            let free = room.f_bavail.saturating_mul(room.f_frsize);
            let inodes = (room.f_files > 0).then_some(room.f_favail);
            judge_room(what, free, needed, what_for, inodes)
        }
        Err(error) => {
            let why = format!("its room cannot be asked for: {error}");
            vec![Check::warn(what, why, "look at it with `df`")]
        }
    }
}

/// `inodes`: free ones; `None`: the file system makes them as they are needed.
fn judge_room(what: &str, free: u64, needed: u64, what_for: &str, inodes: Option<u64>) -> Vec<Check> {
    let why = format!("{} MiB free, up to {} MiB are needed ({what_for})", free >> 20, needed >> 20);
    let mut checks = vec![if free < needed / 8 {
        Check::fail(what, why, "make room: a node whose disk is full stops")
    } else if free < needed {
        Check::warn(what, why, "make room, or lower what is kept (see `vedfolnir config show`)")
    } else {
        Check::ok(what, why)
    }];
    if let Some(inodes) = inodes.filter(|inodes| *inodes < INODES_MIN) {
        let why = format!("{inodes} files can still be made, up to {INODES_MIN} are needed");
        checks.push(Check::warn(what, why, "remove files, or make a file system with more inodes"));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_slow_disk_is_warned_of_and_one_that_hangs_is_a_fault() {
        let verdict = |times: &[f64]| judge_syncs("d", times).verdict;
        let mut times = vec![1.0; 100];
        assert_eq!(verdict(&times), Verdict::Ok);
        times[7] = 5_000.0;
        assert_eq!(verdict(&times), Verdict::Ok, "one of a hundred may be slow");
        times[8] = 10.1;
        assert_eq!(verdict(&times), Verdict::Warn);
        times[8] = 1_000.1;
        assert_eq!(verdict(&times), Verdict::Fail);
        assert_eq!(verdict(&[1_000.1]), Verdict::Fail);
    }

    #[test]
    fn room_is_judged_by_what_the_node_may_take() {
        let verdicts = |free, inodes| {
            judge_room("d", free, 800, "x", inodes).into_iter().map(|check| check.verdict).collect::<Vec<_>>()
        };
        assert_eq!(verdicts(800, None), [Verdict::Ok]);
        assert_eq!(verdicts(799, Some(INODES_MIN)), [Verdict::Warn]);
        assert_eq!(verdicts(99, None), [Verdict::Fail]);
        assert_eq!(verdicts(800, Some(INODES_MIN - 1)), [Verdict::Ok, Verdict::Warn]);
    }

    #[test]
    fn file_systems_are_told_apart_by_what_they_mean_for_a_log() {
        for (magic, name, kind) in [
            (0xef53, "ext4", Kind::Disk),
            (0x0102_1994, "tmpfs", Kind::Memory),
            (0x6969, "NFS", Kind::Network),
            (0xff53_4d42, "SMB", Kind::Network),
            (0x794c_7630, "overlayfs", Kind::Layers),
        ] {
            assert_eq!(kind_of(magic), (name.to_owned(), kind));
        }
        assert_eq!(kind_of(1).1, Kind::Unknown);
    }

    #[test]
    fn a_directory_that_is_written_to_is_left_as_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let check = probe("d", directory.path());
        assert!(check.why.contains("each synced"), "{check}");
        assert_eq!(fs::read_dir(directory.path()).expect("its entries").count(), 0);
        let gone = probe("d", &directory.path().join("gone"));
        assert_eq!(gone.verdict, Verdict::Fail);
        assert_eq!(existing(&directory.path().join("a/b")), directory.path());
    }

    #[test]
    fn a_process_that_holds_the_directory_is_seen() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(holder("d", directory.path()).why, "no process holds it");
        let lock = File::create(directory.path().join("LOCK")).expect("a file");
        assert_eq!(holder("d", directory.path()).why, "no process holds it");
        lock.lock().expect("a lock");
        let held = holder("d", directory.path());
        assert_eq!(held.verdict, Verdict::Warn);
        assert!(held.why.contains("LOCK"), "{held}");
        let _socket = std::os::unix::net::UnixListener::bind(directory.path().join(SOCKET_NAME)).expect("a socket");
        assert!(holder("d", directory.path()).why.contains("a node runs in it"));
    }
}
