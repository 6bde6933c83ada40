//! A disk that can lose its power: ext4 in a file, behind a loop device, in a mount namespace of its own. Root only.
//!
//! The loop device is detached by the kernel with the mount, the mount is gone with the namespace, and that with its last
//! process. [`clean_up_after_the_dead`] is for the one case that is left: nodes that outlived a harness which was killed.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::namespace::Namespace;
use super::{InjectError, compile, has_program, is_root, run};

/// What was written and not synced stays in memory for as long as it can: it is to be lost.
const MOUNT: &str = "mount -t ext4 -o loop,noauto_da_alloc,commit=300 \"$1\" \"$0\"";
const MAKE: &str = "mkfs.ext4 -q -F -m 0 -E nodiscard,lazy_itable_init=1 \"$1\"";
/// What images are called before the harness they belong to; see [`owner_name`].
const IMAGE: &str = "vedfolnir-chaos-disk-";

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: the journal is not written out first. Rust can make an ioctl only in
/// unsafe code, C needs a few lines.
const SHUTDOWN: &str = r#"
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(int count, char **paths) {
    for (int i = 1; i < count; i++) {
        uint32_t how = 2;
        int fd = open(paths[i], O_RDONLY | O_DIRECTORY);
        if (fd < 0 || ioctl(fd, _IOR('X', 125, uint32_t), &how) != 0) {
            perror(paths[i]);
            return 1;
        }
    }
    return 0;
}
"#;

/// Mounted at its directory for whoever starts through its prefix.
#[derive(Debug)]
pub struct LoopDisk {
    namespace: Namespace,
    directory: PathBuf,
    image: PathBuf,
    shutdown: PathBuf,
}

impl LoopDisk {
    /// Why this machine has no such disks; `None` if it has.
    #[must_use]
    pub fn lacking() -> Option<&'static str> {
        if !is_root() {
            Some("needs root")
        } else if !Path::new("/dev/loop-control").exists() {
            Some("has no loop devices (/dev/loop-control)")
        } else if !has_program("mkfs.ext4") {
            Some("has no mkfs.ext4 (e2fsprogs)")
        } else if !has_program("cc") {
            Some("has no C compiler (cc)")
        } else {
            None
        }
    }

    /// Makes one of `bytes` for the node `name` at `directory`, which is created; the image is a sparse file in `run`.
    ///
    /// # Errors
    /// Something is missing, see [`Self::lacking`], or the system refuses.
    pub fn make(run: &Path, name: &str, directory: &Path, bytes: u64) -> Result<Self, InjectError> {
        if let Some(reason) = Self::lacking() {
            return Err(InjectError::Lacking(format!("a disk that can lose its power: this machine {reason}")));
        }
        let shutdown = run.join("chaos_shutdown");
        compile(SHUTDOWN, &shutdown, &[])?;
        fs::create_dir_all(directory).map_err(InjectError::file(directory))?;
        let image = run.join(format!("{IMAGE}{}-{name}.img", owner_name()));
        let file = fs::File::create(&image).map_err(InjectError::file(&image))?;
        file.set_len(bytes).map_err(InjectError::file(&image))?;
        let script = format!("{MAKE}\n{MOUNT}");
        let namespace = Namespace::make(&script, &[directory.as_os_str(), image.as_os_str()])?;
        Ok(Self { namespace, directory: directory.to_owned(), image, shutdown })
    }

    /// The beginning of the node's command line.
    #[must_use]
    pub fn prefix(&self) -> Vec<OsString> {
        self.namespace.prefix()
    }

    /// Where the node's directory is for us.
    #[must_use]
    pub fn outside(&self) -> PathBuf {
        self.namespace.outside(&self.directory)
    }

    fn mount_again(&self) -> Result<(), InjectError> {
        let script = format!("umount \"$0\"\n{MOUNT}");
        self.namespace.run(&script, &[self.directory.as_os_str(), self.image.as_os_str()]).map(drop)
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Fails while a node runs on it; then the last process takes the mount along.
        let _ = self.namespace.run("umount \"$0\"", &[self.directory.as_os_str()]);
        let _ = fs::remove_file(&self.image);
    }
}

