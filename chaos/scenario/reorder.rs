//! Packets between nodes overtake each other.

use super::lines::under_bad_lines;
use super::{Attack, Scenario};
use crate::proxy::Policy;
use crate::world::World;

pub(super) struct Reorder;

impl Scenario for Reorder {
    fn name(&self) -> &'static str {
        "reorder"
    }

    fn about(&self) -> &'static str {
        "a third of the packets between nodes are overtaken by later ones"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(under_bad_lines(
            world,
            Policy { reorder: 0.33, ..Policy::default() },
            "a third of all packets between nodes is overtaken",
        ))
    }
}
