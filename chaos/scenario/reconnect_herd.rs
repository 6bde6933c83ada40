//! A node dies with thousands of clients, and all of them come back at once on the others.

use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::world::{Setup, World};

pub(super) struct ReconnectHerd;

impl Scenario for ReconnectHerd {
    fn name(&self) -> &'static str {
        "reconnect-herd"
    }

    fn about(&self) -> &'static str {
        "a node with a third of 10,000 clients is killed (3,000 with --quick); all of them come back at once"
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        setup.clients.listeners = if setup.is_quick { 3_000 } else { 10_000 };
        // A file limit of 20,000 is common.
        setup.is_direct = true;
        // Each message reaches a tenth of them.
        setup.clients.rate = setup.clients.rate.min(20);
        Ok(())
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let leader = world.cluster.leader().await?;
            let up = world.cluster.up();
            let node = up[world.random.usize(..up.len())];
            let fault = world.kill(node, node == leader).await?;
            world.everyone_connected().await?;
            world.traffic(40).await?;
            world.cluster.start(node).await?;
            world.healed(fault);
            world.traffic(20).await
        })
    }
}
