//! Lines are cut in single directions at random, but for those within one quorum: that quorum must serve, whoever led and
//! whatever the others shout at it or do not hear.

use super::lines::{names, recovered, served, shuffled, some_ms};
use super::{Attack, Scenario};
use crate::record::MarkKind;
use crate::world::World;

/// Topologies of one round.
const TOPOLOGIES: usize = 3;

pub(super) struct AsymmetricTopologies;

impl Scenario for AsymmetricTopologies {
    fn name(&self) -> &'static str {
        "asymmetric-topologies"
    }

    fn about(&self) -> &'static str {
        "lines are cut in single directions at random; a quorum that hears each other serves again"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            for _ in 0..TOPOLOGIES {
                let nodes = shuffled(world);
                let quorum = &nodes[..nodes.len() / 2 + 1];
                let mut cuts = Vec::new();
                for &from in &nodes {
                    for &to in &nodes {
                        let is_within = quorum.contains(&from) && quorum.contains(&to);
                        if from != to && !is_within && world.random.u32(..3) > 0 {
                            cuts.push((from, to));
                        }
                    }
                }
                let words: Vec<String> = cuts.iter().map(|(from, to)| format!("{}→{}", from + 1, to + 1)).collect();
                let what = format!("{} hear each other; cut: {}", names(world, quorum), words.join(" "));
                let fault = world.fault(MarkKind::Network, what.clone(), None);
                for (from, to) in cuts {
                    world.network.cut_one_way(from, to);
                }
                let time = some_ms(world, 1_000..6_000);
                served(world, time, &what).await?;
                world.network.heal();
                world.healed(fault);
                recovered(world).await?;
            }
            Ok(())
        })
    }
}
