//! Turns a schedule into one scan per account, and a scan into one message per user.
//!
//! Every step can be repeated. A schedule that fires twice, or a scan that is done again, enqueues users a second
//! time, and they are checked a second time; who is mailed is decided by the notifier.

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use chrono::{DateTime, Utc};
use keynudge_aws::credential_report::{self, NoReport};
use keynudge_core::audience::{SkipReason, UserFilter};
use keynudge_core::credential_report::CredentialReport;
use keynudge_core::failure::CallFailed;
use keynudge_core::ids::{AccountName, RunId, UserId};
use keynudge_core::instant;
use keynudge_core::listing::{PAGES_MAX, ReportUse, Shown};
use keynudge_core::messages::{self, CheckUser, InvalidMessage, Mode, Run, ScanAccount, User};
use keynudge_core::ports::{
    AccountAliases, CredentialReports, DeadLetters, IamByAccount, ListedUser, Organization, Outbox,
    Redelivery, RoleUse, RunRecords, UserDirectory,
};
use keynudge_core::retry::WaitFor;
use keynudge_lambda::clock::Clock;
use keynudge_lambda::deadline::Deadline;
use keynudge_lambda::metrics::{Metric, Metrics};
use keynudge_lambda::outgoing::send_all;
use keynudge_lambda::records::{self, Failure, Reason, Source};
use lambda_runtime::Error;
use serde::Deserialize;
use serde_json::Value;

use crate::accounts;
use crate::config::Rules;

/// What EventBridge Scheduler replaces by the scheduled time. Emulators and people leave it as it is: it means now.
const SCHEDULED_TIME: &str = "<aws.scheduler.scheduled-time>";

/// A page is only asked for with this much time left: for the call (20 s at most), for the account's alias (as long), and for
/// sending its 1,000 users.
const TIME_FOR_A_PAGE: Duration = Duration::from_secs(50);

/// What is left for the scan, however long the credential report takes: an account's five pages and 500 batches, some 20 s, and
/// what is wanted for its last page.
const TIME_FOR_THE_SCAN: Duration = Duration::from_secs(75);

/// How long the producer waits for a credential report that saves calls. IAM takes seconds to make one, and
/// promises no limit.
const TIME_FOR_THE_REPORT: Duration = Duration::from_secs(90);

/// How long the producer waits for the report of a small account. The report saves no calls there, and an
/// organization may have thousands of such accounts.
const TIME_FOR_A_SMALL_REPORT: Duration = Duration::from_secs(10);

/// The producer, over its ports.
pub(crate) struct Producer<O, I, A, U, L, R, C> {
    pub(crate) organization: O,
    pub(crate) iam: I,
    pub(crate) accounts: A,
    pub(crate) users: U,
    pub(crate) source: Source<L, R, C>,
    pub(crate) rules: Rules,
}

/// What the producer is invoked with.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) enum Trigger {
    /// The schedule, or a person: start a run.
    Schedule(Schedule),
    /// The accounts queue: scan accounts.
    Records(SqsEvent),
}

/// Starts a run.
#[derive(Debug, Deserialize)]
pub(crate) struct Schedule {
    /// The instant to judge keys at; now, where it is left out.
    as_of: Option<String>,
    mode: Mode,
    /// The id of a run that an operator starts; derived from the instant, where it is left out.
    run_id: Option<RunId>,
}

impl TryFrom<Value> for Trigger {
    type Error = Error;

    fn try_from(event: Value) -> Result<Self, Error> {
        if event.get("Records").is_some() {
            Ok(Self::Records(serde_json::from_value(event)?))
        } else {
            Ok(Self::Schedule(messages::parse(&event.to_string())?))
        }
    }
}

/// Why an account's users are not enqueued.
enum NotScanned {
    /// The account does not let us in.
    RoleDenied(CallFailed),
    /// Anything else.
    Failed(Failure),
}

