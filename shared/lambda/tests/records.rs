//! A batch of records as the functions see it: from SQS's event to the answer that SQS acts upon.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_lambda_events::sqs::SqsEvent;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keynudge_core::contact::{ContactSource, Recipient};
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ids::AccountId;
use keynudge_core::keys::StaleKey;
use keynudge_core::messages::{AsOfLimit, Run, ScanAccount, StaleKeys};
use keynudge_core::ports::{Counts, DeadLetter, DeadLetters, Outbox, RoleUse, RunRecords};
use keynudge_core::retry::WaitFor;
use keynudge_lambda::deadline::Deadline;
use keynudge_lambda::metrics::{Metric, Metrics};
use keynudge_lambda::records::{self, Failure, Reason, Source};
use keynudge_testing::{
    ACCOUNT, MemoryDeadLetters, MemoryQueue, MemoryRunRecords, MemorySource, event, event_sent_at, failure,
    given_back, no_time, now, plenty_of_time, run, source, source_with, user,
};
use serde_json::json;

/// How much time a record needs to be started.
const TIME_FOR_ONE: Duration = Duration::from_secs(14);

fn scan(account: &str) -> String {
    serde_json::to_string(&ScanAccount {
        run: run(),
        account_id: account.parse().unwrap(),
        account_name: None,
    })
    .unwrap()
}

/// What SQS is told, and what is put aside, when `task` is what the function does with each account.
async fn respond(
    event: SqsEvent,
    source: &MemorySource,
    task: impl AsyncFn(&str) -> Result<(), Failure>,
) -> (Vec<String>, Metrics) {
    let metrics = Metrics::default();
    let scans = records::read(event, AsOfLimit::From(now())).unwrap();
    let done = records::work(scans, 2, plenty_of_time(), TIME_FOR_ONE, async |scan: ScanAccount| {
        task(scan.account_id.as_str()).await
    });
    let response = records::respond(done.await, source, plenty_of_time(), &metrics).await;
    (given_back(&response).into_iter().map(str::to_owned).collect(), metrics)
}

#[tokio::test]
async fn each_record_ends_in_its_own_way() {
    let source = source();
    let bodies = ["000000000000", "000000000001", "000000000002", "000000000003"].map(scan);
    let (given_back, metrics) = respond(event(&bodies), &source, async |account| match account {
        "000000000001" => Err(Failure::GiveBack(Reason::new("busy", "later"), WaitFor::Service)),
        "000000000002" => Err(Failure::GiveUp(Reason::new("hopeless", "never"))),
        "000000000003" => panic!("a value that must not be shown: {account}"),
        _ => Ok(()),
    })
    .await;
    assert_eq!(given_back, ["record-1", "record-3"]);
    let [letter] = source.dead_letters.take().try_into().unwrap();
    assert_eq!((letter.body.as_str(), letter.group.as_deref()), (bodies[2].as_str(), Some(ACCOUNT)));
    assert_eq!((letter.reason, letter.detail.as_str()), ("hopeless", "never"));
    assert_eq!((letter.attempts, letter.failed_at), (3, now()));
    assert_eq!((metrics.get(Metric::RecordsGivenBack), metrics.get(Metric::ChecksGivenUp)), (2, 1));
}

/// The alarm on retries counts three hours with this metric, not three hours with retries.
#[tokio::test]
async fn a_batch_without_retries_says_so() {
    let (_, metrics) = respond(event(&[scan(ACCOUNT)]), &source(), async |_| Ok(())).await;
    assert_eq!(metrics.counts().get(Metric::RecordsGivenBack.name()), Some(&0));
}

/// The event with this message attribute on its first record.
fn with_attribute(event: &SqsEvent, name: &str) -> SqsEvent {
    let mut event = serde_json::to_value(event).unwrap();
    event["Records"][0]["messageAttributes"] = json!({name: {"stringValue": "true", "dataType": "String"}});
    serde_json::from_value(event).unwrap()
}

