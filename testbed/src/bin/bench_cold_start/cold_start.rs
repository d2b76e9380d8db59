//! One start of one process, from `exec` to the end of its first invocation.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use keynudge_testbed::lambda_runtime::{Invocation, RuntimeApi, Sign};
use keynudge_testbed::peak_memory;
use serde_json::{Value, json};
use tokio::process::Child;
use tokio::time::timeout;

use crate::program::Program;

/// A process that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// What one start took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColdStart {
    /// Until the process asked for work.
    pub(crate) first_poll: Duration,
    /// Until it had done its first.
    pub(crate) first_invocation: Duration,
    /// The most memory it had needed by then, where the system tells.
    pub(crate) peak_bytes: Option<u64>,
}

/// Starts the program and gives it the event. It ends afterwards, whatever came of it.
pub(crate) async fn measure(program: &Program, event: Value) -> Result<ColdStart> {
    let mut api = RuntimeApi::start().await?;
    api.invoke(Invocation::of(event));
    let mut command = program.command(api.address);
    // Read only if it fails: a pipe holds more than one invocation's log.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let started_at = Instant::now();
    let mut process = command.spawn()?;
    match timeout(PATIENCE, first_invocation(&mut process, &mut api)).await {
        Ok(Ok((polled_at, answered_at))) => {
            let peak_bytes = process.id().and_then(peak_memory::of_process);
            process.kill().await?;
            Ok(ColdStart {
                first_poll: polled_at - started_at,
                first_invocation: answered_at - started_at,
                peak_bytes,
            })
        }
        Ok(Err(error)) => Err(with_log(error, process).await),
        Err(_) => Err(with_log(anyhow!("no answer within a minute"), process).await),
    }
}

/// When it asked for work, and when it had done it, without a record to be tried again.
async fn first_invocation(process: &mut Child, api: &mut RuntimeApi) -> Result<(Instant, Instant)> {
    let mut polled_at = None;
    loop {
        let sign = tokio::select! {
            sign = api.signs.recv() => sign,
            status = process.wait() => bail!("it ended: {}", status?),
        };
        match sign {
            Some(Sign::Polled(at)) => polled_at = Some(at),
            Some(Sign::Answered(at, answer)) if is_success(&answer) => {
                return Ok((polled_at.context("it answered before it had asked for work")?, at));
            }
            Some(Sign::Answered(_, answer)) => bail!("it answered {answer}"),
            Some(Sign::Failed(error)) => bail!("it failed: {error}"),
            None => bail!("the runtime API ended"),
        }
    }
}

/// Whether no record of the batch is to come again.
fn is_success(answer: &str) -> bool {
    serde_json::from_str::<Value>(answer).is_ok_and(|answer| answer["batchItemFailures"] == json!([]))
}

async fn with_log(error: anyhow::Error, mut process: Child) -> anyhow::Error {
    // What it has printed so far is in the pipes; it may have ended already.
    let _ = process.start_kill();
    match process.wait_with_output().await {
        Ok(output) => {
            let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            error.context(format!("its output:\n{printed}"))
        }
        Err(_) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_gives_a_record_back_is_no_success() {
        assert!(is_success(r#"{"batchItemFailures":[]}"#));
        assert!(!is_success(r#"{"batchItemFailures":[{"itemIdentifier":"1"}]}"#));
        assert!(!is_success("null"));
    }
}
