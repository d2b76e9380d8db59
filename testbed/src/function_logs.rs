//! What the functions printed, read from CloudWatch Logs; among it their metrics, in EMF.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::aws::LOGS;
use crate::deployment::Deployment;
use crate::functions::Function;
use crate::{Error, Result};

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

    pub(crate) async fn metrics_of(&self, function: Function) -> Result<Metrics> {
        let mut metrics = Metrics::default();
        // Every EMF line has this member, and no other line has.
        for event in self.log_lines_with(function, "_aws").await? {
            metrics.add_line(&event.message);
        }
        Ok(metrics)
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
