//! What is counted. One line per invocation in CloudWatch's embedded metric format, on standard output: Lambda
//! makes metrics of it, and no call is needed.
//!
//! The one dimension is the deployment (the stack); ids would make a metric of their own each.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};

use chrono::{DateTime, Utc};
pub use keynudge_core::counting::Metric;
use keynudge_core::ids::{AccountId, RunId};
use keynudge_core::messages::{Message, Run};
use keynudge_core::ports::Counts;
use serde_json::{Map, Value, json};

/// The namespace the metrics appear in.
pub const NAMESPACE: &str = "Keynudge";

/// The counts of one invocation: as a whole, and of each run and account for the runs' records.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: RefCell<BTreeMap<Metric, u64>>,
    runs: RefCell<BTreeMap<(RunId, AccountId), (Run, Counts)>>,
}

impl Metrics {
    /// Adds one to `metric`, also in the record of the run that `message` belongs to.
    pub fn count_for(&self, message: &impl Message, metric: Metric) {
        self.count_in(message.run(), message.account_id(), metric);
    }

    /// Adds `n` to `metric`, also in the record of the run that `message` belongs to.
    pub fn add_for(&self, message: &impl Message, metric: Metric, n: usize) {
        self.add_in(message.run(), message.account_id(), metric, n as u64);
    }

    /// Adds one to `metric`, also in the record of `run`.
    pub fn count_in(&self, run: &Run, account_id: &AccountId, metric: Metric) {
        self.add_in(run, account_id, metric, 1);
    }

    /// Adds `n` to `metric` in the record of `run`, and nowhere else: each metric has its price.
    pub fn note_in(&self, run: &Run, account_id: &AccountId, metric: Metric, n: u64) {
        self.record(run, account_id, metric, n);
    }

    fn add_in(&self, run: &Run, account_id: &AccountId, metric: Metric, n: u64) {
        *self.counts.borrow_mut().entry(metric).or_default() += n;
        self.record(run, account_id, metric, n);
    }

    fn record(&self, run: &Run, account_id: &AccountId, metric: Metric, n: u64) {
        let mut runs = self.runs.borrow_mut();
        let (_, counts) = runs
            .entry((run.run_id.clone(), account_id.clone()))
            .or_insert_with(|| (run.clone(), Counts::new()));
        *counts.entry(metric.name()).or_default() += n;
    }

    /// Takes what was counted for runs' records: per run and account.
    pub fn take_runs(&self) -> Vec<(Run, AccountId, Counts)> {
        let runs = self.runs.take();
        runs.into_iter().map(|((_, account_id), (run, counts))| (run, account_id, counts)).collect()
    }

