//! What the functions find: AWS over HTTPS with the template deployed on it, and users; and what they are given to do.

use anyhow::{Context, Result, ensure};
use chrono::Utc;
use keynudge_testbed::aws::{Account, Client, REGION};
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::emulator::{self, Emulator};
use keynudge_testbed::functions::{Function, Packages};
use keynudge_testbed::https_fronts::HttpsFronts;
use keynudge_testbed::ledger;
use keynudge_testbed::messages::RunOf;
use keynudge_testbed::outbox::{self, Queues};
use keynudge_testbed::population::{Expectation, Owner, Population};
use keynudge_testbed::simulated_iam::{self, SimulatedIam};
use keynudge_testbed::simulated_ses::{self, SimulatedSes};
use serde_json::{Value, json};

use crate::say;

/// How many users the producer lists: one batch of messages.
const USERS_LISTED: usize = 10;
/// How many messages one event of SQS holds.
const BATCH: usize = 10;
/// What all runs belong to.
const RUN_ID: &str = "cold-start";

/// All of it, running.
pub(crate) struct Stage {
    deployment: Deployment,
    iam: SimulatedIam,
    endpoints: Vec<(String, String)>,
    /// Whom worker and notifier are asked about, one for each start.
    owners: Population,
    /// Whom feedback hears of. The deployed notifier has mailed them.
    mailed: Population,
    pub(crate) fronts: HttpsFronts,
    /// It ends when this is dropped.
    _emulator: Emulator,
}

impl Stage {
    /// Starts everything, and deploys the template. There is an owner for each of so many starts of a function.
    pub(crate) async fn set_up(packages: &Packages, usual_roots: &str, starts: usize) -> Result<Self> {
        let iam = SimulatedIam::start(&simulated_iam::Options::default())?;
        let ses = SimulatedSes::start(&simulated_ses::Options { events: false, ..Default::default() })?;
        let options = emulator::Options {
            iam: emulator::Iam::At(iam.endpoint()),
            ses: emulator::Ses::At(ses.endpoint()),
            ..emulator::Options::default()
        };
        let emulator = Emulator::start(&options, &say).await?;
        ses.pass_on_to(&emulator.endpoint());

        say("making certificates");
        let fronts = HttpsFronts::start(usual_roots)?;
        let upstreams = [
            ("IAM", iam.endpoint()),
            ("SES", ses.endpoint()),
            ("SQS", emulator.endpoint()),
            ("DYNAMODB", emulator.endpoint()),
        ];
        let front = |(service, upstream): (&str, String)| {
            anyhow::Ok((format!("AWS_ENDPOINT_URL_{service}"), fronts.before(&upstream)?))
        };
        let endpoints = upstreams.into_iter().map(front).collect::<Result<_>>()?;

        say("deploying the template");
        let aws = Client::new(emulator.endpoint(), Account::nth(1));
        let parameters = Parameters::unpaced().with("Audience", "all");
        let deployment = Deployment::create(aws, packages, &parameters).await?;
        for function in Function::ALL {
            deployment.set_fed(function, false).await?;
        }
        let users = starts.max(USERS_LISTED);
        let [owners, mailed] = [1, 2].map(|seed| Population::plain(users, users, seed));
        Ok(Self { deployment, iam, endpoints, owners, mailed, fronts, _emulator: emulator })
    }

    /// The variables of a function's process: what the template says, and what Lambda adds.
    pub(crate) async fn variables(&self, function: Function) -> Result<Vec<(String, String)>> {
        let mut variables = self.deployment.variables_of_process(function).await?;
        variables.extend_from_slice(&self.endpoints);
        Ok(variables)
    }

    /// Puts the users and mails in place that a function's events are about.
    pub(crate) async fn prepare(&self, function: Function) -> Result<()> {
        let account = self.deployment.aws.account();
        match function {
            Function::Producer => {
                let mut users = self.owners.users();
                users.truncate(USERS_LISTED);
                self.iam.set_users(account, users);
            }
            Function::Worker => self.iam.set_users(account, self.owners.users()),
            Function::Notifier => {}
            Function::Feedback => self.mail_all().await?,
        }
        Ok(())
    }

