//! Whether the functions can run, and are fed.

use super::answer::{Answer, Unanswered};
use super::deployment::{Deployment, Part, lacks, name_in};
use super::line::{Line, Section};

/// What to do about a function that was deleted: a deployment does not see that.
const GONE: &str = "delete the stack and deploy it anew, but save the ledger first, or all owners are told again: \
                    infra/RUNBOOK.md#restoring-the-ledger";

const RUNTIME: &str = "provided.al2023";

/// A function, as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Function {
    /// In Lambda's words, `Active` and so on.
    pub(crate) state: String,
    pub(crate) state_reason: Option<String>,
    /// `Successful`, `InProgress` or `Failed`.
    pub(crate) last_update: String,
    pub(crate) last_update_reason: Option<String>,
    pub(crate) runtime: String,
    pub(crate) architecture: String,
    pub(crate) timeout_seconds: u32,
}

/// What feeds a function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) id: String,
    /// The ARN of the queue.
    pub(crate) source: String,
    /// In Lambda's words, `Enabled` and so on.
    pub(crate) state: String,
    /// Whether a function may fail some of a batch.
    pub(crate) reports_failures: bool,
    pub(crate) max_concurrency: Option<i32>,
}

/// All that is known of a part's function.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) function: Answer<Function>,
    pub(crate) mappings: Answer<Vec<Mapping>>,
}

/// What there is to say of the functions. The producer has a destination for what it fails, in the end: `on_failure`.
pub(super) fn section(
    deployment: &Deployment,
    parts: &[(Part, Option<Inspected>)],
    on_failure: Option<&Answer<Option<String>>>,
) -> Section {
    let mut lines = Vec::new();
    for (part, inspected) in parts {
        match inspected {
            None => lines.push(lacks(part.label(), part.function_output())),
            Some(Inspected { function: answer, mappings }) => {
                lines.push(function(*part, deployment, answer));
                // A function that is gone has taken its mapping along.
                if *answer != Err(Unanswered::Missing) {
                    lines.push(mapping(*part, deployment, mappings));
                }
            }
        }
    }
    lines.extend(on_failure.map(|answer| destination(deployment, answer)));
    Section { title: "Functions", lines }
}

fn function(part: Part, deployment: &Deployment, answer: &Answer<Function>) -> Line {
    let check = part.label();
    let function = match answer {
        Ok(function) => function,
        Err(Unanswered::Missing) => {
            return Line::failed(check, "its function is gone", GONE);
        }
        Err(unanswered) => return unanswered.line(check),
    };
    let because = |reason: &Option<String>| reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let Function { state, last_update, runtime, architecture, timeout_seconds, .. } = function;
    let said = format!("{state}, {runtime}, {architecture}, {timeout_seconds} s");
    if state == "Failed" {
        let message = format!("{said}{}", because(&function.state_reason));
        return Line::failed(check, message, "deploy again");
    }
    if last_update == "Failed" {
        let message = format!("its last update failed{}", because(&function.last_update_reason));
        return Line::failed(check, message, "deploy again");
    }
    if state == "Pending" || last_update == "InProgress" {
        return Line::warning(check, format!("{said}: it is being changed"), "ask again in a minute");
    }
    if runtime != RUNTIME {
        return Line::failed(
            check,
            said,
            format!("it needs the runtime {RUNTIME}: deploy this version's template"),
        );
    }
    match deployment.parameter("Architecture") {
        Some(expected) if expected != architecture => {
            let advice = format!("the stack says {expected}: build for it, and deploy again");
            Line::failed(check, said, advice)
        }
        _ => Line::ok(check, said),
    }
}

fn mapping(part: Part, deployment: &Deployment, answer: &Answer<Vec<Mapping>>) -> Line {
    let check = format!("{}'s queue", part.label());
    let Some(url) = deployment.output(part.queue_output()) else {
        return lacks(check, part.queue_output());
    };
    let queue = name_in(url);
    let mappings = match answer {
        Ok(mappings) => mappings,
        Err(unanswered) => return unanswered.line(check),
    };
    let Some(mapping) = mappings.iter().find(|mapping| name_in(&mapping.source) == queue) else {
        let advice = format!(
            "map {queue} to it again, with ReportBatchItemFailures: aws lambda create-event-source-mapping --region {}",
            deployment.region
        );
        return Line::failed(check, format!("nothing feeds it from {queue}"), advice);
    };
    let change = format!(
        "aws lambda update-event-source-mapping --region {} --uuid {}",
        deployment.region, mapping.id
    );
    match mapping.state.as_str() {
        "Enabled" => {}
        "Creating" | "Enabling" | "Updating" => {
            let message = format!("{queue} is {}", mapping.state.to_lowercase());
            return Line::warning(check, message, "ask again in a minute");
        }
        state => {
            let message = format!("{queue} is {}: its messages wait", state.to_lowercase());
            return Line::failed(check, message, format!("{change} --enabled"));
        }
    }
    if !mapping.reports_failures {
        let message = format!("a failed message of {queue} fails its whole batch, again and again");
        return Line::failed(
            check,
            message,
            format!("{change} --function-response-types ReportBatchItemFailures"),
        );
    }
    let at_once = mapping.max_concurrency;
    match part.concurrency(deployment) {
        Some(expected) if at_once != Some(expected) => {
            let is = at_once.map_or("any number".to_owned(), |at_once| at_once.to_string());
            let message = format!("{queue}, {is} batches at once, where the stack says {expected}");
            let advice = format!("{change} --scaling-config MaximumConcurrency={expected}");
            Line::warning(check, message, advice)
        }
        Some(expected) => Line::ok(check, format!("{queue}, {expected} batches at once")),
        None => Line::ok(check, queue),
    }
}

