#![doc = include_str!("../README.md")]

mod accounts;
mod config;
mod handler;

use std::process::ExitCode;

use keynudge_aws::accounts::IamAccounts;
use keynudge_aws::dynamodb::LedgerTable;
use keynudge_aws::organizations::Organizations;
use keynudge_aws::sdk;
use keynudge_aws::sqs::Sqs;
use keynudge_lambda::clock::WALL;
use keynudge_lambda::function;
use keynudge_lambda::log;
use keynudge_lambda::records::{Kind, Source};
use keynudge_lambda::vars;
use lambda_runtime::Error;

use crate::config::Config;
use crate::handler::Producer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::to_stdout();
    function::exit_code(serve().await)
}

async fn serve() -> Result<(), Error> {
    let config = Config::from_vars(&vars::of_environment())?;
    let sdk = sdk::load().await;
    let sqs = Sqs::new(&sdk);
    let producer = Producer {
        organization: Organizations::new(&sdk),
        iam: IamAccounts::new(&sdk, config.rules.scope.own().clone(), config.member_role),
        accounts: sqs.outbox(config.accounts_queue_url.clone()),
        users: sqs.outbox(config.users_queue_url),
        source: Source {
            kind: Kind::Scans,
            dead_letters: sqs.dead_letters(config.accounts_dead_letter_queue_url, "producer"),
            redelivery: sqs.redelivery(config.accounts_queue_url),
            run_records: LedgerTable::new(&sdk, config.ledger_table),
            retry: config.retry,
            clock: WALL,
        },
        rules: config.rules,
    };
    function::run(&config.deployment, async |trigger, deadline, metrics| {
        producer.handle(trigger, deadline, metrics).await
    })
    .await
}
