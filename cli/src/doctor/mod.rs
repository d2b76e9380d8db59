//! `keynudge doctor`: what a deployment needs, and whether it has it.
//!
//! What AWS says is asked in `crate::aws::inspection`; what it means is decided here, a file per section of the answer,
//! of plain facts. Whatever cannot be asked is said to be unknown, with what is missing for it, and keeps nothing else
//! from being looked at.

pub(crate) mod answer;
pub(crate) mod caller;
pub(crate) mod deployment;
pub(crate) mod errors;
mod firings;
pub(crate) mod functions;
mod line;
pub(crate) mod queues;
pub(crate) mod schedule;
pub(crate) mod sending;
pub(crate) mod table;

use anyhow::Result;
use chrono::{TimeDelta, Utc};
use clap::Args;
use futures::future::{OptionFuture, join_all};
use keynudge_core::ids::EmailAddress;

use self::answer::Unanswered;
use self::deployment::{Deployment, Part};
use self::line::Section;
use self::queues::Pair;
use self::sending::{Expected, Wanted};
use crate::Outcome;
use crate::aws::{Aws, ConnectionArgs};
use crate::dlq::filter::age;
use crate::numbers::whole;
use crate::terminal;

/// Queues of dead letters that belong to no other queue: what `keynudge dlq` calls them, and their outputs.
const FURTHER_DEAD_LETTERS: [(&str, &str); 2] =
    [("schedule", "ScheduleDeadLetterQueueUrl"), ("producer", "ProducerFailuresQueueUrl")];

/// Check what a deployment needs, and whether it has it
#[derive(Debug, Args)]
#[command(after_help = "\
It only looks. ✔ is as it should be, ✘ does not work, ⚠ works and will bite, – cannot be told.
Without a stack it says what it can: who you are, and what SES knows of the sender.

Examples:
  # Before deploying
  keynudge doctor --sender keynudge@example.com --expected-mails 800
  # The same where SES sends from another region
  keynudge doctor --sender keynudge@example.com --ses-region eu-west-1
  # The stack \"keynudge\", all of it
  keynudge doctor
  # Another stack, with the errors of the last hour
  keynudge doctor --stack keynudge-test --since 1h
  # For scripts: what does not work
  keynudge doctor --json | jq 'select(.status == \"failed\")'

Exit codes: 0 if nothing is ✘, 1 if something is.")]
pub(crate) struct Doctor {
    /// Whom mails are to come from, rather than whom the stack says
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<EmailAddress>,
    /// The region whose SES is to send, rather than the one that the stack says, or its own
    #[arg(long, value_name = "REGION")]
    ses_region: Option<String>,
    /// The SES configuration set, rather than the one that the stack says
    #[arg(long, value_name = "NAME")]
    configuration_set: Option<String>,
    /// How many mails a run may come to, rather than the owners of stale keys that the last run found
    #[arg(long, value_name = "N", value_parser = whole("mails", 0_u64..))]
    expected_mails: Option<u64>,
    /// How far back to look for errors, such as 90s, 30m, 2h or 3d
    #[arg(long, value_name = "AGE", value_parser = age, default_value = "24h")]
    since: TimeDelta,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Looks at everything, and says what it saw.
    pub(crate) async fn run(&self, connection: &ConnectionArgs) -> Result<Outcome> {
        let sections = match Aws::connect(connection).await {
            Ok(aws) => self.examine(&aws).await,
            Err(error) => vec![caller::not_connected(&error)],
        };
        let said = if self.json {
            line::json(&sections)?
        } else {
            line::text(&sections, terminal::is_in_colour(), terminal::width())
        };
        terminal::print(&said)?;
        Ok(Outcome::done_if(!line::any_failed(&sections)))
    }

    async fn examine(&self, aws: &Aws) -> Vec<Section> {
        // Where nobody is let in, every other line would say so again.
        let caller = match aws.caller().await {
            Ok(caller) => caller,
            Err(unanswered) => return vec![caller::refused(&unanswered)],
        };
        let deployment = aws.deployment().await;
        let deployed = deployment.as_ref().ok();
        // The outputs come last in a stack's making; one without has nothing to look at yet, or is something else.
        let complete = deployed.filter(|deployment| deployment.has_outputs());
        let (permissions, sending, parts) = futures::join!(
            aws.scan_permissions(),
            self.sending(aws, deployed),
            OptionFuture::from(complete.map(|deployment| self.parts(aws, deployment))),
        );
        let is_deployed = !matches!(deployment, Err(Unanswered::Missing));
        let mut sections = vec![
            caller::section(&caller, aws.region(), &permissions, is_deployed),
            deployment::section(aws.stack(), aws.region(), &deployment),
            sending,
        ];
        sections.extend(parts.into_iter().flatten());
        sections
    }

