//! What went wrong with a call, and what to do about it.

use std::error::Error;
use std::sync::OnceLock;

use anyhow::anyhow;
use aws_config::SdkConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_types::service_config::ServiceConfigKey;
use keynudge_aws::failure::{Cause, cause};

use super::SIGN_IN_AGAIN;
use crate::terminal;

/// The connection of this process, by which errors know what endpoint was asked.
static CONNECTION: OnceLock<SdkConfig> = OnceLock::new();

/// From now on, errors name the endpoint that is asked by this connection, if it is not AWS's own.
pub(super) fn name_endpoints_of(config: &SdkConfig) {
    // There is one connection; a test may make several.
    let _ = CONNECTION.set(config.clone());
}

/// ` from URL`, where `action` is not asked of AWS itself.
pub(super) fn from_endpoint(action: &str) -> String {
    let url = CONNECTION.get().and_then(|config| endpoint(config, action));
    url.map_or_else(String::new, |url| format!(" from {url}"))
}

/// The endpoint that `action` is asked at, where a setting says another than AWS's. As the SDK's clients find
/// it: what the command line says, else the setting of the one service (`AWS_ENDPOINT_URL_SQS`), else that of
/// all.
fn endpoint(config: &SdkConfig, action: &str) -> Option<String> {
    let of_all = || config.endpoint_url().map(str::to_owned);
    let service = match action.split(':').next()? {
        "cloudformation" => "CloudFormation",
        "cloudwatch" => "CloudWatch",
        "dynamodb" => "DynamoDB",
        "iam" => "IAM",
        "lambda" => "Lambda",
        "logs" => "CloudWatch Logs",
        "scheduler" => "Scheduler",
        "ses" => "SESv2",
        "sqs" => "SQS",
        "sts" => "STS",
        _ => return of_all(),
    };
    if config.get_origin("endpoint_url").is_client_config() {
        return of_all();
    }
    let key = ServiceConfigKey::builder()
        .service_id(service)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let of_service =
        config.service_config().zip(key.ok()).and_then(|(settings, key)| settings.load_config(key));
    of_service.or_else(of_all)
}

/// What went wrong with `action` on `what`, and what to do about it.
#[expect(clippy::needless_pass_by_value, reason = "called by `map_err`, which hands the error over")]
pub(super) fn failed<E>(action: &str, what: &str, error: SdkError<E, HttpResponse>) -> anyhow::Error
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    if let SdkError::ServiceError(answer) = &error {
        let code = code_of(answer.err(), answer.raw());
        return refused(action, what, &code, answer.err().message().unwrap_or_default());
    }
    let advice = if lacks_credentials(&error) {
        format!("{action} has no credentials any more: {SIGN_IN_AGAIN}")
    } else {
        no_answer(action, what)
    };
    anyhow!(terminal::cause(&error)).context(advice)
}

/// What to do about a call without an answer.
pub(super) fn no_answer(action: &str, what: &str) -> String {
    let from = from_endpoint(action);
    format!("{action} on {what} got no answer{from}: check the network, --region and --endpoint-url")
}

/// Whether the call was not made for want of credentials.
pub(super) fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(<dyn Error>::is::<CredentialsError>)
}

/// The code of a service's error, or the status of an answer without one.
pub(super) fn code_of(error: &impl ProvideErrorMetadata, answer: &HttpResponse) -> String {
    error.code().map_or_else(|| format!("HTTP {}", answer.status().as_u16()), str::to_owned)
}

/// What SQS calls a queue that does not exist, by its two protocols. KMS has a `NotFoundException` of its
/// own, which reaches the caller through SQS: the queue's key is missing then, not the queue.
const NO_SUCH_QUEUE: [&str; 2] = ["AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"];

