//! A node comes back with an empty disk: it has forgotten its votes, so that it must not come back as who it was, and must never
//! form a cluster of its own.

use super::ground::{Ended, Started, called, lay, pick, remove, start_as_another, try_start, wipe};
use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::inject::Ground;
use crate::record::MarkKind;
use crate::world::{Setup, World};

pub(super) struct WipedDisk;

impl Scenario for WipedDisk {
    fn name(&self) -> &'static str {
        "wiped-disk"
    }

    fn about(&self) -> &'static str {
        "a node comes back with an empty disk: refused under its old name, then removed, and back under a new id"
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        lay(setup, Ground::default())
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let is_leader = world.random.bool();
            let node = pick(world, is_leader).await?;
            let who = called(world, node, is_leader);
            let kill = world.kill(node, is_leader).await?;
            let fault = world.fault(MarkKind::Disk, format!("the disk of {who}, is empty"), Some(node));
            wipe(world, node).await?;
            world.traffic(30).await?;
            // It asks to be `node-N`, as it was; the member of that name is still there.
            match try_start(world, node).await? {
                Started::Refused(Ended { code: Some(1), word }) if word.contains("is the name of node") => {
                    // What it has begun to write is no node's.
                    wipe(world, node).await?;
                }
                Started::Refused(Ended { code, word }) => {
                    world
                        .violation(format!("{who}, with an empty disk: it ended with {code:?} and said only {word:?}"));
                }
                Started::Serves => {
                    world.violation(format!("{who}, with an empty disk: it serves under the name of a member"));
                    world.cluster.stop(node).await?;
                }
            }
            remove(world, node).await?;
            wipe(world, node).await?;
            start_as_another(world, node).await?;
            world.healed(kill);
            world.healed(fault);
            world.converged().await?;
            world.everyone_connected().await?;
            world.traffic(60).await
        })
    }
}
