//! The demo itself, from the build to the report.

use std::cell::Cell;
use std::process::ExitCode;

use anyhow::{Context, Result};
use keynudge_testbed::aws::Client;
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::emulator::{self, Emulator};
use keynudge_testbed::emulator_iam;
use keynudge_testbed::estate::Estates;
use keynudge_testbed::functions::Packages;
use keynudge_testbed::outbox;
use keynudge_testbed::peak_memory::PeakMemory;
use keynudge_testbed::pipeline::Run;
use keynudge_testbed::population::{Population, Setting};
use keynudge_testbed::simulated_iam::{self, SimulatedIam};
use keynudge_testbed::simulated_ses::{self, SimulatedSes};

use crate::options::{Iam, Options};
use crate::page;
use crate::progress::Progress;
use crate::report::{Observed, Report};

/// A run that is over.
pub(crate) struct Finished {
    pub(crate) code: ExitCode,
    /// It ends when this is dropped.
    pub(crate) emulator: Emulator,
}

/// Runs the demo, and prints what came of it.
pub(crate) async fn run(options: &Options) -> Result<Finished> {
    let progress = Progress::new();
    let setting = Setting { everybody: options.iam == Iam::Emulator, ..Setting::default() };
    let estates =
        Estates::of(&options.plan(), |users, stale, seed| Population::typical(&setting, users, stale, seed));
    // Before the build, which may take minutes: a missing Python or a busy port is known at once.
    let (emulator, estates) = start(options, estates, &progress).await?;
    let packages = build(options, &progress).await?;

    progress.step("deploying the template");
    let aws = Client::new(emulator.endpoint(), estates.home().clone());
    let parameters = estates.parameters(parameters(&setting));
    let deployment = Deployment::create(aws, &packages, &parameters).await?;
    progress.step("waiting for the schedule, which fires every ten seconds");
    let population = estates.population();
    let observed = observe(&deployment, &estates, &population, &progress).await?;
    progress.finish();

    let report = Report::new(&observed, &estates, &population, &packages);
    let page = options.page();
    page::write(&page, &report, &population, &setting, &observed.mails).context("writing the page")?;
    print(&report, options, &page.display().to_string())?;
    let code = if report.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    Ok(Finished { code, emulator })
}

async fn build(options: &Options, progress: &Progress) -> Result<Packages> {
    progress.step("building the functions, as they are deployed");
    // Cargo has a progress bar of its own.
    progress.pause();
    Ok(Packages::build(options.profile).await?)
}

/// Starts the emulator with the users in whichever IAM is asked, and an SES that takes mail as fast as it comes.
async fn start(options: &Options, mut estates: Estates, progress: &Progress) -> Result<(Emulator, Estates)> {
    let report = |what: &str| progress.step(what);
    let ses = SimulatedSes::start(&simulated_ses::Options::default())?;
    let emulator_options = emulator::Options {
        port: options.port,
        ses: emulator::Ses::At(ses.endpoint()),
        ..emulator::Options::default()
    };
    let emulator = match options.iam {
        Iam::Simulated => {
            let iam_options = simulated_iam::Options { latency: options.latency(), ..Default::default() };
            let iam = SimulatedIam::start(&iam_options)?;
            estates.furnish(&iam);
            let iam = emulator::Iam::At(iam.endpoint());
            let emulator_options = emulator::Options { iam, ..emulator_options };
            Emulator::start(&emulator_options, &report).await?
        }
        Iam::Emulator => {
            let emulator = Emulator::start(&emulator_options, &report).await?;
            let aws = Client::new(emulator.endpoint(), estates.home().clone());
            let population = &mut estates.all[0].population;
            *population = create_users(&aws, population.clone(), progress).await?;
            progress.step("giving users and keys their ages");
            let mut iam_state = emulator.stop().await?;
            emulator_iam::set_ages(&mut iam_state, population)?;
            let iam_state = Some(iam_state);
            let emulator_options = emulator::Options { iam_state, ..emulator_options };
            Emulator::start(&emulator_options, &report).await?
        }
    };
    ses.pass_on_to(&emulator.endpoint());
    Ok((emulator, estates))
}

async fn create_users(aws: &Client, population: Population, progress: &Progress) -> Result<Population> {
    progress.step("creating the users");
    let total = population.owners.len() as u64;
    let done = Cell::new(0);
    let on_user = || {
        done.set(done.get() + 1);
        progress.count(done.get(), total);
    };
    Ok(emulator_iam::create(aws, population, &on_user).await?)
}

fn parameters(setting: &Setting) -> Parameters {
    let audience = if setting.everybody { "all" } else { "signed-in-users" };
    Parameters::unpaced()
        .with("Audience", audience)
        // The defaults are low for the sake of others in a real account; here, nobody else asks IAM or SES.
        .with("WorkerConcurrency", "10")
        .with("NotifierConcurrency", "4")
        .with("SupportContact", "the platform team, platform@corp.example")
}

/// Lets the pipeline run, and collects what comes out of it.
async fn observe(
    deployment: &Deployment,
    estates: &Estates,
    population: &Population,
    progress: &Progress,
) -> Result<Observed> {
    let to_check = population.totals().checked as u64;
    let mut peak_memory = PeakMemory::default();
    let on_progress = |now| {
        progress.run(&now, to_check);
        peak_memory.sample(deployment.aws.endpoint(), &deployment.outputs);
    };
    let run = Run { accounts: estates.all.len(), ..Run::default() };
    let ran = deployment.run_as(run, estates.patience(), on_progress).await?;
    progress.step("collecting what came of it");
    Ok(Observed {
        mails: outbox::mails(&deployment.aws).await?,
        dead_letters: deployment.progress().await?.dead_letters,
        metrics: deployment.metrics().await?,
        accounts_denied: deployment.accounts_denied().await?.len(),
        last_outcomes: deployment.last_outcomes().await?,
        peak_memory,
        ran,
    })
}

#[expect(clippy::print_stdout, reason = "this is what the program was asked for")]
fn print(report: &Report, options: &Options, page: &str) -> Result<()> {
    println!("{report}\nThe mails, and all of this as a page: {page}");
    if options.json {
        println!("{}", serde_json::to_string(&report.figures)?);
    }
    Ok(())
}
