//! What the domain needs from the world: one small trait per capability.
//!
//! Implemented on AWS in `shared/aws`, and in memory in `shared/testing`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::accounts::Account;
use crate::failure::CallFailed;
use crate::ids::{
    AccessKeyId, AccountId, AccountName, ClaimId, EmailAddress, RunId, UnitId, UserId, UserName,
};
use crate::keys::{AccessKey, LastUsed};
use crate::ledger::Entry;
use crate::mail::Mail;
use crate::mail_limits::MailCounts;
use crate::messages::{Message, Run, User};
use crate::reckoning::{AccountRecord, RunList};
use crate::tags::Tags;

/// A user as the list of an account's users shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUser {
    /// The user.
    pub user: User,
    /// The path they are filed under, `/` or `/…/`.
    pub path: String,
}

/// A page of an account's users.
#[derive(Debug, Clone, Default)]
pub struct UserPage {
    /// The users; possibly none, even when more pages follow.
    pub users: Vec<ListedUser>,
    /// Users of this page who cannot be read. The page has the others all the same.
    pub unreadable: Vec<UnreadableUser>,
    /// What asks for the next page; `None` on the last.
    pub next: Option<String>,
}

/// A user who is not what IAM says its users are, so that their keys cannot be checked.
#[derive(Clone, PartialEq, Eq)]
pub struct UnreadableUser {
    /// What IAM calls them, which may be anything. For operators to look them up, and for no log.
    pub name: String,
    /// Their id, if that can be read.
    pub id: Option<UserId>,
    /// What is wrong with them.
    pub problem: String,
}

/// Without the name, which may be an address.
impl fmt::Debug for UnreadableUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnreadableUser")
            .field("id", &self.id)
            .field("problem", &self.problem)
            .finish_non_exhaustive()
    }
}

/// Lists the account's users.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait UserDirectory {
    /// The page behind `marker`, or the first.
    async fn users_page(&self, marker: Option<&str>) -> Result<UserPage, CallFailed>;
}

/// Reads what is known of one user's keys.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait KeyStore {
    /// The user's access keys; `None` for a user who is gone.
    async fn access_keys(&self, user: &UserName) -> Result<Option<Vec<AccessKey>>, CallFailed>;

    /// The user's tags; `None` for a user who is gone.
    async fn tags(&self, user: &UserName) -> Result<Option<Tags>, CallFailed>;

    /// When a key was last used.
    async fn last_used(&self, key: &AccessKeyId) -> Result<LastUsed, CallFailed>;
}

/// Tells an account's alias: the name its administrators gave it for signing in.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait AccountAliases {
    /// The account's alias; an account has one at most.
    async fn alias(&self) -> Result<Option<AccountName>, CallFailed>;
}

/// Has IAM write a table of all of an account's users and their credentials, and reads it: [`crate::credential_report`].
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait CredentialReports {
    /// Asks for a report, and says whether it is there. Within four hours of one, IAM makes no other.
    async fn generate_report(&self) -> Result<ReportState, CallFailed>;

    /// The report as IAM writes it; `None` where there is none, yet or any more.
    async fn report(&self) -> Result<Option<RawReport>, CallFailed>;
}

/// A credential report as IAM writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawReport {
    /// CSV with a heading.
    pub content: Vec<u8>,
    /// The instant it tells of, if IAM says so.
    pub generated_at: Option<DateTime<Utc>>,
}

/// How far a credential report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportState {
    /// IAM is at it.
    InProgress,
    /// It can be read.
    Complete,
}

/// Gets at the IAM of any account that lets us in.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait IamByAccount {
    /// The IAM of one account.
    type Iam;

    /// The account's IAM. Whether it lets us in shows with the first call to it: [`CallFailed::is_role_denied`].
    async fn iam(&self, account_id: &AccountId) -> Self::Iam;
}

/// Lists the accounts of an organization, page by page.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait Organization {
    /// A page of the accounts directly in `unit`, or of all there are without one; the page behind `token`, or the first.
    async fn accounts_page(
        &self,
        unit: Option<&UnitId>,
        token: Option<&str>,
    ) -> Result<Page<Account>, CallFailed>;

    /// A page of the units directly in `unit`; the page behind `token`, or the first.
    async fn units_page(&self, unit: &UnitId, token: Option<&str>) -> Result<Page<UnitId>, CallFailed>;
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries; possibly none, even when more pages follow.
    pub entries: Vec<T>,
    /// What asks for the next page; `None` on the last.
    pub next: Option<String>,
}

/// What can be put on a queue.
pub trait Enqueued: Serialize {
    /// The account it is about. Names the message's group on the queue, so that SQS keeps accounts fair.
    fn group(&self) -> &AccountId;
}

