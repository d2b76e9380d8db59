//! Keynudge's ports in memory, and records to feed handlers with. For tests alone.

#![expect(clippy::missing_panics_doc, reason = "a test helper panics where the test is wrong")]

pub mod bodies;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use keynudge_core::accounts::Account;
use keynudge_core::failure::{ASSUME_ROLE, CallFailed, FailureClass};
use keynudge_core::ids::{AccessKeyId, AccountId, AccountName, EmailAddress, UnitId, UserName};
use keynudge_core::keys::{AccessKey, KeyStatus, LastUsed};
use keynudge_core::ledger::Entry;
use keynudge_core::mail::Mail;
use keynudge_core::mail_limits::MailCounts;
use keynudge_core::messages::{Mode, Run, User};
use keynudge_core::ports::{
    AccountAliases, Counts, CredentialReports, DeadLetter, DeadLetters, Envelope, IamByAccount, KeyStore,
    Ledger, LedgerReader, ListedUser, MailCounters, Mailer, Organization, Outbox, Owner, Page, RawReport,
    Redelivery, ReportState, RoleUse, RunRecords, SendQuota, SendQuotas, UnreadableUser, UserDirectory,
    UserPage, WriteFailed,
};
use keynudge_core::retry::RetryPolicy;
use keynudge_core::tags::Tags;
use keynudge_lambda::clock::Clock;
use keynudge_lambda::deadline::Deadline;
use keynudge_lambda::records::{Kind, Source};
use serde_json::json;

/// The account of all tests.
pub const ACCOUNT: &str = "123456789012";

/// The unique id of the role that sends the records of [`event`].
pub const SENDER_ID: &str = "AROAEXAMPLEOFWORKERS";

/// The instant of all tests; also what [`CLOCK`] shows.
pub const NOW: &str = "2026-03-01T06:00:00Z";

/// A stopped clock.
pub const CLOCK: Clock = now;

/// [`NOW`] as an instant.
#[must_use]
pub fn now() -> DateTime<Utc> {
    NOW.parse().expect("NOW is an instant")
}

/// A deadline with time for everything.
#[must_use]
pub fn plenty_of_time() -> Deadline {
    Deadline::after(Duration::from_hours(1))
}

/// A deadline with time for nothing.
#[must_use]
pub fn no_time() -> Deadline {
    Deadline::after(Duration::ZERO)
}

/// A live run at [`NOW`].
#[must_use]
pub fn run() -> Run {
    Run::at(now(), Mode::Live)
}

/// A user called `name`, who has signed in.
#[must_use]
pub fn user(name: &str) -> User {
    let id = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    User {
        name: name.parse().expect("a user name"),
        id: format!("AIDA{id:0>16}").parse().expect("a user id"),
        arn: format!("arn:aws:iam::{ACCOUNT}:user/{name}").parse().expect("a user's ARN"),
        created_at: now() - TimeDelta::days(1_000),
        password_last_used: Some(now() - TimeDelta::days(1)),
    }
}

/// An access key whose id ends in `id`, `age_days` old at [`NOW`].
#[must_use]
pub fn key(id: &str, status: KeyStatus, age_days: i64) -> AccessKey {
    AccessKey {
        id: format!("AKIA{id:0>16}").parse().expect("a key id"),
        status,
        created_at: now() - TimeDelta::days(age_days),
    }
}

/// Looks settings up in a table, but for `name`, which has `value` instead.
pub fn settings<'a>(
    table: &'a [(&str, &str)],
    name: &'a str,
    value: &'a str,
) -> impl Fn(&str) -> Option<String> {
    move |wanted| {
        let mut all = [(name, value)].into_iter().chain(table.iter().copied());
        all.find(|(known, _)| *known == wanted).map(|(_, value)| value.to_owned())
    }
}

/// A failure of class `class`.
#[must_use]
pub fn failure(class: FailureClass) -> CallFailed {
    CallFailed { call: "test:Call", class, code: "Scripted".to_owned(), source: None }
}

