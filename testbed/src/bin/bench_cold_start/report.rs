//! What came of it: a table, and the figures as JSON.

use std::fmt::{self, Write};

use anyhow::Result;
use keynudge_testbed::functions::Function;
use keynudge_testbed::measurement::{median, number, rounded};
use serde::Serialize;

use crate::cold_start::ColdStart;

/// More would be noise.
const DECIMALS: i32 = 2;

/// The goals: how many times as soon as its counterpart each function has to be there, and to be done.
const FIRST_POLL_RATIO_MIN: f64 = 50.0;
const FIRST_INVOCATION_RATIO_MIN: f64 = 8.0;

/// The starts of a function and of its counterpart.
pub(crate) struct Comparison {
    pub(crate) function: Function,
    pub(crate) zip_bytes: usize,
    pub(crate) keynudge: Vec<ColdStart>,
    pub(crate) python: Vec<ColdStart>,
}

/// The figures.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    runs: usize,
    functions: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    function: &'static str,
    zip_mb: f64,
    keynudge: Figures,
    python: Figures,
    ratio_first_poll: f64,
    ratio_first_invocation: f64,
}

/// Medians.
#[derive(Debug, Serialize)]
struct Figures {
    first_poll_ms: f64,
    first_invocation_ms: f64,
    /// None where the system does not tell.
    peak_mb: Option<f64>,
}

impl Report {
    pub(crate) fn new(runs: usize, comparisons: &[Comparison]) -> Self {
        Self { runs, functions: comparisons.iter().map(Row::new).collect() }
    }

    #[expect(clippy::print_stdout, reason = "this is what the program was asked for")]
    pub(crate) fn print(&self, as_json: bool) -> Result<()> {
        println!("{self}");
        if as_json {
            println!("{}", serde_json::to_string(self)?);
        }
        Ok(())
    }
}

impl Report {
    /// Says of the function that is nearest to Python whether it is far enough from it.
    fn goal(
        &self,
        formatter: &mut fmt::Formatter<'_>,
        what: &str,
        least: f64,
        ratio: fn(&Row) -> f64,
    ) -> fmt::Result {
        let Some(row) = self.functions.iter().min_by(|a, b| ratio(a).total_cmp(&ratio(b))) else {
            return Ok(());
        };
        let goal = if ratio(row) >= least { "reached" } else { "MISSED" };
        let Row { function, .. } = row;
        writeln!(
            formatter,
            "\n{what}: at least {:.1} times as soon ({function}), goal of {least:.0} times {goal}",
            ratio(row)
        )
    }
}

impl Row {
    fn new(Comparison { function, zip_bytes, keynudge, python }: &Comparison) -> Self {
        let (keynudge, python) = (Figures::of(keynudge), Figures::of(python));
        Self {
            function: function.binary(),
            zip_mb: rounded(megabytes(*zip_bytes as u64), DECIMALS),
            ratio_first_poll: rounded(python.first_poll_ms / keynudge.first_poll_ms, DECIMALS),
            ratio_first_invocation: rounded(
                python.first_invocation_ms / keynudge.first_invocation_ms,
                DECIMALS,
            ),
            keynudge,
            python,
        }
    }
}

impl Figures {
    fn of(starts: &[ColdStart]) -> Self {
        let median_of = |figure: &dyn Fn(&ColdStart) -> f64| {
            rounded(median(&starts.iter().map(figure).collect::<Vec<_>>()), DECIMALS)
        };
        let peaks: Option<Vec<f64>> = starts.iter().map(|start| start.peak_bytes.map(megabytes)).collect();
        Self {
            first_poll_ms: median_of(&|start| start.first_poll.as_secs_f64() * 1e3),
            first_invocation_ms: median_of(&|start| start.first_invocation.as_secs_f64() * 1e3),
            peak_mb: peaks.map(|peaks| rounded(median(&peaks), DECIMALS)),
        }
    }
}

fn megabytes(bytes: u64) -> f64 {
    number(bytes) / 1e6
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.runs;
        writeln!(
            formatter,
            "Milliseconds since the process was started, over HTTPS; medians of {runs} starts each.\n"
        )?;
        writeln!(
            formatter,
            "{:10}{:^28}{:^28}{:^20}{:>8}",
            "", "to the first poll", "to the end of its work", "peak memory, MB", "zip, MB"
        )?;
        writeln!(
            formatter,
            "{:10}{:>10}{:>9}{:>8} {:>10}{:>9}{:>8} {:>10}{:>9}",
            "", "Keynudge", "Python", "", "Keynudge", "Python", "", "Keynudge", "Python"
        )?;
        self.functions.iter().try_for_each(|row| write!(formatter, "{row}"))?;
        self.goal(formatter, "to the first poll", FIRST_POLL_RATIO_MIN, |row| row.ratio_first_poll)?;
        self.goal(formatter, "to the end of its work", FIRST_INVOCATION_RATIO_MIN, |row| {
            row.ratio_first_invocation
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, zip_mb, keynudge, python, ratio_first_poll, ratio_first_invocation } = self;
        let pair = |ours: f64, theirs: f64, ratio: f64| format!("{ours:>10.1}{theirs:>9.1}{ratio:>7.1}×");
        let mut line = format!("{function:10}");
        line += &pair(keynudge.first_poll_ms, python.first_poll_ms, *ratio_first_poll);
        line += " ";
        line += &pair(keynudge.first_invocation_ms, python.first_invocation_ms, *ratio_first_invocation);
        for peak in [keynudge.peak_mb, python.peak_mb] {
            match peak {
                Some(peak) => write!(line, "{peak:>10.1}")?,
                None => write!(line, "{:>10}", "?")?,
            }
        }
        writeln!(formatter, "{line}{zip_mb:>8.2}")
    }
}
