//! A client for the AWS calls the testbed makes: a few operations over three protocols, against the emulator.
//!
//! The emulator takes a 12-digit access key id as the account's root and does not verify its signature, so nothing is
//! signed here, and each test has an account of its own on a shared emulator.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Error, Result};

/// The region everything is deployed to.
pub const REGION: &str = "us-east-1";

/// No call of the testbed takes longer; deploying and draining are polled.
const TIMEOUT: Duration = Duration::from_mins(1);

/// An AWS account: 12 digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(String);

impl Account {
    /// The `n`th account of the testbed's range.
    #[must_use]
    pub fn nth(n: u32) -> Self {
        Self(format!("1{n:011}"))
    }

    /// Its twelve digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is not an AWS account id, which has twelve digits"))
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The version of IAM's API, the only one it ever had.
pub(crate) const IAM_VERSION: &str = "2010-05-08";

/// The version of STS's API.
pub(crate) const STS_VERSION: &str = "2011-06-15";

/// A service that takes form parameters and answers in XML.
#[derive(Clone, Copy, Debug)]
pub struct QueryService {
    name: &'static str,
    version: &'static str,
}

/// `CloudFormation`.
pub const CLOUDFORMATION: QueryService = QueryService { name: "cloudformation", version: "2010-05-15" };
/// IAM.
pub const IAM: QueryService = QueryService { name: "iam", version: IAM_VERSION };
/// SES, version 1 of its API.
pub const SES: QueryService = QueryService { name: "ses", version: "2010-12-01" };
/// SNS.
pub const SNS: QueryService = QueryService { name: "sns", version: "2010-03-31" };
/// STS.
pub const STS: QueryService = QueryService { name: "sts", version: STS_VERSION };

/// A service that takes and answers JSON, with the operation in a header.
#[derive(Clone, Copy, Debug)]
pub struct JsonService {
    name: &'static str,
    target: &'static str,
}

/// SQS.
pub const SQS: JsonService = JsonService { name: "sqs", target: "AmazonSQS" };
/// `DynamoDB`.
pub const DYNAMODB: JsonService = JsonService { name: "dynamodb", target: "DynamoDB_20120810" };
/// `CloudWatch` Logs.
pub const LOGS: JsonService = JsonService { name: "logs", target: "Logs_20140328" };
/// Organizations.
pub const ORGANIZATIONS: JsonService =
    JsonService { name: "organizations", target: "AWSOrganizationsV20161128" };

/// An operation of a REST service, which has method and path instead of a name.
#[derive(Clone, Debug)]
pub struct RestOperation {
    service: &'static str,
    name: &'static str,
    method: Method,
}

/// Reads a schedule.
pub const GET_SCHEDULE: RestOperation =
    RestOperation { service: "scheduler", name: "GetSchedule", method: Method::GET };
/// Replaces a schedule: there is no partial update.
pub const UPDATE_SCHEDULE: RestOperation =
    RestOperation { service: "scheduler", name: "UpdateSchedule", method: Method::PUT };
/// SES: with `ProductionAccessEnabled`, whether an account is in its sandbox.
pub const PUT_ACCOUNT_DETAILS: RestOperation =
    RestOperation { service: "ses", name: "PutAccountDetails", method: Method::POST };
/// Reads a function's configuration.
pub const GET_FUNCTION_CONFIGURATION: RestOperation =
    RestOperation { service: "lambda", name: "GetFunctionConfiguration", method: Method::GET };
/// Gives a function other settings.
pub const UPDATE_FUNCTION_CONFIGURATION: RestOperation =
    RestOperation { service: "lambda", name: "UpdateFunctionConfiguration", method: Method::PUT };
/// Makes a version of a layer.
pub const PUBLISH_LAYER_VERSION: RestOperation =
    RestOperation { service: "lambda", name: "PublishLayerVersion", method: Method::POST };
/// Has a function do its work, and waits for its answer.
pub const INVOKE: RestOperation = RestOperation { service: "lambda", name: "Invoke", method: Method::POST };
/// Lists what feeds functions.
pub const LIST_EVENT_SOURCE_MAPPINGS: RestOperation =
    RestOperation { service: "lambda", name: "ListEventSourceMappings", method: Method::GET };
/// Changes what feeds a function.
pub const UPDATE_EVENT_SOURCE_MAPPING: RestOperation =
    RestOperation { service: "lambda", name: "UpdateEventSourceMapping", method: Method::PUT };

/// An HTTP client for loopback: whatever proxy the user has is for elsewhere.
///
/// # Panics
///
/// Never: building a client fails only over TLS, which this one has not.
#[must_use]
pub fn http_client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
    builder.build().expect("a client without TLS can be built")
}

/// One account's view of AWS.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: String,
    account: Account,
    region: String,
}

impl Client {
    /// A client for `account` on the emulator at `endpoint`.
    #[must_use]
    pub fn new(endpoint: String, account: Account) -> Self {
        Self { http: http_client(), endpoint, account, region: REGION.to_owned() }
    }

