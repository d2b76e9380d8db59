//! `keynudge dlq`: look at dead letters, put them back to work, or drop them.

mod drop;
pub(crate) mod filter;
pub(crate) mod held;
pub(crate) mod letter;
mod list;
#[cfg(test)]
mod memory;
pub(crate) mod queues;
pub(crate) mod replay;
mod selection;
mod show;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::Outcome;
use crate::aws::{Aws, ConnectionArgs};

/// Dead letters: what Keynudge gave up.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  # Every queue: how many, the oldest, their reasons
  keynudge dlq list
  # Whose, why, since when
  keynudge dlq show findings
  # Shows what it is about to do, asks, does it
  keynudge dlq replay findings")]
pub(crate) struct Dlq {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count the letters in each queue, by reason
    List(list::List),
    /// Show letters, and put them back
    Show(show::Show),
    /// Send letters back to where they failed
    Replay(replay::Replay),
    /// Write letters to a file, and delete them
    Drop(drop::Drop),
}

impl Dlq {
    /// Does it.
    pub(crate) async fn run(&self, connection: &ConnectionArgs) -> Result<Outcome> {
        match &self.command {
            // Before anything takes time.
            Command::Replay(replay) => replay.question.require_answer(),
            Command::Drop(drop) => drop.question.require_answer(),
            Command::List(_) | Command::Show(_) => {}
        }
        // Nothing is held before a queue is read, so until then an interrupt may end the process as it is.
        let aws = Aws::connect(connection).await?;
        match &self.command {
            Command::List(list) => list.run(&aws).await,
            Command::Show(show) => show.run(&aws).await,
            Command::Replay(replay) => replay.run(&aws).await,
            Command::Drop(drop) => drop.run(&aws).await,
        }
    }
}
