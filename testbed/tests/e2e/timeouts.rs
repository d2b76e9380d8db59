//! The template's durations arrive where they hold one another, in either timing.

use std::time::Duration;

use keynudge_testbed::aws::{GET_FUNCTION_CONFIGURATION, SQS};
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::functions::Function;
use keynudge_testbed::population::{Population, Setting};
use serde_json::{Value, json};

use crate::support::deploy_with;

/// Otherwise an owner might be mailed twice: the next to work on the finding would not know of the mail yet.
#[tokio::test]
async fn no_mail_outlasts_its_invocation_its_lease_or_its_findings_visibility_timeout() {
    let population = Population::mixed(&Setting::default(), 1, 7);
    for timing in ["production", "testbed"] {
        let deployment = deploy_with(&population, &Parameters::unpaced().with("Timing", timing)).await;
        let notifier = configuration(&deployment, Function::Notifier).await;
        let variables = &notifier["Environment"]["Variables"];
        let chain = [
            seconds(&variables["SES_ATTEMPT_TIMEOUT_SECONDS"]),
            seconds(&notifier["Timeout"]),
            seconds(&variables["LEASE_SECONDS"]),
            visibility_timeout(&deployment, &deployment.outputs.findings_queue_url).await,
        ];
        assert!(chain.is_sorted_by(|shorter, longer| shorter < longer), "{timing}: {chain:?}");
        for (function, queue_url) in Function::ALL.into_iter().zip(deployment.outputs.queue_urls()) {
            let timeout = seconds(&configuration(&deployment, function).await["Timeout"]);
            let visibility_timeout = visibility_timeout(&deployment, queue_url).await;
            assert!(visibility_timeout > timeout, "{timing}: {function:?}");
        }
    }
}

async fn configuration(deployment: &Deployment, function: Function) -> Value {
    let path = format!("/2015-03-31/functions/{}/configuration", deployment.outputs.function_name(function));
    deployment.aws.rest(GET_FUNCTION_CONFIGURATION, &path, None).await.unwrap()
}

async fn visibility_timeout(deployment: &Deployment, queue_url: &str) -> Duration {
    let wanted = json!({ "QueueUrl": queue_url, "AttributeNames": ["VisibilityTimeout"] });
    let answer = deployment.aws.json(SQS, "GetQueueAttributes", &wanted).await.unwrap();
    seconds(&answer["Attributes"]["VisibilityTimeout"])
}

/// The emulator has some numbers as strings.
fn seconds(number: &Value) -> Duration {
    Duration::from_secs(number.to_string().trim_matches('"').parse().unwrap())
}
