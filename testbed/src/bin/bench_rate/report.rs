//! The figures, and what is made of them.

use std::fmt;
use std::num::NonZeroU32;

use anyhow::Result;
use indicatif::HumanCount;
use keynudge_testbed::charts::lines::{Lines, Series};
use keynudge_testbed::cost::{Dollars, Used};
use keynudge_testbed::measurement::median;
use keynudge_testbed::stage::{Observed, Outcome};
use serde::Serialize;

use crate::options::Options;
use crate::usage::Usage;

/// The goals.
const USED_MIN: f64 = 0.95;
const TIME_OVER_BOUND_MAX: f64 = 1.1;

/// What costs are told for.
const USERS_OF_COST: usize = 10_000;

/// What `--json` prints, in this order: medians first, then each run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures<'a> {
    users: usize,
    stale_owners: usize,
    calls_per_second: u32,
    workers: u32,
    iam_latency_ms: u128,
    /// The part of the rate that was used while there was work.
    used: f64,
    /// From the first call to the last one, in times of what the rate allows.
    time_over_bound: f64,
    runs: &'a [RunFigures],
}

/// What one run came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunFigures {
    /// The part of the rate that was used while there was work.
    used: f64,
    /// From the first call to the last one, in whole seconds.
    seconds: usize,
    /// The calls that have to be made, at the rate.
    bound_s: f64,
    /// The one over the other.
    time_over_bound: f64,
    calls_needed: usize,
    calls_answered: u64,
    calls_throttled: u64,
    /// Until everything was done, mails included.
    wall_s: f64,
    /// Records that waited on the queue for their turn, as often as they did.
    postponed: u64,
    /// Records that waited there after a failure.
    given_back: u64,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
    /// What AWS would bill.
    used_of_aws: Used,
    /// What that costs for [`USERS_OF_COST`] users.
    dollars: Dollars,
    /// The calls that were answered in each second.
    answered_by_second: Vec<u64>,
}

impl RunFigures {
    pub(crate) fn of(
        observed: Observed,
        usage: &Usage,
        used_of_aws: Used,
        options: &Options,
        needed: usize,
    ) -> Self {
        let rate = options.calls_per_second;
        let bound_s = seconds_at(needed, rate);
        let Observed { ran, outcome, metrics } = observed;
        let answered_by_second = usage.answered();
        Self {
            used: rounded(usage.used(rate.get())),
            seconds: usage.seconds(),
            bound_s,
            time_over_bound: rounded(number(usage.seconds()) / bound_s),
            calls_needed: needed,
            calls_answered: answered_by_second.iter().sum(),
            calls_throttled: usage.throttled().iter().sum(),
            wall_s: rounded(ran.took.as_secs_f64()),
            postponed: metrics.get("RecordsPostponed"),
            given_back: metrics.get("RecordsGivenBack"),
            outcome,
            dollars: used_of_aws.dollars(number(USERS_OF_COST) / number(options.users)),
            used_of_aws,
            answered_by_second,
        }
    }
}

pub(crate) fn seconds_at(calls: usize, rate: NonZeroU32) -> f64 {
    number(calls) / f64::from(rate.get())
}

