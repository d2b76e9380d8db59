//! What travels on the queues: JSON objects, one struct each.
//!
//! Unknown fields are ignored, so that a new version's messages can be read by the one before it; a missing or
//! invalid field makes a message unreadable, and the error names it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::contact::Recipient;
use crate::ids::{AccountId, AccountName, RunId, UserArn, UserId, UserName};
use crate::instant::{plausible, plausible_if_any};
use crate::keys::StaleKey;

/// How far ahead of the clock a live run may judge keys; more, and a slip in a date would mail everybody.
const LIVE_AS_OF_LEEWAY: TimeDelta = TimeDelta::hours(24);

/// How many keys a finding may hold. IAM allows two per user, and raises that for nobody.
const MAX_KEYS: usize = 2;

/// The run a message belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The version of the message.
    pub v: Version,
    /// For people to follow a run.
    pub run_id: RunId,
    /// The instant at which ages are judged, whatever the clock says.
    #[serde(deserialize_with = "plausible")]
    pub as_of: DateTime<Utc>,
    /// Whether owners are told.
    pub mode: Mode,
}

/// The version of the messages; there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version;

/// Whether owners are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They are.
    Live,
    /// Everything is done and counted but the mail itself.
    DryRun,
}

/// An IAM user, as far as the pipeline needs to know one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name, which a rename changes.
    pub name: UserName,
    /// The stable id.
    pub id: UserId,
    /// The ARN, which tells the partition.
    pub arn: UserArn,
    /// When the user was made.
    #[serde(deserialize_with = "plausible")]
    pub created_at: DateTime<Utc>,
    /// When they last signed in to the console; `None` if never.
    #[serde(default, deserialize_with = "plausible_if_any", skip_serializing_if = "Option::is_none")]
    pub password_last_used: Option<DateTime<Utc>>,
}

/// Asks the producer to list an account's users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanAccount {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// The account to list.
    pub account_id: AccountId,
    /// What its organization calls it, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<AccountName>,
}

/// Asks a worker to check one user's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckUser {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// The account the user is in.
    pub account_id: AccountId,
    /// What people call that account, if it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<AccountName>,
    /// The user.
    pub user: User,
    /// When the user's keys were first found stale, if this check is done again because that was long ago.
    #[serde(default, deserialize_with = "plausible_if_any", skip_serializing_if = "Option::is_none")]
    pub found_at: Option<DateTime<Utc>>,
}

/// Tells the notifier of an owner whose keys are too old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleKeys {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// The account the user is in.
    pub account_id: AccountId,
    /// What people call that account, if it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<AccountName>,
    /// The user.
    pub user: User,
    /// Whom to tell.
    pub recipient: Recipient,
    /// The stale keys, the oldest first; one or two.
    #[serde(deserialize_with = "one_or_two_keys")]
    pub keys: Vec<StaleKey>,
    /// How many stages the oldest key has reached.
    pub stage: u32,
    /// When the keys were looked at.
    #[serde(deserialize_with = "plausible")]
    pub checked_at: DateTime<Utc>,
    /// When they were first found stale, if they were looked at again since.
    #[serde(default, deserialize_with = "plausible_if_any", skip_serializing_if = "Option::is_none")]
    pub found_at: Option<DateTime<Utc>>,
}

/// Why a message cannot be used. Names the field, never its value: it goes into logs and dead letters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// The text is not JSON.
    #[error("not JSON")]
    NotJson,
    /// No message of ours is nearly as large.
    #[error("larger than 64 KiB")]
    TooLarge,
    /// A field is not there.
    #[error("{0}")]
    Missing(String),
    /// A field does not hold what it should.
    #[error("{0} is invalid")]
    Invalid(String),
    /// A live run would judge keys at a date that is not there yet.
    #[error("as_of is more than 24 hours ahead, which only a dry run may ask for")]
    AsOfAhead,
    /// SNS asks whether to send a topic's messages to the queue, and an operator has not answered.
    #[error("an SNS topic asks to send to this queue: its subscription waits to be confirmed")]
    SubscriptionUnconfirmed,
}

