//! `keynudge scan`: whose keys are too old, and who would be told, without a deployment.

pub(crate) mod html;
pub(crate) mod report;

use anyhow::{Result, bail};
use clap::Args;

use crate::Outcome;
use crate::aws::ConnectionArgs;

/// Tell whose keys are too old, and who would be told, without deploying anything
#[derive(Debug, Args)]
pub(crate) struct Scan {}

impl Scan {
    /// Does it.
    #[expect(clippy::unused_async, reason = "to be written")]
    pub(crate) async fn run(&self, _connection: &ConnectionArgs) -> Result<Outcome> {
        bail!("to be written")
    }
}