impl<M: Message> Enqueued for M {
    fn group(&self) -> &AccountId {
        self.account_id()
    }
}

/// Puts messages of one kind on the queue they belong on.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait Outbox<M> {
    /// Sends at most [`MAX_BATCH`] messages in one call. The answer has one result per message, in order.
    async fn send(&self, messages: &[&M]) -> Vec<Result<(), CallFailed>>;
}

/// How many messages [`Outbox::send`] takes: SQS's limit for one batch.
pub const MAX_BATCH: usize = 10;

/// The message attribute by which a dead letter says its reason. A message on another queue has it, too, if
/// SQS's own redrive moved it there.
pub const REASON_ATTRIBUTE: &str = "reason";

/// The message attribute that `keynudge dlq replay` sets on a dead letter that a function gave up, and
/// counted as given up.
pub const REPLAYED_ATTRIBUTE: &str = "replayed";

/// The reason of a message that no function could read. It names no run, so that no run's record counts it.
pub const INVALID_MESSAGE: &str = "invalid_message";

/// The reason of SNS's question whether to send a topic's messages to the queue. It names no run, either.
pub const SUBSCRIPTION_UNCONFIRMED: &str = "subscription_unconfirmed";

/// Whether a run's record counts a message as given up, by its attributes: a function gave it up, and it came
/// back by a replay, or by SQS's own redrive, which keeps the reason.
pub fn was_counted_as_given_up<'a>(attribute: impl Fn(&str) -> Option<&'a str>) -> bool {
    let is_readable = |reason: &str| ![INVALID_MESSAGE, SUBSCRIPTION_UNCONFIRMED].contains(&reason);
    attribute(REPLAYED_ATTRIBUTE).is_some() || attribute(REASON_ATTRIBUTE).is_some_and(is_readable)
}

/// A message that is given up, with the reason, for operators to look at and replay.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message as it arrived.
    pub body: String,
    /// The group it travelled in; a replay keeps it.
    pub group: Option<String>,
    /// Why it was given up; one of few, to group by.
    pub reason: &'static str,
    /// What exactly was wrong. Names fields and codes, never their values.
    pub detail: String,
    /// How often it was delivered.
    pub attempts: u32,
    /// When it was given up.
    pub failed_at: DateTime<Utc>,
}

/// Without the body, which is personal.
impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// Keeps messages that were given up.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait DeadLetters {
    /// Puts one letter aside.
    async fn put(&self, letter: &DeadLetter) -> Result<(), CallFailed>;
}

/// Decides when records that are not done are delivered again.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait Redelivery {
    /// Has the record with this receipt handle delivered again after `delay` (whole seconds), and no earlier.
    async fn delay(&self, receipt_handle: &str, delay: Duration) -> Result<(), CallFailed>;
}

/// Tells who was told when.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait LedgerReader {
    /// The owner's entry as it is now; the default where there is none.
    async fn read(&self, owner: &Owner) -> Result<Entry, CallFailed>;
}

/// Remembers who was told when. The rules are in [`crate::ledger`].
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait Ledger: LedgerReader {
    /// Writes `entry` if it is the next revision of what is there.
    async fn write(&self, owner: &Owner, entry: &Entry) -> Result<(), WriteFailed>;
}

/// Whose entry in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The account.
    pub account_id: AccountId,
    /// The IAM user.
    pub user_id: UserId,
    /// Which of the two ledgers.
    pub book: Book,
}

/// Pilots keep a ledger of their own, so that going live tells everyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Book {
    /// Owners were told themselves.
    Live,
    /// Mails were redirected to one mailbox.
    Pilot,
}

impl Book {
    /// The one that is kept while mails go to their owners, or while they are `redirected`.
    #[must_use]
    pub fn while_redirected(redirected: bool) -> Self {
        if redirected { Self::Pilot } else { Self::Live }
    }

    /// As mails name it in a tag.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Pilot => "pilot",
        }
    }
}

/// Why an entry is not written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteFailed {
    /// The entry has another revision by now; or this write was done before, and its answer was lost.
    #[error("somebody else wrote the entry")]
    Conflict,
    /// The call failed. Whether it was done is not known.
    #[error(transparent)]
    Call(#[from] CallFailed),
}

/// What is counted, by the metrics' names.
pub type Counts = BTreeMap<&'static str, u64>;

