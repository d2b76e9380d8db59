//! `keynudge run`: starts a run, and follows it.

use anyhow::{Result, bail};
use clap::Args;

use crate::Outcome;
use crate::aws::ConnectionArgs;

/// Start a run now, and follow it
#[derive(Debug, Args)]
pub(crate) struct Start {}

impl Start {
    /// Does it.
    #[expect(clippy::unused_async, reason = "to be written")]
    pub(crate) async fn run(&self, _connection: &ConnectionArgs) -> Result<Outcome> {
        bail!("to be written")
    }
}
