//! The playground itself, from its start to Ctrl-C.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use indicatif::HumanCount;
use keynudge_testbed::aws::{Account, Client};
use keynudge_testbed::deployment::{SesStack, sender, verify_sender};
use keynudge_testbed::emulator::{self, Emulator};
use keynudge_testbed::interrupt;
use keynudge_testbed::population::{Population, Setting};
use keynudge_testbed::simulated_iam::account::Settings;
use keynudge_testbed::simulated_iam::{self, SimulatedIam};
use keynudge_testbed::simulated_ses::{self, SimulatedSes};

use crate::control::{self, Mistake};
use crate::options::Options;
use crate::place::{Place, Running};
use crate::{say, tell};

/// How many of a hundred users have a stale key.
const STALE_PERCENT: usize = 10;
/// Makes the users; always the same ones, so that everybody sees the same.
const SEED: u64 = 1;
/// What the account is called.
const ALIAS: &str = "playground";
/// As the README has it on AWS.
const SES_STACK: &str = "keynudge-ses";
/// Close to what IAM takes: a scan is seen to move.
const IAM_LATENCY: Duration = Duration::from_millis(20);

/// Starts it, says what to type next, and waits to be told to end.
pub(crate) async fn run(options: &Options, place: &Place) -> Result<ExitCode> {
    let taken = place.take()?;
    let account = Account::nth(1);
    let population =
        Population::typical(&Setting::default(), options.users, options.users * STALE_PERCENT / 100, SEED);
    let iam = SimulatedIam::start(&simulated_iam::Options { latency: IAM_LATENCY, ..Default::default() })?;
    iam.set_users(&account, population.users());
    iam.set_account(&account, Settings { alias: Some(ALIAS.to_owned()), ..Settings::default() });
    let ses = SimulatedSes::start(&simulated_ses::Options::default())?;
    let emulator_options = emulator::Options {
        port: options.port,
        iam: emulator::Iam::At(iam.endpoint()),
        ses: emulator::Ses::At(ses.endpoint()),
        ..emulator::Options::default()
    };
    let emulator = Emulator::start(&emulator_options, &say).await?;
    ses.pass_on_to(&emulator.endpoint());
    let SesStack { configuration_set, events_topic_arn } = set_up_ses(&emulator, &account, &ses).await?;
    taken.announce(&Running {
        endpoint: emulator.endpoint(),
        iam: iam.endpoint(),
        ses: ses.endpoint(),
        control: control::serve(Mistake::to_come(iam, account.clone(), &population)).await?,
        account: account.to_string(),
        configuration_set,
        events_topic_arn,
    })?;
    let told_to_end = interrupt::told_to_end()?;
    tell(&welcome(options.users, &account, &shown(&place.environment())));
    told_to_end.await;
    emulator.end();
    Ok(ExitCode::SUCCESS)
}

/// What an operator does on AWS before deploying: has SES know the sender, and say what becomes of mails.
async fn set_up_ses(emulator: &Emulator, account: &Account, ses: &SimulatedSes) -> Result<SesStack> {
    let aws = Client::new(emulator.endpoint(), account.clone());
    verify_sender(&aws).await?;
    let stack = SesStack::create_as(SES_STACK, &aws).await?;
    ses.publish_to(account, &stack.configuration_set, &stack.events_topic_arn);
    Ok(stack)
}

fn welcome(users: usize, account: &Account, environment: &str) -> String {
    format!(
        "
AWS is on this machine now: account {account}, with {} IAM users. SES knows the sender,
{}. Keynudge is not deployed yet. In another terminal, in this folder:

  . {environment}          (in fish: source {environment}.fish)
  keynudge scan --default-domain corp.example --allowed-domains corp.example
  cargo playground deploy
  keynudge run

The first line has keynudge and the AWS CLI (2.13 or later) reach this AWS, and no other. Ctrl-C here ends it, and
nothing is left.",
        HumanCount(users as u64),
        sender()
    )
}

/// A path as one would type it here.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
