//! SQS: messages to the next function, dead letters, and when a record comes back.

use std::marker::PhantomData;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchOutput;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ports::{DeadLetter, DeadLetters, Enqueued, Outbox, REASON_ATTRIBUTE, Redelivery};

use crate::failure::{call_failed, class_of, not_built, repeatable};

const SEND: &str = "sqs:SendMessage";

/// What a message may measure: its body and its attributes' names, types and values together (SQS developer guide,
/// "Amazon SQS message quotas").
const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// The queues, through one client.
#[derive(Debug, Clone)]
pub struct Sqs {
    client: Client,
}

impl Sqs {
    /// SQS with `config`'s credentials.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// The queue at `queue_url`, for messages of type `M`.
    #[must_use]
    pub fn outbox<M>(&self, queue_url: String) -> SqsOutbox<M> {
        SqsOutbox { client: self.client.clone(), queue_url, messages: PhantomData }
    }

    /// The dead-letter queue at `queue_url`, written to by `function`.
    #[must_use]
    pub fn dead_letters(&self, queue_url: String, function: &'static str) -> SqsDeadLetters {
        SqsDeadLetters { client: self.client.clone(), queue_url, function }
    }

    /// The records received from the queue at `queue_url`.
    #[must_use]
    pub fn redelivery(&self, queue_url: String) -> SqsRedelivery {
        SqsRedelivery { client: self.client.clone(), queue_url }
    }
}

/// The queue for messages of type `M`.
#[derive(Debug, Clone)]
pub struct SqsOutbox<M> {
    client: Client,
    queue_url: String,
    messages: PhantomData<fn(M)>,
}

impl<M: Enqueued> Outbox<M> for SqsOutbox<M> {
    async fn send(&self, messages: &[&M]) -> Vec<Result<(), CallFailed>> {
        match self.send_batch(messages).await {
            Ok(answer) => (0..messages.len()).map(|position| result(position, &answer)).collect(),
            Err(error) => vec![Err(error); messages.len()],
        }
    }
}

impl<M: Enqueued> SqsOutbox<M> {
    async fn send_batch(&self, messages: &[&M]) -> Result<SendMessageBatchOutput, CallFailed> {
        let entries = messages.iter().enumerate().map(|(position, message)| entry(position, *message));
        self.client
            .send_message_batch()
            .queue_url(&self.queue_url)
            .set_entries(Some(entries.collect::<Result<_, _>>()?))
            .send()
            .await
            .map_err(|error| call_failed(SEND, error))
    }
}

/// A message's entry; its id is its position. The group is the account, so that SQS's fair queues can keep one
/// account's backlog from delaying the others.
fn entry(position: usize, message: &impl Enqueued) -> Result<SendMessageBatchRequestEntry, CallFailed> {
    SendMessageBatchRequestEntry::builder()
        .id(position.to_string())
        .message_body(serde_json::to_string(message).map_err(|error| not_built(SEND, error))?)
        .message_group_id(message.group().as_str())
        .build()
        .map_err(|error| not_built(SEND, error))
}

/// What became of the entry at `position`. An answer of 200 can hold failures; an entry it does not mention was not
/// taken either.
fn result(position: usize, answer: &SendMessageBatchOutput) -> Result<(), CallFailed> {
    let id = position.to_string();
    if answer.successful.iter().any(|entry| entry.id == id) {
        return Ok(());
    }
    let (class, code) = match answer.failed.iter().find(|entry| entry.id == id) {
        Some(entry) => {
            let status = if entry.sender_fault { 400 } else { 500 };
            (repeatable(class_of(&entry.code, "", status)), entry.code.clone())
        }
        None => (FailureClass::Retry, "unanswered".to_owned()),
    };
    Err(CallFailed { call: SEND, class, code, source: None })
}

/// A dead-letter queue that a function writes to itself, so that each letter carries its reason.
#[derive(Debug, Clone)]
pub struct SqsDeadLetters {
    client: Client,
    queue_url: String,
    function: &'static str,
}

impl DeadLetters for SqsDeadLetters {
    async fn put(&self, letter: &DeadLetter) -> Result<(), CallFailed> {
        let (body, attributes) = self.fitted(letter);
        let mut call = self
            .client
            .send_message()
            .queue_url(&self.queue_url)
            .message_body(body)
            .set_message_group_id(letter.group.clone());
        // SQS refuses an attribute without a value.
        for (name, value) in attributes.into_iter().filter(|(_, value)| !value.is_empty()) {
            let value = MessageAttributeValue::builder().data_type(STRING).string_value(value).build();
            call = call.message_attributes(name, value.map_err(|error| not_built(SEND, error))?);
        }
        call.send().await.map(drop).map_err(|error| call_failed(SEND, error))
    }
}

const STRING: &str = "String";

