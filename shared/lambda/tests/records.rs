//! A batch of records as the functions see it: from SQS's event to the answer that SQS acts upon.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_lambda_events::sqs::SqsEvent;
use std::time::Duration;

use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::messages::{AsOfLimit, ScanAccount};
use keynudge_core::ports::Outbox;
use keynudge_lambda::deadline::Deadline;
use keynudge_lambda::metrics::{Metric, Metrics};
use keynudge_lambda::records::{self, Failure, Reason};
use keynudge_testing::{
    ACCOUNT, CLOCK, MemoryDeadLetters, MemoryQueue, event, failure, given_back, no_time, now, plenty_of_time,
    run,
};
use serde_json::json;

fn scan(account: &str) -> String {
    serde_json::to_string(&ScanAccount { run: run(), account_id: account.parse().unwrap() }).unwrap()
}

/// What SQS is told, and what is put aside, when `task` is what the function does with each account.
async fn respond(
    event: SqsEvent,
    dead_letters: &MemoryDeadLetters,
    task: impl AsyncFn(&str) -> Result<(), Failure>,
) -> (Vec<String>, Metrics) {
    let metrics = Metrics::default();
    let scans = records::read(event, AsOfLimit::From(now())).unwrap();
    let done = records::work(scans, 2, plenty_of_time(), async |scan: ScanAccount| {
        task(scan.account_id.as_str()).await
    });
    let response = records::respond(done.await, dead_letters, plenty_of_time(), &metrics, CLOCK).await;
    (given_back(&response).into_iter().map(str::to_owned).collect(), metrics)
}

#[tokio::test]
async fn each_record_ends_in_its_own_way() {
    let letters = MemoryDeadLetters::default();
    let bodies = ["000000000000", "000000000001", "000000000002", "000000000003"].map(scan);
    let (given_back, metrics) = respond(event(&bodies), &letters, async |account| match account {
        "000000000001" => Err(Failure::GiveBack(Reason::new("busy", "later"))),
        "000000000002" => Err(Failure::GiveUp(Reason::new("hopeless", "never"))),
        "000000000003" => panic!("a value that must not be shown: {account}"),
        _ => Ok(()),
    })
    .await;
    assert_eq!(given_back, ["record-1", "record-3"]);
    let [letter] = letters.take().try_into().unwrap();
    assert_eq!((letter.body.as_str(), letter.group.as_deref()), (bodies[2].as_str(), Some(ACCOUNT)));
    assert_eq!((letter.reason, letter.detail.as_str()), ("hopeless", "never"));
    assert_eq!((letter.attempts, letter.failed_at), (3, now()));
    assert_eq!((metrics.get(Metric::RecordsGivenBack), metrics.get(Metric::DeadLetters)), (2, 1));
}

#[tokio::test]
async fn a_letter_that_cannot_be_put_aside_keeps_its_record_on_the_queue() {
    let letters = MemoryDeadLetters::broken();
    let (given_back, metrics) = respond(event(&["{".to_owned()]), &letters, async |_| Ok(())).await;
    assert_eq!(given_back, ["record-0"]);
    assert_eq!(metrics.get(Metric::DeadLetters), 0);
}

#[tokio::test]
async fn a_failed_calls_class_decides_between_back_and_up() {
    for (class, up) in [
        (FailureClass::Never, true),
        (FailureClass::Retry, false),
        (FailureClass::Operator, false),
        (FailureClass::Unknown, false),
    ] {
        let reason = Reason::new("call_failed", "test:Call failed: Scripted");
        let expected = if up { Failure::GiveUp(reason) } else { Failure::GiveBack(reason) };
        assert_eq!(Failure::from(failure(class)), expected);
    }
}

#[tokio::test]
async fn no_more_than_the_allowed_number_of_records_is_worked_on_at_a_time() {
    let letters = MemoryDeadLetters::default();
    let bodies: Vec<_> = (0..9).map(|i| scan(&format!("{i:012}"))).collect();
    let (busy, most) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    respond(event(&bodies), &letters, async |_| {
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
    let done = records::work(scans, 2, no_time(), async |_: ScanAccount| {
        started.set(true);
        Ok(())
    })
    .await;
    let response =
        records::respond(done, &MemoryDeadLetters::default(), plenty_of_time(), &Metrics::default(), CLOCK)
            .await;
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
    let letters = MemoryDeadLetters::default();
    let event = serde_json::from_value(json!({"Records": [{"messageId": "a"}]})).unwrap();
    let (given_back, _) = respond(event, &letters, async |_| Ok(())).await;
    assert_eq!(given_back, Vec::<String>::new());
    let [letter] = letters.take().try_into().unwrap();
    assert_eq!((letter.reason, letter.attempts), ("invalid_message", 1));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_hangs_is_given_back_and_the_others_stay_done() {
    let bodies = ["000000000000", "000000000001"].map(scan);
    let scans = records::read(event(&bodies), AsOfLimit::None).unwrap();
    let deadline = Deadline::after(Duration::from_secs(30));
    let done = records::work(scans, 1, deadline, async |scan: ScanAccount| {
        if scan.account_id.as_str().ends_with('1') {
            std::future::pending::<()>().await;
        }
        Ok(())
    })
    .await;
    let letters = MemoryDeadLetters::default();
    let response = records::respond(done, &letters, deadline, &Metrics::default(), CLOCK).await;
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
