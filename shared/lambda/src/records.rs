//! A batch of queue records, each done, given back or given up by itself.
//!
//! A record goes through three steps: [`read`] parses it, [`work`] does what it asks, [`respond`] tells SQS what
//! became of it. A bad or panicking record fails alone.
//!
//! * **done**: SQS deletes it
//! * **given back**: SQS delivers it again, after a delay that depends on what it waits for
//! * **given up**, because it never will work or its time is over: it is put in the dead-letter queue with its reason,
//!   and then SQS deletes it. Put first, deleted second: a crash in between makes a second letter, never none.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use futures::{FutureExt, StreamExt, stream};
use keynudge_core::accounts::Scope;
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ids::{AccountId, UserId};
use keynudge_core::messages::{AsOfLimit, InvalidMessage, Message, Run};
use keynudge_core::ports::{
    DeadLetter, DeadLetters, INVALID_MESSAGE, Outbox, Redelivery, RoleUse, RunRecords,
    SUBSCRIPTION_UNCONFIRMED, was_counted_as_given_up,
};
use keynudge_core::retry::{RecordTimes, RetryPolicy, WaitFor};

use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::metrics::{Metric, Metrics};
use crate::outgoing::send_all;

/// From one day's run to the next.
const OVERDUE_AFTER: TimeDelta = TimeDelta::days(1);

/// Left, after the work, to pass on what came of it and to answer SQS. An invocation that Lambda ends is repeated as
/// a whole.
pub const TIME_TO_ANSWER: Duration = Duration::from_secs(4);

/// No message of ours is a tenth as large. Room is left for the reason beside it in a dead letter, which SQS limits to
/// 1 MiB in all.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The queue that records come from, and what is kept of them.
pub struct Source<L, R, C> {
    /// What it holds.
    pub kind: Kind,
    /// Where records that are given up go.
    pub dead_letters: L,
    /// When records that are given back return.
    pub redelivery: R,
    /// What they came to.
    pub run_records: C,
    /// How long they wait, and for how long they are tried.
    pub retry: RetryPolicy,
    /// What time it is.
    pub clock: Clock,
}

/// What a queue holds, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Accounts to scan.
    Scans,
    /// Users to check.
    Checks,
    /// Owners to tell.
    Findings,
    /// Events of SES.
    Events,
}

impl Kind {
    fn redelivered(self) -> Metric {
        match self {
            Self::Scans => Metric::ScansRedelivered,
            Self::Checks => Metric::ChecksRedelivered,
            Self::Findings => Metric::FindingsRedelivered,
            Self::Events => Metric::EventsRedelivered,
        }
    }

    /// The counts of repeated deliveries in a run's record, and of those that were repeated because a function
    /// gave the record back. A scan sets what it counts, and SES's events are in no run's record.
    fn repetitions(self) -> Option<(Metric, Metric)> {
        match self {
            Self::Checks => Some((Metric::ChecksRepeated, Metric::ChecksReturned)),
            Self::Findings => Some((Metric::FindingsRepeated, Metric::FindingsReturned)),
            Self::Scans | Self::Events => None,
        }
    }

    /// The counts of replayed dead letters in a run's record. Each was counted as given up before.
    fn replayed(self) -> Option<Metric> {
        match self {
            Self::Checks => Some(Metric::ChecksReplayed),
            Self::Findings => Some(Metric::FindingsReplayed),
            Self::Scans | Self::Events => None,
        }
    }

    fn given_up(self) -> Metric {
        match self {
            Self::Scans => Metric::ScansGivenUp,
            Self::Checks => Metric::ChecksGivenUp,
            Self::Findings => Metric::FindingsGivenUp,
            Self::Events => Metric::EventsGivenUp,
        }
    }
}

/// A record, and what has come of it so far.
pub struct Record<T> {
    envelope: Envelope,
    /// What has come of it.
    pub result: Result<T, Failure>,
}

impl<T> Record<T> {
    /// The record with what `map` makes of its message and of who sent it: the unique id of a role or a user and, of a role, the
    /// session behind a colon (SQS API, `ReceiveMessage`, `SenderId`). SQS says that, not the sender.
    pub fn map_with_sender<U>(self, map: impl FnOnce(T, Option<&str>) -> U) -> Record<U> {
        let Self { envelope, result } = self;
        let result = result.map(|message| map(message, envelope.sender_id.as_deref()));
        Record { envelope, result }
    }
}

