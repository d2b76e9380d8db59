//! Logs go to more people than mails do: no mail address and no access key id may be in them.

use chrono::{SecondsFormat, Utc};
use keynudge_testbed::deployment::Parameters;
use keynudge_testbed::functions::Function;
use keynudge_testbed::population::{Population, Setting};
use serde_json::json;

use crate::support::{assert_log_is_private, deploy_with, drain, run, run_members, secrets_of, send};

const KEY_ID: &str = "AKIAABCDEFGHIJKLMNOP";

/// A run over every kind of user, and then messages that are wrong in ways that tempt one to print them. What AWS says
/// when it refuses something is met in `permissions`.
#[tokio::test]
async fn no_log_holds_a_mail_address_or_an_access_key_id() {
    let setting = Setting { everybody: true, ..Setting::default() };
    let population = Population::mixed(&setting, 150, 5);
    let parameters = Parameters::default().with("Audience", "all");
    let deployment = deploy_with(&population, &parameters).await;
    run(&deployment).await;
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut tempting = run_members(&deployment, &now);
    tempting["recipient"] = json!({ "to": "ada@corp.example, bob@corp.example" });
    tempting["keys"] = json!([{ "id": KEY_ID, "created_at": KEY_ID }]);
    tempting["user"] = json!({ "name": "ada@corp.example", "id": "ada@corp.example" });
    tempting["account_id"] = json!("ada@corp.example");
    for url in deployment.outputs.queue_urls() {
        send(&deployment, url, &tempting.to_string()).await;
        send(&deployment, url, &format!("ada@corp.example {KEY_ID} key{KEY_ID}")).await;
    }
    drain(&deployment).await;

    for function in Function::ALL {
        let log = deployment.log(function).await.unwrap();
        let records = log.iter().filter(|event| event.message.starts_with('{')).count();
        assert!(records > 0, "the {} has logged nothing", function.binary());
    }
    let secrets = [secrets_of(&population), vec![KEY_ID.to_owned()]].concat();
    assert_log_is_private(&deployment, &secrets).await;
}
