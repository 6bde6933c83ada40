//! An old copy of a node's data directory is put back: it has forgotten what the node acknowledged since, votes too. It must be
//! refused.

use super::ground::{Ended, Started, called, files, lay, pick, replace, try_start, with};
use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::inject::Ground;
use crate::inject::corrupt::copy;
use crate::record::MarkKind;
use crate::world::{Setup, World};

pub(super) struct StaleDataDir;

impl Scenario for StaleDataDir {
    fn name(&self) -> &'static str {
        "stale-data-dir"
    }

    fn about(&self) -> &'static str {
        "a copy of a stopped node's data directory is put back later: it is refused, and the node replaced"
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        setup.setting("WEBSOCKET_CLUSTER_SNAPSHOT_ENTRIES", "200");
        lay(setup, Ground::default())
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let is_leader = world.random.bool();
            let node = pick(world, is_leader).await?;
            let who = called(world, node, is_leader);
            let data_dir = files(world, node)?;
            let aside = data_dir.with_extension("aside");
            let fault = world.fault(MarkKind::Process, format!("{who}, is stopped, and its disk copied"), Some(node));
            world.cluster.stop(node).await?;
            let (from, to) = (data_dir.clone(), aside.clone());
            with(world, move |_| copy(&from, &to)).await?;
            world.cluster.start(node).await?;
            world.healed(fault);
            world.traffic(100).await?;
            let is_leader = world.cluster.leader().await? == node;
            let kill = world.kill(node, is_leader).await?;
            let fault =
                world.fault(MarkKind::Disk, format!("an old copy of the disk of {who}, is put back"), Some(node));
            with(world, move |_| copy(&aside, &data_dir)).await?;
            world.traffic(30).await?;
            match try_start(world, node).await? {
                Started::Refused(Ended { code: Some(1), word }) if word.contains("copy") => {}
                Started::Refused(Ended { code, word }) => {
                    world.violation(format!("{who}, with an old copy: it ended with {code:?} and said only {word:?}"));
                }
                Started::Serves => {
                    world.violation(format!("{who}, with an old copy of its disk: it serves"));
                    world.cluster.stop(node).await?;
                }
            }
            replace(world, node).await?;
            world.healed(kill);
            world.healed(fault);
            world.converged().await?;
            world.everyone_connected().await?;
            world.traffic(60).await
        })
    }
}
