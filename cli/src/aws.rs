//! AWS, as this tool uses it: the only file that names its SDK. Every error says what to do.

use std::error::Error;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use aws_config::default_provider::region::DefaultRegionChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_sdk_sqs::config::ProvideCredentials;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName, QueueAttributeName,
};
use chrono::DateTime;
use clap::Args;

use crate::dlq::held::{BATCH, Counts, DeadLetterQueue};
use crate::dlq::letter::{MessageId, Receipt, Received};
use crate::dlq::queues::{Origin, Outputs, Place};
use crate::dlq::replay::{Destination, Work};

/// One attempt of a call, the time that `RECEIVE_WAIT` takes included.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// A call with all its attempts.
const OPERATION_TIMEOUT: Duration = Duration::from_mins(1);

/// A receive that waits asks all of SQS's servers, and one that does not only some.
const RECEIVE_WAIT: Duration = Duration::from_secs(1);

/// What to do about credentials that do not work any more.
const SIGN_IN_AGAIN: &str = "sign in again, or give another --profile";

/// Which AWS, and whose.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// The stack of Keynudge
    #[arg(long, global = true, value_name = "NAME", default_value = "keynudge")]
    stack: String,
    /// The profile of ~/.aws/config to use, rather than the environment's or the default one
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// The region of the stack, rather than the environment's or the profile's
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
    /// Another AWS, such as an emulator
    #[arg(long, global = true, value_name = "URL")]
    endpoint_url: Option<String>,
}

/// A connection.
#[derive(Debug, Clone)]
pub(crate) struct Aws {
    stack: String,
    region: String,
    cloudformation: aws_sdk_cloudformation::Client,
    lambda: aws_sdk_lambda::Client,
    sqs: aws_sdk_sqs::Client,
}

impl Aws {
    /// Finds region and credentials, the way that the AWS CLI does.
    pub(crate) async fn connect(args: &ConnectionArgs) -> Result<Self> {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT);
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .timeout_config(timeouts.build())
            .retry_config(RetryConfig::standard());
        if let Some(region) = &args.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &args.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(profile) = &args.profile {
            loader = loader.profile_name(profile).credentials_provider(credentials_of(profile, args).await);
        }
        let config = loader.load().await;
        let Some(region) = config.region() else {
            bail!("no region: give --region, set AWS_REGION, or set a region in the profile");
        };
        let credentials = config.credentials_provider().context("no credentials")?;
        credentials.provide_credentials().await.with_context(|| no_credentials(args.profile.as_deref()))?;
        Ok(Self {
            stack: args.stack.clone(),
            region: region.to_string(),
            cloudformation: aws_sdk_cloudformation::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
        })
    }

    /// The stack's name.
    pub(crate) fn stack(&self) -> &str {
        &self.stack
    }

    /// The stack's outputs.
    pub(crate) async fn outputs(&self) -> Result<Outputs> {
        let answer = self.cloudformation.describe_stacks().stack_name(&self.stack).send().await;
        let answer = match answer {
            Err(error) if error.code() == Some("ValidationError") => {
                return Err(anyhow!(message_of(&error)).context(format!(
                    "there is no stack {:?} in {}: name it with --stack, its region with --region, its account with \
                     --profile",
                    self.stack, self.region
                )));
            }
            answer => answer.map_err(|error| {
                failed("cloudformation:DescribeStacks", &format!("the stack {:?}", self.stack), error)
            })?,
        };
        let outputs =
            answer.stacks.unwrap_or_default().into_iter().filter_map(|stack| stack.outputs).flatten();
        Ok(outputs.filter_map(|output| Some((output.output_key?, output.output_value?))).collect())
    }

    /// The queue of dead letters at `place`.
    pub(crate) fn dead_letters(&self, place: &Place) -> SqsQueue {
        SqsQueue { client: self.sqs.clone(), url: place.url.clone() }
    }

    /// Where `origin` takes letters back.
    pub(crate) fn destination(&self, origin: &Origin) -> AwsDestination {
        AwsDestination { aws: self.clone(), origin: origin.clone() }
    }
}

