//! Each fsync takes long, without failing: messages are acknowledged later, and none is lost.

use std::time::Duration;

use super::ground::{called, lay, pick, shim};
use super::{Attack, Need, Scenario};
use crate::error::HarnessError;
use crate::inject::Ground;
use crate::inject::shim::SyncFault;
use crate::record::MarkKind;
use crate::world::{Setup, World};

const FSYNC_MS: std::ops::RangeInclusive<u64> = 50..=200;
const SLOW_FOR: Duration = Duration::from_secs(4);

pub(super) struct SlowDisk;

impl Scenario for SlowDisk {
    fn name(&self) -> &'static str {
        "slow-disk"
    }

    fn about(&self) -> &'static str {
        "each fsync of the leader takes 50 to 200 ms longer, then also those of all others"
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Compiler]
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        lay(setup, Ground { shim: true, ..Ground::default() })
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let leader = pick(world, true).await?;
            let by_ms = world.random.u64(FSYNC_MS);
            let slow = SyncFault::Slow(Duration::from_millis(by_ms));
            let what = format!("each fsync of {} takes {by_ms} ms longer", called(world, leader, true));
            let fault = world.fault(MarkKind::Disk, what, Some(leader));
            shim(world, leader, |control| control.sync(slow))?;
            world.hold(SLOW_FOR).await;
            world.traffic(10).await?;
            world.healed(fault);
            let fault = world.fault(MarkKind::Disk, format!("each fsync of every node takes {by_ms} ms longer"), None);
            let all = world.cluster.up();
            for &node in &all {
                shim(world, node, |control| control.sync(slow))?;
            }
            world.hold(SLOW_FOR).await;
            world.traffic(10).await?;
            for &node in &all {
                shim(world, node, |control| control.heal())?;
            }
            world.healed(fault);
            world.converged().await?;
            world.everyone_connected().await?;
            world.traffic(30).await
        })
    }
}
