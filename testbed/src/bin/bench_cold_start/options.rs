//! The command line.

use std::num::NonZeroUsize;

use clap::{Parser, ValueEnum};
use keynudge_testbed::functions::{self, Profile};

/// Measures how soon a new process of each function asks for work, and how soon it has done its first over HTTPS, beside
/// Python functions that make the same AWS calls with boto3.
///
/// The first run builds the functions as they are deployed and installs the emulator, which takes a few minutes.
#[derive(Debug, Parser)]
#[command(name = "cargo bench-cold-start", bin_name = "cargo bench-cold-start --")]
pub(crate) struct Options {
    /// How often each function is started, in turns with its counterpart; medians are shown. One more start each warms up.
    #[arg(long, value_name = "N", default_value = "15")]
    pub(crate) runs: NonZeroUsize,

    /// Measures this function alone.
    #[arg(long, value_enum, value_name = "NAME")]
    function: Option<Function>,

    /// Prints the figures as JSON, on the last line.
    #[arg(long)]
    pub(crate) json: bool,

    /// How the functions are built; the tests would wait minutes for a release.
    #[arg(long, value_enum, default_value_t = Profile::Release, hide = true)]
    pub(crate) profile: Profile,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Function {
    Producer,
    Worker,
    Notifier,
    Feedback,
}

impl Options {
    /// Reads the command line. Ends the program if something is wrong with it.
    pub(crate) fn from_command_line() -> Self {
        Self::parse()
    }

    /// The functions to measure.
    pub(crate) fn functions(&self) -> Vec<functions::Function> {
        match self.function {
            None => functions::Function::ALL.to_vec(),
            Some(Function::Producer) => vec![functions::Function::Producer],
            Some(Function::Worker) => vec![functions::Function::Worker],
            Some(Function::Notifier) => vec![functions::Function::Notifier],
            Some(Function::Feedback) => vec![functions::Function::Feedback],
        }
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
    fn all_functions_are_measured_or_one() {
        let functions =
            |arguments: &[&str]| Options::parse_from([&["bench"], arguments].concat()).functions();
        assert_eq!(functions(&[]), functions::Function::ALL);
        for function in functions::Function::ALL {
            assert_eq!(functions(&["--function", function.binary()]), [function]);
        }
        assert!(Options::try_parse_from(["bench", "--runs", "0"]).is_err());
    }
}