/// What to do where there are no credentials. Also if the SDK was refused to assume a profile's role: it asks nobody for
/// the code that `mfa_serial` stands for.
fn no_credentials(profile: Option<&str>) -> String {
    let missing = match profile {
        Some(profile) => format!(
            "no AWS credentials from the profile {profile:?}: check ~/.aws/config, or sign in with it again"
        ),
        None => "no AWS credentials: give --profile, set AWS_PROFILE, or sign in with `aws login` or `aws sso login`"
            .to_owned(),
    };
    let profile = profile.unwrap_or("NAME");
    format!(
        "{missing}; a profile with mfa_serial only works by `eval \"$(aws configure export-credentials --profile \
         {profile} --format env)\"`, and then without --profile"
    )
}

/// The credentials of a profile named on the command line. It wins over the environment's keys, which the SDK would
/// take first.
async fn credentials_of(profile: &str, args: &ConnectionArgs) -> ProfileFileCredentialsProvider {
    let region = match &args.region {
        Some(region) => Some(Region::new(region.clone())),
        None => DefaultRegionChain::builder().profile_name(profile).build().region().await,
    };
    let config = ProviderConfig::default().with_region(region);
    ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile).build()
}

/// A queue of dead letters in SQS.
#[derive(Debug)]
pub(crate) struct SqsQueue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl DeadLetterQueue for SqsQueue {
    async fn counts(&self) -> Result<Counts> {
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
            .send()
            .await
            .map_err(|error| failed("sqs:GetQueueAttributes", &self.url, error))?;
        let attributes = answer.attributes.unwrap_or_default();
        let count = |name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or(0);
        Ok(Counts {
            visible: count(QueueAttributeName::ApproximateNumberOfMessages),
            in_flight: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        })
    }

    async fn receive(&self, hold: Duration) -> Result<Vec<Received>> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(count(BATCH))
            .wait_time_seconds(seconds(RECEIVE_WAIT))
            .visibility_timeout(seconds(hold))
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .message_attribute_names("All")
            .send()
            .await
            .map_err(|error| failed("sqs:ReceiveMessage", &self.url, error))?;
        answer.messages.unwrap_or_default().into_iter().map(received).collect()
    }

    async fn hide(&self, receipts: &[Receipt], hold: Duration) -> Vec<Result<()>> {
        const ACTION: &str = "sqs:ChangeMessageVisibility";
        let entries = receipts.iter().enumerate().map(|(position, Receipt(receipt))| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder();
            entry.id(position.to_string()).receipt_handle(receipt).visibility_timeout(seconds(hold)).build()
        });
        let answer = async {
            let entries = entries.collect::<Result<_, _>>()?;
            let call = self.client.change_message_visibility_batch().queue_url(&self.url);
            let answer = call.set_entries(Some(entries)).send().await;
            answer.map(|answer| answer.failed).map_err(|error| failed(ACTION, &self.url, error))
        };
        self.each(ACTION, receipts.len(), answer.await)
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<()>> {
        const ACTION: &str = "sqs:DeleteMessage";
        let entries = receipts.iter().enumerate().map(|(position, Receipt(receipt))| {
            DeleteMessageBatchRequestEntry::builder().id(position.to_string()).receipt_handle(receipt).build()
        });
        let answer = async {
            let entries = entries.collect::<Result<_, _>>()?;
            let call = self.client.delete_message_batch().queue_url(&self.url);
            let answer = call.set_entries(Some(entries)).send().await;
            answer.map(|answer| answer.failed).map_err(|error| failed(ACTION, &self.url, error))
        };
        self.each(ACTION, receipts.len(), answer.await)
    }
}

