//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use keynudge_testbed::estate::USERS_PER_ACCOUNT_MAX;
use keynudge_testbed::functions::Profile;
use keynudge_testbed::share::Share;

/// Has Keynudge check one account's users at the rate of calls to IAM that it is allowed, against an IAM that allows no
/// more, and says how much of the rate it used.
///
/// The first run builds the functions and installs the emulator, which takes a few minutes. Needs Python 3.10 or newer.
/// Everything it makes is in cargo's target directory.
#[derive(Debug, Parser)]
#[command(name = "cargo bench-rate", bin_name = "cargo bench-rate --")]
pub(crate) struct Options {
    /// How many IAM users there are.
    #[arg(long, value_name = "N", default_value = "2000", value_parser = parse_users)]
    pub(crate) users: usize,

    /// How many of them are owners of a stale key: a number, or a percentage.
    #[arg(long, value_name = "N|N%", default_value = "10%")]
    stale: Share,

    /// The rate: the template's `IamCallsPerSecond`, and what IAM allows. Its default is the template's.
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) calls_per_second: NonZeroU32,

    /// How many workers share it: the template's `WorkerConcurrency`. Its default is the template's.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) workers: u32,

    /// How long IAM takes for an answer.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    latency_ms: u64,

    /// How often to do it; the figures are the medians.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) runs: NonZeroU32,

    /// Draws the calls over time, of the first run, into an SVG file.
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<PathBuf>,

    /// Prints the figures as JSON, on the last line.
    #[arg(long)]
    pub(crate) json: bool,

    /// How the functions are built; the tests would wait minutes for a release.
    #[arg(long, value_enum, default_value_t = Profile::Release, hide = true)]
    pub(crate) profile: Profile,
}

impl Options {
    /// Reads the command line. Ends the program if something is wrong with it.
    pub(crate) fn from_command_line() -> Self {
        Self::parse()
    }

    /// How many owners have a stale key; never more than there are users.
    pub(crate) fn stale_owners(&self) -> usize {
        self.stale.of(self.users)
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }
}

fn parse_users(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(users @ 1..=USERS_PER_ACCOUNT_MAX) => Ok(users),
        _ => Err(format!(
            "it must be a number from 1 to {USERS_PER_ACCOUNT_MAX}, which is what an account holds"
        )),
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
    fn an_account_holds_five_thousand_users() {
        assert!(Options::try_parse_from(["bench_rate", "--users=5000"]).is_ok());
        for wrong in ["--users=0", "--users=5001", "--workers=1", "--calls-per-second=0", "--runs=0"] {
            assert!(Options::try_parse_from(["bench_rate", wrong]).is_err(), "{wrong}");
        }
    }
}
