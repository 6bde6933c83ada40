//! SIGSTOP of a node that does not lead, for longer than its clients wait for it; then SIGCONT.

use std::time::Duration;

use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::record::{Loss, MarkKind};
use crate::world::World;

/// Longer than a client's patience, which is 4 s here; shorter or longer than it takes to be declared down, 6 s.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 4_500..=9_000;

pub(super) struct PauseFollower;

impl Scenario for PauseFollower {
    fn name(&self) -> &'static str {
        "pause-follower"
    }

    fn about(&self) -> &'static str {
        "SIGSTOP of a node that does not lead until its clients have gone elsewhere; then it wakes up"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let followers = world.cluster.followers().await?;
            let node = followers[world.random.usize(..followers.len())];
            pause(world, node, false).await
        })
    }
}

/// Freezes a node, and wakes it up.
pub(super) async fn pause(world: &mut World, node: usize, is_leader: bool) -> Result<(), HarnessError> {
    let pause = Duration::from_millis(world.random.u64(PAUSE_MS));
    let what = format!("{} is frozen for {} ms", world.cluster.node(node).name, pause.as_millis());
    let fault = world.lose(MarkKind::Process, what, node, is_leader, Loss::Frozen);
    world.cluster.pause(node)?;
    world.hold(pause).await;
    world.cluster.unpause(node)?;
    world.healed(fault);
    world.everyone_connected().await?;
    world.traffic(60).await
}
