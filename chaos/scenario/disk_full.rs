//! No room left on a node's disk: it stops and says so, and with room again it is a member as before.

use super::ground::{called, lay, must_stop, pick, with};
use super::{Attack, Need, Scenario};
use crate::error::HarnessError;
use crate::inject::{Disk, Ground, InjectError};
use crate::record::MarkKind;
use crate::world::{Setup, World};

/// Room that the nodes find before a round: enough for it, and less than the database would reserve for itself, which a disk that
/// is filled up afterwards would not take away.
const ROOM_BYTES: u64 = 12 << 20;

pub(super) struct DiskFull;

impl Scenario for DiskFull {
    fn name(&self) -> &'static str {
        "disk-full"
    }

    fn about(&self) -> &'static str {
        "the leader's disk is full to the last byte, then a follower's; later there is room again"
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::UserNamespaces]
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        lay(setup, Ground { disk: Disk::Small(ROOM_BYTES), ..Ground::default() })
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            for is_leader in [true, false] {
                let node = pick(world, is_leader).await?;
                with(world, |all| {
                    all.iter()
                        .filter_map(|below| below.small_disk.as_ref())
                        .try_for_each(|disk| disk.make_room(ROOM_BYTES))
                })
                .await?;
                let what = format!("the disk of {} is full", called(world, node, is_leader));
                let fault = world.fault(MarkKind::Disk, &what, Some(node));
                with(world, move |all| on(all, node, |disk| disk.fill())).await?;
                must_stop(world, node, &what, &["No space left on device"]).await;
                world.traffic(60).await?;
                world.everyone_connected().await?;
                with(world, move |all| on(all, node, |disk| disk.free())).await?;
                world.cluster.start(node).await?;
                world.healed(fault);
                world.traffic(30).await?;
            }
            Ok(())
        })
    }
}

fn on(
    all: &[crate::inject::Below],
    node: usize,
    act: impl FnOnce(&crate::inject::small_disk::SmallDisk) -> Result<(), InjectError>,
) -> Result<(), InjectError> {
    all.get(node).and_then(|below| below.small_disk.as_ref()).map_or(Ok(()), act)
}
