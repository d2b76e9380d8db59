//! IAM throttles whoever calls too fast, and throttling is nothing that anybody but the caller notices.

use std::num::NonZeroU32;
use std::time::Duration;

use keynudge_testbed::deployment::Parameters;
use keynudge_testbed::emulator::{self, Iam};
use keynudge_testbed::population::{Population, Setting};
use keynudge_testbed::simulated_iam::{Options, SimulatedIam, TokenBucket};

use crate::support::{
    assert_exactly_the_expected_mails, assert_no_dead_letters, deploy, fresh_account, run, start,
};

/// Far less than what the workers allow themselves, so that some calls are throttled.
const BUCKET: TokenBucket =
    TokenBucket { rate: NonZeroU32::new(50).unwrap(), burst: NonZeroU32::new(2).unwrap() };
/// Holds back all calls but those that are made at once.
const LATENCY: Duration = Duration::from_millis(50);

/// Nobody is left out, mailed twice or given up.
#[tokio::test]
async fn a_throttled_run_mails_the_same_owners() {
    let iam = SimulatedIam::start(&Options { latency: LATENCY, limit: Some(BUCKET), ..Options::default() })
        .unwrap();
    let options = emulator::Options { iam: Iam::At(iam.endpoint()), ..emulator::Options::default() };
    let emulator = start(&options).await;
    let population = Population::typical(&Setting::default(), 30, 5, 9);
    let aws = fresh_account(&emulator);
    iam.set_users(aws.account(), population.users());
    let deployment = deploy(aws, &Parameters::unpaced().with("Timing", "testbed")).await;

    run(&deployment).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    let calls = iam.calls(deployment.aws.account());
    assert!(calls["ListAccessKeys"].throttled > 0, "{calls:?}");
    assert_eq!(deployment.metrics().await.unwrap().get("UsersChecked"), population.totals().checked as u64);
    assert_no_dead_letters(&deployment).await;
}
