//! `cargo bench-scan`: how long `keynudge scan` takes on an account of 5,000 users, and whether ten times as many take
//! more memory.
//!
//! It runs the release build of `keynudge` as a process of its own, against the simulated IAM in this one. It fails if a
//! scan does not find what is there; figures that miss their goals are only said.

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
