//! From the SDK's errors to the domain's: what each outcome of each call means for its message.
//!
//! Everything that is no success is judged here, but for what is *done* all the same: `NoSuchEntity` (in `iam.rs`), and
//! the failed condition of a write (in `dynamodb.rs`).

use std::error::Error;
use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use hyper_util::client::legacy::Error as HttpError;
use keynudge_core::failure::FailureClass::{Never, Operator, Retry, Unknown};
use keynudge_core::failure::{ASSUME_ROLE, CallFailed, FailureClass};
use keynudge_core::ids::InvalidId;

/// Any service that has enough for now, and did nothing: the SDK's own list (`THROTTLING_ERRORS` in aws-runtime). Most are
/// modelled by no service: IAM's and SES's `Throttling` come with status 400.
const THROTTLES: &[&str] = &[
    "BandwidthLimitExceeded",
    "LimitExceeded",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttled",
    "Throttling",
    "TooManyRequests",
];

/// Any service: these credentials, or a signature by them, are too old. The SDK signs its next attempt anew.
const EXPIRED: &[&str] = &["ExpiredToken", "RequestExpired"];

/// Any service: it does not know these credentials, or not their signature.
const NOT_ACCEPTED: &[&str] = &[
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignature",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClient",
];

/// Any service: these credentials lack the right to make this call.
const DENIED: &[&str] = &["AccessDenied", "AuthorizationError", "NotAuthorized", "UnauthorizedOperation"];

/// Any service, KMS through SQS included: what the call names does not exist.
const MISSING: &[&str] =
    &["NoSuchEntity", "NonExistentQueue", "NotFound", "QueueDoesNotExist", "ResourceNotFound"];

/// What services' error codes mean, whatever the status they come with. [`stem`] says how they are written here.
///
/// From the services' API references, "Errors" and "Common Errors", and their models in the SDK.
const CODES: &[(FailureClass, &[&str])] = &[
    (Retry, THROTTLES),
    // Any service whose trouble may have begun after it did as it was told.
    (
        Unknown,
        &[
            "InternalError",
            "InternalFailure",
            "InternalServerError",
            "RequestTimeout",
            "ServiceFailure",
            "ServiceUnavailable",
        ],
    ),
    // The next environment has new credentials.
    (Retry, EXPIRED),
    (Operator, NOT_ACCEPTED),
    (Operator, DENIED),
    (Operator, MISSING),
    (Operator, &["OptInRequired"]),
    // Any service, of this very request.
    (
        Never,
        &[
            "InvalidInput",
            "InvalidParameterCombination",
            "InvalidParameterValue",
            "MalformedInput",
            "MissingParameter",
            "Serialization",
            "ValidationError",
        ],
    ),
    // STS, of a region it is switched off in.
    (Operator, &["RegionDisabled"]),
    // Organizations: there is none, or no unit of the id that a setting names, or it may not be asked from here.
    (
        Operator,
        &[
            "AWSOrganizationsNotInUse",
            "ConstraintViolation",
            "OrganizationalUnitNotFound",
            "ParentNotFound",
            "UnsupportedAPIEndpoint",
        ],
    ),
    (Unknown, &["Service"]),
    // SES. What `MessageRejected` and `Throttling` say besides is told by `about_the_account`.
    (
        Operator,
        &[
            "AccountSendingPaused",
            "ConfigurationSetDoesNotExist",
            "ConfigurationSetSendingPaused",
            "MailFromDomainNotVerified",
        ],
    ),
    (Never, &["MessageRejected"]),
    // DynamoDB. What it finds invalid is a table with another key, not the message.
    (Retry, &["ReplicatedWriteConflict", "TransactionConflict"]),
    (Operator, &["InvalidEndpoint", "Validation"]),
    (Never, &["ItemCollectionSizeLimitExceeded"]),
    // SQS: calls and the entries of a batch.
    (Retry, &["OverLimit"]),
    (Operator, &["InvalidAddress", "InvalidSecurity", "UnsupportedOperation"]),
    (
        Never,
        &[
            "BatchEntryIdsNotDistinct",
            "BatchRequestTooLong",
            "EmptyBatchRequest",
            "InvalidBatchEntryId",
            "InvalidMessageContents",
            "MessageNotInflight",
            "ReceiptHandleIsInvalid",
            "TooManyEntriesInBatchRequest",
        ],
    ),
    // KMS, through SQS, where an operator put a key of theirs on a queue.
    (Operator, &["Disabled", "InvalidKeyUsage", "InvalidState"]),
];

/// What a failed call is about, by the code of its error: what a person has to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The credentials are over, withdrawn or unknown. No further call by them succeeds.
    Credentials,
    /// The credentials lack the right to make this call.
    Denied,
    /// What the call names does not exist.
    Missing,
    /// Anything else.
    Other,
}

