//! Keynudge's ports in memory, and records to feed handlers with. For tests alone.

#![expect(clippy::missing_panics_doc, reason = "a test helper panics where the test is wrong")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use chrono::{DateTime, TimeDelta, Utc};
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ids::{AccessKeyId, EmailAddress, UserName};
use keynudge_core::keys::{AccessKey, KeyStatus, LastUsed};
use keynudge_core::mail::Mail;
use keynudge_core::messages::{Mode, Run, User};
use keynudge_core::ports::{
    DeadLetter, DeadLetters, Envelope, KeyStore, ListedUser, Mailer, Outbox, UserDirectory, UserPage,
};
use keynudge_core::tags::Tags;
use keynudge_lambda::clock::Clock;
use keynudge_lambda::deadline::Deadline;
use serde_json::json;

/// The account of all tests.
pub const ACCOUNT: &str = "123456789012";

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

/// An SQS event; the record of `bodies[i]` has the id `record-i`.
#[must_use]
pub fn event(bodies: &[String]) -> SqsEvent {
    let records: Vec<_> = bodies
        .iter()
        .enumerate()
        .map(|(i, body)| {
            json!({
                "messageId": format!("record-{i}"),
                "receiptHandle": "AQEB…",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "3",
                    "SentTimestamp": "1772344800000",
                    "SenderId": ACCOUNT,
                    "ApproximateFirstReceiveTimestamp": "1772344800001",
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

/// A mailer that keeps what it is handed, as (address, user id, mail), and can be told to fail.
pub struct MemoryMailer {
    sent: RefCell<Vec<(EmailAddress, String, Mail)>>,
    fail: fn(&EmailAddress) -> Option<FailureClass>,
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
        Self { sent: RefCell::default(), fail }
    }

    /// Takes the mails so far.
    pub fn take(&self) -> Vec<(EmailAddress, String, Mail)> {
        self.sent.take()
    }
}

impl Mailer for MemoryMailer {
    async fn send(&self, envelope: &Envelope<'_>, mail: &Mail) -> Result<(), CallFailed> {
        if let Some(class) = (self.fail)(envelope.to) {
            return Err(failure(class));
        }
        let mail = (envelope.to.clone(), envelope.user_id.to_string(), mail.clone());
        self.sent.borrow_mut().push(mail);
        Ok(())
    }
}

/// An account's IAM.
#[derive(Default)]
pub struct MemoryIam {
    /// The pages of its user list; an `Err` fails that page.
    pub pages: Vec<Result<Vec<ListedUser>, FailureClass>>,
    /// How many users of each page cannot be read.
    pub unreadable: usize,
    /// The keys of each user; users who are not here are gone, and one called `panic` brings the caller down.
    pub keys: BTreeMap<String, Vec<AccessKey>>,
    /// The tags of each user.
    pub tags: BTreeMap<String, Tags>,
    /// When keys were last used; what is not here cannot be read.
    pub last_used: BTreeMap<AccessKeyId, LastUsed>,
    /// Users whose keys or tags cannot be read: `keys jane`, `tags jane`.
    pub failing: BTreeMap<&'static str, FailureClass>,
    /// How long each call takes.
    pub latency: Duration,
    /// The calls so far: `page`, `keys jane`, `tags jane`, `last used`.
    pub calls: RefCell<Vec<String>>,
}

impl MemoryIam {
    async fn call(&self, call: String) -> Result<(), CallFailed> {
        tokio::time::sleep(self.latency).await;
        assert!(call != "keys panic", "the user called panic");
        let failing = self.failing.get(call.as_str()).copied();
        self.calls.borrow_mut().push(call);
        failing.map_or(Ok(()), |class| Err(failure(class)))
    }
}

impl UserDirectory for MemoryIam {
    async fn users_page(&self, marker: Option<&str>) -> Result<UserPage, CallFailed> {
        self.call("page".to_owned()).await?;
        let number: usize = marker.map_or(0, |marker| marker.parse().expect("a marker of ours"));
        let users = self.pages.get(number).cloned().unwrap_or_else(|| Ok(Vec::new())).map_err(failure)?;
        let next = (number + 1 < self.pages.len()).then(|| (number + 1).to_string());
        Ok(UserPage { users, unreadable: self.unreadable, next })
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
        self.last_used.get(key).cloned().ok_or_else(|| failure(FailureClass::Retry))
    }
}
