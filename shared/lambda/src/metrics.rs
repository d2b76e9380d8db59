//! What is counted. One line per invocation in CloudWatch's embedded metric format, on standard output: Lambda
//! makes metrics of it, and no call is needed.
//!
//! The one dimension is the deployment (the stack); ids would make a metric of their own each.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};

use chrono::{DateTime, Utc};
use keynudge_core::audience::SkipReason;
use keynudge_core::ids::{AccountId, RunId};
use keynudge_core::messages::{Message, Run};
use keynudge_core::ports::Counts;
use serde_json::{Map, Value, json};

/// The namespace the metrics appear in.
pub const NAMESPACE: &str = "Keynudge";

/// Declares the metrics, each with the name it has in CloudWatch.
macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Something that is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric {
            $($(#[$doc])* $name,)+
        }

        impl Metric {
            /// The metric's name in CloudWatch.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

metrics! {
    /// Accounts that a run is to scan.
    ScansEnqueued,
    /// Accounts that do not let us in.
    AccountsDenied,
    /// Accounts whose credential report could not be had or read, so that all their users are checked.
    CredentialReportsUnavailable,
    /// Users who are not checked because their account lets us in no more.
    UsersDenied,
    /// Accounts whose users were all listed and enqueued. Its absence is what the "did not run" alarm waits for.
    ScansCompleted,
    /// Users that `iam:ListUsers` returned.
    UsersListed,
    /// Users among them who are not what IAM says its users are, and cannot be checked.
    UsersUnreadable,
    /// Users put on the users queue.
    UsersEnqueued,
    /// Checks put on the users queue, those of scans that were done again included.
    ChecksSent,
    /// Users skipped because they never signed in to the console.
    UsersSkippedNeverSignedIn,
    /// Users skipped because their path does not start with the prefix.
    UsersSkippedOutsidePath,
    /// Users skipped because they are younger than a stale key.
    UsersSkippedTooYoung,
    /// Users skipped because the credential report shows no active key of theirs.
    UsersSkippedNoActiveKey,
    /// Users skipped because the credential report shows that their active keys are too young.
    UsersSkippedNoOldKey,
    /// Users with stale keys skipped because they lack the contact tag.
    UsersSkippedNotTagged,
    /// Users who were checked, those who were gone by then included.
    UsersChecked,
    /// Users who were deleted between listing and checking.
    UsersGone,
    /// Users with at least one stale key, those included who were told already, are exempt, without contact or lack the
    /// contact tag. The worker finds out the latter three only of those who were not told or are due.
    StaleOwners,
    /// Stale owners who are exempt for now.
    Exempt,
    /// Exemption tags that hold no date, and exempt nobody.
    ExemptionsInvalid,
    /// Stale owners for whom no address was found.
    WithoutContact,
    /// Addresses passed over: not an address, or a domain that is not allowed.
    ContactsPassedOver,
    /// Stale keys whose last use could not be read; their mail says so.
    LastUsedUnreadable,
    /// Stale owners of whom the worker could not read whether they were told; the notifier finds out.
    LedgerUnreadable,
    /// Mails that SES took.
    MailsSent,
    /// Mails that a dry run would have sent.
    MailsNotSentDryRun,
    /// Attempts to send that failed; all but dead letters are tried again.
    MailsFailed,
    /// Owners with stale keys who were told before and are not due again.
    MailsNotDue,
    /// Mails that wait for the account's sending quota.
    MailsHeldBack,
    /// Mails that SES may have taken: the answer was lost.
    MailsOutcomeUnknown,
    /// Mails that SES took and the ledger could not be told of; SES's event tells it.
    MailsUnmarked,
    /// Claims whose outcome never became known and that were taken over: each may have been a mail too many.
    ClaimsTakenOver,
    /// Mails in the built-in words because the organization's own templates cannot be used.
    TemplatesUnusable,
    /// Findings too old to be mailed, whose users are checked again.
    FindingsSentBack,
    /// Events of SES.
    SesEvents,
    /// Claims that an event of SES settled before its own function could.
    ClaimsSettledByEvent,
    /// Owners whose mail bounced, was complained about or was rejected.
    OwnersNotReached,
    /// Scans that were delivered before and are done now: by how much what they counted may be counted twice.
    ScansRedelivered,
    /// The same of checks.
    ChecksRedelivered,
    /// The same of findings.
    FindingsRedelivered,
    /// The same of SES's events.
    EventsRedelivered,
    /// Batches that are missing in the runs' records.
    CountsNotRecorded,
    /// Records that failed and were given back to their queue, to be tried again.
    RecordsGivenBack,
    /// Records that had no turn yet and were given back to their queue.
    RecordsPostponed,
    /// Scans put in their dead-letter queue.
    ScansGivenUp,
    /// Checks put in their dead-letter queue.
    ChecksGivenUp,
    /// Findings put in their dead-letter queue.
    FindingsGivenUp,
    /// Events of SES put in their dead-letter queue.
    EventsGivenUp,
}

impl From<SkipReason> for Metric {
    fn from(reason: SkipReason) -> Self {
        match reason {
            SkipReason::NeverSignedIn => Self::UsersSkippedNeverSignedIn,
            SkipReason::OutsidePath => Self::UsersSkippedOutsidePath,
            SkipReason::TooYoung => Self::UsersSkippedTooYoung,
            SkipReason::NoActiveKey => Self::UsersSkippedNoActiveKey,
            SkipReason::NoOldKey => Self::UsersSkippedNoOldKey,
            SkipReason::NotTagged => Self::UsersSkippedNotTagged,
        }
    }
}

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

    fn add_in(&self, run: &Run, account_id: &AccountId, metric: Metric, n: u64) {
        *self.counts.borrow_mut().entry(metric).or_default() += n;
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

    #[test]
    fn nothing_counted_is_nothing_written() {
        assert_eq!(written(&Metrics::default()), "");
    }
}
