//! A deploy: SIGTERM to one node after the other, each back before the next one goes.

use super::{Attack, Scenario};
use crate::record::MarkKind;
use crate::world::World;

pub(super) struct RollingRestart;

impl Scenario for RollingRestart {
    fn name(&self) -> &'static str {
        "rolling-restart"
    }

    fn about(&self) -> &'static str {
        "SIGTERM to one node after the other, each back before the next one goes"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            for node in world.cluster.up() {
                let what = format!("{} is restarted", world.cluster.node(node).name);
                let fault = world.fault(MarkKind::Process, what, Some(node));
                world.cluster.stop(node).await?;
                world.cluster.start(node).await?;
                world.healed(fault);
                world.everyone_connected().await?;
                world.traffic(30).await?;
            }
            Ok(())
        })
    }
}
