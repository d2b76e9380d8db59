//! IAM throttles whoever calls too fast, and throttling is nothing that anybody but the caller notices.

use std::num::NonZeroU32;
use std::time::Duration;

use keynudge_testbed::deployment::Parameters;
use keynudge_testbed::emulator::{self, Iam};
use keynudge_testbed::outbox::Queues;
use keynudge_testbed::population::{Population, Setting};
use keynudge_testbed::simulated_iam::{Options, SimulatedIam, TokenBucket};

use crate::support::{assert_exactly_the_expected_mails, deploy, fresh_account, run, start};

/// Less than the four calls with which a worker begins, so that some are throttled; but full again in milliseconds, so
/// that of a call's three attempts none but the first is.
const BUCKET: TokenBucket =
    TokenBucket { rate: NonZeroU32::new(500).unwrap(), burst: NonZeroU32::new(2).unwrap() };
/// Holds back all calls but those that are made at once.
const LATENCY: Duration = Duration::from_millis(50);

/// Nobody is left out, mailed twice or tried again later: the client's own retries are enough.
#[tokio::test]
async fn a_throttled_run_mails_the_same_owners() {
    let iam = SimulatedIam::start(&Options { latency: LATENCY, limit: Some(BUCKET) }).unwrap();
    let options = emulator::Options { iam: Iam::At(iam.endpoint()), ..emulator::Options::default() };
    let emulator = start(&options).await;
    let population = Population::typical(&Setting::default(), 30, 5, 9);
    let aws = fresh_account(&emulator);
    iam.set_users(aws.account(), population.users());
    let deployment = deploy(aws, &Parameters::default()).await;

    run(&deployment).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    let calls = iam.calls(deployment.aws.account());
    assert!(calls["ListAccessKeys"].throttled > 0, "{calls:?}");
    assert_eq!(calls["ListAccessKeys"].answered, population.totals().checked as u64);
    assert_eq!(deployment.metrics().await.unwrap().get("RecordsGivenBack"), 0);
    let queues = Queues::of(&deployment.aws).await.unwrap();
    for url in deployment.outputs.dead_letter_queue_urls() {
        assert!(queues.messages(url).is_empty(), "{:?}", queues.messages(url));
    }
}
