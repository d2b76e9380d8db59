//! `keynudge completions`: what a shell needs to complete this tool's commands and options.

use anyhow::Result;
use clap::builder::PossibleValue;
use clap::{Arg, Args, Command, CommandFactory};
use clap_complete::Shell;

use crate::{Cli, Outcome, terminal};

/// The values of arguments, which `clap_complete` leaves out for fish.
fn fish_arguments(cli: &Command) -> String {
    let mut script = String::new();
    for command in cli.get_subcommands() {
        let using = format!("__fish_keynudge_using_subcommand {}", command.get_name());
        script += &values(command, &using);
        for below in command.get_subcommands() {
            script +=
                &values(below, &format!("{using}; and __fish_seen_subcommand_from {}", below.get_name()));
        }
    }
    script
}

fn values(command: &Command, condition: &str) -> String {
    let values = command.get_positionals().flat_map(Arg::get_possible_values);
    let line = |value: PossibleValue| {
        let help = value.get_help().map(ToString::to_string).unwrap_or_default().replace('\'', "\\'");
        format!("complete -c keynudge -n \"{condition}\" -f -a \"{}\" -d '{help}'\n", value.get_name())
    };
    values.map(line).collect()
}

/// Write the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  source <(keynudge completions bash)
  keynudge completions zsh > \"${fpath[1]}/_keynudge\"
  keynudge completions fish > ~/.config/fish/completions/keynudge.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Writes them.
    pub(crate) fn write(&self) -> Result<Outcome> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "keynudge", &mut script);
        let mut script = String::from_utf8_lossy(&script).into_owned();
        if self.shell == Shell::Fish {
            script += &fish_arguments(&Cli::command());
        }
        terminal::print(&script)?;
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(shell: Shell) -> String {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "keynudge", &mut script);
        String::from_utf8(script).unwrap()
    }

    #[test]
    fn fish_completes_the_queues_too() {
        let script = fish_arguments(&Cli::command());
        for command in ["list", "show", "replay", "drop"] {
            let line = format!(
                "complete -c keynudge -n \"__fish_keynudge_using_subcommand dlq; and __fish_seen_subcommand_from {command}\" -f -a \"findings\" -d '"
            );
            assert!(script.contains(&line), "{command}: {script}");
        }
        assert!(script.contains("using_subcommand completions\" -f -a \"zsh\""), "{script}");
    }

    #[test]
    fn the_values_of_options_are_completed() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            for value in ["signed-in-users", "tagged", "credential-report"] {
                assert!(script.contains(value), "{shell}: {value}");
            }
        }
    }
}
