//! How every client is set up: timeouts and retries on purpose, since the SDK has no timeout by default.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};

/// One attempt of a small call. IAM, SQS, SES and DynamoDB answer in tens of milliseconds; 10 s is long gone wrong.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// A call with all its attempts. Below the functions' timeouts as they come, so that a handler hears of the failure; a
/// handler that has less time cuts the call off.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

/// The SDK's default, written down: one try and two retries, with full jitter in between. SQS tries again later.
const MAX_ATTEMPTS: u32 = 3;

/// What all clients share: credentials, region, HTTP client, timeouts and retries.
pub async fn load() -> SdkConfig {
    defaults().load().await
}

pub(crate) fn defaults() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        )
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
}
