//! kill -9 of every node in one moment: what is durable must be on their disks.

use super::{Attack, Scenario};
use crate::record::MarkKind;
use crate::world::World;

pub(super) struct KillAll;

impl Scenario for KillAll {
    fn name(&self) -> &'static str {
        "kill-all"
    }

    fn about(&self) -> &'static str {
        "kill -9 of every node in one moment; all come back"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let all = world.cluster.up();
            let fault = world.fault(MarkKind::Process, "kill -9 of every node", None);
            world.cluster.kill_together(&all).await?;
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