    /// All counts, by the metrics' names.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts.borrow().iter().map(|(metric, n)| (metric.name(), *n)).collect()
    }

    /// Adds one to `metric`.
    pub fn count(&self, metric: Metric) {
        self.add(metric, 1);
    }

    /// Adds `n` to `metric`; adding nothing makes it appear as 0.
    pub fn add(&self, metric: Metric, n: usize) {
        *self.counts.borrow_mut().entry(metric).or_default() += n as u64;
    }

    /// Adds all that `other` has come to.
    pub fn merge(&self, other: &Self) {
        let mut counts = self.counts.borrow_mut();
        for (&metric, n) in other.counts.borrow().iter() {
            *counts.entry(metric).or_default() += n;
        }
    }

    /// Adds all that `other` has come to, also in the record of the run that `message` belongs to.
    pub fn merge_for(&self, message: &impl Message, other: &Self) {
        for (&metric, &n) in other.counts.borrow().iter() {
            self.add_in(message.run(), message.account_id(), metric, n);
        }
    }

    /// What `metric` has come to.
    #[must_use]
    pub fn get(&self, metric: Metric) -> u64 {
        self.counts.borrow().get(&metric).copied().unwrap_or(0)
    }

    /// Writes the line, unless nothing was counted.
    pub fn write(&self, deployment: &str, at: DateTime<Utc>, mut out: impl Write) -> io::Result<()> {
        let counts = self.counts.borrow();
        if counts.is_empty() {
            return Ok(());
        }
        let definitions: Vec<Value> =
            counts.keys().map(|metric| json!({"Name": metric.name(), "Unit": "Count"})).collect();
        let values: Map<String, Value> =
            counts.iter().map(|(metric, count)| (metric.name().to_owned(), json!(count))).collect();
        let mut line = json!({
            "_aws": {
                "Timestamp": at.timestamp_millis(),
                "CloudWatchMetrics": [
                    {"Namespace": NAMESPACE, "Dimensions": [["Deployment"]], "Metrics": definitions},
                ],
            },
            "Deployment": deployment,
        });
        if let Some(line) = line.as_object_mut() {
            line.extend(values);
        }
        writeln!(out, "{line}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keynudge_core::messages::{Mode, ScanAccount};

    fn written(metrics: &Metrics) -> String {
        let mut out = Vec::new();
        metrics.write("keys", "2026-03-01T06:00:00Z".parse().unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn counts_are_one_line_in_the_embedded_metric_format() {
        let metrics = Metrics::default();
        metrics.count(Metric::UsersChecked);
        metrics.add(Metric::UsersChecked, 2);
        metrics.add(Metric::StaleOwners, 0);
        let line = written(&metrics);
        assert_eq!(line.matches('\n').count(), 1);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            line,
            json!({
                "_aws": {
                    "Timestamp": 1_772_344_800_000_u64,
                    "CloudWatchMetrics": [{
                        "Namespace": "Keynudge",
                        "Dimensions": [["Deployment"]],
                        "Metrics": [
                            {"Name": "UsersChecked", "Unit": "Count"},
                            {"Name": "StaleOwners", "Unit": "Count"},
                        ],
                    }],
                },
                "Deployment": "keys",
                "UsersChecked": 3,
                "StaleOwners": 0,
            })
        );
    }

    fn scan() -> ScanAccount {
        let as_of = "2026-03-01T06:00:00Z".parse().unwrap();
        ScanAccount {
            run: Run::at(as_of, Mode::Live),
            account_id: "123456789012".parse().unwrap(),
            account_name: None,
        }
    }

    /// What is kept for the record of the only run and account.
    fn recorded(metrics: &Metrics) -> Counts {
        let [(run, account_id, counts)] = metrics.take_runs().try_into().unwrap();
        assert_eq!((run, account_id), (scan().run, scan().account_id));
        counts
    }

    #[test]
    fn what_is_counted_for_a_message_is_counted_in_all_and_for_its_run() {
        let metrics = Metrics::default();
        metrics.count_for(&scan(), Metric::UsersChecked);
        metrics.add_for(&scan(), Metric::UsersChecked, 3);
        metrics.add_for(&scan(), Metric::StaleOwners, 2);
        metrics.note_in(&scan().run, &scan().account_id, Metric::ChecksRepeated, 5);
        let all = Counts::from([("UsersChecked", 4), ("StaleOwners", 2)]);
        assert_eq!(metrics.counts(), all);
        let with_note = all.into_iter().chain([("ChecksRepeated", 5)]).collect::<Counts>();
        assert_eq!(recorded(&metrics), with_note);
        assert_eq!(metrics.take_runs(), [], "once");
    }

    #[test]
    fn what_others_have_counted_is_added() {
        let other = Metrics::default();
        other.add(Metric::UsersChecked, 3);
        let metrics = Metrics::default();
        metrics.add(Metric::UsersChecked, 2);
        metrics.merge(&other);
        assert_eq!((metrics.get(Metric::UsersChecked), metrics.take_runs()), (5, vec![]));
        metrics.merge_for(&scan(), &other);
        assert_eq!(metrics.get(Metric::UsersChecked), 8);
        assert_eq!(recorded(&metrics), Counts::from([("UsersChecked", 3)]));
    }

    #[test]
    fn nothing_counted_is_nothing_written() {
        assert_eq!(written(&Metrics::default()), "");
    }
}
