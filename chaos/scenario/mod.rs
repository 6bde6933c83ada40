//! The scenarios, one file each: what is broken, and how it heals. What must hold meanwhile is the same for all of them.

mod asymmetric_topologies;
mod clients_half_open;
mod clients_reset;
mod clock_drift;
mod clock_jump;
mod combinations;
mod cpu_starved;
mod damaged;
mod delay;
mod disk_full;
mod duplicate;
mod expired_certificate;
mod fsync_error;
mod fsync_hang;
mod ground;
mod join_and_leave;
mod kill_all;
mod kill_follower;
mod kill_leader;
mod kill_two_of_five;
mod lines;
mod loss;
mod memory_limit;
mod minority_isolated;
mod none;
mod partition_bridge;
mod partition_flapping;
mod partition_one_way;
mod partition_symmetric;
mod pause_follower;
mod pause_leader;
mod power_loss;
mod reconnect_herd;
mod reorder;
mod replace_node;
mod rolling_restart;
mod slow_disk;
mod slow_link;
mod slow_readers;
mod stale_data_dir;
mod stalled_readers;
mod transfer_leadership;
mod wiped_disk;

use std::pin::Pin;

use crate::error::HarnessError;
use crate::world::{Setup, World};

/// One round of faults with its healing.
pub type Attack<'a> = Pin<Box<dyn Future<Output = Result<(), HarnessError>> + Send + 'a>>;

/// What a scenario cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To be root.
    Root,
    /// A C compiler, `cc`.
    Compiler,
    /// Namespaces of users and mounts, or root.
    UserNamespaces,
    /// Loop devices and ext4.
    LoopDevices,
    /// Control groups that can be made.
    Cgroups,
    /// At least so many nodes.
    Nodes(usize),
}

/// See the module.
pub trait Scenario: Sync {
    /// Its name, in kebab-case.
    fn name(&self) -> &'static str;
    /// What it does, in one line.
    fn about(&self) -> &'static str;
    /// What it cannot do without.
    fn needs(&self) -> &'static [Need] {
        &[]
    }
    /// Settings, disks, clients: before anything starts.
    ///
    /// # Errors
    /// It cannot be set up here.
    fn setup(&self, _setup: &mut Setup) -> Result<(), HarnessError> {
        Ok(())
    }
    /// One round. It is repeated for as long as the run lasts.
    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a>;
}

/// All of them, in the order in which `list` names them.
pub static ALL: &[&dyn Scenario] = &[
    &none::Nothing,
    &kill_follower::KillFollower,
    &kill_leader::KillLeader,
    &kill_two_of_five::KillTwoOfFive,
    &kill_all::KillAll,
    &pause_follower::PauseFollower,
    &pause_leader::PauseLeader,
    &rolling_restart::RollingRestart,
    &transfer_leadership::TransferLeadership,
    &join_and_leave::JoinAndLeave,
    &replace_node::ReplaceNode,
    &reconnect_herd::ReconnectHerd,
    &disk_full::DiskFull,
    &fsync_error::FsyncError,
    &fsync_hang::FsyncHang,
    &slow_disk::SlowDisk,
    &power_loss::PowerLoss,
    &power_loss::PowerLossAll,
    &damaged::CORRUPT_LOG,
    &damaged::CORRUPT_SNAPSHOT,
    &damaged::TRUNCATED_FILE,
    &wiped_disk::WipedDisk,
    &stale_data_dir::StaleDataDir,
    &clock_jump::ClockJump,
    &clock_drift::ClockDrift,
    &expired_certificate::ExpiredCertificate,
    &memory_limit::MemoryLimit,
    &cpu_starved::CpuStarved,
    &partition_symmetric::PartitionSymmetric,
    &partition_one_way::PartitionOneWay,
    &partition_bridge::PartitionBridge,
    &partition_flapping::PartitionFlapping,
    &minority_isolated::MinorityIsolated,
    &asymmetric_topologies::AsymmetricTopologies,
    &loss::Loss,
    &delay::Delay,
    &reorder::Reorder,
    &duplicate::Duplicate,
    &slow_link::SlowLink,
    &clients_half_open::ClientsHalfOpen,
    &clients_reset::ClientsReset,
    &stalled_readers::StalledReaders,
    &slow_readers::SlowReaders,
    &combinations::Combinations,
];

/// The one of this name.
///
/// # Errors
/// There is none.
pub fn find(name: &str) -> Result<&'static dyn Scenario, HarnessError> {
    if let Some(scenario) = ALL.iter().find(|scenario| scenario.name() == name) {
        return Ok(*scenario);
    }
    let alike = ALL
        .iter()
        .map(|scenario| (strsim::jaro_winkler(scenario.name(), name), scenario.name()))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.75);
    let hint = alike.map_or_else(String::new, |(_, name)| format!(": did you mean {name:?}?"));
    Err(HarnessError::UnknownScenario { name: name.to_owned(), hint })
}
