//! Mails one owner per record, if they are due.
//!
//! A record may be delivered any number of times, and a function may die anywhere in between: the ledger decides who is
//! mailed, by the protocol of [`keynudge_core::ledger`]. What is done here is its I/O.

use std::cell::Cell;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use chrono::NaiveDate;
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::feedback::MailTaken;
use keynudge_core::ids::ClaimId;
use keynudge_core::ledger::{Answer, Delivery, Entry, Notice, Outcome, Step};
use keynudge_core::mail::{Mail, Reminder};
use keynudge_core::mail_limits::OverLimit;
use keynudge_core::messages::{CheckUser, Mode, StaleKeys};
use keynudge_core::ports::{
    Book, DeadLetters, Envelope, Ledger, MailCounters, Mailer, Outbox, Owner, Redelivery, RunRecords,
    SendQuotas, WriteFailed,
};
use keynudge_core::retry::WaitFor;
use keynudge_lambda::deadline::Deadline;
use keynudge_lambda::ledger::without_implausible;
use keynudge_lambda::metrics::{Metric, Metrics};
use keynudge_lambda::outgoing::send_all;
use keynudge_lambda::records::{self, Failure, Reason, Source, TIME_TO_ANSWER};
use keynudge_mail::Templates;
use lambda_runtime::Error;
use uuid::Uuid;

use crate::allowance::{Allowance, QUOTA_USED_UP};
use crate::config::Rules;

/// Mails of one batch that are sent at a time. One, since SES's rate is the account's and often small.
const MAILS_AT_A_TIME: usize = 1;

/// Beside the mail itself: for reading and writing the ledger.
const TIME_FOR_THE_LEDGER: Duration = Duration::from_secs(2);

/// How long to wait after a call to the ledger failed, before the next.
const PAUSE: Duration = Duration::from_millis(200);

/// For telling the ledger by another way that a mail was sent.
const TIME_TO_TELL_OTHERWISE: Duration = Duration::from_secs(1);

/// The notifier, over its ports.
pub(crate) struct Notifier<M, D, U, E, L, R, C> {
    pub(crate) mailer: M,
    pub(crate) allowance: Allowance,
    pub(crate) ledger: D,
    pub(crate) users: U,
    pub(crate) ses_events: E,
    pub(crate) source: Source<L, R, C>,
    pub(crate) templates: Templates,
    pub(crate) rules: Rules,
}