fn destination(deployment: &Deployment, answer: &Answer<Option<String>>) -> Line {
    const CHECK: &str = "producer's failures";
    let Some(url) = deployment.output("ProducerFailuresQueueUrl") else {
        return lacks(CHECK, "ProducerFailuresQueueUrl");
    };
    let queue = name_in(url);
    let other = match answer {
        Ok(Some(arn)) if name_in(arn) == queue => return Line::ok(CHECK, format!("go to {queue}")),
        Ok(Some(arn)) => format!("go to {arn}, and not to {queue}"),
        Ok(None) | Err(Unanswered::Missing) => {
            format!("a run that it cannot start goes nowhere, and not to {queue}")
        }
        Err(unanswered) => return unanswered.line(CHECK),
    };
    let advice =
        format!("make {queue} the producer's destination on failure (of asynchronous invocations) again");
    Line::failed(CHECK, other, advice)
}

#[cfg(test)]
mod tests {
    use super::super::deployment::tests::deployment;
    use super::super::line::Status;
    use super::*;

    fn active() -> Function {
        Function {
            state: "Active".to_owned(),
            last_update: "Successful".to_owned(),
            runtime: RUNTIME.to_owned(),
            architecture: "arm64".to_owned(),
            timeout_seconds: 300,
            ..Function::default()
        }
    }

    fn mapped() -> Mapping {
        Mapping {
            id: "id-1".to_owned(),
            source: "arn:aws:sqs:eu-west-1:123456789012:AccountsQueueUrl".to_owned(),
            state: "Enabled".to_owned(),
            reports_failures: true,
            max_concurrency: Some(2),
        }
    }

    fn judged(function: Function) -> Line {
        super::function(Part::Producer, &deployment(&[]), &Ok(function))
    }

    fn fed(mapping: Mapping) -> Line {
        super::mapping(Part::Producer, &deployment(&[]), &Ok(vec![mapping]))
    }

    #[test]
    fn a_function_has_to_be_able_to_run() {
        assert_eq!(judged(active()).status, Status::Ok);
        // Nobody has asked for it for weeks. It wakes up.
        assert_eq!(judged(Function { state: "Inactive".to_owned(), ..active() }).status, Status::Ok);
        assert_eq!(judged(Function { state: "Failed".to_owned(), ..active() }).status, Status::Failed);
        assert_eq!(judged(Function { state: "Pending".to_owned(), ..active() }).status, Status::Warning);
        assert_eq!(judged(Function { last_update: "Failed".to_owned(), ..active() }).status, Status::Failed);
        assert_eq!(
            judged(Function { runtime: "provided.al2".to_owned(), ..active() }).status,
            Status::Failed
        );
        assert_eq!(judged(Function { architecture: "x86_64".to_owned(), ..active() }).status, Status::Failed);
    }

    #[test]
    fn a_function_has_to_be_fed_from_its_queue_record_by_record() {
        assert_eq!(fed(mapped()).status, Status::Ok);
        let line = fed(Mapping { state: "Disabled".to_owned(), ..mapped() });
        assert_eq!(line.status, Status::Failed);
        assert!(line.advice.unwrap().ends_with("--uuid id-1 --enabled"));
        assert_eq!(fed(Mapping { reports_failures: false, ..mapped() }).status, Status::Failed);
        assert_eq!(
            fed(Mapping { source: "arn:aws:sqs:x:y:other".to_owned(), ..mapped() }).status,
            Status::Failed
        );
        assert_eq!(fed(Mapping { max_concurrency: None, ..mapped() }).status, Status::Warning);
        assert_eq!(fed(Mapping { state: "Enabling".to_owned(), ..mapped() }).status, Status::Warning);
    }

    #[test]
    fn what_the_producer_fails_has_to_go_to_its_queue() {
        let to = |answer| destination(&deployment(&[]), &answer).status;
        assert_eq!(to(Ok(Some("arn:aws:sqs:x:y:ProducerFailuresQueueUrl".to_owned()))), Status::Ok);
        assert_eq!(to(Ok(Some("arn:aws:sqs:x:y:other".to_owned()))), Status::Failed);
        assert_eq!(to(Ok(None)), Status::Failed);
        assert_eq!(to(Err(Unanswered::Missing)), Status::Failed);
    }

    #[test]
    fn of_a_function_that_is_gone_nothing_else_is_said() {
        let gone = Inspected { function: Err(Unanswered::Missing), mappings: Ok(Vec::new()) };
        let Section { lines, .. } = section(&deployment(&[]), &[(Part::Producer, Some(gone))], None);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].status, Status::Failed);
    }
}
