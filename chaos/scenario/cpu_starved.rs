//! One node gets a tenth of a processor: it is late with everything, heartbeats too.

use std::time::Duration;

use super::ground::{called, pick};
use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::inject::cgroup::Starved;
use crate::record::MarkKind;
use crate::world::World;

const RUNS: Duration = Duration::from_millis(10);
const STOPS: Duration = Duration::from_millis(90);
const STARVED_FOR: Duration = Duration::from_secs(4);

pub(super) struct CpuStarved;

impl Scenario for CpuStarved {
    fn name(&self) -> &'static str {
        "cpu-starved"
    }

    fn about(&self) -> &'static str {
        "the leader runs for 10 ms of every 100 ms, then a follower; then they run as before"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            for is_leader in [true, false] {
                let node = pick(world, is_leader).await?;
                let Some(pid) = world.cluster.node(node).pid() else {
                    return Err(HarnessError::Other("the node to be starved does not run".to_owned()));
                };
                let what = format!("{} runs for a tenth of the time", called(world, node, is_leader));
                let fault = world.fault(MarkKind::Process, what, Some(node));
                let starved = Starved::begin(pid, RUNS, STOPS)?;
                world.hold(STARVED_FOR).await;
                world.traffic(30).await?;
                drop(starved);
                world.healed(fault);
                world.converged().await?;
                world.everyone_connected().await?;
                world.traffic(30).await?;
            }
            Ok(())
        })
    }
}
