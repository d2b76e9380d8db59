//! What the functions printed, read from CloudWatch Logs; among it their metrics, in EMF.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::aws::LOGS;
use crate::deployment::Deployment;
use crate::functions::Function;
use crate::{Error, Result};

/// What the producer says of an account that does not let it in, and of each that it is done with.
const ROLE_DENIED: &str = "role_denied";
const SCAN_DONE: [&str; 2] = ["scanned", ROLE_DENIED];

/// The most events one call returns.
const PAGE: usize = 10_000;

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LogEvent {
    /// When it was printed, in milliseconds since 1970.
    pub timestamp: u64,
    /// The line.
    pub message: String,
}

impl Deployment {
    /// All a function has printed so far, oldest first. The lines that Lambda adds are among it.
    ///
    /// # Errors
    ///
    /// Whatever the calls to CloudWatch Logs answer.
    pub async fn log(&self, function: Function) -> Result<Vec<LogEvent>> {
        self.log_lines_with(function, "").await
    }

    /// The sums of all functions' metrics so far, by the metrics' names.
    ///
    /// # Errors
    ///
    /// Whatever the calls to CloudWatch Logs answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        let mut metrics = Metrics::default();
        for function in Function::ALL {
            let Metrics(sums) = self.metrics_of(function).await?;
            for (name, sum) in sums {
                metrics.add(name, sum);
            }
        }
        Ok(metrics)
    }

    async fn metrics_of(&self, function: Function) -> Result<Metrics> {
        let mut metrics = Metrics::default();
        // Every EMF line has this member, and no other line has.
        for event in self.log_lines_with(function, "_aws").await? {
            metrics.add_line(&event.message);
        }
        Ok(metrics)
    }

    /// When the last user of each account came to an end, in the worker or the notifier, by the account's id.
    ///
    /// # Errors
    ///
    /// Whatever the calls to CloudWatch Logs answer.
    pub async fn last_outcomes(&self) -> Result<BTreeMap<String, DateTime<Utc>>> {
        let mut last: BTreeMap<String, DateTime<Utc>> = BTreeMap::new();
        for function in [Function::Worker, Function::Notifier] {
            for Outcome { account_id, at, .. } in self.outcomes(function).await? {
                let latest = last.entry(account_id).or_default();
                *latest = at.max(*latest);
            }
        }
        Ok(last)
    }

    /// The ids of the accounts that did not let the producer in.
    ///
    /// # Errors
    ///
    /// Whatever the calls to CloudWatch Logs answer.
    pub async fn accounts_denied(&self) -> Result<BTreeSet<String>> {
        let outcomes = self.outcomes(Function::Producer).await?.into_iter();
        let denied = outcomes.filter(|outcome| outcome.name == ROLE_DENIED);
        Ok(denied.map(|outcome| outcome.account_id).collect())
    }

    /// The ids of the accounts that the producer has been done with since then: scanned, or not let into. A scan may be
    /// done twice, which metrics would count.
    pub(crate) async fn accounts_done(&self, since: DateTime<Utc>) -> Result<BTreeSet<String>> {
        let outcomes = self.outcomes(Function::Producer).await?.into_iter();
        let done = outcomes.filter(|outcome| outcome.at >= since && SCAN_DONE.contains(&&*outcome.name));
        Ok(done.map(|outcome| outcome.account_id).collect())
    }

    async fn outcomes(&self, function: Function) -> Result<Vec<Outcome>> {
        let events = self.log_lines_with(function, "outcome").await?;
        Ok(events.iter().filter_map(Outcome::of).collect())
    }

    /// The emulator has no tokens for further pages: the next one begins at the time at which the last one ended, and
    /// repeats what it had of that time.
    async fn log_lines_with(&self, function: Function, pattern: &str) -> Result<Vec<LogEvent>> {
        let log_group = self.resource(log_group_logical_id(function))?;
        let mut events: Vec<LogEvent> = Vec::new();
        loop {
            let since = events.last().map_or(0, |event| event.timestamp);
            let page = self.page(log_group, pattern, since).await?;
            let is_last = page.len() < PAGE;
            let known = events.partition_point(|event| event.timestamp < since);
            events.truncate(known);
            events.extend(page);
            if is_last {
                return Ok(events);
            }
        }
    }

    async fn page(&self, log_group: &str, pattern: &str, since: u64) -> Result<Vec<LogEvent>> {
        let request = json!({
            "logGroupName": log_group,
            "filterPattern": pattern,
            "startTime": since,
            "limit": PAGE,
        });
        let answer = self.aws.json(LOGS, "FilterLogEvents", &request).await?;
        serde_json::from_value(answer["events"].clone()).map_err(|error| Error::Unreadable {
            call: "logs:FilterLogEvents".to_owned(),
            detail: error.to_string(),
        })
    }
}

