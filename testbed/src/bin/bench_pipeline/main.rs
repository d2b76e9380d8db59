//! `cargo bench-pipeline`: Keynudge beside what people use today, on the same users, the same emulator and the same IAM.
//!
//! Everybody has to mail the same owners; only then is it told who was how fast.

mod contenders;
mod options;
mod report;
mod run;
mod verdict;

use std::process::ExitCode;

use keynudge_testbed::interrupt;
use options::Options;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    interrupt::run(async {
        let results = run::run(&options).await?;
        report::tell(&results, &options)?;
        anyhow::Ok(ExitCode::SUCCESS)
    })
}

/// Says how far things are.
#[expect(clippy::print_stderr, reason = "this is what a program tells its user on")]
pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}