/// An SQS event; the record of `bodies[i]` has the id `record-i`, was sent at [`NOW`], and is delivered for the third
/// time.
#[must_use]
pub fn event(bodies: &[String]) -> SqsEvent {
    event_sent_at(bodies, now())
}

/// The same, with records that were sent at `sent_at`.
#[must_use]
pub fn event_sent_at(bodies: &[String], sent_at: DateTime<Utc>) -> SqsEvent {
    let records: Vec<_> = bodies
        .iter()
        .enumerate()
        .map(|(i, body)| {
            json!({
                "messageId": format!("record-{i}"),
                "receiptHandle": format!("handle-{i}"),
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "3",
                    "SentTimestamp": sent_at.timestamp_millis().to_string(),
                    "SenderId": format!("{SENDER_ID}:keynudge-worker"),
                    "ApproximateFirstReceiveTimestamp": sent_at.timestamp_millis().to_string(),
                    "MessageGroupId": ACCOUNT,
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": format!("arn:aws:sqs:eu-west-1:{ACCOUNT}:queue"),
                "awsRegion": "eu-west-1",
            })
        })
        .collect();
    serde_json::from_value(json!({"Records": records})).expect("an SQS event")
}

/// The ids of the records that are given back.
#[must_use]
pub fn given_back(response: &SqsBatchResponse) -> Vec<&str> {
    response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
}

/// A queue that keeps what it is sent, and can be told to refuse.
pub struct MemoryQueue<M> {
    sent: RefCell<Vec<M>>,
    calls: Cell<usize>,
    refuse: fn(&M) -> Option<FailureClass>,
}

impl<M> Default for MemoryQueue<M> {
    fn default() -> Self {
        Self::refusing(|_| None)
    }
}

impl<M> MemoryQueue<M> {
    /// Refuses each message for which `refuse` names a class.
    #[must_use]
    pub fn refusing(refuse: fn(&M) -> Option<FailureClass>) -> Self {
        Self { sent: RefCell::default(), calls: Cell::default(), refuse }
    }

    /// How many calls there were so far.
    pub fn calls(&self) -> usize {
        self.calls.get()
    }

    /// Takes what was sent so far.
    pub fn take(&self) -> Vec<M> {
        self.sent.take()
    }
}

impl<M: Clone> Outbox<M> for MemoryQueue<M> {
    async fn send(&self, messages: &[&M]) -> Vec<Result<(), CallFailed>> {
        self.calls.set(self.calls.get() + 1);
        let send = |message: &&M| {
            if let Some(class) = (self.refuse)(message) {
                return Err(failure(class));
            }
            self.sent.borrow_mut().push((*message).clone());
            Ok(())
        };
        messages.iter().map(send).collect()
    }
}

/// A dead-letter queue that keeps what it is sent, or takes nothing.
#[derive(Default)]
pub struct MemoryDeadLetters {
    letters: RefCell<Vec<DeadLetter>>,
    broken: bool,
}

impl MemoryDeadLetters {
    /// One that takes nothing.
    #[must_use]
    pub fn broken() -> Self {
        Self { broken: true, ..Self::default() }
    }

    /// Takes the letters so far.
    pub fn take(&self) -> Vec<DeadLetter> {
        self.letters.take()
    }
}

impl DeadLetters for MemoryDeadLetters {
    async fn put(&self, letter: &DeadLetter) -> Result<(), CallFailed> {
        if self.broken {
            return Err(failure(FailureClass::Retry));
        }
        self.letters.borrow_mut().push(letter.clone());
        Ok(())
    }
}

/// The queue that records come from, in memory.
pub type MemorySource = Source<MemoryDeadLetters, MemoryRedelivery, MemoryRunRecords>;

/// A source that works, with the template's delays, at [`NOW`].
#[must_use]
pub fn source() -> MemorySource {
    source_with(MemoryDeadLetters::default())
}

