//! Clients that stop reading while much is sent to them: the node must not hold it all for them, nor hold anybody else up;
//! the stalled ones catch up, or are let go and resumed with everything, or are told that they are not.

use std::time::Duration;

use super::lines::{recovered, served, some_ms};
use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::record::MarkKind;
use crate::world::{Setup, World};

/// What each message carries. With one room, each client that stalls is owed some 4 MB a second: within a second or two more than
/// the system's buffers and an outbox hold.
const PAYLOAD_BYTES: usize = 32_000;
/// Messages a second.
const RATE: u32 = 120;
/// Clients that listen: all that is sent goes through this machine.
const LISTENERS: usize = 12;
/// Of them, those that stall.
const STALLED: usize = 8;
/// Longer than a stall: else the stalled are gone before much is owed to them.
const SILENCE_MAX: Duration = Duration::from_secs(20);

pub(super) struct StalledReaders;

impl Scenario for StalledReaders {
    fn name(&self) -> &'static str {
        "stalled-readers"
    }

    fn about(&self) -> &'static str {
        "two of three clients stop reading for up to 8 s, again and again, while much is sent; memory stays bounded"
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        let clients = &mut setup.clients;
        (clients.listeners, clients.stalled, clients.rooms) = (LISTENERS, STALLED, 1);
        (clients.payload_bytes, clients.rate) = (PAYLOAD_BYTES, RATE);
        // The harness's doors would hold much of it themselves.
        setup.is_direct = true;
        setup.patience(SILENCE_MAX);
        Ok(())
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let what = "clients stop reading now and then";
            let fault = world.fault(MarkKind::Clients, what, None);
            let time = some_ms(world, 20_000..25_000);
            served(world, time, what).await?;
            world.healed(fault);
            recovered(world).await
        })
    }
}