/// All runs.
pub(crate) struct Report<'a> {
    options: &'a Options,
    runs: Vec<RunFigures>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(options: &'a Options) -> Self {
        Self { options, runs: Vec::new() }
    }

    pub(crate) fn add(&mut self, run: RunFigures) {
        self.runs.push(run);
    }

    /// Whether everybody got what they had to get, in each run.
    pub(crate) fn is_right(&self) -> bool {
        self.runs.iter().all(|run| run.outcome.is_right())
    }

    pub(crate) fn figures(&self) -> Figures<'_> {
        let options = self.options;
        let median_of =
            |figure: fn(&RunFigures) -> f64| median(&self.runs.iter().map(figure).collect::<Vec<f64>>());
        Figures {
            users: options.users,
            stale_owners: options.stale_owners(),
            calls_per_second: options.calls_per_second.get(),
            workers: options.workers,
            iam_latency_ms: options.latency().as_millis(),
            used: median_of(|run| run.used),
            time_over_bound: median_of(|run| run.time_over_bound),
            runs: &self.runs,
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = self.figures();
        let Figures { users, calls_per_second, workers, iam_latency_ms, .. } = figures;
        writeln!(
            out,
            "{users} users, {workers} workers, {calls_per_second} calls a second, {iam_latency_ms} ms each\n"
        )?;
        writeln!(
            out,
            "  {:>6}{:>8}{:>9}{:>8}{:>10}{:>11}{:>11}{:>12}{:>7}{:>6}",
            "used",
            "time",
            "over it",
            "calls",
            "throttled",
            "postponed",
            "given back",
            "dead letters",
            "mails",
            "lost"
        )?;
        for run in &self.runs {
            writeln!(
                out,
                "  {:>5.1}%{:>6} s{:>9.3}{:>8}{:>10}{:>11}{:>11}{:>12}{:>7}{:>6}",
                100.0 * run.used,
                run.seconds,
                run.time_over_bound,
                run.calls_answered,
                run.calls_throttled,
                run.postponed,
                run.given_back,
                run.outcome.dead_letters,
                run.outcome.mails,
                run.outcome.lost,
            )?;
        }
        let goal = |reached| if reached { "reached" } else { "MISSED" };
        writeln!(
            out,
            "\n  {:.1} % of the rate used while there was work: goal of {:.0} % {}",
            100.0 * figures.used,
            100.0 * USED_MIN,
            goal(figures.used >= USED_MIN)
        )?;
        writeln!(
            out,
            "  {:.3} times the time that the rate allows: goal of {TIME_OVER_BOUND_MAX} {}",
            figures.time_over_bound,
            goal(figures.time_over_bound <= TIME_OVER_BOUND_MAX)
        )?;
        self.runs.iter().try_for_each(|run| {
            let Dollars { lambda, sqs, dynamodb, logs, without_mail, ses, with_mail } = run.dollars;
            writeln!(
                out,
                "  {} users cost $ {without_mail:.4} (Lambda {lambda:.4}, SQS {sqs:.4}, DynamoDB {dynamodb:.4}, logs \
                 {logs:.4}), with mail $ {with_mail:.4} (SES {ses:.4}), at list prices",
                HumanCount(USERS_OF_COST as u64),
            )
        })?;
        writeln!(
            out,
            "\n{}",
            if self.is_right() {
                "Every owner got exactly the mail that was expected."
            } else {
                "WRONG mails."
            }
        )
    }
}

/// Calls over time, beside the rate.
pub(crate) fn curve(usage: &Usage, options: &Options) -> Result<String> {
    let rate = options.calls_per_second;
    let line = |calls: Vec<u64>| -> Vec<(f64, f64)> {
        let calls = calls.into_iter().map(|calls| number(usize::try_from(calls).unwrap_or(usize::MAX)));
        calls.enumerate().map(|(second, calls)| (number(second), calls)).collect()
    };
    let chart = Lines {
        title: format!("Calls to IAM: {} workers, {rate} calls a second allowed", options.workers),
        x: "seconds since the first call".to_owned(),
        y: "calls in the second".to_owned(),
        level: Some(("allowed".to_owned(), rate.get().into())),
        series: vec![
            Series { name: "answered".to_owned(), points: line(usage.answered()) },
            Series { name: "throttled".to_owned(), points: line(usage.throttled()) },
        ],
    };
    Ok(chart.to_svg()?)
}

#[expect(clippy::cast_precision_loss, reason = "some thousands of calls in some minutes")]
pub(crate) fn number(count: usize) -> f64 {
    count as f64
}

/// To thousandths.
fn rounded(number: f64) -> f64 {
    (1000.0 * number).round() / 1000.0
}
