//! An organization's own words for the mail, and what owners get where those cannot be used.

use std::fs;
use std::path::PathBuf;

use keynudge_testbed::aws::PUBLISH_LAYER_VERSION;
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::functions::Function;
use keynudge_testbed::outbox::{Mail, mails};
use keynudge_testbed::population::{Keys, Population, Profile, Setting};
use serde_json::json;

use crate::support::{
    assert_exactly_the_expected_mails, assert_log_is_private, assert_no_dead_letters, deploy, deploy_with,
    fresh_account, run, secrets_of, shared,
};

/// A zip without files.
const EMPTY_ZIP: &str = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==";

fn three_owners() -> Population {
    Population::of_profiles(&Setting::default(), &[Profile::with(Keys::Stale); 3], 6)
}

/// A directory with this subject, where the functions can read it.
fn directory(name: &str, subject: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("reminder.subject.txt"), subject).unwrap();
    directory
}

async fn sent(deployment: &Deployment) -> Vec<Mail> {
    mails(&deployment.aws).await.unwrap()
}

async fn counted_unusable(deployment: &Deployment) -> u64 {
    deployment.metrics().await.unwrap().get("TemplatesUnusable")
}

#[tokio::test]
async fn owners_are_mailed_in_their_organization_s_words() {
    let population = three_owners();
    let deployment = deploy_with(&population, &Parameters::unpaced()).await;
    // In the place of a layer: the emulator gives functions that are programs none.
    let words = directory("own-words", "Schlüssel seit {{ keys[0].created_on | date(\"%d.%m.%Y\") }}");
    deployment.set_variable(Function::Notifier, "TEMPLATES_DIR", words.to_str().unwrap()).await.unwrap();
    run(&deployment).await;
    assert_exactly_the_expected_mails(&deployment, &population).await;
    for mail in sent(&deployment).await {
        assert!(mail.subject.starts_with("Schlüssel seit "), "{}", mail.subject);
    }
    assert_eq!(counted_unusable(&deployment).await, 0);
}

#[tokio::test]
async fn a_layer_without_templates_costs_no_mail_and_is_counted() {
    let population = three_owners();
    let shared = shared().await;
    let aws = fresh_account(&shared.emulator);
    shared.iam.set_users(aws.account(), population.users());
    let layer = json!({ "Content": { "ZipFile": EMPTY_ZIP } });
    let path = "/2018-10-31/layers/keynudge-templates/versions";
    let layer = aws.rest(PUBLISH_LAYER_VERSION, path, Some(&layer)).await.unwrap();
    let version = format!("keynudge-templates:{}", layer["Version"]);
    let deployment = deploy(aws, &Parameters::unpaced().with("TemplatesLayer", version)).await;
    run(&deployment).await;
    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_no_dead_letters(&deployment).await;
    assert_eq!(counted_unusable(&deployment).await, 3);
    assert_logged(&deployment, "/opt/keynudge: the directory cannot be read").await;
}

#[tokio::test]
async fn an_owner_whom_the_templates_cannot_write_to_is_mailed_all_the_same() {
    let population = three_owners();
    let deployment = deploy_with(&population, &Parameters::unpaced()).await;
    // Sound, but for all users there are here.
    let words = directory("for-jane-alone", "\n{{ {\"jane.doe\": \"Jane\"}[user_name] }}");
    deployment.set_variable(Function::Notifier, "TEMPLATES_DIR", words.to_str().unwrap()).await.unwrap();
    run(&deployment).await;
    assert_exactly_the_expected_mails(&deployment, &population).await;
    assert_no_dead_letters(&deployment).await;
    assert_eq!(counted_unusable(&deployment).await, 3);
    assert_logged(&deployment, "reminder.subject.txt:2: undefined value").await;
    assert_log_is_private(&deployment, &secrets_of(&population)).await;
}

/// An error says so.
async fn assert_logged(deployment: &Deployment, words: &str) {
    let log = deployment.log(Function::Notifier).await.unwrap();
    let errors: Vec<_> = log.iter().filter(|line| line.message.contains("ERROR")).collect();
    assert!(errors.iter().any(|line| line.message.contains(words)), "{errors:?}");
}
