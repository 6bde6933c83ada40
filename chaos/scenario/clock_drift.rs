//! Clocks, the monotonic ones too, run too fast on some nodes and too slowly on others.

use std::time::Duration;

use super::ground::{lay, shim};
use super::{Attack, Need, Scenario};
use crate::error::HarnessError;
use crate::inject::Ground;
use crate::record::MarkKind;
use crate::world::{Setup, World};

const RATES: [f64; 3] = [0.95, 1.0, 1.05];
const DRIFTS_FOR: Duration = Duration::from_secs(5);

pub(super) struct ClockDrift;

impl Scenario for ClockDrift {
    fn name(&self) -> &'static str {
        "clock-drift"
    }

    fn about(&self) -> &'static str {
        "the clocks of some nodes run 5 % too fast, those of others 5 % too slowly, then right again"
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Compiler]
    }

    fn setup(&self, setup: &mut Setup) -> Result<(), HarnessError> {
        lay(setup, Ground { shim: true, ..Ground::default() })
    }

    fn attack<'a>(&'a self, world: &'a mut World) -> Attack<'a> {
        Box::pin(async move {
            for _ in 0..2 {
                let all = world.cluster.up();
                let mut rates = RATES;
                world.random.shuffle(&mut rates);
                let words: Vec<String> = rates.iter().map(ToString::to_string).collect();
                let fault = world.fault(MarkKind::Clock, format!("clocks run at {}", words.join(", ")), None);
                for (&node, rate) in all.iter().zip(rates.into_iter().cycle()) {
                    shim(world, node, |control| control.rates(rate, rate))?;
                }
                world.hold(DRIFTS_FOR).await;
                world.traffic(60).await?;
                for &node in &all {
                    shim(world, node, |control| control.rates(1.0, 1.0))?;
                }
                world.healed(fault);
                world.traffic(30).await?;
            }
            for &node in &world.cluster.up() {
                shim(world, node, |control| control.heal())?;
            }
            world.converged().await?;
            world.everyone_connected().await
        })
    }
}
