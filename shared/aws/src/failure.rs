//! From the SDK's errors to the domain's: what a failed call means for its message.

use std::error::Error;
use std::sync::Arc;

use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use keynudge_core::failure::{CallFailed, FailureClass};

/// Codes of a service that has enough for now, or is not ready. Most arrive unmodelled; IAM's `Throttling` with
/// status 400.
const RETRY: [&str; 13] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "LimitExceededException",
    "BandwidthLimitExceeded",
    "PriorRequestNotComplete",
    "RequestTimeout",
    "RequestTimeoutException",
    "SlowDown",
];

/// Codes by which a service says that this very request is wrong, and will be next time.
const NEVER: [&str; 12] = [
    "BatchRequestTooLong",
    "InvalidInput",
    "InvalidMessageContents",
    "InvalidParameterCombination",
    "InvalidParameterValue",
    "InvalidParameterValueException",
    "MalformedInput",
    "MessageRejected",
    "MissingParameter",
    "SerializationException",
    "ValidationError",
    "ValidationException",
];

/// What SES's `MessageRejected` says when not the mail is at fault, but the account: an identity (the sender's; in the
/// sandbox the recipient's, too) is not verified, or AWS has paused the account's mail.
const REJECTED_FOR_THE_ACCOUNT: [&str; 3] = ["not verified", "Sending paused", "Sending suspended"];

/// Judges an error of the SDK, for a call that may be repeated. `call` is the action as IAM policies name it.
pub(crate) fn call_failed<E>(call: &'static str, error: SdkError<E, HttpResponse>) -> CallFailed
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let (class, code) = match &error {
        SdkError::ConstructionFailure(_) => (FailureClass::Never, "construction"),
        SdkError::TimeoutError(_) => (FailureClass::Retry, "timeout"),
        SdkError::DispatchFailure(_) => (FailureClass::Retry, "connection"),
        SdkError::ResponseError(_) => (FailureClass::Retry, "unreadable answer"),
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or("none");
            let message = answer.err().message().unwrap_or_default();
            (class_of(code, message, answer.raw().status().as_u16()), code)
        }
        _ => (FailureClass::Retry, "unknown"),
    };
    CallFailed { call, class, code: code.to_owned(), source: Some(Arc::new(error)) }
}

/// Judges an error of the SDK, for a call whose repetition people would notice. Where the answer was lost or says
/// nothing, nobody knows whether it was done.
pub(crate) fn unrepeatable_call_failed<E>(call: &'static str, error: SdkError<E, HttpResponse>) -> CallFailed
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let answered = match &error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::ServiceError(answer) => {
            !answer.raw().status().is_server_error() || answer.err().code().is_some_and(is_throttle)
        }
        _ => false,
    };
    let failed = call_failed(call, error);
    if answered { failed } else { CallFailed { class: FailureClass::Unknown, ..failed } }
}

/// A request that could not even be built. It will not be next time, either.
pub(crate) fn not_built(call: &'static str, error: impl Into<Box<dyn Error + Send + Sync>>) -> CallFailed {
    CallFailed {
        call,
        class: FailureClass::Never,
        code: "construction".to_owned(),
        source: Some(Arc::from(error.into())),
    }
}

/// What a service's answer means. The code decides, then the HTTP status. What is neither known nor the server's own
/// fault waits for an operator: a surprise must not cost every message of a run.
pub(crate) fn class_of(code: &str, message: &str, status: u16) -> FailureClass {
    let about_the_account = || REJECTED_FOR_THE_ACCOUNT.iter().any(|words| message.contains(words));
    match code {
        _ if is_throttle(code) || status == 429 || status >= 500 => FailureClass::Retry,
        "MessageRejected" if about_the_account() => FailureClass::Operator,
        _ if NEVER.contains(&code) => FailureClass::Never,
        _ => FailureClass::Operator,
    }
}

fn is_throttle(code: &str) -> bool {
    RETRY.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_is_tried_again_whatever_its_status() {
        for (code, status) in
            [("Throttling", 400), ("ThrottlingException", 429), ("SlowDown", 503), ("New", 429)]
        {
            assert_eq!(class_of(code, "", status), FailureClass::Retry, "{code}");
        }
    }

    #[test]
    fn a_server_error_is_tried_again() {
        assert_eq!(class_of("InternalFailure", "", 500), FailureClass::Retry);
        assert_eq!(class_of("none", "", 503), FailureClass::Retry);
    }

    #[test]
    fn what_the_service_will_never_take_is_given_up() {
        assert_eq!(class_of("MessageRejected", "Address blacklisted.", 400), FailureClass::Never);
        assert_eq!(class_of("ValidationError", "", 400), FailureClass::Never);
    }

    #[test]
    fn missing_rights_and_identities_are_for_an_operator() {
        assert_eq!(class_of("AccessDenied", "", 403), FailureClass::Operator);
        assert_eq!(class_of("ConfigurationSetDoesNotExist", "", 400), FailureClass::Operator);
        for message in [
            "Email address is not verified. The following identities failed the check",
            "Sending paused for this account. For more information, see your account's page",
            "Sending suspended for this account.",
        ] {
            assert_eq!(class_of("MessageRejected", message, 400), FailureClass::Operator, "{message}");
        }
    }

    #[test]
    fn a_surprise_costs_no_message() {
        assert_eq!(class_of("BrandNewException", "", 400), FailureClass::Operator);
    }
}
