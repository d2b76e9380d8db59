//! What a scenario happens to: users, IAM, SES, proxies in front of them, the emulator, a deployment.

use std::collections::BTreeMap;

use super::{Outcome, Scenario, Size};
use crate::aws::{Account, Client};
use crate::deployment::{Deployment, Parameters, SesStack};
use crate::emulator::{self, Aws, Emulator, Iam, Ses};
use crate::faults::{Endpoints, FaultPlan, FaultProxies};
use crate::functions::Packages;
use crate::ledger;
use crate::outbox::{self, Queues, Verdict, queue_name};
use crate::pipeline::Patience;
use crate::population::{Population, Setting};
use crate::simulated_iam::{self, SimulatedIam};
use crate::simulated_ses::{self, SimulatedSes};
use crate::{Error, Result};

/// What is special about a scenario's world.
pub(super) struct Plan {
    pub(super) iam: simulated_iam::Options,
    pub(super) ses: simulated_ses::Options,
    pub(super) faults: Option<FaultPlan>,
    pub(super) deliveries_per_message: u32,
    pub(super) parameters: Parameters,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            iam: simulated_iam::Options::default(),
            ses: simulated_ses::Options::default(),
            faults: None,
            deliveries_per_message: 1,
            parameters: Parameters::default(),
        }
    }
}

/// Short times, many functions at work, and no rate that matters: what a scenario is slowed down by is its own matter.
pub(super) fn quick() -> Parameters {
    Parameters::unpaced()
        .with("Timing", "testbed")
        .with("WorkerConcurrency", "10")
        .with("NotifierConcurrency", "10")
}

/// All of it, running.
pub(super) struct World {
    pub(super) deployment: Deployment,
    pub(super) emulator: Emulator,
    pub(super) population: Population,
    pub(super) ses: SimulatedSes,
    faults: Option<FaultProxies>,
}

impl World {
    /// Starts everything, and deploys Keynudge.
    pub(super) async fn start(
        plan: &Plan,
        size: &Size,
        packages: &Packages,
        report: &impl Fn(&str),
    ) -> Result<Self> {
        let population = Population::typical(&Setting::default(), size.users, size.stale, size.seed);
        let account = Account::nth(1);
        let iam = SimulatedIam::start(&plan.iam)?;
        iam.set_users(&account, population.users());
        let ses = SimulatedSes::start(&plan.ses)?;
        let faults = match &plan.faults {
            Some(faults) => Some(FaultProxies::start(faults, report).await?),
            None => None,
        };
        let in_front = faults.as_ref().map(FaultProxies::endpoints);
        let options = emulator::Options {
            iam: Iam::At(in_front.map_or_else(|| iam.endpoint(), |proxies| proxies.iam.clone())),
            ses: Ses::At(in_front.map_or_else(|| ses.endpoint(), |proxies| proxies.ses.clone())),
            aws: in_front.map_or(Aws::Emulator, |proxies| Aws::Behind(proxies.aws.clone())),
            deliveries_per_message: plan.deliveries_per_message,
            ..emulator::Options::default()
        };
        let emulator = Emulator::start(&options, report).await?;
        ses.pass_on_to(&emulator.endpoint());
        if let Some(faults) = &faults {
            let upstream = Endpoints { aws: emulator.endpoint(), iam: iam.endpoint(), ses: ses.endpoint() };
            faults.pass_on_to(&upstream).await?;
        }
        report("deploying the template");
        let aws = Client::new(emulator.endpoint(), account);
        let SesStack { configuration_set, events_topic_arn } = SesStack::create(&aws).await?;
        ses.publish_to(aws.account(), &configuration_set, &events_topic_arn);
        let parameters = plan
            .parameters
            .clone()
            .with("ConfigurationSet", configuration_set)
            .with("SesEventsTopicArn", events_topic_arn);
        let deployment = Deployment::create(aws, packages, &parameters).await?;
        Ok(Self { deployment, emulator, population, ses, faults })
    }

    /// Fires the schedule and waits until nothing is left to do, or nothing moves any more: what is stuck then is part of
    /// the outcome.
    pub(super) async fn run(&self, patience: Patience, report: &impl Fn(&str)) -> Result<()> {
        self.run_and(patience, report, || ()).await
    }

    /// The same, and does `once_begun` when the run has been started.
    pub(super) async fn run_and(
        &self,
        patience: Patience,
        report: &impl Fn(&str),
        once_begun: impl FnOnce(),
    ) -> Result<()> {
        report("waiting for the run to end");
        let mut once_begun = Some(once_begun);
        let on_progress = |_| {
            if let Some(begun) = once_begun.take() {
                begun();
            }
        };
        match self.deployment.run(patience, on_progress).await {
            Err(Error::NotDrained { what, report: details }) => {
                report(&format!("the pipeline {what}\n{details}"));
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Counts what came of it.
    pub(super) async fn outcome(&self, scenario: Scenario, kills: u64) -> Result<Outcome> {
        let deployment = &self.deployment;
        let mails = outbox::mails(&deployment.aws).await?;
        let verdict = Verdict::on(&self.population, &mails);
        let unknown_outcomes =
            ledger::takeovers(&deployment.aws, &deployment.outputs.ledger_table_name).await?;
        let queued = deployment.progress().await?;
        let faults = match &self.faults {
            Some(proxies) => proxies.injected().await?,
            None => 0,
        };
        Ok(Outcome {
            scenario: scenario.name(),
            users: self.population.owners.len(),
            faults,
            kills,
            expected: self.population.totals().mails,
            mails: mails.len(),
            lost: verdict.lost,
            duplicates: verdict.duplicates,
            unexplained_duplicates: verdict.unexplained_duplicates(&unknown_outcomes).len(),
            unknown_outcomes: unknown_outcomes.into_values().sum(),
            dead_letters: queued.dead_letters,
            stuck: queued.to_do(),
            broken: verdict.wrong,
        })
    }

    /// Why messages were given up: how many with which reason in which queue.
    pub(super) async fn reasons(&self) -> Result<BTreeMap<String, usize>> {
        let queues = Queues::of(&self.deployment.aws).await?;
        let mut reasons = BTreeMap::new();
        for url in self.deployment.outputs.dead_letter_queue_urls() {
            for letter in queues.messages(url) {
                let text = |name| letter.attribute(name).unwrap_or("none");
                let reason = format!("{}: {} ({})", queue_name(url), text("reason"), text("detail"));
                *reasons.entry(reason).or_default() += 1;
            }
        }
        Ok(reasons)
    }

    /// Promises that nothing was given up, and says why if something was.
    pub(super) async fn promise_that_nothing_is_given_up(&self, outcome: &mut Outcome) -> Result<()> {
        if outcome.dead_letters > 0 {
            outcome.promise(false, format!("no message is given up: {:?}", self.reasons().await?));
        }
        Ok(())
    }
}
