//! A function's life: one invocation after the other.

use std::io;

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
