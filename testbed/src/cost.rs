//! What a run would cost on AWS, at list prices.
//!
//! Prices are those of us-east-1 without a free tier, in US dollars, as published or reported up to November 2026:
//! Lambda on arm64 and SQS (AWS's price pages), DynamoDB on demand (as halved in November 2024), SES at its plain rate
//! (accounts made since July 2026 begin with Essentials, at 0.16 per 1,000), CloudWatch Logs' ingestion.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Result;
use crate::deployment::Deployment;
use crate::functions::Function;

const LAMBDA_PER_REQUEST: f64 = 0.20e-6;
const LAMBDA_PER_GB_SECOND: f64 = 0.000_013_333_4;
const SQS_PER_REQUEST: f64 = 0.40e-6;
const DYNAMODB_PER_WRITE: f64 = 0.625e-6;
const DYNAMODB_PER_READ: f64 = 0.125e-6;
const SES_PER_MAIL: f64 = 0.10e-3;
const LOGS_PER_GB: f64 = 0.50;

/// CloudWatch Logs counts so many bytes beside each line (its quotas page, of `PutLogEvents`).
const BYTES_PER_LOG_LINE: u64 = 26;
const BYTES_PER_GB: f64 = 1e9;

/// For each batch of a queue, Lambda receives it, and deletes what is done of it.
const SQS_REQUESTS_PER_BATCH: u64 = 2;

/// What a deployment has used so far, in the units that AWS bills.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Used {
    /// Invocations, by function.
    pub invocations: BTreeMap<&'static str, u64>,
    /// Billed time times memory, by function.
    pub gb_seconds: BTreeMap<&'static str, f64>,
    /// Requests to SQS, Lambda's included; not the looks at queues that are empty.
    pub sqs_requests: u64,
    /// Items written, each smaller than 1 KB.
    pub dynamodb_writes: u64,
    /// Items read, each smaller than 4 KB.
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
    /// All but the mail.
    pub without_mail: f64,
    /// SES.
    pub ses: f64,
    /// All of it.
    pub with_mail: f64,
}

impl Used {
    /// What `deployment` has used since it was made.
    ///
    /// # Errors
    ///
    /// Whatever the calls to its logs and its emulator answer.
    pub async fn by(deployment: &Deployment) -> Result<Self> {
        let mut used = Self::default();
        for function in Function::ALL {
            for event in deployment.log(function).await? {
                used.log_bytes += event.message.len() as u64 + BYTES_PER_LOG_LINE;
                if let Some(gb_seconds) = billed(&event.message) {
                    *used.invocations.entry(function.binary()).or_default() += 1;
                    *used.gb_seconds.entry(function.binary()).or_default() += gb_seconds;
                }
            }
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

    /// What that costs, `times` over.
    #[must_use]
    pub fn dollars(&self, times: f64) -> Dollars {
        let gb_seconds: f64 = self.gb_seconds.values().sum();
        let lambda =
            LAMBDA_PER_REQUEST * number(self.invocations.values().sum()) + LAMBDA_PER_GB_SECOND * gb_seconds;
        let sqs = SQS_PER_REQUEST * number(self.sqs_requests);
        let dynamodb = DYNAMODB_PER_WRITE * number(self.dynamodb_writes)
            + DYNAMODB_PER_READ * number(self.dynamodb_reads);
        let logs = LOGS_PER_GB * number(self.log_bytes) / BYTES_PER_GB;
        let ses = SES_PER_MAIL * number(self.mails);
        let without_mail = lambda + sqs + dynamodb + logs;
        Dollars {
            lambda: times * lambda,
            sqs: times * sqs,
            dynamodb: times * dynamodb,
            logs: times * logs,
            without_mail: times * without_mail,
            ses: times * ses,
            with_mail: times * (without_mail + ses),
        }
    }
}

/// What one of Lambda's `REPORT` lines bills, in GB seconds.
fn billed(line: &str) -> Option<f64> {
    let fields = line.strip_prefix("REPORT ")?;
    let field = |name: &str| fields.split('\t').find_map(|field| field.strip_prefix(name));
    let milliseconds: f64 = field("Billed Duration: ")?.strip_suffix(" ms")?.parse().ok()?;
    let megabytes: f64 = field("Memory Size: ")?.strip_suffix(" MB")?.parse().ok()?;
    Some(milliseconds / 1e3 * megabytes / 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "far below what a float holds exactly")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_bills_time_and_memory_and_no_other_line_does() {
        let line = "REPORT RequestId: 1\tDuration: 1999 ms\tBilled Duration: 2000 ms\tMemory Size: 256 MB\tMax Memory Used: 9 MB";
        assert_eq!(billed(line), Some(0.5));
        assert_eq!(billed("END RequestId: 1"), None);
        assert_eq!(billed(r#"{"message":"REPORT Billed Duration: 2000 ms"}"#), None);
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
        is(dollars.without_mail, 15.1834);
        is(dollars.with_mail, 115.1834);
        is(used.dollars(0.5).ses, 50.0);
    }
}
