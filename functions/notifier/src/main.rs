#![doc = include_str!("../README.md")]

mod allowance;
mod config;
mod handler;
mod templates;

use std::process::ExitCode;

use keynudge_aws::dynamodb::LedgerTable;
use keynudge_aws::sdk;
use keynudge_aws::ses::SesMailer;
use keynudge_aws::sqs::Sqs;
use keynudge_lambda::clock::WALL;
use keynudge_lambda::function;
use keynudge_lambda::log;
use keynudge_lambda::records::{Kind, Source};
use keynudge_lambda::vars;
use lambda_runtime::Error;

use crate::allowance::Allowance;
use crate::config::Config;
use crate::handler::Notifier;

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
    let attempt_timeout = config.rules.ses_attempt_timeout;
    let notifier = Notifier {
        mailer: SesMailer::new(&sdk, config.sending, attempt_timeout),
        allowance: Allowance::new(config.instances, config.mails_per_second, config.retry.operator_delay),
        ledger: ledger.clone(),
        users: sqs.outbox(config.users_queue_url),
        ses_events: sqs.outbox(config.feedback_queue_url),
        source: Source {
            kind: Kind::Findings,
            dead_letters: sqs.dead_letters(config.findings_dead_letter_queue_url, "notifier"),
            redelivery: sqs.redelivery(config.findings_queue_url),
            run_records: ledger,
            retry: config.retry,
            clock: WALL,
        },
        templates: templates::load(config.templates.as_deref()),
        rules: config.rules,
    };
    function::run(&config.deployment, async |event, deadline, metrics| {
        notifier.handle(event, deadline, metrics).await
    })
    .await
}
