//! Records that make no sense, among records that do: the good ones are done, the bad ones are put aside with the
//! reason, and nothing is tried again and again.

use chrono::{SecondsFormat, Utc};
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::outbox::Queues;
use keynudge_testbed::population::{Expectation, Keys, Owner, Population, Profile, Setting};
use serde_json::{Value, json};

use crate::support::{assert_exactly_the_expected_mails, deploy_with, drain, run_members, send_batch};

/// One owner to be mailed.
fn one_owner() -> Population {
    Population::of_profiles(&Setting::default(), &[Profile::with(Keys::Stale)], 4)
}

/// Bodies that are no message of any queue.
fn bad_bodies(good: &Value) -> Vec<String> {
    let with = |member: &str, value: Value| {
        let mut message = good.clone();
        message[member] = value;
        message.to_string()
    };
    vec![
        "not JSON at all".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        with("v", json!(2)),
        with("mode", json!("loud")),
        with("as_of", json!("yesterday")),
        with("account_id", json!("12")),
    ]
}

/// Sends a good message between bad ones, all at once so that they reach a function together, and waits until none is
/// left.
async fn send_among_bad_ones(deployment: &Deployment, queue_url: &str, good: &Value) -> Vec<String> {
    let bad = bad_bodies(good);
    let mut bodies = bad.clone();
    bodies.insert(bad.len() / 2, good.to_string());
    send_batch(deployment, queue_url, &bodies).await;
    drain(deployment).await;
    bad
}

/// The dead letters are exactly the bad messages, word for word, each with a reason, and in no other queue.
async fn assert_dead_letters(deployment: &Deployment, queue_url: &str, bad: &[String]) {
    let queues = Queues::of(&deployment.aws).await.unwrap();
    let mut bodies: Vec<&str> = Vec::new();
    for letter in queues.messages(queue_url) {
        assert!(letter.attribute("reason").is_some_and(|reason| !reason.is_empty()), "{letter:?}");
        bodies.push(&letter.body);
    }
    let mut bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    bodies.sort_unstable();
    bad.sort_unstable();
    assert_eq!(bodies, bad);
    let elsewhere = deployment.outputs.dead_letter_queue_urls().into_iter();
    for url in elsewhere.filter(|url| *url != queue_url) {
        assert!(queues.messages(url).is_empty(), "{url}: {:?}", queues.messages(url));
    }
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn merged(mut message: Value, members: &Value) -> Value {
    let all = message.as_object_mut().unwrap();
    all.extend(members.as_object().unwrap().clone());
    message
}

/// `user` as `CheckUser` and `StaleKeys` have it.
fn user_member(deployment: &Deployment, owner: &Owner) -> Value {
    let user = &owner.user;
    let account = deployment.aws.account();
    json!({
        "name": user.name,
        "id": user.id,
        "arn": format!("arn:aws:iam::{account}:user{}{}", user.path, user.name),
        "created_at": user.created_at,
        "password_last_used": user.password_last_used,
    })
}

#[tokio::test]
async fn a_good_account_among_bad_ones_is_scanned() {
    let population = one_owner();
    let deployment = deploy_with(&population, &Parameters::default()).await;
    let outputs = &deployment.outputs;
    let good = run_members(&deployment, &now());

    let bad = send_among_bad_ones(&deployment, &outputs.accounts_queue_url, &good).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_dead_letters(&deployment, &outputs.accounts_dead_letter_queue_url, &bad).await;
}

#[tokio::test]
async fn a_good_user_among_bad_ones_is_checked() {
    let population = one_owner();
    let deployment = deploy_with(&population, &Parameters::default()).await;
    let outputs = &deployment.outputs;
    let user = user_member(&deployment, &population.owners[0]);
    let good = merged(run_members(&deployment, &now()), &json!({ "user": user }));

    let bad = send_among_bad_ones(&deployment, &outputs.users_queue_url, &good).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_dead_letters(&deployment, &outputs.users_dead_letter_queue_url, &bad).await;
}

#[tokio::test]
async fn a_good_finding_among_bad_ones_is_mailed() {
    let population = one_owner();
    let deployment = deploy_with(&population, &Parameters::default()).await;
    let outputs = &deployment.outputs;
    let owner = &population.owners[0];
    let Expectation::Mailed { to, .. } = &owner.expectation else { panic!("{owner:?}") };
    let key = &owner.user.keys[0];
    let finding = json!({
        "user": user_member(&deployment, owner),
        "recipient": { "to": to, "found_by": "default_domain" },
        "keys": [{
            "id": key.id,
            "created_at": key.created_at,
            "age_days": (Utc::now() - key.created_at).num_days(),
        }],
        "stage": 1,
        "checked_at": now(),
    });
    let good = merged(run_members(&deployment, &now()), &finding);

    let bad = send_among_bad_ones(&deployment, &outputs.findings_queue_url, &good).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_dead_letters(&deployment, &outputs.findings_dead_letter_queue_url, &bad).await;
}
