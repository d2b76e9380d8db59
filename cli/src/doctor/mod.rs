//! `keynudge doctor`: what a deployment needs, and whether it has it.

use anyhow::{Result, bail};
use clap::Args;

use crate::Outcome;
use crate::aws::ConnectionArgs;

/// Check what a deployment needs, and whether it has it
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

impl Doctor {
    /// Does it.
    #[expect(clippy::unused_async, reason = "to be written")]
    pub(crate) async fn run(&self, _connection: &ConnectionArgs) -> Result<Outcome> {
        bail!("to be written")
    }
}
