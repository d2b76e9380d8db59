//! IAM throttles whoever calls too fast, and throttling is nothing that anybody but the caller notices.

use std::num::NonZeroU32;

use keynudge_testbed::deployment::Parameters;
use keynudge_testbed::population::{Population, Setting};
use keynudge_testbed::simulated_iam::TokenBucket;
use keynudge_testbed::simulated_iam::account::Settings;

use crate::support::{
    assert_exactly_the_expected_mails, assert_no_dead_letters, deploy, fresh_account, run, shared,
};

/// Far less than what the workers allow themselves. How many calls it throttles depends on how fast they
/// come.
const BUCKET: TokenBucket =
    TokenBucket { rate: NonZeroU32::new(50).unwrap(), burst: NonZeroU32::new(2).unwrap() };
/// Throttled in any case.
const THROTTLED: u64 = 8;

/// Nobody is left out, mailed twice or given up.
#[tokio::test]
async fn a_throttled_run_mails_the_same_owners() {
    let shared = shared().await;
    let population = Population::typical(&Setting::default(), 30, 5, 9);
    let aws = fresh_account(&shared.emulator);
    shared.iam.set_users(aws.account(), population.users());
    let settings = Settings { limit: Some(BUCKET), throttled_at_first: THROTTLED, ..Settings::default() };
    shared.iam.set_account(aws.account(), settings);
    let deployment = deploy(aws, &Parameters::unpaced().with("Timing", "testbed")).await;

    run(&deployment).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    let calls = shared.iam.calls(deployment.aws.account());
    assert!(calls["ListAccessKeys"].throttled >= THROTTLED, "{calls:?}");
    assert_eq!(deployment.metrics().await.unwrap().get("UsersChecked"), population.totals().checked as u64);
    assert_no_dead_letters(&deployment).await;
}
