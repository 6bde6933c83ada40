//! The connections of clients are reset, again and again: in the middle of messages, of resumes, of replays.

use super::lines::{any, recovered, some_ms};
use super::{Attack, Scenario};
use crate::record::MarkKind;
use crate::world::World;

/// Resets of one round.
const RESETS: usize = 12;

pub(super) struct ClientsReset;

impl Scenario for ClientsReset {
    fn name(&self) -> &'static str {
        "clients-reset"
    }

    fn about(&self) -> &'static str {
        "the connections of clients are reset again and again, in the middle of resumes as well"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            for _ in 0..RESETS {
                let nodes = match world.random.u32(..4) {
                    0 => world.cluster.up(),
                    _ => vec![any(world)],
                };
                let fault = world.fault(MarkKind::Clients, "connections of clients are reset", nodes.first().copied());
                for node in nodes {
                    world.network.door(node).reset_all();
                }
                let pause = some_ms(world, 5..900);
                world.hold(pause).await;
                world.healed(fault);
            }
            recovered(world).await
        })
    }
}
