//! Packets between nodes are on their way for 200 ± 100 ms: another continent, and a bad day.

use std::time::Duration;

use super::lines::under_bad_lines;
use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::proxy::Policy;
use crate::world::{Setup, World};

pub(super) struct Delay;

impl Scenario for Delay {
    fn name(&self) -> &'static str {
        "delay-200"
    }

    fn about(&self) -> &'static str {
        "packets between nodes are on their way for 200 ms, plus or minus 100; an election has to get through"
    }

    /// As docs/operations.md says of nodes far apart: an answer takes up to 600 ms here.
    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        for (name, value) in [
            ("WEBSOCKET_CLUSTER_HEARTBEAT", "700ms"),
            ("WEBSOCKET_CLUSTER_ELECTION_MIN", "2s"),
            ("WEBSOCKET_CLUSTER_ELECTION_MAX", "4s"),
            ("WEBSOCKET_CLUSTER_ISOLATION_AFTER", "9s"),
            ("WEBSOCKET_CLUSTER_NODE_DOWN_AFTER", "12s"),
        ] {
            setup.setting(name, value);
        }
        Ok(())
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        let policy = Policy::delay(Duration::from_millis(200), Duration::from_millis(100));
        Box::pin(under_bad_lines(world, policy, "packets between nodes take 200 ± 100 ms"))
    }
}
