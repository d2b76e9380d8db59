//! What came of it: tables, JSON, a picture.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use keynudge_testbed::charts::bars::{Bar, Bars, Group};
use keynudge_testbed::measurement::{median, number, rounded};
use keynudge_testbed::simulated_iam::Calls;
use serde::Serialize;

use crate::contenders::Contender;
use crate::options::{Column, Options};
use crate::run::{Measured, Results};

/// What `--json` prints, in this order. Where IAM does not throttle, and then where it does.
#[derive(Debug, Serialize)]
struct Figures {
    users: usize,
    iam_latency_ms: u64,
    #[serde(flatten)]
    unthrottled: Comparison,
    /// None if nobody ran there.
    throttled: Option<Throttled>,
}

#[derive(Debug, Serialize)]
struct Throttled {
    iam_rate: u32,
    #[serde(flatten)]
    comparison: Comparison,
}

/// All contenders under the same conditions.
#[derive(Debug, Default, Serialize)]
struct Comparison {
    contenders: Vec<Figure>,
    /// How many times as fast as the script Keynudge is.
    ratio_script: Option<f64>,
    /// The same of Cloud Custodian, by whichever policy is faster.
    ratio_custodian: Option<f64>,
}

/// A contender's medians.
#[derive(Debug, Serialize)]
struct Figure {
    name: &'static str,
    wall_s: f64,
    users_per_s: f64,
    /// Those that were throttled included.
    iam_calls: u64,
    cpu_s: f64,
    /// Of the largest process, in millions of bytes.
    peak_mb: f64,
    #[serde(skip)]
    contender: Contender,
    #[serde(skip)]
    throttled: u64,
}

impl Figure {
    fn of(contender: Contender, runs: &[Measured], users: usize) -> Self {
        let wall_s = median_of(runs, |run| run.usage.wall.as_secs_f64());
        Self {
            name: contender.name(),
            wall_s: rounded(wall_s, 2),
            users_per_s: rounded(number(users) / wall_s, 2),
            iam_calls: whole(median_of(runs, |run| total(run, |calls| calls.answered + calls.throttled))),
            cpu_s: rounded(median_of(runs, |run| run.usage.cpu.as_secs_f64()), 2),
            peak_mb: rounded(median_of(runs, |run| number(run.usage.peak_bytes) / 1e6), 1),
            contender,
            throttled: whole(median_of(runs, |run| total(run, |calls| calls.throttled))),
        }
    }
}

impl Comparison {
    fn of(column: Column, results: &Results, users: usize) -> Self {
        let ours = results.iter().filter(|((its_column, _), _)| *its_column == column);
        let contenders = ours.map(|((_, contender), runs)| Figure::of(*contender, runs, users)).collect();
        let mut comparison = Self { contenders, ..Self::default() };
        comparison.ratio_script = comparison.ratio_to(|one| one == Contender::Script);
        comparison.ratio_custodian = comparison.ratio_to(Contender::is_custodian);
        comparison
    }

    /// How many times as fast as the fastest of these Keynudge is.
    fn ratio_to(&self, others: impl Fn(Contender) -> bool) -> Option<f64> {
        let wall_of = |which: &dyn Fn(Contender) -> bool| {
            let walls = self.contenders.iter().filter(|figure| which(figure.contender));
            walls.map(|figure| figure.wall_s).min_by(f64::total_cmp)
        };
        let keynudge = wall_of(&|one| one == Contender::Keynudge)?;
        Some(rounded(wall_of(&others)? / keynudge, 2))
    }
}

impl Figures {
    fn of(results: &Results, options: &Options) -> Self {
        let throttled = options.columns().contains(&Column::Throttled).then(|| Throttled {
            iam_rate: options.iam_rate().get(),
            comparison: Comparison::of(Column::Throttled, results, options.users()),
        });
        Self {
            users: options.users(),
            iam_latency_ms: options.iam_latency_ms,
            unthrottled: Comparison::of(Column::Unthrottled, results, options.users()),
            throttled,
        }
    }

    /// Each with what it is about.
    fn comparisons(&self) -> Vec<(Column, String, &Comparison)> {
        let unthrottled = (Column::Unthrottled, "IAM does not throttle".to_owned(), &self.unthrottled);
        let throttled = self.throttled.as_ref().map(|Throttled { iam_rate, comparison }| {
            (Column::Throttled, format!("IAM allows {iam_rate} calls a second"), comparison)
        });
        let both = [Some(unthrottled), throttled].into_iter().flatten();
        both.filter(|(_, _, comparison)| !comparison.contenders.is_empty()).collect()
    }
}