/// The same, with these dead letters.
#[must_use]
pub fn source_with(dead_letters: MemoryDeadLetters) -> MemorySource {
    Source {
        kind: Kind::Checks,
        dead_letters,
        redelivery: MemoryRedelivery::default(),
        run_records: MemoryRunRecords::default(),
        retry: retry_policy(),
        clock: CLOCK,
    }
}

/// The times of checks.
#[must_use]
pub fn retry_policy() -> RetryPolicy {
    RetryPolicy {
        give_up_after: TimeDelta::days(1),
        first_delay: Duration::from_secs(10),
        longest_delay: Duration::from_hours(4),
        operator_delay: Duration::from_hours(1),
    }
}

/// Remembers how long records stay away, by their receipt handles.
#[derive(Default)]
pub struct MemoryRedelivery {
    delays: RefCell<BTreeMap<String, Duration>>,
}

impl MemoryRedelivery {
    /// How long the record `record-i` stays away, if it was told to.
    pub fn of_record(&self, i: usize) -> Option<Duration> {
        self.delays.borrow().get(&format!("handle-{i}")).copied()
    }
}

impl Redelivery for MemoryRedelivery {
    async fn delay(&self, receipt_handle: &str, delay: Duration) -> Result<(), CallFailed> {
        self.delays.borrow_mut().insert(receipt_handle.to_owned(), delay);
        Ok(())
    }
}

/// What runs came to, by run and account; or nothing can be kept.
#[derive(Default)]
pub struct MemoryRunRecords {
    counts: RefCell<BTreeMap<(String, String), Counts>>,
    started: RefCell<Vec<(Run, usize)>>,
    denied: RefCell<BTreeMap<(String, String, RoleUse), DateTime<Utc>>>,
    mails_of_accounts: RefCell<BTreeMap<(String, String), u64>>,
    mails_of_days: RefCell<BTreeMap<NaiveDate, MailCounts>>,
    broken: bool,
}

impl MemoryRunRecords {
    /// Has `account_id` deny its role since then, in the run at [`NOW`].
    pub fn deny(&self, account_id: &str, role_use: RoleUse, since: DateTime<Utc>) {
        let key = (run().run_id.to_string(), account_id.to_owned(), role_use);
        self.denied.borrow_mut().insert(key, since);
    }

    /// One that keeps nothing.
    #[must_use]
    pub fn broken() -> Self {
        Self { broken: true, ..Self::default() }
    }

    /// What `run` came to in [`ACCOUNT`], under `name`.
    pub fn get(&self, run: &Run, name: &str) -> u64 {
        self.of_account(run, ACCOUNT, name)
    }

    /// What `run` came to in this account, under `name`.
    pub fn of_account(&self, run: &Run, account_id: &str, name: &str) -> u64 {
        let key = (run.run_id.to_string(), account_id.to_owned());
        self.counts.borrow().get(&key).and_then(|counts| counts.get(name)).copied().unwrap_or(0)
    }

    /// The runs that were started, and of how many accounts.
    pub fn started(&self) -> Vec<(Run, usize)> {
        self.started.borrow().clone()
    }

    fn change(
        &self,
        run: &Run,
        account_id: &AccountId,
        counts: &Counts,
        change: fn(&mut u64, u64),
    ) -> Result<(), CallFailed> {
        if self.broken {
            return Err(failure(FailureClass::Retry));
        }
        let key = (run.run_id.to_string(), account_id.to_string());
        let mut all = self.counts.borrow_mut();
        let kept = all.entry(key).or_default();
        for (name, n) in counts {
            change(kept.entry(name).or_default(), *n);
        }
        Ok(())
    }
}

impl RunRecords for MemoryRunRecords {
    async fn start(&self, run: &Run, accounts: usize, _at: DateTime<Utc>) -> Result<(), CallFailed> {
        if self.broken {
            return Err(failure(FailureClass::Retry));
        }
        self.started.borrow_mut().push((run.clone(), accounts));
        Ok(())
    }

