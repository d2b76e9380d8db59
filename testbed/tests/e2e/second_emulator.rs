//! The deployed functions on a second emulator, with the expectations of the first; `second_emulator` says
//! what moto lacks. Two accounts with every kind of user that an IAM without old keys can have, and every
//! fault at once: malformed messages, three deliveries of each finding, and notifiers killed after SES has
//! taken a mail and before they get its answer.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::emulator_iam;
use keynudge_testbed::functions::Function;
use keynudge_testbed::lambda_runtime::{LambdaRuntime, Options};
use keynudge_testbed::ledger;
use keynudge_testbed::outbox::{Mail, Verdict};
use keynudge_testbed::population::Population;
use keynudge_testbed::second_emulator::{self, Moto};
use keynudge_testbed::simulated_ses::{self, SimulatedSes};
use serde_json::json;
use tokio::time;

use crate::malformed::{assert_letters_are, bad_bodies};
use crate::support::{drain, merged, packages, run_members, secrets_of, send_batch, timestamp, user_member};

const HOME_USERS: usize = 200;
const MEMBER_USERS: usize = 100;
/// When the first run takes place: the keys are created now, and stale by then.
const DAYS_AHEAD: i64 = 120;
/// Which mail of the first run SES takes without ever answering.
const UNANSWERED: u64 = 7;

const MEMBER: &str = "200000000002";
const EXTERNAL_ID: &str = "keynudge-e2e";
const CONFIGURATION_SET: &str = "keynudge";

/// Far more than it takes, on whatever machine.
const DEADLINE: Duration = Duration::from_mins(5);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

#[tokio::test]
async fn another_emulator_leads_to_the_same_mails_whatever_goes_wrong() {
    let first = at_six(Utc::now() + TimeDelta::days(DAYS_AHEAD));
    let world = World::start(first).await;
    let expected = world.population.totals().mails;

    world.ses.leave_unanswered(UNANSWERED);
    let bad = world.send_malformed(first).await;
    world.start_run(first).await;
    world.kill_notifiers_that_wait_for_an_answer().await;
    drain(&world.deployment).await;
    let after_first = world.mails().await;
    world.assert_every_owner_is_mailed_once(&after_first).await;
    world.assert_only_these_are_given_up(&bad).await;

    // A week later every owner gets the next reminder. Some exemptions have ended by then.
    let unknown_before = world.unknown_outcomes().await;
    world.run(first + TimeDelta::days(7)).await;
    let later = world.mails().await.split_off(after_first.len());
    let verdict = Verdict::on(&world.population, &later);
    let mut unknown = world.unknown_outcomes().await;
    for (user_id, before) in unknown_before {
        *unknown.entry(user_id).or_default() -= before;
    }
    assert_eq!(verdict.unexplained_duplicates(&unknown), [""; 0], "{unknown:?}");
    assert_eq!(verdict.lost, 0, "{verdict:?}");
    let owners = later.len() - verdict.duplicates;
    assert!(owners >= expected, "{owners} of {expected}");
    assert_eq!(verdict.wrong.len(), owners - expected, "{verdict:?}");
    assert_eq!(world.lambda.troubles(), [""; 0]);
    world.assert_logs_are_private();
}

fn at_six(day: DateTime<Utc>) -> DateTime<Utc> {
    day.date_naive().and_hms_opt(6, 0, 0).unwrap().and_utc()
}

struct World {
    // Dropped in this order: what calls ends before what it calls.
    lambda: LambdaRuntime,
    deployment: Deployment,
    ses: SimulatedSes,
    population: Population,
    home_population: Population,
    _moto: Moto,
}

impl World {
    async fn start(judged_at: DateTime<Utc>) -> Self {
        let moto = Moto::start(&|_| ()).await.unwrap_or_else(|error| panic!("{error}"));
        let (home, member) = (moto.home(), moto.client(MEMBER.parse().unwrap()));
        let [home_population, member_population] = [(&home, HOME_USERS, 41), (&member, MEMBER_USERS, 42)]
            .map(|(aws, users, seed)| async move {
                let population = Population::of_one_age(users, seed, judged_at);
                emulator_iam::create(aws, population, || ()).await.unwrap_or_else(|error| panic!("{error}"))
            });
        let (home_population, member_population) = tokio::join!(home_population, member_population);
        let ses = SimulatedSes::start(&simulated_ses::Options::default()).unwrap();
        ses.pass_on_to(&moto.endpoint());
        let topic = second_emulator::create_events_topic(&home).await.unwrap();
        ses.publish_to(home.account(), CONFIGURATION_SET, &topic);
        let parameters = Parameters::unpaced()
            .with("Timing", "testbed")
            .with("Audience", "all")
            .with("AllowAsOf", "true")
            .with("Accounts", format!("{},{MEMBER}", home.account()))
            .with("ExternalId", EXTERNAL_ID)
            .with("ConfigurationSet", CONFIGURATION_SET)
            .with("SesEventsTopicArn", &*topic);
        let deployment = second_emulator::deploy(home, packages().await, &parameters, &topic).await;
        let deployment = deployment.unwrap_or_else(|error| panic!("{error}"));
        let endpoints = [("AWS_ENDPOINT_URL", moto.endpoint()), ("AWS_ENDPOINT_URL_SES", ses.endpoint())];
        let endpoints = endpoints.map(|(name, endpoint)| (name.to_owned(), endpoint));
        let options = Options { deliveries_per_finding: 3 };
        let lambda = LambdaRuntime::start(&deployment, packages().await, &endpoints, options).await;
        Self {
            lambda: lambda.unwrap_or_else(|error| panic!("{error}")),
            deployment,
            ses,
            population: Population::union([&home_population, &member_population]),
            home_population,
            _moto: moto,
        }
    }

