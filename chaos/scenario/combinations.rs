//! Several faults at a time, drawn from the seed: kills, pauses, partitions, bad lines, resets, in any order and overlap.

use super::lines::{any, minority_with, names, others, recovered, some_ms};
use super::{Attack, Scenario};
use crate::error::HarnessError;
use crate::proxy::Policy;
use crate::record::MarkKind;
use crate::world::{FaultId, World};

/// Faults of one round.
const FAULTS: usize = 8;
/// That are on at a time.
const AT_A_TIME_MAX: usize = 3;

/// How a fault ends.
enum Cure {
    Start(usize),
    Unpause(usize),
    /// All lines and doors: the network's faults end together.
    Heal,
}

pub(super) struct Combinations;

impl Scenario for Combinations {
    fn name(&self) -> &'static str {
        "combinations"
    }

    fn about(&self) -> &'static str {
        "several faults at a time, drawn from the seed: kills, pauses, partitions, bad lines, resets"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            let mut on: Vec<(FaultId, Cure)> = Vec::new();
            for _ in 0..FAULTS {
                if on.len() >= AT_A_TIME_MAX {
                    let ends = world.random.usize(..on.len());
                    let (fault, cure) = on.swap_remove(ends);
                    end(world, fault, &cure)?;
                }
                let begun = begin(world).await?;
                on.push(begun);
                let time = some_ms(world, 200..2_500);
                world.hold(time).await;
            }
            for (fault, cure) in on {
                end(world, fault, &cure)?;
            }
            world.network.heal();
            for node in 0..world.cluster.nodes().len() {
                world.cluster.ready(node).await?;
            }
            recovered(world).await
        })
    }
}

async fn begin(world: &mut World) -> Result<(FaultId, Cure), HarnessError> {
    let node = any(world);
    let name = world.cluster.node(node).name.clone();
    let is_up = world.cluster.node(node).is_up();
    let (kind, what, cure) = match world.random.u32(..8) {
        0 if is_up => (MarkKind::Process, format!("kill -9 of {name}"), Cure::Start(node)),
        1 if is_up => (MarkKind::Process, format!("{name} is frozen"), Cure::Unpause(node)),
        2 => {
            world.network.isolate(node);
            (MarkKind::Network, format!("{name} is cut off from all peers"), Cure::Heal)
        }
        3 => {
            let (few, other) = (minority_with(world, node), any(world));
            let many = others(world, &few);
            world.network.cut(&few, &many);
            world.network.cut_one_way(other, node);
            (MarkKind::Network, format!("{} and {} are parted", names(world, &few), names(world, &many)), Cure::Heal)
        }
        4 => {
            let other = any(world);
            world.network.cut_one_way(node, other);
            (MarkKind::Network, format!("nothing gets from {name} to {}", names(world, &[other])), Cure::Heal)
        }
        5 => {
            let policy = bad(world);
            world.network.set_all(policy);
            (MarkKind::Network, format!("between nodes: {policy:?}"), Cure::Heal)
        }
        6 => {
            world.network.door(node).half_open();
            (MarkKind::Clients, format!("all connections of clients to {name} are half open"), Cure::Heal)
        }
        _ => {
            world.network.door(node).reset_all();
            (MarkKind::Clients, format!("all connections of clients to {name} are reset"), Cure::Heal)
        }
    };
    let fault = world.fault(kind, what, Some(node));
    match cure {
        Cure::Start(node) => world.cluster.kill(node).await?,
        Cure::Unpause(node) => world.cluster.pause(node)?,
        Cure::Heal => {}
    }
    Ok((fault, cure))
}

fn end(world: &mut World, fault: FaultId, cure: &Cure) -> Result<(), HarnessError> {
    match cure {
        Cure::Start(node) => world.cluster.spawn(*node)?,
        Cure::Unpause(node) => world.cluster.unpause(*node)?,
        Cure::Heal => world.network.heal(),
    }
    world.healed(fault);
    Ok(())
}

/// A policy that lets something through.
fn bad(world: &mut World) -> Policy {
    let mut share = |max: f64| if world.random.bool() { world.random.f64() * max } else { 0.0 };
    let (loss, reorder, duplicate) = (share(0.3), share(0.3), share(0.5));
    let delay = some_ms(world, 0..30);
    Policy { loss, reorder, duplicate, delay, jitter: delay / 2, ..Policy::default() }
}