/// A message of the pipeline.
pub trait Message: Serialize + DeserializeOwned {
    /// The run it belongs to.
    fn run(&self) -> &Run;

    /// The account it is about.
    fn account_id(&self) -> &AccountId;

    /// The user it is about, where it is about one.
    fn user(&self) -> Option<&User>;

    /// Since when it has been tried to tell the owner, where that is longer than this message has been on its queue.
    fn found_at(&self) -> Option<DateTime<Utc>> {
        None
    }

    /// Reads a message; `limit` says how far ahead its run may judge.
    fn read(body: &str, limit: AsOfLimit) -> Result<Self, InvalidMessage> {
        // The run's fields by themselves first: inside a flattened struct an error no longer knows its field.
        limit.check(&parse::<Run>(body)?)?;
        parse(body)
    }
}

/// Implements [`Message`] for structs with the usual fields; the others are expressions over `self`.
macro_rules! message {
    ($name:ident, |$this:ident| $user:expr $(, $found_at:expr)?) => {
        impl Message for $name {
            fn run(&self) -> &Run {
                &self.run
            }

            fn account_id(&self) -> &AccountId {
                &self.account_id
            }

            fn user(&self) -> Option<&User> {
                let $this = self;
                $user
            }

            $(fn found_at(&self) -> Option<DateTime<Utc>> {
                let $this = self;
                $found_at
            })?
        }
    };
}

message!(ScanAccount, |_this| None);
// A check that is done again has a time of its own: IAM's troubles are not the owner's.
message!(CheckUser, |this| Some(&this.user));
message!(StaleKeys, |this| Some(&this.user), this.found_at);

/// How far ahead of the clock a run may judge.
#[derive(Debug, Clone, Copy)]
pub enum AsOfLimit {
    /// A live run at most a day ahead of this instant.
    From(DateTime<Utc>),
    /// Any run anywhere, for testbeds.
    None,
}

/// How old a finding may be when its owner is mailed. Later, its keys may have been rotated, and its owner mailed.
const FINDING_VALID_FOR: TimeDelta = TimeDelta::hours(6);

impl StaleKeys {
    /// The check that has to be done again if this finding is too old at `now` to be mailed: of the same user in the same
    /// run, judging keys as of now. Testbeds judge ahead of the clock, and never go back.
    #[must_use]
    pub fn recheck(&self, now: DateTime<Utc>) -> Option<CheckUser> {
        self.is_old(now).then(|| CheckUser {
            run: Run { as_of: now.max(self.run.as_of), ..self.run.clone() },
            account_id: self.account_id.clone(),
            account_name: self.account_name.clone(),
            user: self.user.clone(),
            found_at: Some(self.found_at.unwrap_or(self.checked_at)),
        })
    }

    /// A finding is old if the keys were looked at long ago. It is old as well if they were judged long ago, and on an
    /// earlier date: findings of several days that arrive at once must not become several mails. What a run finds late on
    /// its own date is not.
    fn is_old(&self, now: DateTime<Utc>) -> bool {
        let as_of = self.run.as_of;
        now - self.checked_at > FINDING_VALID_FOR
            || (now - as_of > FINDING_VALID_FOR && as_of.date_naive() < now.date_naive())
    }
}

impl AsOfLimit {
    /// Whether `run` may be done.
    pub fn check(self, run: &Run) -> Result<(), InvalidMessage> {
        match self {
            Self::From(now) if run.mode == Mode::Live && run.as_of > now + LIVE_AS_OF_LEEWAY => {
                Err(InvalidMessage::AsOfAhead)
            }
            _ => Ok(()),
        }
    }
}

impl Run {
    /// The run that judges keys as of `as_of`.
    #[must_use]
    pub fn at(as_of: DateTime<Utc>, mode: Mode) -> Self {
        Self { v: Version, run_id: RunId::of(as_of, mode == Mode::DryRun), as_of, mode }
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            _ => Err(D::Error::custom("v is not 1")),
        }
    }
}