#[tokio::test]
async fn a_dead_letter_that_was_replayed_is_noted_at_its_end_in_its_runs_record() {
    let bodies = ["000000000000", "000000000001"].map(scan);
    for name in ["replayed", "reason"] {
        let source = source();
        let replayed = || with_attribute(&event(&bodies), name);
        let noted = |account| source.run_records.of_account(&run(), account, "ChecksReplayed");
        respond(replayed(), &source, async |account| match account {
            "000000000000" => Err(Failure::GiveBack(Reason::new("busy", "later"), WaitFor::Service)),
            _ => Ok(()),
        })
        .await;
        assert_eq!((noted("000000000000"), noted("000000000001")), (0, 0), "{name}: it was given back");
        respond(replayed(), &source, async |_| Ok(())).await;
        assert_eq!((noted("000000000000"), noted("000000000001")), (1, 0), "{name}: it is done");
        respond(replayed(), &source, async |account| match account {
            "000000000000" => Err(Failure::GiveUp(Reason::new("hopeless", "never"))),
            _ => Ok(()),
        })
        .await;
        assert_eq!((noted("000000000000"), noted("000000000001")), (2, 0), "{name}: it is given up again");
    }
}

/// Waiting for a turn is the normal case, and so is a lease of an hour. To wait for days is not.
#[tokio::test]
async fn a_record_that_had_no_turn_for_more_than_a_day_is_overdue() {
    for (hours, wait_for, overdue) in [
        (24, WaitFor::Invocation, 0),
        (25, WaitFor::Invocation, 1),
        (25, WaitFor::Instant(now() + TimeDelta::days(9)), 1),
        (23, WaitFor::Service, 0),
    ] {
        let event = event_sent_at(&[scan(ACCOUNT)], now() - TimeDelta::hours(hours));
        let (_, metrics) =
            respond(event, &source(), async |_| Err(Failure::GiveBack(Reason::new("busy", ""), wait_for)))
                .await;
        assert_eq!(metrics.get(Metric::RecordsOverdue), overdue, "{hours} hours, {wait_for:?}");
    }
}

#[tokio::test]
async fn a_letter_that_cannot_be_put_aside_keeps_its_record_on_the_queue() {
    let source = source_with(MemoryDeadLetters::broken());
    let (given_back, metrics) = respond(event(&["{".to_owned()]), &source, async |_| Ok(())).await;
    assert_eq!(given_back, ["record-0"]);
    assert_eq!(metrics.get(Metric::ChecksGivenUp), 0);
}

#[tokio::test]
async fn a_failed_calls_class_decides_between_back_and_up() {
    for (class, wait_for) in [
        (FailureClass::Never, None),
        (FailureClass::Retry, Some(WaitFor::Service)),
        (FailureClass::Operator, Some(WaitFor::Operator)),
        (FailureClass::Unknown, Some(WaitFor::Service)),
    ] {
        let reason = Reason::new("call_failed", "test:Call failed: Scripted");
        let expected = match wait_for {
            None => Failure::GiveUp(reason),
            Some(wait_for) => Failure::GiveBack(reason, wait_for),
        };
        assert_eq!(Failure::from(failure(class)), expected);
    }
}

#[tokio::test]
async fn no_more_than_the_allowed_number_of_records_is_worked_on_at_a_time() {
    let bodies: Vec<_> = (0..9).map(|i| scan(&format!("{i:012}"))).collect();
    let (busy, most) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    respond(event(&bodies), &source(), async |_| {
        busy.set(busy.get() + 1);
        most.set(most.get().max(busy.get()));
        tokio::task::yield_now().await;
        busy.set(busy.get() - 1);
        Ok(())
    })
    .await;
    assert_eq!(most.get(), 2);
}

#[tokio::test]
async fn without_time_a_record_is_not_even_started() {
    let scans = records::read(event(&[scan(ACCOUNT)]), AsOfLimit::None).unwrap();
    let started = std::cell::Cell::new(false);
    let done = records::work(scans, 2, no_time(), TIME_FOR_ONE, async |_: ScanAccount| {
        started.set(true);
        Ok(())
    })
    .await;
    let response = records::respond(done, &source(), plenty_of_time(), &Metrics::default()).await;
    assert_eq!((given_back(&response), started.get()), (vec!["record-0"], false));
}

