//! A deploy: SIGTERM to one node after the other, each back before the next one goes. Nobody may be lost, and the clients move
//! a few at a time.

use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::record::MarkKind;
use crate::world::{Setup, World};

/// A node's clients, a third of all, are moved within about so many seconds.
const SECONDS_EACH: usize = 7;
/// The same where one round is to be short.
const QUICK_SECONDS_EACH: usize = 1;
/// Clients of which a share says something.
const COUNTED_FROM: usize = 200;
/// An official client with its defaults is away for a second or two: 2 of 7 seconds' worth of a third of all, and some slack.
const MOVING_MAX: f64 = 0.15;
/// So many clients go to the nodes themselves: with a proxy in between each takes three sockets.
const DIRECT_FROM: usize = 4_000;
/// One room for so many clients, from some size on.
const CLIENTS_PER_ROOM: usize = 50;

pub(super) struct RollingRestart;

impl Scenario for RollingRestart {
    fn name(&self) -> &'static str {
        "rolling-restart"
    }

    fn about(&self) -> &'static str {
        "SIGTERM to one node after the other, each back before the next one goes; clients move a few at a time"
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        let clients =
            setup.clients.listeners + setup.clients.official.as_ref().map_or(0, |plan| plan.defaults + plan.eager);
        let seconds = if setup.is_quick { QUICK_SECONDS_EACH } else { SECONDS_EACH };
        let rate = clients.div_ceil(setup.launches.len() * seconds).max(1);
        setup.setting("WEBSOCKET_DRAIN_RATE", &format!("{rate}/s"));
        setup.setting("WEBSOCKET_DRAIN_TIMEOUT", "25s");
        setup.is_direct = clients >= DIRECT_FROM;
        setup.clients.rooms = setup.clients.rooms.max(u32::try_from(clients / CLIENTS_PER_ROOM).unwrap_or(u32::MAX));
        setup.moving_max = (!setup.is_quick && clients >= COUNTED_FROM).then_some(MOVING_MAX);
        Ok(())
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            for node in world.cluster.up() {
                let what = format!("{} is restarted", world.cluster.node(node).name);
                let fault = world.fault(MarkKind::Process, what, Some(node));
                world.cluster.stop(node).await?;
                world.cluster.start(node).await?;
                world.healed(fault);
                world.everyone_connected().await?;
                world.traffic(30).await?;
            }
            Ok(())
        })
    }
}