impl SqsDeadLetters {
    /// The letter's body and attributes. A message may have come as large as SQS takes them, with no room for
    /// attributes: its end is cut off then, and `detail` says so.
    fn fitted<'a>(&self, letter: &'a DeadLetter) -> (&'a str, [(&'static str, String); 5]) {
        let room = |attributes: &[(&str, String)]| {
            let bytes = |(name, value): &(&str, String)| name.len() + STRING.len() + value.len();
            MAX_MESSAGE_BYTES.saturating_sub(attributes.iter().map(bytes).sum())
        };
        let body = letter.body.as_str();
        let attributes = self.attributes(letter, letter.detail.clone());
        if body.len() <= room(&attributes) {
            return (body, attributes);
        }
        let detail = format!("{} … (cut from {} bytes)", letter.detail, body.len());
        let attributes = self.attributes(letter, detail.trim_start().to_owned());
        (&body[..body.floor_char_boundary(room(&attributes))], attributes)
    }

    fn attributes(&self, letter: &DeadLetter, detail: String) -> [(&'static str, String); 5] {
        [
            (REASON_ATTRIBUTE, letter.reason.to_owned()),
            ("detail", detail),
            ("function", self.function.to_owned()),
            ("attempts", letter.attempts.to_string()),
            ("failed_at", letter.failed_at.to_rfc3339()),
        ]
    }
}

/// The records received from a queue.
#[derive(Debug, Clone)]
pub struct SqsRedelivery {
    client: Client,
    queue_url: String,
}

