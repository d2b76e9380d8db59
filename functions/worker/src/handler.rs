//! Checks one user's keys per record, and hands owners of stale ones on to the notifier.
//!
//! Checking reads and changes nothing, so it can be repeated. A record is only done once its finding is on the
//! findings queue; a crash before SQS hears of it enqueues the finding a second time, and the notifier decides who
//! is mailed.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use chrono::{DateTime, TimeDelta, Utc};
use keynudge_core::check::{self, OwnerOfStaleKeys, UserKeys, Verdict};
use keynudge_core::contact::Recipient;
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::keys::StaleKey;
use keynudge_core::ledger::Notice;
use keynudge_core::messages::{CheckUser, Mode, StaleKeys};
use keynudge_core::ports::{
    DeadLetters, IamByAccount, KeyStore, LedgerReader, Outbox, Owner, Redelivery, RoleUse, RunRecords,
};
use keynudge_core::retry::WaitFor;
use keynudge_lambda::deadline::Deadline;
use keynudge_lambda::ledger::without_implausible;
use keynudge_lambda::metrics::{Metric, Metrics};
use keynudge_lambda::records::{self, Failure, Reason, Record, Source};
use lambda_runtime::Error;
use tokio::time::{Instant, timeout};

use crate::config::Rules;
use crate::paced::Paced;
use crate::turns::{AccountTurns, NotBefore, Turns};

/// Users of one batch that are checked at a time: all of them. Those who wait for their account's turn must not hold up those
/// of another account.
const USERS_AT_A_TIME: usize = 10;

/// A user is started only with this much time left: for their calls to IAM and the ledger, their turns, and the answer to
/// SQS.
const TIME_FOR_ONE_USER: Duration = Duration::from_secs(14);

/// An account that takes longer for one user than this has enough to do.
const LONGEST_CHECK: Duration = Duration::from_secs(30);

/// How long users wait here for their account's turn where all of a batch are of one account.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the ledger may take to tell who was told already: it takes some milliseconds, and a first connection some more.
const LEDGER_PATIENCE: Duration = Duration::from_secs(2);

/// The worker, over its ports.
pub(crate) struct Worker<I, F, D, L, R, C> {
    pub(crate) iam: I,
    pub(crate) turns: Turns,
    pub(crate) findings: F,
    pub(crate) ledger: D,
    pub(crate) source: Source<L, R, C>,
    pub(crate) rules: Rules,
}

/// A user whose keys were looked at.
struct Checked {
    check: CheckUser,
    outcome: Outcome,
    counts: Metrics,
}

/// What checking a user came to.
enum Outcome {
    /// The user was deleted meanwhile.
    Gone,
    /// No stale keys.
    Fresh,
    /// Stale keys, of which their owner was told already.
    NotDue,
    /// Stale keys, but not in the audience.
    NotTagged,
    /// Stale keys, but left alone for now.
    Exempt,
    /// Stale keys, and nobody to tell.
    WithoutContact,
    /// Stale keys, and their owner is to be told.
    Stale(Box<StaleKeys>),
    /// The account lets us in no more. It did when the run began, and the next run asks again.
    RoleDenied,
}

