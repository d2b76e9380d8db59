//! `cargo bench-cold-start`: how soon a new process of each function asks for work, and how soon it has done its first,
//! beside Python functions that make the same AWS calls with boto3.
//!
//! AWS is the testbed's, over HTTPS, with the certificates to check and the roots to load that Lambda's functions have;
//! the functions' variables are those that the deployed template gives them. Lambda's Runtime API is a few lines of this
//! program. What is not in the figures is Lambda's own part: fetching the package, and starting its machine.

mod cold_start;
mod options;
mod program;
mod report;
mod run;
mod runtime_api;
mod stage;

use std::pin::pin;
use std::process::ExitCode;

use keynudge_testbed::interrupt;
use options::Options;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    match bench(&options) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Either side of the race takes everything down with it: whatever was started ends when the benchmark is dropped.
fn bench(options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::new()?;
    let outcome = runtime.block_on(async {
        let mut end = pin!(interrupt::told_to_end());
        tokio::select! {
            done = run::run(options) => done.map(|()| ExitCode::SUCCESS),
            signal = &mut end => Ok(signal?),
        }
    });
    // Not to wait for a thread that waits for another process's lock.
    runtime.shutdown_background();
    outcome
}

/// Tells the user how far it is.
#[expect(clippy::print_stderr, reason = "this is a program's own voice")]
fn say(what: &str) {
    eprintln!("{what}");
}
