//! What Keynudge would cost on AWS, at list prices: a run, and a month without any.
//!
//! Prices are those of us-east-1 without a free tier, in US dollars, as published or reported up to
//! November 2026:
//!
//! * Lambda on arm64: <https://aws.amazon.com/lambda/pricing/>
//! * SQS, standard queues: <https://aws.amazon.com/sqs/pricing/>
//! * DynamoDB on demand: <https://aws.amazon.com/dynamodb/pricing/on-demand/>
//! * SES at its plain rate; accounts made since July 2026 begin with Essentials, at 0.16 per 1,000:
//!   <https://aws.amazon.com/ses/pricing/>
//! * CloudWatch, for logs, metrics and alarms: <https://aws.amazon.com/cloudwatch/pricing/>
//!
//! Left out is what comes to less than a cent for 10,000 users: the schedule, SNS's half a dollar for a million of SES's
//! events, and what it costs to keep logs and table.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::deployment::Deployment;
use crate::function_logs::LogEvent;
use crate::functions::Function;
use crate::measurement::number;
use crate::{Error, Result};

const LAMBDA_PER_REQUEST: f64 = 0.20e-6;
const LAMBDA_PER_GB_SECOND: f64 = 0.000_013_333_4;
const SQS_PER_REQUEST: f64 = 0.40e-6;
const DYNAMODB_PER_WRITE: f64 = 0.625e-6;
const DYNAMODB_PER_READ: f64 = 0.125e-6;
const SES_PER_MAIL: f64 = 0.10e-3;
const LOGS_PER_GB: f64 = 0.50;
const ALARM_PER_MONTH: f64 = 0.10;
const METRIC_PER_MONTH: f64 = 0.30;

/// CloudWatch Logs counts so many bytes beside each line (its quotas page, of `PutLogEvents`).
const BYTES_PER_LOG_LINE: u64 = 26;
const BYTES_PER_GB: f64 = 1e9;

/// For each batch of a queue, Lambda receives it, and deletes what is done of it.
const SQS_REQUESTS_PER_BATCH: u64 = 2;

/// Lambda rounds what it bills up to a whole millisecond, and the emulator down.
const ROUNDED_UP_MS: f64 = 1.0;

/// The template's alarms.
const ALARMS: u32 = 25;
/// The functions' metrics, of one dimension each. A run that does not need them all sends fewer.
const METRICS: u32 = 53;
/// A metric costs what it does for the hours in which it is sent; a daily run sends them in one.
const PART_OF_DAY_WITH_METRICS: f64 = 1.0 / 24.0;
/// The queues that Lambda looks at.
const MAPPINGS: u32 = 4;
/// How often a month Lambda looks at a queue that is empty. AWS does not say: it has two to five pollers, and each waits up
/// to 20 seconds for a message, which makes 0.26 to 0.65 million.
const IDLE_RECEIVES: f64 = 0.45e6;

/// What a month costs in dollars, however many users there are, and even if nobody is mailed.
#[must_use]
pub fn fixed_per_month() -> f64 {
    let alarms = f64::from(ALARMS) * ALARM_PER_MONTH;
    let metrics = f64::from(METRICS) * METRIC_PER_MONTH * PART_OF_DAY_WITH_METRICS;
    let polling = f64::from(MAPPINGS) * IDLE_RECEIVES * SQS_PER_REQUEST;
    alarms + metrics + polling
}

/// What a deployment has used so far, in the units that AWS bills.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Used {
    /// Invocations, by function.
    pub invocations: BTreeMap<&'static str, u64>,
    /// Billed time times memory, by function.
    pub gb_seconds: BTreeMap<&'static str, f64>,
    /// Requests to SQS, Lambda's included; not the looks at queues that are empty.
    pub sqs_requests: u64,
    /// Items written, as if each had 1 KB at most. An owner's entry begins smaller than that, and has about 4.3 KB when its
    /// history is full, after 24 reminders: AWS bills five of these for writing such a one.
    pub dynamodb_writes: u64,
    /// Items read, as if each had 4 KB at most. AWS bills two of these for an entry whose history is full.
    pub dynamodb_reads: u64,
    /// What the functions and Lambda logged.
    pub log_bytes: u64,
    /// Mails.
    pub mails: u64,
}

