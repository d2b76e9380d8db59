//! `cargo bench-rate`: how close the fleet comes to the rate of calls to IAM that it is allowed.
//!
//! It deploys the real template on the emulator, with a simulated IAM that takes its time and allows exactly the rate that
//! is set, and looks at when calls were made. It fails if anybody is mailed wrongly or left out; figures that miss their
//! goals are only said.

mod options;
mod report;
mod run;
mod usage;

use std::process::ExitCode;

use keynudge_testbed::interrupt;
use options::Options;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    interrupt::run(run::run(&options))
}

#[expect(clippy::print_stderr, reason = "this is what a program tells its user on")]
fn say(what: &str) {
    eprintln!("{what}");
}
