//! An operator hands leadership over, again and again, while messages flow.

use super::{Attack, Scenario};
use crate::record::MarkKind;
use crate::world::World;

pub(super) struct TransferLeadership;

impl Scenario for TransferLeadership {
    fn name(&self) -> &'static str {
        "transfer-leadership"
    }

    fn about(&self) -> &'static str {
        "leadership is handed over three times while messages flow"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            for _ in 0..3 {
                let leader = world.cluster.leader().await?;
                let what = format!("{} hands leadership over", world.cluster.node(leader).name);
                let fault = world.fault(MarkKind::Membership, what, Some(leader));
                world.operate(leader, &["transfer-leadership"]).await?;
                world.converged().await?;
                world.healed(fault);
                world.traffic(40).await?;
            }
            world.everyone_connected().await
        })
    }
}
