#![doc = include_str!("../README.md")]

mod config;
mod handler;
mod paced;

use keynudge_aws::dynamodb::LedgerTable;
use keynudge_aws::iam::Iam;
use keynudge_aws::sdk;
use keynudge_aws::sqs::Sqs;
use keynudge_lambda::clock::WALL;
use keynudge_lambda::function;
use keynudge_lambda::records::{Kind, Source};
use keynudge_lambda::vars::Vars;
use lambda_runtime::Error;

use crate::config::Config;
use crate::handler::Worker;
use crate::paced::Paced;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    function::log_to_stdout();
    let config = Config::from_vars(&Vars::of_environment())?;
    let sdk = sdk::load().await;
    let sqs = Sqs::new(&sdk);
    let worker = Worker {
        keys: Paced { keys: Iam::without_retries(&sdk), pace: config.iam_pace },
        findings: sqs.outbox(config.findings_queue_url),
        source: Source {
            kind: Kind::Checks,
            dead_letters: sqs.dead_letters(config.users_dead_letter_queue_url, "worker"),
            redelivery: sqs.redelivery(config.users_queue_url),
            run_records: LedgerTable::new(&sdk, config.ledger_table),
            retry: config.retry,
            clock: WALL,
        },
        rules: config.rules,
    };
    function::run(&config.deployment, async |event, deadline, metrics| {
        worker.handle(event, deadline, metrics).await
    })
    .await
}
