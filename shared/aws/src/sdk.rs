//! How every client is set up: timeouts and retries on purpose, since the SDK has no timeout by default, and one HTTP
//! client for all.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};

use crate::http_client::OneHttpClient;

/// One attempt of a small call. IAM, SQS, SES and DynamoDB answer in tens of milliseconds; 10 s is long gone wrong.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// A call with all its attempts. Below the functions' timeouts as they come, so that a handler hears of the failure; a
/// handler that has less time cuts the call off.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

/// The SDK's default, written down: one try and two retries, with full jitter in between. SQS tries again later.
const MAX_ATTEMPTS: u32 = 3;

/// What all clients share: credentials, region, HTTP client, timeouts and retries.
pub async fn load() -> SdkConfig {
    read_roots_meanwhile();
    defaults().load().await
}

/// Newer releases of the SDK may know newer ways to behave by default.
pub(crate) fn defaults() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        )
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .http_client(OneHttpClient::trusting_the_system())
}

/// Reads and decodes the system's root certificates, more than a hundred, for the whole process, on the thread
/// that will look up host names. Lambda gives a function a whole CPU while it starts, and a share of one
/// during invocations. So the first invocation need not do this work. A connection that is made meanwhile
/// waits for it. If the roots cannot be read, the first call fails and says why.
fn read_roots_meanwhile() {
    tokio::task::spawn_blocking(|| OneHttpClient::trusting_the_system().read_roots());
}