/// The cause that a service's error code names, or one of the codes of [`CallFailed`].
#[must_use]
pub fn cause(code: &str) -> Cause {
    let stem = stem(code);
    match () {
        () if stem == NO_CREDENTIALS || EXPIRED.contains(&stem) || NOT_ACCEPTED.contains(&stem) => {
            Cause::Credentials
        }
        () if DENIED.contains(&stem) => Cause::Denied,
        () if MISSING.contains(&stem) => Cause::Missing,
        () => Cause::Other,
    }
}

/// The code of a call for which there were no credentials, such as those that could not be renewed.
const NO_CREDENTIALS: &str = "credentials";

/// The same code has a namespace, a prefix and an `Exception` in one protocol, and not in another.
fn stem(code: &str) -> &str {
    let code = code.rsplit('#').next().unwrap_or(code);
    let prefixes = ["AWS.SimpleQueueService.", "KMS.", "Kms"];
    let code = prefixes.iter().find_map(|prefix| code.strip_prefix(prefix)).unwrap_or(code);
    code.strip_suffix("Exception").unwrap_or(code)
}

/// Whether SES rejects a mail not for what it is, but for the account: an identity (the sender's; in the sandbox the
/// recipient's, too) is not verified, sending is paused or suspended (SES developer guide, "Amazon SES email sending
/// errors"), or the day's quota is used up ("Errors related to the sending quotas"). The latter frees itself within a
/// day: trying in seconds, as for the rate per second, would use up the record's receives.
fn about_the_account(code: &str, message: &str) -> bool {
    let said = |words: &[&str]| words.iter().any(|words| message.contains(words));
    match stem(code) {
        "MessageRejected" => said(&["not verified", "paused", "suspended"]),
        "Throttling" => said(&["Daily message quota exceeded", "Daily sending quota exceeded"]),
        _ => false,
    }
}

/// What a service's answer means. The code decides, and where it is not known, the HTTP status. A surprise waits for an
/// operator: it must not cost every message of a run.
pub(crate) fn class_of(code: &str, message: &str, status: u16) -> FailureClass {
    if about_the_account(code, message) {
        return Operator;
    }
    let known = CODES.iter().find(|(_, codes)| codes.contains(&stem(code)));
    match (known, status) {
        (Some((class, _)), _) => *class,
        (None, 429) => Retry,
        // Also a success whose answer says something else than it should.
        (None, 200..=299 | 500..) => Unknown,
        (None, _) => Operator,
    }
}

/// Whether a service refused a call because it has enough for now, and not because of anything else.
#[must_use]
pub fn is_throttle(error: &CallFailed) -> bool {
    error.class == Retry && (THROTTLES.contains(&stem(&error.code)) || error.code == "HTTP 429")
}

/// Judges an error of the SDK, for a call that may be repeated. `call` is the action as IAM policies name it.
pub(crate) fn call_failed<E>(call: &'static str, error: SdkError<E, HttpResponse>) -> CallFailed
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let failed = unrepeatable_call_failed(call, error);
    CallFailed { class: repeatable(failed.class), ..failed }
}

/// What `class` means for a call that may be repeated.
pub(crate) fn repeatable(class: FailureClass) -> FailureClass {
    if class == Unknown { Retry } else { class }
}

/// Judges an error of the SDK, for a call whose repetition people would notice. Where the answer was lost or says
/// nothing, nobody knows whether it was done.
pub(crate) fn unrepeatable_call_failed<E>(call: &'static str, error: SdkError<E, HttpResponse>) -> CallFailed
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let (call, (class, code)) = match find::<SdkError<AssumeRoleError>>(&error) {
        Some(error) => (ASSUME_ROLE, role_not_assumed(error)),
        None => (call, judge(&error)),
    };
    CallFailed { call, class, code, source: Some(Arc::new(error)) }
}

fn judge<E>(error: &SdkError<E, HttpResponse>) -> (FailureClass, String)
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ConstructionFailure(_) => (Never, "construction".to_owned()),
        SdkError::TimeoutError(_) => (Unknown, "timeout".to_owned()),
        SdkError::DispatchFailure(_) => dispatch_failed(error),
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let code = answer.err().code().map_or_else(|| format!("HTTP {status}"), str::to_owned);
            (class_of(&code, answer.err().message().unwrap_or_default(), status), code)
        }
        // `ResponseError`: an answer that ends early. The enum is open, so there may be more to come.
        _ => (Unknown, "unreadable answer".to_owned()),
    }
}

/// Judges what kept a call from being made at all: the role it was to be made with could not be assumed. Nobody minds
/// if that is repeated; and what is wrong with the request is wrong with the settings it is made of.
fn role_not_assumed(error: &SdkError<AssumeRoleError>) -> (FailureClass, String) {
    let (class, code) = judge(error);
    (if class == Never { Operator } else { repeatable(class) }, code)
}

