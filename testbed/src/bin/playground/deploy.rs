//! Deploying Keynudge, as `sam build && sam deploy` do.

use anyhow::Result;
use keynudge_testbed::deployment::{Deployed, Parameters, deploy};
use keynudge_testbed::functions::Packages;

use crate::options::Deploy;
use crate::place::Running;
use crate::{say, tell};

/// The stack that `keynudge` looks for by default.
const STACK: &str = "keynudge";

/// Builds the functions and deploys the template, and says so.
pub(crate) async fn run(options: &Deploy, playground: &Running) -> Result<()> {
    let aws = playground.aws()?;
    say("building the functions, as they are deployed; the first time, that takes some minutes");
    let packages = Packages::build(options.profile).await?;
    say(&format!("deploying infra/template.yaml as the stack {STACK}"));
    let at_first = at_first(playground);
    let given = options.parameters.iter().cloned().collect();
    let deployed = deploy(&aws, STACK, &packages, &at_first, &given).await?;
    tell(&match deployed {
        Deployed::Created => {
            format!("The stack {STACK} is there, with\n{}", lines(&at_first.with_all(&given)))
        }
        Deployed::Updated => format!("The stack {STACK} is updated."),
        Deployed::Unchanged => format!("The stack {STACK} is as it would be deployed: nothing to update."),
    });
    Ok(())
}

fn lines(parameters: &Parameters) -> String {
    let lines: Vec<String> = parameters.iter().map(|(name, value)| format!("  {name}={value}")).collect();
    lines.join("\n")
}

/// The playground's parameters, where they are not the template's defaults.
fn at_first(playground: &Running) -> Parameters {
    Parameters::unpaced()
        // Every day, as the template has it.
        .without("ScheduleExpression")
        .with("ConfigurationSet", &playground.configuration_set)
        .with("SesEventsTopicArn", &playground.events_topic_arn)
        .with("SupportContact", "the platform team, platform@corp.example")
        // The defaults are low for the sake of others in a real account; here, nobody else asks IAM or SES.
        .with("WorkerConcurrency", "10")
        .with("NotifierConcurrency", "4")
        // So that a dead letter takes a minute and not a day.
        .with("GiveUpAfterMinutes", "1")
        .with("Timing", "testbed")
}