/// Whether `code`, which says that something is missing, is about the KMS key of a queue, and not about the
/// queue.
pub(super) fn is_about_key(action: &str, code: &str) -> bool {
    // JSON answers have a namespace in front of the code.
    let code = code.rsplit('#').next().unwrap_or(code);
    action.starts_with("sqs:") && !NO_SUCH_QUEUE.contains(&code)
}

/// A service's own words, behind what to do about them.
pub(super) fn refused(action: &str, what: &str, code: &str, message: &str) -> anyhow::Error {
    let advice = match cause(code) {
        Cause::Denied => format!("access denied: these credentials need the action {action} on {what}"),
        Cause::Missing if is_about_key(action, code) => {
            format!("the KMS key of the queue {what} does not exist: encrypt the queue with another key")
        }
        Cause::Missing if action.starts_with("sqs:") => {
            format!("there is no queue {what}: check its URL, and the region and account of the credentials")
        }
        Cause::Missing => format!("there is no {what}: check the region and account of the credentials"),
        Cause::Credentials => format!("{action} does not accept these credentials: {SIGN_IN_AGAIN}"),
        Cause::Other => format!("{action} on {what} failed"),
    };
    // The endpoint says who has spoken.
    anyhow!("{code}{}: {message}", from_endpoint(action)).context(advice)
}

pub(super) fn message_of<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    error.message().unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_lambda::primitives::SdkBody;
    use aws_sdk_sqs::operation::receive_message::ReceiveMessageError;
    use aws_types::service_config::LoadServiceConfig;

    fn advice(code: &str) -> String {
        format!("{:#}", refused("sqs:ReceiveMessage", "https://sqs/users", code, "because"))
    }

    /// What `AWS_ENDPOINT_URL_SQS` does.
    #[derive(Debug)]
    struct OfSqs;

    impl LoadServiceConfig for OfSqs {
        fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
            (key.service_id() == "SQS").then(|| "http://queues:1".to_owned())
        }
    }

    #[test]
    fn the_endpoint_that_was_asked_is_the_services_own_or_that_of_all() {
        let config = SdkConfig::builder().endpoint_url("http://all:1").service_config(OfSqs).build();
        assert_eq!(endpoint(&config, "sqs:ReceiveMessage").as_deref(), Some("http://queues:1"));
        assert_eq!(endpoint(&config, "iam:ListUsers").as_deref(), Some("http://all:1"));
        let aws = SdkConfig::builder().build();
        assert_eq!(endpoint(&aws, "sqs:ReceiveMessage"), None);
    }

    #[test]
    fn an_answer_without_a_code_is_named_by_its_status() {
        let answer = HttpResponse::new(503_u16.try_into().unwrap(), SdkBody::empty());
        let error = ReceiveMessageError::unhandled("because");
        let error = failed("sqs:ReceiveMessage", "a queue", SdkError::service_error(error, answer));
        assert_eq!(error.root_cause().to_string(), "HTTP 503: ");
    }

    #[test]
    fn an_error_says_what_to_do_and_then_what_was_said() {
        for (code, advised) in [
            ("AccessDenied", "need the action sqs:ReceiveMessage on https://sqs/users"),
            ("AccessDeniedException", "need the action sqs:ReceiveMessage on https://sqs/users"),
            ("QueueDoesNotExist", "there is no queue https://sqs/users"),
            ("com.amazonaws.sqs#QueueDoesNotExist", "there is no queue https://sqs/users"),
            ("AWS.SimpleQueueService.NonExistentQueue", "there is no queue https://sqs/users"),
            ("KMS.NotFoundException", "the KMS key of the queue https://sqs/users does not exist"),
            ("com.amazonaws.sqs#KmsNotFound", "the KMS key of the queue https://sqs/users does not exist"),
            ("ExpiredToken", "sign in again"),
            ("Strange", "sqs:ReceiveMessage on https://sqs/users failed"),
        ] {
            let advice = advice(code);
            assert!(advice.contains(advised), "{advice}");
            assert!(advice.ends_with(&format!(": {code}: because")), "{advice}");
        }
    }
}
