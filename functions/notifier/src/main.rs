#![doc = include_str!("../README.md")]

mod config;
mod handler;
mod templates;

use keynudge_aws::sdk;
use keynudge_aws::ses::SesMailer;
use keynudge_aws::sqs::Sqs;
use keynudge_lambda::clock::WALL;
use keynudge_lambda::function;
use keynudge_lambda::vars::Vars;
use lambda_runtime::Error;

use crate::config::Config;
use crate::handler::Notifier;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    function::log_to_stdout();
    let config = Config::from_vars(&Vars::of_environment())?;
    let sdk = sdk::load().await;
    let notifier = Notifier {
        mailer: SesMailer::new(&sdk, config.ses_region, config.sender, config.configuration_set),
        dead_letters: Sqs::new(&sdk).dead_letters(config.findings_dead_letter_queue_url, "notifier"),
        templates: templates::built_in(),
        rules: config.rules,
        clock: WALL,
    };
    function::run(&config.deployment, async |event, deadline, metrics| {
        notifier.handle(event, deadline, metrics).await
    })
    .await
}
