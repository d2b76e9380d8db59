//! Every fifth call to AWS fails, in every way there is, and every two seconds a function is killed.

use std::time::Duration;

use super::world::{Plan, World, quick};
use super::{Outcome, Scenario, Size};
use crate::Result;
use crate::faults::FaultPlan;
use crate::functions::Packages;
use crate::killer::Killer;
use crate::pipeline::Patience;

const KILL_INTERVAL: Duration = Duration::from_secs(2);

/// A call may be tried again after seconds, a lost outcome after a lease. On a slow machine a killed function's successor
/// may be killed, too, before it has done anything, again and again.
const PATIENCE: Patience = Patience { overall: Duration::from_hours(2), standstill: Duration::from_mins(15) };

/// All are mailed in the end, and nobody twice but where SES may have taken a mail and the answer was lost.
pub(super) async fn run(size: &Size, packages: &Packages, report: &impl Fn(&str)) -> Result<Outcome> {
    let plan = Plan { faults: Some(FaultPlan::chaos(size.seed)), parameters: quick(), ..Plan::default() };
    let world = World::start(&plan, size, packages, report).await?;
    let mut killer = None;

    // Not before: Lambda starts a run three times at most, and three kills of the only process there is would be a matter
    // for its dead-letter queue.
    let endpoint = world.emulator.endpoint();
    let start_killing = || killer = Some(Killer::start(&endpoint, KILL_INTERVAL, size.seed));
    world.run_and(PATIENCE, report, start_killing).await?;

    let kills = killer.as_ref().map_or(0, Killer::kills);
    let mut outcome = world.outcome(Scenario::Chaos, kills).await?;
    outcome.promise_that_nothing_is_lost();
    world.promise_that_nothing_is_given_up(&mut outcome).await?;
    outcome.promise_that_nobody_is_mailed_twice();
    Ok(outcome)
}
