//! The figures, and the table made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use indicatif::HumanCount;
use keynudge_testbed::estate::Plan;
use keynudge_testbed::functions::Function;
use keynudge_testbed::measurement::{number, rounded};
use keynudge_testbed::peak_memory::PeakMemory;
use keynudge_testbed::processor_time::ProcessorTime;
use keynudge_testbed::stage::{Observed, Outcome};
use serde::Serialize;

use crate::options::Options;

/// The goal: a user among many may take so much longer than one among few.
const RATIO_MAX: f64 = 1.15;

/// Some calls are made once in an account.
const CALLS_DECIMALS: i32 = 5;
const DECIMALS: i32 = 3;

/// What a run came to, as it was found.
pub(crate) struct Measured {
    pub(crate) observed: Observed,
    pub(crate) peak_memory: PeakMemory,
    pub(crate) processor_time: ProcessorTime,
    /// Only what the emulator took during the run.
    pub(crate) emulator_time: Duration,
    /// The same of the simulated IAM and SES.
    pub(crate) simulator_time: Duration,
    /// Those of IAM, STS and Organizations, by operation.
    pub(crate) iam_calls: BTreeMap<String, u64>,
    /// All others, by service and operation.
    pub(crate) other_calls: BTreeMap<String, u64>,
}

/// What `--json` prints, in this order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    iam_latency_ms: u128,
    workers: u32,
    /// The time per user of the many over that of the few.
    ratio: f64,
    /// The few, and the many.
    sizes: Vec<SizeFigures>,
}

/// What one size came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SizeFigures {
    accounts: u32,
    users: usize,
    stale_owners: usize,
    wall_s: f64,
    ms_per_user: f64,
    users_per_s: f64,
    /// What the emulator does in a second with a function that does nothing.
    idle_messages_per_s: f64,
    /// The part of the time in which the emulator was computing: no more than one processor's worth, since it is Python.
    emulator_busy: f64,
    peak_mb: BTreeMap<&'static str, f64>,
    cpu_ms_per_user: BTreeMap<&'static str, f64>,
    calls_per_user: BTreeMap<String, f64>,
    #[serde(flatten)]
    outcome: Outcome,
}

impl SizeFigures {
    pub(crate) fn of(plan: &Plan, measured: Measured, idle_messages_per_s: f64) -> Self {
        let users = number(plan.users as u64);
        let seconds = measured.observed.ran.took.as_secs_f64();
        let milliseconds = |time: Duration| rounded(1000.0 * time.as_secs_f64() / users, DECIMALS);
        let mut peak_mb = BTreeMap::new();
        let mut cpu_ms_per_user = BTreeMap::from([
            ("emulator", milliseconds(measured.emulator_time)),
            ("simulated IAM and SES", milliseconds(measured.simulator_time)),
        ]);
        for function in Function::ALL {
            // Unknown where there is no `/proc`, and of a function that had nothing to do.
            let Some(bytes) = measured.peak_memory.of(function) else { continue };
            peak_mb.insert(function.binary(), rounded(number(bytes) / 1e6, DECIMALS));
            cpu_ms_per_user.insert(function.binary(), milliseconds(measured.processor_time.of(function)));
        }
        let calls = measured.iam_calls.into_iter().chain(measured.other_calls);
        Self {
            accounts: plan.accounts,
            users: plan.users,
            stale_owners: plan.stale,
            wall_s: rounded(seconds, DECIMALS),
            ms_per_user: rounded(1000.0 * seconds / users, DECIMALS),
            users_per_s: rounded(users / seconds, DECIMALS),
            idle_messages_per_s: rounded(idle_messages_per_s, DECIMALS),
            emulator_busy: rounded(measured.emulator_time.as_secs_f64() / seconds, DECIMALS),
            peak_mb,
            cpu_ms_per_user,
            calls_per_user: calls
                .map(|(call, count)| (call, rounded(number(count) / users, CALLS_DECIMALS)))
                .collect(),
            outcome: measured.observed.outcome,
        }
    }
}

impl Figures {
    pub(crate) fn of(options: &Options, sizes: Vec<SizeFigures>) -> Self {
        let per_user: Vec<f64> = sizes.iter().map(|size| size.ms_per_user).collect();
        let ratio = rounded(per_user[per_user.len() - 1] / per_user[0], DECIMALS);
        Self { iam_latency_ms: options.latency().as_millis(), workers: options.workers, ratio, sizes }
    }

    /// Whether everybody got what they had to get, whatever the size.
    pub(crate) fn is_right(&self) -> bool {
        self.sizes.iter().all(|size| size.outcome.is_right())
    }

    fn row(
        &self,
        name: &str,
        out: &mut fmt::Formatter<'_>,
        cell: impl Fn(&SizeFigures) -> String,
    ) -> fmt::Result {
        write!(out, "  {name:<34}")?;
        self.sizes.iter().try_for_each(|size| write!(out, "{:>24}", cell(size)))?;
        writeln!(out)
    }

    /// One row for each name in any of the maps.
    fn rows<K: Ord + fmt::Display>(
        &self,
        heading: &str,
        out: &mut fmt::Formatter<'_>,
        map: impl Fn(&SizeFigures) -> &BTreeMap<K, f64>,
    ) -> fmt::Result {
        writeln!(out, "\n  {heading}")?;
        let names: BTreeSet<&K> = self.sizes.iter().flat_map(|size| map(size).keys()).collect();
        names.into_iter().try_for_each(|name| {
            let cell =
                |size: &SizeFigures| map(size).get(name).map_or("-".to_owned(), |one| format!("{one:.4}"));
            self.row(&format!("  {name}"), out, cell)
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row("users in accounts", out, |size| {
            format!("{} in {}", HumanCount(size.users as u64), size.accounts)
        })?;
        self.row("time", out, |size| format!("{:.1} s", size.wall_s))?;
        self.row("time per user", out, |size| format!("{:.2} ms", size.ms_per_user))?;
        self.row("users in a second", out, |size| format!("{:.0}", size.users_per_s))?;
        self.row("idle messages in a second", out, |size| format!("{:.0}", size.idle_messages_per_s))?;
        self.row("emulator busy", out, |size| format!("{:.0} %", 100.0 * size.emulator_busy))?;
        self.row("mails", out, |size| HumanCount(size.outcome.mails as u64).to_string())?;
        self.row("lost, twice, dead letters", out, |size| {
            let Outcome { lost, duplicates, dead_letters, .. } = size.outcome;
            format!("{lost}, {duplicates}, {dead_letters}")
        })?;
        self.rows("peak memory, MB", out, |size| &size.peak_mb)?;
        self.rows("processor time per user, ms", out, |size| &size.cpu_ms_per_user)?;
        self.rows("calls per user", out, |size| &size.calls_per_user)?;
        writeln!(
            out,
            "\n  {:.3} times the time per user: goal of {RATIO_MAX} {}",
            self.ratio,
            if self.ratio <= RATIO_MAX { "reached" } else { "MISSED" }
        )?;
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
