//! What others write ends in mails, logs and reports: names, paths, tags, an account's alias, messages, events, the table, and
//! the files of a layer. A hostile value of each goes through the whole pipeline here, and through the operators' tool.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use chrono::{TimeDelta, Utc};
use keynudge_testbed::aws::{DYNAMODB, REGION};
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::functions::{Function, Profile as Build, build_operators_tool};
use keynudge_testbed::outbox::{Mail, mails};
use keynudge_testbed::population::{DOMAIN, Keys, Owner, Population, Profile, Setting};
use keynudge_testbed::simulated_iam::account::Settings;
use keynudge_testbed::simulated_iam::directory::{Tag, User};
use serde_json::{Value, json};

use crate::support::{assert_log_is_private, deploy_with, drain, finding, run, send, shared, timestamp};

/// A tag may hold it: IAM allows letters, digits, blanks and `_.:/=+-@`.
const PHISHING: &str = "Key disabled - sign in at https://aws-sso.corp-login.example/renew before 17:00";
/// No tag may, but nobody has looked at it before us.
const SCRIPT: &str = "<script>alert(1)</script>";
/// Shows what follows from right to left.
const OVERRIDE: char = '\u{202e}';
const ESCAPE: char = '\u{1b}';
const STRANGER: &str = "everybody@evil.example";

/// One user for each way in. All have a stale key.
struct Users(Population);

impl Users {
    fn new() -> Self {
        let profiles = [Profile::with(Keys::Stale); 8];
        let mut users = Self(Population::of_profiles(&Setting::default(), &profiles, 77));
        users.set("www.corp-login.example", "/", PHISHING, "keynudge:contact", "anna@");
        users.set("=1+1", "/\"><script>alert(1)</script>/", SCRIPT, "keynudge:contact", "bob@");
        users.set("carol", "/", &format!("{OVERRIDE}kcilc"), "keynudge:contact", "carol@");
        users.set("dave", "/", "@SUM(A1)", "keynudge:exempt-until", "9999-12-31");
        users.set("erin", "/", "-2+3", "keynudge:contact", STRANGER);
        users.set("frank", "/", "laptop", SCRIPT, SCRIPT);
        users.set("grace", "/", "laptop", "team", "a");
        users.set("heidi", "/", "laptop", "keynudge:contact", "heidi@");
        let carol = users.user("carol");
        let contact = carol.tags.iter_mut().find(|tag| tag.key == "keynudge:contact").unwrap();
        contact.value = format!("carol@{DOMAIN}>, <{STRANGER}");
        users
    }

    /// Names the next user that has no name of this test's, and tags it. An address that ends in `@` is at the own domain.
    fn set(&mut self, name: &str, path: &str, description: &str, key: &str, value: &str) {
        let is_new = |owner: &&mut Owner| !owner.user.tags.iter().any(|tag| tag.key.starts_with("AKIA"));
        let user = &mut self.0.owners.iter_mut().find(is_new).unwrap().user;
        let value = if value.ends_with('@') { format!("{value}{DOMAIN}") } else { value.to_owned() };
        let described = Tag { key: user.keys[0].id.clone(), value: description.to_owned() };
        (user.name, user.path) = (name.to_owned(), path.to_owned());
        user.tags = vec![described, Tag { key: key.to_owned(), value }];
    }

    fn user(&mut self, name: &str) -> &mut User {
        &mut self.0.owners.iter_mut().find(|owner| owner.user.name == name).unwrap().user
    }

    fn owner(&self, name: &str) -> &Owner {
        self.0.owners.iter().find(|owner| owner.user.name == name).unwrap()
    }
}

#[tokio::test]
async fn what_others_write_does_no_harm_in_mails_logs_reports_or_terminals() {
    let mut users = Users::new();
    // Her key is fresh. A forged finding says otherwise.
    users.user("heidi").keys[0].created_at = Utc::now() - TimeDelta::days(1);
    let deployment = deploy_with(&users.0, &Parameters::unpaced()).await;
    let alias = Some(format!("urgent-{PHISHING}"));
    shared().await.iam.set_account(deployment.aws.account(), Settings { alias, ..Settings::default() });
    let layer = layer_with_hostile_names();
    deployment.set_variable(Function::Notifier, "TEMPLATES_DIR", layer.to_str().unwrap()).await.unwrap();
    forge_an_entry(&deployment, users.owner("grace")).await;

    send(&deployment, &deployment.outputs.findings_queue_url, &forged_finding(&deployment, &users)).await;
    send(&deployment, &deployment.outputs.feedback_queue_url, &forged_event(&deployment)).await;
    run(&deployment).await;
    drain(&deployment).await;

    let mails = mails(&deployment.aws).await.unwrap();
    assert_mails(&mails);
    let metrics = deployment.metrics().await.unwrap();
    assert_eq!(metrics.get("ExemptionsInvalid"), 1, "until the year 9999");
    assert_eq!(
        metrics.get("LedgerImplausible"),
        2,
        "worker and notifier each see a lease until the year 9999"
    );
    assert_logs(&deployment).await;
    assert_reports(&deployment).await;
}

