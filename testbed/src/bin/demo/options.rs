//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use keynudge_testbed::estate::{Plan, USERS_PER_ACCOUNT_MAX};
use keynudge_testbed::functions::Profile;
use keynudge_testbed::share::Share;
use keynudge_testbed::workspace;

/// Runs Keynudge's whole pipeline on this machine, on generated users, and shows what it mails.
///
/// The first run builds the functions and installs the emulator, which takes a few minutes; later runs start at once.
/// Needs Python 3.10 or newer. Everything it makes is in cargo's target directory.
#[derive(Debug, Parser)]
#[command(name = "cargo demo", bin_name = "cargo demo --")]
pub(crate) struct Options {
    /// How many IAM users there are: 1 to 100,000, and at most 5,000 for each account, which is all that one holds.
    #[arg(long, value_name = "N", default_value = "2000", value_parser = parse_users)]
    pub(crate) users: usize,

    /// How many accounts they are in, evenly: more than one make an organization, managed from the first.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) accounts: u32,

    /// How many of the accounts do not let Keynudge in.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) denied: u32,

    /// How many of the accounts allow few calls to IAM.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) throttled: u32,

    /// How many calls a second those allow.
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) throttled_rate: NonZeroU32,

    /// How many of the users are owners of a stale key: a number, or a percentage.
    #[arg(long, value_name = "N|N%", default_value = "10%")]
    pub(crate) stale: Share,

    /// Makes other users, if it is another number.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Which IAM the functions ask.
    #[arg(long, value_enum, default_value_t = Iam::Simulated)]
    pub(crate) iam: Iam,

    /// How long the simulated IAM takes for an answer.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,

    /// The port the emulator listens on; 0 finds a free one.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,

    /// Prints the figures as JSON, on the last line.
    #[arg(long)]
    pub(crate) json: bool,

    /// Leaves the emulator running afterwards, until Ctrl-C, so that one can look around in it.
    #[arg(long)]
    pub(crate) keep: bool,

    /// How the functions are built; the tests would wait minutes for a release.
    #[arg(long, value_enum, default_value_t = Profile::Release, hide = true)]
    pub(crate) profile: Profile,

    /// Where the page is written; the tests leave the user's alone.
    #[arg(long, value_name = "FILE", hide = true)]
    page: Option<PathBuf>,
}

/// An IAM to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Iam {
    /// The testbed's: as fast as IAM, with its pages, and with last-used dates
    Simulated,
    /// The emulator's own: slower, and it knows nothing of sign-ins, so everybody is checked
    Emulator,
}

impl Options {
    /// Reads the command line. Ends the program if something is wrong with it.
    pub(crate) fn from_command_line() -> Self {
        let checked = Self::parse().checked();
        checked.unwrap_or_else(|error| error.exit())
    }

    /// Refuses what would have no effect.
    fn checked(self) -> Result<Self, clap::Error> {
        if self.iam == Iam::Emulator && self.latency_ms > 0 {
            let what = "--latency-ms is for the simulated IAM: leave it out, or leave out --iam emulator";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, what));
        }
        if self.iam == Iam::Emulator && self.accounts > 1 {
            let what = "--accounts is for the simulated IAM: leave it out, or leave out --iam emulator";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, what));
        }
        let special = u64::from(self.denied) + u64::from(self.throttled);
        if special >= u64::from(self.accounts) && special > 0 {
            let what = "--denied and --throttled leave out the first account: give it more --accounts";
            return Err(Self::command().error(ErrorKind::ValueValidation, what));
        }
        if self.users > USERS_PER_ACCOUNT_MAX * self.accounts as usize {
            let what = format!(
                "an AWS account holds at most {USERS_PER_ACCOUNT_MAX} IAM users: {} need --accounts {}",
                self.users,
                self.users.div_ceil(USERS_PER_ACCOUNT_MAX)
            );
            return Err(Self::command().error(ErrorKind::ValueValidation, what));
        }
        Ok(self)
    }

    /// How many owners have a stale key; never more than there are users.
    pub(crate) fn stale_owners(&self) -> usize {
        self.stale.of(self.users)
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan {
            accounts: self.accounts,
            users: self.users,
            stale: self.stale_owners(),
            seed: self.seed,
            denied: self.denied,
            throttled: self.throttled,
            throttled_rate: self.throttled_rate,
        }
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }

    pub(crate) fn page(&self) -> PathBuf {
        self.page.clone().unwrap_or_else(|| workspace::target_dir().join("demo/index.html"))
    }
}

/// More than the testbed is for.
const USERS_MAX: usize = 100_000;

fn parse_users(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(users @ 1..=USERS_MAX) => Ok(users),
        _ => Err(format!("it must be a number from 1 to {USERS_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from([&["demo"], arguments].concat())?.checked()
    }

    #[test]
    fn verify_cli() {
        Options::command().debug_assert();
    }

    #[test]
    fn stale_owners_are_a_share_or_a_number() {
        for (stale, owners) in [("10%", 500), ("0.5%", 25), ("100%", 5000), ("7", 7), ("9999", 5000)] {
            let options = options(&["--users", "5000", "--stale", stale]).unwrap();
            assert_eq!(options.stale_owners(), owners, "{stale}");
        }
    }

    #[test]
    fn latency_is_only_for_the_simulated_iam() {
        assert!(options(&["--latency-ms", "20"]).is_ok());
        let error = options(&["--latency-ms", "20", "--iam", "emulator"]).unwrap_err();
        assert!(error.to_string().contains("--latency-ms is for the simulated IAM"), "{error}");
    }

    #[test]
    fn many_users_need_many_accounts() {
        assert!(
            options(&["--accounts", "20", "--users", "100000", "--denied", "1", "--throttled", "18"]).is_ok()
        );
        let error = options(&["--accounts", "2", "--users", "10001"]).unwrap_err();
        assert!(error.to_string().contains("10001 need --accounts 3"), "{error}");
        for wrong in [
            ["--accounts=2", "--denied=2"],
            ["--accounts=2", "--iam=emulator"],
            ["--accounts=1", "--denied=1"],
        ] {
            assert!(options(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for wrong in
            ["--users=0", "--users=5001", "--users=100001", "--stale=101%", "--stale=-1", "--stale=x"]
        {
            assert!(options(&[wrong]).is_err(), "{wrong}");
        }
    }
}
