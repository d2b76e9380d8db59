//! `keynudge preview`: the mail that an owner would get.

use anyhow::{Result, bail};
use clap::Args;

use crate::Outcome;
use crate::aws::ConnectionArgs;

/// Show the mail that an owner would get
#[derive(Debug, Args)]
pub(crate) struct Preview {}

impl Preview {
    /// Does it.
    #[expect(clippy::unused_async, reason = "to be written")]
    pub(crate) async fn run(&self, _connection: &ConnectionArgs) -> Result<Outcome> {
        bail!("to be written")
    }
}
