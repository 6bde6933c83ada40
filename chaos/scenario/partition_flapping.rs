//! A line that comes and goes: single lines, whole nodes and halves are cut for moments, again and again.

use super::lines::{any, minority_with, names, others, recovered, some_ms};
use super::{Attack, Scenario};
use crate::record::MarkKind;
use crate::world::World;

/// Cuts of one round.
const CUTS: usize = 12;

pub(super) struct PartitionFlapping;

impl Scenario for PartitionFlapping {
    fn name(&self) -> &'static str {
        "partition-flapping"
    }

    fn about(&self) -> &'static str {
        "lines between nodes that are cut for moments, again and again"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            for _ in 0..CUTS {
                let node = any(world);
                let few = match world.random.bool() {
                    true => vec![node],
                    false => minority_with(world, node),
                };
                let many = others(world, &few);
                let what = format!("{} and {} are parted for a moment", names(world, &few), names(world, &many));
                let fault = world.fault(MarkKind::Network, what, Some(node));
                world.network.cut(&few, &many);
                let (apart, together) = (some_ms(world, 50..1_000), some_ms(world, 20..600));
                world.hold(apart).await;
                world.network.heal();
                world.healed(fault);
                world.hold(together).await;
            }
            recovered(world).await
        })
    }
}