/// Cuts the power of these disks at once and gives it back: what was not synced is gone, the journal is replayed. Whoever used
/// them has been killed before (`SIGKILL`, and waited for).
///
/// # Errors
/// The system refuses, or somebody still uses a disk.
pub fn power_loss(disks: &[&LoopDisk]) -> Result<(), InjectError> {
    let Some(first) = disks.first() else { return Ok(()) };
    let program = first.shutdown.to_string_lossy();
    run(&program, disks.iter().map(|disk| disk.outside()))?;
    disks.iter().try_for_each(|disk| disk.mount_again())
}

/// Tells this process from all others, also from later ones with its pid: `PID-START`, the start in clock ticks since boot.
fn owner_name() -> String {
    let pid = std::process::id();
    format!("{pid}-{}", start_of(pid).unwrap_or(0))
}

/// Field 22 of `/proc/PID/stat` (proc(5)); the name in field 2 may contain anything.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Ends what dead harnesses left: processes in namespaces that these had made, with a disk of theirs mounted. The kernel then
/// takes down mounts and loop devices. Whatever has no image of ours behind it is not touched. Gives one line for each image.
#[must_use]
pub fn clean_up_after_the_dead() -> Vec<String> {
    let Ok(devices) = fs::read_dir("/sys/block") else { return Vec::new() };
    let mut done = Vec::new();
    for device in devices.flatten() {
        let Ok(image) = fs::read_to_string(device.path().join("loop/backing_file")) else { continue };
        let image = image.trim().trim_end_matches(" (deleted)");
        if !is_of_the_dead(Path::new(image)) {
            continue;
        }
        let device = Path::new("/dev").join(device.file_name());
        let ended: Vec<u32> = users(&device).into_iter().filter(|pid| kill(*pid)).collect();
        let _ = fs::remove_file(image);
        done.push(format!("{image}: left by a run that was killed; ended processes {ended:?}"));
    }
    done
}

fn is_of_the_dead(image: &Path) -> bool {
    let owner = || {
        let rest = image.file_name()?.to_str()?.strip_prefix(IMAGE)?;
        let mut parts = rest.split('-');
        Some((parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u64>().ok()?))
    };
    owner().is_some_and(|(pid, start)| start_of(pid) != Some(start))
}

/// Processes in other mount namespaces than ours that have the device mounted.
fn users(device: &Path) -> Vec<u32> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let ours = namespace("self");
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let uses = |pid: &u32| {
        let name = pid.to_string();
        let mounts = fs::read_to_string(format!("/proc/{name}/mounts")).unwrap_or_default();
        let is_mounted = mounts.lines().any(|line| line.split(' ').next().map(OsStr::new) == Some(device.as_os_str()));
        is_mounted && namespace(&name) != ours
    };
    pids.filter(uses).collect()
}

fn kill(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_power_loss_keeps_what_was_synced_and_takes_the_rest() {
        if let Some(reason) = LoopDisk::lacking() {
            return eprintln!("skipped: this machine {reason}");
        }
        let directory = tempfile::tempdir().unwrap();
        let disk = LoopDisk::make(directory.path(), "a", &directory.path().join("data"), 32 << 20).unwrap();
        let mut synced = fs::File::create(disk.outside().join("synced")).unwrap();
        synced.write_all(b"kept").unwrap();
        synced.sync_all().unwrap();
        synced.write_all(b"lost").unwrap();
        fs::write(disk.outside().join("never-synced"), b"lost").unwrap();
        drop(synced);
        power_loss(&[&disk]).unwrap();
        assert_eq!(fs::read(disk.outside().join("synced")).unwrap(), b"kept");
        assert!(!disk.outside().join("never-synced").exists());
        drop(disk);
        let devices = run("losetup", ["--list", "--noheadings", "--output", "BACK-FILE"]).unwrap();
        assert!(!devices.contains(&directory.path().display().to_string()), "{devices}");
    }

    #[test]
    fn only_images_of_dead_harnesses_are_left_by_the_dead() {
        let name = |owner: &str| PathBuf::from(format!("/tmp/{IMAGE}{owner}-node-1.img"));
        assert!(!is_of_the_dead(&name(&owner_name())));
        assert!(is_of_the_dead(&name(&format!("{}-1", std::process::id()))));
        assert!(!is_of_the_dead(Path::new("/tmp/somebody.img")));
    }
}