/// Dollars, by service.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Dollars {
    /// Lambda.
    pub lambda: f64,
    /// SQS.
    pub sqs: f64,
    /// DynamoDB.
    pub dynamodb: f64,
    /// CloudWatch Logs.
    pub logs: f64,
    /// All but SES.
    pub without_ses: f64,
    /// SES.
    pub ses: f64,
    /// All of it.
    pub total: f64,
}

impl Used {
    /// What `deployment` has used since it was made.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`] if a function's log has lines, and none that says what is billed; and whatever the calls to its
    /// logs and its emulator answer.
    pub async fn by(deployment: &Deployment) -> Result<Self> {
        let mut used = Self::default();
        for function in Function::ALL {
            used.add_log(function, &deployment.log(function).await?)?;
        }
        let calls = deployment.aws.signed_calls().await?;
        let count = |beginning: &str| -> u64 {
            let named = calls.iter().filter(|(call, _)| call.starts_with(beginning));
            named.map(|(_, count)| *count).sum()
        };
        // All but the run's start, which no queue brings.
        let batches = used.invocations.values().sum::<u64>().saturating_sub(1);
        used.sqs_requests = count("sqs:") + SQS_REQUESTS_PER_BATCH * batches;
        used.dynamodb_writes = count("dynamodb:PutItem") + count("dynamodb:UpdateItem");
        used.dynamodb_reads = count("dynamodb:GetItem");
        used.mails = deployment.metrics().await?.get("MailsSent");
        Ok(used)
    }

    fn add_log(&mut self, function: Function, log: &[LogEvent]) -> Result<()> {
        let name = function.binary();
        self.log_bytes +=
            log.iter().map(|event| event.message.len() as u64 + BYTES_PER_LOG_LINE).sum::<u64>();
        for gb_seconds in log.iter().filter_map(|event| billed(&event.message)) {
            *self.invocations.entry(name).or_default() += 1;
            *self.gb_seconds.entry(name).or_default() += gb_seconds;
        }
        if !log.is_empty() && !self.invocations.contains_key(name) {
            let detail = format!("none of the {} lines of the {name}'s log says what is billed", log.len());
            return Err(Error::Unreadable { call: "logs:FilterLogEvents".to_owned(), detail });
        }
        Ok(())
    }

    /// What that costs, `times` over.
    #[must_use]
    pub fn dollars(&self, times: f64) -> Dollars {
        let gb_seconds: f64 = self.gb_seconds.values().sum();
        let lambda = LAMBDA_PER_REQUEST * number(self.invocations.values().sum::<u64>())
            + LAMBDA_PER_GB_SECOND * gb_seconds;
        let sqs = SQS_PER_REQUEST * number(self.sqs_requests);
        let dynamodb = DYNAMODB_PER_WRITE * number(self.dynamodb_writes)
            + DYNAMODB_PER_READ * number(self.dynamodb_reads);
        let logs = LOGS_PER_GB * number(self.log_bytes) / BYTES_PER_GB;
        let ses = SES_PER_MAIL * number(self.mails);
        let without_ses = lambda + sqs + dynamodb + logs;
        Dollars {
            lambda: times * lambda,
            sqs: times * sqs,
            dynamodb: times * dynamodb,
            logs: times * logs,
            without_ses: times * without_ses,
            ses: times * ses,
            total: times * (without_ses + ses),
        }
    }
}

