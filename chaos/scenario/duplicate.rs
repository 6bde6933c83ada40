//! Packets between nodes arrive twice, and not in a row.

use super::lines::under_bad_lines;
use super::{Attack, Scenario};
use crate::proxy::Policy;
use crate::world::World;

pub(super) struct Duplicate;

impl Scenario for Duplicate {
    fn name(&self) -> &'static str {
        "duplicate"
    }

    fn about(&self) -> &'static str {
        "half of the packets between nodes arrive twice, out of order"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(under_bad_lines(
            world,
            Policy { duplicate: 0.5, reorder: 0.2, ..Policy::default() },
            "half of all packets between nodes arrive twice",
        ))
    }
}