/// What SQS says of a record, and whom it is about.
struct Envelope {
    message_id: String,
    receipt_handle: String,
    body: String,
    group: Option<String>,
    sender_id: Option<String>,
    sent_at: Option<DateTime<Utc>>,
    first_received_at: Option<DateTime<Utc>>,
    attempts: u32,
    /// Whether a function gave it up before, and it was replayed.
    is_replayed: bool,
    about: Option<About>,
}

/// Whom a record is about, for logs and run records.
struct About {
    run: Run,
    account: AccountId,
    user: Option<UserId>,
    found_at: Option<DateTime<Utc>>,
}

/// Why a record is not done.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may work later: give it back until then.
    GiveBack(Reason, WaitFor),
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

impl Failure {
    /// What to do about the failure; `None` if the record did not fail and only has to wait.
    fn class(&self) -> Option<FailureClass> {
        match self {
            Self::GiveBack(_, wait_for) => wait_for.class(),
            Self::GiveUp(_) => Some(FailureClass::Never),
        }
    }
}

impl From<InvalidMessage> for Failure {
    fn from(error: InvalidMessage) -> Self {
        let name = match error {
            InvalidMessage::SubscriptionUnconfirmed => SUBSCRIPTION_UNCONFIRMED,
            _ => INVALID_MESSAGE,
        };
        Self::GiveUp(Reason::new(name, error.to_string()))
    }
}

impl From<CallFailed> for Failure {
    fn from(error: CallFailed) -> Self {
        let reason = Reason::new("call_failed", error.to_string());
        match error.class {
            FailureClass::Never => Self::GiveUp(reason),
            FailureClass::Operator => Self::GiveBack(reason, WaitFor::Operator),
            FailureClass::Retry | FailureClass::Unknown => Self::GiveBack(reason, WaitFor::Service),
        }
    }
}

/// A record that SQS gave no id. It cannot be reported by itself, so the invocation fails as a whole.
#[derive(Debug, thiserror::Error)]
#[error("a record has no messageId")]
pub struct NoMessageId;

/// Parses the records of `event`, each by itself.
pub fn read<M: Message>(event: SqsEvent, limit: AsOfLimit) -> Result<Vec<Record<M>>, NoMessageId> {
    let mut records = read_with(event, |body| M::read(body, limit))?;
    for record in &mut records {
        record.envelope.about = record.result.as_ref().ok().map(About::of);
    }
    Ok(records)
}

/// Parses the records of `event`, each by itself, with `parse`.
pub fn read_with<T>(
    event: SqsEvent,
    parse: impl Fn(&str) -> Result<T, InvalidMessage>,
) -> Result<Vec<Record<T>>, NoMessageId> {
    event.records.into_iter().map(|record| read_one(record, &parse)).collect()
}

fn read_one<T>(
    record: SqsMessage,
    parse: impl Fn(&str) -> Result<T, InvalidMessage>,
) -> Result<Record<T>, NoMessageId> {
    let message_id = record.message_id.filter(|id| !id.is_empty()).ok_or(NoMessageId)?;
    let body = record.body.unwrap_or_default();
    let parsed = if body.len() > MAX_BODY_BYTES { Err(InvalidMessage::TooLarge) } else { parse(&body) };
    let number = |name: &str| record.attributes.get(name).and_then(|number| number.parse::<i64>().ok());
    let instant = |name| number(name).and_then(DateTime::from_timestamp_millis);
    let attempts = number("ApproximateReceiveCount").and_then(|count| count.try_into().ok());
    let envelope = Envelope {
        message_id,
        receipt_handle: record.receipt_handle.unwrap_or_default(),
        body,
        group: record.attributes.get("MessageGroupId").cloned(),
        sender_id: record.attributes.get("SenderId").cloned(),
        sent_at: instant("SentTimestamp"),
        first_received_at: instant("ApproximateFirstReceiveTimestamp"),
        attempts: attempts.unwrap_or(1),
        is_replayed: was_counted_as_given_up(|name| {
            record.message_attributes.get(name)?.string_value.as_deref()
        }),
        about: None,
    };
    Ok(Record { envelope, result: parsed.map_err(Failure::from) })
}

impl About {
    fn of(message: &impl Message) -> Self {
        Self {
            run: message.run().clone(),
            account: message.account_id().clone(),
            user: message.user().map(|user| user.id.clone()),
            found_at: message.found_at(),
        }
    }
}

