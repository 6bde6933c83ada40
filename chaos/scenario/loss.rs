//! Every line between nodes loses 30 % of its packets.

use super::lines::under_bad_lines;
use super::{Attack, Scenario};
use crate::proxy::Policy;
use crate::world::World;

pub(super) struct Loss;

impl Scenario for Loss {
    fn name(&self) -> &'static str {
        "loss-30"
    }

    fn about(&self) -> &'static str {
        "every line between nodes loses 30 % of its packets; an election has to get through"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(under_bad_lines(world, Policy::loss(0.3), "all lines between nodes lose 30 % of their packets"))
    }
}
