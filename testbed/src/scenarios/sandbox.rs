//! SES allows one mail a second and two hundred a day, as in its sandbox. Days pass quickly here.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time;

use super::world::{Plan, World};
use super::{Outcome, Scenario, Size};
use crate::Result;
use crate::deployment::Parameters;
use crate::functions::Packages;
use crate::pipeline::Patience;
use crate::simulated_ses::{self, Sends, SimulatedSes, TokenBucket};

/// SES lets an account exceed its rate for a moment (developer guide, "Sending quotas"). Two notifiers at half the rate
/// each may send in the same second, and no more than that is allowed for here.
const RATE: TokenBucket =
    TokenBucket { rate: NonZeroU32::MIN, burst: NonZeroU32::new(2).expect("it is not zero") };
const PER_DAY: u32 = 200;
const DAY: Duration = Duration::from_hours(24);
/// As many as the template has by default. Each takes an equal part of what is left of the quota, so that
/// fewer mails than there are notifiers are not sent on a day.
const NOTIFIERS: u64 = 2;
/// How long a day on which nothing more can be sent is left to last.
const REST_OF_THE_DAY: Duration = Duration::from_secs(5);

/// Mails leave at one a second.
const PATIENCE: Patience = Patience { overall: Duration::from_hours(2), standstill: Duration::from_mins(5) };

/// All are mailed in the end, and no notifier sends faster than its share of the rate. How many mails SES
/// throttles all the same is the machine's matter: a mail that is late comes too soon before the next one.
pub(super) async fn run(size: &Size, packages: &Packages, report: &impl Fn(&str)) -> Result<Outcome> {
    let plan = Plan {
        ses: simulated_ses::Options { rate: Some(RATE), per_day: Some(PER_DAY), ..Default::default() },
        parameters: Parameters::default()
            .with("Timing", "testbed")
            .with("WorkerConcurrency", "10")
            .with("IamCallsPerSecond", "1000"),
        ..Plan::default()
    };
    let world = World::start(&plan, size, packages, report).await?;
    let account = world.deployment.aws.account();

    tokio::select! {
        ran = world.run(PATIENCE, report) => ran?,
        () = pass_days(&world.ses, || world.ses.sends(account)) => {}
    }

    let mut outcome = world.outcome(Scenario::Sandbox, 0).await?;
    outcome.promise_that_nothing_is_lost();
    world.promise_that_nothing_is_given_up(&mut outcome).await?;
    outcome.promise_that_nobody_is_mailed_twice();
    let too_many = world.ses.mails_ahead_of_rate(account);
    outcome.promise(too_many == 0, format!("no mail is sent before the rate allows it ({too_many} were)"));
    let Sends { taken, throttled, over_quota, .. } = world.ses.sends(account);
    report(&format!(
        "SES took {taken} mails; it refused {throttled} for the rate and {over_quota} for the quota"
    ));
    Ok(outcome)
}

/// Begins the next day whenever a day's mails are sent; never ends.
async fn pass_days(ses: &SimulatedSes, sends: impl Fn() -> Sends) {
    let mut sent_before = 0;
    loop {
        time::sleep(REST_OF_THE_DAY).await;
        let sent = sends().taken;
        if sent + NOTIFIERS > sent_before + u64::from(PER_DAY) {
            sent_before = sent;
            ses.advance(DAY);
        }
    }
}
