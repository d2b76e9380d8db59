#![doc = include_str!("../README.md")]

mod config;
#[cfg(test)]
mod fleet;
mod handler;
mod paced;
mod turns;

use std::process::ExitCode;

use keynudge_aws::accounts::IamAccounts;
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
use crate::handler::Worker;
use crate::turns::Turns;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::to_stdout();
    function::exit_code(serve().await)
}

async fn serve() -> Result<(), Error> {
    let config = Config::from_vars(&vars::of_environment())?;
    let sdk = sdk::load().await;
    let sqs = Sqs::new(&sdk);
    let ledger_table = LedgerTable::new(&sdk, config.ledger_table);
    let worker = Worker {
        iam: IamAccounts::without_retries(&sdk, config.rules.scope.own().clone(), config.member_role),
        turns: Turns::new(config.iam_rate, config.rules.denied_role_delay),
        findings: sqs.outbox(config.findings_queue_url),
        ledger: ledger_table.clone(),
        source: Source {
            kind: Kind::Checks,
            dead_letters: sqs.dead_letters(config.users_dead_letter_queue_url, "worker"),
            redelivery: sqs.redelivery(config.users_queue_url),
            run_records: ledger_table,
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
