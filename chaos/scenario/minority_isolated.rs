//! A node with clients is cut off from its peers: it must let them go, so that they are served elsewhere with all they are
//! owed, while it is still alone.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::lines::{any, recovered, served};
use super::{Attack, Scenario};
use crate::record::{Loss, MarkKind};
use crate::world::World;

/// A node that hears nothing of a quorum for 5 s at most lets its clients go (`--isolation-after`); it looks every 100 ms.
const LETS_GO_WITHIN: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(10);

pub(super) struct MinorityIsolated;

impl Scenario for MinorityIsolated {
    fn name(&self) -> &'static str {
        "minority-isolated"
    }

    fn about(&self) -> &'static str {
        "a node with clients is cut off from its peers; it lets them go, and they are resumed elsewhere"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            // The leader in about half of the rounds.
            let leader = world.cluster.leader().await?;
            let node = if world.random.bool() { leader } else { any(world) };
            let name = world.cluster.node(node).name.clone();
            let what = format!("{name} is cut off from all peers; its clients are not");
            let fault = world.lose(MarkKind::Network, what.clone(), node, node == leader, Loss::Isolated);
            world.network.isolate(node);
            lets_go(world, node).await;
            world.everyone_connected().await?;
            served(world, Duration::ZERO, &what).await?;
            world.network.heal();
            world.healed(fault);
            recovered(world).await
        })
    }
}

/// Waits until the node has no client left but those that are just being turned away.
async fn lets_go(world: &mut World, node: usize) {
    let door = world.network.door(node);
    let had = door.connections();
    let until = Instant::now() + LETS_GO_WITHIN;
    while door.connections() > had / 4 {
        if Instant::now() >= until {
            let (name, left) = (world.cluster.node(node).name.clone(), door.connections());
            let within = LETS_GO_WITHIN.as_secs();
            world.violation(format!(
                "{name}, cut off from a quorum, still has {left} of {had} clients after {within} s"
            ));
            return;
        }
        sleep(LOOK).await;
    }
}
