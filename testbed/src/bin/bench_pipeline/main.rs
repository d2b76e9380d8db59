//! `cargo bench-pipeline`: Keynudge beside what people use today, on the same users, the same emulator and the same IAM.
//!
//! Everybody has to mail the same owners; only then is it told who was how fast.

mod contenders;
mod options;
mod report;
mod run;
mod verdict;

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

/// Either side of the race takes everything down with it: whatever was started ends when the run is dropped.
fn bench(options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::new()?;
    let outcome = runtime.block_on(async {
        let mut end = pin!(interrupt::told_to_end());
        tokio::select! {
            results = run::run(options) => report::tell(&results?, options).map(|()| ExitCode::SUCCESS),
            signal = &mut end => Ok(signal?),
        }
    });
    // Not to wait for a thread that waits for another process's lock.
    runtime.shutdown_background();
    outcome
}

/// Says how far things are.
#[expect(clippy::print_stderr, reason = "this is what a program tells its user on")]
pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}
