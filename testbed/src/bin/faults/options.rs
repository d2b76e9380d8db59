//! The command line.

use clap::Parser;
use keynudge_testbed::scenarios::{Scenario, Size};
use keynudge_testbed::share::Share;

/// Runs Keynudge's whole pipeline on this machine while something goes wrong, and says what came of it.
///
/// The first run builds the functions and installs the emulator, which takes a few minutes. Needs Python 3.10 or newer.
/// Everything it makes is in cargo's target directory.
#[derive(Debug, Parser)]
#[command(name = "cargo faults", bin_name = "cargo faults --")]
pub(crate) struct Options {
    /// What goes wrong: chaos, triple, sandbox, iam-bucket, hostile or replay.
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Scenario,

    /// How many IAM users there are.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    users: u32,

    /// How many of them are owners of a stale key: a number, or a percentage.
    #[arg(long, value_name = "N|N%", default_value = "20%")]
    stale: Share,

    /// How many hostile messages each queue gets.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    messages: usize,

    /// Makes other users and draws other lots, if it is another number.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Prints the figures as JSON, on the last line.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// Reads the command line. Ends the program if something is wrong with it.
    pub(crate) fn from_command_line() -> Self {
        Self::parse()
    }

    pub(crate) fn size(&self) -> Size {
        let users = self.users as usize;
        Size { users, stale: self.stale.of(users), messages: self.messages, seed: self.seed }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn verify_cli() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_size_is_what_was_asked_for() {
        let arguments =
            ["faults", "--scenario", "iam-bucket", "--users", "50", "--stale", "10%", "--seed", "7"];
        let options = Options::try_parse_from(arguments).unwrap();
        let Size { users, stale, seed, .. } = options.size();
        assert_eq!((options.scenario, users, stale, seed), (Scenario::IamBucket, 50, 5, 7));
    }
}
