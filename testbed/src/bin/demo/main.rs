//! `cargo demo`: Keynudge's whole pipeline on this machine, on generated users, with nothing to set up.
//!
//! It builds the real functions, deploys the real template on the emulator, lets the real schedule fire, and looks at
//! what was mailed. It knows what had to be mailed, and fails if anything else was.

mod age_chart;
mod options;
mod page;
mod progress;
mod report;
mod run;

use std::pin::pin;
use std::process::ExitCode;

use keynudge_testbed::interrupt;
use options::Options;
use progress::complain;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    match demo(&options) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Either side of the race takes everything down with it: the emulator ends when the demo is dropped.
fn demo(options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::new()?;
    let outcome = runtime.block_on(async {
        let mut end = pin!(interrupt::told_to_end());
        let finished = tokio::select! {
            finished = run::run(options) => finished?,
            signal = &mut end => return Ok(signal?),
        };
        if options.keep {
            complain(&format!("The emulator is at {}; Ctrl-C ends it.", finished.emulator.endpoint()));
            end.await?;
        }
        Ok(finished.code)
    });
    // Not to wait for a thread that waits for another process's lock.
    runtime.shutdown_background();
    outcome
}
