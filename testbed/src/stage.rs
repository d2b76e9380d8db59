//! Keynudge set up to be measured: accounts, an IAM that takes its time, an SES that takes all and says what became of it,
//! and the real template.

use std::time::Duration;

use serde::Serialize;

use crate::Result;
use crate::aws::Client;
use crate::deployment::{Deployment, Parameters, SesStack};
use crate::emulator::{self, Emulator, Iam, Ses};
use crate::estate::Estates;
use crate::function_logs::Metrics;
use crate::functions::Packages;
use crate::outbox::{self, Verdict};
use crate::pipeline::{Patience, Progress, Ran, Run};
use crate::simulated_iam::{self, SimulatedIam};
use crate::simulated_ses::{self, SimulatedSes};

/// Checking a user whom there is nothing to tell takes a call, and one with a stale key two more: for tags and last use.
const CALLS_PER_STALE_OWNER: usize = 2;

/// All of it, running. It is good for one run: nobody is mailed twice in a day.
pub struct Stage {
    /// Keynudge.
    pub deployment: Deployment,
    /// The IAM its functions ask.
    pub iam: SimulatedIam,
    /// Whom it is about.
    pub estates: Estates,
    /// It ends when this is dropped.
    _emulator: Emulator,
}

/// What came of a run.
#[derive(Debug)]
pub struct Observed {
    /// When it took place.
    pub ran: Ran,
    /// Whether it was right.
    pub outcome: Outcome,
    /// What the functions counted.
    pub metrics: Metrics,
}

/// Whether a run was right.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Owners who had to be mailed.
    pub expected: usize,
    /// Mails there were.
    pub mails: usize,
    /// Owners who had to be mailed, and never were.
    pub lost: usize,
    /// Mails beyond an owner's first.
    pub duplicates: usize,
    /// What was given up.
    pub dead_letters: usize,
    /// What is wrong with the mails, one line for each.
    #[serde(skip)]
    pub mistakes: Vec<String>,
}

impl Outcome {
    /// Whether everybody got what they had to get, and nothing else.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.mistakes.is_empty() && self.dead_letters == 0
    }
}

impl Stage {
    /// Starts everything, and deploys Keynudge with these parameters, to which those of an organization are added.
    ///
    /// # Errors
    ///
    /// Whatever can go wrong with any part of it.
    pub async fn set(
        estates: Estates,
        iam: &simulated_iam::Options,
        parameters: Parameters,
        packages: &Packages,
        report: &impl Fn(&str),
    ) -> Result<Self> {
        let iam = SimulatedIam::start(iam)?;
        estates.furnish(&iam);
        let ses = SimulatedSes::start(&simulated_ses::Options::default())?;
        let options = emulator::Options {
            iam: Iam::At(iam.endpoint()),
            ses: Ses::At(ses.endpoint()),
            ..emulator::Options::default()
        };
        let emulator = Emulator::start(&options, report).await?;
        ses.pass_on_to(&emulator.endpoint());
        report("deploying the template");
        let aws = Client::new(emulator.endpoint(), estates.home().clone());
        let SesStack { configuration_set, events_topic_arn } = SesStack::create(&aws).await?;
        ses.publish_to(aws.account(), &configuration_set, &events_topic_arn);
        let parameters = estates
            .parameters(parameters)
            .with("ConfigurationSet", configuration_set)
            .with("SesEventsTopicArn", events_topic_arn);
        let deployment = Deployment::create(aws, packages, &parameters).await?;
        Ok(Self { deployment, iam, estates, _emulator: emulator })
    }

    /// Fires the schedule, waits until nothing is left to do, and looks at what came of it. `on_progress` hears of each
    /// look at the queues.
    ///
    /// # Errors
    ///
    /// [`Error::NotDrained`](crate::Error::NotDrained), with what is stuck where, if the run does not end in time.
    pub async fn run(&self, patience: Patience, on_progress: impl FnMut(Progress)) -> Result<Observed> {
        let run = Run { accounts: self.estates.all.len(), ..Run::default() };
        let ran = self.deployment.run_as(run, patience, on_progress).await?;
        let mails = outbox::mails(&self.deployment.aws).await?;
        let population = self.estates.population();
        let verdict = Verdict::on(&population, &mails);
        let outcome = Outcome {
            expected: population.totals().mails,
            mails: mails.len(),
            lost: verdict.lost,
            duplicates: verdict.duplicates,
            dead_letters: self.deployment.progress().await?.dead_letters,
            mistakes: verdict.mistakes,
        };
        Ok(Observed { ran, outcome, metrics: self.deployment.metrics().await? })
    }

    /// How many calls checking all users takes at least.
    #[must_use]
    pub fn calls_needed(&self) -> usize {
        let totals = self.estates.population().totals();
        totals.checked + CALLS_PER_STALE_OWNER * totals.stale_owners
    }
}

/// Patience with a run that takes so long if nothing is wrong.
#[must_use]
pub fn patience_for(expected: Duration) -> Patience {
    let usual = Patience::default();
    Patience { overall: usual.overall + 2 * expected, ..usual }
}
