//! One node behind a line of little bandwidth: it falls behind, and must neither hold the others up nor lose anything.

use super::lines::{any, others, recovered, served, some_ms};
use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::proxy::Policy;
use crate::record::MarkKind;
use crate::world::{Setup, World};

/// Less than what is replicated here: some 200 messages a second of 1,000 bytes.
const BYTES_PER_SECOND: std::ops::Range<u64> = 20_000..120_000;

pub(super) struct SlowLink;

impl Scenario for SlowLink {
    fn name(&self) -> &'static str {
        "slow-link"
    }

    fn about(&self) -> &'static str {
        "a node behind a line that carries less than what is replicated falls behind, and catches up"
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        setup.clients.payload_bytes = setup.clients.payload_bytes.max(1_000);
        Ok(())
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let node = any(world);
            let bytes_per_second = world.random.u64(BYTES_PER_SECOND);
            let what = format!("{} is behind {bytes_per_second} bytes per second", world.cluster.node(node).name);
            let fault = world.fault(MarkKind::Network, what.clone(), Some(node));
            let policy = Policy { bytes_per_second: Some(bytes_per_second), ..Policy::default() };
            for other in others(world, &[node]) {
                world.network.set(node, other, policy);
                world.network.set(other, node, policy);
            }
            let time = some_ms(world, 5_000..9_000);
            served(world, time, &what).await?;
            world.network.heal();
            world.healed(fault);
            recovered(world).await
        })
    }
}
