//! fsync comes to no end, for seconds: a leader gives up the leadership, a follower is waited for by nobody.

use std::time::Duration;

use super::ground::{called, lay, leadership_moves, pick, shim};
use super::{Attack, Need, Scenario};
use crate::error::HarnessError;
use crate::inject::Ground;
use crate::inject::shim::SyncFault;
use crate::record::MarkKind;
use crate::world::{Setup, World};

/// The promise is a second, and an election.
const MOVES_WITHIN: Duration = Duration::from_secs(10);
/// How long a follower's disk hangs.
const HANGS_MS: std::ops::RangeInclusive<u64> = 1_500..=4_000;

pub(super) struct FsyncHang;

impl Scenario for FsyncHang {
    fn name(&self) -> &'static str {
        "fsync-hang"
    }

    fn about(&self) -> &'static str {
        "fsync of the leader hangs until another node leads, then that of a follower; later it goes on"
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
                let what = format!("fsync of {} hangs", called(world, node, is_leader));
                let fault = world.fault(MarkKind::Disk, &what, Some(node));
                shim(world, node, |control| control.sync(SyncFault::Hang))?;
                if is_leader && !leadership_moves(world, node, MOVES_WITHIN).await {
                    world.violation(format!("{what}, and nobody else led within {} s", MOVES_WITHIN.as_secs()));
                }
                let hangs = Duration::from_millis(world.random.u64(HANGS_MS));
                world.hold(hangs).await;
                world.traffic(30).await?;
                shim(world, node, |control| control.heal())?;
                world.healed(fault);
                world.converged().await?;
                world.everyone_connected().await?;
                world.traffic(30).await?;
            }
            Ok(())
        })
    }
}