impl<I, F, D, L, R, C> Worker<I, F, D, L, R, C>
where
    I: IamByAccount<Iam: KeyStore>,
    F: Outbox<StaleKeys>,
    D: LedgerReader,
    L: DeadLetters,
    R: Redelivery,
    C: RunRecords,
{
    /// Checks the users of a batch. The answer tells SQS which records are not done.
    pub(crate) async fn handle(
        &self,
        event: SqsEvent,
        deadline: Deadline,
        metrics: &Metrics,
    ) -> Result<SqsBatchResponse, Error> {
        let checks = records::read(event, self.rules.as_of.limit(self.source.clock))?;
        // A batch ends with its slowest user: users of other accounts would wait along.
        let patience = if is_of_one_account(&checks) { PATIENCE } else { self.turns.interval() };
        // Boxed: what all these calls come to, one within another, is more than rustc looks through.
        let task = async |check| Box::pin(self.check(check, patience, deadline)).await;
        let checked = records::work(checks, USERS_AT_A_TIME, deadline, TIME_FOR_ONE_USER, task).await;
        let told = records::forward(checked, &self.findings, deadline, Checked::finding).await;
        for checked in told.iter().filter_map(|record| record.result.as_ref().ok()) {
            checked.conclude(metrics);
        }
        self.record_denials(&told, deadline, metrics).await;
        Ok(records::respond(told, &self.source, deadline, metrics).await)
    }

    async fn check(
        &self,
        check: CheckUser,
        patience: Duration,
        deadline: Deadline,
    ) -> Result<Checked, Failure> {
        records::check_account(&check, &self.rules.scope)?;
        let counts = Metrics::default();
        let outcome = self.outcome_in_turn(&check, patience, &counts).await?;
        if let Outcome::RoleDenied = outcome {
            let again_after = self.rules.denied_role_delay;
            records::leave_out(&self.source, &check, RoleUse::Checks, again_after, deadline).await?;
        }
        Ok(Checked { check, outcome, counts })
    }

    async fn outcome_in_turn(
        &self,
        check: &CheckUser,
        patience: Duration,
        counts: &Metrics,
    ) -> Result<Outcome, Failure> {
        let turns = self.turns.of(&check.account_id);
        if turns.denied().is_some() {
            return Ok(Outcome::RoleDenied);
        }
        turns.user(patience).await.map_err(|not_before| self.not_yet(not_before))?;
        let keys = Paced { keys: self.iam.iam(&check.account_id).await, turns };
        match timeout(LONGEST_CHECK, self.outcome(&keys, check, counts)).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(error)) if error.is_role_denied() => Ok(Outcome::RoleDenied),
            Ok(Err(error)) => Err(self.failed(error, &keys.turns)),
            Err(_) => Err(self.refused(Reason::new("check_took_too_long", ""), &keys.turns)),
        }
    }

    /// Notes in the runs' records which accounts let us in no more, each once however many of its users there are.
    async fn record_denials(&self, records: &[Record<Checked>], deadline: Deadline, metrics: &Metrics) {
        let checked = records.iter().filter_map(|record| record.result.as_ref().ok());
        let denied = checked.filter(|checked| matches!(checked.outcome, Outcome::RoleDenied));
        let accounts: BTreeMap<_, _> =
            denied.map(|one| ((&one.check.run.run_id, &one.check.account_id), &one.check)).collect();
        for check in accounts.into_values() {
            let counts = Metrics::default();
            counts.count(Metric::AccountsDenied);
            records::set_counts(&self.source, check, &counts, deadline, metrics).await;
            metrics.merge(&counts);
        }
    }

    /// The account's IAM has enough to do until then; whoever waits for it waits on the queue.
    fn not_yet(&self, not_before: NotBefore) -> Failure {
        Failure::GiveBack(Reason::new("not_its_turn", ""), WaitFor::Turn(self.instant(not_before)))
    }

    fn failed(&self, error: CallFailed, turns: &AccountTurns) -> Failure {
        if error.class == FailureClass::Retry {
            self.refused(Reason::new("call_failed", error.to_string()), turns)
        } else {
            error.into()
        }
    }

    /// Whoever was refused waits in the same line, and is counted as failed.
    fn refused(&self, reason: Reason, turns: &AccountTurns) -> Failure {
        Failure::GiveBack(reason, WaitFor::Refused(self.instant(turns.place_in_line())))
    }

    fn instant(&self, NotBefore(instant): NotBefore) -> DateTime<Utc> {
        let wait = instant.saturating_duration_since(Instant::now());
        (self.source.clock)() + TimeDelta::from_std(wait).unwrap_or_default()
    }

    /// What the user's keys come to. Only users with stale keys who are to be told cost more than one call.
    async fn outcome(
        &self,
        store: &impl KeyStore,
        check: &CheckUser,
        counts: &Metrics,
    ) -> Result<Outcome, CallFailed> {
        let user = &check.user.name;
        let staleness = &self.rules.staleness;
        let as_of = check.run.as_of;
        let Some(UserKeys { stale, .. }) = check::keys_of(store, user, staleness, as_of).await? else {
            return Ok(Outcome::Gone);
        };
        if stale.is_empty() {
            return Ok(Outcome::Fresh);
        }
        if self.was_told(check, &stale, counts).await {
            return Ok(Outcome::NotDue);
        }
        let Some(owner) = check::owner_of(store, user, &self.rules.owner, as_of).await? else {
            return Ok(Outcome::Gone);
        };
        let user_id = check.user.id.as_str();
        if let Some(refused) = owner.refused_exemption {
            counts.count(Metric::ExemptionsInvalid);
            tracing::warn!(
                reason = "exemption_invalid",
                account_id = check.account_id.as_str(),
                user_id,
                ?refused,
                "the exemption tag exempts nobody"
            );
        }
        if owner.passed_over() > 0 {
            counts.add(Metric::ContactsPassedOver, owner.passed_over() as usize);
            tracing::warn!(user_id, "an address was passed over");
        }
        match owner.verdict() {
            Verdict::NotTagged => Ok(Outcome::NotTagged),
            Verdict::ExemptUntil(_) => Ok(Outcome::Exempt),
            Verdict::WithoutContact => Ok(Outcome::WithoutContact),
            Verdict::Tell(recipient) => {
                let finding = self.finding(store, check, &owner, recipient, stale, counts).await;
                Ok(Outcome::Stale(Box::new(finding)))
            }
        }
    }

    /// Whether the owner was told already and is not due, so that nothing more need be asked about them. The notifier has the
    /// last word: where the ledger does not answer, it finds that out.
    async fn was_told(&self, check: &CheckUser, stale: &[StaleKey], counts: &Metrics) -> bool {
        if check.run.mode == Mode::DryRun {
            return false;
        }
        let rules = &self.rules.told;
        let owner =
            Owner { account_id: check.account_id.clone(), user_id: check.user.id.clone(), book: rules.book };
        let notice = Notice::about(&check.run, self.rules.staleness.stage(stale), stale);
        match timeout(LEDGER_PATIENCE, self.ledger.read(&owner)).await {
            Ok(Ok(entry)) => {
                let now = (self.source.clock)();
                let (entry, is_changed) = without_implausible(entry, &owner, self.rules.as_of, now);
                if is_changed {
                    counts.count(Metric::LedgerImplausible);
                }
                !entry.is_due(&notice, rules.remind_every_days)
            }
            failed => {
                let error = failed.ok().and_then(Result::err).map(tracing::field::display);
                tracing::warn!(
                    user_id = check.user.id.as_str(),
                    error,
                    "not known whether the owner was told"
                );
                counts.count(Metric::LedgerUnreadable);
                false
            }
        }
    }

    async fn finding(
        &self,
        store: &impl KeyStore,
        check: &CheckUser,
        owner: &OwnerOfStaleKeys,
        recipient: Recipient,
        mut keys: Vec<StaleKey>,
        counts: &Metrics,
    ) -> StaleKeys {
        for error in owner.fill_in(store, &mut keys).await {
            counts.count(Metric::LastUsedUnreadable);
            tracing::warn!(user_id = check.user.id.as_str(), %error, "last use not known");
        }
        StaleKeys {
            run: check.run.clone(),
            account_id: check.account_id.clone(),
            account_name: check.account_name.clone(),
            user: check.user.clone(),
            recipient,
            stage: self.rules.staleness.stage(&keys),
            keys,
            refused_exemption: owner.refused_exemption,
            checked_at: (self.source.clock)(),
            found_at: check.found_at,
        }
    }
}