/// Judges what kept a request from an answer. Only what is certain to have happened before it was written counts as
/// such; for all the others, it may have been.
fn dispatch_failed(error: &(dyn Error + 'static)) -> (FailureClass, String) {
    let (class, code) = match find::<CredentialsError>(error) {
        Some(CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)) => {
            (Operator, NO_CREDENTIALS)
        }
        Some(_) => (Retry, NO_CREDENTIALS),
        // Name resolution, TCP and TLS, and what they take too long for.
        None if find(error).is_some_and(HttpError::is_connect) => (Retry, "no connection"),
        None => (Unknown, "connection"),
    };
    (class, code.to_owned())
}

/// The first `T` among `error` and its sources.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

/// A request that could not even be built. It will not be next time, either.
pub(crate) fn not_built(call: &'static str, error: impl Into<Box<dyn Error + Send + Sync>>) -> CallFailed {
    CallFailed { call, class: Never, code: "construction".to_owned(), source: Some(Arc::from(error.into())) }
}

/// An answer that cannot be used. The service should not send one; reading on as if it said less would lose users.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error(transparent)]
    Invalid(#[from] InvalidId),
    #[error("a date is out of range")]
    Date,
    #[error("more pages than there can be")]
    Endless,
}

/// Judges an answer that cannot be used: perhaps the next one can.
pub(crate) fn unusable(call: &'static str, error: Unusable) -> CallFailed {
    CallFailed { call, class: Retry, code: "unusable answer".to_owned(), source: Some(Arc::new(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The class of codes that decide by themselves.
    fn class_of_code(code: &str) -> FailureClass {
        let classes = [200, 400, 429, 503].map(|status| class_of(code, "", status));
        assert!(classes.iter().all(|class| *class == classes[0]), "{code}: {classes:?}");
        classes[0]
    }

    #[test]
    fn every_service_has_its_codes() {
        let services: [(FailureClass, &[&str]); 27] = [
            // IAM.
            (Retry, &["Throttling", "TooManyRequestsException", "SlowDown", "RequestLimitExceeded"]),
            (
                Unknown,
                &["ServiceFailure", "ServiceFailureException", "InternalFailure", "ServiceUnavailable"],
            ),
            (Operator, &["AccessDenied", "InvalidClientTokenId", "OptInRequired", "SignatureDoesNotMatch"]),
            (Operator, &["IncompleteSignature", "MissingAuthenticationToken", "NotAuthorized"]),
            (Retry, &["ExpiredToken", "ExpiredTokenException", "RequestExpired"]),
            (Never, &["ValidationError", "InvalidInput", "MalformedInput", "MissingParameter"]),
            // STS, and what any service says.
            (Operator, &["RegionDisabledException", "AccessDenied", "InvalidClientTokenId"]),
            // Organizations.
            (
                Operator,
                &[
                    "AccessDeniedException",
                    "AWSOrganizationsNotInUseException",
                    "ConstraintViolationException",
                    "OrganizationalUnitNotFoundException",
                    "ParentNotFoundException",
                    "UnsupportedAPIEndpointException",
                ],
            ),
            (Unknown, &["ServiceException"]),
            (Retry, &["TooManyRequestsException"]),
            (Never, &["InvalidInputException"]),
            // SES.
            (Retry, &["Throttling", "ThrottlingException", "LimitExceededException"]),
            (Operator, &["ConfigurationSetDoesNotExist", "ConfigurationSetDoesNotExistException"]),
            (Operator, &["ConfigurationSetSendingPausedException", "AccountSendingPausedException"]),
            (Operator, &["MailFromDomainNotVerifiedException"]),
            (Never, &["InvalidParameterValue", "InvalidParameterCombination", "MessageRejected"]),
            // DynamoDB.
            (Retry, &["ProvisionedThroughputExceededException", "ThrottlingException", "ThrottledException"]),
            (Retry, &["TransactionConflictException", "ReplicatedWriteConflictException"]),
            (Unknown, &["InternalServerError", "RequestTimeout", "RequestTimeoutException"]),
            (Operator, &["ResourceNotFoundException", "InvalidEndpointException", "AccessDeniedException"]),
            (Operator, &["ValidationException"]),
            (Operator, &["UnrecognizedClientException", "InvalidSignatureException"]),
            (
                Never,
                &[
                    "SerializationException",
                    "ItemCollectionSizeLimitExceededException",
                    "InvalidParameterValueException",
                ],
            ),
            // SQS, in its own protocol and in the one before.
            (
                Retry,
                &[
                    "OverLimit",
                    "RequestThrottled",
                    "RequestThrottledException",
                    "BandwidthLimitExceeded",
                    "PriorRequestNotComplete",
                    "KmsThrottled",
                    "KMS.ThrottlingException",
                ],
            ),
            (Unknown, &["InternalError"]),
            (
                Operator,
                &[
                    "QueueDoesNotExist",
                    "AWS.SimpleQueueService.NonExistentQueue",
                    "AWS.SimpleQueueService.UnsupportedOperation",
                    "InvalidAddress",
                    "InvalidSecurity",
                    "KMS.AccessDeniedException",
                    "KmsAccessDenied",
                    "KMS.DisabledException",
                    "KMS.InvalidKeyUsageException",
                    "KMS.InvalidStateException",
                    "KMS.NotFoundException",
                    "KmsOptInRequired",
                ],
            ),
            (
                Never,
                &[
                    "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
                    "AWS.SimpleQueueService.BatchRequestTooLong",
                    "AWS.SimpleQueueService.EmptyBatchRequest",
                    "AWS.SimpleQueueService.InvalidBatchEntryId",
                    "AWS.SimpleQueueService.MessageNotInflight",
                    "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
                    "InvalidMessageContents",
                    "ReceiptHandleIsInvalid",
                ],
            ),
        ];
        for (class, codes) in services {
            for code in codes {
                assert_eq!(class_of_code(code), class, "{code}");
            }
        }
    }

    #[test]
    fn a_code_means_one_thing() {
        let codes: Vec<&str> = CODES.iter().flat_map(|(_, codes)| *codes).copied().collect();
        for code in &codes {
            assert_eq!(codes.iter().filter(|other| other == &code).count(), 1, "{code}");
            assert_eq!(stem(code), *code, "would never be found");
        }
    }

    #[test]
    fn what_a_person_has_to_mend_is_told_by_the_code_alone() {
        let causes: [(Cause, &[&str]); 4] = [
            (
                Cause::Credentials,
                &[
                    "credentials",
                    "ExpiredToken",
                    "ExpiredTokenException",
                    "RequestExpired",
                    "InvalidAccessKeyId",
                    "InvalidClientTokenId",
                    "SignatureDoesNotMatch",
                    "InvalidSignatureException",
                    "UnrecognizedClientException",
                    "com.amazonaws.dynamodb.v20120810#MissingAuthenticationTokenException",
                ],
            ),
            (
                Cause::Denied,
                &[
                    "AccessDenied",
                    "com.amazonaws.sqs#AccessDeniedException",
                    "KmsAccessDenied",
                    "AuthorizationError",
                    "UnauthorizedOperation",
                ],
            ),
            (
                Cause::Missing,
                &[
                    "AWS.SimpleQueueService.NonExistentQueue",
                    "com.amazonaws.sqs#QueueDoesNotExist",
                    "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
                    "NoSuchEntity",
                ],
            ),
            (Cause::Other, &["Throttling", "timeout", "MessageRejected", ""]),
        ];
        for (expected, codes) in causes {
            for code in codes {
                assert_eq!(cause(code), expected, "{code}");
            }
        }
    }

    #[test]
    fn ses_is_over_its_rate_for_seconds_and_over_its_quota_for_hours() {
        for code in ["Throttling", "ThrottlingException"] {
            assert_eq!(class_of(code, "Maximum sending rate exceeded.", 400), Retry);
            assert_eq!(class_of(code, "Daily message quota exceeded.", 400), Operator);
            assert_eq!(class_of(code, "Daily sending quota exceeded.", 400), Operator);
        }
    }

    #[test]
    fn a_mail_is_rejected_for_itself_or_for_the_account() {
        for message in [
            "Email address is not verified. The following identities failed the check in region EU-WEST-1: a@b.example",
            "Sending paused for this account. For more information, please check the inbox of the email address",
            "Account is paused.",
            "Sending suspended for this account.",
        ] {
            assert_eq!(class_of("MessageRejected", message, 400), Operator, "{message}");
        }
        for message in ["Address blacklisted.", "Address is on the suppression list", ""] {
            assert_eq!(class_of("MessageRejected", message, 400), Never, "{message}");
        }
    }

    #[test]
    fn the_status_decides_where_the_code_does_not() {
        for (status, class) in [
            (200, Unknown),
            (302, Operator),
            (400, Operator),
            (403, Operator),
            (429, Retry),
            (500, Unknown),
            (504, Unknown),
        ] {
            assert_eq!(class_of("BrandNewException", "", status), class, "{status}");
        }
    }

    #[test]
    fn what_is_not_known_to_be_done_is_tried_again_where_nobody_minds() {
        let classes = [Retry, Never, Operator, Unknown].map(repeatable);
        assert_eq!(classes, [Retry, Never, Operator, Retry]);
    }
}
