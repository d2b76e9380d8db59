#![doc = include_str!("../README.md")]

mod config;
mod handler;

use std::process::ExitCode;

use keynudge_aws::dynamodb::LedgerTable;
use keynudge_aws::sdk;
use keynudge_aws::sqs::Sqs;
use keynudge_lambda::clock::WALL;
use keynudge_lambda::function;
use keynudge_lambda::log;
use keynudge_lambda::records::{Kind, Source};
use keynudge_lambda::vars;
use lambda_runtime::Error;

use crate::config::Config;
use crate::handler::Listener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::to_stdout();
    function::exit_code(serve().await)
}

async fn serve() -> Result<(), Error> {
    let config = Config::from_vars(&vars::of_environment())?;
    let sdk = sdk::load().await;
    let sqs = Sqs::new(&sdk);
    let ledger = LedgerTable::new(&sdk, config.ledger_table);
    let listener = Listener {
        ledger: ledger.clone(),
        source: Source {
            kind: Kind::Events,
            dead_letters: sqs.dead_letters(config.feedback_dead_letter_queue_url, "feedback"),
            redelivery: sqs.redelivery(config.feedback_queue_url),
            run_records: ledger,
            retry: config.retry,
            clock: WALL,
        },
    };
    function::run(&config.deployment, async |event, deadline, metrics| {
        listener.handle(event, deadline, metrics).await
    })
    .await
}