    /// Has the deployed notifier mail those whom feedback will hear of.
    async fn mail_all(&self) -> Result<()> {
        let bodies: Vec<String> = self
            .mailed
            .owners
            .iter()
            .map(|owner| self.finding(owner).map(|body| body.to_string()))
            .collect::<Result<_>>()?;
        let worker = self.deployment.sender_id(Function::Worker).await?;
        for batch in bodies.chunks(BATCH) {
            let event = sqs_event(batch, &worker);
            let answer = self.deployment.invoke(Function::Notifier, &event).await?;
            ensure!(answer["batchItemFailures"] == json!([]), "the notifier answered {answer}");
        }
        Ok(())
    }

    /// What a function is given at its `start`th start.
    pub(crate) async fn event(&self, function: Function, start: usize) -> Result<Value> {
        let body = match function {
            Function::Producer => self.run().scan_account(),
            Function::Worker => self.run().check_user(&self.owners.owners[start]),
            Function::Notifier => self.finding(&self.owners.owners[start])?,
            Function::Feedback => self.bounce(&self.mailed.owners[start]).await?,
        };
        // The notifier looks at who sent it; the others do not.
        let worker = self.deployment.sender_id(Function::Worker).await?;
        Ok(sqs_event(&[body.to_string()], &worker))
    }

    /// Whether what the function did at its `start`th start arrived where it had to, once.
    pub(crate) async fn check(&self, function: Function, start: usize) -> Result<()> {
        let Deployment { aws, outputs, .. } = &self.deployment;
        let (found, expected) = match function {
            Function::Producer => {
                let queues = Queues::of(aws).await?;
                (queues.messages(&outputs.users_queue_url).len(), (start + 1) * USERS_LISTED)
            }
            Function::Worker => {
                let queues = Queues::of(aws).await?;
                let id = &self.owners.owners[start].user.id;
                let findings = queues.messages(&outputs.findings_queue_url).iter();
                (findings.filter(|finding| finding.body.contains(id)).count(), 1)
            }
            Function::Notifier => {
                let mails = outbox::mails(aws).await?;
                let key = &self.owners.owners[start].user.keys[0].id;
                (mails.iter().filter(|mail| mail.key_ids().contains(&**key)).count(), 1)
            }
            Function::Feedback => {
                let entry = self.entry(&self.mailed.owners[start]).await?;
                (usize::from(entry["not_reached"]["reason"] == "bounce"), 1)
            }
        };
        ensure!(found == expected, "{found} instead of {expected} arrived at start {start}");
        Ok(())
    }

    fn run(&self) -> RunOf<'_> {
        RunOf { account: self.deployment.aws.account(), id: RUN_ID }
    }

    fn finding(&self, owner: &Owner) -> Result<Value> {
        let Expectation::Mailed { to, keys } = &owner.expectation else {
            anyhow::bail!("{} has no stale key", owner.user.name);
        };
        Ok(self.run().finding(owner, to, keys))
    }

    /// What SES says when the owner's mail bounced.
    async fn bounce(&self, owner: &Owner) -> Result<Value> {
        let entry = self.entry(owner).await?;
        Ok(json!({
            "eventType": "Bounce",
            "bounce": { "bounceType": "Permanent", "bounceSubType": "General" },
            "mail": {
                "messageId": "0100-0000",
                "tags": {
                    "account_id": [self.deployment.aws.account().as_str()],
                    "user_id": [owner.user.id],
                    "claim_id": [entry["history"][0]["claim_id"]],
                    "ledger": ["live"],
                },
            },
        }))
    }

    /// What the ledger says of an owner.
    async fn entry(&self, owner: &Owner) -> Result<Value> {
        let Deployment { aws, outputs, .. } = &self.deployment;
        let key = format!("owner#{}#{}", aws.account(), owner.user.id);
        let items = ledger::items(aws, &outputs.ledger_table_name).await?;
        items.into_iter().find(|item| item["pk"] == key).context("the ledger does not know the owner")
    }
}

/// Messages as Lambda hands them out.
fn sqs_event(bodies: &[String], sender_id: &str) -> Value {
    let sent_at = Utc::now().timestamp_millis().to_string();
    let records = bodies.iter().enumerate().map(|(position, body)| {
        json!({
            "messageId": format!("00000000-0000-4000-8000-{position:012}"),
            "receiptHandle": "none",
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": sent_at,
                "SenderId": sender_id,
                "ApproximateFirstReceiveTimestamp": sent_at,
            },
            "messageAttributes": {},
            "md5OfBody": "",
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{REGION}:0:queue"),
            "awsRegion": REGION,
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}
