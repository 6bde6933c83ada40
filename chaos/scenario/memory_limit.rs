//! One node gets little more memory than it has allocated: it is slow, refuses new clients, or the kernel ends it. Nobody else
//! suffers.

use std::time::Duration;

use super::ground::{called, ends, lay, pick, with};
use super::{Attack, Need, Scenario};
use crate::error::HarnessError;
use crate::inject::cgroup::Group;
use crate::inject::{Below, Ground, InjectError};
use crate::record::MarkKind;
use crate::world::{Setup, World};

/// What it may use beyond what it has allocated, at least: for its caches, its program, and to grow.
const SPARE_BYTES: u64 = 8 << 20;
const LIMITED_FOR: Duration = Duration::from_secs(3);

pub(super) struct MemoryLimit;

impl Scenario for MemoryLimit {
    fn name(&self) -> &'static str {
        "memory-limit"
    }

    fn about(&self) -> &'static str {
        "a control group leaves the leader, then a follower, hardly more memory than it has allocated; later as much as there is"
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Root, Need::Cgroups]
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        lay(setup, Ground { group: true, ..Ground::default() })
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            for is_leader in [true, false] {
                let node = pick(world, is_leader).await?;
                let Some(pid) = world.cluster.node(node).pid() else {
                    return Err(HarnessError::Other("the node to be limited does not run".to_owned()));
                };
                let limit =
                    with(world, move |all| on(all, node, |group| group.squeeze_memory(pid, SPARE_BYTES))).await?;
                let what = format!("{} may use {} MiB of memory", called(world, node, is_leader), limit >> 20);
                let fault = world.fault(MarkKind::Process, what, Some(node));
                // It is ended or not: both are right.
                let _ended = ends(world, node, LIMITED_FOR).await;
                world.traffic(60).await?;
                with(world, move |all| on(all, node, |group| group.limit_memory(None))).await?;
                if ends(world, node, Duration::ZERO).await.is_some() || !world.cluster.node(node).is_up() {
                    world.cluster.start(node).await?;
                }
                world.healed(fault);
                world.converged().await?;
                world.everyone_connected().await?;
                world.traffic(30).await?;
            }
            Ok(())
        })
    }
}

fn on<T: Default>(
    all: &[Below],
    node: usize,
    act: impl FnOnce(&Group) -> Result<T, InjectError>,
) -> Result<T, InjectError> {
    all.get(node).and_then(|below| below.group.as_ref()).map_or(Ok(T::default()), act)
}
