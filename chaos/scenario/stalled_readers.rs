//! Clients that stop reading while much is sent to them: the node must not hold it all for them, nor hold anybody else up;
//! the stalled ones catch up, or are let go and resumed with everything, or are told that they are not.

use super::lines::{recovered, served, some_ms};
use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::record::MarkKind;
use crate::world::{Setup, World};

/// What each message carries: more than sockets and outboxes hold in the time of a stall.
const PAYLOAD_BYTES: usize = 8_000;
/// Few rooms, so that each client is owed much.
const ROOMS: u32 = 3;
/// Messages a second, at most.
const RATE_MAX: u32 = 200;
/// Clients that listen, at most: all that is sent goes through this machine.
const LISTENERS_MAX: usize = 24;

pub(super) struct StalledReaders;

impl Scenario for StalledReaders {
    fn name(&self) -> &'static str {
        "stalled-readers"
    }

    fn about(&self) -> &'static str {
        "every third client stops reading for up to 8 s, again and again, while much is sent; memory stays bounded"
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        much_to_read(setup);
        setup.clients.stalled = setup.clients.listeners / 3;
        Ok(())
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let what = "every third client stops reading now and then";
            let fault = world.fault(MarkKind::Clients, what, None);
            let time = some_ms(world, 10_000..14_000);
            served(world, time, what).await?;
            world.healed(fault);
            recovered(world).await
        })
    }
}

/// More is sent to each client than one that does not read can be sent.
pub(super) fn much_to_read(setup: &mut Setup) {
    let clients = &mut setup.clients;
    clients.payload_bytes = clients.payload_bytes.max(PAYLOAD_BYTES);
    clients.rooms = clients.rooms.min(ROOMS);
    clients.rate = clients.rate.min(RATE_MAX);
    clients.listeners = clients.listeners.min(LISTENERS_MAX);
}
