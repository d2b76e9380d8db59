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
mod stage;

use std::process::ExitCode;

use keynudge_testbed::interrupt;
use options::Options;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    interrupt::run(async {
        run::run(&options).await?;
        anyhow::Ok(ExitCode::SUCCESS)
    })
}

/// Tells the user how far it is.
#[expect(clippy::print_stderr, reason = "this is a program's own voice")]
fn say(what: &str) {
    eprintln!("{what}");
}