impl<M, D, U, E, L, R, C> Notifier<M, D, U, E, L, R, C>
where
    M: Mailer + SendQuotas,
    D: Ledger,
    U: Outbox<CheckUser>,
    E: Outbox<MailTaken>,
    L: DeadLetters,
    R: Redelivery,
    C: RunRecords + MailCounters,
{
    /// Mails the owners of a batch. The answer tells SQS which records are not done.
    pub(crate) async fn handle(
        &self,
        event: SqsEvent,
        deadline: Deadline,
        metrics: &Metrics,
    ) -> Result<SqsBatchResponse, Error> {
        let findings = records::read(event, self.rules.as_of.limit(self.source.clock))?;
        let findings = findings
            .into_iter()
            .map(|record| record.map_with_sender(|finding, sender| (finding, self.is_of_worker(sender))))
            .collect();
        let task =
            async |(finding, is_of_worker)| self.notify(&finding, is_of_worker, deadline, metrics).await;
        let told = records::work(findings, MAILS_AT_A_TIME, deadline, self.time_for_one(), task).await;
        Ok(records::respond(told, &self.source, deadline, metrics).await)
    }

    fn is_of_worker(&self, sender: Option<&str>) -> bool {
        let role = sender.and_then(|sender| sender.split_once(':')).map(|(role, _session)| role);
        role == Some(&*self.rules.findings_sender_id)
    }

    /// For one mail, and for answering SQS. With less, none is begun: it could be cut off between SES and the ledger.
    fn time_for_one(&self) -> Duration {
        self.rules.ses_attempt_timeout + TIME_FOR_THE_LEDGER + TIME_TO_ANSWER
    }

    async fn notify(
        &self,
        finding: &StaleKeys,
        is_of_worker: bool,
        deadline: Deadline,
        metrics: &Metrics,
    ) -> Result<(), Failure> {
        records::check_account(finding, &self.rules.scope)?;
        // The worker keeps to the allowed domains already. This guards a setting narrowed since, and a finding that
        // did not come from the worker.
        if !self.rules.allowed.allow(&finding.recipient.to) {
            let detail = "recipient.to is outside ALLOWED_DOMAINS, or among EXCLUDED_RECIPIENTS";
            return Err(Failure::GiveUp(Reason::new("recipient_not_allowed", detail)));
        }
        let mail = self.render(finding, metrics)?;
        if finding.run.mode == Mode::DryRun {
            metrics.count_for(finding, Metric::MailsNotSentDryRun);
            records::log_outcome("not_sent_dry_run", finding);
            return Ok(());
        }
        let now = (self.source.clock)();
        let check = if is_of_worker { finding.recheck(now) } else { Some(finding.doubted(now)) };
        if let Some(check) = check {
            return self.send_back(check, metrics).await;
        }
        let outcome = self.tell(finding, &mail, deadline, metrics).await;
        conclude(outcome, finding, metrics)
    }

    /// Writes the mail. Where the organization's own templates cannot, the built-in ones do: none is lost for its words.
    fn render(&self, finding: &StaleKeys, metrics: &Metrics) -> Result<Mail, Failure> {
        let rendered = self.templates.render(&Reminder::new(finding, &self.rules.reminder));
        let rendered =
            rendered.map_err(|error| Failure::GiveUp(Reason::new("template_failed", error.to_string())))?;
        if rendered.is_fallback {
            metrics.count_for(finding, Metric::TemplatesUnusable);
        }
        if let Some(problem) = rendered.problem {
            tracing::error!(
                account_id = finding.account_id.as_str(),
                user_id = finding.user.id.as_str(),
                %problem,
                runbook = crate::templates::RUNBOOK,
                "the organization's templates cannot write this mail, and it is in the built-in words"
            );
        }
        Ok(rendered.mail)
    }

    /// An owner hears of no key that was rotated last week, and of none that somebody made up: the user is checked again.
    async fn send_back(&self, check: CheckUser, metrics: &Metrics) -> Result<(), Failure> {
        send_all(&self.users, std::slice::from_ref(&check)).await.into_iter().collect::<Result<(), _>>()?;
        metrics.count_for(&check, Metric::FindingsSentBack);
        records::log_outcome("sent_back", &check);
        Ok(())
    }

    /// Tells the owner, unless the ledger says otherwise.
    async fn tell(&self, finding: &StaleKeys, mail: &Mail, deadline: Deadline, metrics: &Metrics) -> Outcome {
        let redirect = self.rules.reminder.redirect_all_to.as_ref();
        let owner = Owner {
            account_id: finding.account_id.clone(),
            user_id: finding.user.id.clone(),
            book: Book::while_redirected(redirect.is_some()),
        };
        let claim_id = ClaimId::from_bits(Uuid::new_v4().as_u128());
        let to = redirect.unwrap_or(&finding.recipient.to);
        let envelope = Envelope { to, owner: &owner, claim_id: &claim_id };
        let notice = Notice::of(finding, to);
        let (mut delivery, first) = Delivery::start(notice, claim_id.clone(), self.rules.ledger);
        let day = (self.source.clock)().date_naive();
        let (is_counted, is_sent) = (Cell::new(false), Cell::new(false));
        let outgoing = Outgoing { finding, envelope, mail, day, is_counted, is_sent };
        let delivered = self.deliver(&mut delivery, first, &outgoing, deadline, metrics);
        // Cut off before the record would be: a mail that was sent is done, even if the ledger cannot be told.
        let outcome = deadline.within(TIME_TO_ANSWER + TIME_TO_TELL_OTHERWISE, delivered).await;
        if delivery.took_over() {
            metrics.count_for(finding, Metric::ClaimsTakenOver);
        }
        let outcome = outcome.unwrap_or_else(|| delivery.cut_off());
        self.take_back(&outgoing, &outcome, deadline).await;
        if let Outcome::SentUnmarked = outcome {
            self.have_marked_later(MailTaken::new(owner, claim_id), deadline).await;
        }
        outcome
    }

    /// SES took the mail, and the ledger does not answer. It is told by the way SES's events take, which tries for a day.
    async fn have_marked_later(&self, mail_taken: MailTaken, deadline: Deadline) {
        let sent = send_all(&self.ses_events, std::slice::from_ref(&mail_taken));
        let told = deadline.within(TIME_TO_ANSWER + PAUSE, sent).await;
        if !told.is_some_and(|results| results.iter().all(Result::is_ok)) {
            tracing::warn!(user_id = mail_taken.user_id().as_str(), "a mail that was sent may be sent again");
        }
    }

    /// Does what `delivery` says until it is done.
    async fn deliver(
        &self,
        delivery: &mut Delivery,
        first: Step,
        outgoing: &Outgoing<'_>,
        deadline: Deadline,
        metrics: &Metrics,
    ) -> Outcome {
        let now = self.source.clock;
        let mut step = first;
        loop {
            let answer = match step {
                Step::Read => self.read(outgoing, metrics).await,
                Step::TakeTurn => {
                    let turn = self.take_turn(outgoing);
                    match deadline.within(self.time_for_one(), turn).await {
                        Some(turn) => turn.map_or_else(Answer::Failed, |()| Answer::Turn),
                        None => return Outcome::NoTime,
                    }
                }
                Step::Write(entry) => self.write(outgoing.envelope.owner, &entry).await,
                Step::Send => self.send(outgoing, deadline).await,
                Step::Done(outcome) => return outcome,
            };
            step = delivery.next(answer, now());
        }
    }

    /// Waits for this instance's turn, and counts the mail among those of all instances.
    async fn take_turn(&self, outgoing: &Outgoing<'_>) -> Result<(), CallFailed> {
        self.allowance.turn(&self.mailer).await?;
        if outgoing.is_counted.get() {
            return Ok(());
        }
        let Outgoing { finding, day, .. } = *outgoing;
        let counts = self.source.run_records.begin_mail(&finding.run, &finding.account_id, day).await?;
        outgoing.is_counted.set(true);
        let refused = self.rules.limits.refuse(counts, self.allowance.ses_per_day());
        refused.map_or(Ok(()), |over| Err(over_limit(over)))
    }

    /// A mail that was counted and surely not sent leaves room for another. Where that cannot be written, there is room for one
    /// less.
    async fn take_back(&self, outgoing: &Outgoing<'_>, outcome: &Outcome, deadline: Deadline) {
        let may_be_sent = outgoing.is_sent.get() && !matches!(outcome, Outcome::Failed(_));
        if may_be_sent || !outgoing.is_counted.get() {
            return;
        }
        let Outgoing { finding, day, .. } = *outgoing;
        let cancelled = self.source.run_records.cancel_mail(&finding.run, &finding.account_id, day);
        if !matches!(deadline.within(TIME_TO_ANSWER, cancelled).await, Some(Ok(()))) {
            tracing::warn!(
                account_id = finding.account_id.as_str(),
                "a mail that was not sent counts as one"
            );
        }
    }

    /// Sends the mail, unless the ledger took so long that there is no time left to hear SES's answer.
    async fn send(&self, outgoing: &Outgoing<'_>, deadline: Deadline) -> Answer {
        let afterwards = TIME_TO_ANSWER + TIME_TO_TELL_OTHERWISE;
        if deadline.leaves_less_than(self.rules.ses_attempt_timeout + afterwards) {
            let code = "no time left".to_owned();
            let class = FailureClass::Retry;
            return Answer::Failed(CallFailed { call: "ses:SendEmail", class, code, source: None });
        }
        outgoing.is_sent.set(true);
        let sent = self.mailer.send(&outgoing.envelope, outgoing.mail).await;
        self.allowance.heed(&sent);
        sent.map_or_else(Answer::Failed, |()| Answer::Sent)
    }

    async fn read(&self, outgoing: &Outgoing<'_>, metrics: &Metrics) -> Answer {
        let owner = outgoing.envelope.owner;
        let entry = match self.ledger.read(owner).await {
            Ok(entry) => entry,
            Err(error) => return failed(error).await,
        };
        let now = (self.source.clock)();
        let (entry, is_changed) = without_implausible(entry, owner, self.rules.as_of, now);
        if is_changed {
            metrics.count_for(outgoing.finding, Metric::LedgerImplausible);
        }
        Answer::Entry(entry)
    }

    async fn write(&self, owner: &Owner, entry: &Entry) -> Answer {
        match self.ledger.write(owner, entry).await {
            Ok(()) => Answer::Written,
            Err(WriteFailed::Conflict) => Answer::Conflict,
            Err(WriteFailed::Call(error)) => failed(error).await,
        }
    }
}

