//! The command line.

use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use keynudge_testbed::estate::{Plan, USERS_PER_ACCOUNT_MAX};
use keynudge_testbed::functions::Profile;
use keynudge_testbed::share::Share;

/// Has Keynudge check few users in one account, and then many in several, and says what each user takes.
///
/// The first run builds the functions and installs the emulator, which takes a few minutes. Needs Python 3.10 or newer.
/// Everything it makes is in cargo's target directory.
#[derive(Debug, Parser)]
#[command(name = "cargo bench-scale", bin_name = "cargo bench-scale --")]
pub(crate) struct Options {
    /// How many IAM users there are: at most 5,000 for each account, which is all that one holds.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    users: usize,

    /// How many accounts they are in, evenly.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    accounts: u32,

    /// How many users are in the one account that the others are compared with.
    #[arg(long, value_name = "N", default_value_t = USERS_PER_ACCOUNT_MAX)]
    few_users: usize,

    /// How many of the users are owners of a stale key: a number, or a percentage.
    #[arg(long, value_name = "N|N%", default_value = "10%")]
    stale: Share,

    /// How many workers there are: the template's `WorkerConcurrency`.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) workers: u32,

    /// How long IAM takes for an answer.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    latency_ms: u64,

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
        let checked = Self::parse().checked();
        checked.unwrap_or_else(|error| error.exit())
    }

    fn checked(self) -> Result<Self, clap::Error> {
        for Plan { users, accounts, .. } in self.sizes() {
            if users == 0 || users > USERS_PER_ACCOUNT_MAX * accounts as usize {
                let what = format!(
                    "an AWS account holds 1 to {USERS_PER_ACCOUNT_MAX} IAM users: not {users} in {accounts}"
                );
                return Err(Self::command().error(ErrorKind::ValueValidation, what));
            }
        }
        Ok(self)
    }

    /// The few users, and the many.
    pub(crate) fn sizes(&self) -> [Plan; 2] {
        let plan = |accounts, users| Plan::ordinary(accounts, users, self.stale.of(users));
        [plan(1, self.few_users), plan(self.accounts, self.users)]
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_cli() {
        Options::command().debug_assert();
    }

    #[test]
    fn an_account_holds_five_thousand_users() {
        let options =
            |arguments: &[&str]| Options::try_parse_from([&["bench_scale"], arguments].concat())?.checked();
        assert!(options(&[]).is_ok());
        let wrong = options(&["--users", "10001", "--accounts", "2"]).unwrap_err();
        assert!(wrong.to_string().contains("not 10001 in 2"), "{wrong}");
        assert!(options(&["--few-users", "5001"]).is_err() && options(&["--users", "0"]).is_err());
    }
}
