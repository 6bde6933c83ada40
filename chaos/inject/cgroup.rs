//! Less memory or processor for one node: control groups, of either version, for root; and for everybody a process that is
//! stopped most of the time.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{InjectError, is_root};

const ROOT: &str = "/sys/fs/cgroup";
const NAME: &str = "vedfolnir-chaos-";
/// Both versions count processor time in periods of this length.
const PERIOD_US: u64 = 100_000;

/// A control group for one node, gone with this value. Processes begin in it (see [`Self::prefix`]): memory counts for the
/// group that a process was in as it asked for it.
#[derive(Debug)]
pub struct Group {
    memory: PathBuf,
    cpu: PathBuf,
    is_v2: bool,
}

impl Group {
    /// A group without limits for the node `name`.
    ///
    /// # Errors
    /// No root, or no control groups for memory and processor that this process may make.
    pub fn make(name: &str) -> Result<Self, InjectError> {
        if !is_root() {
            return Err(InjectError::Lacking("a control group: needs root".to_owned()));
        }
        remove_those_of_the_dead(Path::new(ROOT));
        Self::make_below(Path::new(ROOT), &format!("{NAME}{}-{name}", std::process::id()))
    }

    fn make_below(root: &Path, name: &str) -> Result<Self, InjectError> {
        let is_v2 = root.join("cgroup.controllers").exists();
        let (memory, cpu) =
            if is_v2 { (root.to_owned(), root.to_owned()) } else { (root.join("memory"), root.join("cpu")) };
        for controller in [&memory, &cpu] {
            if !controller.join("cgroup.procs").exists() {
                let reason = format!("a control group: {} is no hierarchy of control groups", controller.display());
                return Err(InjectError::Lacking(reason));
            }
        }
        if is_v2 {
            // Refused in a container whose processes are in the group it sees as the root.
            put(&root.join("cgroup.subtree_control"), "+memory +cpu")?;
        }
        let group = Self { memory: memory.join(name), cpu: cpu.join(name), is_v2 };
        for directory in [&group.memory, &group.cpu] {
            fs::create_dir_all(directory).map_err(InjectError::file(directory))?;
        }
        Ok(group)
    }

    /// The beginning of the node's command line: it enters the group and becomes the node, with the pid that was spawned.
    #[must_use]
    pub fn prefix(&self) -> Vec<OsString> {
        let enter = "for group in \"$0\" \"$1\"; do echo $$ > \"$group/cgroup.procs\"; done; shift; exec \"$@\"";
        let shell = ["sh", "-ec", enter].map(OsString::from);
        shell.into_iter().chain([self.memory.clone().into(), self.cpu.clone().into()]).collect()
    }

    /// At most so much memory; `None`: as much as there is. Less than is in use ends processes.
    ///
    /// # Errors
    /// The system refuses: version 1 does if it cannot free as much.
    pub fn limit_memory(&self, bytes: Option<u64>) -> Result<(), InjectError> {
        let (file, none) = if self.is_v2 { ("memory.max", "max") } else { ("memory.limit_in_bytes", "-1") };
        put(&self.memory.join(file), &bytes.map_or_else(|| none.to_owned(), |bytes| bytes.to_string()))
    }

    /// Leaves a process of the group what it has allocated and as little as possible more, but at least `spare_bytes`: its caches
    /// and what it has mapped have to fit into that. Gives the limit in bytes.
    ///
    /// # Errors
    /// There is no such process, or the system refuses also a limit of many times as much.
    pub fn squeeze_memory(&self, pid: u32, spare_bytes: u64) -> Result<u64, InjectError> {
        const ATTEMPTS: u64 = 32;
        let allocated = allocated_bytes(pid)?;
        let mut refused = None;
        for more in 1..=ATTEMPTS {
            let limit = allocated + more * spare_bytes;
            match self.limit_memory(Some(limit)) {
                Ok(()) => return Ok(limit),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| InjectError::Lacking("no memory limit was tried".to_owned())))
    }

