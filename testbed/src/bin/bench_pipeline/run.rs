//! The runs: everybody in turns, each time in an account of their own.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use keynudge_testbed::aws::{Account, Client};
use keynudge_testbed::emulator::{self, Emulator};
use keynudge_testbed::functions::Packages;
use keynudge_testbed::outbox;
use keynudge_testbed::population::Population;
use keynudge_testbed::simulated_iam::account::{ReportReady, ReportSettings, Settings};
use keynudge_testbed::simulated_iam::{self, BURST, Calls, SimulatedIam, TokenBucket};
use keynudge_testbed::simulated_ses::{self, SimulatedSes};
use keynudge_testbed::venv;
use keynudge_testbed::workbench::Usage;

use crate::contenders::{Contender, Stage};
use crate::options::{Column, Options};
use crate::say;
use crate::verdict;

/// How long IAM makes a credential report. AWS does not say; whoever waits for one, waits two to ten seconds.
const REPORT_TIME: Duration = Duration::from_secs(2);
/// More mistakes than these would say no more.
const MISTAKES_SHOWN: usize = 10;

/// One run of one contender.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) usage: Usage,
    /// Of IAM, by operation.
    pub(crate) iam_calls: BTreeMap<String, Calls>,
    /// Of all other services, by service and operation.
    pub(crate) other_calls: BTreeMap<String, u64>,
}

/// Every run, by column and contender.
pub(crate) type Results = BTreeMap<(Column, Contender), Vec<Measured>>;

/// What all runs have in common.
struct Ground {
    emulator: Emulator,
    iam: SimulatedIam,
    ses: SimulatedSes,
    packages: Packages,
    python: PathBuf,
    population: Population,
}

/// Has everybody do the job as often as asked. Fails if anybody does it wrong.
pub(crate) async fn run(options: &Options) -> Result<Results> {
    let ground = Ground::prepare(options).await?;
    let mut results = Results::new();
    let mut accounts = (1..).map(Account::nth);
    for round in 1..=options.runs {
        for column in options.columns() {
            for contender in options.contenders() {
                let account = accounts.next().expect("there is no end of accounts");
                let measured = ground.let_run(contender, column, account, options).await?;
                let took = measured.usage.wall.as_secs_f64();
                let name = contender.name();
                say(&format!("round {round} of {}: {name}, {column:?}: {took:.1} s", options.runs));
                results.entry((column, contender)).or_default().push(measured);
            }
        }
    }
    Ok(results)
}

impl Ground {
    /// Starts everything that all runs use. SES takes mails as fast as they come, from everybody.
    async fn prepare(options: &Options) -> Result<Self> {
        let report = |what: &str| say(what);
        let iam_options =
            simulated_iam::Options { latency: options.iam_latency(), ..simulated_iam::Options::default() };
        let iam = SimulatedIam::start(&iam_options)?;
        let ses = SimulatedSes::start(&simulated_ses::Options::default())?;
        let emulator_options = emulator::Options {
            iam: emulator::Iam::At(iam.endpoint()),
            ses: emulator::Ses::At(ses.endpoint()),
            ..emulator::Options::default()
        };
        let python = venv::python(venv::CONTENDERS, &report).await?;
        let emulator = Emulator::start(&emulator_options, &report).await?;
        ses.pass_on_to(&emulator.endpoint());
        say("building the functions, as they are deployed");
        let packages = Packages::build(options.profile).await?;
        let population = Population::plain(options.users(), options.stale_owners(), options.seed);
        Ok(Self { emulator, iam, ses, packages, python, population })
    }

    async fn let_run(
        &self,
        contender: Contender,
        column: Column,
        account: Account,
        options: &Options,
    ) -> Result<Measured> {
        let iam_rate = (column == Column::Throttled).then(|| options.iam_rate());
        self.furnish(&account, iam_rate);
        let stage = Stage {
            account: account.clone(),
            emulator: &self.emulator.endpoint(),
            iam: &self.iam.endpoint(),
            ses: &self.ses.endpoint(),
            iam_rate,
            packages: &self.packages,
            python: &self.python,
        };
        // The emulator counts for all accounts together; only this one is at work.
        let aws = stage.aws();
        let before = aws.signed_calls().await?;
        let usage = contender.run(&stage).await?;
        let other_calls = beyond(&before, aws.signed_calls().await?);
        self.check(contender, &account).await?;
        Ok(Measured { usage, iam_calls: self.iam.calls(&account), other_calls })
    }

    fn furnish(&self, account: &Account, iam_rate: Option<NonZeroU32>) {
        self.iam.set_users(account, self.population.users());
        let report = ReportSettings { ready: ReportReady::After(REPORT_TIME), ..ReportSettings::default() };
        let limit = iam_rate.map(|rate| TokenBucket { rate, burst: BURST });
        self.iam.set_account(account, Settings { limit, report, ..Settings::default() });
    }

    /// Fails if the contender did not mail exactly those it had to.
    async fn check(&self, contender: Contender, account: &Account) -> Result<()> {
        let mails = outbox::mails(&Client::new(self.emulator.endpoint(), account.clone())).await?;
        let mistakes = verdict::mistakes(&self.population, &mails, contender.mails_name());
        if !mistakes.is_empty() {
            let shown = mistakes[..mistakes.len().min(MISTAKES_SHOWN)].join("\n  ");
            bail!("{} made {} mistakes:\n  {shown}", contender.name(), mistakes.len());
        }
        Ok(())
    }
}

/// What was counted since `before`.
fn beyond(before: &BTreeMap<String, u64>, after: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let since = after.into_iter().map(|(call, count)| {
        let earlier = before.get(&call).copied().unwrap_or_default();
        (call, count.saturating_sub(earlier))
    });
    since.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_calls_of_a_run_are_its_own() {
        let counts = |counts: &[(&str, u64)]| -> BTreeMap<String, u64> {
            counts.iter().map(|(call, count)| ((*call).to_owned(), *count)).collect()
        };
        let before = counts(&[("ses:SendEmail", 5), ("sqs:SendMessage", 7)]);
        let after = counts(&[("ses:SendEmail", 8), ("sqs:SendMessage", 7), ("dynamodb:PutItem", 2)]);
        assert_eq!(beyond(&before, after), counts(&[("ses:SendEmail", 3), ("dynamodb:PutItem", 2)]));
    }
}
