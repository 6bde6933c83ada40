//! A file system that holds little, for one node: a tmpfs in a mount namespace of its own, so that root is not needed where the
//! kernel allows user namespaces.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::InjectError;
use super::namespace::Namespace;

const MOUNT: &str = r#"mount -t tmpfs -o "size=$1,mode=0700" none "$0""#;
/// What [`SmallDisk::fill`] writes.
const FILLER: &str = "chaos-filler";

/// Mounted at its directory for whoever starts through its prefix.
#[derive(Debug)]
pub struct SmallDisk {
    namespace: Namespace,
    directory: PathBuf,
}

impl SmallDisk {
    /// Mounts one of `bytes` at `directory`, which is created.
    ///
    /// # Errors
    /// This system lets nobody mount anything.
    pub fn make(directory: &Path, bytes: u64) -> Result<Self, InjectError> {
        std::fs::create_dir_all(directory).map_err(InjectError::file(directory))?;
        let size = bytes.to_string();
        let namespace = Namespace::make(MOUNT, &[directory.as_os_str(), OsStr::new(&size)])?;
        Ok(Self { namespace, directory: directory.to_owned() })
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

    /// Fills what room there is, to the last byte.
    ///
    /// # Errors
    /// The shell failed.
    pub fn fill(&self) -> Result<(), InjectError> {
        self.sh(&format!("cat /dev/zero > {FILLER} 2> /dev/null || true"))
    }

    /// Takes away what [`Self::fill`] wrote.
    ///
    /// # Errors
    /// The shell failed.
    pub fn free(&self) -> Result<(), InjectError> {
        self.sh(&format!("rm -f {FILLER}"))
    }

    /// Makes it as large as what is used and so many bytes more.
    ///
    /// # Errors
    /// The mount refused.
    pub fn make_room(&self, bytes: u64) -> Result<(), InjectError> {
        let outside = self.outside();
        let failed = |error: rustix::io::Errno| InjectError::file(&outside)(error.into());
        let disk = rustix::fs::statvfs(&outside).map_err(failed)?;
        let used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize;
        // With the device named as well `mount` does not repeat the options that are there: this namespace may lack their uid.
        self.sh(&format!("mount -t tmpfs -o remount,size={} none \"$0\"", used + bytes))
    }

    fn sh(&self, script: &str) -> Result<(), InjectError> {
        self.namespace.run(&format!("cd \"$0\"; {script}"), &[self.directory.as_os_str()]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_fills_up_and_takes_more_once_it_is_larger() {
        let directory = tempfile::tempdir().unwrap();
        let disk = match SmallDisk::make(&directory.path().join("data"), 1 << 20) {
            Ok(disk) => disk,
            Err(reason) => return eprintln!("skipped: {reason}"),
        };
        disk.fill().unwrap();
        let file = disk.outside().join("file");
        let full = std::fs::write(&file, [1; 8192]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        disk.make_room(64 << 10).unwrap();
        std::fs::write(&file, [1; 8192]).unwrap();
        disk.free().unwrap();
        std::fs::write(&file, vec![1; 1 << 20]).unwrap();
    }
}
