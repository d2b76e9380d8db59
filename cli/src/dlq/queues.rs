//! The queues of dead letters, and where each one's letters came from.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::aws::Aws;
use crate::terminal;

/// The queues of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueueName {
    /// Accounts that could not be scanned
    Accounts,
    /// Users who could not be checked
    Users,
    /// Owners who could not be mailed
    Findings,
    /// SES's events that could not be noted
    Feedback,
    /// Runs that the schedule could not start
    Schedule,
    /// Runs that the producer could not start
    Producer,
}

/// Which queues a command is for.
#[derive(Debug, Args)]
pub(crate) struct Queues {
    /// A queue of the stack; `list`, `show` and `replay` take all of them where it is left out
    #[arg(value_enum)]
    pub(crate) queue: Option<QueueName>,
    /// Another queue than the stack's
    #[arg(long, value_name = "URL", conflicts_with = "queue")]
    pub(crate) queue_url: Option<String>,
}

/// A queue of dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// What the user calls it.
    pub(crate) label: String,
    pub(crate) url: String,
    pub(crate) origin: Origin,
}

/// Where letters came from, and are sent back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The queue at this URL.
    Queue(String),
    /// A start of this function, the producer.
    Function(String),
    /// Nobody said.
    Unknown,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(url) => write!(f, "queue {}", last_part(url)),
            Self::Function(name) => write!(f, "function {name}"),
            Self::Unknown => f.write_str("nowhere"),
        }
    }
}

/// Outputs of a stack, by name.
pub(crate) type Outputs = BTreeMap<String, String>;

impl Queues {
    /// The queues meant: the named one, or all.
    pub(crate) async fn locate(&self, aws: &Aws) -> Result<Vec<Place>> {
        match self.locate_named(aws).await? {
            Some(place) => Ok(vec![place]),
            None => all(aws.stack(), &aws.outputs().await?, terminal::remark),
        }
    }

    /// The queue that is named, if one is. Asks AWS only if it is a stack's.
    pub(crate) async fn locate_named(&self, aws: &Aws) -> Result<Option<Place>> {
        if let Some(url) = &self.queue_url {
            return Ok(Some(Place::at(url)));
        }
        let Some(queue) = self.queue else { return Ok(None) };
        let place = queue.place(&aws.outputs().await?);
        place.map(Some).with_context(|| format!("the stack {:?} {}", aws.stack(), queue.missing()))
    }
}

/// All queues that a stack has. A stack of another version may have others; what is missing is said.
fn all(stack: &str, outputs: &Outputs, mut remark: impl FnMut(&str)) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    let mut missing = Vec::new();
    for queue in QueueName::value_variants() {
        match queue.place(outputs) {
            Some(place) => places.push(place),
            None => missing.push(format!("left out: the stack {stack:?} {}", queue.missing())),
        }
    }
    if places.is_empty() {
        bail!("the stack {stack:?} is not Keynudge's: it has none of its outputs; name another with --stack");
    }
    for one in &missing {
        remark(one);
    }
    Ok(places)
}

impl QueueName {
    /// The outputs that hold its URL, and where its letters came from.
    pub(crate) fn outputs(self) -> (&'static str, &'static str) {
        match self {
            Self::Accounts => ("AccountsDeadLetterQueueUrl", "AccountsQueueUrl"),
            Self::Users => ("UsersDeadLetterQueueUrl", "UsersQueueUrl"),
            Self::Findings => ("FindingsDeadLetterQueueUrl", "FindingsQueueUrl"),
            Self::Feedback => ("FeedbackDeadLetterQueueUrl", "FeedbackQueueUrl"),
            Self::Schedule => ("ScheduleDeadLetterQueueUrl", "ProducerFunctionName"),
            Self::Producer => ("ProducerFailuresQueueUrl", "ProducerFunctionName"),
        }
    }

    fn place(self, outputs: &Outputs) -> Option<Place> {
        let (url, origin) = self.outputs();
        let (url, origin) = (outputs.get(url)?.clone(), outputs.get(origin)?.clone());
        let origin = if self.is_worked_through() { Origin::Queue(origin) } else { Origin::Function(origin) };
        Some(Place { label: self.label(), url, origin })
    }

    /// Whether its letters come from a queue, rather than from starts of runs.
    pub(crate) fn is_worked_through(self) -> bool {
        matches!(self, Self::Accounts | Self::Users | Self::Findings | Self::Feedback)
    }

    pub(crate) fn label(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn missing(self) -> String {
        let (url, origin) = self.outputs();
        format!(
            "has no {}: it lacks the output {url} or {origin}; deploy this version's template",
            self.label()
        )
    }
}

impl Place {
    fn at(url: &str) -> Self {
        Self { label: last_part(url).to_owned(), url: url.to_owned(), origin: Origin::Unknown }
    }
}

/// The name of the queue at this URL.
pub(crate) fn last_part(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(names: &[&str]) -> Outputs {
        names.iter().map(|&name| (name.to_owned(), format!("value of {name}"))).collect()
    }

    fn places(names: &[&str]) -> (Result<Vec<Place>>, Vec<String>) {
        let mut remarks = Vec::new();
        let places = all("keynudge", &outputs(names), |remark| remarks.push(remark.to_owned()));
        (places, remarks)
    }

    #[test]
    fn each_queue_leads_back_to_where_its_letters_came_from() {
        let names: Vec<&str> =
            QueueName::value_variants().iter().flat_map(|queue| <[_; 2]>::from(queue.outputs())).collect();
        let (places, remarks) = places(&names);
        let places = places.unwrap();
        assert!(remarks.is_empty(), "{remarks:?}");
        let labels: Vec<&str> = places.iter().map(|place| place.label.as_str()).collect();
        assert_eq!(labels, ["accounts", "users", "findings", "feedback", "schedule", "producer"]);
        assert_eq!(places[2].url, "value of FindingsDeadLetterQueueUrl");
        assert_eq!(places[2].origin, Origin::Queue("value of FindingsQueueUrl".to_owned()));
        assert_eq!(places[5].origin, Origin::Function("value of ProducerFunctionName".to_owned()));

        // The names are the template's own.
        let template = include_str!("../../../infra/template.yaml");
        for name in names {
            assert!(template.contains(&format!("\n  {name}:\n")), "{name}");
        }
    }

    #[test]
    fn a_queue_that_a_stack_has_not_is_named_and_the_others_are_there() {
        let (places, remarks) = places(&["UsersDeadLetterQueueUrl", "UsersQueueUrl"]);
        assert_eq!(places.unwrap().len(), 1);
        assert_eq!(remarks.len(), 5);
        assert!(remarks[0].contains("has no accounts"), "{remarks:?}");
    }

    #[test]
    fn a_stack_of_something_else_is_refused() {
        let (places, remarks) = places(&["BucketName"]);
        let error = places.unwrap_err().to_string();
        assert!(error.contains("is not Keynudge's") && error.contains("--stack"), "{error}");
        assert!(remarks.is_empty());
    }
}