    async fn set(&self, run: &Run, account_id: &AccountId, counts: &Counts) -> Result<(), CallFailed> {
        self.change(run, account_id, counts, |kept, n| *kept = n)
    }

    async fn add(&self, run: &Run, account_id: &AccountId, counts: &Counts) -> Result<(), CallFailed> {
        self.change(run, account_id, counts, |kept, n| *kept += n)
    }

    async fn first_denied(
        &self,
        run: &Run,
        account_id: &AccountId,
        role_use: RoleUse,
        at: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, CallFailed> {
        if self.broken {
            return Err(failure(FailureClass::Retry));
        }
        let key = (run.run_id.to_string(), account_id.to_string(), role_use);
        Ok(*self.denied.borrow_mut().entry(key).or_insert(at))
    }
}

impl MemoryRunRecords {
    /// The mails of a day. Of an account it says nothing.
    pub fn mails_of(&self, day: NaiveDate) -> MailCounts {
        self.mails_of_days.borrow().get(&day).copied().unwrap_or_default()
    }

    /// Has as many mails of `day` begun, of which so many reached nobody.
    pub fn set_mails_of(&self, day: NaiveDate, today: u64, not_reached_today: u64) {
        let counts = MailCounts { of_account: 0, today, not_reached_today };
        self.mails_of_days.borrow_mut().insert(day, counts);
    }
}

/// In memory even where nothing else is kept: without them no mail is sent.
impl MailCounters for MemoryRunRecords {
    async fn begin_mail(
        &self,
        run: &Run,
        account_id: &AccountId,
        day: NaiveDate,
    ) -> Result<MailCounts, CallFailed> {
        let mut accounts = self.mails_of_accounts.borrow_mut();
        let of_account = accounts.entry((run.run_id.to_string(), account_id.to_string())).or_default();
        *of_account += 1;
        let mut days = self.mails_of_days.borrow_mut();
        let counts = days.entry(day).or_default();
        counts.today += 1;
        Ok(MailCounts { of_account: *of_account, ..*counts })
    }

    async fn cancel_mail(&self, run: &Run, account_id: &AccountId, day: NaiveDate) -> Result<(), CallFailed> {
        let key = (run.run_id.to_string(), account_id.to_string());
        *self.mails_of_accounts.borrow_mut().get_mut(&key).expect("begun before") -= 1;
        self.mails_of_days.borrow_mut().get_mut(&day).expect("begun before").today -= 1;
        Ok(())
    }

    async fn mail_not_reached(&self, day: NaiveDate) -> Result<(), CallFailed> {
        self.mails_of_days.borrow_mut().entry(day).or_default().not_reached_today += 1;
        Ok(())
    }
}

/// A call to the [`MemoryLedger`], for a test to decide about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerCall {
    /// An entry is read.
    Read,
    /// A claim is written.
    Claim,
    /// A reminder is marked as sent.
    Mark,
    /// A claim is released or prolonged.
    Other,
}

/// What becomes of a call to the [`MemoryLedger`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done.
    Done,
    /// It fails, and nothing was done.
    Failed(FailureClass),
    /// It is done, and its answer is lost.
    AnswerLost,
}

/// A ledger that does what DynamoDB's would, and can be told to fail.
pub struct MemoryLedger {
    entries: RefCell<BTreeMap<Owner, Entry>>,
    fate: Box<dyn Fn(LedgerCall) -> Fate>,
    latency: Duration,
}

impl Default for MemoryLedger {
    fn default() -> Self {
        Self::with(|_| Fate::Done)
    }
}

impl MemoryLedger {
    /// One in which `fate` decides what becomes of each call.
    #[must_use]
    pub fn with(fate: impl Fn(LedgerCall) -> Fate + 'static) -> Self {
        Self { entries: RefCell::default(), fate: Box::new(fate), latency: Duration::ZERO }
    }

