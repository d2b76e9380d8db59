//! Queues of dead letters in SQS, and where their letters came from.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
};
use chrono::DateTime;
use keynudge_core::ports::REPLAYED_ATTRIBUTE;

use super::Aws;
use super::errors::{failed, refused};
use crate::dlq::held::{BATCH, Counts, DeadLetterQueue};
use crate::dlq::letter::{MessageId, Receipt, Received};
use crate::dlq::queues::{Origin, Place};
use crate::dlq::replay::{Destination, Work};

/// A receive that waits asks all of SQS's servers, and one that does not only some.
const RECEIVE_WAIT: Duration = Duration::from_secs(1);

impl Aws {
    /// The queue of dead letters at `place`.
    pub(crate) fn dead_letters(&self, place: &Place) -> SqsQueue {
        SqsQueue { client: self.sqs.clone(), url: place.url.clone() }
    }

    /// Where `origin` takes letters back.
    pub(crate) fn destination(&self, origin: &Origin) -> AwsDestination {
        AwsDestination { aws: self.clone(), origin: origin.clone() }
    }
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
            (Origin::Queue(url), Work::Message { body, group, was_given_up }) => {
                self.send(url, body, *group, *was_given_up).await
            }
            (Origin::Function(name), Work::Start(start)) => {
                self.invoke(name, serde_json::to_vec(start)?).await
            }
            (origin, _) => bail!("{origin} does not take such a letter"),
        }
    }
}

impl AwsDestination {
    async fn send(&self, url: &str, body: &str, group: Option<&str>, was_given_up: bool) -> Result<()> {
        let call = self.aws.sqs.send_message().queue_url(url).message_body(body);
        let mut call = call.set_message_group_id(group.map(str::to_owned));
        if was_given_up {
            let value = MessageAttributeValue::builder().data_type("String").string_value("true").build()?;
            call = call.message_attributes(REPLAYED_ATTRIBUTE, value);
        }
        call.send().await.map(drop).map_err(|error| failed("sqs:SendMessage", url, error))
    }

    /// Asynchronously, as the schedule does: Lambda answers once it has taken the event.
    async fn invoke(&self, function: &str, event: Vec<u8>) -> Result<()> {
        let call = self.aws.lambda.invoke().function_name(function).invocation_type(InvocationType::Event);
        let answer = call.payload(Blob::new(event)).send().await;
        answer.map(drop).map_err(|error| failed("lambda:InvokeFunction", function, error))
    }
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
    use aws_config::{BehaviorVersion, Region};
    use aws_credential_types::provider::{error::CredentialsError, future};
    use aws_sdk_sqs::config::ProvideCredentials;

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
}
