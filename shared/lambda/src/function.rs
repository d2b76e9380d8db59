//! A function's life: one invocation after the other.

use std::io;
use std::process::ExitCode;

use chrono::Utc;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};

use crate::deadline::Deadline;
use crate::metrics::Metrics;

/// Handles invocations with `handler` until Lambda ends the process. What was counted is written after each one,
/// whatever came of it.
pub async fn run<E, A>(
    deployment: &str,
    handler: impl AsyncFn(E, Deadline, &Metrics) -> Result<A, Error>,
) -> Result<(), Error>
where
    E: for<'de> Deserialize<'de>,
    A: Serialize,
{
    let handler = &handler;
    lambda_runtime::run(service_fn(|event: LambdaEvent<E>| async move {
        let metrics = Metrics::default();
        // Boxed: the type of a whole invocation's future would overflow the compiler's depth limit.
        let answer = Box::pin(handler(event.payload, Deadline::of(&event.context), &metrics)).await;
        if let Err(error) = metrics.write(deployment, Utc::now(), io::stdout().lock()) {
            // What was done is done, counted or not.
            tracing::error!(%error, "metrics not written");
        }
        answer
    }))
    .await
}

/// How the process of a function ends that came to `result`. An error is logged: what `main` itself would
/// print is text, which Lambda takes for INFO.
pub fn exit_code(result: Result<(), Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the function cannot run");
            ExitCode::FAILURE
        }
    }
}