    /// The same, each of whose calls takes as long.
    #[must_use]
    pub fn answering_after(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    /// Without a latency, calls answer at once, and no other task comes in between.
    async fn wait(&self) {
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
    }

    /// The entry of `owner`.
    pub fn entry(&self, owner: &Owner) -> Entry {
        self.entries.borrow().get(owner).cloned().unwrap_or_default()
    }

    /// Has `entry` there from the start.
    pub fn put(&self, owner: Owner, entry: Entry) {
        self.entries.borrow_mut().insert(owner, entry);
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }
}

impl LedgerReader for MemoryLedger {
    async fn read(&self, owner: &Owner) -> Result<Entry, CallFailed> {
        self.wait().await;
        match (self.fate)(LedgerCall::Read) {
            Fate::Done => Ok(self.entry(owner)),
            Fate::Failed(class) => Err(failure(class)),
            Fate::AnswerLost => Err(failure(FailureClass::Retry)),
        }
    }
}

impl Ledger for MemoryLedger {
    async fn write(&self, owner: &Owner, entry: &Entry) -> Result<(), WriteFailed> {
        self.wait().await;
        let before = self.entry(owner);
        let call = match (&before.claim, &entry.claim) {
            (None, Some(_)) => LedgerCall::Claim,
            (Some(before), Some(after)) if before.id != after.id => LedgerCall::Claim,
            _ if entry.history.first() != before.history.first() => LedgerCall::Mark,
            _ => LedgerCall::Other,
        };
        let fate = (self.fate)(call);
        if let Fate::Failed(class) = fate {
            return Err(failure(class).into());
        }
        if entry.revision != before.revision + 1 {
            return Err(WriteFailed::Conflict);
        }
        self.put(owner.clone(), entry.clone());
        if fate == Fate::AnswerLost { Err(failure(FailureClass::Retry).into()) } else { Ok(()) }
    }
}

/// A mail that was handed over.
#[derive(Debug, Clone)]
pub struct SentMail {
    /// The mailbox.
    pub to: EmailAddress,
    /// Whom it is about.
    pub owner: Owner,
    /// The claim it was sent under.
    pub claim_id: String,
    /// What it says.
    pub mail: Mail,
}

/// A mailer that keeps what it is handed, and can be told to fail. Its quota is [`MemoryMailer::quota`].
pub struct MemoryMailer {
    sent: RefCell<Vec<SentMail>>,
    fail: fn(&EmailAddress) -> Option<FailureClass>,
    /// What the account may send.
    pub quota: Cell<Result<SendQuota, FailureClass>>,
    /// How often the quota was asked for.
    pub quota_calls: Cell<usize>,
}

impl Default for MemoryMailer {
    fn default() -> Self {
        Self::failing(|_| None)
    }
}

impl MemoryMailer {
    /// Fails for each address for which `fail` names a class.
    #[must_use]
    pub fn failing(fail: fn(&EmailAddress) -> Option<FailureClass>) -> Self {
        let quota = Cell::new(Ok(SendQuota { per_second: None, per_day: None, left_today: None }));
        Self { sent: RefCell::default(), fail, quota, quota_calls: Cell::default() }
    }