    /// The same, in another region.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.clone() }
    }

    /// Whose client this is.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Where the emulator is.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A call to a Query service. Its answer is read from XML.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::NoAnswer`] or [`Error::Unreadable`].
    pub async fn query<T: DeserializeOwned>(
        &self,
        service: QueryService,
        operation: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T> {
        let call = Call::new(service.name, operation);
        let action = [("Action", operation), ("Version", service.version)];
        let form = [&action, parameters].concat();
        let request = self.request(Method::POST, service.name, "/").form(&form);
        let text = call.send(request).await?;
        quick_xml::de::from_str(&text).map_err(|error| call.unreadable(&error))
    }

    /// A call to a JSON service.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::NoAnswer`] or [`Error::Unreadable`].
    pub async fn json(&self, service: JsonService, operation: &str, body: &Value) -> Result<Value> {
        let call = Call::new(service.name, operation);
        let request = self
            .request(Method::POST, service.name, "/")
            .header("x-amz-target", format!("{}.{operation}", service.target))
            .header("content-type", "application/x-amz-json-1.0")
            .body(body.to_string());
        call.send_for_json(request).await
    }

    /// A call to a REST service that takes and answers JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::NoAnswer`] or [`Error::Unreadable`].
    pub async fn rest(&self, operation: RestOperation, path: &str, body: Option<&Value>) -> Result<Value> {
        let RestOperation { service, name, method } = operation;
        let request = self.request(method, service, path);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        Call::new(service, name).send_for_json(request).await
    }

    /// Makes a bucket.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] or [`Error::NoAnswer`].
    pub async fn create_bucket(&self, bucket: &str) -> Result<()> {
        let call = Call::new("s3", "CreateBucket");
        let request = self.request(Method::PUT, "s3", &format!("/{bucket}"));
        call.send(request).await.map(drop)
    }

    /// Writes an object.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] or [`Error::NoAnswer`].
    pub async fn put_object(&self, bucket: &str, key: &str, content: Vec<u8>) -> Result<()> {
        let call = Call::new("s3", "PutObject");
        let request = self.request(Method::PUT, "s3", &format!("/{bucket}/{key}"));
        call.send(request.body(content)).await.map(drop)
    }

    /// Asks the emulator what it holds for this account; looking changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::NoAnswer`] or [`Error::Unreadable`].
    pub async fn inspect<T: DeserializeOwned>(&self, what: &str) -> Result<T> {
        let call = Call::new("emulator", what);
        let url = format!("{}/_ministack/{what}?account={}", self.endpoint, self.account);
        let text = call.send(self.http.get(url)).await?;
        serde_json::from_str(&text).map_err(|error| call.unreadable(&error))
    }

    /// How often each operation was asked for by whoever signs, which the functions do and this client does not. The
    /// emulator counts that itself, of all accounts together.
    ///
    /// # Errors
    ///
    /// [`Error::NoAnswer`] or [`Error::Unreadable`].
    pub async fn signed_calls(&self) -> Result<BTreeMap<String, u64>> {
        let call = Call::new("emulator", "calls");
        let text = call.send(self.http.get(format!("{}/_testbed/calls", self.endpoint))).await?;
        serde_json::from_str(&text).map_err(|error| call.unreadable(&error))
    }

    fn request(&self, method: Method, service: &str, path: &str) -> RequestBuilder {
        let credential = format!("{}/20000101/{}/{service}/aws4_request", self.account, self.region);
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=none");
        let url = format!("{}{path}", self.endpoint);
        let request = self.http.request(method, url).header("authorization", authorization);
        // moto knows accounts by the keys that it made, or by this.
        request.header("x-moto-account-id", self.account.as_str())
    }
}

/// A call's name, for what can go wrong with it.
struct Call(String);

impl Call {
    fn new(service: &str, operation: &str) -> Self {
        Self(format!("{service}:{operation}"))
    }

    async fn send(&self, request: RequestBuilder) -> Result<String> {
        let answer = request.send().await.map_err(|source| self.no_answer(source))?;
        let status = answer.status();
        let text = self.text_of(answer).await?;
        if status.is_success() { Ok(text) } else { Err(self.refused(status.as_str(), &text)) }
    }

    async fn send_for_json(&self, request: RequestBuilder) -> Result<Value> {
        let text = self.send(request).await?;
        if text.is_empty() {
            return Ok(json!({}));
        }
        serde_json::from_str(&text).map_err(|error| self.unreadable(&error))
    }

    async fn text_of(&self, answer: Response) -> Result<String> {
        answer.text().await.map_err(|source| self.no_answer(source))
    }

    /// Errors come as XML, which S3 wraps less than others, or as JSON.
    fn refused(&self, status: &str, text: &str) -> Error {
        let error = quick_xml::de::from_str(text).map(|ErrorResponse { error }| error);
        let error = error.or_else(|_| quick_xml::de::from_str(text));
        let error = error.or_else(|_| serde_json::from_str(text));
        let ErrorDetail { code, message } =
            error.unwrap_or_else(|_| ErrorDetail { code: status.to_owned(), message: text.to_owned() });
        Error::Refused { call: self.0.clone(), code, message }
    }

    fn no_answer(&self, source: reqwest::Error) -> Error {
        Error::NoAnswer { call: self.0.clone(), source }
    }

    fn unreadable(&self, error: &dyn std::error::Error) -> Error {
        Error::Unreadable { call: self.0.clone(), detail: error.to_string() }
    }
}

#[derive(Deserialize)]
struct ErrorResponse {
    #[serde(rename = "Error")]
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(alias = "Code", alias = "__type")]
    code: String,
    #[serde(default, alias = "Message")]
    message: String,
}
