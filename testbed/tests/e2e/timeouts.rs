//! The template's times fit together, whatever comes to be changed in it.

use std::time::Duration;

use keynudge_testbed::aws::{GET_FUNCTION_CONFIGURATION, SQS};
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::functions::Function;
use keynudge_testbed::population::{Population, Setting};
use serde_json::json;

use crate::support::deploy_with;

/// One attempt to send a mail, as the notifier's client has it (`shared/aws`).
const SES_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Lambda advises a visibility timeout of six times the function's: no record may be handed out again while the
/// invocation that has it, or a retry of Lambda's own, may still be at work on it.
#[tokio::test]
async fn no_record_is_handed_out_again_while_it_may_still_be_worked_on() {
    let population = Population::mixed(&Setting::default(), 1, 7);
    let deployment = deploy_with(&population, &Parameters::default()).await;
    for (function, queue_url) in Function::ALL.into_iter().zip(deployment.outputs.queue_urls()) {
        let timeout = function_timeout(&deployment, function).await;
        let visibility_timeout = visibility_timeout(&deployment, queue_url).await;
        assert!(visibility_timeout >= 6 * timeout, "{function:?}: {visibility_timeout:?}, {timeout:?}");
        assert!(timeout > SES_ATTEMPT_TIMEOUT, "{function:?}: {timeout:?}");
    }
}

async fn function_timeout(deployment: &Deployment, function: Function) -> Duration {
    let path = format!("/2015-03-31/functions/{}/configuration", deployment.outputs.function_name(function));
    let configuration = deployment.aws.rest(GET_FUNCTION_CONFIGURATION, &path, None).await.unwrap();
    Duration::from_secs(configuration["Timeout"].to_string().trim_matches('"').parse().unwrap())
}

async fn visibility_timeout(deployment: &Deployment, queue_url: &str) -> Duration {
    let wanted = json!({ "QueueUrl": queue_url, "AttributeNames": ["VisibilityTimeout"] });
    let answer = deployment.aws.json(SQS, "GetQueueAttributes", &wanted).await.unwrap();
    let seconds = answer["Attributes"]["VisibilityTimeout"].as_str().unwrap();
    Duration::from_secs(seconds.parse().unwrap())
}
