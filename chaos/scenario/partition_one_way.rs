//! The leader can send but does not hear, or hears but cannot send: a leader that cannot commit must not keep the others
//! from electing one that can.

use super::lines::{others, recovered, served, some_ms};
use super::{Attack, Scenario};
use crate::record::MarkKind;
use crate::world::World;

pub(super) struct PartitionOneWay;

impl Scenario for PartitionOneWay {
    fn name(&self) -> &'static str {
        "partition-one-way"
    }

    fn about(&self) -> &'static str {
        "the leader sends but does not hear; then the leader hears but cannot send"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            for is_deaf in [true, false] {
                let leader = world.cluster.leader().await?;
                let how = if is_deaf { "sends but does not hear" } else { "hears but cannot send" };
                let what = format!("{}, the leader, {how}", world.cluster.node(leader).name);
                let fault = world.fault(MarkKind::Network, what.clone(), Some(leader));
                for other in others(world, &[leader]) {
                    let (from, to) = if is_deaf { (other, leader) } else { (leader, other) };
                    world.network.cut_one_way(from, to);
                }
                let time = some_ms(world, 1_000..8_000);
                served(world, time, &what).await?;
                world.network.heal();
                world.healed(fault);
                recovered(world).await?;
            }
            Ok(())
        })
    }
}