impl SqsQueue {
    /// What became of each of `count` entries, whose ids are their positions: an answer of 200 can hold failures.
    fn each(
        &self,
        action: &str,
        count: usize,
        answer: Result<Vec<BatchResultErrorEntry>>,
    ) -> Vec<Result<()>> {
        let failures = match answer {
            Ok(failures) => failures,
            // The same for all of them; an error of anyhow's cannot be cloned.
            Err(error) => return (0..count).map(|_| Err(anyhow!("{error:#}"))).collect(),
        };
        let result = |position: usize| match failures.iter().find(|entry| entry.id == position.to_string()) {
            None => Ok(()),
            Some(entry) => {
                Err(refused(action, &self.url, &entry.code, entry.message.as_deref().unwrap_or_default()))
            }
        };
        (0..count).map(result).collect()
    }
}

/// A message of SQS, which always has these fields.
fn received(message: Message) -> Result<Received> {
    let attributes = message.attributes.unwrap_or_default();
    let sent_at = attributes.get(&MessageSystemAttributeName::SentTimestamp);
    let sent_at = sent_at.and_then(|millis| millis.parse().ok()).and_then(DateTime::from_timestamp_millis);
    let texts = message.message_attributes.unwrap_or_default();
    Ok(Received {
        id: MessageId(message.message_id.context("SQS gave a message without an id")?),
        receipt: Receipt(message.receipt_handle.context("SQS gave a message without a receipt")?),
        body: message.body.unwrap_or_default(),
        sent_at: sent_at.context("SQS gave a message without the time it was sent")?,
        group: attributes.get(&MessageSystemAttributeName::MessageGroupId).cloned(),
        attributes: texts.into_iter().filter_map(|(name, value)| Some((name, value.string_value?))).collect(),
    })
}

/// Where letters came from.
#[derive(Debug)]
pub(crate) struct AwsDestination {
    aws: Aws,
    origin: Origin,
}

impl Destination for AwsDestination {
    async fn put(&self, work: &Work<'_>) -> Result<()> {
        match (&self.origin, work) {
            (Origin::Queue(url), Work::Message { body, group }) => self.send(url, body, *group).await,
            (Origin::Function(name), Work::Start(start)) => {
                self.invoke(name, serde_json::to_vec(start)?).await
            }
            (origin, _) => bail!("{origin} does not take such a letter"),
        }
    }
}

impl AwsDestination {
    async fn send(&self, url: &str, body: &str, group: Option<&str>) -> Result<()> {
        let call = self.aws.sqs.send_message().queue_url(url).message_body(body);
        let call = call.set_message_group_id(group.map(str::to_owned));
        call.send().await.map(drop).map_err(|error| failed("sqs:SendMessage", url, error))
    }

    /// Asynchronously, as the schedule does: Lambda answers once it has taken the event.
    async fn invoke(&self, function: &str, event: Vec<u8>) -> Result<()> {
        let call = self.aws.lambda.invoke().function_name(function).invocation_type(InvocationType::Event);
        let answer = call.payload(Blob::new(event)).send().await;
        answer.map(drop).map_err(|error| failed("lambda:InvokeFunction", function, error))
    }
}

/// What went wrong with `action` on `what`, and what to do about it.
fn failed<E, R>(action: &str, what: &str, error: SdkError<E, R>) -> anyhow::Error
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
fn refused(action: &str, what: &str, code: &str, message: &str) -> anyhow::Error {
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

fn message_of<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    error.message().unwrap_or("no message").to_owned()
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::provider::future;

    /// Credentials that could not be renewed.
    #[derive(Debug)]
    struct Ended;

    impl ProvideCredentials for Ended {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(CredentialsError::provider_error(
                "the session has expired",
            )))
        }
    }

    #[tokio::test]
    async fn credentials_that_end_are_not_taken_for_a_network_that_does_not_answer() {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Ended)
            .build();
        let client = aws_sdk_sqs::Client::from_conf(config);
        let error = SqsQueue { client, url: "https://sqs/users".to_owned() }.counts().await.unwrap_err();
        let advice = error.to_string();
        assert_eq!(
            advice,
            "sqs:GetQueueAttributes has no credentials any more: sign in again, or give another --profile"
        );
    }

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
