//! The connections of a node's clients swallow everything, and nobody is told: both sides must find out by their pings, the
//! clients are resumed, and the node keeps nothing of the dead ones.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::lines::{any, recovered, served};
use super::{Attack, Scenario};
use crate::record::MarkKind;
use crate::world::World;

/// Ping interval and time-out are 4 s here, together, for a client as for a node.
const NOTICED_WITHIN: Duration = Duration::from_secs(7);
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct ClientsHalfOpen;

impl Scenario for ClientsHalfOpen {
    fn name(&self) -> &'static str {
        "clients-half-open"
    }

    fn about(&self) -> &'static str {
        "a node's clients vanish without a word, and the node vanishes for them; both find out by their pings"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let node = any(world);
            let name = world.cluster.node(node).name.clone();
            let what = format!("all connections of clients to {name} are half open");
            let fault = world.fault(MarkKind::Clients, what.clone(), Some(node));
            let door = world.network.door(node);
            door.half_open();
            let until = Instant::now() + NOTICED_WITHIN;
            while door.half_open_left() > 0 && Instant::now() < until {
                sleep(LOOK).await;
            }
            let left = door.half_open_left();
            if left > 0 {
                let within = NOTICED_WITHIN.as_secs();
                world.violation(format!("{left} half-open connections to {name} were not given up within {within} s"));
            }
            world.healed(fault);
            served(world, Duration::ZERO, &what).await?;
            recovered(world).await
        })
    }
}
