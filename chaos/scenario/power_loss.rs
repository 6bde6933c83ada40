//! Power is cut: what was not synced is gone. One node, or all of them in one moment.

use super::ground::{called, lay, pick, with};
use super::{Attack, Need, Scenario};
use crate::error::HarnessError;
use crate::inject::loop_disk::{LoopDisk, clean_up_after_the_dead, power_loss};
use crate::inject::{Disk, Ground};
use crate::record::MarkKind;
use crate::world::{Setup, World};

/// Sparse: as much as is written is used.
const DISK_BYTES: u64 = 2 << 30;

pub(super) struct PowerLoss;
pub(super) struct PowerLossAll;

impl Scenario for PowerLoss {
    fn name(&self) -> &'static str {
        "power-loss"
    }

    fn about(&self) -> &'static str {
        "the leader loses its power and everything that it had not synced, then a follower; they come back"
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Root, Need::LoopDevices, Need::Compiler]
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        prepare(setup)
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            for is_leader in [true, false] {
                let node = pick(world, is_leader).await?;
                let what = format!("{} loses its power", called(world, node, is_leader));
                let fault = world.fault(MarkKind::Disk, what, Some(node));
                let kill = world.kill(node, is_leader).await?;
                cut(world, vec![node]).await?;
                world.traffic(60).await?;
                world.everyone_connected().await?;
                world.cluster.start(node).await?;
                world.healed(kill);
                world.healed(fault);
                world.traffic(30).await?;
            }
            Ok(())
        })
    }
}

impl Scenario for PowerLossAll {
    fn name(&self) -> &'static str {
        "power-loss-all"
    }

    fn about(&self) -> &'static str {
        "all nodes lose their power in one moment, and everything that they had not synced; they come back"
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Root, Need::LoopDevices, Need::Compiler]
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        prepare(setup)
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let all = world.cluster.up();
            let fault = world.fault(MarkKind::Disk, "all nodes lose their power", None);
            world.cluster.kill_together(&all).await?;
            cut(world, all.clone()).await?;
            for &node in &all {
                world.cluster.spawn(node)?;
            }
            for &node in &all {
                world.cluster.ready(node).await?;
            }
            world.healed(fault);
            world.everyone_connected().await?;
            world.traffic(60).await
        })
    }
}

fn prepare(setup: &mut Setup) -> Result<(), HarnessError> {
    for line in clean_up_after_the_dead() {
        eprintln!("{line}");
    }
    // Snapshots and their renames are at stake too.
    setup.setting("WEBSOCKET_CLUSTER_SNAPSHOT_ENTRIES", "500");
    lay(setup, Ground { disk: Disk::Loop(DISK_BYTES), ..Ground::default() })
}

async fn cut(world: &mut World, nodes: Vec<usize>) -> Result<(), HarnessError> {
    with(world, move |all| {
        let disks: Vec<&LoopDisk> = nodes.iter().filter_map(|node| all.get(*node)?.loop_disk.as_ref()).collect();
        power_loss(&disks)
    })
    .await
}
