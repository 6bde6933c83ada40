//! kill -9 of two of five nodes in one moment, the leader one of them.

use super::{Attack, Need, Scenario};
use crate::record::MarkKind;
use crate::world::World;

pub(super) struct KillTwoOfFive;

impl Scenario for KillTwoOfFive {
    fn name(&self) -> &'static str {
        "kill-two-of-five"
    }

    fn about(&self) -> &'static str {
        "kill -9 of two of five nodes in one moment, the leader one of them"
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Nodes(5)]
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let followers = world.cluster.followers().await?;
            let leader = world.cluster.leader().await?;
            let other = followers[world.random.usize(..followers.len())];
            let what = format!("kill -9 of the leader, node-{}, and of node-{}", leader + 1, other + 1);
            let fault = world.fault(MarkKind::Process, what, None);
            world.cluster.kill_together(&[leader, other]).await?;
            world.traffic(60).await?;
            world.everyone_connected().await?;
            for node in [leader, other] {
                world.cluster.start(node).await?;
            }
            world.healed(fault);
            world.traffic(60).await
        })
    }
}