/// A mail on its way.
struct Outgoing<'a> {
    finding: &'a StaleKeys,
    envelope: Envelope<'a>,
    mail: &'a Mail,
    /// The day (UTC) that it counts for.
    day: NaiveDate,
    /// Whether it is among the mails of all instances.
    is_counted: Cell<bool>,
    /// Whether SES was asked to send it.
    is_sent: Cell<bool>,
}

/// The codes of mails that do not go out because of a limit.
const OVER_ACCOUNT_CAP: &str = "the account has had its mails of this run";
const DAY_USED_UP: &str = "the day's mails are sent";
const TOO_MANY_NOT_REACHED: &str = "too many of the day's mails reached nobody";

fn over_limit(over: OverLimit) -> CallFailed {
    let (class, code) = match over {
        OverLimit::Account => (FailureClass::Never, OVER_ACCOUNT_CAP),
        OverLimit::Day => (FailureClass::Operator, DAY_USED_UP),
        OverLimit::NotReached => (FailureClass::Operator, TOO_MANY_NOT_REACHED),
    };
    CallFailed { call: "ses:SendEmail", class, code: code.to_owned(), source: None }
}

/// A call to the ledger failed: the next one, if there is one, does not follow at once.
async fn failed(error: CallFailed) -> Answer {
    tracing::warn!(%error, "the ledger does not answer");
    tokio::time::sleep(PAUSE).await;
    Answer::Failed(error)
}