    async fn sending(&self, aws: &Aws, deployment: Option<&Deployment>) -> Section {
        let wanted = self.wanted(aws.region(), deployment);
        if wanted.region.starts_with("cn-") {
            return sending::section_without_ses(&wanted.region);
        }
        let identities = wanted.sender.as_deref().map(sending::identities_of).unwrap_or_default();
        let of_stack = deployment.and_then(|deployment| deployment.parameter("SesRegion"));
        let mut others = vec![aws.region().to_owned()];
        others.extend(of_stack.map(str::to_owned));
        others.retain(|region| *region != wanted.region);
        let table = deployment.and_then(|deployment| deployment.output("LedgerTableName"));
        let expected = async {
            match (self.expected_mails, table) {
                (Some(mails), _) => Expected::Told(mails),
                (None, Some(table)) => aws.owners_in_last_run(table).await,
                (None, None) => Expected::NotDeployed,
            }
        };
        let set = wanted.configuration_set.as_deref();
        let (found, expected) =
            futures::join!(aws.sending(&wanted.region, &others, &identities, set), expected);
        sending::section(&wanted, &found, &expected)
    }

    /// What the command line says, and otherwise the stack.
    fn wanted(&self, region: &str, deployment: Option<&Deployment>) -> Wanted {
        let parameter =
            |name| deployment.and_then(|deployment| deployment.parameter(name)).map(str::to_owned);
        let said = self.sender.as_ref().map(|sender| sender.as_str().to_owned());
        Wanted {
            region: self
                .ses_region
                .clone()
                .or_else(|| parameter("SesRegion"))
                .unwrap_or_else(|| region.to_owned()),
            sender: said.or_else(|| parameter("Sender")),
            configuration_set: self.configuration_set.clone().or_else(|| parameter("ConfigurationSet")),
            topic: parameter("SesEventsTopicArn"),
            mails_owners: deployment.is_some_and(Deployment::mails_owners),
            is_deployed: deployment.is_some(),
        }
    }

    /// What the stack is made of.
    async fn parts(&self, aws: &Aws, deployment: &Deployment) -> Vec<Section> {
        let now = Utc::now();
        let schedule = OptionFuture::from(deployment.output("ScheduleName").map(|name| aws.schedule(name)));
        let table =
            OptionFuture::from(deployment.output("LedgerTableName").map(|name| aws.inspect_table(name)));
        let (schedule, [functions, queues], table, errors) = futures::join!(
            schedule,
            functions_and_queues(aws, deployment),
            table,
            self.errors(aws, deployment, now.checked_sub_signed(self.since).unwrap_or_default()),
        );
        vec![
            schedule::section(deployment, schedule.as_ref(), now),
            functions,
            queues,
            table::section(deployment, table.as_ref()),
            errors,
        ]
    }

    async fn errors(&self, aws: &Aws, deployment: &Deployment, since: chrono::DateTime<Utc>) -> Section {
        let logs = join_all(Part::ALL.map(async |part| {
            let function = deployment.output(part.function_output());
            (part, OptionFuture::from(function.map(|name| aws.complaints(name, since))).await)
        }));
        errors::section(deployment, &logs.await, self.since)
    }
}

/// Together, since a queue has to hide what it gives out for longer than its function takes.
async fn functions_and_queues(aws: &Aws, deployment: &Deployment) -> [Section; 2] {
    let queue = async |output: &str| {
        OptionFuture::from(deployment.output(output).map(|url| aws.inspect_queue(url))).await
    };
    let functions = join_all(Part::ALL.map(async |part| {
        let name = deployment.output(part.function_output());
        (part, OptionFuture::from(name.map(|name| aws.inspect_function(name))).await)
    }));
    let queues = join_all(Part::ALL.map(async |part| {
        futures::join!(queue(part.queue_output()), queue(part.dead_letter_queue_output()))
    }));
    let further =
        join_all(FURTHER_DEAD_LETTERS.map(async |(label, output)| (label, output, queue(output).await)));
    let producer = deployment.output(Part::Producer.function_output());
    let on_failure = OptionFuture::from(producer.map(|name| aws.on_failure(name)));
    let (functions, queues, further, on_failure) = futures::join!(functions, queues, further, on_failure);
    let pairs = functions.iter().zip(queues).map(|((part, inspected), (queue, dead_letters))| {
        let function = inspected.as_ref().and_then(|inspected| inspected.function.as_ref().ok());
        Pair {
            part: *part,
            queue,
            dead_letters,
            function_timeout_seconds: function.map(|function| function.timeout_seconds),
        }
    });
    let pairs: Vec<Pair> = pairs.collect();
    [
        functions::section(deployment, &functions, on_failure.as_ref()),
        queues::section(deployment, &pairs, &further),
    ]
}