/// Does `task` for each readable record, at most `concurrency` of them at a time, in the order of the batch. One is
/// started only with `time_for_one` left, [`TIME_TO_ANSWER`] included. Those there is no time for are given back, and so
/// is one whose task panics.
pub async fn work<M, T>(
    records: Vec<Record<M>>,
    concurrency: usize,
    deadline: Deadline,
    time_for_one: Duration,
    task: impl AsyncFn(M) -> Result<T, Failure>,
) -> Vec<Record<T>> {
    let task = &task;
    stream::iter(records)
        .map(|Record { envelope, result }| async move {
            let result = match result {
                Ok(message) if !deadline.leaves_less_than(time_for_one) => {
                    let done = AssertUnwindSafe(task(message)).catch_unwind();
                    match deadline.within(TIME_TO_ANSWER, done).await {
                        Some(Ok(result)) => result,
                        Some(Err(_panic)) => {
                            Err(Failure::GiveBack(Reason::new("panicked", ""), WaitFor::Service))
                        }
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

/// Gives up a message about an account that this deployment does not look after.
pub fn check_account(message: &impl Message, scope: &Scope) -> Result<(), Failure> {
    if scope.contains(message.account_id()) {
        return Ok(());
    }
    Err(Failure::GiveUp(Reason::new("unknown_account", "account_id is none of this deployment's accounts")))
}

/// Decides about `message`, whose account denies the role. `Ok` leaves the account out of this run. An error
/// puts the message back until `again_after` has passed since the run's first denial: IAM denies a role that
/// was deployed a moment ago until all of it knows the role.
///
/// The first denial counts even if the role has worked since. So an account whose role worked for a while and
/// is denied again, after `again_after`, is left out at once. The next run asks again. To forget the denial
/// would cost a write for every batch that succeeds.
pub async fn leave_out<L, R, C: RunRecords>(
    source: &Source<L, R, C>,
    message: &impl Message,
    role_use: RoleUse,
    again_after: Duration,
    deadline: Deadline,
) -> Result<(), Failure> {
    let now = (source.clock)();
    let first_denied = source.run_records.first_denied(message.run(), message.account_id(), role_use, now);
    let Some(first_denied) = deadline.within(TIME_TO_ANSWER, first_denied).await else {
        return Err(out_of_time());
    };
    let since = (now - first_denied?).to_std().unwrap_or_default();
    match again_after.checked_sub(since) {
        None | Some(Duration::ZERO) => Ok(()),
        Some(wait) => {
            let again_at = now + TimeDelta::from_std(wait).unwrap_or_default();
            Err(Failure::GiveBack(Reason::new("role_denied", ""), WaitFor::Instant(again_at)))
        }
    }
}

/// There is no time for it in this invocation.
#[must_use]
pub fn out_of_time() -> Failure {
    Failure::GiveBack(Reason::new("out_of_time", ""), WaitFor::Invocation)
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

/// Sets what `message` came to in its run's record, however often it is done. What cannot be set is missing there, and in
/// no queue or mail.
pub async fn set_counts<L, R, C: RunRecords>(
    source: &Source<L, R, C>,
    message: &impl Message,
    counts: &Metrics,
    deadline: Deadline,
    metrics: &Metrics,
) {
    let counts = counts.counts();
    let set = source.run_records.set(message.run(), message.account_id(), &counts);
    let result = deadline.within(2 * TIME_TO_ANSWER, set).await;
    if !matches!(result, Some(Ok(()))) {
        not_recorded(1, result.and_then(Result::err), metrics);
    }
}

/// Puts aside what is given up, delays what is given back, logs and counts both, keeps what the runs came to, and
/// answers SQS. A panic over one record gives that record back, and costs no other.
pub async fn respond<T>(
    records: Vec<Record<T>>,
    source: &Source<impl DeadLetters, impl Redelivery, impl RunRecords>,
    deadline: Deadline,
    metrics: &Metrics,
) -> SqsBatchResponse {
    // A batch without retries counts as 0: CloudWatch passes over hours without a count, and would put
    // retries of hours far apart next to each other.
    metrics.add(Metric::RecordsGivenBack, 0);
    let concluded = records.into_iter().map(async |record| {
        let message_id = record.envelope.message_id.clone();
        let concluded = AssertUnwindSafe(conclude(record, source, deadline, metrics)).catch_unwind();
        concluded.await.unwrap_or(Some(message_id))
    });
    let mut response = SqsBatchResponse::default();
    for message_id in join_all(concluded).await.into_iter().flatten() {
        response.add_failure(message_id);
    }
    let kept = AssertUnwindSafe(keep_counts(&source.run_records, deadline, metrics)).catch_unwind();
    if kept.await.is_err() {
        not_recorded(1, None, metrics);
    }
    response
}

/// Ends one record. Returns its id if SQS is to deliver it again.
async fn conclude<T>(
    Record { envelope, result }: Record<T>,
    source: &Source<impl DeadLetters, impl Redelivery, impl RunRecords>,
    deadline: Deadline,
    metrics: &Metrics,
) -> Option<String> {
    let now = (source.clock)();
    let class = result.as_ref().err().and_then(Failure::class);
    let (reason, wait_for) = match result {
        Ok(_) => {
            envelope.count_end(source.kind, metrics);
            return None;
        }
        Err(Failure::GiveBack(reason, wait_for))
            if !wait_for.is_failure() || !envelope.is_over(&source.retry, now) =>
        {
            (reason, wait_for)
        }
        Err(Failure::GiveBack(reason, _) | Failure::GiveUp(reason)) => {
            let letter = envelope.dead_letter(&reason, now);
            match deadline.within(TIME_TO_ANSWER * 3 / 8, source.dead_letters.put(&letter)).await {
                Some(Ok(())) => {
                    envelope.count(source.kind.given_up(), metrics);
                    envelope.count_end(source.kind, metrics);
                    envelope.log("given_up", &reason, class);
                    return None;
                }
                Some(Err(error)) => {
                    (Reason::new(reason.name, format!("not put aside: {error}")), WaitFor::Service)
                }
                None => (Reason::new(reason.name, "not put aside: out of time"), WaitFor::Invocation),
            }
        }
    };
    envelope.delay(wait_for, source, deadline).await;
    let (metric, outcome) = if wait_for.is_failure() {
        (Metric::RecordsGivenBack, "given_back")
    } else {
        (Metric::RecordsPostponed, "postponed")
    };
    envelope.count(metric, metrics);
    if !wait_for.is_failure() && envelope.is_overdue(now) {
        envelope.count(Metric::RecordsOverdue, metrics);
    }
    envelope.note_return(source.kind, metrics);
    envelope.log(outcome, &reason, wait_for.class());
    Some(envelope.message_id)
}

/// Adds what was counted to the runs' records. What cannot be added is missing there, and in no queue or mail.
async fn keep_counts(run_records: &impl RunRecords, deadline: Deadline, metrics: &Metrics) {
    let runs = metrics.take_runs();
    let added = runs.iter().map(|(run, account, counts)| run_records.add(run, account, counts));
    let results = deadline.within(TIME_TO_ANSWER / 8, join_all(added)).await;
    let kept = results.iter().flatten().filter(|result| result.is_ok()).count();
    if kept < runs.len() {
        not_recorded(runs.len() - kept, results.into_iter().flatten().find_map(Result::err), metrics);
    }
}

/// `error` is none where there was no time.
fn not_recorded(counts: usize, error: Option<CallFailed>, metrics: &Metrics) {
    metrics.add(Metric::CountsNotRecorded, counts);
    tracing::warn!(error = error.map(tracing::field::display), "missing in the runs' records");
}

impl Envelope {
    /// Whether the time for which the record is tried is over.
    fn is_over(&self, retry: &RetryPolicy, now: DateTime<Utc>) -> bool {
        let found_at = self.about.as_ref().and_then(|about| about.found_at);
        self.sent_at.is_some_and(|sent_at| {
            let first_received_at = self.first_received_at.unwrap_or(sent_at);
            retry.gives_up(RecordTimes { sent_at, found_at, first_received_at }, now)
        })
    }

    /// Whether the record is older than any queue for a turn should make it.
    fn is_overdue(&self, now: DateTime<Utc>) -> bool {
        self.sent_at.is_some_and(|sent_at| now - sent_at > OVERDUE_AFTER)
    }

    /// Where a delay cannot be set, the record returns after its queue's visibility timeout.
    async fn delay<L, R: Redelivery, C>(
        &self,
        wait_for: WaitFor,
        source: &Source<L, R, C>,
        deadline: Deadline,
    ) {
        let delay = source.retry.delay(wait_for, self.attempts, (source.clock)(), fastrand::f64());
        let delayed = source.redelivery.delay(&self.receipt_handle, delay);
        if let Some(Err(error)) = deadline.within(TIME_TO_ANSWER / 4, delayed).await {
            tracing::warn!(%error, message_id = self.message_id, "not delayed");
        }
    }

    fn dead_letter(&self, reason: &Reason, failed_at: DateTime<Utc>) -> DeadLetter {
        DeadLetter {
            body: self.body.clone(),
            group: self.group.clone(),
            reason: reason.name,
            detail: reason.detail.clone(),
            attempts: self.attempts,
            failed_at,
        }
    }

    fn count(&self, metric: Metric, metrics: &Metrics) {
        match &self.about {
            Some(about) => metrics.count_in(&about.run, &about.account, metric),
            None => metrics.count(metric),
        }
    }

    /// Counts a record that is done or given up now: whether it was replayed, and how often SQS delivered it
    /// before.
    fn count_end(&self, kind: Kind, metrics: &Metrics) {
        if let (true, Some(replayed), Some(about)) = (self.is_replayed, kind.replayed(), &self.about) {
            metrics.note_in(&about.run, &about.account, replayed, 1);
        }
        if self.attempts < 2 {
            return;
        }
        self.count(kind.redelivered(), metrics);
        if let (Some((repeated, _)), Some(about)) = (kind.repetitions(), &self.about) {
            metrics.note_in(&about.run, &about.account, repeated, (self.attempts - 1).into());
        }
    }

    /// Notes that this delivery of the record ended without a count, and SQS delivers it again.
    fn note_return(&self, kind: Kind, metrics: &Metrics) {
        if let (Some((_, returned)), Some(about)) = (kind.repetitions(), &self.about) {
            metrics.note_in(&about.run, &about.account, returned, 1);
        }
    }

    /// `class` tells a reader of the log which failures pass and which an operator has to mend.
    fn log(&self, outcome: &str, reason: &Reason, class: Option<FailureClass>) {
        let about = self.about.as_ref();
        tracing::warn!(
            outcome,
            reason = reason.name,
            detail = reason.detail,
            class = class.map(FailureClass::as_str),
            attempts = self.attempts,
            message_id = self.message_id,
            run_id = about.map(|about| about.run.run_id.as_str()),
            account_id = about.map(|about| about.account.as_str()),
            user_id = about.and_then(|about| about.user.as_ref()).map(UserId::as_str),
            "record not done"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keynudge_core::messages::{AsOfLimit, ScanAccount};
    use keynudge_testing::{
        ACCOUNT, MemoryDeadLetters, MemoryRedelivery, MemoryRunRecords, event, failure, now, retry_policy,
        run,
    };
    use serde_json::json;
    use tokio::runtime::Builder;

    use crate::log::tests::lines_of;

    /// `keynudge doctor` and the runbook's queries read these fields.
    #[test]
    fn a_record_that_is_not_done_is_logged_with_what_it_is_about_and_the_class_of_its_failure() {
        let scan = ScanAccount { run: run(), account_id: ACCOUNT.parse().unwrap(), account_name: None };
        let bodies = vec![serde_json::to_string(&scan).unwrap(); 2];
        let failures = [FailureClass::Retry, FailureClass::Never].map(|class| Failure::from(failure(class)));
        let [retried, given_up] = lines_of(|| {
            let mut scans = read::<ScanAccount>(event(&bodies), AsOfLimit::From(now())).unwrap();
            for (record, failure) in scans.iter_mut().zip(failures) {
                record.result = Err(failure);
            }
            let source = Source {
                kind: Kind::Checks,
                dead_letters: MemoryDeadLetters::default(),
                redelivery: MemoryRedelivery::default(),
                run_records: MemoryRunRecords::default(),
                retry: retry_policy(),
                clock: now,
            };
            let runtime = Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let deadline = Deadline::after(Duration::from_hours(1));
                respond(scans, &source, deadline, &Metrics::default()).await
            });
        })
        .try_into()
        .unwrap();
        for (line, outcome, class) in
            [(retried, "given_back", json!("retry")), (given_up, "given_up", json!("never"))]
        {
            let fields = &line["fields"];
            assert_eq!((&line["level"], &fields["outcome"]), (&json!("WARN"), &json!(outcome)));
            assert_eq!((&fields["class"], &fields["reason"]), (&class, &json!("call_failed")));
            assert_eq!((&fields["account_id"], &fields["attempts"]), (&json!(ACCOUNT), &json!(3)));
            assert_eq!(fields["run_id"], json!(run().run_id.as_str()));
        }
    }

    #[test]
    fn an_outcome_is_logged_with_run_and_account() {
        let scan = ScanAccount { run: run(), account_id: ACCOUNT.parse().unwrap(), account_name: None };
        let [line] = lines_of(|| log_outcome("scanned", &scan)).try_into().unwrap();
        let expected = json!({
            "message": "scanned", "outcome": "scanned", "run_id": run().run_id.as_str(), "account_id": ACCOUNT
        });
        assert_eq!((&line["level"], &line["fields"]), (&json!("INFO"), &expected));
    }
}
