//! Nothing is broken: what the others are compared with.

use super::{Attack, Scenario};
use crate::world::World;

pub(super) struct Nothing;

impl Scenario for Nothing {
    fn name(&self) -> &'static str {
        "none"
    }

    fn about(&self) -> &'static str {
        "nothing is broken: what the others are compared with"
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move { world.traffic(200).await })
    }
}