pub(crate) fn parse<T: DeserializeOwned>(body: &str) -> Result<T, InvalidMessage> {
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| describe(&error))?;
    deserializer.end().map_err(|_| InvalidMessage::NotJson)?;
    Ok(value)
}

/// Serde's own words quote the value, all but for a missing field.
fn describe(error: &serde_path_to_error::Error<serde_json::Error>) -> InvalidMessage {
    if !error.inner().is_data() {
        return InvalidMessage::NotJson;
    }
    let text = error.inner().to_string();
    match text.split_once(" at line") {
        Some((missing, _)) if missing.starts_with("missing field") => {
            InvalidMessage::Missing(missing.to_owned())
        }
        _ => match error.path().to_string().as_str() {
            // The root, as the path has it.
            "." => InvalidMessage::Invalid("the message".to_owned()),
            field => InvalidMessage::Invalid(field.to_owned()),
        },
    }
}

fn one_or_two_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<StaleKey>, D::Error> {
    let keys = Vec::deserialize(deserializer)?;
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return Err(D::Error::custom("keys does not hold one or two keys"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn now() -> DateTime<Utc> {
        "2026-03-01T06:00:00Z".parse().unwrap()
    }

    fn stale_keys() -> Value {
        json!({
            "v": 1, "run_id": "2026-03-01T06:00:00Z", "as_of": "2026-03-01T06:00:00Z", "mode": "live",
            "account_id": "123456789012",
            "user": {
                "name": "jane", "id": "AIDAAAAAAAAAAAAAAAAAA", "arn": "arn:aws:iam::123456789012:user/jane",
                "created_at": "2024-01-01T00:00:00Z", "password_last_used": "2026-02-01T00:00:00Z"
            },
            "recipient": {"to": "jane@example.com", "found_by": "tag"},
            "keys": [{
                "id": "AKIAAAAAAAAAAAAAAAAA", "created_at": "2025-01-01T00:00:00Z", "age_days": 424,
                "last_used": {"at": {"at": "2026-02-01T00:00:00Z", "service": "s3", "region": "eu-west-1"}},
                "description": "laptop"
            }],
            "stage": 1, "checked_at": "2026-03-01T06:00:10Z"
        })
    }

    fn read(message: &Value) -> Result<StaleKeys, InvalidMessage> {
        StaleKeys::read(&message.to_string(), AsOfLimit::From(now()))
    }

    fn read_with(path: &str, value: Value) -> Result<StaleKeys, InvalidMessage> {
        let mut message = stale_keys();
        *message.pointer_mut(path).unwrap() = value;
        read(&message)
    }

    fn without(path: &str, field: &str) -> Result<StaleKeys, InvalidMessage> {
        let mut message = stale_keys();
        message.pointer_mut(path).unwrap().as_object_mut().unwrap().remove(field);
        read(&message)
    }

    #[test]
    fn a_finding_has_the_fields_of_the_contract() {
        let finding = read(&stale_keys()).unwrap();
        assert_eq!(serde_json::to_value(&finding).unwrap(), stale_keys());
        assert_eq!(finding.run(), &Run::at(now(), Mode::Live));
        assert_eq!(finding.account_id().as_str(), "123456789012");
        assert_eq!(finding.user().unwrap().name.as_str(), "jane");
    }

    #[test]
    fn a_scan_is_about_an_account_and_a_check_about_a_user() {
        let finding = stale_keys();
        let limit = AsOfLimit::From(now());
        let scan = ScanAccount::read(&finding.to_string(), limit).unwrap();
        assert_eq!((scan.account_id().as_str(), scan.user()), ("123456789012", None));
        let check = CheckUser::read(&finding.to_string(), limit).unwrap();
        assert_eq!(check.account_id().as_str(), "123456789012");
        assert_eq!(check.user().unwrap().id.as_str(), "AIDAAAAAAAAAAAAAAAAAA");
        assert_eq!(check.run().run_id.as_str(), "2026-03-01T06:00:00Z");
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let mut message = stale_keys();
        message["later"] = json!({"deep": [1, 2]});
        message["user"]["later"] = json!(1);
        assert_eq!(read(&message), read(&stale_keys()));
    }

    #[test]
    fn a_missing_field_is_named() {
        for field in
            ["v", "run_id", "as_of", "mode", "account_id", "user", "recipient", "keys", "stage", "checked_at"]
        {
            let error = without("", field).unwrap_err();
            assert_eq!(error.to_string(), format!("missing field `{field}`"));
        }
        assert_eq!(without("/user", "arn").unwrap_err().to_string(), "missing field `arn`");
        assert!(without("/user", "password_last_used").is_ok());
    }

    #[test]
    fn an_invalid_field_is_named_and_its_value_is_not_shown() {
        for (pointer, path, value) in [
            ("/v", "v", json!(2)),
            ("/v", "v", json!("1")),
            ("/run_id", "run_id", json!("")),
            ("/as_of", "as_of", json!("yesterday")),
            ("/mode", "mode", json!("jane@example.com")),
            ("/account_id", "account_id", json!("jane@example.com")),
            ("/user/name", "user.name", json!("<b>")),
            ("/user/id", "user.id", json!("x")),
            ("/user/arn", "user.arn", json!("arn:aws:iam::1:user/jane")),
            ("/recipient/to", "recipient.to", json!("jane@example.com\nBcc: all@example.com")),
            ("/recipient/found_by", "recipient.found_by", json!("guess")),
            ("/keys/0/id", "keys[0].id", json!("AKIA")),
            ("/keys/0/age_days", "keys[0].age_days", json!(-1)),
            ("/keys/0/description", "keys[0].description", json!("a\nb")),
            ("/keys", "keys", json!([])),
            ("/keys", "keys", json!({"a": 1})),
            ("/stage", "stage", json!("jane@example.com")),
            ("/checked_at", "checked_at", json!(1)),
        ] {
            assert_eq!(read_with(pointer, value).unwrap_err(), InvalidMessage::Invalid(path.to_owned()));
        }
        assert_eq!(InvalidMessage::Invalid("stage".to_owned()).to_string(), "stage is invalid");
    }

    /// The places in `value` that hold an instant, as JSON pointers.
    fn instants(value: &Value, place: &str) -> Vec<String> {
        match value {
            Value::Object(fields) => {
                fields.iter().flat_map(|(name, value)| instants(value, &format!("{place}/{name}"))).collect()
            }
            Value::Array(values) => {
                let places = values.iter().enumerate();
                places.flat_map(|(i, value)| instants(value, &format!("{place}/{i}"))).collect()
            }
            Value::String(text) if text.parse::<DateTime<Utc>>().is_ok() => vec![place.to_owned()],
            _ => vec![],
        }
    }

    type Reader = fn(&str) -> Result<(), InvalidMessage>;

    #[test]
    fn every_instant_in_every_message_lies_in_1970_to_9999() {
        let mut message = stale_keys();
        // A run is named after its instant, but that is a name.
        message["run_id"] = json!("a-run");
        message["found_at"] = message["checked_at"].clone();
        let places = instants(&message, "");
        assert_eq!(places.len(), 7, "{places:?}");
        let readers: [Reader; 3] = [
            |body| StaleKeys::read(body, AsOfLimit::None).map(drop),
            |body| CheckUser::read(body, AsOfLimit::None).map(drop),
            |body| ScanAccount::read(body, AsOfLimit::None).map(drop),
        ];
        for place in &places {
            let path = place[1..].replace("/0/", "[0]/").replace('/', ".");
            for (instant, is_one) in [
                ("+262142-12-01T00:00:00Z", false),
                ("+10000-01-01T00:00:00Z", false),
                ("9999-12-31T23:59:59Z", true),
                ("1970-01-01T00:00:00Z", true),
                ("1969-12-31T23:59:59Z", false),
                ("-0001-01-01T00:00:00Z", false),
            ] {
                let mut changed = message.clone();
                *changed.pointer_mut(place).unwrap() = json!(instant);
                for mode in ["dry_run", "live"] {
                    changed["mode"] = json!(mode);
                    let [finding, check, scan] = readers.map(|read| read(&changed.to_string()));
                    let expected = if is_one { Ok(()) } else { Err(InvalidMessage::Invalid(path.clone())) };
                    assert_eq!(finding, expected, "{place} {instant}");
                    // The others read those of these fields that they know, and refuse them the same way.
                    let refused = [check, scan].into_iter().filter_map(Result::err);
                    assert!(refused.into_iter().all(|error| Err(error) == expected), "{place} {instant}");
                }
            }
        }
    }

    #[test]
    fn a_finding_of_more_than_six_hours_is_checked_again_as_of_now() {
        let finding = read(&stale_keys()).unwrap();
        let six_hours = finding.checked_at + TimeDelta::hours(6);
        assert_eq!(finding.recheck(six_hours), None);
        let later = six_hours + TimeDelta::seconds(1);
        let check = finding.recheck(later).unwrap();
        assert_eq!((check.run.as_of, &check.run.run_id), (later, &finding.run.run_id));
        assert_eq!((check.account_id, check.user), (finding.account_id.clone(), finding.user.clone()));
        assert_eq!(check.found_at, Some(finding.checked_at));
    }

    #[test]
    fn a_finding_is_as_old_as_the_date_it_was_judged_at() {
        let mut finding = read(&stale_keys()).unwrap();
        finding.checked_at += TimeDelta::days(8);
        assert!(finding.recheck(finding.checked_at).is_some());
    }

    #[test]
    fn what_a_run_finds_late_on_its_own_date_is_mailed() {
        let at = |time: &str| format!("2026-03-{time}Z").parse::<DateTime<Utc>>().unwrap();
        let is_old = |as_of, checked_at, now| {
            let mut finding = read(&stale_keys()).unwrap();
            (finding.run.as_of, finding.checked_at) = (at(as_of), at(checked_at));
            finding.recheck(at(now)).is_some()
        };
        assert!(!is_old("01T06:00:00", "01T23:00:00", "01T23:59:59"), "18 hours later, on the same date");
        assert!(is_old("01T06:00:00", "01T23:59:00", "02T00:00:00"), "on the next date");
        assert!(!is_old("01T23:00:00", "02T00:30:00", "02T05:00:00"), "on the next date, five hours later");
        assert!(is_old("01T23:00:00", "02T04:30:00", "02T05:00:01"), "on the next date, six hours later");
        assert!(is_old("01T06:00:00", "01T06:30:00", "01T12:30:01"), "looked at six hours ago");
    }

    #[test]
    fn a_finding_stays_as_old_as_it_is_however_often_it_is_checked_again() {
        let first_found = now() - TimeDelta::days(3);
        let mut finding = read(&stale_keys()).unwrap();
        finding.found_at = Some(first_found);
        let check = finding.recheck(now() + TimeDelta::days(1)).unwrap();
        assert_eq!((check.found_at, finding.found_at()), (Some(first_found), Some(first_found)));
        let travelled = CheckUser::read(&serde_json::to_string(&check).unwrap(), AsOfLimit::None).unwrap();
        assert_eq!(travelled, check);
    }

    #[test]
    fn a_check_that_is_done_again_never_goes_back_in_time() {
        let mut finding = read(&stale_keys()).unwrap();
        finding.run.as_of += TimeDelta::days(30);
        let check = finding.recheck(now() + TimeDelta::days(1)).unwrap();
        assert_eq!(check.run.as_of, finding.run.as_of);
    }

    #[test]
    fn a_finding_holds_at_most_two_keys() {
        let key = stale_keys()["keys"][0].clone();
        assert!(read_with("/keys", json!([key, key])).is_ok());
        assert!(read_with("/keys", json!([key, key, key])).is_err());
    }

    #[test]
    fn what_is_not_json_is_said_to_be_not_json() {
        let deep = "[".repeat(100_000);
        let trailing = format!("{} x", stale_keys());
        for body in ["", "{", "hello", &trailing] {
            let error = StaleKeys::read(body, AsOfLimit::None).unwrap_err();
            assert!(matches!(error, InvalidMessage::NotJson), "{error}");
        }
        let error = StaleKeys::read("null", AsOfLimit::None).unwrap_err();
        assert_eq!(error.to_string(), "the message is invalid");
        for body in [deep.as_str(), "[]", "null", "\"hello\"", "1"] {
            assert!(StaleKeys::read(body, AsOfLimit::None).is_err(), "{body}");
        }
    }

    #[test]
    fn only_a_dry_run_or_a_testbed_judges_more_than_a_day_ahead() {
        let ahead = |delta: TimeDelta| json!((now() + delta).to_rfc3339());
        assert!(read_with("/as_of", ahead(TimeDelta::hours(24))).is_ok());
        let later = TimeDelta::hours(24) + TimeDelta::seconds(1);
        assert_eq!(read_with("/as_of", ahead(later)).unwrap_err(), InvalidMessage::AsOfAhead);

        let mut message = stale_keys();
        message["as_of"] = ahead(TimeDelta::days(365));
        assert!(StaleKeys::read(&message.to_string(), AsOfLimit::None).is_ok());
        message["mode"] = json!("dry_run");
        assert!(read(&message).is_ok());
    }

    proptest! {
        /// Of findings that arrive together, those that are mailed are of one date, or of two within six hours of midnight.
        #[test]
        fn findings_of_several_days_that_arrive_at_once_do_not_become_several_mails(
            hours_ago in prop::collection::vec(0_i64..24 * 30, 1..8),
            minute in 0_i64..24 * 60,
        ) {
            let now = now() + TimeDelta::minutes(minute);
            let mailed: std::collections::BTreeSet<_> = hours_ago
                .into_iter()
                .filter_map(|hours| {
                    let mut finding = read(&stale_keys()).unwrap();
                    finding.run.as_of = now - TimeDelta::hours(hours);
                    finding.checked_at = now;
                    finding.recheck(now).is_none().then(|| finding.run.as_of.date_naive())
                })
                .collect();
            let dates = if now.time() >= chrono::NaiveTime::from_hms_opt(6, 0, 1).unwrap() { 1 } else { 2 };
            prop_assert!(mailed.len() <= dates, "{mailed:?} at {now}");
        }

        /// Sent back once, a finding is mailed: nothing goes round for ever.
        #[test]
        fn a_check_that_is_done_again_makes_no_old_finding(as_of_hours_ago in 0_i64..20_000, took in 0_i64..300) {
            let mut finding = read(&stale_keys()).unwrap();
            finding.run.as_of = now() - TimeDelta::hours(as_of_hours_ago);
            finding.checked_at = finding.run.as_of;
            if let Some(check) = finding.recheck(now()) {
                let found_again_at = now() + TimeDelta::minutes(took);
                finding.run = check.run;
                finding.checked_at = found_again_at;
                prop_assert_eq!(finding.recheck(found_again_at), None);
            }
        }

        #[test]
        fn no_body_whatever_brings_a_reader_down(body in ".{0,200}") {
            prop_assert!(StaleKeys::read(&body, AsOfLimit::None).is_err());
        }

        #[test]
        fn a_message_with_anything_in_a_field_is_read_or_refused_by_name(
            field in prop::sample::select(vec!["v", "run_id", "as_of", "mode", "account_id", "stage", "checked_at"]),
            text in ".{0,40}",
        ) {
            match read_with(&format!("/{field}"), json!(text)) {
                Ok(read) => prop_assert_eq!(&serde_json::to_value(read).unwrap()["v"], &json!(1)),
                Err(InvalidMessage::AsOfAhead) => prop_assert_eq!(field, "as_of"),
                Err(error) => prop_assert_eq!(error, InvalidMessage::Invalid(field.to_owned())),
            }
        }
    }
}
