//! A batch of queue records, each done, given back or given up by itself.
//!
//! A record goes through three steps: [`read`] parses it, [`work`] does what it asks, [`respond`] tells SQS what
//! became of it. A bad or panicking record fails alone.
//!
//! * **done**: SQS deletes it
//! * **given back**: SQS delivers it again once its visibility timeout ends
//! * **given up**: it is put in the dead-letter queue with its reason, and then SQS deletes it. Put first, deleted
//!   second: a crash in between makes a second letter, never none.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::future::join_all;
use futures::{FutureExt, StreamExt, stream};
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ids::{AccountId, RunId, UserId};
use keynudge_core::messages::{AsOfLimit, InvalidMessage, Message};
use keynudge_core::ports::{DeadLetter, DeadLetters, Outbox};

use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::metrics::{Metric, Metrics};
use crate::outgoing::send_all;

/// Left, after the work, to pass on what came of it and to answer SQS. An invocation that Lambda ends is repeated as
/// a whole, and owners who were mailed in it are mailed again.
const TIME_TO_ANSWER: Duration = Duration::from_secs(4);

/// A record is started only with this much time left: for one mail (10 s at most), which is then never cut off.
const TIME_FOR_ONE_RECORD: Duration = Duration::from_secs(14);

/// A record, and what has come of it so far.
pub struct Record<T> {
    envelope: Envelope,
    /// What has come of it.
    pub result: Result<T, Failure>,
}

/// What SQS says of a record, and whom it is about.
struct Envelope {
    message_id: String,
    body: String,
    group: Option<String>,
    attempts: u32,
    about: Option<About>,
}

/// Whom a record is about, for logs.
struct About {
    run: RunId,
    account: AccountId,
    user: Option<UserId>,
}

/// Why a record is not done.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may work later: give it back.
    GiveBack(Reason),
    /// It never will: give it up.
    GiveUp(Reason),
}

/// What went wrong. Both parts go into logs and dead letters, so they name things and never quote values.
#[derive(Debug, PartialEq, Eq)]
pub struct Reason {
    /// One of few, to group by: `invalid_message`, `call_failed`, ….
    pub name: &'static str,
    /// What exactly.
    pub detail: String,
}

impl Reason {
    /// A reason with its detail.
    pub fn new(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, detail: detail.into() }
    }
}

impl From<InvalidMessage> for Failure {
    fn from(error: InvalidMessage) -> Self {
        Self::GiveUp(Reason::new("invalid_message", error.to_string()))
    }
}

impl From<CallFailed> for Failure {
    fn from(error: CallFailed) -> Self {
        let reason = Reason::new("call_failed", error.to_string());
        match error.class {
            FailureClass::Never => Self::GiveUp(reason),
            FailureClass::Retry | FailureClass::Operator | FailureClass::Unknown => Self::GiveBack(reason),
        }
    }
}

/// A record that SQS gave no id. It cannot be reported by itself, so the invocation fails as a whole.
#[derive(Debug, thiserror::Error)]
#[error("a record has no messageId")]
pub struct NoMessageId;

/// Parses the records of `event`, each by itself.
pub fn read<M: Message>(event: SqsEvent, limit: AsOfLimit) -> Result<Vec<Record<M>>, NoMessageId> {
    event.records.into_iter().map(|record| read_one(record, limit)).collect()
}

fn read_one<M: Message>(record: SqsMessage, limit: AsOfLimit) -> Result<Record<M>, NoMessageId> {
    let message_id = record.message_id.filter(|id| !id.is_empty()).ok_or(NoMessageId)?;
    let body = record.body.unwrap_or_default();
    let message = M::read(&body, limit);
    let about = message.as_ref().ok().map(|message| About {
        run: message.run().run_id.clone(),
        account: message.account_id().clone(),
        user: message.user().map(|user| user.id.clone()),
    });
    let attempts = record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
    let group = record.attributes.get("MessageGroupId").cloned();
    Ok(Record {
        envelope: Envelope { message_id, body, group, attempts: attempts.unwrap_or(1), about },
        result: message.map_err(Failure::from),
    })
}

/// Does `task` for each readable record, at most `concurrency` of them at a time, in the order of the batch.
/// Those there is no time for are given back, and so is one whose task panics.
pub async fn work<M, T>(
    records: Vec<Record<M>>,
    concurrency: usize,
    deadline: Deadline,
    task: impl AsyncFn(M) -> Result<T, Failure>,
) -> Vec<Record<T>> {
    let task = &task;
    stream::iter(records)
        .map(|Record { envelope, result }| async move {
            let result = match result {
                Ok(message) if !deadline.leaves_less_than(TIME_FOR_ONE_RECORD) => {
                    let done = AssertUnwindSafe(task(message)).catch_unwind();
                    match deadline.within(TIME_TO_ANSWER, done).await {
                        Some(Ok(result)) => result,
                        Some(Err(_panic)) => Err(Failure::GiveBack(Reason::new("panicked", ""))),
                        None => Err(out_of_time()),
                    }
                }
                Ok(_) => Err(out_of_time()),
                Err(failure) => Err(failure),
            };
            Record { envelope, result }
        })
        .buffered(concurrency)
        .collect()
        .await
}

