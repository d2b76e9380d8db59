//! `cargo bench-scale`: whether a hundred thousand users in twenty accounts take as long, each, as five thousand in one.
//!
//! It deploys the real template on the emulator, once for each size, and measures what is Keynudge's own: memory,
//! processor time and calls. Beside it stands what the emulator can do at most, with a function that does nothing. It fails
//! if anybody is mailed wrongly or left out; figures that miss their goals are only said.

mod ceiling;
mod options;
mod report;
mod run;

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
            finished = run::run(options) => finished,
            signal = &mut end => Ok(signal?),
        }
    });
    // Not to wait for a thread that waits for another process's lock.
    runtime.shutdown_background();
    outcome
}

#[expect(clippy::print_stderr, reason = "this is what a program tells its user on")]
fn say(what: &str) {
    eprintln!("{what}");
}
