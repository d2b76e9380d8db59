//! Runs start by themselves.

use chrono::{SubsecRound, TimeDelta, Utc};
use keynudge_testbed::aws::GET_SCHEDULE;
use keynudge_testbed::deployment::Parameters;
use keynudge_testbed::functions::Function;
use keynudge_testbed::pipeline::Patience;
use keynudge_testbed::population::{Population, Setting};
use serde_json::{Value, json};

use crate::support::{assert_exactly_the_expected_mails, deploy_with, packages, shared};

/// The emulator does not fill the time in, so that a run there cannot show it; the words are Scheduler's.
#[tokio::test]
async fn the_schedule_says_when_it_was_due_and_that_mails_are_meant() {
    let population = Population::mixed(&Setting::default(), 1, 8);
    let deployment = deploy_with(&population, &Parameters::unpaced()).await;
    let path = format!("/schedules/{}", deployment.outputs.schedule_name);
    let schedule = deployment.aws.rest(GET_SCHEDULE, &path, None).await.unwrap();
    let input: Value = serde_json::from_str(schedule["Target"]["Input"].as_str().unwrap()).unwrap();
    assert_eq!(input, json!({ "as_of": "<aws.scheduler.scheduled-time>", "mode": "live" }));
}

/// Nothing is touched after the deployment. The producer runs when the schedule says, and not before.
#[tokio::test]
async fn the_schedule_starts_a_run_by_itself() {
    packages().await;
    shared().await;
    let due = Utc::now().trunc_subsecs(0) + TimeDelta::seconds(10);
    let expression = format!("at({})", due.format("%Y-%m-%dT%H:%M:%S"));
    let population = Population::typical(&Setting::default(), 30, 10, 3);
    let parameters = Parameters::unpaced().with("ScheduleExpression", expression);
    let deployment = deploy_with(&population, &parameters).await;

    deployment.wait_for_first_run(Patience::default()).await.unwrap_or_else(|error| panic!("{error}"));

    assert_exactly_the_expected_mails(&deployment, &population).await;
    let log = deployment.log(Function::Producer).await.unwrap();
    let first = log.first().expect("the producer has run");
    assert!(first.timestamp >= u64::try_from(due.timestamp_millis()).unwrap(), "{first:?}");
}
