//! The benchmark itself, from the build to the report.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use keynudge_testbed::cost::Used;
use keynudge_testbed::deployment::Parameters;
use keynudge_testbed::estate::{Estates, Plan};
use keynudge_testbed::functions::Packages;
use keynudge_testbed::population::Population;
use keynudge_testbed::simulated_iam::{self, BURST, TokenBucket};
use keynudge_testbed::stage::{Stage, patience_for};

use crate::options::Options;
use crate::report::{Report, RunFigures, bound_s, curve};
use crate::say;
use crate::usage::Usage;

/// Runs the benchmark, and prints what came of it.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    say("building the functions, as they are deployed");
    let packages = Packages::build(options.profile).await?;
    let mut report = Report::new(options);
    for number in 1..=options.runs.get() {
        say(&format!("run {number} of {}", options.runs));
        let (figures, usage) = one_run(options, &packages).await?;
        for mistake in &figures.outcome.mistakes {
            say(&format!("WRONG: {mistake}"));
        }
        if let (1, Some(path)) = (number, &options.picture) {
            let svg = curve(&usage, options)?;
            std::fs::write(path, svg).with_context(|| format!("writing {}", path.display()))?;
        }
        report.add(figures);
    }
    print(&report, options.json)?;
    Ok(if report.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Each run is on an emulator of its own: nobody is mailed twice in a day.
async fn one_run(options: &Options, packages: &Packages) -> Result<(RunFigures, Usage)> {
    let plan = Plan::ordinary(1, options.users, options.stale_owners());
    let estates = Estates::of(&plan, Population::plain);
    let rate = options.calls_per_second;
    let iam = simulated_iam::Options {
        latency: options.latency(),
        limit: Some(TokenBucket { rate, burst: BURST }),
        ..Default::default()
    };
    let parameters = Parameters::default()
        .with_all_of_ses()
        .with("Audience", "all")
        .with("IamCallsPerSecond", rate.to_string())
        .with("WorkerConcurrency", options.workers.to_string());
    let stage = Stage::set(estates, &iam, parameters, packages, &say).await?;
    let needed = stage.calls_needed();
    let bound = Duration::from_secs_f64(bound_s(needed, rate));
    say(&format!("{needed} calls at {rate} a second: at least {:.0} s", bound.as_secs_f64()));
    let observed = stage.run(patience_for(bound), |_| ()).await?;
    let usage = Usage::of(&stage.iam.calls_by_second(stage.estates.home()));
    let used = Used::by(&stage.deployment).await?;
    Ok((RunFigures::of(observed, &usage, used, options, needed), usage))
}

#[expect(clippy::print_stdout, reason = "this is what the program was asked for")]
fn print(report: &Report, as_json: bool) -> Result<()> {
    print!("{report}");
    if as_json {
        println!("{}", serde_json::to_string(&report.figures())?);
    }
    Ok(())
}
