//! Clients that stop reading while much is sent to them: the node must not hold it all for them, nor hold anybody else up;
//! the stalled ones catch up, or are let go and resumed with everything, or are told that they are not.

use std::ops::Range;
use std::time::Duration;

use super::lines::{recovered, served, some_ms};
use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::record::MarkKind;
use crate::world::{Setup, World};

/// What each message carries. With one room, each client that stalls is owed some 9 MB a second: within a second more than the
/// system's buffers and an outbox hold, and within a long stall more than a node may come to.
const PAYLOAD_BYTES: usize = 64_000;
/// Messages a second.
const RATE: u32 = 150;
/// What is kept for replays: else it would hold what an outbox without a bound holds, and nobody would see a difference.
/// Who stalls for a second or two catches up from it; who stalls for longer is told that something is missing.
const HISTORY_BYTES_MAX: u64 = 16 << 20;
/// What a node takes without its clients: less than elsewhere, where more is kept and whole snapshots are under way; else an
/// outbox without a bound would fit in.
const BASE_BYTES: u64 = 192 << 20;
/// Clients that listen: all that is sent goes through this machine.
const LISTENERS: usize = 12;
/// Of them, those that stall, and for how long, in milliseconds.
const STALLED: usize = 8;
const STALL_MS: Range<u64> = 200..25_000;
/// By how much nodes may grow in a long run, in percent.
const CREEP_PERCENT_MAX: f64 = 5.0;
/// Longer than a stall: else the stalled are gone before much is owed to them.
const SILENCE_MAX: Duration = Duration::from_secs(60);

pub(super) struct StalledReaders;

impl Scenario for StalledReaders {
    fn name(&self) -> &'static str {
        "stalled-readers"
    }

    fn about(&self) -> &'static str {
        "two of three clients stop reading for up to 25 s, again and again, while much is sent; memory stays bounded"
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        let clients = &mut setup.clients;
        (clients.listeners, clients.stalled, clients.rooms) = (LISTENERS, STALLED, 1);
        (clients.payload_bytes, clients.rate, clients.stall_ms) = (PAYLOAD_BYTES, RATE, STALL_MS);
        // Sessions that come and go are events, which are kept for an hour: what is to be seen here is not how those fill up.
        (clients.registrars, clients.usurpers) = (0, 0);
        // The harness's doors would hold much of it themselves.
        setup.is_direct = true;
        setup.patience(SILENCE_MAX);
        setup.history(HISTORY_BYTES_MAX);
        setup.memory.base_bytes = BASE_BYTES;
        // Such a history is full within seconds.
        setup.memory.creep_percent_max = Some(CREEP_PERCENT_MAX);
        Ok(())
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let what = "clients stop reading now and then";
            let fault = world.fault(MarkKind::Clients, what, None);
            let time = some_ms(world, 30_000..40_000);
            served(world, time, what).await?;
            world.healed(fault);
            recovered(world).await
        })
    }
}