impl Redelivery for SqsRedelivery {
    async fn delay(&self, receipt_handle: &str, delay: Duration) -> Result<(), CallFailed> {
        // SQS refuses what is too long, and says so better than a shorter delay would.
        let seconds = i32::try_from(delay.as_secs()).unwrap_or(i32::MAX);
        self.client
            .change_message_visibility()
            .queue_url(&self.queue_url)
            .receipt_handle(receipt_handle)
            .visibility_timeout(seconds)
            .send()
            .await
            .map(drop)
            .map_err(|error| call_failed("sqs:ChangeMessageVisibility", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use keynudge_core::messages::{Mode, Run, ScanAccount};
    use serde_json::{Value, json};

    use crate::replay::{answers, config, requests};

    const QUEUE: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/queue";

    fn as_of() -> DateTime<Utc> {
        "2026-03-01T06:00:00Z".parse().unwrap()
    }

    fn scan(account: &str) -> ScanAccount {
        let run = Run::at(as_of(), Mode::Live);
        ScanAccount { run, account_id: account.parse().unwrap(), account_name: None }
    }

    fn codes(results: &[Result<(), CallFailed>]) -> Vec<Option<(FailureClass, &str)>> {
        results
            .iter()
            .map(|result| result.as_ref().err().map(|error| (error.class, error.code.as_str())))
            .collect()
    }

    #[tokio::test]
    async fn a_batch_carries_each_message_in_its_accounts_group() {
        let client =
            answers([(200, r#"{"Successful":[{"Id":"0","MessageId":"a","MD5OfMessageBody":"x"}]}"#)]);
        let queue = Sqs::new(&config(client.clone()).await).outbox(QUEUE.to_owned());
        let scan = scan("123456789012");
        queue.send(&[&scan]).await;
        let [(_, body)] = requests(&client).try_into().unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["QueueUrl"], QUEUE);
        let entry = &body["Entries"][0];
        assert_eq!((&entry["Id"], &entry["MessageGroupId"]), (&json!("0"), &json!("123456789012")));
        let message: ScanAccount = serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
        assert_eq!(message, scan);
    }

    #[tokio::test]
    async fn each_message_is_told_what_became_of_it() {
        let answer = r#"{
            "Successful": [{"Id": "2", "MessageId": "a", "MD5OfMessageBody": "b4e6d0c8"}],
            "Failed": [
                {"Id": "0", "SenderFault": false, "Code": "InternalError"},
                {"Id": "1", "SenderFault": true, "Code": "InvalidMessageContents"},
                {"Id": "4", "SenderFault": true, "Code": "AccessDenied"}
            ]
        }"#;
        let client = answers([(200, answer)]);
        let queue = Sqs::new(&config(client).await).outbox(QUEUE.to_owned());
        let scans: Vec<_> = (0..5).map(|i| scan(&format!("{i:012}"))).collect();
        let results = queue.send(&scans.iter().collect::<Vec<_>>()).await;
        assert_eq!(
            codes(&results),
            [
                Some((FailureClass::Retry, "InternalError")),
                Some((FailureClass::Never, "InvalidMessageContents")),
                None,
                Some((FailureClass::Retry, "unanswered")),
                Some((FailureClass::Operator, "AccessDenied")),
            ]
        );
    }

    #[tokio::test]
    async fn a_call_that_fails_fails_every_message_of_it() {
        let denied = r#"{"__type":"com.amazonaws.sqs#AccessDeniedException","message":"no"}"#;
        let queue = Sqs::new(&config(answers([(403, denied)])).await).outbox(QUEUE.to_owned());
        let scan = scan("123456789012");
        let results = queue.send(&[&scan, &scan]).await;
        assert_eq!(codes(&results), [Some((FailureClass::Operator, "AccessDeniedException")); 2]);
    }

    fn letter(body: &str) -> DeadLetter {
        DeadLetter {
            body: body.to_owned(),
            group: Some("123456789012".to_owned()),
            reason: "invalid_message",
            detail: "not JSON".to_owned(),
            attempts: 3,
            failed_at: as_of(),
        }
    }

    async fn sent(letter: &DeadLetter) -> Value {
        let client = answers([(200, r#"{"MessageId":"a"}"#)]);
        let letters = Sqs::new(&config(client.clone()).await).dead_letters(QUEUE.to_owned(), "worker");
        letters.put(letter).await.unwrap();
        let [(_, body)] = requests(&client).try_into().unwrap();
        serde_json::from_str(&body).unwrap()
    }

    #[tokio::test]
    async fn a_dead_letter_is_the_message_with_its_reason() {
        let sent = sent(&letter("{")).await;
        assert_eq!((&sent["MessageBody"], &sent["MessageGroupId"]), (&json!("{"), &json!("123456789012")));
        for (name, value) in [
            ("reason", "invalid_message"),
            ("detail", "not JSON"),
            ("function", "worker"),
            ("attempts", "3"),
            ("failed_at", "2026-03-01T06:00:00+00:00"),
        ] {
            assert_eq!(sent["MessageAttributes"][name]["StringValue"], value, "{name}");
        }
    }

    #[tokio::test]
    async fn an_attribute_without_a_value_is_left_out() {
        let sent = sent(&DeadLetter { detail: String::new(), ..letter("{") }).await;
        assert_eq!(sent["MessageAttributes"]["detail"], Value::Null);
        assert_eq!(sent["MessageAttributes"]["reason"]["DataType"], "String");
    }

    /// What SQS counts of a message.
    fn bytes(message: &Value) -> usize {
        let attribute = |(name, value): (&String, &Value)| {
            name.len()
                + ["DataType", "StringValue"]
                    .map(|part| value[part].as_str().unwrap().len())
                    .iter()
                    .sum::<usize>()
        };
        let attributes = message["MessageAttributes"].as_object().unwrap();
        message["MessageBody"].as_str().unwrap().len() + attributes.iter().map(attribute).sum::<usize>()
    }

    #[tokio::test]
    async fn a_letter_that_just_fits_is_whole_and_one_byte_more_is_cut() {
        let attributes = bytes(&sent(&letter("")).await);
        let largest = "x".repeat(MAX_MESSAGE_BYTES - attributes);
        let whole = sent(&letter(&largest)).await;
        assert_eq!((&whole["MessageBody"], bytes(&whole)), (&json!(largest), MAX_MESSAGE_BYTES));
        assert_eq!(whole["MessageAttributes"]["detail"]["StringValue"], "not JSON");

        let cut = sent(&letter(&format!("{largest}x"))).await;
        assert_eq!(bytes(&cut), MAX_MESSAGE_BYTES);
        let detail = format!("not JSON … (cut from {} bytes)", largest.len() + 1);
        assert_eq!(cut["MessageAttributes"]["detail"]["StringValue"], detail);
    }

    #[tokio::test]
    async fn the_largest_message_there_is_is_cut_between_two_characters() {
        for body in ["x", "é", "𝄞"].map(|character| character.repeat(MAX_MESSAGE_BYTES / character.len()))
        {
            let cut = sent(&letter(&body)).await;
            assert!((MAX_MESSAGE_BYTES - 3..=MAX_MESSAGE_BYTES).contains(&bytes(&cut)), "{}", bytes(&cut));
            assert!(body.starts_with(cut["MessageBody"].as_str().unwrap()));
        }
    }

    #[tokio::test]
    async fn a_record_comes_back_after_its_delay() {
        let client = answers([(200, "")]);
        let records = Sqs::new(&config(client.clone()).await).redelivery(QUEUE.to_owned());
        records.delay("handle", Duration::from_hours(11)).await.unwrap();
        let [(_, body)] = requests(&client).try_into().unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body, json!({"QueueUrl": QUEUE, "ReceiptHandle": "handle", "VisibilityTimeout": 39_600}));
    }

    #[tokio::test]
    async fn a_record_that_is_no_longer_in_flight_is_a_failure_to_be_told() {
        for code in ["MessageNotInflight", "ReceiptHandleIsInvalid"] {
            let answer = (400, format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"no"}}"#));
            let records = Sqs::new(&config(answers([answer])).await).redelivery(QUEUE.to_owned());
            let error = records.delay("handle", Duration::from_secs(1)).await.unwrap_err();
            assert_eq!(error.to_string(), format!("sqs:ChangeMessageVisibility failed: {code}"));
            assert_eq!(error.class, FailureClass::Never);
        }
    }
}
