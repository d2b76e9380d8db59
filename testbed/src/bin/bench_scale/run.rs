//! The benchmark itself, from the build to the report.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use keynudge_testbed::deployment::Parameters;
use keynudge_testbed::estate::{Estates, Plan, USERS_PER_SECOND_MIN};
use keynudge_testbed::functions::Packages;
use keynudge_testbed::peak_memory::PeakMemory;
use keynudge_testbed::population::Population;
use keynudge_testbed::processes::Process;
use keynudge_testbed::processor_time::ProcessorTime;
use keynudge_testbed::simulated_iam;
use keynudge_testbed::stage::{Stage, patience_for};

use crate::ceiling;
use crate::options::Options;
use crate::report::{Figures, Measured, SizeFigures};
use crate::say;

/// Runs the benchmark, and prints what came of it.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    say("building the functions, as they are deployed");
    let packages = Packages::build(options.profile).await?;
    let idle = packages.with_idle_worker(options.profile).await?;
    let mut sizes = Vec::new();
    for plan in &options.sizes() {
        say(&format!("{} users in {} accounts", plan.users, plan.accounts));
        let measured = measure(plan, options, &packages).await?;
        for mistake in &measured.observed.outcome.mistakes {
            say(&format!("WRONG: {mistake}"));
        }
        let ceiling = ceiling::messages_per_second(plan, options, &idle).await?;
        sizes.push(SizeFigures::of(plan, measured, ceiling));
    }
    let figures = Figures::of(options, sizes);
    print(&figures, options.json)?;
    Ok(if figures.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One size, on an emulator of its own.
async fn measure(plan: &Plan, options: &Options, packages: &Packages) -> Result<Measured> {
    let stage = stage(plan, options, packages).await?;
    let (endpoint, outputs) = (stage.deployment.aws.endpoint(), &stage.deployment.outputs);
    let own_before = own_time();
    let mut before = ProcessorTime::default();
    before.sample(endpoint, outputs);
    let mut processor_time = ProcessorTime::default();
    let mut peak_memory = PeakMemory::default();
    let sample = |_| {
        processor_time.sample(endpoint, outputs);
        peak_memory.sample(endpoint, outputs);
    };
    let observed = stage.run(patience_for(longest(plan)), sample).await?;
    Ok(Measured {
        simulator_time: own_time().saturating_sub(own_before),
        emulator_time: processor_time.of_emulator().saturating_sub(before.of_emulator()),
        processor_time,
        peak_memory,
        iam_calls: iam_calls(&stage),
        other_calls: stage.deployment.aws.signed_calls().await?,
        observed,
    })
}

/// What this process has taken, which the simulated IAM and SES run in.
fn own_time() -> Duration {
    let this = Process { path: "/proc/self".into(), function_name: None };
    this.cpu_time().unwrap_or_default()
}

pub(crate) async fn stage(plan: &Plan, options: &Options, packages: &Packages) -> Result<Stage> {
    let estates = Estates::of(plan, Population::plain);
    let iam = simulated_iam::Options { latency: options.latency(), ..Default::default() };
    // The defaults are low for the sake of others in a real account; here, nobody else asks IAM or SES.
    let parameters = Parameters::unpaced()
        .with("Audience", "all")
        .with("WorkerConcurrency", options.workers.to_string())
        .with("NotifierConcurrency", "4");
    Ok(Stage::set(estates, &iam, parameters, packages, &say).await?)
}

/// How long a run takes at most.
pub(crate) fn longest(plan: &Plan) -> Duration {
    let users = u32::try_from(plan.users).unwrap_or(u32::MAX);
    Duration::from_secs((users / USERS_PER_SECOND_MIN).into())
}

/// The calls that the simulated IAM, STS and Organizations answered, in all accounts.
fn iam_calls(stage: &Stage) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for estate in &stage.estates.all {
        for (operation, calls) in stage.iam.calls(&estate.account) {
            *sums.entry(operation).or_default() += calls.answered + calls.throttled;
        }
    }
    sums
}

#[expect(clippy::print_stdout, reason = "this is what the program was asked for")]
fn print(figures: &Figures, as_json: bool) -> Result<()> {
    print!("{figures}");
    if as_json {
        println!("{}", serde_json::to_string(figures)?);
    }
    Ok(())
}
