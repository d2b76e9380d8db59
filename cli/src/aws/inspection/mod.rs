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
use std::fmt::Debug;
use std::time::Duration;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use futures::future::LocalBoxFuture;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::doctor::answer::{Answer, Unanswered};

/// Nobody waits longer for one answer: what else was found out is worth more.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the call came to. Boxed: there are dozens at once, and each of the SDK's futures takes kilobytes.
fn ask<'a, T, E, R>(
    action: &'static str,
    call: impl Future<Output = Result<T, SdkError<E, R>>> + 'a,
) -> LocalBoxFuture<'a, Answer<T>>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
    T: 'a,
{
    Box::pin(async move { judged(action, timeout(PATIENCE, call).await) })
}

fn judged<T, E, R>(action: &'static str, answer: Result<Result<T, SdkError<E, R>>, Elapsed>) -> Answer<T>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    match answer {
        Err(_) => Err(no_answer(action)),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(SdkError::ServiceError(refusal))) => {
            let error = refusal.err();
            Err(refused(action, error.code().unwrap_or("no code"), error.message().unwrap_or_default()))
        }
        Ok(Err(error)) => {
            let why = format!("no answer: {:#}", anyhow::Error::new(error));
            Err(Unanswered::Failed { action, why })
        }
    }
}

fn no_answer(action: &'static str) -> Unanswered {
    Unanswered::Failed { action, why: format!("no answer in {} s", PATIENCE.as_secs()) }
}

/// What a service's error means.
fn refused(action: &'static str, code: &str, message: &str) -> Unanswered {
    match code.rsplit('#').next().unwrap_or(code) {
        code if code.starts_with("AccessDenied") => Unanswered::Denied { action },
        "AuthorizationError" | "NotAuthorized" | "UnauthorizedOperation" => Unanswered::Denied { action },
        "ResourceNotFoundException"
        | "NotFoundException"
        | "NoSuchEntity"
        | "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue" => Unanswered::Missing,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch" => Unanswered::NotAccepted { why: format!("{code}: {message}") },
        _ => Unanswered::Failed { action, why: format!("{code}: {message}") },
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
            ("com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", Unanswered::Missing),
            ("ExpiredToken", Unanswered::NotAccepted { why: "ExpiredToken: because".to_owned() }),
        ] {
            assert_eq!(refused("sqs:GetQueueAttributes", code, "because"), meaning, "{code}");
        }
        let Unanswered::Failed { why, .. } = refused("a:B", "Throttling", "slow down") else { panic!() };
        assert_eq!(why, "Throttling: slow down");
    }
}