/// What an outcome means for its record, and how it is counted.
fn conclude(outcome: Outcome, finding: &StaleKeys, metrics: &Metrics) -> Result<(), Failure> {
    match outcome {
        Outcome::Sent => {
            metrics.count_for(finding, Metric::MailsSent);
            records::log_outcome("sent", finding);
            Ok(())
        }
        Outcome::SentUnmarked => {
            metrics.count_for(finding, Metric::MailsSent);
            metrics.count_for(finding, Metric::MailsUnmarked);
            records::log_outcome("sent_unmarked", finding);
            Ok(())
        }
        Outcome::NotDue => {
            metrics.count_for(finding, Metric::MailsNotDue);
            records::log_outcome("not_due", finding);
            Ok(())
        }
        Outcome::NoTime => Err(records::out_of_time()),
        Outcome::Held { until } => {
            Err(Failure::GiveBack(Reason::new("claimed_elsewhere", ""), WaitFor::Instant(until)))
        }
        Outcome::Unknown { error, until } => {
            metrics.count_for(finding, Metric::MailsOutcomeUnknown);
            Err(Failure::GiveBack(Reason::new("outcome_unknown", error.to_string()), WaitFor::Outcome(until)))
        }
        // Done: the next run finds its owner again.
        Outcome::Failed(error) if error.code == OVER_ACCOUNT_CAP => {
            metrics.count_for(finding, Metric::MailsOverAccountCap);
            records::log_outcome("over_account_cap", finding);
            Ok(())
        }
        Outcome::Failed(error) => {
            let metric = match &*error.code {
                QUOTA_USED_UP | DAY_USED_UP => Metric::MailsHeldBack,
                TOO_MANY_NOT_REACHED => Metric::MailsStopped,
                _ => Metric::MailsFailed,
            };
            metrics.count_for(finding, metric);
            Err(error.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use chrono::{DateTime, TimeDelta, Utc};
    use keynudge_core::accounts::Scope;
    use keynudge_core::contact::{AllowedRecipients, ContactSource, Recipient};
    use keynudge_core::keys::StaleKey;
    use keynudge_core::ledger::{Claim, LedgerRules, NotReachedReason, SesEvent};
    use keynudge_core::mail::ReminderSettings;
    use keynudge_core::mail_limits::MailLimits;
    use keynudge_core::messages::Run;
    use keynudge_core::ports::SendQuota;
    use keynudge_lambda::vars::AsOfRule;
    use keynudge_testing::{
        ACCOUNT, Fate, LedgerCall, MemoryDeadLetters, MemoryLedger, MemoryMailer, MemoryQueue,
        MemoryRedelivery, MemoryRunRecords, SENDER_ID, event, event_sent_at, given_back, no_time, now,
        plenty_of_time, run, source, user,
    };
    use tempfile::TempDir;

    use crate::templates;

    type TestNotifier = Notifier<
        MemoryMailer,
        MemoryLedger,
        MemoryQueue<CheckUser>,
        MemoryQueue<MailTaken>,
        MemoryDeadLetters,
        MemoryRedelivery,
        MemoryRunRecords,
    >;

    fn notifier() -> TestNotifier {
        let remind_every_days = 7.try_into().unwrap();
        Notifier {
            mailer: MemoryMailer::default(),
            allowance: Allowance::new(1.try_into().unwrap(), None, Duration::from_hours(1)),
            ledger: MemoryLedger::default(),
            users: MemoryQueue::default(),
            ses_events: MemoryQueue::default(),
            source: source(),
            templates: Templates::built_in(),
            rules: Rules {
                scope: Scope::new(ACCOUNT.parse().unwrap(), None, [].into(), [].into()).unwrap(),
                allowed: AllowedRecipients::new(["example.com".parse().unwrap()]),
                reminder: ReminderSettings {
                    alert_after_days: 90.try_into().unwrap(),
                    remind_every_days,
                    max_exemption_days: 90.try_into().unwrap(),
                    support_contact: None,
                    organization_name: None,
                    policy_link: None,
                    redirect_all_to: None,
                },
                ledger: LedgerRules {
                    remind_every_days,
                    lease: TimeDelta::seconds(60),
                    unknown_lease: TimeDelta::minutes(15),
                },
                limits: MailLimits { per_account: 500.try_into().unwrap(), per_day: None },
                findings_sender_id: SENDER_ID.to_owned(),
                ses_attempt_timeout: Duration::from_secs(10),
                as_of: AsOfRule::NotAhead,
            },
        }
    }

    fn stale_keys(name: &str, run: Run) -> StaleKeys {
        StaleKeys {
            run,
            account_id: ACCOUNT.parse().unwrap(),
            account_name: None,
            user: user(name),
            recipient: Recipient {
                to: format!("{name}@example.com").parse().unwrap(),
                found_by: ContactSource::Tag,
            },
            keys: vec![StaleKey {
                id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
                created_at: now() - TimeDelta::days(100),
                age_days: 100,
                last_used: None,
                description: None,
            }],
            stage: 1,
            refused_exemption: None,
            checked_at: now(),
            found_at: None,
        }
    }

    fn body(finding: &StaleKeys) -> String {
        serde_json::to_string(finding).unwrap()
    }

    fn finding(name: &str) -> String {
        body(&stale_keys(name, run()))
    }

    /// A finding of the run `days` after [`now`], as testbeds have them.
    fn finding_of_day(days: i64) -> String {
        body(&stale_keys("jane", Run::at(now() + TimeDelta::days(days), Mode::Live)))
    }

    fn owner(name: &str, book: Book) -> Owner {
        Owner { account_id: ACCOUNT.parse().unwrap(), user_id: user(name).id, book }
    }

    fn claimed_until(lease_until: DateTime<Utc>) -> Entry {
        let notice = Notice::about(&run(), 1, &stale_keys("jane", run()).keys);
        let id = "somebody-else".parse().unwrap();
        let claim = Claim { id, lease_until, unknown_before: 0, notice };
        Entry { revision: 5, claim: Some(claim), ..Entry::default() }
    }

    async fn handle(notifier: &TestNotifier, findings: &[String], metrics: &Metrics) -> SqsBatchResponse {
        notifier.handle(event(findings), plenty_of_time(), metrics).await.unwrap()
    }

    /// Which of `findings` are given back, counting from 0, and the addresses that were mailed.
    async fn outcome(notifier: &TestNotifier, findings: &[String]) -> (Vec<String>, Vec<String>) {
        let response = handle(notifier, findings, &Metrics::default()).await;
        (given_back(&response).into_iter().map(str::to_owned).collect(), mailed(notifier))
    }

    fn mailed(notifier: &TestNotifier) -> Vec<String> {
        notifier.mailer.take().iter().map(|sent| sent.to.as_str().to_owned()).collect()
    }

    fn delay(notifier: &TestNotifier, record: usize) -> u64 {
        notifier.source.redelivery.of_record(record).unwrap().as_secs()
    }

    const NOBODY: [String; 0] = [];

    #[tokio::test]
    async fn each_owner_gets_one_mail_with_their_keys_and_the_ledger_knows() {
        let notifier = notifier();
        let metrics = Metrics::default();
        let response = handle(&notifier, &[finding("jane"), finding("joe")], &metrics).await;
        assert_eq!(given_back(&response), Vec::<&str>::new());
        let [jane, joe] = notifier.mailer.take().try_into().unwrap();
        assert_eq!((jane.to.as_str(), joe.to.as_str()), ("jane@example.com", "joe@example.com"));
        assert!(jane.mail.subject.contains("jane") && jane.mail.subject.contains(ACCOUNT));
        assert!(
            jane.mail.text.contains("AKIAIOSFODNN7EXAMPLE")
                && jane.mail.html.contains("AKIAIOSFODNN7EXAMPLE")
        );
        assert_eq!(jane.owner, owner("jane", Book::Live));
        let entry = notifier.ledger.entry(&jane.owner);
        assert_eq!((entry.claim, entry.history.len()), (None, 1));
        assert_eq!(entry.history[0].claim_id.as_str(), jane.claim_id, "the mail names its claim");
        assert_eq!(metrics.get(Metric::MailsSent), 2);
        assert_eq!(notifier.source.run_records.get(&run(), "MailsSent"), 2);
    }

    #[tokio::test]
    async fn a_finding_that_comes_again_is_done_and_mails_nobody() {
        let notifier = notifier();
        handle(&notifier, &[finding("jane")], &Metrics::default()).await;
        notifier.mailer.take();
        let metrics = Metrics::default();
        let response = handle(&notifier, &[finding("jane"), finding("jane")], &metrics).await;
        assert_eq!((given_back(&response), mailed(&notifier)), (vec![], NOBODY.into()));
        assert_eq!((metrics.get(Metric::MailsNotDue), metrics.get(Metric::MailsSent)), (2, 0));
    }

    #[tokio::test]
    async fn the_same_keys_are_mailed_about_again_when_the_cadence_has_passed() {
        let mut notifier = notifier();
        notifier.rules.as_of = AsOfRule::Any;
        for (days, mails) in [(0, 1), (1, 0), (6, 0), (7, 1), (13, 0), (14, 1)] {
            let (_, mailed) = outcome(&notifier, &[finding_of_day(days)]).await;
            assert_eq!(mailed.len(), mails, "day {days}");
        }
    }

    #[tokio::test]
    async fn findings_of_many_days_that_arrive_on_one_mail_nobody_before_they_are_checked_again() {
        let notifier = notifier();
        let findings = [-15, -8, -1].map(finding_of_day);
        assert_eq!(outcome(&notifier, &findings).await, (vec![], NOBODY.into()));
        assert!(notifier.users.take().iter().all(|check| check.run.as_of == now()));
    }

    #[tokio::test]
    async fn a_claim_of_somebody_else_is_waited_for_and_never_taken_for_done() {
        let notifier = notifier();
        notifier.ledger.put(owner("jane", Book::Live), claimed_until(now() + TimeDelta::seconds(40)));
        let (given_back, mailed) = outcome(&notifier, &[finding("jane")]).await;
        assert_eq!((given_back, mailed), (vec!["record-0".to_owned()], NOBODY.into()));
        assert!((41..=45).contains(&delay(&notifier, 0)), "{}", delay(&notifier, 0));
    }

    #[tokio::test]
    async fn a_claim_whose_lease_ended_is_taken_over_and_counted() {
        let notifier = notifier();
        notifier.ledger.put(owner("jane", Book::Live), claimed_until(now()));
        let metrics = Metrics::default();
        handle(&notifier, &[finding("jane")], &metrics).await;
        assert_eq!(mailed(&notifier), ["jane@example.com"]);
        assert_eq!(metrics.get(Metric::ClaimsTakenOver), 1);
        assert_eq!(notifier.ledger.entry(&owner("jane", Book::Live)).takeovers, 1);
    }

    #[tokio::test]
    async fn a_dry_run_renders_and_counts_and_touches_neither_ses_nor_the_ledger() {
        let notifier = notifier();
        let metrics = Metrics::default();
        let mut finding = stale_keys("jane", Run::at(now(), Mode::DryRun));
        finding.checked_at -= TimeDelta::days(1);
        assert_eq!(given_back(&handle(&notifier, &[body(&finding)], &metrics).await), Vec::<&str>::new());
        assert_eq!((mailed(&notifier), notifier.ledger.is_empty()), (NOBODY.into(), true));
        assert_eq!(notifier.mailer.quota_calls.get(), 0);
        assert_eq!((metrics.get(Metric::MailsNotSentDryRun), metrics.get(Metric::MailsSent)), (1, 0));
    }

    #[tokio::test]
    async fn a_pilot_sends_every_mail_to_one_mailbox_and_going_live_tells_everyone() {
        let mut notifier = notifier();
        notifier.rules.reminder.redirect_all_to = Some("pilot@example.org".parse().unwrap());
        handle(&notifier, &[finding("jane")], &Metrics::default()).await;
        let [sent] = notifier.mailer.take().try_into().unwrap();
        assert_eq!((sent.to.as_str(), sent.owner), ("pilot@example.org", owner("jane", Book::Pilot)));
        assert!(sent.mail.text.contains("jane@example.com") && sent.mail.html.contains("jane@example.com"));
        assert_eq!(outcome(&notifier, &[finding("jane")]).await.1, NOBODY, "a pilot has its cadence, too");
        notifier.rules.reminder.redirect_all_to = None;
        assert_eq!(outcome(&notifier, &[finding("jane")]).await.1, ["jane@example.com"]);
    }

    /// Writes into jane's entry that her last mail bounced, as feedback does.
    fn bounce(notifier: &TestNotifier, book: Book) {
        let entry = notifier.ledger.entry(&owner("jane", book));
        let claim_id = entry.history[0].claim_id.clone();
        let bounced = entry.hear(&claim_id, SesEvent::NotReached(NotReachedReason::Bounce), now());
        notifier.ledger.put(owner("jane", book), bounced.unwrap());
    }

    #[tokio::test]
    async fn an_owner_whose_mail_bounced_is_mailed_at_once_when_the_address_is_repaired() {
        let notifier = notifier();
        let mut repaired = stale_keys("jane", run());
        repaired.recipient.to = "jane.doe@example.com".parse().unwrap();
        assert_eq!(outcome(&notifier, &[finding("jane")]).await.1, ["jane@example.com"]);
        assert_eq!(outcome(&notifier, &[body(&repaired)]).await.1, NOBODY, "nobody knows of a bounce yet");
        bounce(&notifier, Book::Live);
        assert_eq!(outcome(&notifier, &[finding("jane")]).await.1, NOBODY, "the same address");
        assert_eq!(outcome(&notifier, &[body(&repaired)]).await.1, ["jane.doe@example.com"]);
        assert_eq!(outcome(&notifier, &[body(&repaired), finding("jane")]).await.1, NOBODY, "once");
        bounce(&notifier, Book::Live);
        assert_eq!(
            outcome(&notifier, &[body(&repaired), finding("jane")]).await.1,
            NOBODY,
            "both bounced today"
        );
    }

    #[tokio::test]
    async fn in_a_pilot_the_mailbox_of_the_pilot_is_the_one_to_repair() {
        let mut notifier = notifier();
        notifier.rules.reminder.redirect_all_to = Some("pilto@example.com".parse().unwrap());
        assert_eq!(outcome(&notifier, &[finding("jane")]).await.1, ["pilto@example.com"]);
        bounce(&notifier, Book::Pilot);
        let mut moved = stale_keys("jane", run());
        moved.recipient.to = "jane.doe@example.com".parse().unwrap();
        assert_eq!(outcome(&notifier, &[body(&moved)]).await.1, NOBODY);
        notifier.rules.reminder.redirect_all_to = Some("pilot@example.com".parse().unwrap());
        assert_eq!(outcome(&notifier, &[finding("jane")]).await.1, ["pilot@example.com"]);
    }

    #[tokio::test]
    async fn what_a_run_finds_late_on_its_own_date_is_mailed_and_not_sent_back() {
        let notifier = notifier();
        let mut late = stale_keys("jane", run());
        late.run.as_of = now() - TimeDelta::hours(5) - TimeDelta::minutes(59);
        assert_eq!(outcome(&notifier, &[body(&late)]).await.1, ["jane@example.com"]);
        late = stale_keys("joe", run());
        late.run.as_of = "2026-02-28T23:59:59Z".parse().unwrap();
        assert_eq!(outcome(&notifier, &[body(&late)]).await.1, NOBODY, "of an earlier date");
        assert_eq!(notifier.users.take().len(), 1);
    }

    #[tokio::test]
    async fn a_finding_that_was_sent_back_is_tried_for_an_hour_before_it_is_given_up() {
        let mut notifier = notifier();
        notifier.mailer = MemoryMailer::failing(|_| Some(FailureClass::Retry));
        let mut old = stale_keys("jane", run());
        old.found_at = Some(now() - TimeDelta::days(30));
        for (minutes_ago, dead_letters) in [(0, 0), (60, 0), (61, 1)] {
            let event = event_sent_at(&[body(&old)], now() - TimeDelta::minutes(minutes_ago));
            let response = notifier.handle(event, plenty_of_time(), &Metrics::default()).await.unwrap();
            assert_eq!(given_back(&response).len(), 1 - dead_letters, "{minutes_ago}");
            assert_eq!(notifier.source.dead_letters.take().len(), dead_letters, "{minutes_ago}");
        }
    }

    #[tokio::test]
    async fn an_old_finding_is_sent_back_to_be_checked_and_mails_nobody() {
        let notifier = notifier();
        let mut finding = stale_keys("jane", run());
        finding.checked_at -= TimeDelta::hours(7);
        let (given_back, mailed) = outcome(&notifier, &[body(&finding)]).await;
        assert_eq!((given_back, mailed, notifier.ledger.is_empty()), (vec![], NOBODY.into(), true));
        finding.user.password_last_used = None;
        assert_eq!(notifier.users.take(), [finding.recheck(now()).unwrap()]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_finding_that_cannot_be_sent_back_is_not_done() {
        let mut notifier = notifier();
        notifier.users = MemoryQueue::refusing(|_| Some(FailureClass::Retry));
        let mut finding = stale_keys("jane", run());
        finding.checked_at -= TimeDelta::hours(7);
        assert_eq!(outcome(&notifier, &[body(&finding)]).await, (vec!["record-0".to_owned()], NOBODY.into()));
    }

    #[tokio::test]
    async fn mail_that_ses_did_not_take_is_tried_again_at_once_or_hourly_and_the_others_are_sent() {
        let mut notifier = notifier();
        notifier.mailer = MemoryMailer::failing(|to| match to.as_str() {
            "busy@example.com" => Some(FailureClass::Retry),
            "unverified@example.com" => Some(FailureClass::Operator),
            _ => None,
        });
        let metrics = Metrics::default();
        let response = handle(&notifier, &["busy", "jane", "unverified"].map(finding), &metrics).await;
        assert_eq!(given_back(&response), ["record-0", "record-2"]);
        assert_eq!(mailed(&notifier), ["jane@example.com"]);
        assert_eq!((metrics.get(Metric::MailsSent), metrics.get(Metric::MailsFailed)), (1, 2));
        assert!((30..=40).contains(&delay(&notifier, 0)) && (2_700..=3_600).contains(&delay(&notifier, 2)));
        for name in ["busy", "unverified"] {
            let entry = notifier.ledger.entry(&owner(name, Book::Live));
            assert_eq!((entry.claim, entry.takeovers), (None, 0), "proven not taken");
        }
    }

    #[tokio::test]
    async fn mail_that_ses_may_have_taken_waits_for_its_event() {
        let mut notifier = notifier();
        notifier.mailer = MemoryMailer::failing(|_| Some(FailureClass::Unknown));
        let metrics = Metrics::default();
        let response = handle(&notifier, &[finding("jane")], &metrics).await;
        assert_eq!(given_back(&response), ["record-0"]);
        assert!((901..=905).contains(&delay(&notifier, 0)), "{}", delay(&notifier, 0));
        let claim = notifier.ledger.entry(&owner("jane", Book::Live)).claim.unwrap();
        assert_eq!(claim.lease_until, now() + TimeDelta::minutes(15));
        assert_eq!(metrics.get(Metric::MailsOutcomeUnknown), 1);
    }

    #[tokio::test]
    async fn mail_whose_outcome_stays_unknown_is_given_up_in_the_end() {
        let mut notifier = notifier();
        notifier.mailer = MemoryMailer::failing(|_| Some(FailureClass::Unknown));
        let mut finding = stale_keys("jane", run());
        finding.found_at = Some(now() - TimeDelta::days(2));
        let event = event_sent_at(&[body(&finding)], now() - TimeDelta::hours(2));
        let response = notifier.handle(event, plenty_of_time(), &Metrics::default()).await.unwrap();
        assert_eq!(given_back(&response), Vec::<&str>::new());
        assert_eq!(notifier.source.dead_letters.take()[0].reason, "outcome_unknown");
    }

    #[tokio::test]
    async fn a_mail_that_ses_will_never_take_is_put_aside() {
        let mut notifier = notifier();
        notifier.mailer = MemoryMailer::failing(|_| Some(FailureClass::Never));
        let findings = [finding("jane")];
        assert_eq!(outcome(&notifier, &findings).await.0, Vec::<String>::new());
        let [letter] = notifier.source.dead_letters.take().try_into().unwrap();
        assert_eq!((letter.reason, letter.body.as_str()), ("call_failed", findings[0].as_str()));
        assert_eq!(notifier.ledger.entry(&owner("jane", Book::Live)).claim, None);
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_ledger_nobody_is_mailed_and_nobody_forgotten() {
        for class in [FailureClass::Retry, FailureClass::Operator] {
            for failing in [LedgerCall::Read, LedgerCall::Claim] {
                let notifier = with_ledger(failing, Fate::Failed(class));
                let (given_back, mailed) = outcome(&notifier, &[finding("jane")]).await;
                assert_eq!((given_back.len(), mailed), (1, NOBODY.into()), "{class:?} {failing:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_of_the_ledger_costs_no_mail_and_makes_none_too_many() {
        for lost in [LedgerCall::Claim, LedgerCall::Mark] {
            let notifier = with_ledger(lost, Fate::AnswerLost);
            let (given_back, mailed) = outcome(&notifier, &[finding("jane")]).await;
            assert_eq!((given_back.len(), mailed.len()), (0, 1), "{lost:?}");
            let entry = notifier.ledger.entry(&owner("jane", Book::Live));
            assert_eq!((entry.claim, entry.history.len(), entry.takeovers), (None, 1, 0), "{lost:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_that_cannot_be_marked_is_tried_to_be_to_the_deadline_and_is_done() {
        let notifier = with_ledger(LedgerCall::Mark, Fate::Failed(FailureClass::Retry));
        let metrics = Metrics::default();
        let deadline = Deadline::after(Duration::from_secs(30));
        let response = notifier.handle(event(&[finding("jane")]), deadline, &metrics).await.unwrap();
        assert_eq!((given_back(&response), mailed(&notifier).len()), (vec![], 1));
        assert_eq!((metrics.get(Metric::MailsSent), metrics.get(Metric::MailsUnmarked)), (1, 1));
        let seconds = Duration::from_secs;
        assert!(!deadline.leaves_less_than(seconds(4)) && deadline.leaves_less_than(seconds(6)));
        let claim = notifier.ledger.entry(&owner("jane", Book::Live)).claim.unwrap();
        let mail_taken = MailTaken::new(owner("jane", Book::Live), claim.id);
        assert_eq!(notifier.ses_events.take(), [mail_taken], "to be marked as SES's own events are");
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_is_not_sent_when_the_ledger_left_no_time_to_hear_sess_answer() {
        let slow_ledger = MemoryLedger::with(|_| Fate::Done).answering_after(Duration::from_secs(2));
        let notifier = TestNotifier { ledger: slow_ledger, ..notifier() };
        let deadline = Deadline::after(Duration::from_secs(18));
        let event = event(&[finding("jane")]);
        let response = notifier.handle(event, deadline, &Metrics::default()).await.unwrap();
        assert_eq!((given_back(&response), mailed(&notifier)), (vec!["record-0"], NOBODY.into()));
        let entry = notifier.ledger.entry(&owner("jane", Book::Live));
        assert_eq!((entry.claim, entry.takeovers), (None, 0), "released: nothing was sent");
    }

    fn with_ledger(call: LedgerCall, fate: Fate) -> TestNotifier {
        let ledger = MemoryLedger::with(move |asked| if asked == call { fate } else { Fate::Done });
        TestNotifier { ledger, ..notifier() }
    }

    #[tokio::test]
    async fn mails_beyond_the_quota_wait_for_it_without_asking_ses_for_each() {
        let notifier = notifier();
        notifier.mailer.quota.set(Ok(SendQuota {
            per_second: None,
            per_day: Some(200),
            left_today: Some(0),
        }));
        let metrics = Metrics::default();
        let response = handle(&notifier, &["jane", "joe"].map(finding), &metrics).await;
        assert_eq!((given_back(&response).len(), mailed(&notifier)), (2, NOBODY.into()));
        assert!((2_700..=3_600).contains(&delay(&notifier, 1)));
        assert_eq!((metrics.get(Metric::MailsHeldBack), notifier.mailer.quota_calls.get()), (2, 1));
        assert!(notifier.ledger.is_empty(), "whoever waits holds no claim");
    }

    #[tokio::test]
    async fn no_mail_leaves_the_allowed_domains_whoever_asks_for_it() {
        let notifier = notifier();
        let mut finding = stale_keys("jane", run());
        finding.recipient.to = "jane@evil.test".parse().unwrap();
        assert_eq!(outcome(&notifier, &[body(&finding)]).await.1, NOBODY);
        assert_eq!(notifier.source.dead_letters.take()[0].reason, "recipient_not_allowed");
    }

    #[tokio::test]
    async fn a_finding_about_another_account_mails_nobody() {
        let notifier = notifier();
        let mut finding = stale_keys("jane", run());
        finding.account_id = "999999999999".parse().unwrap();
        assert_eq!(outcome(&notifier, &[body(&finding)]).await.1, NOBODY);
        assert_eq!(notifier.source.dead_letters.take()[0].reason, "unknown_account");
    }

    /// A notifier whose organization has this subject.
    fn with_subject(subject: &str) -> TestNotifier {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("reminder.subject.txt"), subject).unwrap();
        TestNotifier { templates: templates::load(Some(directory.path())), ..notifier() }
    }

    /// What the mails are called that were sent.
    fn subjects(notifier: &TestNotifier) -> Vec<String> {
        notifier.mailer.take().into_iter().map(|sent| sent.mail.subject).collect()
    }

    const BUILT_IN: &str = "1 AWS access key of jane in account 123456789012 is older than 90 days";

    #[tokio::test]
    async fn an_organization_s_own_words_are_used() {
        let notifier = with_subject("Schlüssel von {{ user_name }}");
        let metrics = Metrics::default();
        handle(&notifier, &[finding("jane")], &metrics).await;
        assert_eq!(subjects(&notifier), ["Schlüssel von jane"]);
        assert_eq!((metrics.get(Metric::MailsSent), metrics.get(Metric::TemplatesUnusable)), (1, 0));
    }

    #[tokio::test]
    async fn broken_templates_cost_no_mail_and_are_counted() {
        for broken in ["{% if %}", "{{ nothing.there }}", "{{ account_name }}", "{{ keys }}", ""] {
            let notifier = with_subject(broken);
            let metrics = Metrics::default();
            let response = handle(&notifier, &[finding("jane")], &metrics).await;
            assert_eq!((given_back(&response).len(), notifier.source.dead_letters.take().len()), (0, 0));
            assert_eq!(subjects(&notifier), [BUILT_IN], "{broken}");
            assert_eq!((metrics.get(Metric::MailsSent), metrics.get(Metric::TemplatesUnusable)), (1, 1));
        }
    }

    #[tokio::test]
    async fn a_mail_that_own_templates_cannot_write_is_in_the_built_in_words_and_no_other() {
        let notifier = with_subject("{% if user_name == \"jane\" %}{{ nobody }}{% else %}Joe{% endif %}");
        let metrics = Metrics::default();
        handle(&notifier, &["joe", "jane"].map(finding), &metrics).await;
        assert_eq!(subjects(&notifier), ["Joe", BUILT_IN]);
        assert_eq!((metrics.get(Metric::MailsSent), metrics.get(Metric::TemplatesUnusable)), (2, 1));
    }

    #[tokio::test]
    async fn templates_that_are_not_where_they_should_be_cost_no_mail() {
        let nowhere = Some(Path::new("/nowhere/keynudge"));
        let notifier = TestNotifier { templates: templates::load(nowhere), ..notifier() };
        let metrics = Metrics::default();
        handle(&notifier, &[finding("jane")], &metrics).await;
        assert_eq!(
            (subjects(&notifier), metrics.get(Metric::TemplatesUnusable)),
            (vec![BUILT_IN.to_owned()], 1)
        );
    }

    #[tokio::test]
    async fn broken_templates_show_in_a_dry_run() {
        let notifier = with_subject("{{ nothing.there }}");
        let metrics = Metrics::default();
        handle(&notifier, &[body(&stale_keys("jane", Run::at(now(), Mode::DryRun)))], &metrics).await;
        let counted = (metrics.get(Metric::MailsNotSentDryRun), metrics.get(Metric::TemplatesUnusable));
        assert_eq!(counted, (1, 1));
    }

    #[tokio::test]
    async fn a_live_run_ahead_of_the_clock_mails_nobody() {
        let notifier = notifier();
        assert_eq!(outcome(&notifier, &[finding_of_day(30)]).await.1, NOBODY);
        assert_eq!(notifier.source.dead_letters.take()[0].reason, "invalid_message");
    }

    #[tokio::test]
    async fn what_there_is_no_time_for_is_given_back() {
        let notifier = notifier();
        let response =
            notifier.handle(event(&[finding("jane")]), no_time(), &Metrics::default()).await.unwrap();
        assert_eq!((given_back(&response), mailed(&notifier)), (vec!["record-0"], NOBODY.into()));
        assert!((1..=5).contains(&delay(&notifier, 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_whose_turn_comes_too_late_is_not_begun() {
        let notifier = notifier();
        notifier.mailer.quota.set(Ok(SendQuota { per_second: Some(0.4), per_day: None, left_today: None }));
        let deadline = Deadline::after(Duration::from_secs(30));
        let event = event(&["jane", "joe", "jim", "jo", "al"].map(finding));
        let response = notifier.handle(event, deadline, &Metrics::default()).await.unwrap();
        assert_eq!(mailed(&notifier).len(), 3, "one every five seconds, with 16 s left for the last");
        assert_eq!(given_back(&response), ["record-3", "record-4"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_is_only_begun_if_there_is_time_for_all_of_it() {
        let notifier = notifier();
        for (seconds, mails) in [(15, 0), (17, 1)] {
            let deadline = Deadline::after(Duration::from_secs(seconds));
            let event = event(&[finding("jane")]);
            notifier.handle(event, deadline, &Metrics::default()).await.unwrap();
            assert_eq!(mailed(&notifier).len(), mails, "{seconds} s left");
        }
    }

    fn event_from(sender: &str, body: String) -> SqsEvent {
        let mut event = event(&[body]);
        event.records[0].attributes.insert("SenderId".to_owned(), sender.to_owned());
        event
    }

    /// Somebody who may send to the queue makes up a finding: real commands against a live key, by a mail signed as the
    /// organization's.
    #[tokio::test]
    async fn a_finding_that_the_worker_did_not_send_is_checked_again_and_mailed_to_nobody() {
        let senders = ["AROASOMEBODYELSEROLE:mallory", "AIDAEXAMPLEOFAUSER", "", SENDER_ID];
        for sender in senders {
            let notifier = notifier();
            let mut forged = stale_keys("jane", run());
            forged.account_name = Some("URGENT".parse().unwrap());
            let metrics = Metrics::default();
            let event = event_from(sender, body(&forged));
            let response = notifier.handle(event, plenty_of_time(), &metrics).await.unwrap();
            assert_eq!(given_back(&response), Vec::<&str>::new(), "{sender}");
            assert_eq!((mailed(&notifier), notifier.ledger.is_empty()), (NOBODY.into(), true), "{sender}");
            let [check] = notifier.users.take().try_into().unwrap();
            assert_eq!((check.user.name.as_str(), check.account_name), ("jane", None), "{sender}");
            assert_eq!(metrics.get(Metric::FindingsSentBack), 1);
        }
        let notifier = notifier();
        let event = event_from(&format!("{SENDER_ID}:keys-worker"), finding("jane"));
        notifier.handle(event, plenty_of_time(), &Metrics::default()).await.unwrap();
        assert_eq!(mailed(&notifier), ["jane@example.com"]);
    }

    /// One account's tags can point all of its owners to one mailbox.
    #[tokio::test]
    async fn an_account_gets_no_more_mails_in_a_run_than_it_may() {
        let mut notifier = notifier();
        notifier.rules.limits.per_account = 3.try_into().unwrap();
        let metrics = Metrics::default();
        let findings = ["ann", "bob", "cem", "dan", "eve"].map(finding);
        assert_eq!(given_back(&handle(&notifier, &findings, &metrics).await), Vec::<&str>::new());
        assert_eq!(mailed(&notifier).len(), 3);
        assert_eq!((metrics.get(Metric::MailsOverAccountCap), metrics.get(Metric::MailsFailed)), (2, 0));
        assert_eq!(notifier.source.run_records.mails_of(now().date_naive()).today, 3);
        // The next run finds them again.
        let next = |name| stale_keys(name, Run::at(now() + TimeDelta::minutes(1), Mode::Live));
        let findings = ["dan", "eve"].map(|name| body(&next(name)));
        assert_eq!(outcome(&notifier, &findings).await.1, ["dan@example.com", "eve@example.com"]);
    }

    #[tokio::test]
    async fn a_mail_that_was_not_sent_leaves_its_room_to_another() {
        let mut notifier = notifier();
        notifier.rules.limits.per_account = 3.try_into().unwrap();
        notifier.mailer = MemoryMailer::failing(|_| Some(FailureClass::Retry));
        for _ in 0..5 {
            handle(&notifier, &["ann", "bob", "cem"].map(finding), &Metrics::default()).await;
        }
        assert_eq!(notifier.source.run_records.mails_of(now().date_naive()).today, 0);
        notifier.mailer = MemoryMailer::default();
        assert_eq!(outcome(&notifier, &["ann", "bob", "cem"].map(finding)).await.1.len(), 3);
    }

    /// A default domain that is wrong, or five thousand tags with mailboxes that are not there.
    #[tokio::test]
    async fn mails_stop_while_too_many_of_the_day_s_reached_nobody() {
        let notifier = notifier();
        notifier.source.run_records.set_mails_of(now().date_naive(), 20, 2);
        let metrics = Metrics::default();
        let response = handle(&notifier, &[finding("jane")], &metrics).await;
        assert_eq!((given_back(&response), mailed(&notifier)), (vec!["record-0"], NOBODY.into()));
        assert_eq!(metrics.get(Metric::MailsStopped), 1);
        notifier.source.run_records.set_mails_of(now().date_naive(), 20, 1);
        assert_eq!(outcome(&notifier, &[finding("jane")]).await.1, ["jane@example.com"]);
    }

    #[tokio::test]
    async fn a_day_s_mails_are_at_most_half_of_what_ses_lets_its_account_send() {
        let notifier = notifier();
        notifier.mailer.quota.set(Ok(SendQuota { per_second: None, per_day: Some(4), left_today: Some(4) }));
        let metrics = Metrics::default();
        let response = handle(&notifier, &["ann", "bob", "cem"].map(finding), &metrics).await;
        assert_eq!((given_back(&response), mailed(&notifier).len()), (vec!["record-2"], 2));
        assert_eq!((metrics.get(Metric::MailsHeldBack), metrics.get(Metric::MailsFailed)), (1, 0));
    }

    #[tokio::test]
    async fn an_entry_of_the_ledger_that_cannot_be_true_keeps_nobody_from_being_told() {
        let notifier = notifier();
        handle(&notifier, &[finding("jane")], &Metrics::default()).await;
        mailed(&notifier);
        let mut entry = notifier.ledger.entry(&owner("jane", Book::Live));
        entry.history[0].notice.as_of_date = "9999-01-01".parse().unwrap();
        notifier.ledger.put(owner("jane", Book::Live), entry);
        let metrics = Metrics::default();
        handle(&notifier, &[finding("jane")], &metrics).await;
        assert_eq!((mailed(&notifier).len(), metrics.get(Metric::LedgerImplausible)), (1, 1));
    }
}