/// Keeps what runs came to, per account.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait RunRecords {
    /// A run of so many accounts was started. Safe to repeat: the first start is kept.
    async fn start(&self, run: &Run, accounts: usize, at: DateTime<Utc>) -> Result<(), CallFailed>;

    /// Sets `counts`, whatever they were: for steps that are done again from their beginning.
    async fn set(&self, run: &Run, account_id: &AccountId, counts: &Counts) -> Result<(), CallFailed>;

    /// Adds `counts`. A repetition counts twice.
    async fn add(&self, run: &Run, account_id: &AccountId, counts: &Counts) -> Result<(), CallFailed>;

    /// Records that the account denies its role at `at`. Returns when it first did, for this use of it in
    /// this run. A role that works again does not erase that.
    async fn first_denied(
        &self,
        run: &Run,
        account_id: &AccountId,
        role_use: RoleUse,
        at: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, CallFailed>;
}

/// Counts mails for all instances of the notifier together: [`crate::mail_limits`].
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait MailCounters {
    /// A mail about one of the account's users is about to be sent on `day` (UTC). Returns the counts with it. Where the call
    /// fails, the mail may be counted or not.
    async fn begin_mail(
        &self,
        run: &Run,
        account_id: &AccountId,
        day: NaiveDate,
    ) -> Result<MailCounts, CallFailed>;

    /// The mail was not sent after all.
    async fn cancel_mail(&self, run: &Run, account_id: &AccountId, day: NaiveDate) -> Result<(), CallFailed>;

    /// A mail that was sent on `day` (UTC) reached nobody.
    async fn mail_not_reached(&self, day: NaiveDate) -> Result<(), CallFailed>;
}

/// What a run asks an account's role for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleUse {
    /// Listing its users.
    Scan,
    /// Reading their keys.
    Checks,
}

/// Tells what runs there were, and what they came to.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait RunLog {
    /// The last runs that were started, the newest first; at most so many.
    async fn last_runs(&self, limit: usize) -> Result<RunList, CallFailed>;

    /// What a run came to so far, per account; nothing yet, or any more, for a run that is not there.
    async fn records(&self, run_id: &RunId) -> Result<Vec<AccountRecord>, CallFailed>;
}

/// Tells how much mail may be sent.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait SendQuotas {
    /// The account's quota in the region mails are sent from.
    async fn send_quota(&self) -> Result<SendQuota, CallFailed>;
}

/// How much mail an account may send. SES counts recipients; a reminder has one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SendQuota {
    /// Mails a second; `None` if there is no limit.
    pub per_second: Option<f64>,
    /// Mails in 24 hours; `None` if there is no limit.
    pub per_day: Option<u64>,
    /// Mails that may still be sent in the 24 hours that end now; `None` if there is no limit.
    pub left_today: Option<u64>,
}

/// Sends mail.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait Mailer {
    /// Hands one mail over for delivery.
    async fn send(&self, envelope: &Envelope<'_>, mail: &Mail) -> Result<(), CallFailed>;
}

/// Where a mail goes, and whose keys it is about; the latter travels along as tags, so that SES's events can tell what
/// became of it.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The mailbox.
    pub to: &'a EmailAddress,
    /// The owner the mail is about.
    pub owner: &'a Owner,
    /// The claim it is sent under.
    pub claim_id: &'a ClaimId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_unreadable_user_tells_what_is_wrong_and_no_name() {
        let user = UnreadableUser {
            name: "jane@example.com".to_owned(),
            id: None,
            problem: "the path is not one".to_owned(),
        };
        let printed = r#"UnreadableUser { id: None, problem: "the path is not one", .. }"#;
        assert_eq!(format!("{user:?}"), printed);
    }

    #[test]
    fn a_message_was_counted_as_given_up_if_a_function_could_read_it() {
        let was_counted = |attributes: &[(&str, &str)]| {
            was_counted_as_given_up(|wanted| {
                attributes.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value)
            })
        };
        for (attributes, expected) in [
            (&[][..], false),
            (&[("reason", "call_failed")], true),
            (&[("replayed", "true")], true),
            (&[("replayed", "true"), ("reason", "call_failed")], true),
            (&[("reason", "invalid_message")], false),
            (&[("reason", "subscription_unconfirmed")], false),
        ] {
            assert_eq!(was_counted(attributes), expected, "{attributes:?}");
        }
    }

    #[test]
    fn a_printed_dead_letter_tells_its_reason_and_not_its_body() {
        let letter = DeadLetter {
            body: "jane@example.com".to_owned(),
            group: None,
            reason: "invalid_message",
            detail: String::new(),
            attempts: 1,
            failed_at: DateTime::UNIX_EPOCH,
        };
        assert_eq!(format!("{letter:?}"), r#"DeadLetter { reason: "invalid_message", .. }"#);
    }
}
