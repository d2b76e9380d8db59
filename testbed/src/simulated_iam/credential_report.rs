//! Credential reports: asked for, waited for and fetched, as they were when they were begun.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::account::{ReportReady, ReportSettings};
use super::answers::{GenerateCredentialReportResult, GetCredentialReportResult, Refusal, date};
use super::directory::{AccessKey, Directory, User};
use crate::aws::Account;

/// The report's columns, in IAM's order.
const COLUMNS: [&str; 22] = [
    "user",
    "arn",
    "user_creation_time",
    "password_enabled",
    "password_last_used",
    "password_last_changed",
    "password_next_rotation",
    "mfa_active",
    "access_key_1_active",
    "access_key_1_last_rotated",
    "access_key_1_last_used_date",
    "access_key_1_last_used_region",
    "access_key_1_last_used_service",
    "access_key_2_active",
    "access_key_2_last_rotated",
    "access_key_2_last_used_date",
    "access_key_2_last_used_region",
    "access_key_2_last_used_service",
    "cert_1_active",
    "cert_1_last_rotated",
    "cert_2_active",
    "cert_2_last_rotated",
];

/// What there is instead of a value for which there is no occasion.
const NOT_APPLICABLE: &str = "N/A";
/// What the report does not say of the account's root.
const NOT_SUPPORTED: &str = "not_supported";
/// A use of a password that IAM has not written down.
const NO_INFORMATION: &str = "no_information";

const TRUE: &str = "true";
const FALSE: &str = "false";

/// Two certificates nobody has: whether each is active, and since when.
const NO_CERTIFICATES: [&str; 4] = [FALSE, NOT_APPLICABLE, FALSE, NOT_APPLICABLE];

/// The reports of all accounts.
#[derive(Default)]
pub(super) struct Reports {
    of_accounts: Mutex<HashMap<Account, AccountReports>>,
}

/// An account has one report at a time.
#[derive(Default)]
struct AccountReports {
    current: Option<Report>,
    /// How many expired.
    expired: u32,
}

struct Report {
    began_at: DateTime<Utc>,
    /// For waiting.
    began: Instant,
    /// How often one asked whether it is ready.
    polls: u32,
    csv: String,
}

impl Report {
    /// Begins one, about what there is now.
    fn begin(directory: &Directory) -> Self {
        Self { began_at: Utc::now(), began: Instant::now(), polls: 0, csv: csv_of(directory) }
    }

    /// Whether it is ready. To ask is a poll.
    fn is_ready(&mut self, ready: ReportReady) -> bool {
        self.polls = self.polls.saturating_add(1);
        match ready {
            ReportReady::AfterPolls(polls) => self.polls > polls,
            ReportReady::After(time) => self.began.elapsed() >= time,
            ReportReady::Never => false,
        }
    }
}

impl Reports {
    /// Begins the account's report, unless there is one.
    pub(super) fn generate(
        &self,
        directory: &Directory,
        settings: ReportSettings,
    ) -> GenerateCredentialReportResult {
        let mut reports = self.lock();
        let reports = reports.entry(directory.account.clone()).or_default();
        let is_ready = reports.current.as_mut().map(|report| report.is_ready(settings.ready));
        let (state, description) = match is_ready {
            Some(true) => ("COMPLETE", None),
            Some(false) => ("INPROGRESS", None),
            None => {
                reports.current = Some(Report::begin(directory));
                ("STARTED", Some("No report exists. Starting a new report generation task"))
            }
        };
        GenerateCredentialReportResult { state, description }
    }

    /// The account's report, if it is ready.
    pub(super) fn get(
        &self,
        account: &Account,
        settings: ReportSettings,
    ) -> Result<GetCredentialReportResult, Refusal> {
        let mut reports = self.lock();
        let reports = reports.entry(account.clone()).or_default();
        let Some(report) = &mut reports.current else {
            let was_one = reports.expired > 0;
            return Err(if was_one { Refusal::report_expired() } else { Refusal::report_not_present() });
        };
        if !report.is_ready(settings.ready) {
            return Err(Refusal::report_in_progress());
        }
        if reports.expired < settings.expire_unread {
            *reports = AccountReports { current: None, expired: reports.expired + 1 };
            return Err(Refusal::report_expired());
        }
        let content = STANDARD.encode(&report.csv);
        let generated_time = date(report.began_at);
        Ok(GetCredentialReportResult { content, report_format: "text/csv", generated_time })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Account, AccountReports>> {
        self.of_accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn csv_of(directory: &Directory) -> String {
    let mut lines = vec![COLUMNS.join(","), line(root(directory))];
    lines.extend(directory.users.iter().map(|user| line(row(directory, user))));
    lines.join("\n")
}

/// Names may have commas in them.
fn line(cells: impl IntoIterator<Item = String>) -> String {
    let quoted = |cell: String| if cell.contains(',') { format!("\"{cell}\"") } else { cell };
    let cells: Vec<String> = cells.into_iter().map(quoted).collect();
    cells.join(",")
}

/// Root has a password that nobody knows anything of, and, as it should be, no access keys.
fn root(directory: &Directory) -> Vec<String> {
    let oldest = directory.users.iter().map(|user| user.created_at).min();
    let opened_at = oldest.unwrap_or(DateTime::UNIX_EPOCH) - TimeDelta::days(1);
    let arn = format!("arn:aws:iam::{}:root", directory.account);
    let mut cells = vec!["<root_account>".to_owned(), arn, instant(opened_at)];
    let password = [NOT_SUPPORTED, NO_INFORMATION, NOT_SUPPORTED, NOT_SUPPORTED];
    cells.extend(password.map(str::to_owned));
    cells.push(TRUE.to_owned());
    cells.extend([None, None].into_iter().flat_map(key));
    cells.extend(NO_CERTIFICATES.map(str::to_owned));
    cells
}

/// A user has a password if it was ever used and not deleted since, and no second factor.
fn row(directory: &Directory, user: &User) -> Vec<String> {
    let mut cells = vec![user.name.clone(), directory.arn(user), instant(user.created_at)];
    cells.extend(match user.password_last_used.filter(|_| !user.password_deleted) {
        Some(used_at) => [TRUE.to_owned(), instant(used_at), instant(user.created_at), not_applicable()],
        None => [FALSE.to_owned(), not_applicable(), not_applicable(), not_applicable()],
    });
    cells.push(FALSE.to_owned());
    cells.extend([user.keys.first(), user.keys.get(1)].into_iter().flat_map(key));
    cells.extend(NO_CERTIFICATES.map(str::to_owned));
    cells
}

/// The five cells of an access key. Also one that is not active has a date: nobody has changed it since it was made, as
/// far as is known here.
fn key(key: Option<&AccessKey>) -> [String; 5] {
    let Some(key) = key else {
        return [FALSE.to_owned(), not_applicable(), not_applicable(), not_applicable(), not_applicable()];
    };
    let used = key.last_used.as_ref();
    [
        key.active.to_string(),
        instant(key.created_at),
        used.map_or_else(not_applicable, |used| instant(used.at)),
        used.map_or_else(not_applicable, |used| used.region.clone()),
        used.map_or_else(not_applicable, |used| used.service.clone()),
    ]
}

fn not_applicable() -> String {
    NOT_APPLICABLE.to_owned()
}

/// A time as the report writes it, unlike the rest of IAM: `2015-01-01T00:00:00+00:00`.
fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, false)
}
