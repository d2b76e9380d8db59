//! Everything that can go wrong, at a size that takes no longer than the other tests. `cargo faults` is for more.

use keynudge_testbed::scenarios::{Scenario, Size};

use crate::support::packages;

/// All of a scenario's promises are kept. Where a scenario stood still is shown with the test that fails.
#[expect(clippy::print_stderr, reason = "it is kept for the test that fails")]
async fn assert_promises_are_kept(scenario: Scenario, size: &Size) {
    let outcome = scenario.run(size, packages().await, &|step| eprintln!("{step}")).await;
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.broken.is_empty(), "{}\n{outcome:?}", outcome.broken.join("\n"));
    assert!(outcome.expected > 0, "{outcome:?}");
}

#[tokio::test]
async fn failing_calls_and_killed_functions_lose_no_mail() {
    let size = Size { users: 60, stale: 30, messages: 0, seed: 1 };
    assert_promises_are_kept(Scenario::Chaos, &size).await;
}

#[tokio::test]
async fn messages_delivered_three_times_lead_to_one_mail() {
    let size = Size { users: 60, stale: 30, messages: 0, seed: 2 };
    assert_promises_are_kept(Scenario::Triple, &size).await;
}

#[tokio::test]
async fn a_throttling_iam_loses_no_user() {
    let size = Size { users: 60, stale: 20, messages: 0, seed: 3 };
    assert_promises_are_kept(Scenario::IamBucket, &size).await;
}

#[tokio::test]
async fn mails_wait_for_sess_rate_and_quota() {
    let size = Size { users: 60, stale: 20, messages: 0, seed: 5 };
    assert_promises_are_kept(Scenario::Sandbox, &size).await;
}

#[tokio::test]
async fn mails_given_up_for_an_operators_mistake_are_replayed_once() {
    let size = Size { users: 40, stale: 20, messages: 0, seed: 6 };
    assert_promises_are_kept(Scenario::Replay, &size).await;
}

#[tokio::test]
async fn hostile_messages_block_no_good_one_and_end_with_their_reason() {
    let size = Size { users: 20, stale: 10, messages: 300, seed: 4 };
    assert_promises_are_kept(Scenario::Hostile, &size).await;
}
