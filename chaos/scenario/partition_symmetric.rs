//! The leader and as many nodes as the others can do without are cut off from them: the others elect, and nothing that is
//! acknowledged on either side is lost when they meet again.

use super::lines::{minority_with, names, others, recovered, served, some_ms};
use super::{Attack, Scenario};
use crate::record::MarkKind;
use crate::world::World;

pub(super) struct PartitionSymmetric;

impl Scenario for PartitionSymmetric {
    fn name(&self) -> &'static str {
        "partition-symmetric"
    }

    fn about(&self) -> &'static str {
        "the leader and a minority are cut off from the others, which elect another one"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let leader = world.cluster.leader().await?;
            let few = minority_with(world, leader);
            let many = others(world, &few);
            let what = format!("{} (the leader among them) and {} are parted", names(world, &few), names(world, &many));
            let fault = world.fault(MarkKind::Network, what.clone(), Some(leader));
            world.network.cut(&few, &many);
            // Shorter or longer than a node waits for a quorum before it lets its clients go.
            let time = some_ms(world, 1_000..9_000);
            served(world, time, &what).await?;
            world.network.heal();
            world.healed(fault);
            recovered(world).await
        })
    }
}
