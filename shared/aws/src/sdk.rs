//! How every client is set up: timeouts and retries on purpose, since the SDK has no timeout by default, and one HTTP
//! client for all.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_smithy_runtime::client::defaults::default_http_client_plugin_v2;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_runtime_api::client::runtime_plugin::RuntimePlugin;
use aws_smithy_types::config_bag::ConfigBag;

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

pub(crate) fn defaults() -> ConfigLoader {
    let loader = aws_config::defaults(behavior())
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        )
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS));
    match default_http_client() {
        Some(client) => loader.http_client(OneHttpClient(client)),
        None => loader,
    }
}

/// How the SDK behaves by default. Newer releases of it may know newer ways.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// The HTTP client that each of the SDK's clients would otherwise make for itself.
fn default_http_client() -> Option<SharedHttpClient> {
    let plugin = default_http_client_plugin_v2(behavior())?;
    plugin.runtime_components(&RuntimeComponentsBuilder::new("keynudge")).http_client()
}

/// Has the system's root certificates, more than a hundred, read and decoded for the whole process, on the thread that
/// will look up host names. A function does so while it still starts, when Lambda gives it a whole CPU, and not within
/// its first invocation, when it has a share of one. Nobody waits for it but who connects before it is done.
fn read_roots_meanwhile() {
    tokio::task::spawn_blocking(|| {
        if let Some(client) = default_http_client() {
            let nothing = RuntimeComponentsBuilder::new("keynudge");
            // What each of the SDK's clients does when it is made, unless it is given one. What is wrong with the roots,
            // the first call says.
            let _ = client.validate_base_client_config(&nothing, &ConfigBag::base());
        }
    });
}

/// One HTTP client, and so one pool of connections, for all clients, of which there is one for each account.
///
/// By itself, the SDK's would set up TLS with every root certificate for each client that is made, and throw it away.
#[derive(Debug)]
struct OneHttpClient(SharedHttpClient);

impl HttpClient for OneHttpClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}
