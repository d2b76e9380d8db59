//! The figures, and the table made of them.

use std::fmt;

use indicatif::HumanCount;
use keynudge_testbed::estate::USERS_PER_ACCOUNT_MAX;
use keynudge_testbed::measurement::{median, number, rounded};
use serde::Serialize;

use crate::options::Options;
use crate::run::Scan;

/// The goals: as many users as an account holds in this time, and however many in this memory.
const SECONDS_MAX: f64 = 20.0;
const PEAK_MB_MAX: f64 = 40.0;

const DECIMALS: i32 = 3;

/// What `--json` prints, in this order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    iam_latency_ms: u128,
    concurrency: u32,
    runs: u32,
    accounts: Vec<AccountFigures>,
}

/// The medians of one account's scans.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AccountFigures {
    users: usize,
    stale_owners: usize,
    calls: u64,
    wall_s: f64,
    /// What it takes at least: IAM's time for all calls, so many at once.
    floor_s: f64,
    users_per_s: f64,
    cpu_s: f64,
    /// The simulated IAM's; it has two threads.
    iam_cpu_s: f64,
    peak_mb: f64,
    /// Whether each scan found all users and all owners of stale keys.
    right: bool,
}

impl AccountFigures {
    pub(crate) fn of(users: usize, options: &Options, scans: &[Scan]) -> Self {
        let stale_owners = options.stale.of(users);
        let of_scans =
            |figure: &dyn Fn(&Scan) -> f64| median(&scans.iter().map(figure).collect::<Vec<f64>>());
        let wall_s = of_scans(&|scan| scan.usage.wall.as_secs_f64());
        let calls = scans.last().map_or(0, |scan| scan.calls);
        let at_once = f64::from(options.concurrency.get());
        Self {
            users,
            stale_owners,
            calls,
            wall_s: rounded(wall_s, DECIMALS),
            floor_s: rounded(number(calls) * options.latency().as_secs_f64() / at_once, DECIMALS),
            users_per_s: rounded(number(users as u64) / wall_s, DECIMALS),
            cpu_s: rounded(of_scans(&|scan| scan.usage.cpu.as_secs_f64()), DECIMALS),
            iam_cpu_s: rounded(of_scans(&|scan| scan.iam_time.as_secs_f64()), DECIMALS),
            peak_mb: rounded(of_scans(&|scan| number(scan.usage.peak_bytes) / 1e6), DECIMALS),
            right: scans.iter().all(|scan| scan.listed == users as u64 && scan.stale_owners == stale_owners),
        }
    }

    fn reaches_its_goals(&self) -> bool {
        (self.users > USERS_PER_ACCOUNT_MAX || self.wall_s < SECONDS_MAX) && self.peak_mb <= PEAK_MB_MAX
    }
}

impl Figures {
    pub(crate) fn of(options: &Options, accounts: Vec<AccountFigures>) -> Self {
        Self {
            iam_latency_ms: options.latency().as_millis(),
            concurrency: options.concurrency.get(),
            runs: options.runs,
            accounts,
        }
    }

    /// Whether every scan found what is there.
    pub(crate) fn is_right(&self) -> bool {
        self.accounts.iter().all(|account| account.right)
    }

    fn row(
        &self,
        name: &str,
        out: &mut fmt::Formatter<'_>,
        cell: impl Fn(&AccountFigures) -> String,
    ) -> fmt::Result {
        write!(out, "  {name:<36}")?;
        self.accounts.iter().try_for_each(|account| write!(out, "{:>14}", cell(account)))?;
        writeln!(out)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { iam_latency_ms, concurrency, runs, .. } = self;
        writeln!(
            out,
            "  IAM takes {iam_latency_ms} ms for an answer; {concurrency} users at once; medians of {runs} scans\n"
        )?;
        self.row("users", out, |one| HumanCount(one.users as u64).to_string())?;
        self.row("owners of stale keys", out, |one| HumanCount(one.stale_owners as u64).to_string())?;
        self.row("calls", out, |one| HumanCount(one.calls).to_string())?;
        self.row("time", out, |one| format!("{:.1} s", one.wall_s))?;
        self.row("of which IAM's answers take", out, |one| format!("{:.1} s", one.floor_s))?;
        self.row("users in a second", out, |one| format!("{:.0}", one.users_per_s))?;
        self.row("processor time", out, |one| format!("{:.1} s", one.cpu_s))?;
        self.row("the simulated IAM's, of two threads", out, |one| format!("{:.1} s", one.iam_cpu_s))?;
        self.row("peak memory", out, |one| format!("{:.1} MB", one.peak_mb))?;
        let reached = self.accounts.iter().all(AccountFigures::reaches_its_goals);
        writeln!(
            out,
            "\n  {} users in less than {SECONDS_MAX} s, in {PEAK_MB_MAX} MB however many: goals {}",
            HumanCount(USERS_PER_ACCOUNT_MAX as u64),
            if reached { "reached" } else { "MISSED" }
        )?;
        let verdict = if self.is_right() {
            "Every scan found what is there."
        } else {
            "WRONG: a scan missed somebody."
        };
        writeln!(out, "\n{verdict}")
    }
}
