//! The main job, on every kind of user there is.

use keynudge_testbed::deployment::Parameters;
use keynudge_testbed::population::{Population, Setting};

use crate::support::{assert_exactly_the_expected_mails, assert_no_dead_letters, deploy_with, run, shared};

/// More than one page of `ListUsers`, all kinds of keys, tags, contacts and exemptions, users outside the path prefix
/// and users who never signed in: whoever is expected a mail gets one, with exactly the expected keys in it, and nobody
/// else does. The functions' own counts say the same.
#[tokio::test]
async fn the_expected_owners_get_one_mail_each_about_exactly_their_stale_keys() {
    let setting = Setting { path_prefix: "/people/", ..Setting::default() };
    let population = Population::mixed(&setting, 1_200, 1);
    let parameters = Parameters::unpaced().with("PathPrefix", setting.path_prefix);
    let deployment = deploy_with(&population, &parameters).await;

    run(&deployment).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_no_dead_letters(&deployment).await;
    let calls = shared().await.iam.calls(deployment.aws.account());
    assert_eq!(calls["ListUsers"].answered, 2, "two pages, read once");

    let totals = population.totals();
    let metrics = deployment.metrics().await.unwrap();
    for (name, expected) in [
        ("UsersListed", totals.users),
        ("UsersSkippedNeverSignedIn", totals.never_signed_in),
        ("UsersSkippedOutsidePath", totals.outside_path),
        ("UsersSkippedTooYoung", totals.too_young),
        ("UsersSkippedNoActiveKey", 0),
        ("UsersSkippedNoOldKey", 0),
        ("UsersSkippedNotTagged", 0),
        ("UsersEnqueued", totals.checked),
        ("UsersChecked", totals.checked),
        ("StaleOwners", totals.stale_owners),
        ("Exempt", totals.exempt),
        ("WithoutContact", totals.without_contact),
        ("MailsSent", totals.mails),
        ("MailsFailed", 0),
        ("MailsNotDue", 0),
        ("RecordsGivenBack", 0),
    ] {
        assert_eq!(metrics.get(name), expected as u64, "{name}");
    }
}
