//! SIGSTOP of the node that leads: another one leads meanwhile, and when it wakes up it must not act on what it believed.

use super::pause_follower::pause;
use super::{Attack, Scenario};
use crate::world::World;

pub(super) struct PauseLeader;

impl Scenario for PauseLeader {
    fn name(&self) -> &'static str {
        "pause-leader"
    }

    fn about(&self) -> &'static str {
        "SIGSTOP of the node that leads until another does and its clients have gone elsewhere; then it wakes up"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let leader = world.cluster.leader().await?;
            pause(world, leader, true).await
        })
    }
}
