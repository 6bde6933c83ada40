//! Wall clocks jump by an hour, of one node or of all, each in its own way: nothing that the cluster decides depends on them.

use super::ground::{lay, shim};
use super::{Attack, Need, Scenario};
use crate::error::HarnessError;
use crate::inject::Ground;
use crate::record::MarkKind;
use crate::world::{Setup, World};

const HOUR_MS: i64 = 3_600_000;

pub(super) struct ClockJump;

impl Scenario for ClockJump {
    fn name(&self) -> &'static str {
        "clock-jump"
    }

    fn about(&self) -> &'static str {
        "the wall clock of one node after the other jumps by an hour, then those of all in different ways, and back"
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Compiler]
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        lay(setup, Ground { shim: true, ..Ground::default() })
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let all = world.cluster.up();
            for &node in &all {
                let hours = if world.random.bool() { 1 } else { -1 };
                let what = format!("the clock of {} jumps by {hours:+} h", world.cluster.node(node).name);
                let fault = world.fault(MarkKind::Clock, what, Some(node));
                shim(world, node, |control| control.wall_clock(hours * HOUR_MS))?;
                world.traffic(60).await?;
                shim(world, node, |control| control.wall_clock(0))?;
                world.healed(fault);
                world.traffic(30).await?;
            }
            let fault = world.fault(MarkKind::Clock, "all clocks jump by up to an hour", None);
            for &node in &all {
                let by_ms = world.random.i64(-HOUR_MS..=HOUR_MS);
                shim(world, node, |control| control.wall_clock(by_ms))?;
            }
            world.traffic(100).await?;
            for &node in &all {
                shim(world, node, |control| control.wall_clock(0))?;
            }
            world.healed(fault);
            world.traffic(60).await?;
            world.converged().await?;
            world.everyone_connected().await
        })
    }
}
