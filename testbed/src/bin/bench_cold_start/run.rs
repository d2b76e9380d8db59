//! The benchmark itself, from the build to the report.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use keynudge_testbed::functions::{Function, Packages};
use keynudge_testbed::venv;
use tokio::process::Command;

use crate::cold_start::{self, ColdStart};
use crate::options::Options;
use crate::program::Program;
use crate::report::{Comparison, Report};
use crate::say;
use crate::stage::Stage;

/// Starts that count for nothing: afterwards, files are in memory, and Python's modules are compiled.
const WARM_UP: usize = 1;
/// Keynudge and Python.
const CONTENDERS: usize = 2;

/// Measures, and prints what came of it.
pub(crate) async fn run(options: &Options) -> Result<()> {
    // The emulator brings boto3 along.
    let python = venv::python(venv::EMULATOR, &say).await?;
    let usual_roots = botocore_roots(&python).await?;
    say("building the functions");
    let packages = Packages::build(options.profile).await?;
    let rounds = WARM_UP + options.runs.get();
    let stage = Stage::set_up(&packages, &usual_roots, rounds * CONTENDERS).await?;
    let mut comparisons = Vec::new();
    for function in options.functions() {
        say(&format!("starting {}", function.binary()));
        let variables = stage.variables(function).await?;
        let trusted = stage.fronts.bundle();
        let programs = [
            Program::keynudge(&packages, function, &variables, &trusted),
            Program::python(&python, function, &variables, &trusted),
        ];
        let starts = compare(&stage, function, rounds, &programs).await;
        let [keynudge, python] = starts.with_context(|| format!("measuring {}", function.binary()))?;
        let zip_bytes = packages.zip(function).len();
        comparisons.push(Comparison { function, zip_bytes, keynudge, python });
    }
    Report::new(options.runs.get(), &comparisons).print(options.json)
}

/// Starts the programs in turns, and returns what each took after warming up.
async fn compare(
    stage: &Stage,
    function: Function,
    rounds: usize,
    programs: &[Program; CONTENDERS],
) -> Result<[Vec<ColdStart>; CONTENDERS]> {
    let mut measured = [const { Vec::new() }; CONTENDERS];
    stage.prepare(function).await?;
    for start in 0..rounds * CONTENDERS {
        let contender = start % CONTENDERS;
        let program = &programs[contender];
        let cold_start = one_start(stage, function, start, program).await;
        let cold_start = cold_start.with_context(|| program.name)?;
        if start >= WARM_UP * CONTENDERS {
            measured[contender].push(cold_start);
        }
    }
    Ok(measured)
}

async fn one_start(stage: &Stage, function: Function, start: usize, program: &Program) -> Result<ColdStart> {
    let event = stage.event(function, start).await?;
    let cold_start = cold_start::measure(program, event).await?;
    stage.check(function, start).await?;
    Ok(cold_start)
}

/// The root certificates that boto3 trusts where nobody says otherwise.
async fn botocore_roots(python: &Path) -> Result<String> {
    let program = "import botocore, os; print(os.path.dirname(botocore.__file__))";
    let output = Command::new(python).args(["-c", program]).kill_on_drop(true).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = PathBuf::from(String::from_utf8(output.stdout)?.trim_end()).join("cacert.pem");
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}
