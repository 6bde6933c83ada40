//! Nodes come and go for good while messages flow.

use super::{Attack, Scenario};
use crate::record::MarkKind;
use crate::world::World;

pub(super) struct JoinAndLeave;

impl Scenario for JoinAndLeave {
    fn name(&self) -> &'static str {
        "join-and-leave"
    }

    fn about(&self) -> &'static str {
        "a node joins, then another one leaves for good; the next round it is the leader that leaves"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let joins = world.fault(MarkKind::Membership, "a node joins", None);
            let joined = world.add_node().await?;
            world.healed(joins);
            world.traffic(40).await?;
            let leader = world.cluster.leader().await?;
            let others: Vec<usize> =
                world.cluster.up().into_iter().filter(|node| ![leader, joined].contains(node)).collect();
            let leaver = if world.random.bool() { leader } else { others[world.random.usize(..others.len())] };
            let what = format!("{} leaves for good", world.cluster.node(leaver).name);
            let leaves = world.fault(MarkKind::Membership, what, Some(leaver));
            world.retired.insert(leaver);
            world.operate(leaver, &["leave"]).await?;
            world.cluster.gone(leaver).await?;
            world.healed(leaves);
            world.everyone_connected().await?;
            world.traffic(40).await
        })
    }
}
