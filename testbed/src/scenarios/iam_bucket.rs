//! IAM's budget is one for the whole account, and small.

use std::num::NonZeroU32;
use std::time::Duration;

use super::world::{Plan, World};
use super::{Outcome, Scenario, Size};
use crate::Result;
use crate::deployment::Parameters;
use crate::functions::Packages;
use crate::pipeline::Patience;
use crate::simulated_iam::{self, TokenBucket};

/// What AWS is said to allow, with little to spare above the default of `IamCallsPerSecond`.
const BUCKET: TokenBucket = {
    let rate = NonZeroU32::new(15).expect("it is not zero");
    TokenBucket { rate, burst: rate }
};

/// At ten calls a second, thousands of users take their time.
const PATIENCE: Patience = Patience { overall: Duration::from_hours(2), standstill: Duration::from_mins(5) };

/// Nobody is left out, and nothing is given up.
pub(super) async fn run(size: &Size, packages: &Packages, report: &impl Fn(&str)) -> Result<Outcome> {
    let plan = Plan {
        iam: simulated_iam::Options { limit: Some(BUCKET), ..simulated_iam::Options::default() },
        parameters: Parameters::default().with("Timing", "testbed"),
        ..Plan::default()
    };
    let world = World::start(&plan, size, packages, report).await?;

    world.run(PATIENCE, report).await?;

    let mut outcome = world.outcome(Scenario::IamBucket, 0).await?;
    outcome.promise_that_nothing_is_lost();
    world.promise_that_nothing_is_given_up(&mut outcome).await?;
    outcome.promise_that_nobody_is_mailed_twice();
    Ok(outcome)
}
