//! What one node stands on when a scenario wants to break it: its disk, its control group, the library between it and the system.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::InjectError;
use super::cgroup::Group;
use super::loop_disk::LoopDisk;
use super::shim::{Control, Shim};
use super::small_disk::SmallDisk;

/// The file system that holds a node's data directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disk {
    /// The one that the run's directory is on.
    #[default]
    Ordinary,
    /// One that holds so many bytes.
    Small(u64),
    /// One of so many bytes that can lose its power.
    Loop(u64),
}

/// What a scenario wants below each node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    /// The library for errors of the disk and wrong clocks.
    pub shim: bool,
    /// The disk.
    pub disk: Disk,
    /// A control group.
    pub group: bool,
}

/// The same for one node, made. It must outlive the node's process.
#[derive(Debug, Default)]
pub struct Below {
    /// Steers the library.
    pub shim: Option<Control>,
    /// The small disk.
    pub small_disk: Option<SmallDisk>,
    /// The disk that can lose its power.
    pub loop_disk: Option<LoopDisk>,
    /// The control group.
    pub group: Option<Group>,
}

impl Below {
    /// Makes it for the node `name` with its `data_dir`; files of the harness go into `run`, which is above `data_dir`.
    ///
    /// # Errors
    /// This machine lacks what it takes.
    pub fn make(ground: Ground, run: &Path, name: &str, data_dir: &Path) -> Result<Self, InjectError> {
        let mut below = Self::default();
        match ground.disk {
            Disk::Ordinary => {}
            Disk::Small(bytes) => below.small_disk = Some(SmallDisk::make(data_dir, bytes)?),
            Disk::Loop(bytes) => below.loop_disk = Some(LoopDisk::make(run, name, data_dir, bytes)?),
        }
        if ground.shim {
            below.shim = Some(Shim::build(run)?.control(name, data_dir)?);
        }
        if ground.group {
            below.group = Some(Group::make(name)?);
        }
        Ok(below)
    }

    /// The beginning of the node's command line.
    #[must_use]
    pub fn prefix(&self) -> Vec<OsString> {
        // The group first: inside the other namespace its files may not be seen.
        let group = self.group.as_ref().map(Group::prefix).unwrap_or_default();
        let small = self.small_disk.as_ref().map(SmallDisk::prefix).unwrap_or_default();
        let power = self.loop_disk.as_ref().map(LoopDisk::prefix).unwrap_or_default();
        group.into_iter().chain(small).chain(power).collect()
    }

    /// What belongs into the node's environment.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, OsString> {
        self.shim.as_ref().map(Control::env).unwrap_or_default().into_iter().collect()
    }

    /// Where we find the files of its `data_dir`.
    #[must_use]
    pub fn files(&self, data_dir: &Path) -> PathBuf {
        match (&self.small_disk, &self.loop_disk) {
            (Some(disk), _) => disk.outside(),
            (None, Some(disk)) => disk.outside(),
            (None, None) => data_dir.to_owned(),
        }
    }
}