/// Prints all of it, and draws it where that was asked for.
#[expect(clippy::print_stdout, reason = "this is what the program was asked for")]
pub(crate) fn tell(results: &Results, options: &Options) -> Result<()> {
    let figures = Figures::of(results, options);
    println!("{}", text(&figures, results, options));
    if let Some(path) = &options.picture {
        fs::write(path, picture(&figures).to_svg()?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    if options.json {
        println!("{}", serde_json::to_string(&figures)?);
    }
    Ok(())
}

fn text(figures: &Figures, results: &Results, options: &Options) -> String {
    let Figures { users, iam_latency_ms, .. } = figures;
    let mut text = format!(
        "{users} users, {} to mail, {iam_latency_ms} ms for each call of IAM; medians of {} runs. All mailed the same \
         owners.\nTime is, for keynudge, from the schedule's firing to the last empty queue, and for the others, from \
         their start to their end. Cloud Custodian's includes the waits it has by default: 10 s for a credential report, and \
         10 s of an empty queue at its mailer's end.\n",
        options.stale_owners(),
        options.runs
    );
    for (column, heading, comparison) in figures.comparisons() {
        let parts = [
            format!("\n{heading}:\n"),
            table_of(comparison, *users),
            table_of_calls(column, comparison, results),
            ratios(comparison),
        ];
        text += &parts.join("\n");
    }
    text
}

fn table_of(comparison: &Comparison, users: usize) -> String {
    let header = ["", "s", "users/s", "IAM calls", "per user", "throttled", "CPU s", "peak MB"];
    let rows = comparison.contenders.iter().map(|figure| {
        let numbers = [
            (figure.wall_s, 1),
            (figure.users_per_s, 1),
            (number(figure.iam_calls), 0),
            (number(figure.iam_calls) / number(users), 2),
            (number(figure.throttled), 0),
            (figure.cpu_s, 1),
            (figure.peak_mb, 0),
        ];
        let cells = numbers.map(|(number, decimals)| format!("{number:.decimals$}"));
        [figure.name.to_owned()].into_iter().chain(cells).collect()
    });
    table(&header, rows.collect())
}

/// Calls by operation: first those of IAM that were answered, and behind a plus those that were throttled; and then those of
/// all other services.
fn table_of_calls(column: Column, comparison: &Comparison, results: &Results) -> String {
    let runs_of = |figure: &Figure| &results[&(column, figure.contender)];
    let all_runs = || comparison.contenders.iter().flat_map(runs_of);
    let header: Vec<&str> =
        [""].into_iter().chain(comparison.contenders.iter().map(|figure| figure.name)).collect();
    let row = |operation: &str, cell: &dyn Fn(&[Measured]) -> String| -> Vec<String> {
        let cells = comparison.contenders.iter().map(|figure| cell(runs_of(figure)));
        [operation.to_owned()].into_iter().chain(cells).collect()
    };
    let of_iam: BTreeSet<&str> =
        all_runs().flat_map(|run| run.iam_calls.keys().map(String::as_str)).collect();
    let iam_rows = of_iam.into_iter().map(|operation| {
        row(operation, &|runs| {
            let of = |part: fn(&Calls) -> u64| {
                median_of(runs, |run| number(run.iam_calls.get(operation).map_or(0, part)))
            };
            match (of(|calls| calls.answered), of(|calls| calls.throttled)) {
                (answered, throttled) if throttled > 0.0 => format!("{answered:.0} +{throttled:.0}"),
                (answered, _) => format!("{answered:.0}"),
            }
        })
    });
    let of_others: BTreeSet<&str> =
        all_runs().flat_map(|run| run.other_calls.keys().map(String::as_str)).collect();
    let other_rows = of_others.into_iter().map(|call| {
        row(call, &|runs| {
            let count = median_of(runs, |run| number(run.other_calls.get(call).copied().unwrap_or_default()));
            format!("{count:.0}")
        })
    });
    table(&header, iam_rows.chain(other_rows).collect())
}

fn ratios(comparison: &Comparison) -> String {
    let ratios = [
        ("the script", comparison.ratio_script),
        ("Cloud Custodian by its faster policy", comparison.ratio_custodian),
    ];
    let lines = ratios
        .into_iter()
        .filter_map(|(other, ratio)| Some(format!("keynudge is {:.1} times as fast as {other}.\n", ratio?)));
    lines.collect()
}

fn picture(figures: &Figures) -> Bars {
    let groups = figures.comparisons().into_iter().map(|(_, name, comparison)| {
        let bars = comparison.contenders.iter();
        let bars = bars.map(|figure| Bar {
            name: figure.name.to_owned(),
            value: figure.users_per_s,
            is_ours: figure.contender.is_keynudge(),
        });
        Group { name, bars: bars.collect() }
    });
    let Figures { users, iam_latency_ms, .. } = figures;
    Bars {
        title: "Users checked per second".to_owned(),
        subtitle: format!("{users} users, {iam_latency_ms} ms for each call of IAM"),
        groups: groups.collect(),
    }
}

/// A table without lines; all columns but the first hold numbers.
fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
    for (position, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if position > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn median_of(runs: &[Measured], figure: impl Fn(&Measured) -> f64) -> f64 {
    median(&runs.iter().map(figure).collect::<Vec<f64>>())
}

fn total(run: &Measured, part: fn(&Calls) -> u64) -> f64 {
    number(run.iam_calls.values().map(part).sum::<u64>())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn whole(count: f64) -> u64 {
    count.round() as u64
}
