//! Files of one node are damaged while it is down: it refuses to start and says why, or it starts and is right all the same.

use std::time::Duration;

use super::ground::{Started, called, ends, files, lay, pick, replace, try_start, with};
use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::inject::Ground;
use crate::inject::corrupt::{Damage, Part, damage};
use crate::record::MarkKind;
use crate::world::{Setup, World};

/// Damage that a start does not see may be met later: it is waited for a little.
const MET_LATER: Duration = Duration::from_secs(2);
/// Few, so that there is a snapshot to damage.
const SNAPSHOT_ENTRIES: &str = "200";
/// Bytes in a row that are something else, at most.
const BYTES_MAX: usize = 4096;

/// One of several scenarios, which differ in what is damaged and how.
pub(super) struct Damaged {
    name: &'static str,
    about: &'static str,
    parts: &'static [Part],
    how: &'static [Damage],
}

/// Bytes in the middle.
const OVERWRITTEN: &[Damage] =
    &[Damage::FlipBit, Damage::Scribble { bytes_max: BYTES_MAX }, Damage::Zero { bytes_max: BYTES_MAX }];

pub(super) const CORRUPT_LOG: Damaged = Damaged {
    name: "corrupt-log",
    about: "bits or bytes of a stopped node's log are something else: it refuses or repairs, or is replaced",
    parts: &[Part::WriteAheadLog, Part::WriteAheadLog, Part::Tables, Part::Manifest, Part::Marker],
    how: OVERWRITTEN,
};

pub(super) const CORRUPT_SNAPSHOT: Damaged = Damaged {
    name: "corrupt-snapshot",
    about: "bits or bytes of a stopped node's snapshot are something else: it refuses or repairs, or is replaced",
    parts: &[Part::Snapshots],
    how: OVERWRITTEN,
};

pub(super) const TRUNCATED_FILE: Damaged = Damaged {
    name: "truncated-file",
    about: "the end of one of a stopped node's files is missing: it refuses or repairs, or is replaced",
    parts: &[Part::WriteAheadLog, Part::Tables, Part::Manifest, Part::Snapshots, Part::Marker],
    how: &[Damage::Truncate],
};

impl Scenario for Damaged {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        setup.setting("WEBSOCKET_CLUSTER_SNAPSHOT_ENTRIES", SNAPSHOT_ENTRIES);
        lay(setup, Ground::default())
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let is_leader = world.random.bool();
            let node = pick(world, is_leader).await?;
            let who = called(world, node, is_leader);
            // There is something to damage only once something was written.
            world.traffic(200).await?;
            let kill = world.kill(node, is_leader).await?;
            let Some(done) = self.damage(world, node).await? else {
                world.cluster.start(node).await?;
                world.healed(kill);
                return world.traffic(60).await;
            };
            let fault = world.fault(MarkKind::Disk, format!("{who}: {done}"), Some(node));
            world.traffic(30).await?;
            let ended = match try_start(world, node).await? {
                Started::Refused(ended) => Some(ended),
                Started::Serves => ends(world, node, MET_LATER).await,
            };
            if let Some(ended) = ended {
                let data_dir = world.cluster.node(node).data_dir.display().to_string();
                if ended.code != Some(1) || !ended.word.contains(&data_dir) || ended.word.contains("panicked") {
                    let (code, word) = (ended.code, ended.word);
                    world.violation(format!("{who}: {done}; it ended with {code:?} and said only {word:?}"));
                }
                replace(world, node).await?;
            }
            world.healed(kill);
            world.healed(fault);
            world.converged().await?;
            world.everyone_connected().await?;
            world.traffic(60).await
        })
    }
}

impl Damaged {
    /// Damages one file; what was done, or `None` if none of these files is there.
    async fn damage(&self, world: &mut World, node: usize) -> Result<Option<String>, HarnessError> {
        let files = files(world, node)?;
        let mut random = world.random.fork();
        let (mut parts, how) = (self.parts.to_vec(), self.how);
        let act = move || {
            random.shuffle(&mut parts);
            for part in parts {
                let how = random.choice(how).copied().unwrap_or(Damage::FlipBit);
                if let Some(done) = damage(&files, part, how, &mut random)? {
                    return Ok(Some(done));
                }
            }
            Ok(None)
        };
        with(world, move |_| act()).await
    }
}
