//! Two groups that hear each other only through one node: whoever leads, a quorum is in reach, and no two nodes take the
//! leadership from each other for as long as it lasts.

use super::lines::{names, recovered, served, shuffled, some_ms};
use super::{Attack, Scenario};
use crate::record::MarkKind;
use crate::world::World;

pub(super) struct PartitionBridge;

impl Scenario for PartitionBridge {
    fn name(&self) -> &'static str {
        "partition-bridge"
    }

    fn about(&self) -> &'static str {
        "two groups of nodes that reach each other only through one node"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let nodes = shuffled(world);
            let Some((bridge, rest)) = nodes.split_first() else { return Ok(()) };
            let (some, more) = rest.split_at(rest.len() / 2);
            let (bridge, some, more) = (names(world, &[*bridge]), some.to_vec(), more.to_vec());
            let what = format!("{} and {} are parted but for {bridge}", names(world, &some), names(world, &more));
            let fault = world.fault(MarkKind::Network, what.clone(), None);
            world.network.cut(&some, &more);
            let time = some_ms(world, 4_000..10_000);
            served(world, time, &what).await?;
            world.network.heal();
            world.healed(fault);
            recovered(world).await
        })
    }
}
