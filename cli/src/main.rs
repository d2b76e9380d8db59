#![doc = include_str!("../README.md")]

mod as_of;
mod aws;
mod completions;
mod dlq;
mod doctor;
mod interrupt;
mod numbers;
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

/// Find old AWS access keys and remind their owners.
#[derive(Debug, Parser)]
#[command(
    name = "keynudge",
    version,
    after_help = "Examples:
  # Users with old access keys, and who would be mailed; deploys nothing
  keynudge scan
  # The mail that an owner would get
  keynudge preview
  # What a deployment needs, and whether it has it
  keynudge doctor
  # A run that mails nobody, followed to its end
  keynudge run --dry-run
  # Failed messages, by queue and reason
  keynudge dlq list

Exit codes: 0 done; 1 failed, declined, interrupted or incomplete; 2 wrong usage; \
                  3 old keys found, with `scan --fail-on-stale`."
)]
struct Cli {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List users with old access keys and who would be mailed. Deploys nothing
    Scan(scan::Scan),
    /// Show the mail that an owner would get
    Preview(Box<preview::Preview>),
    /// Check what a deployment needs, and whether it has it
    Doctor(doctor::Doctor),
    /// Start a run now, and follow it
    Run(runs::start::Start),
    /// Tell what the last runs came to, and what is waiting
    Status(runs::status::Status),
    /// Inspect and retry failed messages (dead-letter queues)
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
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
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

    /// Every command, with what it has of the commands above it.
    fn for_each(command: &mut clap::Command, check: &mut impl FnMut(&mut clap::Command)) {
        command.build();
        check(command);
        command.get_subcommands_mut().for_each(|command| for_each(command, check));
    }

    /// `-h` and `--help` of every command. What is typed is not wrapped, since it would not be what is typed
    /// any more.
    #[test]
    fn no_line_of_help_is_wider_than_a_terminal_of_80_columns() {
        let mut cli = Cli::command().term_width(80);
        cli.build();
        let mut too_wide = Vec::new();
        for_each(&mut cli, &mut |command| {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let typed = examples.lines().filter(|line| line.starts_with(' ')).map(str::to_owned).collect();
            let helps = [command.render_help(), command.render_long_help()];
            let lines =
                helps.iter().flat_map(|help| help.to_string().lines().map(str::to_owned).collect::<Vec<_>>());
            let lines = lines.chain::<Vec<String>>(typed);
            too_wide.extend(lines.filter(|line| line.width() > 80));
        });
        assert_eq!(too_wide, [""; 0]);
    }

    /// Below it, so that a terminal of any width shows it below it.
    #[test]
    fn an_example_is_explained_on_the_line_above() {
        for_each(&mut Cli::command(), &mut |command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let typed = help.lines().filter(|line| line.starts_with("  keynudge "));
            let explained: Vec<&str> =
                typed.filter(|line| line.contains("  #") || line.trim().contains("   ")).collect();
            assert_eq!(explained, [""; 0], "{}", command.get_name());
        });
    }

    /// Errors of Rust's own, such as "invalid digit found in string", do not say what was wanted.
    #[test]
    fn a_wrong_number_is_refused_in_words_of_ours() {
        let error_of =
            |arguments: &[&str]| Cli::command().try_get_matches_from(arguments).err().map(|e| e.to_string());
        let error = error_of(&["keynudge", "scan", "--days", "abc"]).unwrap();
        let said = "invalid value 'abc' for '--days <N>': not a whole number of days (1 or more)";
        assert!(error.contains(said), "{error}");
        let mut numbers = 0;
        for_each(&mut Cli::command(), &mut |command| {
            let path: Vec<String> =
                command.get_bin_name().unwrap_or_default().split(' ').map(str::to_owned).collect();
            let valued = command.get_arguments().filter(|argument| argument.get_action().takes_values());
            for long in valued.filter_map(clap::Arg::get_long) {
                for wrong in ["abc", "0", "-1"] {
                    let value = format!("--{long}={wrong}");
                    let path = path.iter().map(String::as_str);
                    let error =
                        error_of(&path.chain([value.as_str()]).collect::<Vec<_>>()).unwrap_or_default();
                    let of_rust = ["digit found in string", "would be zero"];
                    assert!(!of_rust.iter().any(|words| error.contains(words)), "{value}: {error}");
                    numbers += usize::from(error.contains("not a whole number of "));
                }
            }
        });
        assert!(numbers > 15, "{numbers}");
    }
}
