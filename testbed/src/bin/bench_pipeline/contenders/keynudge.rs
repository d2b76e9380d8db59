//! Keynudge, as its template deploys it.

use std::time::Duration;

use anyhow::Result;
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::functions::Function;
use keynudge_testbed::peak_memory::PeakMemory;
use keynudge_testbed::pipeline::Patience;
use keynudge_testbed::processor_time::ProcessorTime;
use keynudge_testbed::workbench::Usage;

use super::Stage;

/// An account with all its users, at one call a second.
const PATIENCE: Patience = Patience { overall: Duration::from_hours(3), standstill: Duration::from_mins(3) };

/// Deploys the template and lets its schedule fire. What is measured begins with that, and ends when every queue is empty;
/// the functions start cold.
pub(super) async fn run(stage: &Stage<'_>, user_filter: &str) -> Result<Usage> {
    let parameters = parameters(stage).with("UserFilter", user_filter);
    let deployment = Deployment::create(stage.aws(), stage.packages, &parameters).await?;
    let mut cpu = ProcessorTime::default();
    let mut memory = PeakMemory::default();
    let mut sample = || {
        cpu.sample(stage.emulator, &deployment.outputs);
        memory.sample(stage.emulator, &deployment.outputs);
    };
    let ran = deployment.run(PATIENCE, |_| sample()).await?;
    sample();
    deployment.delete().await?;
    let peaks = Function::ALL.into_iter().filter_map(|function| memory.of(function));
    Ok(Usage { wall: ran.took, cpu: cpu.of_functions(), peak_bytes: peaks.max().unwrap_or_default() })
}

/// With everybody in the audience, as the others have it. Where IAM throttles, Keynudge is told how much it may ask for,
/// and needs no more workers than it has by default; where nothing does, it has twenty, and no pace to speak of.
fn parameters(stage: &Stage<'_>) -> Parameters {
    let parameters = match stage.iam_rate {
        Some(rate) => Parameters::default().with_all_of_ses().with("IamCallsPerSecond", rate.to_string()),
        None => Parameters::unpaced().with("WorkerConcurrency", "20"),
    };
    parameters.with("Audience", "all").with("NotifierConcurrency", "4")
}
