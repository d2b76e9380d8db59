//! `cargo demo`: Keynudge's whole pipeline on this machine, on generated users, with nothing to set up.
//!
//! It builds the real functions, deploys the real template on the emulator, lets the real schedule fire, and looks at
//! what was mailed. It knows what had to be mailed, and fails if anything else was.

mod options;
mod page;
mod progress;
mod report;
mod run;

use std::process::ExitCode;

use keynudge_testbed::interrupt;
use options::Options;
use progress::complain;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    interrupt::run(async {
        let finished = run::run(&options).await?;
        if options.keep {
            let told_to_end = interrupt::told_to_end()?;
            complain(&format!("The emulator is at {}; Ctrl-C ends it.", finished.emulator.endpoint()));
            told_to_end.await;
        }
        anyhow::Ok(finished.code)
    })
}
