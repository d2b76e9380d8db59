//! The figures, and what is made of them.

use std::fmt;
use std::num::NonZeroU32;

use anyhow::Result;
use indicatif::HumanCount;
use keynudge_testbed::charts::lines::{Lines, Series};
use keynudge_testbed::cost::{Dollars, Used, fixed_per_month};
use keynudge_testbed::measurement::{median, number, rounded};
use keynudge_testbed::simulated_iam::BURST;
use keynudge_testbed::stage::{Observed, Outcome};
use serde::Serialize;

use crate::options::Options;
use crate::usage::Usage;

/// The goals.
const USED_MIN: f64 = 0.95;
const TIME_OVER_BOUND_MAX: f64 = 1.1;
/// "Hardly ever".
const THROTTLED_MAX: f64 = 0.01;

/// Time is in whole seconds, and no bound is shorter than one.
const BOUND_MIN_S: f64 = 1.0;

/// To thousandths.
const DECIMALS: i32 = 3;

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
    /// The part of the calls that was throttled.
    throttled: f64,
    runs: &'a [RunFigures],
}

/// What one run came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunFigures {
    /// The part of the rate that was used while there was work.
    used: f64,
    /// From the first call to the last one, in whole seconds.
    seconds: usize,
    /// No run is shorter, whoever makes the calls.
    bound_s: f64,
    /// The one over the other.
    time_over_bound: f64,
    calls_needed: usize,
    calls_answered: u64,
    calls_throttled: u64,
    /// The latter over both.
    throttled: f64,
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
    /// What that costs for [`USERS_OF_COST`] users, each time.
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
        let bound_s = bound_s(needed, rate);
        let Observed { ran, outcome, metrics } = observed;
        let answered_by_second = usage.answered();
        let calls_answered: u64 = answered_by_second.iter().sum();
        let calls_throttled: u64 = usage.throttled().iter().sum();
        Self {
            used: rounded(usage.used(rate.get()), DECIMALS),
            seconds: usage.seconds(),
            bound_s,
            time_over_bound: rounded(number(usage.seconds()) / bound_s, DECIMALS),
            calls_needed: needed,
            calls_answered,
            calls_throttled,
            throttled: rounded(part(calls_throttled, calls_answered + calls_throttled), DECIMALS),
            wall_s: rounded(ran.took.as_secs_f64(), DECIMALS),
            postponed: metrics.get("RecordsPostponed"),
            given_back: metrics.get("RecordsGivenBack"),
            outcome,
            dollars: used_of_aws.dollars(number(USERS_OF_COST) / number(options.users)),
            used_of_aws,
            answered_by_second,
        }
    }
}

/// How long IAM makes everybody take who has to make so many calls: those that its bucket gives at once need not be waited
/// for.
pub(crate) fn bound_s(calls: usize, rate: NonZeroU32) -> f64 {
    let waited_for = calls.saturating_sub(BURST.get() as usize);
    (number(waited_for) / f64::from(rate.get())).max(BOUND_MIN_S)
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
            throttled: median_of(|run| run.throttled),
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
            "  {:>6}{:>8}{:>9}{:>11}{:>8}{:>11}{:>11}{:>12}{:>14}{:>7}{:>6}",
            "used",
            "time",
            "over it",
            "wall",
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
                "  {:>5.1}%{:>6} s{:>9.3}{:>9.1} s{:>8}{:>11}{:>11}{:>12}{:>14}{:>7}{:>6}",
                100.0 * run.used,
                run.seconds,
                run.time_over_bound,
                run.wall_s,
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
        writeln!(
            out,
            "  {:.1} % of the calls throttled: goal of {:.0} % {}",
            100.0 * figures.throttled,
            100.0 * THROTTLED_MAX,
            goal(figures.throttled <= THROTTLED_MAX)
        )?;
        if let Some(run) = self.runs.first() {
            let Dollars { lambda, sqs, dynamodb, logs, without_ses, ses, total } = run.dollars;
            writeln!(
                out,
                "\n  {} users at {calls_per_second} calls a second with {workers} workers cost $ {without_ses:.4} per run \
                 (Lambda {lambda:.4}, SQS {sqs:.4}, DynamoDB {dynamodb:.4}, logs {logs:.4}),\n  with mail $ {total:.4} \
                 (SES {ses:.4}), at list prices, fixed costs not included,\n  and $ {:.2} a month, however many users",
                HumanCount(USERS_OF_COST as u64),
                fixed_per_month(),
            )?;
        }
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

/// None of nothing is none.
#[expect(clippy::cast_precision_loss, reason = "some thousands of calls")]
fn part(of: u64, all: u64) -> f64 {
    of as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_bucket_gives_at_once_need_not_be_waited_for() {
        let rate = NonZeroU32::new(10).unwrap();
        for (calls, seconds) in [(2430, 240.0), (60, 3.0), (30, 1.0), (5, 1.0), (0, 1.0)] {
            assert!(
                (bound_s(calls, rate) - seconds).abs() < f64::EPSILON,
                "{calls}: {}",
                bound_s(calls, rate)
            );
        }
    }
}
