//! Which role has sent a message, as SQS says it: the notifier believes the worker alone.

use chrono::Utc;
use keynudge_testbed::aws::SQS;
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::functions::Function;
use keynudge_testbed::population::{Keys, Population, Profile, Setting};
use serde_json::{Value, json};

use crate::support::{deploy_with, run_members, send, timestamp};

/// The next message, which is deleted: its body, and who sent it.
async fn take(deployment: &Deployment, queue_url: &str) -> (String, String) {
    let request = json!({ "QueueUrl": queue_url, "AttributeNames": ["All"], "WaitTimeSeconds": 20 });
    loop {
        let answer = deployment.aws.json(SQS, "ReceiveMessage", &request).await.unwrap();
        let Value::Object(message) = &answer["Messages"][0] else { continue };
        let delete = json!({ "QueueUrl": queue_url, "ReceiptHandle": message["ReceiptHandle"] });
        deployment.aws.json(SQS, "DeleteMessage", &delete).await.unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        return (text(&message["Body"]), text(&message["Attributes"]["SenderId"]));
    }
}

#[tokio::test]
async fn a_finding_of_the_worker_can_be_told_from_one_that_somebody_else_has_sent() {
    let population = Population::of_profiles(&Setting::default(), &[Profile::with(Keys::Stale)], 31);
    let deployment = deploy_with(&population, &Parameters::unpaced()).await;
    deployment.set_fed(Function::Notifier, false).await.unwrap();
    let outputs = &deployment.outputs;
    let scan = run_members(&deployment, &timestamp(Utc::now()));
    send(&deployment, &outputs.accounts_queue_url, &scan.to_string()).await;

    let (finding, sender) = take(&deployment, &outputs.findings_queue_url).await;
    assert!(finding.contains(&population.owners[0].user.id), "{finding}");
    let variables = deployment.variables(Function::Notifier).await.unwrap();
    let expected = &variables["FINDINGS_SENDER_ID"];
    assert!(expected.starts_with("AROA") && expected.len() == 21, "{expected}");
    assert_eq!(sender, format!("{expected}:{}", outputs.worker_function_name));
    assert_eq!(sender, deployment.sender_id(Function::Worker).await.unwrap());

    send(&deployment, &outputs.findings_queue_url, &finding).await;
    let (_, forger) = take(&deployment, &outputs.findings_queue_url).await;
    assert_eq!(forger, deployment.aws.account().as_str());
}
