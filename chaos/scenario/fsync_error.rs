//! fsync fails, once or for as long as the disk is broken: the node stops at once, for nobody knows what is on the disk.

use super::ground::{called, lay, must_stop, pick, shim};
use super::{Attack, Need, Scenario};
use crate::error::HarnessError;
use crate::inject::Ground;
use crate::inject::shim::SyncFault;
use crate::record::MarkKind;
use crate::world::{Setup, World};

pub(super) struct FsyncError;

impl Scenario for FsyncError {
    fn name(&self) -> &'static str {
        "fsync-error"
    }

    fn about(&self) -> &'static str {
        "fsync of the leader fails with EIO, then that of a follower, once or always; later it works again"
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Compiler]
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        lay(setup, Ground { shim: true, ..Ground::default() })
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            for is_leader in [true, false] {
                let node = pick(world, is_leader).await?;
                let (how, often) =
                    if world.random.bool() { (SyncFault::Eio, "always") } else { (SyncFault::EioOnce, "once") };
                let what = format!("fsync of {} fails {often}", called(world, node, is_leader));
                let fault = world.fault(MarkKind::Disk, &what, Some(node));
                shim(world, node, |control| control.sync(how))?;
                must_stop(world, node, &what, &["Input/output error"]).await;
                world.traffic(60).await?;
                world.everyone_connected().await?;
                shim(world, node, |control| control.heal())?;
                world.cluster.start(node).await?;
                world.healed(fault);
                world.traffic(30).await?;
            }
            Ok(())
        })
    }
}