fn is_of_one_account(checks: &[Record<CheckUser>]) -> bool {
    let mut accounts = checks.iter().filter_map(|record| Some(&record.result.as_ref().ok()?.account_id));
    let first = accounts.next();
    accounts.all(|account| Some(account) == first)
}

impl Checked {
    fn finding(&self) -> Option<StaleKeys> {
        match &self.outcome {
            Outcome::Stale(finding) => Some((**finding).clone()),
            _ => None,
        }
    }

    /// Logs and counts a user who is done.
    fn conclude(&self, metrics: &Metrics) {
        let (outcome, counted): (&str, &[Metric]) = match self.outcome {
            Outcome::RoleDenied => ("role_denied", &[Metric::UsersDenied]),
            Outcome::Gone => ("user_gone", &[Metric::UsersChecked, Metric::UsersGone]),
            Outcome::Fresh => ("fresh", &[Metric::UsersChecked]),
            Outcome::NotDue => ("not_due", &[Metric::UsersChecked, Metric::StaleOwners, Metric::MailsNotDue]),
            Outcome::NotTagged => {
                ("not_tagged", &[Metric::UsersChecked, Metric::StaleOwners, Metric::UsersSkippedNotTagged])
            }
            Outcome::Exempt => ("exempt", &[Metric::UsersChecked, Metric::StaleOwners, Metric::Exempt]),
            Outcome::WithoutContact => {
                ("without_contact", &[Metric::UsersChecked, Metric::StaleOwners, Metric::WithoutContact])
            }
            Outcome::Stale(_) => ("stale", &[Metric::UsersChecked, Metric::StaleOwners]),
        };
        records::log_outcome(outcome, &self.check);
        for &metric in counted {
            metrics.count_for(&self.check, metric);
        }
        metrics.merge_for(&self.check, &self.counts);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;

    use aws_lambda_events::sqs::SqsEvent;
    use keynudge_core::accounts::Scope;
    use keynudge_core::audience::Audience;
    use keynudge_core::check::OwnerRules;
    use keynudge_core::contact::{AllowedRecipients, ContactRules, ContactSource};
    use keynudge_core::exemption::RefusedExemption;
    use keynudge_core::failure::FailureClass;
    use keynudge_core::ids::ClaimId;
    use keynudge_core::keys::{AccessKey, KeyStatus, LastUsed, StalenessPolicy};
    use keynudge_core::ledger::{Entry, MailboxHash, NotReachedReason, Sent, SesEvent};
    use keynudge_core::messages::{Message as _, User};
    use keynudge_core::ports::Book;
    use keynudge_lambda::vars::AsOfRule;
    use keynudge_testing::{
        ACCOUNT, Fate, LedgerCall, MemoryAccounts, MemoryDeadLetters, MemoryIam, MemoryLedger, MemoryQueue,
        MemoryRedelivery, MemoryRunRecords, event, given_back, key, no_time, now, plenty_of_time,
        role_denied, run, source, user,
    };

    use crate::config::ToldRules;
    use crate::turns::Rate;
    use futures::FutureExt;

    type TestWorker = Worker<
        MemoryAccounts,
        MemoryQueue<StaleKeys>,
        MemoryLedger,
        MemoryDeadLetters,
        MemoryRedelivery,
        MemoryRunRecords,
    >;

    const STALE: KeyStatus = KeyStatus::Active;

    /// A worker whose IAM holds these users and keys; a stale key is 100 days old.
    fn worker(users: &[(&str, Vec<AccessKey>)]) -> TestWorker {
        let keys = users.iter().map(|(name, keys)| ((*name).to_owned(), keys.clone())).collect();
        Worker {
            iam: MemoryAccounts::one(MemoryIam { keys, ..MemoryIam::default() }),
            turns: turns(DENIED_ROLE_DELAY),
            findings: MemoryQueue::default(),
            ledger: MemoryLedger::default(),
            source: source(),
            rules: rules(Scope::new(ACCOUNT.parse().unwrap(), None, [].into(), [].into()).unwrap()),
        }
    }

    pub(crate) fn rules(scope: Scope) -> Rules {
        Rules {
            scope,
            staleness: StalenessPolicy::new(90.try_into().unwrap(), vec![]).unwrap(),
            owner: OwnerRules {
                audience: Audience::All,
                contact: ContactRules {
                    tag: "keynudge:contact".to_owned(),
                    default_domain: Some("example.com".parse().unwrap()),
                    fallback: None,
                    allowed: AllowedRecipients::new(["example.com".parse().unwrap()]),
                },
                max_exemption_days: 90.try_into().unwrap(),
            },
            denied_role_delay: DENIED_ROLE_DELAY,
            told: ToldRules { remind_every_days: 7.try_into().unwrap(), book: Book::Live },
            as_of: AsOfRule::NotAhead,
        }
    }

    const DENIED_ROLE_DELAY: Duration = Duration::from_mins(10);

    /// Turns for 1,000 calls a second.
    fn turns(denied_role_delay: Duration) -> Turns {
        let rate = Rate {
            calls_per_second: 1_000.try_into().unwrap(),
            instances: NonZeroU32::MIN,
            at_once_after_a_rest: NonZeroU32::MIN,
        };
        Turns::new(rate, denied_role_delay)
    }

    fn stale_key(id: &str) -> AccessKey {
        key(id, STALE, 100)
    }

    fn check(name: &str) -> String {
        let check = CheckUser {
            run: run(),
            account_id: ACCOUNT.parse().unwrap(),
            account_name: None,
            user: user(name),
            found_at: None,
        };
        serde_json::to_string(&check).unwrap()
    }

    fn checks(names: &[&str]) -> SqsEvent {
        event(&names.iter().map(|name| check(name)).collect::<Vec<_>>())
    }

    async fn handle(worker: &TestWorker, names: &[&str], metrics: &Metrics) -> SqsBatchResponse {
        worker.handle(checks(names), plenty_of_time(), metrics).await.unwrap()
    }

    fn told(worker: &TestWorker) -> Vec<String> {
        worker.findings.take().iter().map(|finding| finding.recipient.to.as_str().to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_owner_of_a_stale_key_is_told_with_all_that_is_known_of_it() {
        let mut worker = worker(&[(
            "jane",
            vec![
                key("FRESH", STALE, 89),
                key("OFF", KeyStatus::Inactive, 400),
                stale_key("LATER"),
                key("OLD", STALE, 300),
            ],
        )]);
        let old = key("OLD", STALE, 300);
        worker
            .iam
            .own()
            .tags
            .insert("jane".to_owned(), [(old.id.as_str(), "laptop"), ("team", "a")].into_iter().collect());
        worker.iam.own().last_used.insert(old.id.clone(), LastUsed::Never);
        let metrics = Metrics::default();
        assert_eq!(given_back(&handle(&worker, &["jane"], &metrics).await), Vec::<&str>::new());
        assert_eq!(metrics.counts().get(Metric::ContactsPassedOver.name()), None, "none was");

        let [finding] = worker.findings.take().try_into().unwrap();
        // When people sign in is in no message.
        let jane = User { password_last_used: None, ..user("jane") };
        assert_eq!((finding.run, finding.account_id.as_str(), finding.user), (run(), ACCOUNT, jane));
        assert_eq!((finding.stage, finding.checked_at), (1, now()));
        let recipient =
            Recipient { to: "jane@example.com".parse().unwrap(), found_by: ContactSource::DefaultDomain };
        assert_eq!(finding.recipient, recipient);
        let [first, second] = finding.keys.try_into().unwrap();
        assert_eq!((first.id, first.created_at, first.age_days), (old.id, old.created_at, 300));
        assert_eq!(
            (first.last_used, first.description),
            (Some(LastUsed::Never), Some("laptop".parse().unwrap()))
        );
        assert_eq!((second.id, second.age_days), (stale_key("LATER").id, 100));
        assert_eq!((second.last_used, second.description), (None, None));
        assert_eq!((metrics.get(Metric::StaleOwners), metrics.get(Metric::LastUsedUnreadable)), (1, 1));
    }

    /// IAM's quota is two, and there are accounts that have more.
    #[tokio::test(start_paused = true)]
    async fn the_owner_of_three_stale_keys_is_told_of_all_of_them() {
        let keys = [("A", 120), ("B", 110), ("C", 100)].map(|(id, age_days)| key(id, STALE, age_days));
        let worker = worker(&[("jane", keys.to_vec())]);
        handle(&worker, &["jane"], &Metrics::default()).await;
        let [finding] = worker.findings.take().try_into().unwrap();
        let body = serde_json::to_string(&finding).unwrap();
        let read = StaleKeys::read(&body, AsOfRule::NotAhead.limit(worker.source.clock)).unwrap();
        assert_eq!(
            read.keys.iter().map(|key| &key.id).collect::<Vec<_>>(),
            keys.each_ref().map(|key| &key.id)
        );
    }

    /// A worker of one user with one stale key, who was told of it so many days ago.
    fn worker_of_told(days_ago: i64) -> TestWorker {
        let worker = worker(&[("jane", vec![stale_key("A")])]);
        let check: CheckUser = serde_json::from_str(&check("jane")).unwrap();
        let owner = Owner { account_id: check.account_id, user_id: check.user.id, book: Book::Live };
        let run = keynudge_core::messages::Run::at(now() - TimeDelta::days(days_ago), Mode::Live);
        let stale = worker.rules.staleness.stale_keys(&[stale_key("A")], now());
        let notice = Notice::about(&run, 1, &stale);
        let sent = Sent { claim_id: ClaimId::from_bits(1), sent_at: run.as_of, notice };
        worker.ledger.put(owner, Entry { revision: 2, history: vec![sent], ..Entry::default() });
        worker
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_who_was_told_and_is_not_due_costs_one_call() {
        let calls = [(0, 1), (6, 1), (7, 3)];
        for (days_ago, expected) in calls {
            let mut worker = worker_of_told(days_ago);
            let metrics = Metrics::default();
            assert!(given_back(&handle(&worker, &["jane"], &metrics).await).is_empty());
            assert_eq!(worker.iam.own().calls.borrow().len(), expected, "told {days_ago} days ago");
            let is_due = usize::from(expected > 1);
            assert_eq!(worker.findings.take().len(), is_due);
            let not_due = 1 - u64::try_from(is_due).unwrap();
            assert_eq!((metrics.get(Metric::StaleOwners), metrics.get(Metric::MailsNotDue)), (1, not_due));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_who_was_not_reached_is_asked_for_an_address_in_every_run() {
        let worker = worker_of_told(1);
        let jane = Owner { account_id: ACCOUNT.parse().unwrap(), user_id: user("jane").id, book: Book::Live };
        let mut entry = worker.ledger.entry(&jane);
        entry.history[0].notice.mailbox = Some(MailboxHash::of(&"jane@example.org".parse().unwrap()));
        let not_reached = SesEvent::NotReached(NotReachedReason::Bounce);
        worker.ledger.put(jane, entry.hear(&ClaimId::from_bits(1), not_reached, now()).unwrap());
        handle(&worker, &["jane"], &Metrics::default()).await;
        assert_eq!(told(&worker), ["jane@example.com"], "the notifier knows whether it is another one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dry_run_and_a_ledger_that_does_not_answer_leave_it_to_the_notifier() {
        let dry = check("jane").replace("live", "dry_run");
        let worker = worker_of_told(1);
        worker.handle(event(&[dry]), plenty_of_time(), &Metrics::default()).await.unwrap();
        assert_eq!(told(&worker), ["jane@example.com"], "a dry run says who would be told");

        let failing = |call| match call {
            LedgerCall::Read => Fate::Failed(FailureClass::Retry),
            _ => Fate::Done,
        };
        for ledger in [
            MemoryLedger::with(failing),
            MemoryLedger::default().answering_after(LEDGER_PATIENCE + Duration::from_secs(1)),
        ] {
            let worker = TestWorker { ledger, ..worker_of_told(1) };
            let metrics = Metrics::default();
            handle(&worker, &["jane"], &metrics).await;
            assert_eq!(metrics.get(Metric::LedgerUnreadable), 1);
            assert_eq!(told(&worker), ["jane@example.com"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_is_counted_by_what_came_of_them() {
        let mut worker = worker(&[
            ("fresh", vec![key("A", STALE, 1)]),
            ("keyless", vec![]),
            ("exempt", vec![stale_key("B")]),
            ("ended", vec![stale_key("C")]),
            ("slip", vec![stale_key("D")]),
            ("foreign@evil.test", vec![stale_key("E")]),
        ]);
        for (user, until) in [("exempt", "2026-03-01"), ("ended", "2026-02-28"), ("slip", "soon")] {
            worker
                .iam
                .own()
                .tags
                .insert(user.to_owned(), [("keynudge:exempt-until", until)].into_iter().collect());
        }
        let metrics = Metrics::default();
        let names = ["fresh", "keyless", "exempt", "ended", "slip", "foreign@evil.test", "gone"];
        assert_eq!(given_back(&handle(&worker, &names, &metrics).await), Vec::<&str>::new());
        assert_eq!(worker.findings.calls(), 1, "a batch's findings go in one call");
        assert_eq!(told(&worker), ["ended@example.com", "slip@example.com"]);
        for (metric, count) in [
            (Metric::UsersChecked, 7),
            (Metric::UsersGone, 1),
            (Metric::StaleOwners, 4),
            (Metric::Exempt, 1),
            (Metric::ExemptionsInvalid, 1),
            (Metric::WithoutContact, 1),
            (Metric::ContactsPassedOver, 1),
        ] {
            assert_eq!(metrics.get(metric), count, "{metric:?}");
            assert_eq!(
                worker.source.run_records.get(&run(), metric.name()),
                count,
                "{metric:?} in the record"
            );
        }
    }

    /// AWS's own policy for users who manage their access keys lets them tag themselves.
    #[tokio::test(start_paused = true)]
    async fn nobody_exempts_themselves_for_ever_and_their_mail_says_so() {
        let mut worker = worker(&[("jane", vec![stale_key("A")]), ("joe", vec![stale_key("B")])]);
        for (user, until) in [("jane", "9999-12-31"), ("joe", "2026-05-30")] {
            let tags = [("keynudge:exempt-until", until)].into_iter().collect();
            worker.iam.own().tags.insert(user.to_owned(), tags);
        }
        let metrics = Metrics::default();
        handle(&worker, &["jane", "joe"], &metrics).await;
        let [finding] = worker.findings.take().try_into().unwrap();
        assert_eq!(finding.user.name.as_str(), "jane");
        assert_eq!(finding.refused_exemption, Some(RefusedExemption::TooFarAhead));
        assert_eq!((metrics.get(Metric::ExemptionsInvalid), metrics.get(Metric::Exempt)), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn with_the_tagged_audience_only_tagged_users_are_told() {
        let mut worker = worker(&[("tagged", vec![stale_key("A")]), ("plain", vec![stale_key("B")])]);
        worker.rules.owner.audience = Audience::Tagged;
        let tags = [("keynudge:contact", "team@example.com")].into_iter().collect();
        worker.iam.own().tags.insert("tagged".to_owned(), tags);
        let metrics = Metrics::default();
        handle(&worker, &["tagged", "plain"], &metrics).await;
        assert_eq!(told(&worker), ["team@example.com"]);
        assert_eq!((metrics.get(Metric::StaleOwners), metrics.get(Metric::UsersSkippedNotTagged)), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_without_stale_keys_costs_one_call() {
        let mut worker = worker(&[("fresh", vec![key("A", STALE, 89)]), ("stale", vec![stale_key("B")])]);
        handle(&worker, &["fresh"], &Metrics::default()).await;
        assert_eq!(*worker.iam.own().calls.borrow(), ["keys fresh"]);
        worker.iam.own().last_used.insert(stale_key("B").id, LastUsed::Never);
        handle(&worker, &["stale"], &Metrics::default()).await;
        assert_eq!(worker.iam.own().calls.borrow()[1..], ["keys stale", "tags stale", "last used"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_description_is_none() {
        let mut worker = worker(&[("jane", vec![stale_key("A")])]);
        let tags = [(stale_key("A").id.as_str(), "")].into_iter().collect();
        worker.iam.own().tags.insert("jane".to_owned(), tags);
        handle(&worker, &["jane"], &Metrics::default()).await;
        assert_eq!(worker.findings.take()[0].keys[0].description, None);
    }

    #[tokio::test(start_paused = true)]
    async fn users_who_cannot_be_checked_in_time_are_given_back_and_the_others_are_done() {
        let names: Vec<String> = (0..11).map(|n| format!("user-{n}")).collect();
        let users: Vec<(&str, Vec<AccessKey>)> = names.iter().map(|name| (name.as_str(), vec![])).collect();
        let mut worker = worker(&users);
        worker.iam.own().latency = Duration::from_secs(20);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let metrics = Metrics::default();
        let deadline = Deadline::after(Duration::from_secs(30));
        let response = worker.handle(checks(&names), deadline, &metrics).await.unwrap();
        assert_eq!(given_back(&response), ["record-10"], "ten at a time, and no time for a second round");
        assert_eq!(metrics.get(Metric::UsersChecked), 10);
    }

    /// A check of `name` in another account.
    fn check_in(account: &str, name: &str) -> String {
        check(name).replace(ACCOUNT, account)
    }

    /// A worker for any account of the organization; `iam` is that of [`OTHER`].
    fn worker_of_organization(own: &[(&str, Vec<AccessKey>)], iam: MemoryIam) -> TestWorker {
        let mut worker = worker(own);
        worker.iam.0.insert(OTHER.parse().unwrap(), iam);
        let organization = Some("organization".parse().unwrap());
        worker.rules.scope =
            Scope::new(ACCOUNT.parse().unwrap(), organization, [].into(), [].into()).unwrap();
        worker
    }

    const OTHER: &str = "210987654321";

    #[tokio::test(start_paused = true)]
    async fn users_of_one_name_are_those_of_their_accounts() {
        let keys = BTreeMap::from([("jane".to_owned(), vec![key("A", STALE, 10)])]);
        let iam = MemoryIam { keys, ..MemoryIam::default() };
        let worker = worker_of_organization(&[("jane", vec![stale_key("B")])], iam);
        let named = check("jane").replacen('{', "{\"account_name\":\"payments\",", 1);
        let bodies = [check_in(OTHER, "jane"), named];
        worker.handle(event(&bodies), plenty_of_time(), &Metrics::default()).await.unwrap();
        let [finding] = worker.findings.take().try_into().unwrap();
        assert_eq!(
            (finding.account_id.as_str(), finding.keys[0].id.as_str()),
            (ACCOUNT, stale_key("B").id.as_str())
        );
        assert_eq!(finding.account_name.unwrap().as_str(), "payments");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_had_enough_holds_nobody_else_up() {
        let failing = BTreeMap::from([("keys joe", FailureClass::Retry)]);
        let slow = MemoryIam { failing, ..MemoryIam::default() };
        let worker = worker_of_organization(&[("jane", vec![])], slow.clone());
        let metrics = Metrics::default();
        let bodies = [check_in(OTHER, "joe"), check("jane")];
        let started = Instant::now();
        let response = worker.handle(event(&bodies), plenty_of_time(), &metrics).await.unwrap();
        assert_eq!((given_back(&response), metrics.get(Metric::RecordsGivenBack)), (vec!["record-0"], 1));

        let response = worker.handle(event(&bodies), plenty_of_time(), &metrics).await.unwrap();
        assert_eq!((given_back(&response), metrics.get(Metric::RecordsPostponed)), (vec!["record-0"], 1));
        assert_eq!(metrics.get(Metric::UsersChecked), 2, "jane, both times");
        assert_eq!(*slow.calls.borrow(), ["keys joe"], "it is left alone");
        assert!(worker.source.redelivery.of_record(0).unwrap() >= Duration::from_secs(1));
        assert!(started.elapsed() < Duration::from_secs(1), "nobody waited");
    }

    #[tokio::test(start_paused = true)]
    async fn users_of_one_account_do_not_wait_for_the_turn_of_another_and_get_a_place_in_its_line() {
        let rate = Rate {
            calls_per_second: NonZeroU32::MIN,
            instances: NonZeroU32::MIN,
            at_once_after_a_rest: NonZeroU32::MIN,
        };
        let mut worker = worker_of_organization(&[("jane", vec![])], MemoryIam::default());
        worker.turns = Turns::new(rate, Duration::from_mins(10));
        let others = worker.turns.of(&OTHER.parse().unwrap());
        for _ in 0..3 {
            // Three users are before joe, a second each.
            others.user(PATIENCE).now_or_never();
        }
        let bodies = [check_in(OTHER, "joe"), check("jane")];
        let started = Instant::now();
        let metrics = Metrics::default();
        let response = worker.handle(event(&bodies), plenty_of_time(), &metrics).await.unwrap();
        assert_eq!((given_back(&response), metrics.get(Metric::UsersChecked)), (vec!["record-0"], 1));
        assert!(started.elapsed() < Duration::from_secs(1), "jane did not wait");
        let away = worker.source.redelivery.of_record(0).unwrap();
        assert!(away >= Duration::from_secs(3), "joe comes back behind the three: {away:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_lets_us_in_no_more_is_one_outcome_and_no_records_wait_for_it() {
        let denied = MemoryIam { refusal: Some(role_denied()), ..MemoryIam::default() };
        let worker = worker_of_organization(&[("jane", vec![])], denied.clone());
        worker.source.run_records.deny(OTHER, RoleUse::Checks, now() - TimeDelta::minutes(10));
        let bodies = [check_in(OTHER, "joe"), check_in(OTHER, "jim"), check("jane")];
        let metrics = Metrics::default();
        for _ in 0..2 {
            let response = worker.handle(event(&bodies), plenty_of_time(), &metrics).await.unwrap();
            assert_eq!((given_back(&response), worker.source.dead_letters.take()), (vec![], vec![]));
        }
        assert!(denied.calls.borrow().len() <= 2, "not once for each user and batch");
        assert_eq!((metrics.get(Metric::UsersChecked), metrics.get(Metric::UsersDenied)), (2, 4));
        let recorded = |name| worker.source.run_records.of_account(&run(), OTHER, name);
        assert_eq!(
            (recorded("AccountsDenied"), recorded("UsersDenied"), recorded("UsersChecked")),
            (1, 4, 0)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_denies_the_role_is_tried_again_after_ten_minutes_before_its_users_are_left_out()
    {
        tried_again_after(DENIED_ROLE_DELAY).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_denies_the_role_is_tried_again_however_short_the_delay_is() {
        tried_again_after(Duration::from_secs(5)).await;
    }

    /// Has an account deny its role, and deploys the role within `delay`.
    async fn tried_again_after(delay: Duration) {
        let denied = MemoryIam { refusal: Some(role_denied()), ..MemoryIam::default() };
        let mut worker = worker_of_organization(&[("jane", vec![])], denied.clone());
        (worker.turns, worker.rules.denied_role_delay) = (turns(delay), delay);
        let bodies = [check_in(OTHER, "joe"), check("jane"), check_in(OTHER, "jim")];
        let metrics = Metrics::default();
        let response = worker.handle(event(&bodies), plenty_of_time(), &metrics).await.unwrap();
        assert_eq!(given_back(&response), ["record-0", "record-2"]);
        for record in [0, 2] {
            let waits = worker.source.redelivery.of_record(record).unwrap();
            assert!((delay..=delay + Duration::from_secs(5)).contains(&waits), "{waits:?}");
        }
        assert_eq!((metrics.get(Metric::UsersChecked), metrics.get(Metric::UsersDenied)), (1, 0));
        let recorded = |name| worker.source.run_records.of_account(&run(), OTHER, name);
        assert_eq!(recorded("AccountsDenied"), 0);

        tokio::time::advance(delay).await;
        let keys = BTreeMap::from([("joe".to_owned(), vec![]), ("jim".to_owned(), vec![stale_key("A")])]);
        let lets_us_in = MemoryIam { keys, ..MemoryIam::default() };
        let worker = TestWorker { iam: worker_of_organization(&[], lets_us_in).iam, ..worker };
        let response = worker.handle(event(&bodies), plenty_of_time(), &metrics).await.unwrap();
        assert_eq!((given_back(&response).len(), told(&worker)), (0, vec!["jim@example.com".to_owned()]));
        assert_eq!(metrics.get(Metric::UsersDenied), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_whose_account_takes_forever_is_given_back_as_failed() {
        let slow = MemoryIam { latency: Duration::from_mins(10), ..MemoryIam::default() };
        let worker = worker_of_organization(&[("jane", vec![])], slow);
        let metrics = Metrics::default();
        let bodies = [check_in(OTHER, "joe"), check("jane")];
        let response = worker.handle(event(&bodies), plenty_of_time(), &metrics).await.unwrap();
        assert_eq!((given_back(&response), metrics.get(Metric::RecordsGivenBack)), (vec!["record-0"], 1));
        assert_eq!(metrics.get(Metric::UsersChecked), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_run_ahead_of_the_clock_checks_nobody() {
        let worker = worker(&[("jane", vec![stale_key("A")])]);
        let ahead = check("jane").replace("\"as_of\":\"2026", "\"as_of\":\"2027");
        worker.handle(event(&[ahead]), plenty_of_time(), &Metrics::default()).await.unwrap();
        assert_eq!(told(&worker), Vec::<String>::new());
        assert_eq!(worker.source.dead_letters.take()[0].reason, "invalid_message");
    }

    #[tokio::test(start_paused = true)]
    async fn tags_that_cannot_be_read_exempt_nobody_and_tell_nobody_yet() {
        let mut worker = worker(&[("jane", vec![stale_key("A")]), ("joe", vec![stale_key("B")])]);
        worker.iam.own().failing = BTreeMap::from([("tags jane", FailureClass::Retry)]);
        worker.iam.own().last_used.insert(stale_key("B").id, LastUsed::Never);
        let metrics = Metrics::default();
        let response = handle(&worker, &["joe", "jane"], &metrics).await;
        assert_eq!(given_back(&response), ["record-1"]);
        assert_eq!(told(&worker), ["joe@example.com"]);
        assert_eq!((metrics.get(Metric::UsersChecked), metrics.get(Metric::RecordsGivenBack)), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn one_panicking_record_fails_alone() {
        let worker = worker(&[("jane", vec![stale_key("A")]), ("joe", vec![stale_key("B")])]);
        let response = handle(&worker, &["jane", "panic", "joe"], &Metrics::default()).await;
        assert_eq!(given_back(&response), ["record-1"]);
        assert_eq!(told(&worker), ["jane@example.com", "joe@example.com"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_record_is_put_aside_with_its_reason_and_the_good_ones_are_done() {
        let worker = worker(&[("jane", vec![stale_key("A")])]);
        let foreign = check("joe").replace(ACCOUNT, "999999999999");
        let event = event(&["not json".to_owned(), check("jane"), foreign.clone()]);
        let response = worker.handle(event, plenty_of_time(), &Metrics::default()).await.unwrap();
        assert_eq!(given_back(&response), Vec::<&str>::new());
        assert_eq!(told(&worker), ["jane@example.com"]);
        let letters = worker.source.dead_letters.take();
        let reasons: Vec<_> = letters.iter().map(|letter| (letter.reason, letter.body.as_str())).collect();
        assert_eq!(reasons, [("invalid_message", "not json"), ("unknown_account", foreign.as_str())]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_will_never_succeed_is_given_up_at_once() {
        let mut worker = worker(&[("jane", vec![])]);
        worker.iam.own().failing = BTreeMap::from([("keys jane", FailureClass::Never)]);
        let response = handle(&worker, &["jane"], &Metrics::default()).await;
        assert_eq!(given_back(&response), Vec::<&str>::new());
        assert_eq!(worker.source.dead_letters.take()[0].reason, "call_failed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_whose_finding_is_not_taken_is_not_done() {
        let mut worker = worker(&[("jane", vec![stale_key("A")]), ("joe", vec![stale_key("B")])]);
        worker.findings = MemoryQueue::refusing(|finding: &StaleKeys| {
            (finding.user.name.as_str() == "jane").then_some(FailureClass::Retry)
        });
        let metrics = Metrics::default();
        let response = handle(&worker, &["jane", "joe"], &metrics).await;
        assert_eq!(given_back(&response), ["record-0"]);
        assert_eq!(told(&worker), ["joe@example.com"]);
        assert_eq!(metrics.get(Metric::StaleOwners), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_there_is_no_time_for_is_given_back() {
        let worker = worker(&[("jane", vec![stale_key("A")])]);
        let response = worker.handle(checks(&["jane"]), no_time(), &Metrics::default()).await.unwrap();
        assert_eq!(given_back(&response), ["record-0"]);
        assert_eq!(told(&worker), Vec::<String>::new());
    }
}