impl<O, I, A, U, L, R, C> Producer<O, I, A, U, L, R, C>
where
    O: Organization,
    I: IamByAccount<Iam: UserDirectory + AccountAliases + CredentialReports>,
    A: Outbox<ScanAccount>,
    U: Outbox<CheckUser>,
    L: DeadLetters,
    R: Redelivery,
    C: RunRecords,
{
    /// Starts a run (no answer), or scans the accounts of a batch (the answer for SQS).
    pub(crate) async fn handle(
        &self,
        trigger: Trigger,
        deadline: Deadline,
        metrics: &Metrics,
    ) -> Result<Option<SqsBatchResponse>, Error> {
        match trigger {
            Trigger::Schedule(schedule) => self.start(&schedule, deadline, metrics).await.map(|()| None),
            Trigger::Records(event) => {
                let scans = records::read(event, self.rules.as_of.limit(self.source.clock))?;
                let task = async |scan| self.scan(scan, deadline, metrics).await;
                let scans = records::work(scans, 1, deadline, TIME_FOR_A_PAGE, task).await;
                Ok(Some(records::respond(scans, &self.source, deadline, metrics).await))
            }
        }
    }

    /// Enqueues the scans of a run. An error is retried by Lambda, and then put in the queue for failed invocations.
    async fn start(&self, schedule: &Schedule, deadline: Deadline, metrics: &Metrics) -> Result<(), Error> {
        let clock = self.source.clock;
        let mut run = Run::at(schedule.instant(clock)?, schedule.mode);
        if let Some(run_id) = &schedule.run_id {
            run.run_id = run_id.clone();
        }
        self.rules.as_of.limit(clock).check(&run)?;
        let accounts = accounts::of(&self.rules.scope, &self.organization, deadline).await?;
        if let Err(error) = self.source.run_records.start(&run, accounts.len(), clock()).await {
            // A run that is not listed mails as well as any other.
            tracing::warn!(%error, "the run is missing in the list of runs");
        }
        let scans: Vec<ScanAccount> = accounts
            .into_iter()
            .map(|account| ScanAccount {
                run: run.clone(),
                account_id: account.id,
                account_name: account.name,
            })
            .collect();
        send_all(&self.accounts, &scans).await.into_iter().collect::<Result<(), _>>()?;
        metrics.add(Metric::ScansEnqueued, scans.len());
        for scan in &scans {
            records::log_outcome("scan_enqueued", scan);
        }
        Ok(())
    }

    /// Scans one account. An account that denies its role is tried once more, and then left out of the run:
    /// the scan is done and counted, an alarm fires, and the next run asks again. More tries would not change
    /// that outcome, and a dead letter would repeat it.
    async fn scan(&self, scan: ScanAccount, deadline: Deadline, metrics: &Metrics) -> Result<(), Failure> {
        records::check_account(&scan, &self.rules.scope)?;
        let counts = Metrics::default();
        // What a scan that was done before may have found, and this one does not, must not stay in the record.
        let reasons = SkipReason::NOT_ENQUEUED.map(Metric::from);
        let never_missing = [Metric::AccountsDenied, Metric::CredentialReportsUnavailable];
        for metric in never_missing.into_iter().chain(reasons) {
            counts.add(metric, 0);
        }
        let outcome = match self.enqueue_users(&scan, &counts, deadline, metrics).await {
            Ok(()) => {
                counts.count(Metric::ScansCompleted);
                "scanned"
            }
            Err(NotScanned::RoleDenied(error)) => {
                tracing::warn!(account_id = scan.account_id.as_str(), %error, "the account does not let us in");
                let again_after = self.rules.denied_role_delay;
                records::leave_out(&self.source, &scan, RoleUse::Scan, again_after, deadline).await?;
                counts.count(Metric::AccountsDenied);
                "role_denied"
            }
            Err(NotScanned::Failed(failure)) => return Err(failure),
        };
        records::set_counts(&self.source, &scan, &counts, deadline, metrics).await;
        metrics.merge(&counts);
        records::log_outcome(outcome, &scan);
        Ok(())
    }

    /// Lists the account page by page and enqueues its users. Fails as a whole: it is then done again from the first
    /// page, so nobody is left out because one page could not be read, and counts only once it is complete.
    async fn enqueue_users(
        &self,
        scan: &ScanAccount,
        counts: &Metrics,
        deadline: Deadline,
        metrics: &Metrics,
    ) -> Result<(), NotScanned> {
        let iam = self.iam.iam(&scan.account_id).await;
        let as_of = scan.run.as_of;
        let mut report = None;
        let mut account_name = None;
        let mut marker = None;
        let mut shown = Shown::default();
        for _ in 0..PAGES_MAX {
            if deadline.leaves_less_than(TIME_FOR_A_PAGE) {
                return Err(records::out_of_time().into());
            }
            let mut page = iam.users_page(marker.as_deref()).await?;
            if marker.is_none() {
                account_name = name(&iam, scan).await;
                if let Some(report_use) = self.rules.listing.report_use(&page, as_of) {
                    report = self.credential_report(&iam, scan, report_use, counts, deadline).await?;
                }
            }
            shown.remove_from(&mut page);
            counts.add(Metric::UsersListed, page.users.len() + page.unreadable.len());
            counts.add(Metric::UsersUnreadable, page.unreadable.len());
            for user in &page.unreadable {
                let user_id = user.id.as_ref().map(UserId::as_str);
                let account_id = scan.account_id.as_str();
                tracing::warn!(account_id, user_id, problem = user.problem, "a user cannot be checked");
            }
            let enqueued =
                |listed: &ListedUser| match self.rules.listing.skips(listed, as_of, report.as_ref()) {
                    Some(reason) => {
                        counts.count(reason.into());
                        false
                    }
                    None => true,
                };
            let users = page.users.into_iter().filter(enqueued).map(|listed| listed.user);
            let checks = checks(scan, account_name.as_ref(), users);
            counts.add(Metric::UsersEnqueued, checks.len());
            let sent = send_all(&self.users, &checks).await;
            // Those that were taken will be checked, even if the scan has to be done again for the others.
            metrics.add_for(scan, Metric::ChecksSent, sent.iter().filter(|sent| sent.is_ok()).count());
            sent.into_iter().collect::<Result<(), _>>()?;
            marker = page.next;
            if marker.is_none() {
                return Ok(());
            }
        }
        let detail = "the list of users has more pages than there can be";
        Err(Failure::GiveBack(Reason::new("endless_list", detail), WaitFor::Service).into())
    }

    /// The account's credential report, where it is wanted and can be had. Without, all users are checked.
    async fn credential_report(
        &self,
        iam: &impl CredentialReports,
        scan: &ScanAccount,
        report_use: ReportUse,
        counts: &Metrics,
        deadline: Deadline,
    ) -> Result<Option<CredentialReport>, NotScanned> {
        if self.rules.user_filter == UserFilter::None {
            return Ok(None);
        }
        let longest = match report_use {
            ReportUse::SavesCalls => TIME_FOR_THE_REPORT,
            ReportUse::ShowsPasswords => TIME_FOR_A_SMALL_REPORT,
        };
        let patience = longest.min(deadline.leaves_beside(TIME_FOR_THE_SCAN));
        match credential_report::fetch(iam, patience).await {
            Ok(report) => Ok(Some(report)),
            Err(NoReport::Call(error)) if error.is_role_denied() => Err(NotScanned::RoleDenied(error)),
            Err(error) => {
                let account_id = scan.account_id.as_str();
                tracing::warn!(account_id, %error, "without a credential report, all users are checked");
                counts.count(Metric::CredentialReportsUnavailable);
                Ok(None)
            }
        }
    }
}

