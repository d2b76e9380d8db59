//! `keynudge status`: what the last runs came to, and what is waiting.

use anyhow::{Result, bail};
use clap::Args;

use crate::Outcome;
use crate::aws::ConnectionArgs;

/// Tell what the last runs came to, and what is waiting
#[derive(Debug, Args)]
pub(crate) struct Status {}

impl Status {
    /// Does it.
    #[expect(clippy::unused_async, reason = "to be written")]
    pub(crate) async fn run(&self, _connection: &ConnectionArgs) -> Result<Outcome> {
        bail!("to be written")
    }
}
