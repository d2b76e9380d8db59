//! Fewer calls: users who cannot have an old active key, by their account's credential report, are not checked.

use std::time::Duration;

use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::population::{Expectation, Keys, Owner, Population, Setting};
use keynudge_testbed::simulated_iam::account::{ReportReady, ReportSettings, Settings};

use crate::support::{
    assert_exactly_the_expected_mails, assert_no_dead_letters, deploy, fresh_account, run, shared,
};

/// What the budget of IAM calls is, where a tenth of the users has a stale key and everybody one key.
const CALLS_PER_USER_MAX: f64 = 0.35;

/// Deployed with the filter, for these users.
async fn deploy_filtering(
    population: &Population,
    parameters: Parameters,
    report: ReportSettings,
) -> Deployment {
    let shared = shared().await;
    let aws = fresh_account(&shared.emulator);
    shared.iam.set_users(aws.account(), population.users());
    shared.iam.set_account(aws.account(), Settings { report, ..Settings::default() });
    deploy(aws, &parameters.with("UserFilter", "credential-report")).await
}

async fn counts<const N: usize>(deployment: &Deployment, names: [&str; N]) -> [u64; N] {
    let metrics = deployment.metrics().await.unwrap();
    names.map(|name| metrics.get(name))
}

/// On any day: a thirtieth of the users whose keys are new is checked, whoever that is today.
#[tokio::test]
async fn the_same_owners_are_mailed_for_a_third_of_a_call_per_user() {
    let population = Population::plain(3_000, 300, 31);
    let parameters = Parameters::unpaced().with("Audience", "all");
    let deployment = deploy_filtering(&population, parameters, ReportSettings::default()).await;

    run(&deployment).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_no_dead_letters(&deployment).await;
    let calls = shared().await.iam.calls(deployment.aws.account());
    let answered: u64 = calls.values().map(|calls| calls.answered).sum();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let per_user = answered as f64 / population.owners.len() as f64;
    assert!(per_user <= CALLS_PER_USER_MAX, "{per_user}: {calls:?}");
    let [checked, new, stale] =
        counts(&deployment, ["UsersChecked", "UsersSkippedNoOldKey", "StaleOwners"]).await;
    assert_eq!((stale, checked + new), (300, 3_000));
    assert_eq!(calls["ListAccessKeys"].answered, checked);
    assert_eq!(calls["GetCredentialReport"].answered, 1);
}

/// Whoever is skipped for having no active key has none, and the young are not looked up.
#[tokio::test]
async fn every_kind_of_user_gets_the_mail_it_would_get_without_the_filter() {
    let setting = Setting { path_prefix: "/people/", ..Setting::default() };
    let population = Population::mixed(&setting, 1_200, 32);
    let parameters = Parameters::unpaced().with("PathPrefix", setting.path_prefix);
    // Slow, and gone when it is fetched for the first time.
    let report = ReportSettings { ready: ReportReady::After(Duration::from_secs(1)), expire_unread: 1 };
    let deployment = deploy_filtering(&population, parameters, report).await;

    run(&deployment).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_no_dead_letters(&deployment).await;
    let names = [
        "UsersListed",
        "UsersEnqueued",
        "UsersChecked",
        "UsersSkippedTooYoung",
        "UsersSkippedNoActiveKey",
        "UsersSkippedNoOldKey",
        "UsersSkippedNeverSignedIn",
        "UsersSkippedOutsidePath",
        "CredentialReportsUnavailable",
    ];
    let [listed, enqueued, checked, young, inactive, new, never, outside, unavailable] =
        counts(&deployment, names).await;
    let totals = population.totals();
    let without_active_key = |owner: &&Owner| {
        owner.expectation == Expectation::NotStale
            && matches!(owner.profile.keys, Keys::None | Keys::OldInactive)
    };
    let expected = population.owners.iter().filter(without_active_key).count();
    assert_eq!((young, inactive, unavailable), (totals.too_young as u64, expected as u64, 0));
    assert_eq!(listed, enqueued + young + inactive + new + never + outside);
    assert_eq!((checked, totals.checked as u64), (enqueued, enqueued + inactive + new));
    assert!(new > 0, "{new}");
}

#[tokio::test]
async fn a_report_that_is_never_ready_has_everybody_checked_and_is_counted() {
    let population = Population::mixed(&Setting::default(), 120, 33);
    let report = ReportSettings { ready: ReportReady::Never, ..ReportSettings::default() };
    let deployment = deploy_filtering(&population, Parameters::unpaced(), report).await;

    run(&deployment).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_no_dead_letters(&deployment).await;
    let names = ["UsersChecked", "CredentialReportsUnavailable", "UsersSkippedNoOldKey", "RecordsGivenBack"];
    let checked = population.totals().checked as u64;
    assert_eq!(counts(&deployment, names).await, [checked, 1, 0, 0]);
}
