//! An account's credential report: asked for, waited for and read. Whoever wants one decides how long it is worth.

use std::time::Duration;

use keynudge_core::credential_report::{CredentialReport, InvalidReport};
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ports::{CredentialReports, RawReport, ReportState};
use tokio::time::{sleep, timeout};

/// How long until the report is asked for again, twice as long each time: some 15 times at most, of calls that the whole
/// account shares.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum NoReport {
    /// IAM is still making it.
    #[error("IAM has not made the report in time")]
    NotReady,
    /// IAM is not to be asked for it, or had no answer for as long as there was time.
    #[error(transparent)]
    Call(#[from] CallFailed),
    /// It is not what it should be.
    #[error("the report cannot be read: {0}")]
    Invalid(#[from] InvalidReport),
}

/// The report of the account that `iam` is of, if it is to be had within `patience`.
pub async fn fetch(iam: &impl CredentialReports, patience: Duration) -> Result<CredentialReport, NoReport> {
    let mut so_far = NoReport::NotReady;
    match timeout(patience, wait_for(iam, &mut so_far)).await {
        Ok(report) => Ok(CredentialReport::read(&report?)?),
        Err(_) => Err(so_far),
    }
}

/// Asks until IAM has the report, and reads it. What keeps it from that is in `so_far`.
async fn wait_for(iam: &impl CredentialReports, so_far: &mut NoReport) -> Result<RawReport, CallFailed> {
    let mut pause = FIRST_PAUSE;
    loop {
        match ask_for(iam).await {
            Ok(Some(report)) => return Ok(report),
            Ok(None) => *so_far = NoReport::NotReady,
            Err(error) if error.class == FailureClass::Retry => *so_far = error.into(),
            Err(error) => return Err(error),
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    }
}

/// The report, if IAM has it. One that expires between the two calls is made anew by the next request.
async fn ask_for(iam: &impl CredentialReports) -> Result<Option<RawReport>, CallFailed> {
    match iam.generate_report().await? {
        ReportState::Complete => iam.report().await,
        ReportState::InProgress => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keynudge_testing::{MemoryIam, MemoryReport, failure, role_denied};
    use tokio::time::Instant;

    const REPORT: &str = "user,arn,user_creation_time,access_key_1_active,access_key_1_last_rotated,\
                          access_key_2_active,access_key_2_last_rotated\n";

    const PATIENCE: Duration = Duration::from_secs(90);

    type States = Vec<Result<ReportState, FailureClass>>;
    type Reads = Vec<Result<Option<Vec<u8>>, FailureClass>>;

    fn iam(states: States, reads: Reads) -> MemoryIam {
        let report = MemoryReport { content: REPORT.into(), ..MemoryReport::default() };
        report.states.replace(states.into());
        report.reads.replace(reads.into());
        MemoryIam { report, ..MemoryIam::default() }
    }

    fn calls(iam: &MemoryIam, name: &str) -> usize {
        iam.calls.borrow().iter().filter(|call| *call == name).count()
    }

    async fn reason(iam: &MemoryIam, patience: Duration) -> String {
        fetch(iam, patience).await.unwrap_err().to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_that_is_there_takes_two_calls() {
        let iam = iam(vec![], vec![]);
        fetch(&iam, PATIENCE).await.unwrap();
        assert_eq!(*iam.calls.borrow(), ["generate report", "report"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_in_progress_is_asked_for_until_it_is_complete_and_read_once() {
        let iam = iam(vec![Ok(ReportState::InProgress); 4], vec![]);
        fetch(&iam, PATIENCE).await.unwrap();
        assert_eq!((calls(&iam, "generate report"), calls(&iam, "report")), (5, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_call_and_a_report_that_expired_meanwhile_are_asked_for_again() {
        let states = vec![Err(FailureClass::Retry), Ok(ReportState::Complete)];
        let iam = iam(states, vec![Ok(None), Err(FailureClass::Retry)]);
        fetch(&iam, PATIENCE).await.unwrap();
        assert_eq!((calls(&iam, "generate report"), calls(&iam, "report")), (4, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_that_is_never_ready_is_given_up_after_few_calls() {
        let began = Instant::now();
        let iam = iam(vec![Ok(ReportState::InProgress); 1_000], vec![]);
        assert_eq!(reason(&iam, PATIENCE).await, "IAM has not made the report in time");
        assert_eq!(began.elapsed(), PATIENCE);
        assert!(calls(&iam, "generate report") < 20, "{:?}", iam.calls);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_does_not_answer_is_no_longer_waited_for() {
        let iam = MemoryIam { latency: Duration::from_hours(2), ..iam(vec![], vec![]) };
        reason(&iam, PATIENCE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_kept_the_report_away_until_the_end_is_the_reason() {
        let iam = iam(vec![Err(FailureClass::Retry); 1_000], vec![]);
        assert_eq!(reason(&iam, PATIENCE).await, "test:Call failed: Scripted");
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_an_operator_can_repair_is_not_waited_for() {
        let began = Instant::now();
        for class in [FailureClass::Operator, FailureClass::Never] {
            let iam = iam(vec![Err(class)], vec![]);
            assert_eq!(reason(&iam, PATIENCE).await, failure(class).to_string());
        }
        let refusing = MemoryIam { refusal: Some(role_denied()), ..MemoryIam::default() };
        let error = fetch(&refusing, PATIENCE).await.unwrap_err();
        assert!(matches!(error, NoReport::Call(error) if error.is_role_denied()));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_that_is_none_is_not_asked_for_again() {
        let iam = iam(vec![], vec![Ok(Some(b"<html>".to_vec()))]);
        let reason = reason(&iam, PATIENCE).await;
        assert_eq!(reason, "the report cannot be read: it has not one column called user");
        assert_eq!(calls(&iam, "generate report"), 1);
    }
}
