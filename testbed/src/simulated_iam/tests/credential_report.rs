//! Credential reports: what is in them, and when they are to be had.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Testbed, at, user, users};
use crate::aws::IAM;
use crate::simulated_iam::Options;
use crate::simulated_iam::account::{ReportReady, ReportSettings, Settings};
use crate::simulated_iam::directory::{AccessKey, LastUse};
use crate::{Error, Result};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GenerateCredentialReportResponse {
    generate_credential_report_result: GenerateCredentialReportResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GenerateCredentialReportResult {
    state: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetCredentialReportResponse {
    get_credential_report_result: GetCredentialReportResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetCredentialReportResult {
    content: String,
    report_format: String,
}

impl Testbed {
    fn with_reports(ready: ReportReady, expire_unread: u32) -> Self {
        let testbed = Self::with(&Options::default(), users(1));
        let report = ReportSettings { ready, expire_unread };
        testbed.iam.set_account(testbed.client.account(), Settings { report, ..Settings::default() });
        testbed
    }

    async fn generate(&self) -> String {
        let response = self.client.query(IAM, "GenerateCredentialReport", &[]).await;
        let response: GenerateCredentialReportResponse = response.unwrap();
        response.generate_credential_report_result.state
    }

    /// The report's text.
    async fn get(&self) -> Result<String> {
        let response = self.client.query(IAM, "GetCredentialReport", &[]).await?;
        let GetCredentialReportResponse { get_credential_report_result: result } = response;
        assert_eq!(result.report_format, "text/csv");
        Ok(String::from_utf8(STANDARD.decode(result.content).unwrap()).unwrap())
    }

    async fn refusal(&self) -> String {
        match self.get().await {
            Err(Error::Refused { code, .. }) => code,
            other => panic!("not refused: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_report_is_written_as_iam_writes_it() {
    let mut ada = user("ada", "/staff/");
    ada.password_last_used = Some(at("2026-01-02T03:04:05Z"));
    let last_used = Some(LastUse {
        at: at("2026-02-03T04:05:06Z"),
        region: "eu-central-1".to_owned(),
        service: "s3".to_owned(),
    });
    let created_at = at("2025-05-06T07:08:09Z");
    let used = AccessKey { id: "AKIAUSED".to_owned(), active: true, created_at, last_used };
    let off = AccessKey { id: "AKIAOFF".to_owned(), active: false, created_at, last_used: None };
    ada.keys = vec![used.clone(), off];
    let mut robot = user("robot,one", "/");
    robot.keys = vec![used];
    let mut former = user("former", "/");
    former.password_last_used = Some(at("2019-01-02T03:04:05Z"));
    former.password_deleted = true;
    let testbed = Testbed::with(&Options::default(), vec![ada, former, robot, user("zoe", "/")]);
    while testbed.generate().await != "COMPLETE" {}
    insta::assert_snapshot!(testbed.get().await.unwrap());
}

#[tokio::test]
async fn a_report_takes_as_many_polls_as_it_is_said_to() {
    let testbed = Testbed::with_reports(ReportReady::AfterPolls(2), 0);
    assert_eq!(testbed.refusal().await, "ReportNotPresent");
    assert_eq!(testbed.generate().await, "STARTED");
    assert_eq!(testbed.generate().await, "INPROGRESS");
    assert_eq!(testbed.refusal().await, "ReportInProgress");
    assert_eq!(testbed.generate().await, "COMPLETE");
    assert!(testbed.get().await.is_ok());
    assert!(testbed.get().await.is_ok(), "it stays");
    assert_eq!(testbed.generate().await, "COMPLETE");
}

#[tokio::test]
async fn a_report_may_never_be_ready() {
    for ready in [ReportReady::Never, ReportReady::After(Duration::MAX)] {
        let testbed = Testbed::with_reports(ready, 0);
        assert_eq!(testbed.generate().await, "STARTED");
        for _ in 0..10 {
            assert_eq!(testbed.generate().await, "INPROGRESS");
        }
        assert_eq!(testbed.refusal().await, "ReportInProgress");
    }
}

#[tokio::test]
async fn a_report_may_take_its_time() {
    let testbed = Testbed::with_reports(ReportReady::After(Duration::ZERO), 0);
    assert_eq!(testbed.generate().await, "STARTED");
    assert_eq!(testbed.generate().await, "COMPLETE");
}

#[tokio::test]
async fn a_report_that_expired_has_to_be_generated_again() {
    let testbed = Testbed::with_reports(ReportReady::AfterPolls(0), 1);
    assert_eq!(testbed.generate().await, "STARTED");
    assert_eq!(testbed.generate().await, "COMPLETE");
    assert_eq!(testbed.refusal().await, "ReportExpired");
    assert_eq!(testbed.refusal().await, "ReportExpired");
    assert_eq!(testbed.generate().await, "STARTED");
    assert!(testbed.get().await.is_ok());
}

#[tokio::test]
async fn a_report_says_how_things_were_when_it_was_begun() {
    let testbed = Testbed::with_reports(ReportReady::AfterPolls(0), 0);
    assert_eq!(testbed.generate().await, "STARTED");
    testbed.iam.set_users(testbed.client.account(), users(2));
    let report = testbed.get().await.unwrap();
    assert_eq!(report.lines().count(), 3, "columns, root, one user: {report}");
}

#[tokio::test]
async fn reports_are_answered_and_refused_with_iams_statuses() {
    let testbed = Testbed::with_reports(ReportReady::AfterPolls(2), 1);
    let generate = [("Action", "GenerateCredentialReport")];
    let get = [("Action", "GetCredentialReport")];
    let mut statuses = Vec::new();
    let mut wire = Vec::new();
    for call in [get, generate, get, generate, get] {
        let (status, xml) = testbed.raw(&call).await;
        statuses.push(status);
        wire.push(xml);
    }
    assert_eq!(statuses, [410, 200, 404, 200, 410], "{wire:?}");
    assert!(wire[0].contains("<Code>ReportNotPresent</Code>"), "{}", wire[0]);
    assert!(wire[1].contains("<State>STARTED</State>"), "{}", wire[1]);
}