    /// At most so many hundredths of one processor; `None`: as many as there are.
    ///
    /// # Errors
    /// The system refuses.
    pub fn limit_cpu(&self, percent: Option<u64>) -> Result<(), InjectError> {
        let quota_us = percent.map(|percent| (percent * PERIOD_US / 100).max(1000));
        if self.is_v2 {
            let quota = quota_us.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
            put(&self.cpu.join("cpu.max"), &format!("{quota} {PERIOD_US}"))
        } else {
            put(&self.cpu.join("cpu.cfs_period_us"), &PERIOD_US.to_string())?;
            let quota = quota_us.map_or_else(|| "-1".to_owned(), |quota| quota.to_string());
            put(&self.cpu.join("cpu.cfs_quota_us"), &quota)
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        remove(&self.memory);
        remove(&self.cpu);
    }
}

/// Memory that no file is behind (proc(5)).
fn allocated_bytes(pid: u32) -> Result<u64, InjectError> {
    let file = PathBuf::from(format!("/proc/{pid}/status"));
    let status = fs::read_to_string(&file).map_err(InjectError::file(&file))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let none = || InjectError::Lacking(format!("{}: the process has no memory", file.display()));
    kilobytes.map(|kilobytes| kilobytes << 10).ok_or_else(none)
}

fn put(file: &Path, value: &str) -> Result<(), InjectError> {
    fs::write(file, value).map_err(InjectError::file(file))
}

/// Whoever is still in it goes to the group above.
fn remove(group: &Path) {
    if let (Ok(pids), Some(above)) = (fs::read_to_string(group.join("cgroup.procs")), group.parent()) {
        for pid in pids.lines() {
            let _ = fs::write(above.join("cgroup.procs"), pid);
        }
    }
    let _ = fs::remove_dir(group);
}

/// Groups whose harness is gone; nothing in them is ended.
fn remove_those_of_the_dead(root: &Path) {
    for hierarchy in [root.to_owned(), root.join("memory"), root.join("cpu")] {
        let Ok(entries) = fs::read_dir(hierarchy) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix(NAME)?.split('-').next()?.parse::<u32>().ok());
            if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                remove(&entry.path());
            }
        }
    }
}

/// Stops a process for a part of the time, beside the harness: also one that is killed in between leaves nothing stopped, and
/// stopped processes do not see that their harness is gone.
const STARVE: &str = r#"
trap '' INT TERM HUP
while kill -0 "$0" 2> /dev/null; do
    kill -STOP "$1" 2> /dev/null || exit 0
    sleep "$2"
    kill -CONT "$1" 2> /dev/null || exit 0
    sleep "$3"
done"#;

/// A process that runs only a part of the time, until this value is gone; then it runs on.
#[derive(Debug)]
pub struct Starved {
    process: Pid,
    turns: Child,
}

impl Starved {
    /// Lets it run for `run` and stops it for `stop`, again and again.
    ///
    /// # Errors
    /// There is no such process, or no shell.
    pub fn begin(pid: u32, run: Duration, stop: Duration) -> Result<Self, InjectError> {
        let failed = |reason: String| InjectError::Program { program: format!("starving process {pid}"), reason };
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let process = process.ok_or_else(|| failed("that is no process id".to_owned()))?;
        kill_process(process, Signal::CONT).map_err(|error| failed(error.to_string()))?;
        let [stop, run] = [stop, run].map(|time| time.as_secs_f64().to_string());
        let turns = Command::new("sh")
            .args(["-c", STARVE, &std::process::id().to_string(), &pid.to_string(), &stop, &run])
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { process, turns })
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        let _ = self.turns.kill();
        let _ = self.turns.wait();
        let _ = kill_process(self.process, Signal::CONT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_is_limited_by_its_own_files() {
        let root = tempfile::tempdir().unwrap();
        for file in ["cgroup.controllers", "cgroup.procs"] {
            fs::write(root.path().join(file), "").unwrap();
        }
        let group = Group::make_below(root.path(), "group").unwrap();
        group.limit_memory(Some(5 << 20)).unwrap();
        group.limit_cpu(Some(10)).unwrap();
        let read = |file: &str| fs::read_to_string(root.path().join("group").join(file)).unwrap();
        assert_eq!((read("memory.max"), read("cpu.max")), ("5242880".to_owned(), "10000 100000".to_owned()));
        group.limit_memory(None).unwrap();
        group.limit_cpu(None).unwrap();
        assert_eq!((read("memory.max"), read("cpu.max")), ("max".to_owned(), "max 100000".to_owned()));
        assert_eq!(fs::read_to_string(root.path().join("cgroup.subtree_control")).unwrap(), "+memory +cpu");
    }

    #[test]
    fn a_process_begins_in_its_group() {
        let group = match Group::make("test") {
            Ok(group) => group,
            Err(reason) => return eprintln!("skipped: {reason}"),
        };
        group.limit_memory(Some(64 << 20)).unwrap();
        group.limit_cpu(Some(50)).unwrap();
        let prefix = group.prefix();
        let output = Command::new(&prefix[0]).args(&prefix[1..]).args(["cat", "/proc/self/cgroup"]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(&format!("{NAME}{}-test", std::process::id())), "{said}");
        let mut child = Command::new(&prefix[0]).args(&prefix[1..]).args(["sleep", "60"]).spawn().unwrap();
        let limit = group.squeeze_memory(child.id(), 4 << 20).unwrap();
        assert!(limit < 64 << 20, "{limit}");
        group.limit_memory(None).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let directory = group.memory.clone();
        drop(group);
        assert!(!directory.exists());
    }

    #[test]
    fn a_starved_process_is_stopped_now_and_then_and_runs_on_afterwards() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let state = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            stat.rsplit_once(')').unwrap().1.trim().chars().next().unwrap()
        };
        let starved = Starved::begin(child.id(), Duration::from_millis(1), Duration::from_millis(5)).unwrap();
        while state() != 'T' {
            std::thread::yield_now();
        }
        drop(starved);
        assert_ne!(state(), 'T');
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
