//! What the domain needs from the world: one small trait per capability.
//!
//! Implemented on AWS in `shared/aws`, and in memory in `shared/testing`.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::failure::CallFailed;
use crate::ids::{AccessKeyId, AccountId, EmailAddress, UserId, UserName};
use crate::keys::{AccessKey, LastUsed};
use crate::mail::Mail;
use crate::messages::User;
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
    /// How many more users there were that are not what IAM says its users are. They keep nobody else from being
    /// listed, and are counted.
    pub unreadable: usize,
    /// What asks for the next page; `None` on the last.
    pub next: Option<String>,
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

/// Puts messages of one kind on the queue they belong on.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait Outbox<M> {
    /// Sends at most [`MAX_BATCH`] messages in one call. The answer has one result per message, in order.
    async fn send(&self, messages: &[&M]) -> Vec<Result<(), CallFailed>>;
}

/// How many messages [`Outbox::send`] takes: SQS's limit for one batch.
pub const MAX_BATCH: usize = 10;

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

/// Sends mail.
#[expect(async_fn_in_trait, reason = "used within the workspace alone, where no future needs to be Send")]
pub trait Mailer {
    /// Hands one mail over for delivery.
    async fn send(&self, envelope: &Envelope<'_>, mail: &Mail) -> Result<(), CallFailed>;
}

/// Where a mail goes, and whose keys it is about; the latter travels along, so that what becomes of it can be told.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The mailbox.
    pub to: &'a EmailAddress,
    /// The account.
    pub account_id: &'a AccountId,
    /// The IAM user.
    pub user_id: &'a UserId,
}

#[cfg(test)]
mod tests {
    use super::*;

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
