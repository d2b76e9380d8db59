//! An operator's mistake lasts until mails are given up. It is repaired, and `keynudge dlq replay` puts them back.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::world::{Plan, World, quick};
use super::{Outcome, Scenario, Size};
use crate::aws::REGION;
use crate::functions::Packages;
use crate::pipeline::Patience;
use crate::{Error, Result};

/// How long mails are tried: the least that the template allows.
const GIVE_UP_AFTER_MINUTES: &str = "1";

/// Until they are given up, nothing moves for minutes.
const PATIENCE: Patience = Patience { overall: Duration::from_hours(1), standstill: Duration::from_mins(4) };

/// Every mail is given up while the sender is not verified, and each is sent once after the repair.
pub(super) async fn run(size: &Size, packages: &Packages, report: &impl Fn(&str)) -> Result<Outcome> {
    let plan = Plan {
        parameters: quick().with("GiveUpFindingsAfterMinutes", GIVE_UP_AFTER_MINUTES),
        ..Plan::default()
    };
    let world = World::start(&plan, size, packages, report).await?;
    world.ses.set_unverified(true);
    world.run(PATIENCE, report).await?;
    let given_up = world.deployment.progress().await?.dead_letters;
    let mistaken = world.ses.sends(world.deployment.aws.account());

    world.ses.set_unverified(false);
    report("replaying");
    replay(&world, packages).await?;
    world.deployment.wait_until_empty(PATIENCE, |_| ()).await.map(drop)?;

    let mut outcome = world.outcome(Scenario::Replay, 0).await?;
    outcome.promise(mistaken.taken == 0, "no mail is taken while the sender is not verified");
    // One that is delivered twice is given up twice.
    outcome.promise(given_up >= outcome.expected, format!("every mail is given up ({given_up})"));
    outcome.promise_that_nothing_is_lost();
    world.promise_that_nothing_is_given_up(&mut outcome).await?;
    outcome.promise_that_nobody_is_mailed_twice();
    Ok(outcome)
}

/// As an operator does it.
async fn replay(world: &World, packages: &Packages) -> Result<()> {
    let aws = &world.deployment.aws;
    let arguments =
        ["dlq", "replay", "findings", "--yes", "--rate", "100", "--stack", &world.deployment.stack];
    let tool = packages.operators_tool()?;
    let mut keynudge = Command::new(tool);
    keynudge
        .args(arguments)
        .args(["--endpoint-url", aws.endpoint(), "--region", REGION])
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", aws.account().as_str())
        .env("AWS_SECRET_ACCESS_KEY", "any")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = keynudge.output().await.map_err(Error::file("starting", tool))?;
    if output.status.success() {
        return Ok(());
    }
    let detail = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Unreadable { call: "keynudge dlq replay".to_owned(), detail })
}