fn log_group_logical_id(function: Function) -> &'static str {
    match function {
        Function::Producer => "ProducerLogGroup",
        Function::Worker => "WorkerLogGroup",
        Function::Notifier => "NotifierLogGroup",
        Function::Feedback => "FeedbackLogGroup",
    }
}

/// What a message about an account came to.
struct Outcome {
    name: String,
    account_id: String,
    at: DateTime<Utc>,
}

impl Outcome {
    /// What a line tells, if it tells an outcome.
    fn of(event: &LogEvent) -> Option<Self> {
        let Line { fields: Fields { outcome, account_id } } = serde_json::from_str(&event.message).ok()?;
        let at = DateTime::from_timestamp_millis(event.timestamp.try_into().ok()?)?;
        Some(Self { name: outcome, account_id, at })
    }
}

#[derive(Deserialize)]
struct Line {
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    outcome: String,
    account_id: String,
}

/// Sums of metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics(BTreeMap<String, u64>);

impl Metrics {
    /// A metric's sum; 0 if it was never printed.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// All metrics whose name begins so, without that beginning.
    pub fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, u64)> {
        let named = self.0.iter().map(|(name, sum)| (name.as_str(), *sum));
        named.filter_map(move |(name, sum)| Some((name.strip_prefix(prefix)?, sum)))
    }

    fn add(&mut self, name: String, value: u64) {
        *self.0.entry(name).or_default() += value;
    }

    /// Adds what a line of EMF says; any other line adds nothing.
    fn add_line(&mut self, line: &str) {
        let Ok(emf) = serde_json::from_str::<Map<String, Value>>(line) else { return };
        for name in metric_names(&emf) {
            if let Some(value) = emf.get(name).and_then(Value::as_u64) {
                self.add(name.to_owned(), value);
            }
        }
    }
}

/// The metrics a line declares; its other members are dimensions and properties.
fn metric_names(emf: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let directives = emf.get("_aws").and_then(|aws| aws["CloudWatchMetrics"].as_array());
    let metrics = directives.into_iter().flatten().filter_map(|one| one["Metrics"].as_array());
    metrics.flatten().filter_map(|metric| metric["Name"].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_known_by_its_account() {
        let outcome = |line: &str| {
            let outcome = Outcome::of(&LogEvent { timestamp: 1_000, message: line.to_owned() })?;
            Some((outcome.name, outcome.account_id, outcome.at.timestamp()))
        };
        let line =
            r#"{"level":"INFO","fields":{"message":"sent","outcome":"sent","account_id":"100000000001"}}"#;
        assert_eq!(outcome(line), Some(("sent".to_owned(), "100000000001".to_owned(), 1)));
        let other = r#"{"level":"WARN","fields":{"message":"record not done","outcome":"given_up"}}"#;
        assert_eq!(outcome(other), None);
    }

    #[test]
    fn declared_metrics_are_summed_and_other_numbers_are_not() {
        let line = json!({
            "_aws": { "Timestamp": 1, "CloudWatchMetrics": [{ "Metrics": [{ "Name": "UsersChecked" }] }] },
            "UsersChecked": 4,
            "BatchSize": 10,
        });
        let mut metrics = Metrics::default();
        metrics.add_line(&line.to_string());
        metrics.add_line(&line.to_string());
        metrics.add_line("START RequestId: 1");
        assert_eq!((metrics.get("UsersChecked"), metrics.get("BatchSize")), (8, 0));
    }
}
