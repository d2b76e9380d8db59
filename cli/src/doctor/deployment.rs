//! What is deployed: the stack, its parameters, and what it made.

use std::collections::BTreeMap;

use super::answer::{Answer, Unanswered};
use super::line::{Line, Section, Status};

/// The name that a stack has if nobody gives it another.
const USUAL_NAME: &str = "keynudge";

/// A stack of Keynudge.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deployment {
    pub(crate) name: String,
    pub(crate) region: String,
    /// As `CloudFormation` says it.
    pub(crate) status: String,
    pub(crate) status_reason: Option<String>,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Deployment {
    /// What the stack made, by the output's name; none if the stack is of another version.
    pub(super) fn output(&self, name: &str) -> Option<&str> {
        self.outputs.get(name).map(String::as_str)
    }

    /// What the stack was told; none if it was told nothing.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether mails reach owners: neither a pilot nor dry runs alone.
    pub(super) fn mails_owners(&self) -> bool {
        self.parameter("Mode") != Some("dry_run") && self.parameter("RedirectAllTo").is_none()
    }

    /// Whether it has what there is to look at.
    pub(super) fn has_outputs(&self) -> bool {
        outputs_expected().any(|name| self.outputs.contains_key(name))
    }

    /// What has to be said to other commands for them to be about this stack.
    pub(super) fn stack_argument(&self) -> String {
        if self.name == USUAL_NAME { String::new() } else { format!(" --stack {}", self.name) }
    }

    pub(super) fn is_for_testbeds(&self) -> bool {
        self.parameter("Timing") == Some("testbed")
    }
}

/// A function, with the queue that feeds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Producer,
    Worker,
    Notifier,
    Feedback,
}

impl Part {
    pub(crate) const ALL: [Self; 4] = [Self::Producer, Self::Worker, Self::Notifier, Self::Feedback];

    /// What its function is called.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Worker => "worker",
            Self::Notifier => "notifier",
            Self::Feedback => "feedback",
        }
    }

    /// What its queue is called, as in `keynudge dlq`.
    pub(super) fn queue_label(self) -> &'static str {
        match self {
            Self::Producer => "accounts",
            Self::Worker => "users",
            Self::Notifier => "findings",
            Self::Feedback => "feedback",
        }
    }

    pub(super) fn function_output(self) -> &'static str {
        match self {
            Self::Producer => "ProducerFunctionName",
            Self::Worker => "WorkerFunctionName",
            Self::Notifier => "NotifierFunctionName",
            Self::Feedback => "FeedbackFunctionName",
        }
    }

    pub(super) fn queue_output(self) -> &'static str {
        match self {
            Self::Producer => "AccountsQueueUrl",
            Self::Worker => "UsersQueueUrl",
            Self::Notifier => "FindingsQueueUrl",
            Self::Feedback => "FeedbackQueueUrl",
        }
    }

    pub(super) fn dead_letter_queue_output(self) -> &'static str {
        match self {
            Self::Producer => "AccountsDeadLetterQueueUrl",
            Self::Worker => "UsersDeadLetterQueueUrl",
            Self::Notifier => "FindingsDeadLetterQueueUrl",
            Self::Feedback => "FeedbackDeadLetterQueueUrl",
        }
    }

    /// After how many receives SQS takes a message for one that crashes whoever receives it.
    pub(super) fn max_receive_count(self) -> u32 {
        match self {
            Self::Producer => 100,
            Self::Worker => 250,
            Self::Notifier | Self::Feedback => 500,
        }
    }

    /// How many batches it may have at once.
    pub(super) fn concurrency(self, deployment: &Deployment) -> Option<i32> {
        let parameter = match self {
            Self::Producer => "ProducerConcurrency",
            Self::Worker => "WorkerConcurrency",
            Self::Notifier => "NotifierConcurrency",
            Self::Feedback => return Some(2),
        };
        deployment.parameter(parameter)?.parse().ok()
    }
}

