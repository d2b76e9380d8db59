#![doc = include_str!("../README.md")]

mod as_of;
mod aws;
mod completions;
mod dlq;
mod doctor;
mod interrupt;
mod output;
mod preview;
mod rules;
mod runs;
mod scan;
mod terminal;

use std::error::Error;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::aws::ConnectionArgs;
use crate::terminal::OutputClosed;

/// The operator's tool of Keynudge.
#[derive(Debug, Parser)]
#[command(
    name = "keynudge",
    version,
    after_help = "Examples:
  # whose keys are too old, without deploying anything
  keynudge scan
  # the mail that an owner would get
  keynudge preview
  # what a deployment needs, and whether it has it
  keynudge doctor
  # a run that mails nobody, followed to its end
  keynudge run --dry-run
  # what was given up
  keynudge dlq list

Exit codes: 0 done; 1 failed, declined, interrupted or incomplete; 2 wrong usage; 3 stale keys found, where `scan \
                  --fail-on-stale` asks for it."
)]
struct Cli {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell whose keys are too old, and who would be told, without deploying anything
    Scan(scan::Scan),
    /// Show the mail that an owner would get
    Preview(Box<preview::Preview>),
    /// Check what a deployment needs, and whether it has it
    Doctor(doctor::Doctor),
    /// Start a run now, and follow it
    Run(runs::start::Start),
    /// Tell what the last runs came to, and what is waiting
    Status(runs::status::Status),
    /// Dead letters: what Keynudge gave up
    Dlq(dlq::Dlq),
    /// Write the completions of a shell
    Completions(completions::Completions),
}

/// What a command that did not fail has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// All that was asked for is done.
    Done,
    /// It is not, and the user has read why.
    Incomplete,
    /// It is, and the user wants to hear of stale keys by the exit code.
    FoundStale,
}

impl Outcome {
    fn done_if(done: bool) -> Self {
        if done { Self::Done } else { Self::Incomplete }
    }

    fn exit_code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Incomplete => ExitCode::FAILURE,
            Self::FoundStale => ExitCode::from(3),
        }
    }

    /// Done if both are.
    fn and(self, other: Self) -> Self {
        Self::done_if(self == Self::Done && other == Self::Done)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.connection.debug {
        terminal::debug();
    }
    match run(&cli) {
        Ok(outcome) => outcome.exit_code(),
        // Not done all the same.
        Err(error) if is_output_closed(&error) => ExitCode::FAILURE,
        Err(error) => {
            terminal::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Runtime::new().context("starting the asynchronous runtime")?;
    runtime.block_on(async {
        match &cli.command {
            Command::Scan(scan) => scan.run(&cli.connection).await,
            Command::Preview(preview) => preview.run(&cli.connection).await,
            Command::Doctor(doctor) => doctor.run(&cli.connection).await,
            Command::Run(start) => start.run(&cli.connection).await,
            Command::Status(status) => status.run(&cli.connection).await,
            Command::Dlq(dlq) => dlq.run(&cli.connection).await,
            Command::Completions(completions) => completions.write(),
        }
    })
}

fn is_output_closed(error: &anyhow::Error) -> bool {
    error.chain().any(<dyn Error>::is::<OutputClosed>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::io;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_example_is_broken_on_a_terminal_of_80_columns() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines().filter(|line| line.starts_with("  ")) {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
            // Theirs are written elsewhere.
            command
                .get_subcommands()
                .filter(|below| !matches!(below.get_name(), "scan" | "preview"))
                .for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn only_a_reader_of_our_own_output_ends_the_tool_without_a_word() {
        let broken_pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        let output = terminal::output_failed(broken_pipe()).context("writing to stdout");
        assert!(is_output_closed(&output));
        let call = anyhow::Error::new(broken_pipe()).context("the run may have started");
        assert!(!is_output_closed(&call), "a call that may have started a run");
        let disk = terminal::output_failed(io::ErrorKind::StorageFull.into());
        assert!(!is_output_closed(&disk));
    }

    #[test]
    fn every_command_has_examples() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = help.lines().find(|line| line.trim_start().starts_with("keynudge "));
            assert!(help.contains("Examples:") && example.is_some(), "{}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
