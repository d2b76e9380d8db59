//! `cargo bench-scale`: whether a hundred thousand users in twenty accounts take as long, each, as five thousand in one.
//!
//! It deploys the real template on the emulator, once for each size, and measures what is Keynudge's own: memory,
//! processor time and calls. Beside it stands what the emulator can do at most, with a function that does nothing. It fails
//! if anybody is mailed wrongly or left out; figures that miss their goals are only said.

mod ceiling;
mod options;
mod report;
mod run;

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
