//! Users whose keys nobody may list.

use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn keys_of_denied_users_cannot_be_listed_until_that_is_lifted() {
    let testbed = Testbed::with(&Options::default(), vec![user("ada", "/"), user("grace", "/")]);
    let account = testbed.client.account();
    let keys_of = async |name| testbed.raw(&[("Action", "ListAccessKeys"), ("UserName", name)]).await;
    testbed.iam.deny_keys_of(account, BTreeSet::from(["ada".to_owned()]));

    let (status, answer) = keys_of("ada").await;
    assert_eq!(status, 403, "{answer}");
    assert!(answer.contains("<Code>AccessDenied</Code>"), "{answer}");
    assert!(answer.contains("iam:ListAccessKeys on resource: user ada with an explicit deny"), "{answer}");
    assert_eq!(keys_of("grace").await.0, 200);
    assert_eq!(testbed.raw(&[("Action", "ListUserTags"), ("UserName", "ada")]).await.0, 200);

    testbed.iam.deny_keys_of(account, BTreeSet::new());
    assert_eq!(keys_of("ada").await.0, 200);
}