/// The outputs that the template has, beside those of the parts.
const FURTHER_OUTPUTS: [&str; 6] = [
    "ProducerRoleArn",
    "WorkerRoleArn",
    "ScheduleName",
    "ScheduleDeadLetterQueueUrl",
    "ProducerFailuresQueueUrl",
    "LedgerTableName",
];

fn outputs_expected() -> impl Iterator<Item = &'static str> {
    let of_parts = Part::ALL
        .into_iter()
        .flat_map(|part| [part.function_output(), part.queue_output(), part.dead_letter_queue_output()]);
    of_parts.chain(FURTHER_OUTPUTS)
}

/// What to do about a stack that lacks an output.
pub(super) fn lacks(check: impl Into<String>, output: &str) -> Line {
    Line::unknown(check, format!("cannot tell: the stack lacks the output {output}"))
}

/// The last part of a queue's URL or of an ARN.
pub(super) fn name_in(url_or_arn: &str) -> &str {
    url_or_arn.rsplit(['/', ':']).next().unwrap_or(url_or_arn)
}

/// What there is to say of the stack itself.
pub(super) fn section(name: &str, region: &str, deployment: &Answer<Deployment>) -> Section {
    let lines = match deployment {
        Ok(deployment) => {
            let status = status(deployment);
            // One that was not made has no outputs, and needs to hear no more of it.
            let is_made = status.status != Status::Failed;
            [Some(status), is_made.then(|| outputs(deployment))].into_iter().flatten().collect()
        }
        Err(Unanswered::Missing) => vec![missing(name, region)],
        Err(unanswered) => vec![unanswered.line("status").advising(
            "without the stack, only what --sender, --ses-region and --configuration-set name is looked at",
        )],
    };
    Section { title: "Stack", lines }
}

/// Whoever names a stack expects it to be there.
fn missing(name: &str, region: &str) -> Line {
    let message = format!("there is no stack {name:?} in {region}");
    let elsewhere =
        "if it is elsewhere, name it with --stack, its region with --region, its account with --profile";
    if name == USUAL_NAME {
        Line::unknown("status", format!("{message}: not deployed yet")).advising(elsewhere)
    } else {
        Line::failed("status", message, elsewhere)
    }
}

fn status(deployment: &Deployment) -> Line {
    let Deployment { name, region, status, .. } = deployment;
    let said = match &deployment.status_reason {
        Some(reason) => format!("{name}, {region}: {status} ({reason})"),
        None => format!("{name}, {region}: {status}"),
    };
    let events = format!("aws cloudformation describe-stack-events --region {region} --stack-name {name}");
    match status.as_str() {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Line::ok("status", said),
        "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_ROLLBACK_COMPLETE" => Line::warning(
            "status",
            said,
            format!("the last update failed, and what was there before goes on; why it failed: {events}"),
        ),
        "REVIEW_IN_PROGRESS" => {
            Line::failed("status", said, "only a change set was made: execute it, or deploy again")
        }
        "UPDATE_ROLLBACK_FAILED" => Line::failed(
            "status",
            said,
            format!(
                "see why with {events}, then: aws cloudformation continue-update-rollback --region {region} --stack-name {name}"
            ),
        ),
        "DELETE_FAILED" => {
            Line::failed("status", said, format!("see why with {events}, and delete it again"))
        }
        "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" => Line::failed(
            "status",
            said,
            format!("creating it failed: see why with {events}, delete the stack, and deploy again"),
        ),
        status if status.starts_with("DELETE_") => {
            Line::failed("status", said, "it is being deleted: deploy it again once it is gone")
        }
        status if status.ends_with("_IN_PROGRESS") => {
            Line::warning("status", said, "wait until that is done, and ask again")
        }
        _ => Line::failed("status", said, format!("see why with {events}, and deploy again")),
    }
}