/// The messages for `users`.
fn checks(
    scan: &ScanAccount,
    account_name: Option<&AccountName>,
    users: impl Iterator<Item = User>,
) -> Vec<CheckUser> {
    let check = |user| CheckUser {
        run: scan.run.clone(),
        account_id: scan.account_id.clone(),
        account_name: account_name.cloned(),
        user,
        found_at: None,
    };
    users.map(check).collect()
}

impl From<Failure> for NotScanned {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<CallFailed> for NotScanned {
    fn from(error: CallFailed) -> Self {
        if error.is_role_denied() { Self::RoleDenied(error) } else { Self::Failed(error.into()) }
    }
}

/// What people call the account: its alias, which they sign in by, or else what its organization calls it. A courtesy to
/// those who are mailed, so that no scan fails for it.
async fn name(iam: &impl AccountAliases, scan: &ScanAccount) -> Option<AccountName> {
    let alias = iam.alias().await.unwrap_or_else(|error| {
        tracing::warn!(account_id = scan.account_id.as_str(), %error, "the account's alias is not known");
        None
    });
    alias.or_else(|| scan.account_name.clone())
}

impl Schedule {
    /// The instant at which the run judges keys.
    fn instant(&self, clock: Clock) -> Result<DateTime<Utc>, InvalidMessage> {
        let as_of = match self.as_of.as_deref() {
            None | Some(SCHEDULED_TIME) => return Ok(clock()),
            Some(as_of) => as_of.parse::<DateTime<Utc>>().ok(),
        };
        as_of
            .filter(|as_of| instant::is_plausible(*as_of))
            .ok_or_else(|| InvalidMessage::Invalid("as_of".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use chrono::TimeDelta;
    use keynudge_core::accounts::{Account, Scope};
    use keynudge_core::audience::{Audience, PathPrefix};
    use keynudge_core::failure::FailureClass;
    use keynudge_core::keys::StalenessPolicy;
    use keynudge_core::listing::{ListingRules, USERS_WITHOUT_A_REPORT_MAX};
    use keynudge_core::ports::ReportState;
    use keynudge_lambda::vars::AsOfRule;
    use keynudge_testing::{
        ACCOUNT, MemoryAccounts, MemoryDeadLetters, MemoryIam, MemoryOrganization, MemoryQueue,
        MemoryRedelivery, MemoryRunRecords, NOW, event, failure, given_back, no_time, now, plenty_of_time,
        role_denied, run, source, user,
    };
    use serde_json::json;

    type TestProducer = Producer<
        MemoryOrganization,
        MemoryAccounts,
        MemoryQueue<ScanAccount>,
        MemoryQueue<CheckUser>,
        MemoryDeadLetters,
        MemoryRedelivery,
        MemoryRunRecords,
    >;

    const DENIED_ROLE_DELAY: Duration = Duration::from_mins(10);

    /// A producer whose account denies its role, and first did so in this run `minutes_ago`.
    fn denied_since(minutes_ago: i64) -> TestProducer {
        let mut producer = producer(vec![Ok(listed(0..3))]);
        producer.iam.own().refusal = Some(role_denied());
        let since = now() - TimeDelta::minutes(minutes_ago);
        producer.source.run_records.deny(ACCOUNT, RoleUse::Scan, since);
        producer
    }

    fn producer(pages: Vec<Result<Vec<ListedUser>, FailureClass>>) -> TestProducer {
        Producer {
            organization: MemoryOrganization::default(),
            iam: MemoryAccounts::one(MemoryIam { pages, ..MemoryIam::default() }),
            accounts: MemoryQueue::default(),
            users: MemoryQueue::default(),
            source: source(),
            rules: Rules {
                scope: scope(None),
                listing: ListingRules {
                    audience: Audience::SignedInUsers,
                    path_prefix: PathPrefix::default(),
                    staleness: StalenessPolicy::without_stages(90.try_into().unwrap()),
                },
                user_filter: UserFilter::None,
                denied_role_delay: DENIED_ROLE_DELAY,
                as_of: AsOfRule::NotAhead,
            },
        }
    }

    fn scope(accounts: Option<&str>) -> Scope {
        let accounts = accounts.map(|accounts| accounts.parse().unwrap());
        Scope::new(ACCOUNT.parse().unwrap(), accounts, [].into(), [].into()).unwrap()
    }

    fn scan_of(run: Run, account_id: &str) -> ScanAccount {
        ScanAccount { run, account_id: account_id.parse().unwrap(), account_name: None }
    }

    fn listed(numbers: std::ops::Range<u32>) -> Vec<ListedUser> {
        let listed = |number| ListedUser { user: user(&format!("user-{number}")), path: "/".to_owned() };
        numbers.map(listed).collect()
    }

    fn scan_event() -> Value {
        let scan = scan_of(run(), ACCOUNT);
        serde_json::to_value(event(&[serde_json::to_string(&scan).unwrap()])).unwrap()
    }

    async fn invoke(producer: &TestProducer, event: Value) -> Result<Option<SqsBatchResponse>, Error> {
        producer.handle(serde_json::from_value(event)?, plenty_of_time(), &Metrics::default()).await
    }

    fn names(checks: &[CheckUser]) -> Vec<&str> {
        checks.iter().map(|check| check.user.name.as_str()).collect()
    }

    #[tokio::test]
    async fn the_schedule_enqueues_a_scan_of_this_account_as_of_the_scheduled_time() {
        let producer = producer(vec![]);
        let as_of = "2026-03-01T05:00:00Z";
        let answer = invoke(&producer, json!({"as_of": as_of, "mode": "live"})).await.unwrap();
        assert!(answer.is_none());
        let run = Run::at(as_of.parse().unwrap(), Mode::Live);
        assert_eq!(producer.accounts.take(), [scan_of(run, ACCOUNT)]);
    }

    #[tokio::test]
    async fn a_run_that_an_operator_starts_keeps_its_own_id() {
        let producer = producer(vec![]);
        let start =
            |run_id: &str| json!({"as_of": "2026-03-01T05:00:00Z", "mode": "dry_run", "run_id": run_id});
        for run_id in ["2026-03-01T06:00:00Z-3f9c", "2026-03-01T06:00:00Z-3f9d"] {
            invoke(&producer, start(run_id)).await.unwrap();
            let [scan] = producer.accounts.take().try_into().unwrap();
            assert_eq!((scan.run.run_id.as_str(), scan.run.mode), (run_id, Mode::DryRun));
            assert_eq!(scan.run.as_of, "2026-03-01T05:00:00Z".parse::<DateTime<Utc>>().unwrap());
        }
        invoke(&producer, start("no such id")).await.unwrap_err();
        assert!(producer.accounts.take().is_empty());
    }

    #[tokio::test]
    async fn the_schedule_enqueues_one_scan_for_each_account_of_the_organization() {
        let mut producer = producer(vec![]);
        producer.rules.scope = scope(Some("organization"));
        let account = |id: &str, name: &str| Account { id: id.parse().unwrap(), name: name.parse().ok() };
        let accounts = vec![
            account("111111111111", "payments"),
            account("222222222222", "labs"),
            account(ACCOUNT, "management"),
        ];
        producer.organization.accounts = [("r-ab12".parse().unwrap(), accounts)].into();
        let metrics = Metrics::default();
        let trigger = serde_json::from_value(json!({"mode": "live"})).unwrap();
        producer.handle(trigger, plenty_of_time(), &metrics).await.unwrap();
        let scans = producer.accounts.take();
        let named: Vec<_> = scans
            .iter()
            .map(|scan| (scan.account_id.as_str(), scan.account_name.as_ref().unwrap().as_str()))
            .collect();
        assert_eq!(named, [("111111111111", "payments"), (ACCOUNT, "management"), ("222222222222", "labs")]);
        assert!(scans.iter().all(|scan| scan.run == run()));
        assert_eq!(metrics.get(Metric::ScansEnqueued), 3);
        assert_eq!(producer.source.run_records.started(), [(run(), 3)]);
    }

    #[tokio::test]
    async fn an_organization_that_cannot_be_listed_fails_the_invocation() {
        let mut producer = producer(vec![]);
        producer.rules.scope = scope(Some("organization"));
        producer.organization.refusal = Some(failure(FailureClass::Operator));
        let error = invoke(&producer, json!({"mode": "live"})).await.unwrap_err();
        assert_eq!(error.to_string(), "test:Call failed: Scripted");
        assert_eq!((producer.accounts.take(), producer.source.run_records.started()), (vec![], vec![]));
    }

    #[tokio::test]
    async fn an_account_that_denies_the_role_is_one_outcome_however_often_it_is_scanned() {
        let mut producer = denied_since(10);
        for _ in 0..2 {
            let answer = invoke(&producer, scan_event()).await.unwrap().unwrap();
            assert_eq!(given_back(&answer), Vec::<&str>::new());
            assert_eq!(producer.source.dead_letters.take(), []);
        }
        assert_eq!(producer.users.take(), []);
        let recorded = |producer: &TestProducer, name| producer.source.run_records.get(&run(), name);
        assert_eq!((recorded(&producer, "AccountsDenied"), recorded(&producer, "ScansCompleted")), (1, 0));

        producer.iam.own().refusal = None;
        invoke(&producer, scan_event()).await.unwrap();
        assert_eq!((recorded(&producer, "AccountsDenied"), recorded(&producer, "ScansCompleted")), (0, 1));
        assert_eq!(producer.users.take().len(), 3, "once it is repaired");
    }

    #[tokio::test]
    async fn an_account_that_denies_the_role_is_tried_again_after_ten_minutes_before_it_is_left_out() {
        let mut producer = producer(vec![Ok(listed(0..3))]);
        producer.iam.own().refusal = Some(role_denied());
        let answer = invoke(&producer, scan_event()).await.unwrap().unwrap();
        assert_eq!(given_back(&answer), ["record-0"]);
        let delay = producer.source.redelivery.of_record(0).unwrap().as_secs();
        assert!((600..=605).contains(&delay), "{delay} s");
        let recorded = |name| producer.source.run_records.get(&run(), name);
        assert_eq!(recorded("AccountsDenied"), 0);

        producer.iam.own().refusal = None;
        invoke(&producer, scan_event()).await.unwrap();
        let recorded = |name| producer.source.run_records.get(&run(), name);
        assert_eq!((recorded("AccountsDenied"), recorded("ScansCompleted")), (0, 1));
        assert_eq!(producer.users.take().len(), 3, "the role was deployed a moment ago");
    }

    #[tokio::test]
    async fn an_account_is_left_out_when_it_has_denied_the_role_for_ten_minutes() {
        for (minutes_ago, is_left_out) in [(9, false), (10, true), (60, true), (-5, false)] {
            let producer = denied_since(minutes_ago);
            let answer = invoke(&producer, scan_event()).await.unwrap().unwrap();
            assert_eq!(given_back(&answer).is_empty(), is_left_out, "{minutes_ago}");
            let recorded = producer.source.run_records.get(&run(), "AccountsDenied");
            assert_eq!(recorded, u64::from(is_left_out), "{minutes_ago}");
        }
    }

    #[tokio::test]
    async fn without_the_runs_records_a_denied_account_is_not_left_out_yet() {
        let mut producer = denied_since(10);
        producer.source.run_records = MemoryRunRecords::broken();
        let answer = invoke(&producer, scan_event()).await.unwrap().unwrap();
        assert_eq!(given_back(&answer), ["record-0"]);
    }

    #[tokio::test]
    async fn an_account_is_called_by_its_alias_or_else_by_its_name_in_the_organization() {
        let mut producer = producer(vec![Ok(listed(0..1))]);
        let scan = ScanAccount { account_name: "Payments".parse().ok(), ..scan_of(run(), ACCOUNT) };
        let event = serde_json::to_value(event(&[serde_json::to_string(&scan).unwrap()])).unwrap();
        let called = async |producer: &TestProducer| {
            invoke(producer, event.clone()).await.unwrap();
            let [check] = producer.users.take().try_into().unwrap();
            check.account_name.map(|name| name.as_str().to_owned())
        };
        assert_eq!(called(&producer).await.as_deref(), Some("Payments"));
        producer.iam.own().alias = "payments-prod".parse().ok();
        assert_eq!(called(&producer).await.as_deref(), Some("payments-prod"));
        producer.iam.own().failing = [("alias", FailureClass::Operator)].into();
        assert_eq!(called(&producer).await.as_deref(), Some("Payments"), "nobody waits for a name");
    }

    #[tokio::test]
    async fn a_placeholder_that_arrives_unfilled_means_now() {
        let producer = producer(vec![]);
        for event in [json!({"as_of": SCHEDULED_TIME, "mode": "dry_run"}), json!({"mode": "dry_run"})] {
            invoke(&producer, event).await.unwrap();
            assert_eq!(producer.accounts.take()[0].run, Run::at(now(), Mode::DryRun));
        }
    }

    #[tokio::test]
    async fn a_run_that_makes_no_sense_is_not_started() {
        let producer = producer(vec![]);
        let ahead = (now() + TimeDelta::days(30)).to_rfc3339();
        for (event, error) in [
            (json!({}), "missing field `mode`"),
            (json!({"as_of": NOW, "mode": "alive"}), "mode is not live or dry_run"),
            (json!({"as_of": 5, "mode": "live"}), "as_of is not a string"),
            (json!({"as_of": "soon", "mode": "live"}), "as_of is invalid"),
            (json!({"as_of": "+12026-03-01T06:00:00Z", "mode": "dry_run"}), "as_of is invalid"),
            (json!({"as_of": "1969-12-31T23:59:59Z", "mode": "dry_run"}), "as_of is invalid"),
            (
                json!({"as_of": ahead, "mode": "live"}),
                "as_of is more than 24 hours ahead, which only a dry run may ask for",
            ),
        ] {
            assert_eq!(invoke(&producer, event).await.unwrap_err().to_string(), error);
        }
        assert_eq!(producer.accounts.take(), []);
    }

    #[tokio::test]
    async fn a_scan_that_cannot_be_enqueued_fails_the_invocation() {
        let mut producer = producer(vec![]);
        producer.accounts = MemoryQueue::refusing(|_| Some(FailureClass::Operator));
        assert!(invoke(&producer, json!({"mode": "live"})).await.is_err());
    }

    #[tokio::test]
    async fn every_user_of_every_page_is_enqueued() {
        let producer = producer(vec![Ok(listed(0..1_000)), Ok(vec![]), Ok(listed(1_000..1_234))]);
        let answer = invoke(&producer, scan_event()).await.unwrap().unwrap();
        assert_eq!(given_back(&answer), Vec::<&str>::new());
        let checks = producer.users.take();
        assert_eq!(checks.len(), 1_234);
        assert!(checks.iter().zip(listed(0..1_234)).all(|(check, listed)| check.user == listed.user));
        assert!(checks.iter().all(|check| check.run == run() && check.account_id.as_str() == ACCOUNT));
    }

    #[tokio::test]
    async fn a_user_on_two_pages_is_one_user() {
        let mut renamed = listed(3..4);
        renamed[0].user.name = "renamed".parse().unwrap();
        let pages = vec![Ok(listed(0..5)), Ok([listed(4..7), renamed].concat()), Ok(listed(0..1))];
        let producer = producer(pages);
        let counts = counted(&producer).await;
        assert_eq!(names(&producer.users.take()), (0..7).map(|n| format!("user-{n}")).collect::<Vec<_>>());
        assert_eq!((counts["UsersListed"], counts["UsersEnqueued"]), (7, 7));
    }

    #[tokio::test]
    async fn who_is_not_in_the_audience_is_skipped_and_counted() {
        let mut never = listed(0..1);
        never[0].user.password_last_used = None;
        let mut elsewhere = listed(1..3);
        for robot in &mut elsewhere {
            robot.path = "/robots/".to_owned();
        }
        let mut people = listed(3..6);
        for person in never.iter_mut().chain(&mut people) {
            person.path = "/people/".to_owned();
        }
        let mut producer = producer(vec![Ok([never, elsewhere, people].concat())]);
        producer.rules.listing.path_prefix = "/people/".parse().unwrap();
        producer.iam.own().unreadable = 1;

        let metrics = Metrics::default();
        let trigger = serde_json::from_value(scan_event()).unwrap();
        producer.handle(trigger, plenty_of_time(), &metrics).await.unwrap();
        assert_eq!(names(&producer.users.take()), ["user-3", "user-4", "user-5"]);
        let counts = [
            (Metric::ScansCompleted, 1),
            (Metric::UsersListed, 7),
            (Metric::UsersUnreadable, 1),
            (Metric::UsersEnqueued, 3),
            (Metric::UsersSkippedNeverSignedIn, 1),
            (Metric::UsersSkippedOutsidePath, 2),
        ];
        for (metric, count) in counts {
            assert_eq!(metrics.get(metric), count, "{metric:?}");
        }
    }

    /// What came of a scan, by the metrics' names, without those that are 0.
    async fn counted(producer: &TestProducer) -> BTreeMap<&'static str, u64> {
        let metrics = Metrics::default();
        let trigger = serde_json::from_value(scan_event()).unwrap();
        let answer = producer.handle(trigger, plenty_of_time(), &metrics).await.unwrap().unwrap();
        assert_eq!(given_back(&answer), Vec::<&str>::new());
        let mut counts = metrics.counts();
        for reason in SkipReason::NOT_ENQUEUED {
            let name = Metric::from(reason).name();
            assert!(counts.contains_key(name), "{name} is counted even if nobody was skipped for it");
        }
        // All records of tests were delivered before.
        counts.retain(|name, n| *n > 0 && *name != Metric::ChecksRedelivered.name());
        counts
    }

    #[tokio::test]
    async fn who_is_younger_than_a_stale_key_is_skipped_and_counted() {
        let mut users = listed(0..4);
        let ages = [TimeDelta::days(90), TimeDelta::days(90) - TimeDelta::seconds(1), TimeDelta::days(-3)];
        for (listed, age) in users.iter_mut().zip(ages) {
            listed.user.created_at = now() - age;
        }
        let producer = producer(vec![Ok(users)]);
        let counts = counted(&producer).await;
        assert_eq!((counts["UsersSkippedTooYoung"], counts["UsersEnqueued"]), (2, 2));
        assert_eq!(names(&producer.users.take()), ["user-0", "user-3"]);
        assert_eq!(producer.source.run_records.get(&run(), "UsersSkippedTooYoung"), 2);
        assert!(!producer.iam.0.values().any(|iam| iam.calls.borrow().contains(&"generate report".into())));
    }

    /// Producer of an account with six users, of whom its credential report says: no key, a key switched off, a new key (twice), an
    /// old one, and nothing.
    fn with_report() -> TestProducer {
        let mut producer = producer(vec![Ok(listed(0..3)), Ok(listed(3..6))]);
        producer.rules.user_filter = UserFilter::CredentialReport;
        let (old, new) = ("2025-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
        let keys = [("false", "N/A"), ("false", old), ("true", new), ("true", new), ("true", old)];
        let row = |(listed, (active, changed_at)): (ListedUser, (&str, &str))| {
            let User { name, arn, created_at, .. } = listed.user;
            let (name, arn, created_at) = (name.as_str(), arn.as_str(), created_at.to_rfc3339());
            format!("\n{name},{arn},{created_at},{active},{changed_at},false,N/A")
        };
        let heading = "user,arn,user_creation_time,access_key_1_active,access_key_1_last_rotated,\
                       access_key_2_active,access_key_2_last_rotated";
        let rows: String = listed(0..5).into_iter().zip(keys).map(row).collect();
        producer.iam.own().report.content = format!("{heading}{rows}").into();
        producer
    }

    /// The role's session may end between the list and the report.
    #[tokio::test]
    async fn an_account_that_denies_its_role_when_its_report_is_read_is_left_out() {
        let mut producer = with_report();
        producer.iam.own().denied_at = Some("generate report");
        producer.source.run_records.deny(ACCOUNT, RoleUse::Scan, now() - TimeDelta::minutes(11));
        let counts = counted(&producer).await;
        assert_eq!(
            (counts.get("AccountsDenied"), counts.get("CredentialReportsUnavailable")),
            (Some(&1), None)
        );
        assert_eq!(producer.users.take().len(), 0);
    }

    #[tokio::test]
    async fn who_has_no_old_key_according_to_the_credential_report_is_skipped_and_counted() {
        let producer = with_report();
        let counts = counted(&producer).await;
        assert_eq!(names(&producer.users.take()), ["user-4", "user-5"]);
        let expected = [
            ("ChecksSent", 2),
            ("ScansCompleted", 1),
            ("UsersEnqueued", 2),
            ("UsersListed", 6),
            ("UsersSkippedNoActiveKey", 2),
            ("UsersSkippedNoOldKey", 2),
        ];
        assert_eq!(counts, expected.into());
    }

    #[tokio::test]
    async fn who_has_no_password_any_more_is_skipped_and_counted_however_few_they_are() {
        let mut producer = with_report();
        let report = &mut producer.iam.own().report;
        let text = String::from_utf8(std::mem::take(&mut report.content)).unwrap();
        let mut lines = text.lines().map(|line| format!("{line},false")).collect::<Vec<_>>();
        lines[0] = lines[0].replace(",false", ",password_enabled");
        report.content = lines.join("\n").into();
        report.generated_at = Some(now());
        let mut users = listed(0..5);
        users[3].user.password_last_used = Some(now() + TimeDelta::minutes(1));
        producer.iam.own().pages = vec![Ok(users)];
        let counts = counted(&producer).await;
        assert_eq!((counts["UsersListed"], counts["UsersSkippedNoPassword"]), (5, 4));
        assert_eq!(counts["UsersSkippedNoOldKey"], 1, "signed in since");
        assert_eq!(producer.source.run_records.get(&run(), "UsersSkippedNoPassword"), 4);

        producer.rules.listing.audience = Audience::All;
        producer.iam.own().calls.take();
        assert_eq!(counted(&producer).await["UsersEnqueued"], 5);
        assert!(!producer.iam.own().calls.take().contains(&"generate report".to_owned()));
    }

    #[tokio::test]
    async fn a_few_users_are_asked_about_without_a_report() {
        let mut producer = with_report();
        producer.rules.listing.audience = Audience::All;
        for (users, asked) in [(USERS_WITHOUT_A_REPORT_MAX, 0), (USERS_WITHOUT_A_REPORT_MAX + 1, 1)] {
            producer.iam.own().pages = vec![Ok(listed(0..users.try_into().unwrap()))];
            producer.iam.own().calls.take();
            counted(&producer).await;
            let calls = producer.iam.own().calls.take();
            assert_eq!(
                calls.iter().filter(|call| *call == "generate report").count(),
                asked,
                "{users} users"
            );
        }
    }

    #[tokio::test]
    async fn what_the_list_of_users_shows_counts_before_the_report() {
        let mut producer = with_report();
        let Ok(page) = &mut producer.iam.own().pages[0] else { unreachable!() };
        page[0].user.password_last_used = None;
        page[1].user.created_at = now();
        let counts = counted(&producer).await;
        assert_eq!(counts["UsersSkippedNeverSignedIn"], 1);
        assert_eq!(counts["UsersSkippedTooYoung"], 1);
        assert!(!counts.contains_key("UsersSkippedNoActiveKey"), "{counts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_report_all_users_are_checked_and_the_run_record_says_so() {
        let never_ready = || vec![Ok(ReportState::InProgress); 1_000];
        for states in [never_ready(), vec![Err(FailureClass::Operator)], vec![]] {
            let mut producer = with_report();
            if states.is_empty() {
                producer.iam.own().report.content = b"no report".into();
            }
            producer.iam.own().report.states.replace(states.into());
            let counts = counted(&producer).await;
            assert_eq!((counts["UsersEnqueued"], counts["CredentialReportsUnavailable"]), (6, 1));

            producer.iam.own().report = with_report().iam.own().report.clone();
            counted(&producer).await;
            let recorded = |name| producer.source.run_records.get(&run(), name);
            assert_eq!(recorded("CredentialReportsUnavailable"), 0, "set anew by a scan that is done again");
            assert_eq!((recorded("UsersEnqueued"), recorded("UsersSkippedNoOldKey")), (2, 2));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_account_does_not_wait_long_for_a_report_that_saves_no_calls() {
        for (users, audience, waited, enqueued) in [
            (20, Audience::SignedInUsers, TIME_FOR_A_SMALL_REPORT, 20),
            (21, Audience::SignedInUsers, TIME_FOR_THE_REPORT, 21),
            (20, Audience::All, Duration::ZERO, 20),
        ] {
            let mut producer = with_report();
            producer.rules.listing.audience = audience;
            producer.iam.own().pages = vec![Ok(listed(0..users))];
            producer.iam.own().report.states.replace(vec![Ok(ReportState::InProgress); 1_000].into());
            let began = tokio::time::Instant::now();
            let counts = counted(&producer).await;
            assert_eq!(began.elapsed(), waited, "{users} users, {audience:?}");
            let without_report = counts.get("CredentialReportsUnavailable").copied().unwrap_or_default();
            assert_eq!((counts["UsersEnqueued"], without_report), (enqueued, u64::from(!waited.is_zero())));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_scan_has_its_time_even_if_the_report_never_comes() {
        for (time, asked) in [(TIME_FOR_THE_SCAN + Duration::from_secs(5), 4), (TIME_FOR_THE_SCAN, 1)] {
            let mut producer = with_report();
            producer.iam.own().report.states.replace(vec![Ok(ReportState::InProgress); 1_000].into());
            let deadline = Deadline::after(time);
            let trigger = serde_json::from_value(scan_event()).unwrap();
            producer.handle(trigger, deadline, &Metrics::default()).await.unwrap();
            assert!(!deadline.leaves_less_than(TIME_FOR_THE_SCAN));
            let calls = producer.iam.own().calls.take();
            assert_eq!(calls.iter().filter(|call| *call == "generate report").count(), asked);
        }
    }

    #[tokio::test]
    async fn an_account_that_denies_the_role_is_no_account_without_a_report() {
        let mut producer = with_report();
        producer.iam.own().refusal = Some(role_denied());
        producer.source.run_records.deny(ACCOUNT, RoleUse::Scan, now() - TimeDelta::minutes(10));
        let counts = counted(&producer).await;
        assert_eq!(counts, [("AccountsDenied", 1)].into());
    }

    #[tokio::test]
    async fn a_run_is_listed_and_its_scan_recorded_once_however_often_it_is_done() {
        let producer = producer(vec![Ok(listed(0..12))]);
        invoke(&producer, json!({"mode": "live"})).await.unwrap();
        assert_eq!(producer.source.run_records.started(), [(run(), 1)]);
        for _ in 0..2 {
            invoke(&producer, scan_event()).await.unwrap();
        }
        let recorded = |name| producer.source.run_records.get(&run(), name);
        assert_eq!((recorded("UsersListed"), recorded("UsersEnqueued")), (12, 12));
        assert_eq!(recorded("ChecksSent"), 24, "so many checks may be counted");
    }

    #[tokio::test]
    async fn checks_that_were_taken_are_counted_though_their_scan_has_to_be_done_again() {
        let mut producer = producer(vec![Ok(listed(0..12))]);
        let refuse =
            |check: &CheckUser| (check.user.name.as_str() == "user-7").then_some(FailureClass::Operator);
        producer.users = MemoryQueue::refusing(refuse);
        let answer = invoke(&producer, scan_event()).await.unwrap().unwrap();
        assert_eq!(given_back(&answer), ["record-0"]);
        let recorded = |name| producer.source.run_records.get(&run(), name);
        assert_eq!((recorded("ChecksSent"), recorded("UsersEnqueued")), (11, 0));
    }

    #[tokio::test]
    async fn records_that_cannot_be_kept_stop_no_run() {
        let mut producer = producer(vec![Ok(listed(0..2))]);
        producer.source.run_records = MemoryRunRecords::broken();
        invoke(&producer, json!({"mode": "live"})).await.unwrap();
        let answer = invoke(&producer, scan_event()).await.unwrap().unwrap();
        assert_eq!((given_back(&answer), producer.accounts.take().len()), (vec![], 1));
        assert_eq!(names(&producer.users.take()), ["user-0", "user-1"]);
    }

    #[tokio::test]
    async fn a_list_that_was_throttled_is_not_taken_for_its_end() {
        let producer = producer(vec![Ok(listed(0..10)), Err(FailureClass::Retry), Ok(listed(10..20))]);
        let metrics = Metrics::default();
        let trigger = serde_json::from_value(scan_event()).unwrap();
        let answer = producer.handle(trigger, plenty_of_time(), &metrics).await.unwrap().unwrap();
        assert_eq!(given_back(&answer), ["record-0"]);
        assert_eq!((metrics.get(Metric::ScansCompleted), metrics.get(Metric::UsersListed)), (0, 0));
    }

    #[tokio::test]
    async fn a_scan_that_ran_out_of_time_is_done_again() {
        let producer = producer(vec![Ok(listed(0..10))]);
        let trigger = serde_json::from_value(scan_event()).unwrap();
        let answer = producer.handle(trigger, no_time(), &Metrics::default()).await.unwrap().unwrap();
        assert_eq!(given_back(&answer), ["record-0"]);
        assert_eq!(names(&producer.users.take()), Vec::<&str>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_scan_that_runs_out_of_time_between_pages_is_done_again() {
        let mut producer = producer((0..9).map(|page| Ok(listed(page..page + 1))).collect());
        producer.iam.own().latency = Duration::from_secs(30);
        let trigger = serde_json::from_value(scan_event()).unwrap();
        let deadline = Deadline::after(Duration::from_mins(2));
        let metrics = Metrics::default();
        let answer = producer.handle(trigger, deadline, &metrics).await.unwrap().unwrap();
        assert_eq!((given_back(&answer), producer.iam.own().calls.borrow().len()), (vec!["record-0"], 3));
        assert_eq!(metrics.get(Metric::UsersListed), 0);
    }

    #[tokio::test]
    async fn a_list_that_never_ends_is_no_complete_scan() {
        let mut producer = producer(vec![Ok(vec![]); PAGES_MAX + 1]);
        let answer = invoke(&producer, scan_event()).await.unwrap().unwrap();
        let pages = producer.iam.own().calls.borrow().iter().filter(|call| *call == "page").count();
        assert_eq!((given_back(&answer), pages), (vec!["record-0"], PAGES_MAX));
    }

    #[tokio::test]
    async fn a_live_scan_ahead_of_the_clock_lists_nobody() {
        let producer = producer(vec![Ok(listed(0..1))]);
        let run = Run::at(now() + TimeDelta::days(30), Mode::Live);
        let scan = scan_of(run, ACCOUNT);
        let event = serde_json::to_value(event(&[serde_json::to_string(&scan).unwrap()])).unwrap();
        invoke(&producer, event).await.unwrap();
        assert_eq!(producer.users.take(), []);
        assert_eq!(producer.source.dead_letters.take()[0].reason, "invalid_message");
    }

    #[tokio::test(start_paused = true)]
    async fn a_scan_is_done_again_if_one_user_could_not_be_enqueued() {
        let mut producer = producer(vec![Ok(listed(0..20))]);
        producer.users = MemoryQueue::refusing(|check: &CheckUser| {
            (check.user.name.as_str() == "user-13").then_some(FailureClass::Retry)
        });
        let answer = invoke(&producer, scan_event()).await.unwrap().unwrap();
        assert_eq!(given_back(&answer), ["record-0"]);
    }

    #[tokio::test]
    async fn a_bad_message_fails_alone_and_is_kept_with_its_reason() {
        let producer = producer(vec![Ok(listed(0..2))]);
        let good = scan_of(run(), ACCOUNT);
        let foreign = scan_of(run(), "999999999999");
        let bodies =
            ["{".to_owned(), serde_json::to_string(&good).unwrap(), serde_json::to_string(&foreign).unwrap()];
        let event = serde_json::to_value(event(&bodies)).unwrap();
        let answer = invoke(&producer, event).await.unwrap().unwrap();
        assert_eq!(given_back(&answer), Vec::<&str>::new());
        assert_eq!(names(&producer.users.take()), ["user-0", "user-1"]);
        let letters = producer.source.dead_letters.take();
        let reasons: Vec<_> = letters.iter().map(|letter| (letter.reason, letter.body.as_str())).collect();
        assert_eq!(reasons, [("invalid_message", "{"), ("unknown_account", bodies[2].as_str())]);
    }
}
