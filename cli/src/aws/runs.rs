//! What a run is started by, what it left in the table, and what waits in the queues.

use std::error::Error;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_sdk_sqs::types::QueueAttributeName;
use keynudge_aws::dynamodb::LedgerTable;
use keynudge_core::failure::CallFailed;
use serde::{Deserialize, Serialize};

use super::Aws;
use super::errors::{failed, lacks_credentials, refused};

/// Longer than a function may take.
const START_TIMEOUT: Duration = Duration::from_mins(16);

/// How many messages a queue holds, in each of their states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Depth {
    /// To be received.
    pub(crate) visible: u64,
    /// Received and not deleted: a function is at them, or they wait to be tried again.
    pub(crate) in_flight: u64,
    /// Sent with a delay that is not over.
    pub(crate) delayed: u64,
}

impl Depth {
    pub(crate) fn all(self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

/// Why a function did not do what it was to do.
#[derive(Debug)]
pub(crate) enum NotInvoked {
    /// It has not begun.
    Refused(anyhow::Error),
    /// It may have begun, and done some of it or all.
    Unknown(anyhow::Error),
}

/// What Lambda says of a function that failed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionError {
    error_message: String,
}

impl Aws {
    /// The table of this name.
    pub(crate) fn ledger(&self, table: &str) -> LedgerTable {
        LedgerTable::new(&self.config, table.to_owned())
    }

    /// How many messages the queue at `url` holds. On AWS, the numbers are up to a minute old.
    pub(crate) async fn depth(&self, url: &str) -> Result<Depth> {
        let [visible, in_flight, delayed] = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let call = self.sqs.get_queue_attributes().queue_url(url);
        let call = [&visible, &in_flight, &delayed]
            .into_iter()
            .fold(call, |call, name| call.attribute_names(name.clone()));
        let answer = call.send().await.map_err(|error| failed("sqs:GetQueueAttributes", url, error))?;
        let attributes = answer.attributes.unwrap_or_default();
        let count = |name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or(0);
        Ok(Depth { visible: count(visible), in_flight: count(in_flight), delayed: count(delayed) })
    }

    /// Has the function do something, and waits until it is done. Once: a repetition would start it again while it is at it.
    pub(crate) async fn invoke(&self, function: &str, event: &impl Serialize) -> Result<(), NotInvoked> {
        let event = serde_json::to_vec(event).context("writing the event").map_err(NotInvoked::Refused)?;
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(START_TIMEOUT)
            .operation_timeout(START_TIMEOUT)
            .build();
        let config = aws_sdk_lambda::config::Builder::from(&self.config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        let answer = aws_sdk_lambda::Client::from_conf(config)
            .invoke()
            .function_name(function)
            .invocation_type(InvocationType::RequestResponse)
            .payload(Blob::new(event))
            .send()
            .await;
        let answer = answer.map_err(|error| not_invoked(function, error))?;
        if answer.function_error.is_some() {
            let payload = answer.payload.unwrap_or_else(|| Blob::new([]));
            let error = match serde_json::from_slice::<FunctionError>(payload.as_ref()) {
                Ok(error) => anyhow!(error.error_message),
                Err(_) => anyhow!("the function {function} failed, and its log says why"),
            };
            return Err(NotInvoked::Unknown(error));
        }
        Ok(())
    }
}

/// Whether a function has begun that gave no answer. An error of Lambda's own, of which there are some with status 5xx, may
/// come after that.
fn not_invoked<E>(function: &str, error: SdkError<E, HttpResponse>) -> NotInvoked
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let is_refused = match &error {
        SdkError::ServiceError(answer) => answer.raw().status().is_client_error(),
        SdkError::ConstructionFailure(_) => true,
        _ => false,
    };
    let has_not_begun = is_refused || lacks_credentials(&error);
    let error = failed("lambda:InvokeFunction", function, error);
    if has_not_begun { NotInvoked::Refused(error) } else { NotInvoked::Unknown(error) }
}

/// What to do about a call to `table` that failed.
pub(crate) fn table_failed(error: &CallFailed, table: &str) -> anyhow::Error {
    let why = error.source.as_ref().map_or_else(String::new, ToString::to_string);
    refused(error.call, &format!("the table {table}"), &error.code, &why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_lambda::operation::invoke::InvokeError;
    use aws_sdk_lambda::primitives::SdkBody;

    #[test]
    fn what_was_not_refused_may_have_begun() {
        let answered = |status: u16| {
            let answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
            SdkError::service_error(InvokeError::unhandled("because"), answer)
        };
        for (error, is_refused) in [
            (answered(403), true),
            (answered(429), true),
            (answered(500), false),
            (answered(502), false),
            (SdkError::timeout_error("no answer"), false),
            (SdkError::construction_failure("no endpoint"), true),
        ] {
            let shown = format!("{error:?}");
            let refused = matches!(not_invoked("producer", error), NotInvoked::Refused(_));
            assert_eq!(refused, is_refused, "{shown}");
        }
    }
}