    /// Takes the mails so far.
    pub fn take(&self) -> Vec<SentMail> {
        self.sent.take()
    }
}

impl Mailer for MemoryMailer {
    async fn send(&self, envelope: &Envelope<'_>, mail: &Mail) -> Result<(), CallFailed> {
        if let Some(class) = (self.fail)(envelope.to) {
            return Err(failure(class));
        }
        self.sent.borrow_mut().push(SentMail {
            to: envelope.to.clone(),
            owner: envelope.owner.clone(),
            claim_id: envelope.claim_id.to_string(),
            mail: mail.clone(),
        });
        Ok(())
    }
}

impl SendQuotas for MemoryMailer {
    async fn send_quota(&self) -> Result<SendQuota, CallFailed> {
        self.quota_calls.set(self.quota_calls.get() + 1);
        self.quota.get().map_err(failure)
    }
}

/// An account's IAM. Its clones count their calls together.
#[derive(Clone, Default)]
pub struct MemoryIam {
    /// The pages of its user list; an `Err` fails that page.
    pub pages: Vec<Result<Vec<ListedUser>, FailureClass>>,
    /// How many users of each page cannot be read, besides.
    pub unreadable: usize,
    /// The keys of each user; users who are not here are gone, and one called `panic` brings the caller down.
    pub keys: BTreeMap<String, Vec<AccessKey>>,
    /// The tags of each user.
    pub tags: BTreeMap<String, Tags>,
    /// When keys were last used; of any other, IAM does not know, as of one that was deleted meanwhile.
    pub last_used: BTreeMap<AccessKeyId, LastUsed>,
    /// The calls that fail: `keys jane`, `report`, and so on.
    pub failing: BTreeMap<&'static str, FailureClass>,
    /// The account's alias.
    pub alias: Option<AccountName>,
    /// Its credential report.
    pub report: MemoryReport,
    /// What every call fails with, if it does.
    pub refusal: Option<CallFailed>,
    /// The call at which the account denies its role, if it does at one of them alone.
    pub denied_at: Option<&'static str>,
    /// How long each call takes.
    pub latency: Duration,
    /// The calls so far: `page`, `keys jane`, `tags jane`, `last used`, `alias`, `generate report`, `report`.
    pub calls: Rc<RefCell<Vec<String>>>,
}

impl MemoryIam {
    async fn call(&self, call: String) -> Result<(), CallFailed> {
        tokio::time::sleep(self.latency).await;
        assert!(call != "keys panic", "the user called panic");
        let failing = self.failing.get(call.as_str()).copied();
        let is_denied = self.denied_at == Some(call.as_str());
        self.calls.borrow_mut().push(call);
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        if is_denied {
            return Err(role_denied());
        }
        failing.map_or(Ok(()), |class| Err(failure(class)))
    }
}

/// What a role that does not let us in comes to.
#[must_use]
pub fn role_denied() -> CallFailed {
    let class = FailureClass::Operator;
    CallFailed { call: ASSUME_ROLE, class, code: "AccessDenied".to_owned(), source: None }
}

/// The IAM of each account; an account that is not here does not let us in.
#[derive(Default)]
pub struct MemoryAccounts(pub BTreeMap<AccountId, MemoryIam>);

impl MemoryAccounts {
    /// [`ACCOUNT`] alone.
    #[must_use]
    pub fn one(iam: MemoryIam) -> Self {
        Self([(ACCOUNT.parse().expect("an account id"), iam)].into())
    }

    /// The IAM of [`ACCOUNT`].
    pub fn own(&mut self) -> &mut MemoryIam {
        self.0.entry(ACCOUNT.parse().expect("an account id")).or_default()
    }
}

impl IamByAccount for MemoryAccounts {
    type Iam = MemoryIam;

    async fn iam(&self, account_id: &AccountId) -> MemoryIam {
        let known = self.0.get(account_id).cloned();
        known.unwrap_or_else(|| MemoryIam { refusal: Some(role_denied()), ..MemoryIam::default() })
    }
}

/// An organization: its accounts by the unit they are in, and its units by the unit above them. Pages hold two entries.
#[derive(Default)]
pub struct MemoryOrganization {
    /// The accounts in each unit.
    pub accounts: BTreeMap<UnitId, Vec<Account>>,
    /// The units in each unit.
    pub units: BTreeMap<UnitId, Vec<UnitId>>,
    /// What every call fails with, if it does.
    pub refusal: Option<CallFailed>,
}

impl MemoryOrganization {
    fn page<T>(&self, all: Vec<T>, token: Option<&str>) -> Result<Page<T>, CallFailed> {
        const ENTRIES: usize = 2;
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let from: usize = token.map_or(0, |token| token.parse().expect("a token of ours"));
        let next = (from + ENTRIES < all.len()).then(|| (from + ENTRIES).to_string());
        Ok(Page { entries: all.into_iter().skip(from).take(ENTRIES).collect(), next })
    }
}

impl Organization for MemoryOrganization {
    async fn accounts_page(
        &self,
        unit: Option<&UnitId>,
        token: Option<&str>,
    ) -> Result<Page<Account>, CallFailed> {
        let all = match unit {
            Some(unit) => self.accounts.get(unit).cloned().unwrap_or_default(),
            None => self.accounts.values().flatten().cloned().collect(),
        };
        self.page(all, token)
    }