    /// Invokes the producer as the schedule does.
    async fn start_run(&self, as_of: DateTime<Utc>) {
        let event = json!({ "as_of": timestamp(as_of), "mode": "live" });
        let answer = self.lambda.invoke(Function::Producer, event).await;
        answer.unwrap_or_else(|error| panic!("{error}"));
    }

    async fn run(&self, as_of: DateTime<Utc>) {
        self.start_run(as_of).await;
        drain(&self.deployment).await;
    }

    async fn mails(&self) -> Vec<Mail> {
        second_emulator::mails(&self.deployment.aws).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sends malformed messages to each queue. Returns them, with the dead-letter queues they must end in.
    async fn send_malformed(&self, as_of: DateTime<Utc>) -> Vec<(String, Vec<String>)> {
        let outputs = &self.deployment.outputs;
        let scan = run_members(&self.deployment, &timestamp(as_of));
        let user = user_member(&self.deployment, &self.home_population.owners[0]);
        let check = merged(scan.clone(), &json!({ "user": user }));
        let finding = json!({
            "recipient": { "to": "ada@corp.example", "found_by": "tag" },
            "keys": [],
            "stage": 1,
            "checked_at": timestamp(Utc::now()),
        });
        let finding = merged(check.clone(), &finding);
        let mut sent = Vec::new();
        for (queue_url, dead_letter_queue_url, good) in [
            (&outputs.accounts_queue_url, &outputs.accounts_dead_letter_queue_url, scan),
            (&outputs.users_queue_url, &outputs.users_dead_letter_queue_url, check),
            (&outputs.findings_queue_url, &outputs.findings_dead_letter_queue_url, finding),
        ] {
            let bad = bad_bodies(&good);
            send_batch(&self.deployment, queue_url, &bad).await;
            sent.push((dead_letter_queue_url.clone(), bad));
        }
        sent
    }

    /// Waits until SES has taken the mail that it does not answer, and kills the notifiers. One of them is in
    /// the middle of a batch, and never learns that its mail was sent.
    async fn kill_notifiers_that_wait_for_an_answer(&self) {
        let taken = async {
            while !self.ses.is_unanswered() {
                time::sleep(POLL_INTERVAL).await;
            }
        };
        time::timeout(DEADLINE, taken).await.expect("the mail is sent, in time");
        assert!(self.lambda.kill(Function::Notifier) > 0);
    }

    /// So far, by user id: mails that the notifier had to count as possibly sent.
    async fn unknown_outcomes(&self) -> BTreeMap<String, u64> {
        let Deployment { aws, outputs, .. } = &self.deployment;
        ledger::takeovers(aws, &outputs.ledger_table_name).await.unwrap()
    }

    /// Every owner got a mail at the right address about the right keys; a second one only where the notifier
    /// could not know that SES took the first.
    async fn assert_every_owner_is_mailed_once(&self, mails: &[Mail]) {
        let verdict = Verdict::on(&self.population, mails);
        assert_eq!((verdict.lost, verdict.wrong.len()), (0, 0), "{}", verdict.mistakes.join("\n"));
        let unknown = self.unknown_outcomes().await;
        assert_eq!(verdict.unexplained_duplicates(&unknown), [""; 0], "{unknown:?}");
    }

    async fn assert_only_these_are_given_up(&self, bad: &[(String, Vec<String>)]) {
        for url in self.deployment.outputs.dead_letter_queue_urls() {
            let mut letters = second_emulator::take_messages(&self.deployment.aws, url).await.unwrap();
            // Three deliveries of a message are three dead letters.
            letters.sort_by(|one, other| one.body.cmp(&other.body));
            letters.dedup_by(|one, other| one.body == other.body);
            let sent = bad.iter().find(|(queue_url, _)| queue_url == url);
            assert_letters_are(sent.map_or(&[], |(_, bodies)| bodies), &letters);
        }
    }

    fn assert_logs_are_private(&self) {
        let secrets = secrets_of(&self.population);
        for function in Function::ALL {
            let log = self.lambda.log(function);
            assert!(!log.is_empty(), "the {} has logged nothing", function.binary());
            let log = log.to_lowercase();
            let secret = secrets.iter().find(|secret| log.contains(&secret.to_lowercase()));
            assert_eq!(secret, None, "the {} has logged it", function.binary());
        }
    }
}
