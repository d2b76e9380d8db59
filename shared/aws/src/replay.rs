//! A service that plays back answers, for the adapters' tests: the real client, its real parsing and its real
//! retries, with the network left out.

use aws_config::{ConfigLoader, Region, SdkConfig};
use aws_sdk_sqs::config::{Credentials, HttpClient, SharedCredentialsProvider};
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_types::body::SdkBody;

/// The configuration the functions run with, but for the HTTP client.
pub(crate) async fn config(http_client: impl HttpClient + 'static) -> SdkConfig {
    loader().http_client(http_client).load().await
}

/// The configuration the functions run with, as somebody.
pub(crate) fn loader() -> ConfigLoader {
    let credentials = Credentials::new("AKID", "secret", None, None, "tests");
    crate::sdk::defaults()
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
}

/// A client that gives these answers (status and body), one per request.
pub(crate) fn answers<B: Into<String>>(answers: impl IntoIterator<Item = (u16, B)>) -> StaticReplayClient {
    let event = |(status, body): (u16, B)| {
        let request = http::Request::builder().body(SdkBody::empty()).expect("a request");
        let response = http::Response::builder().status(status).body(SdkBody::from(body.into()));
        ReplayEvent::new(request, response.expect("a response"))
    };
    StaticReplayClient::new(answers.into_iter().map(event).collect())
}

/// The requests so far: each its URI and its body.
pub(crate) fn requests(client: &StaticReplayClient) -> Vec<(String, String)> {
    client
        .actual_requests()
        .map(|request| {
            let body = request.body().bytes().unwrap_or_default();
            (request.uri().to_owned(), String::from_utf8_lossy(body).into_owned())
        })
        .collect()
}

/// Who signed the requests so far: each one's access key id.
pub(crate) fn signers(client: &StaticReplayClient) -> Vec<String> {
    client
        .actual_requests()
        .map(|request| {
            let authorization = request.headers().get("authorization").unwrap_or_default();
            let (_, credential) = authorization.split_once("Credential=").unwrap_or_default();
            credential.split('/').next().unwrap_or_default().to_owned()
        })
        .collect()
}
