//! What went wrong with a call, and what to do about it.

use std::error::Error;

use anyhow::anyhow;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use super::SIGN_IN_AGAIN;

/// What went wrong with `action` on `what`, and what to do about it.
pub(super) fn failed<E, R>(action: &str, what: &str, error: SdkError<E, R>) -> anyhow::Error
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    if let SdkError::ServiceError(answer) = &error {
        let code = answer.err().code().unwrap_or("no code");
        return refused(action, what, code, answer.err().message().unwrap_or_default());
    }
    let error = anyhow::Error::new(error);
    let advice = if error.chain().any(<dyn Error>::is::<CredentialsError>) {
        format!("{action} has no credentials any more: {SIGN_IN_AGAIN}")
    } else {
        format!("{action} on {what} got no answer: check the network, --region and --endpoint-url")
    };
    error.context(advice)
}

/// A service's own words, behind what to do about them.
pub(super) fn refused(action: &str, what: &str, code: &str, message: &str) -> anyhow::Error {
    let advice = match code.rsplit('#').next().unwrap_or(code) {
        code if code.starts_with("AccessDenied") => {
            format!("access denied: these credentials need the action {action} on {what}")
        }
        "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" => {
            format!("there is no queue {what}: check its URL, and the region and account of the credentials")
        }
        "ResourceNotFoundException" => {
            format!("there is no {what}: check the region and account of the credentials")
        }
        "ExpiredToken" | "ExpiredTokenException" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
            format!("{action} does not accept these credentials: {SIGN_IN_AGAIN}")
        }
        _ => format!("{action} on {what} failed"),
    };
    anyhow!("{code}: {message}").context(advice)
}

pub(super) fn message_of<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    error.message().unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(code: &str) -> String {
        format!("{:#}", refused("sqs:ReceiveMessage", "https://sqs/users", code, "because"))
    }

    #[test]
    fn an_error_says_what_to_do_and_then_what_was_said() {
        for (code, advised) in [
            ("AccessDenied", "need the action sqs:ReceiveMessage on https://sqs/users"),
            ("AccessDeniedException", "need the action sqs:ReceiveMessage on https://sqs/users"),
            ("QueueDoesNotExist", "there is no queue https://sqs/users"),
            ("com.amazonaws.sqs#QueueDoesNotExist", "there is no queue https://sqs/users"),
            ("ExpiredToken", "sign in again"),
            ("Strange", "sqs:ReceiveMessage on https://sqs/users failed"),
        ] {
            let advice = advice(code);
            assert!(advice.contains(advised), "{advice}");
            assert!(advice.ends_with(&format!(": {code}: because")), "{advice}");
        }
    }
}
