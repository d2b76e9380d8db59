//! The stack, as `CloudFormation` knows it.

use aws_sdk_sqs::error::ProvideErrorMetadata;

use super::ask;
use crate::aws::Aws;
use crate::doctor::answer::{Answer, Unanswered};
use crate::doctor::deployment::Deployment;

const ACTION: &str = "cloudformation:DescribeStacks";

impl Aws {
    /// What is deployed, if anything is.
    pub(crate) async fn deployment(&self) -> Answer<Deployment> {
        let call = self.cloudformation.describe_stacks().stack_name(self.stack());
        let mut is_missing = false;
        let answer = ask(ACTION, async {
            let answer = call.send().await;
            // CloudFormation has no error of its own for a stack that is not there.
            is_missing = answer.as_ref().is_err_and(|error| {
                error.code() == Some("ValidationError")
                    && error.message().is_some_and(|message| message.contains("does not exist"))
            });
            answer
        })
        .await;
        if is_missing {
            return Err(Unanswered::Missing);
        }
        let stack = answer?.stacks.and_then(|stacks| stacks.into_iter().next()).ok_or(Unanswered::Missing)?;
        let outputs = stack.outputs.unwrap_or_default().into_iter();
        let parameters = stack.parameters.unwrap_or_default().into_iter();
        Ok(Deployment {
            name: self.stack().to_owned(),
            region: self.region().to_owned(),
            status: stack.stack_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            status_reason: stack.stack_status_reason.filter(|reason| !reason.is_empty()),
            outputs: outputs.filter_map(|one| Some((one.output_key?, one.output_value?))).collect(),
            parameters: parameters
                .filter_map(|one| Some((one.parameter_key?, one.parameter_value?)))
                .collect(),
        })
    }
}
