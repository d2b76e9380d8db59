//! `cargo playground`: an AWS account on this machine with old keys in it, for whoever tries Keynudge out.
//!
//! Unlike the demo, it does not do Keynudge's work: it stays until Ctrl-C, and its user scans, deploys and runs with the
//! real `keynudge`. What `sam build && sam deploy` do on AWS is `cargo playground deploy` here. `cargo playground break` has a
//! policy deny the keys of a few users, until `cargo playground repair`: so there are dead letters to replay.

mod control;
mod deploy;
mod mails;
mod options;
mod place;
mod start;

use std::process::ExitCode;

use keynudge_testbed::interrupt;
use options::{Command, Options};
use place::Place;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    interrupt::run(async {
        let place = Place::new(options.directory.as_deref());
        match &options.command {
            None => return start::run(&options, &place).await,
            Some(Command::Deploy(deploy)) => deploy::run(deploy, &place.running()?).await?,
            Some(Command::Break) => make_a_mistake(&place).await?,
            Some(Command::Repair) => repair(&place).await?,
            Some(Command::Mails(mails)) => mails::run(mails, &place.running()?).await?,
        }
        anyhow::Ok(ExitCode::SUCCESS)
    })
}

async fn make_a_mistake(place: &Place) -> anyhow::Result<()> {
    let users = control::broken(&place.running()?).await?;
    tell(&format!(
        "A policy denies Keynudge the keys of {users} users now, until `cargo playground repair`."
    ));
    Ok(())
}

async fn repair(place: &Place) -> anyhow::Result<()> {
    match control::repaired(&place.running()?).await? {
        0 => tell("There is nothing to repair."),
        users => tell(&format!("The policy is gone that denied Keynudge the keys of {users} users.")),
    }
    Ok(())
}

/// Says how far it is, on standard error.
#[expect(clippy::print_stderr, reason = "this is a program's own voice")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// Prints what the program was asked for.
#[expect(clippy::print_stdout, reason = "this is what the program was asked for")]
fn tell(text: &str) {
    println!("{text}");
}
