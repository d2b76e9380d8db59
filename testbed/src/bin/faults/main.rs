//! `cargo faults`: Keynudge's whole pipeline on this machine, and everything that can go wrong with it.
//!
//! It says what came of it on its last line, and fails if a promise was broken.

mod options;

use std::process::ExitCode;

use anyhow::Result;
use keynudge_testbed::functions::{Packages, Profile};
use keynudge_testbed::interrupt;
use keynudge_testbed::scenarios::Outcome;
use options::Options;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    interrupt::run(run(&options))
}

async fn run(options: &Options) -> Result<ExitCode> {
    say("building the functions");
    let packages = Packages::build(Profile::Test).await?;
    let outcome = options.scenario.run(&options.size(), &packages, &|step: &str| say(step)).await?;
    for broken in &outcome.broken {
        say(&format!("broken: {broken}"));
    }
    print(&outcome, options.json)?;
    Ok(if outcome.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stderr, reason = "this is what a program tells its user on")]
fn say(what: &str) {
    eprintln!("{what}");
}

#[expect(clippy::print_stdout, reason = "this is what the program was asked for")]
fn print(outcome: &Outcome, as_json: bool) -> Result<()> {
    let Outcome { scenario, users, expected, mails, lost, duplicates, .. } = outcome;
    if as_json {
        println!("{}", serde_json::to_string(outcome)?);
    } else {
        println!(
            "{scenario} with {users} users: {expected} to be mailed, {mails} mails, {lost} lost, {duplicates} twice"
        );
    }
    Ok(())
}
