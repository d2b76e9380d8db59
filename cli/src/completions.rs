//! `keynudge completions`: what a shell needs to complete this tool's commands and options.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{Cli, Outcome, terminal};

/// Write the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keynudge completions bash > ~/.local/share/bash-completion/completions/keynudge
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
        terminal::print(&String::from_utf8_lossy(&script))?;
        Ok(Outcome::Done)
    }
}
