//! kill -9 of the node that leads.

use super::{Attack, Scenario};
use crate::world::World;

pub(super) struct KillLeader;

impl Scenario for KillLeader {
    fn name(&self) -> &'static str {
        "kill-leader"
    }

    fn about(&self) -> &'static str {
        "kill -9 of the node that leads; it comes back"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let leader = world.cluster.leader().await?;
            let fault = world.kill(leader, true).await?;
            world.traffic(60).await?;
            world.everyone_connected().await?;
            world.cluster.start(leader).await?;
            world.healed(fault);
            world.traffic(60).await
        })
    }
}