/// Gives up a message about another account than `own`: there is no way to ask that one.
pub fn check_account(message: &impl Message, own: &AccountId) -> Result<(), Failure> {
    if message.account_id() == own {
        return Ok(());
    }
    Err(Failure::GiveUp(Reason::new("unknown_account", "account_id is not this account")))
}

/// There is no time for it in this invocation.
#[must_use]
pub fn out_of_time() -> Failure {
    Failure::GiveBack(Reason::new("out_of_time", ""))
}

/// Sends what the records come to, where they come to a message: all in one go. A record whose message is not taken
/// is not done, and its work is repeated when it is delivered again.
pub async fn forward<T, M>(
    mut records: Vec<Record<T>>,
    outbox: &impl Outbox<M>,
    deadline: Deadline,
    message: impl Fn(&T) -> Option<M>,
) -> Vec<Record<T>> {
    let (places, messages): (Vec<usize>, Vec<M>) = records
        .iter()
        .enumerate()
        .filter_map(|(place, record)| Some((place, message(record.result.as_ref().ok()?)?)))
        .unzip();
    let sent = deadline.within(TIME_TO_ANSWER / 2, send_all(outbox, &messages)).await;
    let results: Vec<Result<(), Failure>> = match sent {
        Some(results) => results.into_iter().map(|result| result.map_err(Failure::from)).collect(),
        None => messages.iter().map(|_| Err(out_of_time())).collect(),
    };
    for (place, result) in places.into_iter().zip(results) {
        if let Err(failure) = result {
            records[place].result = Err(failure);
        }
    }
    records
}

/// Logs that `message` has come to its end here, and how. One line per user and function.
pub fn log_outcome(outcome: &str, message: &impl Message) {
    tracing::info!(
        outcome,
        run_id = message.run().run_id.as_str(),
        account_id = message.account_id().as_str(),
        user_id = message.user().map(|user| user.id.as_str()),
        "{outcome}"
    );
}

/// Puts aside what is given up, logs and counts what is not done, and answers SQS.
pub async fn respond<T>(
    records: Vec<Record<T>>,
    dead_letters: &impl DeadLetters,
    deadline: Deadline,
    metrics: &Metrics,
    clock: Clock,
) -> SqsBatchResponse {
    let concluded =
        records.into_iter().map(|record| conclude(record, dead_letters, deadline, metrics, clock));
    let mut response = SqsBatchResponse::default();
    for message_id in join_all(concluded).await.into_iter().flatten() {
        response.add_failure(message_id);
    }
    response
}

/// Ends one record. Returns its id if SQS is to deliver it again.
async fn conclude<T>(
    Record { envelope, result }: Record<T>,
    dead_letters: &impl DeadLetters,
    deadline: Deadline,
    metrics: &Metrics,
    clock: Clock,
) -> Option<String> {
    let reason = match result {
        Ok(_) => return None,
        Err(Failure::GiveBack(reason)) => reason,
        Err(Failure::GiveUp(reason)) => {
            let letter = envelope.dead_letter(&reason, clock);
            match deadline.within(TIME_TO_ANSWER / 4, dead_letters.put(&letter)).await {
                Some(Ok(())) => {
                    metrics.count(Metric::DeadLetters);
                    log(&envelope, "given_up", &reason);
                    return None;
                }
                Some(Err(error)) => Reason::new(reason.name, format!("not put aside: {error}")),
                None => Reason::new(reason.name, "not put aside: out of time"),
            }
        }
    };
    metrics.count(Metric::RecordsGivenBack);
    log(&envelope, "given_back", &reason);
    Some(envelope.message_id)
}

impl Envelope {
    fn dead_letter(&self, reason: &Reason, clock: Clock) -> DeadLetter {
        DeadLetter {
            body: self.body.clone(),
            group: self.group.clone(),
            reason: reason.name,
            detail: reason.detail.clone(),
            attempts: self.attempts,
            failed_at: clock(),
        }
    }
}

fn log(envelope: &Envelope, outcome: &str, reason: &Reason) {
    let about = envelope.about.as_ref();
    tracing::warn!(
        outcome,
        reason = reason.name,
        detail = reason.detail,
        attempts = envelope.attempts,
        message_id = envelope.message_id,
        run_id = about.map(|about| about.run.as_str()),
        account_id = about.map(|about| about.account.as_str()),
        user_id = about.and_then(|about| about.user.as_ref()).map(UserId::as_str),
        "record not done"
    );
}
