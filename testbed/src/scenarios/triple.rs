//! Every message is delivered three times: twice at once, and again while the first may still be worked on, or is done.

use super::world::{Plan, World, quick};
use super::{Outcome, Scenario, Size};
use crate::Result;
use crate::functions::Packages;
use crate::pipeline::Patience;

const DELIVERIES: u32 = 3;

/// One mail each.
pub(super) async fn run(size: &Size, packages: &Packages, report: &impl Fn(&str)) -> Result<Outcome> {
    let plan = Plan { deliveries_per_message: DELIVERIES, parameters: quick(), ..Plan::default() };
    let world = World::start(&plan, size, packages, report).await?;

    world.run(Patience::default(), report).await?;

    let mut outcome = world.outcome(Scenario::Triple, 0).await?;
    outcome.promise_that_nothing_is_lost();
    world.promise_that_nothing_is_given_up(&mut outcome).await?;
    outcome.promise_that_nobody_is_mailed_twice();
    Ok(outcome)
}
