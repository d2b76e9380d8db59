//! Records that make no sense, among records that do: the good ones are done, the bad ones are put aside with the
//! reason, and nothing is tried again and again.

use chrono::Utc;
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::outbox::{Message, Queues};
use keynudge_testbed::population::{Keys, Population, Profile, Setting};
use serde_json::{Value, json};

use crate::support::{
    Ledger, assert_exactly_the_expected_mails, bounce, deploy_with, drain, finding, merged, run_as_of,
    run_members, send_batch, timestamp, user_member,
};

/// One owner to be mailed.
fn one_owner() -> Population {
    Population::of_profiles(&Setting::default(), &[Profile::with(Keys::Stale)], 4)
}

/// Bodies that are no message of Keynudge.
pub(crate) fn bad_bodies(good: &Value) -> Vec<String> {
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
async fn send_among(bad: &[String], deployment: &Deployment, queue_url: &str, good: &Value) {
    let mut bodies = bad.to_vec();
    bodies.insert(bad.len() / 2, good.to_string());
    send_batch(deployment, queue_url, &bodies).await;
    drain(deployment).await;
}

/// The dead letters are exactly the bad messages, word for word, each with a reason, and in no other queue.
async fn assert_dead_letters(deployment: &Deployment, queue_url: &str, bad: &[String]) {
    let queues = Queues::of(&deployment.aws).await.unwrap();
    assert_letters_are(bad, queues.messages(queue_url));
    let elsewhere = deployment.outputs.dead_letter_queue_urls().into_iter();
    for url in elsewhere.filter(|url| *url != queue_url) {
        assert!(queues.messages(url).is_empty(), "{url}: {:?}", queues.messages(url));
    }
}

/// These letters are exactly these messages, word for word, each with a reason.
pub(crate) fn assert_letters_are(bad: &[String], letters: &[Message]) {
    let mut bodies: Vec<&str> = Vec::new();
    for letter in letters {
        assert!(letter.attribute("reason").is_some_and(|reason| !reason.is_empty()), "{letter:?}");
        bodies.push(&letter.body);
    }
    let mut bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    bodies.sort_unstable();
    bad.sort_unstable();
    assert_eq!(bodies, bad);
}

#[tokio::test]
async fn a_good_account_among_bad_ones_is_scanned() {
    let population = one_owner();
    let deployment = deploy_with(&population, &Parameters::unpaced()).await;
    let outputs = &deployment.outputs;
    let good = run_members(&deployment, &timestamp(Utc::now()));

    let bad = bad_bodies(&good);
    send_among(&bad, &deployment, &outputs.accounts_queue_url, &good).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_dead_letters(&deployment, &outputs.accounts_dead_letter_queue_url, &bad).await;
}

#[tokio::test]
async fn a_good_user_among_bad_ones_is_checked() {
    let population = one_owner();
    let deployment = deploy_with(&population, &Parameters::unpaced()).await;
    let outputs = &deployment.outputs;
    let user = user_member(&deployment, &population.owners[0]);
    let good = merged(run_members(&deployment, &timestamp(Utc::now())), &json!({ "user": user }));

    let bad = bad_bodies(&good);
    send_among(&bad, &deployment, &outputs.users_queue_url, &good).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_dead_letters(&deployment, &outputs.users_dead_letter_queue_url, &bad).await;
}

#[tokio::test]
async fn a_good_finding_among_bad_ones_is_mailed() {
    let population = one_owner();
    let deployment = deploy_with(&population, &Parameters::unpaced()).await;
    let outputs = &deployment.outputs;
    let good = finding(&deployment, &population.owners[0], Utc::now());

    let bad = bad_bodies(&good);
    send_among(&bad, &deployment, &outputs.findings_queue_url, &good).await;

    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_dead_letters(&deployment, &outputs.findings_dead_letter_queue_url, &bad).await;
}

#[tokio::test]
async fn a_good_event_of_ses_among_bad_ones_is_heard() {
    let population = one_owner();
    let deployment = deploy_with(&population, &Parameters::unpaced()).await;
    let outputs = &deployment.outputs;
    run_as_of(&deployment, Utc::now()).await;
    let owner = &population.owners[0];
    let good = bounce(&deployment, owner, &Ledger::of(&deployment).await);
    let tagged = |tag: &str, values: Value| {
        let mut event = good.clone();
        event["mail"]["tags"][tag] = values;
        event.to_string()
    };
    let bad = vec![
        "not JSON at all".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        json!({ "Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns.example" }).to_string(),
        json!({ "eventType": "Bounce", "bounce": "hard" }).to_string(),
        tagged("account_id", json!(["12"])),
        tagged("user_id", json!([])),
        tagged("ledger", json!(["another"])),
    ];

    send_among(&bad, &deployment, &outputs.feedback_queue_url, &good).await;

    let ledger = Ledger::of(&deployment).await;
    assert_eq!(ledger.entry(&deployment, owner)["not_reached"]["reason"], "bounce");
    assert_dead_letters(&deployment, &outputs.feedback_dead_letter_queue_url, &bad).await;
}