/// Every owner is mailed, and nobody else. No text of a stranger is a link in a mail or changes it.
fn assert_mails(mails: &[Mail]) {
    let to: BTreeSet<&str> = mails.iter().flat_map(|mail| mail.to.iter().map(String::as_str)).collect();
    let names = ["anna", "bob", "carol", "dave", "erin", "frank", "grace"];
    let expected: Vec<String> = names.iter().map(|name| format!("{name}@{DOMAIN}")).collect();
    assert_eq!(to, expected.iter().map(String::as_str).collect());
    assert_eq!(mails.len(), expected.len());
    for mail in mails {
        let html = mail.html.as_deref().unwrap();
        assert!(!html.contains("<script"), "{html}");
        for part in [&mail.subject, &mail.text, html] {
            assert!(!part.contains("aws-sso.corp-login.example"), "{part}");
            assert!(!part.contains([OVERRIDE, ESCAPE]) && !part.contains("evil.example"), "{part}");
        }
    }
    let dave = mails.iter().find(|mail| mail.to == [format!("dave@{DOMAIN}")]).unwrap();
    assert!(dave.text.contains("NOT EXEMPT"), "{}", dave.text);
}

async fn assert_logs(deployment: &Deployment) {
    let said = [
        "script>",
        "evil.example",
        "corp-login.example",
        "sum(a1)",
        "=1+1",
        "anna@",
        "mallory",
        &OVERRIDE.to_string(),
        &ESCAPE.to_string(),
    ];
    assert_log_is_private(deployment, &said.map(str::to_owned)).await;
}

/// In every format of the operators' tool.
async fn assert_reports(deployment: &Deployment) {
    let tool = build_operators_tool(Build::Test).await.unwrap();
    let endpoint = shared().await.iam.endpoint();
    let scan = |format: &str| {
        let output = Command::new(&tool)
            .args(["scan", "--default-domain", DOMAIN, "--allowed-domains", DOMAIN, "--format", format])
            .env("AWS_ACCESS_KEY_ID", deployment.aws.account().as_str())
            .env("AWS_SECRET_ACCESS_KEY", "any")
            .env("AWS_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", &endpoint)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("www.corp-login.example"), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(!said.contains([OVERRIDE, ESCAPE]), "{format}: {said}");
        said
    };
    let (csv, html) = (scan("csv"), scan("html"));
    let is_formula = |cell: &str| cell.starts_with(['=', '+', '-', '@']);
    let cells = csv.split([',', ';', '\n', '"']).filter(|cell| is_formula(cell));
    assert_eq!(cells.collect::<Vec<_>>(), Vec::<&str>::new(), "{csv}");
    assert!(!html.contains("<script>alert"), "{html}");
    scan("table");
    let report: Value = serde_json::from_str(&scan("json")).unwrap();
    assert_eq!(report["owners"].as_array().map(Vec::len), Some(7), "{report}");
}

/// Its files are beside the templates, and none.
fn layer_with_hostile_names() -> PathBuf {
    let layer = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{}", std::process::id()));
    fs::create_dir_all(&layer).unwrap();
    for name in [format!("{ESCAPE}[2J.txt"), format!("{OVERRIDE}txt.tcejbus")] {
        fs::write(layer.join(name), SCRIPT).unwrap();
    }
    layer
}

/// Claimed for good, so that the owner would never be mailed.
async fn forge_an_entry(deployment: &Deployment, owner: &Owner) {
    let account = deployment.aws.account();
    let entry = json!({
        "pk": {"S": format!("owner#{account}#{}", owner.user.id)},
        "sk": {"S": "ledger"},
        "revision": {"N": "3"},
        "claim": {"M": {
            "id": {"S": "by-hand"},
            "lease_until": {"S": "9999-12-31T00:00:00Z"},
            "unknown_before": {"N": "0"},
            "notice": {"M": {
                "run_id": {"S": "by-hand"},
                "as_of_date": {"S": "2026-01-01"},
                "stage": {"N": "1"},
                "key_ids": {"L": [{"S": owner.user.keys[0].id}]},
            }},
        }},
        "history": {"L": []},
        "takeovers": {"N": "0"},
        "mallory": {"S": SCRIPT},
    });
    let put = json!({ "TableName": deployment.outputs.ledger_table_name, "Item": entry });
    deployment.aws.json(DYNAMODB, "PutItem", &put).await.unwrap();
}

/// As the worker would write it, but for who sends it: a key that is not old, to people whom it does not concern.
fn forged_finding(deployment: &Deployment, users: &Users) -> String {
    let mut finding = finding(deployment, users.owner("heidi"), Utc::now());
    finding["recipient"] = json!({ "to": format!("everybody@{DOMAIN}"), "found_by": "tag" });
    finding["account_name"] = json!("URGENT renew: https://aws-sso.corp-login.example");
    finding["keys"][0]["description"] = json!(PHISHING);
    finding.to_string()
}

fn forged_event(deployment: &Deployment) -> String {
    json!({
        "eventType": "Bounce",
        "bounce": {
            "bounceType": "Permanent",
            "bounceSubType": SCRIPT,
            "timestamp": timestamp(Utc::now()),
            "bouncedRecipients": [{ "emailAddress": STRANGER, "status": format!("{ESCAPE}[2J") }],
        },
        "mail": {
            "messageId": format!("{ESCAPE}[2J{SCRIPT}"),
            "commonHeaders": { "subject": format!("{OVERRIDE}{SCRIPT}") },
            "tags": {
                "account_id": [deployment.aws.account().as_str()],
                "user_id": ["AIDAMALLORYMALLORYMAL"],
                "claim_id": [SCRIPT],
                "ledger": ["live"],
            },
        },
    })
    .to_string()
}
