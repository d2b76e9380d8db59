//! `keynudge status`: what the last runs came to, and what is waiting.

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::Utc;
use clap::Args;
use futures::future::try_join;
use keynudge_core::ids::RunId;
use keynudge_core::reckoning::Queued;
use serde::Serialize;

use super::look::{Deployment, Queue, Reckoned};
use super::oldest::{self, Oldest};
use super::show;
use crate::Outcome;
use crate::aws::{Aws, ConnectionArgs};
use crate::interrupt::Interrupt;
use crate::numbers::whole;
use crate::terminal::{self, printable, printable_json};

/// To the upper left corner; and what was below the last line goes.
const HOME: &str = "\u{1b}[H";
const CLEAR_LINE: &str = "\u{1b}[K\n";
const CLEAR_BELOW: &str = "\u{1b}[J";

/// Tell what the last runs came to, and what is waiting
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  # The last runs, the newest one in detail, and the queues
  keynudge status
  # Again every two seconds, until Ctrl-C
  keynudge status --watch
  # One run in detail
  keynudge status --run 2026-03-01T06:00:00Z
  # For scripts
  keynudge status --json | jq '.runs[0].owners'

A dry run's MAILED is in parentheses: these owners would be mailed.

SQS's own counts are up to a minute old. How old a queue's oldest message is, CloudWatch says, some \
                  minutes late (cloudwatch:GetMetricData); where it does not know, it is `-`, or null.")]
pub(crate) struct Status {
    /// How many runs
    #[arg(long, value_name = "N", default_value_t = 5, conflicts_with = "run",
        value_parser = whole("runs", 1_u16..))]
    runs: u16,
    /// Just this run
    #[arg(long, value_name = "RUN_ID")]
    run: Option<RunId>,
    /// Look again every so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
        value_parser = whole("seconds", 1_u64..))]
    watch: Option<u64>,
    /// Print one JSON object for each look
    #[arg(long)]
    json: bool,
}

/// What a look comes to.
#[derive(Debug, Serialize)]
struct Report {
    stack: String,
    runs: Vec<Reckoned>,
    queues: Vec<Queue>,
    /// Why the age of something is missing.
    #[serde(skip)]
    missing_ages: Option<String>,
}

impl Status {
    /// Does it.
    pub(crate) async fn run(&self, connection: &ConnectionArgs) -> Result<Outcome> {
        let aws = Aws::connect(connection).await?;
        let deployment = Deployment::find(&aws).await?;
        let mut oldest = Oldest::default();
        let Some(seconds) = self.watch else {
            self.look(&aws, &deployment, &mut oldest).await?;
            return Ok(Outcome::Done);
        };
        let interrupt = Interrupt::listen()?;
        let watching = async {
            loop {
                self.look(&aws, &deployment, &mut oldest).await?;
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
        };
        tokio::select! {
            () = interrupt.asked() => Ok(Outcome::Done),
            failed = watching => failed,
        }
    }

    async fn look(&self, aws: &Aws, deployment: &Deployment, oldest: &mut Oldest) -> Result<()> {
        let report = self.report(aws, deployment, oldest).await?;
        if self.json {
            oldest.remark(report.missing_ages.as_deref());
            return terminal::print(&(printable_json(&serde_json::to_string(&report)?) + "\n"));
        }
        let text = self.text(&report);
        if self.watch.is_some() && io::stdout().is_terminal() {
            return terminal::print(&format!("{HOME}{}{CLEAR_BELOW}", text.replace('\n', CLEAR_LINE)));
        }
        let gap = if self.watch.is_some() { "\n" } else { "" };
        terminal::print(&format!("{text}{gap}"))
    }

    async fn report(&self, aws: &Aws, deployment: &Deployment, oldest: &mut Oldest) -> Result<Report> {
        let ages = async { Ok(oldest.look(deployment).await) };
        let ((runs, mut queues), ages) = try_join(self.runs_and_queues(aws, deployment), ages).await?;
        if let Ok(ages) = ages {
            deployment.set_ages(&mut queues, ages);
        }
        let missing_ages = oldest::missing(&queues, ages);
        Ok(Report { stack: aws.stack().to_owned(), runs, queues, missing_ages })
    }

    async fn runs_and_queues(
        &self,
        aws: &Aws,
        deployment: &Deployment,
    ) -> Result<(Vec<Reckoned>, Vec<Queue>)> {
        // Before the records: see `Deployment::queued`.
        let queued = deployment.queued().await?;
        let runs = if let Some(run_id) = &self.run {
            vec![self.one(deployment, run_id, queued, aws).await?]
        } else {
            let mut runs = Vec::new();
            for started in deployment.last_runs(self.runs.into()).await? {
                runs.push(deployment.reckon(started, queued).await?);
            }
            runs
        };
        Ok((runs, deployment.queues().await?))
    }

    async fn one(
        &self,
        deployment: &Deployment,
        run_id: &RunId,
        queued: Queued,
        aws: &Aws,
    ) -> Result<Reckoned> {
        if let Some(started) = deployment.started(run_id).await? {
            return deployment.reckon(started, queued).await;
        }
        let unlisted = deployment.reckon_unlisted(run_id.clone(), queued).await?;
        unlisted.with_context(|| {
            format!("the stack {:?} has no run {run_id}: `keynudge status` lists the last ones", aws.stack())
        })
    }

    fn text(&self, report: &Report) -> String {
        let width = terminal::width();
        let mut blocks = Vec::new();
        if self.run.is_none() && !report.runs.is_empty() {
            blocks.push(show::table(&report.runs, width));
        }
        match report.runs.first() {
            Some(newest) => blocks.push(show::detail(newest, Utc::now(), width)),
            None => blocks
                .push("No runs yet. `keynudge run --dry-run` starts one that mails nobody.\n".to_owned()),
        }
        blocks.push(terminal::fitted(&show::queues(&report.queues), width));
        let missing_ages = report.missing_ages.as_ref();
        blocks.extend(missing_ages.map(|why| terminal::wrapped(&printable(why), 0, 0, width) + "\n"));
        match Queue::dead_letters(&report.queues) {
            0 => {}
            letters => {
                let letters = terminal::letters(usize::try_from(letters).unwrap_or(usize::MAX));
                blocks.push(format!("{letters} given up: `keynudge dlq list` says why.\n"));
            }
        }
        blocks.join("\n")
    }
}
