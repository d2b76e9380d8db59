#![doc = include_str!("../README.md")]

mod aws;
mod dlq;
mod interrupt;
mod terminal;

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::aws::ConnectionArgs;

/// The operator's tool of Keynudge.
#[derive(Debug, Parser)]
#[command(
    name = "keynudge",
    version,
    after_help = "Exit codes: 0 done; 1 failed, declined, interrupted or incomplete; 2 wrong usage."
)]
struct Cli {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Dead letters: what Keynudge gave up.
    Dlq(dlq::Dlq),
}

/// What a command that did not fail has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// All that was asked for is done.
    Done,
    /// It is not, and the user has read why.
    Incomplete,
}

impl Outcome {
    fn done_if(done: bool) -> Self {
        if done { Self::Done } else { Self::Incomplete }
    }

    /// Done if both are.
    fn and(self, other: Self) -> Self {
        Self::done_if(self == Self::Done && other == Self::Done)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Incomplete) => ExitCode::FAILURE,
        // Whoever reads our output has seen enough, as in `keynudge … | head`. Not done all the same.
        Err(error) if is_broken_pipe(&error) => ExitCode::FAILURE,
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
            Command::Dlq(dlq) => dlq.run(&cli.connection).await,
        }
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }
}