#[tokio::test]
async fn what_records_come_to_is_forwarded_and_a_refusal_falls_back_on_its_record() {
    let bodies = ["000000000000", "000000000001", "000000000002"].map(scan);
    let scans = records::read::<ScanAccount>(event(&bodies), AsOfLimit::None).unwrap();
    let queue =
        MemoryQueue::refusing(|account: &String| account.ends_with('2').then_some(FailureClass::Never));
    let message = |scan: &ScanAccount| {
        let account = scan.account_id.to_string();
        (!account.ends_with('0')).then_some(account)
    };
    let told = records::forward(scans, &queue, plenty_of_time(), message).await;
    let done: Vec<_> = told.iter().map(|record| record.result.is_ok()).collect();
    assert_eq!(done, [true, true, false]);
    assert_eq!(queue.take(), ["000000000001"]);
}

#[test]
fn a_record_without_an_id_fails_the_batch_since_it_cannot_be_told_apart() {
    for record in [json!({"body": "{}"}), json!({"messageId": "", "body": "{}"})] {
        let event = serde_json::from_value(json!({"Records": [record]})).unwrap();
        assert!(records::read::<ScanAccount>(event, AsOfLimit::None).is_err());
    }
}

#[tokio::test]
async fn a_record_without_a_body_is_a_bad_message() {
    let source = source();
    let event = serde_json::from_value(json!({"Records": [{"messageId": "a"}]})).unwrap();
    let (given_back, _) = respond(event, &source, async |_| Ok(())).await;
    assert_eq!(given_back, Vec::<String>::new());
    let [letter] = source.dead_letters.take().try_into().unwrap();
    assert_eq!((letter.reason, letter.attempts), ("invalid_message", 1));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_hangs_is_given_back_and_the_others_stay_done() {
    let bodies = ["000000000000", "000000000001"].map(scan);
    let scans = records::read(event(&bodies), AsOfLimit::None).unwrap();
    let deadline = Deadline::after(Duration::from_secs(30));
    let done = records::work(scans, 1, deadline, TIME_FOR_ONE, async |scan: ScanAccount| {
        if scan.account_id.as_str().ends_with('1') {
            std::future::pending::<()>().await;
        }
        Ok(())
    })
    .await;
    let response = records::respond(done, &source(), deadline, &Metrics::default()).await;
    assert_eq!(given_back(&response), ["record-1"]);
    assert!(!deadline.leaves_less_than(Duration::from_secs(1)), "there is time left to answer");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_hangs_costs_only_the_records_with_something_to_tell() {
    struct Hanging;

    impl Outbox<String> for Hanging {
        async fn send(&self, _: &[&String]) -> Vec<Result<(), CallFailed>> {
            std::future::pending().await
        }
    }

    let bodies = ["000000000000", "000000000001"].map(scan);
    let scans = records::read::<ScanAccount>(event(&bodies), AsOfLimit::None).unwrap();
    let message = |scan: &ScanAccount| Some(scan.account_id.to_string()).filter(|id| id.ends_with('1'));
    let told = records::forward(scans, &Hanging, Deadline::after(Duration::from_secs(30)), message).await;
    let done: Vec<_> = told.iter().map(|record| record.result.is_ok()).collect();
    assert_eq!(done, [true, false]);
}

#[tokio::test]
async fn a_record_stays_away_as_long_as_what_it_waits_for_takes() {
    let source = source();
    let bodies = ["000000000000", "000000000001", "000000000002", "000000000003"].map(scan);
    let lease_until = now() + TimeDelta::minutes(15);
    let (given_back, _) = respond(event(&bodies), &source, async |account| {
        let wait_for = match account {
            "000000000000" => WaitFor::Service,
            "000000000001" => WaitFor::Operator,
            "000000000002" => WaitFor::Instant(lease_until),
            _ => WaitFor::Invocation,
        };
        Err(Failure::GiveBack(Reason::new("busy", ""), wait_for))
    })
    .await;
    assert_eq!(given_back.len(), 4);
    let seconds = |i| source.redelivery.of_record(i).unwrap().as_secs();
    assert!((30..=40).contains(&seconds(0)), "the third attempt waits for four times 10 s: {}", seconds(0));
    assert!((2_700..=3_600).contains(&seconds(1)), "{}", seconds(1));
    assert!((901..=905).contains(&seconds(2)), "{}", seconds(2));
    assert!((1..=5).contains(&seconds(3)), "{}", seconds(3));
}

#[tokio::test]
async fn a_record_whose_time_is_over_is_given_up_with_the_reason_it_failed_for() {
    let attempt = async |sent_at: DateTime<Utc>| {
        let source = source();
        let event = event_sent_at(&[scan(ACCOUNT)], sent_at);
        let (given_back, _) = respond(event, &source, async |_| {
            Err(Failure::GiveBack(Reason::new("busy", "still"), WaitFor::Operator))
        })
        .await;
        (given_back.len(), source.dead_letters.take())
    };
    let (given_back, letters) = attempt(now() - TimeDelta::days(1)).await;
    assert_eq!((given_back, letters.len()), (1, 0));
    let (given_back, letters) = attempt(now() - TimeDelta::days(1) - TimeDelta::seconds(1)).await;
    assert_eq!((given_back, letters[0].reason, letters[0].detail.as_str()), (0, "busy", "still"));
}

#[tokio::test]
async fn an_old_record_that_succeeds_is_done_like_any_other() {
    let source = source();
    let event = event_sent_at(&[scan(ACCOUNT)], now() - TimeDelta::days(3));
    let (given_back, _) = respond(event, &source, async |_| Ok(())).await;
    assert_eq!((given_back.len(), source.dead_letters.take().len()), (0, 0));
}

#[tokio::test]
async fn a_body_larger_than_any_of_ours_is_refused_unread() {
    let large = |bytes: usize| {
        let mut body = scan(ACCOUNT);
        body.push_str(&" ".repeat(bytes - body.len()));
        body
    };
    let source = source();
    let bodies = [large(64 * 1024), large(64 * 1024 + 1)];
    respond(event(&bodies), &source, async |_| Ok(())).await;
    let [letter] = source.dead_letters.take().try_into().unwrap();
    assert_eq!((letter.reason, letter.detail.as_str()), ("invalid_message", "larger than 64 KiB"));
    assert_eq!(letter.body.len(), 64 * 1024 + 1);
}

#[tokio::test]
async fn the_runs_record_tells_what_was_given_up_and_what_may_be_counted_twice() {
    let source = source();
    let bodies = [scan("000000000000"), scan(ACCOUNT), scan(ACCOUNT), "{".to_owned()];
    let (_, metrics) = respond(event(&bodies), &source, async |account| match account {
        ACCOUNT => Err(Failure::GiveUp(Reason::new("hopeless", ""))),
        _ => Ok(()),
    })
    .await;
    assert_eq!(source.run_records.get(&run(), "ChecksGivenUp"), 2);
    assert_eq!((metrics.get(Metric::ChecksRedelivered), metrics.get(Metric::ChecksGivenUp)), (4, 3));
}

/// Otherwise a run whose users all wait for their account's turn would seem to have counted each of them twice.
#[tokio::test]
async fn the_runs_record_tells_repetitions_of_what_was_given_back_from_those_of_what_vanished() {
    let source = source();
    let noted = |name| source.run_records.get(&run(), name);
    let (_, metrics) = respond(event(&[scan(ACCOUNT)]), &source, async |_| Err(records::out_of_time())).await;
    assert_eq!((noted("ChecksReturned"), noted("ChecksRepeated")), (1, 0));
    assert_eq!(
        metrics.get(Metric::ChecksReturned),
        0,
        "a metric has its price, and nobody would look at this one"
    );
    // The records of tests are delivered for the third time.
    respond(event(&[scan(ACCOUNT)]), &source, async |_| Ok(())).await;
    assert_eq!((noted("ChecksReturned"), noted("ChecksRepeated")), (1, 2));
}

#[tokio::test]
async fn a_record_that_had_no_turn_is_never_given_up_for_its_age() {
    let source = source();
    let event = event_sent_at(&[scan(ACCOUNT)], now() - TimeDelta::days(3));
    let (given_back, metrics) = respond(event, &source, async |_| Err(records::out_of_time())).await;
    assert_eq!((given_back.len(), source.dead_letters.take().len()), (1, 0));
    assert_eq!((metrics.get(Metric::RecordsPostponed), metrics.get(Metric::RecordsGivenBack)), (1, 0));
}

/// A finding that was first found then, and has been checked again since.
fn stale_keys(found_at: DateTime<Utc>) -> StaleKeys {
    StaleKeys {
        run: run(),
        account_id: ACCOUNT.parse().unwrap(),
        account_name: None,
        user: user("jane"),
        recipient: Recipient { to: "jane@example.com".parse().unwrap(), found_by: ContactSource::Tag },
        keys: vec![StaleKey {
            id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
            created_at: now(),
            age_days: 100,
            last_used: None,
            description: None,
        }],
        stage: 1,
        refused_exemption: None,
        checked_at: now(),
        found_at: Some(found_at),
    }
}

#[tokio::test]
async fn a_finding_that_was_checked_again_is_as_old_as_when_it_was_first_found() {
    let source = source();
    let found = [25, 23].map(|hours| stale_keys(now() - TimeDelta::hours(hours)));
    let bodies = found.map(|finding| serde_json::to_string(&finding).unwrap());
    let event = event_sent_at(&bodies, now() - TimeDelta::hours(2));
    let findings = records::read::<StaleKeys>(event, AsOfLimit::None).unwrap();
    let failed = async |_| Err::<(), _>(Failure::from(failure(FailureClass::Retry)));
    let done = records::work(findings, 1, plenty_of_time(), TIME_FOR_ONE, failed).await;
    let response = records::respond(done, &source, plenty_of_time(), &Metrics::default()).await;
    assert_eq!((given_back(&response), source.dead_letters.take().len()), (vec!["record-1"], 1));
}

#[tokio::test]
async fn a_finding_that_was_sent_back_is_not_given_up_in_its_first_hour() {
    let old = serde_json::to_string(&stale_keys(now() - TimeDelta::days(30))).unwrap();
    for (minutes_ago, dead_letters) in [(0, 0), (59, 0), (61, 1)] {
        let source = source();
        let event = event_sent_at(std::slice::from_ref(&old), now() - TimeDelta::minutes(minutes_ago));
        let findings = records::read::<StaleKeys>(event, AsOfLimit::None).unwrap();
        let failed = async |_| Err::<(), _>(Failure::from(failure(FailureClass::Retry)));
        let done = records::work(findings, 1, plenty_of_time(), TIME_FOR_ONE, failed).await;
        records::respond(done, &source, plenty_of_time(), &Metrics::default()).await;
        assert_eq!(source.dead_letters.take().len(), dead_letters, "sent {minutes_ago} minutes ago");
    }
}

#[tokio::test]
async fn counts_that_cannot_be_kept_are_counted_and_cost_no_record() {
    let source = MemorySource { run_records: MemoryRunRecords::broken(), ..source() };
    let (given_back, metrics) = respond(event(&[scan(ACCOUNT)]), &source, async |_| Ok(())).await;
    assert_eq!((given_back.len(), metrics.get(Metric::CountsNotRecorded)), (0, 1));
}

/// Panics over what is about one account, as code does over a value that it does not expect. Another account's counts it
/// cannot keep.
struct Panicking(&'static str);

const NOT_KEPT: &str = "000000000009";

impl DeadLetters for Panicking {
    async fn put(&self, letter: &DeadLetter) -> Result<(), CallFailed> {
        assert!(!letter.body.contains(self.0), "a value that must not be shown");
        Ok(())
    }
}

impl RunRecords for Panicking {
    async fn start(&self, _: &Run, _: usize, _: DateTime<Utc>) -> Result<(), CallFailed> {
        Ok(())
    }

    async fn set(&self, _: &Run, _: &AccountId, _: &Counts) -> Result<(), CallFailed> {
        Ok(())
    }

    async fn add(&self, _: &Run, account_id: &AccountId, _: &Counts) -> Result<(), CallFailed> {
        assert_ne!(account_id.as_str(), self.0, "a value that must not be shown");
        if account_id.as_str() == NOT_KEPT { Err(failure(FailureClass::Retry)) } else { Ok(()) }
    }

    async fn first_denied(
        &self,
        _: &Run,
        _: &AccountId,
        _: RoleUse,
        at: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, CallFailed> {
        Ok(at)
    }
}

#[tokio::test]
async fn a_panic_while_a_record_is_answered_gives_that_record_back_and_costs_no_other() {
    let Source { kind, redelivery, retry, clock, .. } = source();
    let panicking = || Panicking("000000000001");
    let source =
        Source { kind, dead_letters: panicking(), redelivery, run_records: panicking(), retry, clock };
    let metrics = Metrics::default();
    let bodies = ["000000000000", "000000000001", "000000000002"].map(scan);
    let scans = records::read(event(&bodies), AsOfLimit::From(now())).unwrap();
    let hopeless = async |_: ScanAccount| Err::<(), _>(Failure::GiveUp(Reason::new("hopeless", "never")));
    let done = records::work(scans, 1, plenty_of_time(), TIME_FOR_ONE, hopeless).await;
    let response = records::respond(done, &source, plenty_of_time(), &metrics).await;
    assert_eq!(given_back(&response), ["record-1"]);
    assert_eq!(metrics.get(Metric::ChecksGivenUp), 2);
}

#[tokio::test]
async fn a_panic_over_a_runs_record_costs_no_answer() {
    let Source { kind, dead_letters, redelivery, retry, clock, .. } = source();
    let source = Source { kind, dead_letters, redelivery, run_records: Panicking(ACCOUNT), retry, clock };
    let metrics = Metrics::default();
    let scans = records::read(event(&["{".to_owned(), scan(ACCOUNT)]), AsOfLimit::From(now())).unwrap();
    let hopeless = async |_: ScanAccount| Err::<(), _>(Failure::GiveUp(Reason::new("hopeless", "never")));
    let done = records::work(scans, 1, plenty_of_time(), TIME_FOR_ONE, hopeless).await;
    let response = records::respond(done, &source, plenty_of_time(), &metrics).await;
    assert_eq!((given_back(&response).len(), source.dead_letters.take().len()), (0, 2));
    assert_eq!(metrics.get(Metric::CountsNotRecorded), 1);
}

#[tokio::test]
async fn only_the_counts_that_were_not_kept_are_missing() {
    let Source { kind, dead_letters, redelivery, retry, clock, .. } = source();
    let source = Source { kind, dead_letters, redelivery, run_records: Panicking("nobody"), retry, clock };
    for (accounts, missing) in [(vec![ACCOUNT, NOT_KEPT, "000000000000"], Some(1)), (vec![ACCOUNT], None)] {
        let metrics = Metrics::default();
        let bodies: Vec<_> = accounts.into_iter().map(scan).collect();
        let scans = records::read::<ScanAccount>(event(&bodies), AsOfLimit::From(now())).unwrap();
        records::respond(scans, &source, plenty_of_time(), &metrics).await;
        assert_eq!(metrics.counts().get(Metric::CountsNotRecorded.name()).copied(), missing);
    }
}

#[tokio::test]
async fn a_record_that_is_done_at_its_first_delivery_was_not_redelivered() {
    for (receives, redelivered, repeated) in [(1, 0, 0), (2, 1, 1), (3, 1, 2)] {
        let source = source();
        let mut event = serde_json::to_value(event(&[scan(ACCOUNT)])).unwrap();
        event["Records"][0]["attributes"]["ApproximateReceiveCount"] = json!(receives.to_string());
        respond(serde_json::from_value(event).unwrap(), &source, async |_| Ok(())).await;
        let count = |name| source.run_records.get(&run(), name);
        assert_eq!(
            (count("ChecksRedelivered"), count("ChecksRepeated")),
            (redelivered, repeated),
            "{receives}"
        );
    }
}
