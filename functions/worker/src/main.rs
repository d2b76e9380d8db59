#![doc = include_str!("../README.md")]

mod config;
mod handler;

use keynudge_aws::iam::Iam;
use keynudge_aws::sdk;
use keynudge_aws::sqs::Sqs;
use keynudge_lambda::clock::WALL;
use keynudge_lambda::function;
use keynudge_lambda::vars::Vars;
use lambda_runtime::Error;

use crate::config::Config;
use crate::handler::Worker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    function::log_to_stdout();
    let config = Config::from_vars(&Vars::of_environment())?;
    let sdk = sdk::load().await;
    let sqs = Sqs::new(&sdk);
    let worker = Worker {
        keys: Iam::new(&sdk),
        findings: sqs.outbox(config.findings_queue_url),
        dead_letters: sqs.dead_letters(config.users_dead_letter_queue_url, "worker"),
        rules: config.rules,
        clock: WALL,
    };
    function::run(&config.deployment, async |event, deadline, metrics| {
        worker.handle(event, deadline, metrics).await
    })
    .await
}
