//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use keynudge_testbed::functions::Profile;
use keynudge_testbed::share::Share;

use crate::contenders::Contender;

/// Has Keynudge, a script and Cloud Custodian do the same job, and says how they compare.
///
/// Everybody looks after the same users on the same emulator and the same simulated IAM, one after another and in turns,
/// each time in an account of their own. The first run builds the functions and installs the emulator and Cloud Custodian,
/// which takes a few minutes. Needs Python 3.10 or newer. Everything it makes is in cargo's target directory.
#[derive(Debug, Parser)]
#[command(name = "cargo bench-pipeline", bin_name = "cargo bench-pipeline --")]
pub(crate) struct Options {
    /// How many IAM users there are.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    users: u32,

    /// How many of them are owners of a stale key: a number, or a percentage.
    #[arg(long, value_name = "N|N%", default_value = "10%")]
    stale: Share,

    /// How often everybody does the job; told is the median.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,

    /// How long IAM takes for an answer.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    pub(crate) iam_latency_ms: u64,

    /// How many calls a second IAM allows an account where it throttles.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    iam_rate: u32,

    /// Who takes part beside Keynudge; may be given more than once.
    #[arg(long = "contender", value_name = "NAME", value_enum)]
    contenders: Vec<Contender>,

    /// Whether IAM throttles; by default, everybody does the job both ways.
    #[arg(long, value_name = "NAME", value_enum)]
    column: Option<Column>,

    /// Makes other users, if it is another number.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Prints the figures as JSON, on the last line.
    #[arg(long)]
    pub(crate) json: bool,

    /// Draws the figures, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<PathBuf>,

    /// How the functions are built; the tests would wait minutes for a release.
    #[arg(long, value_enum, default_value_t = Profile::Release, hide = true)]
    pub(crate) profile: Profile,
}

/// What the IAM is like that everybody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Column {
    /// It answers whoever asks.
    Unthrottled,
    /// It allows each account so many calls a second.
    Throttled,
}

impl Options {
    /// Reads the command line. Ends the program if something is wrong with it.
    pub(crate) fn from_command_line() -> Self {
        Self::parse()
    }

    pub(crate) fn users(&self) -> usize {
        self.users as usize
    }

    /// How many owners have a stale key; never more than there are users.
    pub(crate) fn stale_owners(&self) -> usize {
        self.stale.of(self.users())
    }

    pub(crate) fn iam_latency(&self) -> Duration {
        Duration::from_millis(self.iam_latency_ms)
    }

    pub(crate) fn iam_rate(&self) -> NonZeroU32 {
        NonZeroU32::new(self.iam_rate).unwrap_or(NonZeroU32::MIN)
    }

    /// Those who take part, in order, Keynudge among them.
    pub(crate) fn contenders(&self) -> Vec<Contender> {
        let everybody = Contender::value_variants().iter().copied();
        let all = self.contenders.is_empty();
        everybody.filter(|one| all || *one == Contender::Keynudge || self.contenders.contains(one)).collect()
    }

    pub(crate) fn columns(&self) -> Vec<Column> {
        self.column.map_or_else(|| Column::value_variants().to_vec(), |one| vec![one])
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn options(arguments: &[&str]) -> Options {
        Options::try_parse_from([&["bench"], arguments].concat()).unwrap()
    }

    #[test]
    fn verify_cli() {
        Options::command().debug_assert();
    }

    #[test]
    fn by_default_everybody_takes_part_both_ways() {
        let options = options(&[]);
        assert_eq!(options.contenders(), Contender::value_variants());
        assert_eq!(options.columns(), [Column::Unthrottled, Column::Throttled]);
    }

    #[test]
    fn keynudge_always_takes_part_and_comes_first() {
        let options = options(&["--contender", "script", "--column", "throttled"]);
        assert_eq!(options.contenders(), [Contender::Keynudge, Contender::Script]);
        assert_eq!(options.columns(), [Column::Throttled]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for wrong in ["--users=0", "--users=5001", "--runs=0", "--iam-rate=0", "--contender=x", "--column=x"]
        {
            assert!(Options::try_parse_from(["bench", wrong]).is_err(), "{wrong}");
        }
    }
}
