//! What the emulator can do at most: as many messages, through the same queue and the same mapping, to a function that does
//! nothing.

use std::time::Instant;

use anyhow::Result;
use keynudge_testbed::aws::SQS;
use keynudge_testbed::estate::Plan;
use keynudge_testbed::functions::{Function, Packages};
use keynudge_testbed::messages::RunOf;
use keynudge_testbed::population::Owner;
use keynudge_testbed::stage::{Stage, patience_for};
use serde_json::{Value, json};

use crate::options::Options;
use crate::run::{longest, stage};
use crate::say;

/// What SQS takes at once.
const BATCH: usize = 10;
/// As long as a run's own.
const RUN_ID: &str = "2026-11-01T00:00:00Z";

/// Messages a second.
pub(crate) async fn messages_per_second(plan: &Plan, options: &Options, idle: &Packages) -> Result<f64> {
    let stage = stage(plan, options, idle).await?;
    let deployment = &stage.deployment;
    deployment.set_fed(Function::Worker, false).await?;
    say("filling the queue");
    fill(&stage).await?;
    say("handing its messages to a function that does nothing");
    let began_at = Instant::now();
    deployment.set_fed(Function::Worker, true).await?;
    let ended_at = deployment.wait_until_empty(patience_for(longest(plan)), |_| ()).await?;
    #[expect(clippy::cast_precision_loss, reason = "at most some hundred thousand users")]
    let messages = plan.users as f64;
    Ok(messages / (ended_at - began_at).as_secs_f64())
}

/// One message for each user, as long as the producer's, in the order in which it sends them.
async fn fill(stage: &Stage) -> Result<()> {
    let deployment = &stage.deployment;
    for estate in &stage.estates.all {
        let run = RunOf { account: &estate.account, id: RUN_ID };
        for owners in estate.population.owners.chunks(BATCH) {
            let entry = |(at, owner): (usize, &Owner)| {
                json!({
                    "Id": at.to_string(),
                    "MessageBody": run.check_user(owner).to_string(),
                    "MessageGroupId": estate.account.as_str(),
                })
            };
            let entries: Vec<Value> = owners.iter().enumerate().map(entry).collect();
            let request = json!({ "QueueUrl": deployment.outputs.users_queue_url, "Entries": entries });
            deployment.aws.json(SQS, "SendMessageBatch", &request).await?;
        }
    }
    Ok(())
}