/// What one of the emulator's `REPORT` lines would bill on AWS, in GB seconds.
fn billed(line: &str) -> Option<f64> {
    let fields = line.strip_prefix("REPORT ")?;
    let field = |name: &str| fields.split('\t').find_map(|field| field.strip_prefix(name));
    let milliseconds: f64 = field("Billed Duration: ")?.strip_suffix(" ms")?.parse().ok()?;
    let megabytes: f64 = field("Memory Size: ")?.strip_suffix(" MB")?.parse().ok()?;
    Some((milliseconds + ROUNDED_UP_MS) / 1e3 * megabytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::workspace;

    const REPORT: &str = "REPORT RequestId: 1\tDuration: 1999.4 ms\tBilled Duration: 1999 ms\tMemory Size: 256 MB\tMax Memory Used: 9 MB";

    #[test]
    fn a_report_bills_time_rounded_up_and_memory_and_no_other_line_does() {
        assert_eq!(billed(REPORT), Some(0.5));
        assert_eq!(billed("END RequestId: 1"), None);
        assert_eq!(billed(r#"{"message":"REPORT Billed Duration: 2000 ms"}"#), None);
    }

    #[test]
    fn a_log_without_a_readable_report_is_an_error_and_an_empty_one_is_not() {
        let log = |lines: &[&str]| -> Vec<LogEvent> {
            let lines = lines.iter().map(|line| (*line).to_owned());
            lines.map(|message| LogEvent { timestamp: 1, message }).collect()
        };
        let mut used = Used::default();
        used.add_log(Function::Producer, &[]).unwrap();
        used.add_log(Function::Worker, &log(&["START", REPORT])).unwrap();
        assert_eq!(used.invocations, BTreeMap::from([("worker", 1)]));
        let unreadable = used.add_log(Function::Notifier, &log(&["START", "REPORT of another kind"]));
        assert!(unreadable.unwrap_err().to_string().contains("2 lines of the notifier's log"));
    }

    #[test]
    fn what_does_not_depend_on_users_is_what_is_deployed() {
        let template = fs::read_to_string(workspace::root().join("infra/template.yaml")).unwrap();
        let count = |line: &str| template.lines().filter(|one| one.trim_start() == line).count();
        assert_eq!(count("Type: AWS::CloudWatch::Alarm"), ALARMS as usize);
        // Only what feeds a function from a queue has this.
        assert_eq!(count("FunctionResponseTypes: [ReportBatchItemFailures]"), MAPPINGS as usize);
        let metrics = fs::read_to_string(workspace::root().join("shared/core/src/counting.rs")).unwrap();
        let declared = metrics.split_once("\nmetrics! {").unwrap().1.split_once("\n}").unwrap().0;
        let names = declared.lines().filter(|line| line.ends_with(',') && !line.contains("///"));
        // These are in the runs' records alone.
        let of_records = ["Repeated,", "Replayed,", "Returned,"];
        let names = names.filter(|name| !of_records.iter().any(|end| name.ends_with(end)));
        assert_eq!(names.count(), METRICS as usize);
    }

    /// By hand: 2.50 for alarms, 0.6625 for metrics, 0.72 for looks at empty queues.
    #[test]
    fn a_month_costs_four_dollars_at_most_whoever_is_mailed() {
        assert!((fixed_per_month() - 3.8825).abs() < 1e-9, "{}", fixed_per_month());
    }

    /// By hand: 1 million of each, at the prices above.
    #[test]
    fn a_million_of_everything_costs_what_the_price_list_says() {
        const MILLION: u64 = 1_000_000;
        let used = Used {
            invocations: BTreeMap::from([("worker", MILLION)]),
            gb_seconds: BTreeMap::from([("worker", 1e6)]),
            sqs_requests: MILLION,
            dynamodb_writes: MILLION,
            dynamodb_reads: MILLION,
            log_bytes: 1000 * MILLION,
            mails: MILLION,
        };
        let dollars = used.dollars(1.0);
        let is = |amount: f64, expected: f64| assert!((amount - expected).abs() < 1e-6, "{amount}");
        is(dollars.lambda, 0.20 + 13.3334);
        is(dollars.sqs, 0.40);
        is(dollars.dynamodb, 0.75);
        is(dollars.logs, 0.50);
        is(dollars.without_ses, 15.1834);
        is(dollars.total, 115.1834);
        is(used.dollars(0.5).ses, 50.0);
    }
}
