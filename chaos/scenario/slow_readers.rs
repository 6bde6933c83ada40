//! The clients of one node get through less than what is sent to them, then nothing at all: the others do not notice, the
//! node's memory stays bounded, and the slow ones have everything in the end.

use std::time::Duration;

use super::lines::{any, recovered, served, some_ms};
use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::record::MarkKind;
use crate::world::{Setup, World};

/// What each connection carries; some 500,000 bytes a second are owed to it.
const BYTES_PER_SECOND: std::ops::Range<u64> = 20_000..200_000;

/// What each message carries: more than sockets and outboxes hold in the time of a stall.
const PAYLOAD_BYTES: usize = 8_000;
/// Few rooms, so that each client is owed much.
const ROOMS: u32 = 3;
/// Messages a second, at most.
const RATE_MAX: u32 = 200;
/// Clients that listen, at most: all that is sent goes through this machine.
const LISTENERS_MAX: usize = 24;

pub(super) struct SlowReaders;

impl Scenario for SlowReaders {
    fn name(&self) -> &'static str {
        "slow-readers"
    }

    fn about(&self) -> &'static str {
        "one node's clients get less than what is sent to them, then nothing; others are not held up, memory stays bounded"
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        let clients = &mut setup.clients;
        clients.payload_bytes = clients.payload_bytes.max(PAYLOAD_BYTES);
        clients.rooms = clients.rooms.min(ROOMS);
        clients.rate = clients.rate.min(RATE_MAX);
        clients.listeners = clients.listeners.min(LISTENERS_MAX);
        Ok(())
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let node = any(world);
            let name = world.cluster.node(node).name.clone();
            let door = world.network.door(node);
            let bytes_per_second = world.random.u64(BYTES_PER_SECOND);
            let what = format!("each client of {name} gets {bytes_per_second} bytes per second");
            let fault = world.fault(MarkKind::Clients, what.clone(), Some(node));
            door.bandwidth(Some(bytes_per_second));
            door.delay(Duration::from_millis(20));
            let time = some_ms(world, 4_000..8_000);
            served(world, time, &what).await?;
            door.heal();
            world.healed(fault);

            let what = format!("no client of {name} gets anything");
            let fault = world.fault(MarkKind::Clients, what.clone(), Some(node));
            door.stall(true);
            let time = some_ms(world, 1_000..7_000);
            served(world, time, &what).await?;
            door.heal();
            world.healed(fault);
            recovered(world).await
        })
    }
}
