//! Messages of a queue, and the events that Lambda makes of them.

use serde_json::{Map, Value, json};

use crate::Result;
use crate::aws::{Client, REGION, SQS};

/// The queue of an event source mapping.
pub(super) struct Queue {
    aws: Client,
    url: String,
    arn: String,
    batch_size: usize,
    /// Whether an answer's `batchItemFailures` count: `ReportBatchItemFailures`.
    reports_failures: bool,
}

/// A message that was received.
#[derive(Clone, Debug)]
pub(super) struct Message(Value);

impl Message {
    pub(super) fn id(&self) -> String {
        self.0["MessageId"].as_str().unwrap_or_default().to_owned()
    }

    /// As it is in an event.
    fn record(&self, queue_arn: &str) -> Value {
        let message = &self.0;
        let attributes = message["MessageAttributes"].as_object();
        let attributes = attributes.into_iter().flatten().map(|(name, attribute)| {
            let value = json!({
                "stringValue": attribute["StringValue"],
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": attribute["DataType"],
            });
            (name.clone(), value)
        });
        json!({
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "md5OfBody": message["MD5OfBody"],
            "attributes": message["Attributes"],
            "messageAttributes": attributes.collect::<Map<String, Value>>(),
            "eventSource": "aws:sqs",
            "eventSourceARN": queue_arn,
            "awsRegion": REGION,
        })
    }
}

impl Queue {
    /// The queue that a mapping is about; `None` if the mapping is not as Lambda describes one.
    pub(super) fn of(aws: &Client, mapping: &Value) -> Option<Self> {
        let arn = mapping["EventSourceArn"].as_str()?;
        let name = arn.rsplit(':').next()?;
        let types = mapping["FunctionResponseTypes"].as_array();
        Some(Self {
            aws: aws.clone(),
            url: format!("{}/{}/{name}", aws.endpoint(), aws.account()),
            arn: arn.to_owned(),
            batch_size: usize::try_from(mapping["BatchSize"].as_u64()?).ok()?,
            reports_failures: types.is_some_and(|types| types.contains(&json!("ReportBatchItemFailures"))),
        })
    }

    /// The next batch, empty if no message comes. With more deliveries than one, half a batch: each is in it
    /// twice.
    pub(super) async fn receive(&self, deliveries: usize) -> Result<Vec<Message>> {
        let most = if deliveries > 1 { self.batch_size.div_ceil(2) } else { self.batch_size };
        let request = json!({
            "QueueUrl": self.url,
            "MaxNumberOfMessages": most.min(10),
            "MessageSystemAttributeNames": ["All"],
            "AttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let mut answer = self.aws.json(SQS, "ReceiveMessage", &request).await?;
        let messages = answer["Messages"].as_array_mut().map(std::mem::take).unwrap_or_default();
        Ok(messages.into_iter().map(Message).collect())
    }

    /// The events by which a batch is delivered so often: twice at once, and then once more each.
    pub(super) fn events(&self, messages: &[Message], deliveries: usize) -> Vec<Value> {
        let records: Vec<Value> = messages.iter().map(|message| message.record(&self.arn)).collect();
        let event = |records: Vec<Value>| json!({ "Records": records });
        match deliveries {
            0 | 1 => vec![event(records)],
            more => {
                let again = (2..more).map(|_| event(records.clone()));
                let twice = [records.clone(), records.clone()].concat();
                std::iter::once(event(twice)).chain(again).collect()
            }
        }
    }

    /// The ids of the messages of a batch that come back, by the function's answer. An answer that Lambda
    /// does not understand, or an id that is none of theirs, means all of them.
    pub(super) fn failures(&self, answer: &str, messages: &[Message]) -> Vec<String> {
        let all: Vec<String> = messages.iter().map(Message::id).collect();
        if !self.reports_failures {
            return Vec::new();
        }
        let answer: Value = serde_json::from_str(answer).unwrap_or(Value::Null);
        let Some(failures) = answer["batchItemFailures"].as_array() else {
            return if answer.is_null() { Vec::new() } else { all };
        };
        let ids: Option<Vec<String>> =
            failures.iter().map(|failure| failure["itemIdentifier"].as_str().map(str::to_owned)).collect();
        match ids {
            Some(ids) if ids.iter().all(|id| all.contains(id)) => ids,
            _ => all,
        }
    }

    /// Deletes messages that are done.
    pub(super) async fn delete(&self, messages: impl Iterator<Item = &Message>) -> Result<()> {
        let entries = messages.enumerate().map(|(position, message)| {
            json!({ "Id": position.to_string(), "ReceiptHandle": message.0["ReceiptHandle"] })
        });
        let entries: Vec<Value> = entries.collect();
        if entries.is_empty() {
            return Ok(());
        }
        let request = json!({ "QueueUrl": self.url, "Entries": entries });
        self.aws.json(SQS, "DeleteMessageBatch", &request).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Account;

    fn queue() -> Queue {
        let aws = Client::new("http://127.0.0.1:9".to_owned(), Account::nth(1));
        let mapping = json!({
            "EventSourceArn": "arn:aws:sqs:us-east-1:100000000001:keynudge-users",
            "BatchSize": 10,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        });
        Queue::of(&aws, &mapping).unwrap()
    }

    fn messages() -> Vec<Message> {
        let attribute = json!({ "DataType": "String", "StringValue": "x" });
        let message = |id: &str| {
            json!({
                "MessageId": id,
                "ReceiptHandle": format!("receipt-{id}"),
                "Body": "{}",
                "MD5OfBody": "99914b932bd37a50b983c5e7c90ae93b",
                "Attributes": { "SentTimestamp": "1", "MessageGroupId": "100000000001" },
                "MessageAttributes": { "reason": attribute },
            })
        };
        ["a", "b"].map(|id| Message(message(id))).to_vec()
    }

    #[test]
    fn a_batch_is_an_event_as_lambda_makes_it() {
        let events = queue().events(&messages()[..1], 1);
        let expected = json!({ "Records": [{
            "messageId": "a",
            "receiptHandle": "receipt-a",
            "body": "{}",
            "md5OfBody": "99914b932bd37a50b983c5e7c90ae93b",
            "attributes": { "SentTimestamp": "1", "MessageGroupId": "100000000001" },
            "messageAttributes": { "reason": {
                "stringValue": "x", "stringListValues": [], "binaryListValues": [], "dataType": "String",
            } },
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:100000000001:keynudge-users",
            "awsRegion": "us-east-1",
        }] });
        assert_eq!(events, [expected]);
    }

    #[test]
    fn three_deliveries_are_two_at_once_and_one_more() {
        let events = queue().events(&messages(), 3);
        let lengths: Vec<usize> =
            events.iter().map(|event| event["Records"].as_array().unwrap().len()).collect();
        assert_eq!(lengths, [4, 2]);
    }

    #[test]
    fn only_what_an_answer_names_comes_back_and_all_of_it_where_the_answer_makes_no_sense() {
        for (answer, failures) in [
            (r#"{"batchItemFailures":[]}"#, &[][..]),
            (r#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#, &["b"]),
            (r#"{"batchItemFailures":[{"itemIdentifier":"c"}]}"#, &["a", "b"]),
            (r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#, &["a", "b"]),
            (r#"{"other":1}"#, &["a", "b"]),
            ("null", &[]),
        ] {
            assert_eq!(queue().failures(answer, &messages()), failures, "{answer}");
        }
    }
}
