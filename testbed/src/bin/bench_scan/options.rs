//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use keynudge_testbed::estate::USERS_PER_ACCOUNT_MAX;
use keynudge_testbed::functions::Profile;
use keynudge_testbed::share::Share;

/// Has `keynudge scan` look through as many users as an account holds, and through ten times as many, and says what it took.
///
/// The first run builds `keynudge` and installs Python packages, which takes a few minutes. Needs Python 3.10 or newer.
/// Everything it makes is in cargo's target directory.
#[derive(Debug, Parser)]
#[command(name = "cargo bench-scan", bin_name = "cargo bench-scan --")]
pub(crate) struct Options {
    /// How many IAM users there are; may be given more than once, for several accounts one after another.
    #[arg(long, value_name = "N", default_values_t = [USERS_PER_ACCOUNT_MAX, 10 * USERS_PER_ACCOUNT_MAX])]
    pub(crate) users: Vec<usize>,

    /// How many of the users are owners of a stale key: a number, or a percentage.
    #[arg(long, value_name = "N|N%", default_value = "10%")]
    pub(crate) stale: Share,

    /// How many users are checked at once.
    #[arg(long, value_name = "N", default_value = "32")]
    pub(crate) concurrency: NonZeroU32,

    /// How long IAM takes for an answer.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    latency_ms: u64,

    /// How often each account is scanned; told is the median.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,

    /// Prints the figures as JSON, on the last line.
    #[arg(long)]
    pub(crate) json: bool,

    /// The `keynudge` to measure, rather than one that is built now.
    #[arg(long, value_name = "FILE")]
    pub(crate) keynudge: Option<PathBuf>,

    /// How it is built; the tests would wait minutes for a release.
    #[arg(long, value_enum, default_value_t = Profile::Release, hide = true)]
    pub(crate) profile: Profile,
}

impl Options {
    /// Reads the command line. Ends the program if something is wrong with it.
    pub(crate) fn from_command_line() -> Self {
        Self::parse()
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn verify_cli() {
        Options::command().debug_assert();
    }
}
