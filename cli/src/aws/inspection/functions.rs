//! The functions, as Lambda knows them.

use aws_sdk_lambda::types::{
    Architecture, EventSourceMappingConfiguration, FunctionResponseType, LastUpdateStatus, ScalingConfig,
    State,
};

use super::ask;
use crate::aws::Aws;
use crate::doctor::answer::Answer;
use crate::doctor::functions::{Function, Inspected, Mapping};

impl Aws {
    /// The function of this name, and what feeds it.
    pub(crate) async fn inspect_function(&self, name: &str) -> Inspected {
        let (function, mappings) = futures::join!(self.function(name), self.mappings(name));
        Inspected { function, mappings }
    }

    async fn function(&self, name: &str) -> Answer<Function> {
        let call = self.lambda.get_function_configuration().function_name(name);
        let answer = ask("lambda:GetFunctionConfiguration", call.send()).await?;
        Ok(Function {
            state: answer.state().map_or("Active", State::as_str).to_owned(),
            state_reason: answer.state_reason.clone().filter(|reason| !reason.is_empty()),
            last_update: answer
                .last_update_status()
                .map_or("Successful", LastUpdateStatus::as_str)
                .to_owned(),
            last_update_reason: answer.last_update_status_reason.clone().filter(|reason| !reason.is_empty()),
            runtime: answer.runtime().map(|runtime| runtime.as_str().to_owned()).unwrap_or_default(),
            architecture: answer.architectures().first().map_or("x86_64", Architecture::as_str).to_owned(),
            timeout_seconds: answer.timeout.and_then(|seconds| seconds.try_into().ok()).unwrap_or_default(),
        })
    }

    /// A function has a few of them at most, and a page has a hundred.
    async fn mappings(&self, function: &str) -> Answer<Vec<Mapping>> {
        let call = self.lambda.list_event_source_mappings().function_name(function);
        let answer = ask("lambda:ListEventSourceMappings", call.send()).await?;
        Ok(answer.event_source_mappings().iter().map(mapping).collect())
    }

    /// The ARN of where a function's failed asynchronous invocations go.
    pub(crate) async fn on_failure(&self, function: &str) -> Answer<Option<String>> {
        // The template's is of this version, as one set without a version is.
        let call =
            self.lambda.get_function_event_invoke_config().function_name(function).qualifier("$LATEST");
        let answer = ask("lambda:GetFunctionEventInvokeConfig", call.send()).await?;
        let destination = answer.destination_config().and_then(|destinations| destinations.on_failure());
        Ok(destination.and_then(|on_failure| on_failure.destination()).map(str::to_owned))
    }
}

fn mapping(mapping: &EventSourceMappingConfiguration) -> Mapping {
    Mapping {
        id: mapping.uuid().unwrap_or_default().to_owned(),
        source: mapping.event_source_arn().unwrap_or_default().to_owned(),
        state: mapping.state().unwrap_or_default().to_owned(),
        reports_failures: mapping
            .function_response_types()
            .contains(&FunctionResponseType::ReportBatchItemFailures),
        max_concurrency: mapping.scaling_config().and_then(ScalingConfig::maximum_concurrency),
    }
}
