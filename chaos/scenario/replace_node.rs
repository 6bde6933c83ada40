//! A voter dies for good, and a learner takes its place: first by itself, then the dead one is removed by hand.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::record::MarkKind;
use crate::world::{Setup, World};

/// A voter that is dead for 2 s is replaced; this is when it certainly has been.
const REPLACED_WITHIN: Duration = Duration::from_secs(30);

pub(super) struct ReplaceNode;

impl Scenario for ReplaceNode {
    fn name(&self) -> &'static str {
        "replace-node"
    }

    fn about(&self) -> &'static str {
        "a voter dies for good; a learner votes in its place, and the dead one is removed"
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        // Three voters, so that a fourth node is a spare; and one that is quick to vote.
        setup.setting("WEBSOCKET_CLUSTER_VOTERS_MAX", "3");
        setup.setting("WEBSOCKET_CLUSTER_NODE_DOWN_AFTER", "2s");
        setup.setting("WEBSOCKET_CLUSTER_REPLACE_AFTER", "2s");
        Ok(())
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let joins = world.fault(MarkKind::Membership, "a spare node joins", None);
            let spare = world.add_node().await?;
            world.healed(joins);
            let leader = world.cluster.leader().await?;
            let voters: Vec<usize> = world.cluster.up().into_iter().filter(|node| *node != spare).collect();
            let victim = voters[world.random.usize(..voters.len())];
            let fault = world.kill(victim, victim == leader).await?;
            world.retired.insert(victim);
            let id = world.cluster.node(victim).id().unwrap_or_default().to_owned();
            voting_instead(world, spare, &id).await?;
            world.healed(fault);
            world.traffic(40).await?;
            let removes = world.fault(MarkKind::Membership, format!("node-{} is removed", victim + 1), Some(victim));
            world.operate(spare, &["remove", &id]).await?;
            world.healed(removes);
            world.everyone_connected().await?;
            world.traffic(40).await
        })
    }
}

/// Waits until the spare votes and the dead one does not.
async fn voting_instead(world: &World, spare: usize, dead: &str) -> Result<(), HarnessError> {
    let until = Instant::now() + REPLACED_WITHIN;
    let id = world.cluster.node(spare).id().unwrap_or_default().to_owned();
    while Instant::now() < until {
        if let Some(status) = world.cluster.node(spare).status().await {
            let votes = |id: &str| status.nodes.iter().any(|member| member.id == id && member.role != "learner");
            if votes(&id) && !votes(dead) {
                return Ok(());
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    let what = "that a learner votes in the place of the dead voter".to_owned();
    Err(HarnessError::Timeout { what, seconds: REPLACED_WITHIN.as_secs() })
}
