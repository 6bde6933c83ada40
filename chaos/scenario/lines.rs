//! What the scenarios of the network have in common: choosing sides, and the clock on being served.

use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::HarnessError;
use crate::proxy::Policy;
use crate::record::MarkKind;
use crate::world::World;

/// While a quorum of nodes hears each other, messages are acknowledged again within this, whatever else is cut and however slow the
/// lines are. How long it really took is in the report (the figure for asymmetric partitions in docs/reliability.md): a busy
/// machine breaks no promise.
pub(super) const SERVES_WITHIN: Duration = Duration::from_secs(30);
/// Messages that make a service. More than what may be on its way when a line is cut.
const MESSAGES: u64 = 40;

/// All nodes but these.
pub(super) fn others(world: &World, these: &[usize]) -> Vec<usize> {
    (0..world.cluster.nodes().len()).filter(|node| !these.contains(node)).collect()
}

/// Any node.
pub(super) fn any(world: &mut World) -> usize {
    world.random.usize(..world.cluster.nodes().len())
}

/// All nodes, in any order.
pub(super) fn shuffled(world: &mut World) -> Vec<usize> {
    let mut nodes: Vec<usize> = (0..world.cluster.nodes().len()).collect();
    world.random.shuffle(&mut nodes);
    nodes
}

/// As many nodes as the others can do without, this one among them.
pub(super) fn minority_with(world: &mut World, node: usize) -> Vec<usize> {
    let mut nodes = shuffled(world);
    nodes.retain(|other| *other != node);
    nodes.insert(0, node);
    nodes.truncate((world.cluster.nodes().len() - 1) / 2);
    nodes
}

/// A length of time in milliseconds.
pub(super) fn some_ms(world: &mut World, range: Range<u64>) -> Duration {
    Duration::from_millis(world.random.u64(range))
}

/// The names of nodes, for the time line.
pub(super) fn names(world: &World, nodes: &[usize]) -> String {
    let names: Vec<&str> = nodes.iter().map(|node| world.cluster.node(*node).name.as_str()).collect();
    names.join(", ")
}

/// For as long as this, and until they are once more: messages are acknowledged, never with a longer break than
/// [`SERVES_WITHIN`]; a longer one is a broken promise.
pub(super) async fn served(world: &mut World, time: Duration, under: &str) -> Result<(), HarnessError> {
    let until = Instant::now() + time;
    loop {
        let began = Instant::now();
        world.traffic(MESSAGES).await?;
        let took = began.elapsed();
        world.took(took, under);
        if took > SERVES_WITHIN {
            let ms = took.as_millis();
            world.violation(format!("{under}: {MESSAGES} messages took {ms} ms; the bound is {SERVES_WITHIN:?}"));
        }
        if Instant::now() >= until {
            return Ok(());
        }
    }
}

/// After a fault of the network is over: everybody is back, and messages flow.
pub(super) async fn recovered(world: &mut World) -> Result<(), HarnessError> {
    world.converged().await?;
    world.everyone_connected().await?;
    world.traffic(MESSAGES).await
}

/// All lines between nodes are bad for a while; meanwhile the leader is cut off, so that an election has to get through
/// and the old leader has to catch up.
pub(super) async fn under_bad_lines(world: &mut World, policy: Policy, what: &str) -> Result<(), HarnessError> {
    let bad = world.fault(MarkKind::Network, what, None);
    world.network.set_all(policy);
    let time = some_ms(world, 2_000..6_000);
    served(world, time, what).await?;
    let leader = world.cluster.leader().await?;
    let under = format!("{what}, and {}, the leader, is cut off", world.cluster.node(leader).name);
    let cut = world.fault(MarkKind::Network, under.clone(), Some(leader));
    world.network.isolate(leader);
    let time = some_ms(world, 500..3_000);
    served(world, time, &under).await?;
    world.network.set_all(policy);
    world.healed(cut);
    recovered(world).await?;
    world.network.heal();
    world.healed(bad);
    recovered(world).await
}
