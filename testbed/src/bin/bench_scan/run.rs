//! The benchmark itself, from the build to the report.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::HumanCount;
use keynudge_testbed::aws::{Account, REGION};
use keynudge_testbed::functions::build_operators_tool;
use keynudge_testbed::population::Population;
use keynudge_testbed::processes::Process;
use keynudge_testbed::simulated_iam::{self, SimulatedIam};
use keynudge_testbed::venv;
use keynudge_testbed::workbench::{Usage, Workbench};
use serde_json::Value;

use crate::options::Options;
use crate::report::{AccountFigures, Figures};
use crate::say;

const SEED: u64 = 1;

/// One scan.
pub(crate) struct Scan {
    pub(crate) usage: Usage,
    /// The processor time of the simulated IAM, which runs in this process.
    pub(crate) iam_time: Duration,
    pub(crate) calls: u64,
    /// Whom it found with stale keys.
    pub(crate) stale_owners: usize,
    /// Of how many users.
    pub(crate) listed: u64,
}

/// Runs the benchmark, and prints what came of it.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let python = venv::python(venv::EMULATOR, &say).await?;
    let keynudge = keynudge(options).await?;
    let mut accounts = Vec::new();
    for &users in &options.users {
        let account = ScannedAccount::new(users, options, &keynudge, &python)?;
        let mut scans = Vec::new();
        for run in 1..=options.runs {
            say(&format!("{} users, scan {run} of {}", HumanCount(users as u64), options.runs));
            scans.push(account.scan(options).await?);
        }
        accounts.push(AccountFigures::of(users, options, &scans));
    }
    let figures = Figures::of(options, accounts);
    print(&figures, options.json)?;
    Ok(if figures.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is measured.
async fn keynudge(options: &Options) -> Result<PathBuf> {
    if let Some(built) = &options.keynudge {
        return fs::canonicalize(built).with_context(|| format!("finding {}", built.display()));
    }
    say("building keynudge, as it is installed");
    Ok(build_operators_tool(options.profile).await?)
}

/// An account in an IAM of its own, and what scans it.
struct ScannedAccount<'a> {
    account: Account,
    iam: SimulatedIam,
    workbench: Workbench,
    keynudge: &'a Path,
}

impl<'a> ScannedAccount<'a> {
    fn new(users: usize, options: &Options, keynudge: &'a Path, python: &Path) -> Result<Self> {
        let iam = simulated_iam::Options { latency: options.latency(), ..Default::default() };
        let iam = SimulatedIam::start(&iam)?;
        let account = Account::nth(1);
        iam.set_users(&account, Population::plain(users, options.stale.of(users), SEED).users());
        let environment = vec![
            ("AWS_ACCESS_KEY_ID", account.to_string()),
            ("AWS_SECRET_ACCESS_KEY", "any".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_ENDPOINT_URL", iam.endpoint()),
        ];
        let workbench = Workbench::new(&format!("bench-scan-{users}"), python.to_owned(), environment)?;
        Ok(Self { account, iam, workbench, keynudge })
    }

    async fn scan(&self, options: &Options) -> Result<Scan> {
        let report = self.workbench.folder().join("scan.json");
        // The last scan's.
        let _ = fs::remove_file(&report);
        let concurrency = options.concurrency.to_string();
        let mut command = vec![self.keynudge.as_os_str()];
        let arguments =
            ["scan", "--audience", "all", "--concurrency", &concurrency, "--format", "json", "--output"];
        command.extend(arguments.map(OsStr::new));
        command.push(report.as_os_str());
        let (calls_before, own_before) = (self.calls(), own_time());
        let usage = self.workbench.run(&command).await?;
        let (stale_owners, listed) = read(&report)?;
        Ok(Scan {
            usage,
            iam_time: own_time().saturating_sub(own_before),
            calls: self.calls() - calls_before,
            stale_owners,
            listed,
        })
    }

    fn calls(&self) -> u64 {
        self.iam.calls(&self.account).values().map(|calls| calls.answered + calls.throttled).sum()
    }
}

/// How many owners of stale keys a scan found, among how many users.
fn read(report: &Path) -> Result<(usize, u64)> {
    let reading = || format!("reading {}", report.display());
    let text = fs::read_to_string(report).with_context(reading)?;
    let report: Value = serde_json::from_str(&text).with_context(reading)?;
    let owners = report["owners"].as_array().context("the report has no owners")?;
    let listed =
        report["users"]["listed"].as_u64().context("the report does not say how many users there are")?;
    Ok((owners.len(), listed))
}

/// What this process has taken, which the simulated IAM runs in.
fn own_time() -> Duration {
    let this = Process { path: "/proc/self".into(), function_name: None };
    this.cpu_time().unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "this is what the program was asked for")]
fn print(figures: &Figures, as_json: bool) -> Result<()> {
    print!("{figures}");
    if as_json {
        println!("{}", serde_json::to_string(figures)?);
    }
    Ok(())
}