    async fn units_page(&self, unit: &UnitId, token: Option<&str>) -> Result<Page<UnitId>, CallFailed> {
        self.page(self.units.get(unit).cloned().unwrap_or_default(), token)
    }
}

impl AccountAliases for MemoryIam {
    async fn alias(&self) -> Result<Option<AccountName>, CallFailed> {
        self.call("alias".to_owned()).await?;
        Ok(self.alias.clone())
    }
}

/// What the next calls of a kind come to, in order; clones share it.
pub type Script<T> = Rc<RefCell<VecDeque<Result<T, FailureClass>>>>;

/// The credential report of an account.
#[derive(Clone, Default)]
pub struct MemoryReport {
    /// What the next requests for it come to; with none left, it is complete.
    pub states: Script<ReportState>,
    /// What the next attempts to read it come to; with none left, it is [`Self::content`].
    pub reads: Script<Option<Vec<u8>>>,
    /// What it says.
    pub content: Vec<u8>,
    /// When it was made.
    pub generated_at: Option<DateTime<Utc>>,
}

impl CredentialReports for MemoryIam {
    async fn generate_report(&self) -> Result<ReportState, CallFailed> {
        self.call("generate report".to_owned()).await?;
        let scripted = self.report.states.borrow_mut().pop_front();
        scripted.unwrap_or(Ok(ReportState::Complete)).map_err(failure)
    }

    async fn report(&self) -> Result<Option<RawReport>, CallFailed> {
        self.call("report".to_owned()).await?;
        let scripted = self.report.reads.borrow_mut().pop_front();
        let content = scripted.unwrap_or_else(|| Ok(Some(self.report.content.clone()))).map_err(failure)?;
        Ok(content.map(|content| RawReport { content, generated_at: self.report.generated_at }))
    }
}

impl UserDirectory for MemoryIam {
    async fn users_page(&self, marker: Option<&str>) -> Result<UserPage, CallFailed> {
        self.call("page".to_owned()).await?;
        let number: usize = marker.map_or(0, |marker| marker.parse().expect("a marker of ours"));
        let users = self.pages.get(number).cloned().unwrap_or_else(|| Ok(Vec::new())).map_err(failure)?;
        let next = (number + 1 < self.pages.len()).then(|| (number + 1).to_string());
        let unreadable = |number| UnreadableUser {
            name: format!("unreadable {number}"),
            id: None,
            problem: "not an IAM user name".to_owned(),
        };
        Ok(UserPage { users, unreadable: (0..self.unreadable).map(unreadable).collect(), next })
    }
}

impl KeyStore for MemoryIam {
    async fn access_keys(&self, user: &UserName) -> Result<Option<Vec<AccessKey>>, CallFailed> {
        self.call(format!("keys {}", user.as_str())).await?;
        Ok(self.keys.get(user.as_str()).cloned())
    }

    async fn tags(&self, user: &UserName) -> Result<Option<Tags>, CallFailed> {
        self.call(format!("tags {}", user.as_str())).await?;
        Ok(self.keys.get(user.as_str()).map(|_| self.tags.get(user.as_str()).cloned().unwrap_or_default()))
    }

    async fn last_used(&self, key: &AccessKeyId) -> Result<LastUsed, CallFailed> {
        self.call("last used".to_owned()).await?;
        self.last_used.get(key).cloned().ok_or_else(|| failure(FailureClass::Never))
    }
}
