//! Looking at what is deployed, for `keynudge doctor`: one reading call for each fact. A call that does not answer is an
//! answer, too: what it would have told is not known.

mod caller;
mod functions;
mod logs;
mod queues;
mod schedule;
mod sending;
mod stack;
mod table;

use std::error::Error;
use std::time::Duration;

use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use futures::future::LocalBoxFuture;
use keynudge_aws::failure::{Cause, cause};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::errors::{code_of, from_endpoint, is_about_key};
use crate::doctor::answer::{Answer, Unanswered};
use crate::terminal;

/// Nobody waits longer for one answer: what else was found out is worth more.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the call came to. Boxed: there are dozens at once, and each of the SDK's futures takes kilobytes.
fn ask<'a, T, E>(
    action: &'static str,
    call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + 'a,
) -> LocalBoxFuture<'a, Answer<T>>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    T: 'a,
{
    Box::pin(async move { judged(action, timeout(PATIENCE, call).await) })
}

fn judged<T, E>(
    action: &'static str,
    answer: Result<Result<T, SdkError<E, HttpResponse>>, Elapsed>,
) -> Answer<T>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match answer {
        Err(_) => Err(no_answer(action)),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(SdkError::ServiceError(refusal))) => {
            let error = refusal.err();
            let code = code_of(error, refusal.raw());
            Err(refused(action, &code, error.message().unwrap_or_default()))
        }
        Ok(Err(error)) => {
            let why = format!("no answer{}: {}", from_endpoint(action), terminal::cause(&error));
            Err(Unanswered::Failed { action, why })
        }
    }
}

fn no_answer(action: &'static str) -> Unanswered {
    Unanswered::Failed {
        action,
        why: format!("no answer{} in {} s", from_endpoint(action), PATIENCE.as_secs()),
    }
}

/// What a service's error means.
fn refused(action: &'static str, code: &str, message: &str) -> Unanswered {
    let why = || format!("{code}: {message}");
    match cause(code) {
        Cause::Denied => Unanswered::Denied { action },
        Cause::Missing if is_about_key(action, code) => Unanswered::Failed { action, why: why() },
        Cause::Missing => Unanswered::Missing,
        Cause::Credentials => Unanswered::NotAccepted { why: why() },
        Cause::Other => Unanswered::Failed { action, why: why() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_an_absence() {
        let denied = Unanswered::Denied { action: "sqs:GetQueueAttributes" };
        for (code, meaning) in [
            ("AccessDenied", denied.clone()),
            ("AccessDeniedException", denied.clone()),
            ("com.amazonaws.sqs#AccessDeniedException", denied),
            ("AWS.SimpleQueueService.NonExistentQueue", Unanswered::Missing),
            ("ExpiredToken", Unanswered::NotAccepted { why: "ExpiredToken: because".to_owned() }),
        ] {
            assert_eq!(refused("sqs:GetQueueAttributes", code, "because"), meaning, "{code}");
        }
        let no_table = "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException";
        assert_eq!(refused("dynamodb:DescribeTable", no_table, "because"), Unanswered::Missing);
        let key = refused("sqs:GetQueueAttributes", "KMS.NotFoundException", "because");
        assert!(matches!(key, Unanswered::Failed { .. }), "the queue is there: {key:?}");
        let Unanswered::Failed { why, .. } = refused("a:B", "Throttling", "slow down") else { panic!() };
        assert_eq!(why, "Throttling: slow down");
    }
}
