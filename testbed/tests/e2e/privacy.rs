//! Logs, dead letters' reasons and the ledger go to more people than mails do: no mail address may be in them, and an
//! access key id in the ledger alone.

use chrono::Utc;
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::functions::Function;
use keynudge_testbed::outbox::Queues;
use keynudge_testbed::population::{Population, Setting};
use serde_json::{Value, json};

use crate::support::{
    Ledger, assert_log_is_private, bounce, deploy_with, drain, run, run_members, secrets_of, send, timestamp,
};

const KEY_ID: &str = "AKIAABCDEFGHIJKLMNOP";
const ADDRESS: &str = "ada@corp.example";

/// A run over every kind of user, and then messages that are wrong in ways that tempt one to print them. What AWS says
/// when it refuses something is met in `permissions`.
#[tokio::test]
async fn no_log_dead_letter_or_ledger_says_a_mail_address_and_no_log_or_dead_letter_an_access_key_id() {
    let setting = Setting { everybody: true, ..Setting::default() };
    let population = Population::mixed(&setting, 150, 5);
    let parameters = Parameters::unpaced().with("Audience", "all");
    let deployment = deploy_with(&population, &parameters).await;
    run(&deployment).await;
    for url in deployment.outputs.queue_urls() {
        for message in tempting(&deployment) {
            send(&deployment, url, &message.to_string()).await;
        }
        send(&deployment, url, &format!("{ADDRESS} {KEY_ID} key{KEY_ID}")).await;
    }
    let mailed = population.owners.iter().find(|owner| !owner.keys_to_mail().is_empty()).unwrap();
    let bounce = bounce(&deployment, mailed, &Ledger::of(&deployment).await);
    send(&deployment, &deployment.outputs.feedback_queue_url, &bounce.to_string()).await;
    drain(&deployment).await;

    for function in Function::ALL {
        let log = deployment.log(function).await.unwrap();
        let records = log.iter().filter(|event| event.message.starts_with('{')).count();
        assert!(records > 0, "the {} has logged nothing", function.binary());
    }
    let secrets = [secrets_of(&population), vec![KEY_ID.to_owned()]].concat();
    assert_log_is_private(&deployment, &secrets).await;
    assert_dead_letters_are_private(&deployment, &secrets).await;
    // IAM's user ids and key ids have no such letter, nor has anything else in it.
    let Ledger(items) = Ledger::of(&deployment).await;
    assert!(items.len() > population.totals().mails, "{items:?}");
    for item in items {
        assert!(!item.to_string().contains('@'), "{item}");
    }
}

/// Messages for any queue, with an address and a key id wherever they have text.
fn tempting(deployment: &Deployment) -> [Value; 2] {
    let mut message = run_members(deployment, &timestamp(Utc::now()));
    message["recipient"] = json!({ "to": format!("{ADDRESS}, bob@corp.example") });
    message["keys"] = json!([{ "id": KEY_ID, "created_at": KEY_ID }]);
    message["user"] = json!({ "name": ADDRESS, "id": ADDRESS });
    message["account_id"] = json!(ADDRESS);
    let event = json!({
        "eventType": "Bounce",
        "bounce": { "bounceType": ADDRESS, "bouncedRecipients": [{ "emailAddress": ADDRESS }] },
        "mail": {
            "messageId": KEY_ID,
            "destination": [ADDRESS],
            "tags": { "account_id": [ADDRESS], "user_id": [KEY_ID], "claim_id": [ADDRESS], "ledger": [ADDRESS] },
        },
    });
    [message, event]
}

/// The body of a dead letter is what was sent; what Keynudge says of it is in the attributes.
async fn assert_dead_letters_are_private(deployment: &Deployment, secrets: &[String]) {
    let queues = Queues::of(&deployment.aws).await.unwrap();
    for (queue_url, dead_letter_queue_url) in
        deployment.outputs.queue_urls().into_iter().zip(deployment.outputs.dead_letter_queue_urls())
    {
        let letters = queues.messages(dead_letter_queue_url);
        assert_eq!(letters.len(), 3, "{queue_url}");
        for letter in letters {
            let said = format!("{:?}", letter.message_attributes);
            assert!(secrets.iter().all(|secret| !said.contains(&**secret)), "{said}");
        }
    }
}