fn outputs(deployment: &Deployment) -> Line {
    let all = outputs_expected().count();
    let missing: Vec<_> = outputs_expected().filter(|name| deployment.output(name).is_none()).collect();
    if missing.is_empty() {
        return Line::ok("outputs", format!("all {all}"));
    }
    if missing.len() == all {
        return Line::failed(
            "outputs",
            "it has none of Keynudge's",
            "this is a stack of something else: name Keynudge's with --stack",
        );
    }
    Line::failed(
        "outputs",
        format!("it lacks {}", missing.join(", ")),
        "it is of another version: deploy this version's template, or take that version's keynudge",
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../../infra/template.yaml");

    /// A stack as the template makes it.
    pub(in crate::doctor) fn deployment(parameters: &[(&str, &str)]) -> Deployment {
        let value = |name: &str| match name.strip_suffix("Url") {
            Some(_) => format!("https://sqs.eu-west-1.amazonaws.com/123456789012/{name}"),
            None => name.to_owned(),
        };
        let parameters =
            [("ProducerConcurrency", "2"), ("Architecture", "arm64"), ("ScheduleState", "ENABLED")]
                .iter()
                .chain(parameters);
        Deployment {
            name: "keynudge".to_owned(),
            region: "eu-west-1".to_owned(),
            status: "CREATE_COMPLETE".to_owned(),
            status_reason: None,
            outputs: outputs_expected().map(|name| (name.to_owned(), value(name))).collect(),
            parameters: parameters.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn the_outputs_are_the_templates_own_and_all_that_doctor_needs() {
        let (_, of_template) = TEMPLATE.split_once("\nOutputs:\n").unwrap();
        let names = of_template.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
        // For other stacks, and for people.
        let of_others = ["FeedbackQueueArn", "OperatorsActPolicyArn", "OperatorsLookPolicyArn"];
        let mut of_template: Vec<&str> = names.filter(|name| !of_others.contains(name)).collect();
        let mut expected: Vec<&str> = outputs_expected().collect();
        of_template.sort_unstable();
        expected.sort_unstable();
        assert_eq!(expected, of_template);
    }

    #[test]
    fn the_receive_counts_are_the_templates_own() {
        for part in Part::ALL {
            let dead_letter_queue = part.dead_letter_queue_output().strip_suffix("Url").unwrap();
            let policy = format!(
                "deadLetterTargetArn: !GetAtt {dead_letter_queue}.Arn\n        maxReceiveCount: {}\n",
                part.max_receive_count()
            );
            assert!(TEMPLATE.contains(&policy), "{policy}");
        }
    }

    #[test]
    fn a_stack_is_judged_by_how_its_last_change_ended() {
        for (status, expected) in [
            ("CREATE_COMPLETE", Status::Ok),
            ("UPDATE_COMPLETE", Status::Ok),
            ("UPDATE_IN_PROGRESS", Status::Warning),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Status::Warning),
            ("UPDATE_ROLLBACK_COMPLETE", Status::Warning),
            ("ROLLBACK_COMPLETE", Status::Failed),
            ("REVIEW_IN_PROGRESS", Status::Failed),
            ("CREATE_FAILED", Status::Failed),
            ("DELETE_IN_PROGRESS", Status::Failed),
        ] {
            let line = super::status(&Deployment { status: status.to_owned(), ..deployment(&[]) });
            assert_eq!(line.status, expected, "{status}");
        }
    }

    #[test]
    fn missing_outputs_are_named() {
        let mut deployment = deployment(&[]);
        assert_eq!(outputs(&deployment).status, Status::Ok);
        deployment.outputs.remove("LedgerTableName");
        let line = outputs(&deployment);
        assert_eq!((line.status, &*line.message), (Status::Failed, "it lacks LedgerTableName"));
        deployment.outputs.clear();
        assert!(outputs(&deployment).advice.unwrap().contains("--stack"));
    }

    #[test]
    fn no_stack_is_a_failure_only_where_one_was_named() {
        assert_eq!(missing("keynudge", "eu-west-1").status, Status::Unknown);
        assert_eq!(missing("keynudge-test", "eu-west-1").status, Status::Failed);
    }

    #[test]
    fn a_pilot_and_dry_runs_do_not_mail_owners() {
        assert!(deployment(&[("RedirectAllTo", ""), ("Mode", "live")]).mails_owners());
        assert!(!deployment(&[("RedirectAllTo", "me@example.com")]).mails_owners());
        assert!(!deployment(&[("Mode", "dry_run")]).mails_owners());
    }
}
