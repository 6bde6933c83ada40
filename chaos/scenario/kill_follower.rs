//! kill -9 of a node that does not lead.

use super::{Attack, Scenario};
use crate::world::World;

pub(super) struct KillFollower;

impl Scenario for KillFollower {
    fn name(&self) -> &'static str {
        "kill-follower"
    }

    fn about(&self) -> &'static str {
        "kill -9 of a node that does not lead; it comes back"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let followers = world.cluster.followers().await?;
            let follower = followers[world.random.usize(..followers.len())];
            let fault = world.kill(follower, false).await?;
            world.traffic(60).await?;
            world.everyone_connected().await?;
            world.cluster.start(follower).await?;
            world.healed(fault);
            world.traffic(60).await
        })
    }
}
