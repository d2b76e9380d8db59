//! What travels on the queues: JSON objects, one struct each.
//!
//! Unknown fields are ignored, so that a new version's messages can be read by the one before it; a missing or
//! invalid field makes a message unreadable, and the error names it.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::contact::Recipient;
use crate::exemption::RefusedExemption;
use crate::ids::{AccountId, AccountName, RunId, UserArn, UserId, UserName};
use crate::instant::{plausible, plausible_if_any};
use crate::keys::StaleKey;
use crate::wire::Text;

/// How far ahead of the clock a live run may judge keys; more, and a slip in a date would mail everybody.
const LIVE_AS_OF_LEEWAY: TimeDelta = TimeDelta::hours(24);

/// The run a message belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The version of the message.
    pub v: Version,
    /// For people to follow a run.
    pub run_id: RunId,
    /// The instant at which ages are judged, whatever the clock says.
    pub as_of: DateTime<Utc>,
    /// Whether owners are told.
    pub mode: Mode,
}

/// The version of the messages; there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version;

/// Whether owners are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
    /// When they last signed in to the console; `None` if never. Listing asks for it, and nobody after that: it is in no message,
    /// since it says what a person does.
    #[serde(skip)]
    pub password_last_used: Option<DateTime<Utc>>,
}

/// Declares messages: a [`Run`], whose fields are the message's own on the wire, and the fields beside it.
///
/// The reader lists the run's fields again, because serde's errors inside of `flatten` do not name the field.
macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $field:ident: $type:ty,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        pub struct $name {
            /// The run.
            #[serde(flatten)]
            pub run: Run,
            $($(#[$about])* pub $field: $type,)+
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Deserialize)]
                struct Fields {
                    v: Version,
                    run_id: RunId,
                    #[serde(deserialize_with = "plausible")]
                    as_of: DateTime<Utc>,
                    mode: Mode,
                    $($(#[$about])* $field: $type,)+
                }
                let Fields { v, run_id, as_of, mode, $($field,)+ } = Fields::deserialize(deserializer)?;
                Ok(Self { run: Run { v, run_id, as_of, mode }, $($field,)+ })
            }
        }
    )+};
}

messages! {
    /// Asks the producer to list an account's users.
    ScanAccount {
        /// The account to list.
        account_id: AccountId,
        /// What its organization calls it, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account_name: Option<AccountName>,
    }

    /// Asks a worker to check one user's keys.
    CheckUser {
        /// The account the user is in.
        account_id: AccountId,
        /// What people call that account, if it has a name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account_name: Option<AccountName>,
        /// The user.
        user: User,
        /// When the user's keys were first found stale, if that was so long ago that this check repeats it.
        #[serde(default, deserialize_with = "plausible_if_any", skip_serializing_if = "Option::is_none")]
        found_at: Option<DateTime<Utc>>,
    }

    /// Tells the notifier of an owner whose keys are too old.
    StaleKeys {
        /// The account the user is in.
        account_id: AccountId,
        /// What people call that account, if it has a name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account_name: Option<AccountName>,
        /// The user.
        user: User,
        /// Whom to tell.
        recipient: Recipient,
        /// The stale keys, the oldest first; at least one. Two is IAM's quota, and there are accounts whose
        /// users have more.
        #[serde(deserialize_with = "at_least_one_key")]
        keys: Vec<StaleKey>,
        /// How many stages the oldest key has reached.
        stage: u32,
        /// Why the user's exemption tag exempts nobody, if there is such a tag.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused_exemption: Option<RefusedExemption>,
        /// When the keys were looked at.
        #[serde(deserialize_with = "plausible")]
        checked_at: DateTime<Utc>,
        /// When they were first found stale, if they were looked at again since.
        #[serde(default, deserialize_with = "plausible_if_any", skip_serializing_if = "Option::is_none")]
        found_at: Option<DateTime<Utc>>,
    }
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
    /// A field is not there: its path.
    #[error("missing field `{0}`")]
    Missing(String),
    /// A field does not hold what it should: its path.
    #[error("{0} is invalid")]
    Invalid(String),
    /// The same, where it is known what it should hold.
    #[error("{field} is not {wanted}")]
    Unlike {
        /// The field's path.
        field: String,
        /// What is wanted there.
        wanted: String,
    },
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
        let message: Self = parse(body)?;
        limit.check(message.run())?;
        Ok(message)
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
        self.is_old(now).then(|| CheckUser { account_name: self.account_name.clone(), ..self.doubted(now) })
    }

    /// The check that has to be done at `now` if this finding does not come from the worker. Anybody in the account who may send
    /// to the queue may have made it up, so that IAM is asked, and the account's name is left out.
    #[must_use]
    pub fn doubted(&self, now: DateTime<Utc>) -> CheckUser {
        CheckUser {
            run: Run { as_of: now.max(self.run.as_of), ..self.run.clone() },
            account_id: self.account_id.clone(),
            account_name: None,
            user: self.user.clone(),
            found_at: Some(self.found_at.unwrap_or(self.checked_at)),
        }
    }

    /// A finding is old if the keys were looked at long ago. It is old as well if they were judged long ago,
    /// and on an earlier date: findings of several days that arrive at once must not become several mails.
    /// What a run finds late on its own date is not.
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
        struct One;

        impl Visitor<'_> for One {
            type Value = Version;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("1")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Version, E> {
                if number == 1 { Ok(Version) } else { Err(E::custom("not 1")) }
            }
        }

        deserializer.deserialize_u64(One)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| match text {
            "live" => Some(Self::Live),
            "dry_run" => Some(Self::DryRun),
            _ => None,
        };
        deserializer.deserialize_str(Text { wanted: "live or dry_run", read })
    }
}

fn at_least_one_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<StaleKey>, D::Error> {
    let keys: Vec<StaleKey> = Vec::deserialize(deserializer)?;
    if keys.is_empty() { Err(D::Error::custom("not a list of at least one key")) } else { Ok(keys) }
}

/// Reads JSON from an untrusted source.
pub fn parse<T: DeserializeOwned>(body: &str) -> Result<T, InvalidMessage> {
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| describe(&error))?;
    deserializer.end().map_err(|_| InvalidMessage::NotJson)?;
    Ok(value)
}

/// Names the field and what it must hold. Serde's message may quote the value first, and ends with a line and
/// a column.
fn describe(error: &serde_path_to_error::Error<serde_json::Error>) -> InvalidMessage {
    if !error.inner().is_data() {
        return InvalidMessage::NotJson;
    }
    let text = error.inner().to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    // The root, as the path has it.
    let path = Some(error.path().to_string()).filter(|path| path != ".");
    let inside = |start| {
        let field = text.strip_prefix(start)?.strip_suffix('`')?;
        Some(path.as_ref().map_or_else(|| field.to_owned(), |path| format!("{path}.{field}")))
    };
    if let Some(field) = inside("missing field `") {
        return InvalidMessage::Missing(field);
    }
    if let Some(field) = inside("duplicate field `") {
        return InvalidMessage::Unlike { field, wanted: "there once".to_owned() };
    }
    let field = path.unwrap_or_else(|| "the message".to_owned());
    // Serde says what it expected last, so no quoted value can pass for that. Only our own types say `not …`.
    let wanted = text.rsplit_once(", expected ").map(|(_, wanted)| wanted).or(text.strip_prefix("not "));
    let wanted = match wanted {
        None => return InvalidMessage::Invalid(field),
        Some("u32") => "a whole number from 0 to 4294967295",
        Some("a sequence") => "a list",
        Some(of_rust) if of_rust.starts_with("struct ") => "an object",
        Some(wanted) => wanted,
    };
    InvalidMessage::Unlike { field, wanted: wanted.to_owned() }
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
                "created_at": "2024-01-01T00:00:00Z"
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

    /// A finding with all fields there can be.
    fn whole() -> Value {
        let mut message = stale_keys();
        message["account_name"] = json!("payments");
        message["found_at"] = json!("2026-02-27T06:00:00Z");
        message
    }

    /// The values in `message`, each as a JSON pointer and as the path that errors have; the root is not
    /// among them.
    fn fields(message: &Value) -> Vec<(String, String)> {
        let below = |value: &Value, pointer: String, path: String| {
            let deeper = fields(value).into_iter().map(|(deeper, rest)| {
                let dot = if rest.starts_with('[') { "" } else { "." };
                (format!("{pointer}{deeper}"), format!("{path}{dot}{rest}"))
            });
            deeper.chain([(pointer.clone(), path.clone())]).collect::<Vec<_>>()
        };
        match message {
            Value::Object(fields) => {
                let of = |(name, value): (&String, _)| below(value, format!("/{name}"), name.clone());
                fields.iter().flat_map(of).collect()
            }
            Value::Array(entries) => {
                let of = |(at, value)| below(value, format!("/{at}"), format!("[{at}]"));
                entries.iter().enumerate().flat_map(of).collect()
            }
            _ => vec![],
        }
    }

    #[test]
    fn a_field_of_another_type_is_named_with_its_whole_path_in_every_message() {
        let whole = whole();
        let all = fields(&whole);
        for kind in ["scan", "check", "finding"] {
            let error = |message: &Value| match kind {
                "scan" => ScanAccount::read(&message.to_string(), AsOfLimit::None).err(),
                "check" => CheckUser::read(&message.to_string(), AsOfLimit::None).err(),
                _ => StaleKeys::read(&message.to_string(), AsOfLimit::None).err(),
            };
            assert_eq!(error(&whole), None);
            let mut refused = 0;
            for (pointer, path) in &all {
                for wrong in [json!(null), json!(5.5), json!("\u{202e}"), json!([]), json!({}), json!([{}])] {
                    let mut message = whole.clone();
                    *message.pointer_mut(pointer).unwrap() = wrong.clone();
                    match error(&message) {
                        None => continue,
                        Some(InvalidMessage::Unlike { field, .. }) => {
                            // A list may stand for an object, its entries for the fields.
                            assert!(
                                [path, &format!("{path}[0]")].contains(&&field),
                                "{path} {wrong}: {field}"
                            );
                        }
                        Some(InvalidMessage::Missing(field)) => {
                            let inside =
                                field.strip_prefix(path).unwrap_or_else(|| panic!("{field}: {path}"));
                            assert!(inside.starts_with(['.', '[']), "{field}: {path}");
                        }
                        Some(other) => panic!("{kind} {path} {wrong}: {other}"),
                    }
                    refused += 1;
                }
            }
            let at_least = match kind {
                "scan" => 6 * 5,
                "check" => 12 * 5,
                _ => 27 * 5,
            };
            assert!(refused >= at_least, "{kind}: {refused}");
        }
    }

    #[test]
    fn a_field_that_is_not_there_is_named_with_its_whole_path() {
        let may_be_left_out = ["account_name", "found_at", "keys[0].last_used", "keys[0].description"];
        for (pointer, path) in fields(&whole()) {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let mut message = whole();
            // Of `keys` and of `last_used`, a part that is missing makes another whole: they are below.
            let Some(Value::Object(fields)) = message.pointer_mut(parent) else { continue };
            if parent.ends_with("last_used") || fields.remove(name).is_none() {
                continue;
            }
            let error = read(&message).err().map(|error| error.to_string());
            let expected =
                (!may_be_left_out.contains(&path.as_str())).then(|| format!("missing field `{path}`"));
            assert_eq!(error, expected);
        }
        for (pointer, field) in
            [("/user", "user.name"), ("/recipient", "recipient.to"), ("/keys/0", "keys[0].id")]
        {
            let error = read_with(pointer, json!({})).unwrap_err();
            assert_eq!(error.to_string(), format!("missing field `{field}`"));
        }
    }

    #[test]
    fn an_invalid_field_is_named_with_what_it_wants_and_its_value_is_not_shown() {
        let instant = "an instant such as 2026-03-01T06:00:00Z, in the years 1970 to 9999";
        let last_used = r#""never", or an object with the field `at` alone"#;
        let at = "/keys/0/last_used/at";
        for (pointer, value, error) in [
            ("/v", json!(2), "v is not 1"),
            ("/v", json!("1"), "v is not 1"),
            ("/run_id", json!(""), "run_id is not a run id (1 to 64 letters, digits, - or :)"),
            ("/as_of", json!("yesterday"), &format!("as_of is not {instant}")),
            ("/mode", json!("jane@example.com"), "mode is not live or dry_run"),
            ("/mode", json!(null), "mode is not live or dry_run"),
            ("/account_id", json!("jane@example.com"), "account_id is not an AWS account id (12 digits)"),
            ("/user", json!("jane"), "user is not an object"),
            (
                "/user/name",
                json!("<b>"),
                "user.name is not an IAM user name (1 to 64 letters, digits or _+=,.@-)",
            ),
            ("/user/arn", json!("arn:aws:iam::1:user/jane"), "user.arn is not the ARN of an IAM user"),
            (
                "/recipient/to",
                json!("jane@example.com\nBcc: all@example.com"),
                "recipient.to is not a mail address",
            ),
            (
                "/recipient/found_by",
                json!(["jane"]),
                "recipient.found_by is not tag, user_name, default_domain or fallback",
            ),
            ("/keys", json!([]), "keys is not a list of at least one key"),
            ("/keys", json!(5), "keys is not a list"),
            ("/keys/0/age_days", json!(-1), "keys[0].age_days is not a whole number from 0 to 4294967295"),
            (
                "/keys/0/description",
                json!("a\nb"),
                "keys[0].description is not a line of at most 256 characters, none of them a control character",
            ),
            (
                "/keys/0/last_used",
                json!("jane@example.com"),
                &format!("keys[0].last_used is not {last_used}"),
            ),
            ("/keys/0/last_used", json!({"at": {}, "by": 1}), "missing field `keys[0].last_used.at.at`"),
            (at, json!("2026-02-01T00:00:00Z"), "keys[0].last_used.at is not an object"),
            (
                "/stage",
                json!("jane@example.com, expected jane"),
                "stage is not a whole number from 0 to 4294967295",
            ),
            ("/checked_at", json!(1), &format!("checked_at is not {instant}")),
            ("/found_at", json!("jane@example.com"), &format!("found_at is not {instant}")),
        ] {
            let mut message = whole();
            *message.pointer_mut(pointer).unwrap() = value;
            assert_eq!(read(&message).unwrap_err().to_string(), error);
        }
        let twice = whole().to_string().replacen('{', r#"{"mode":"live","#, 1);
        let error = StaleKeys::read(&twice, AsOfLimit::None).unwrap_err();
        assert_eq!(error.to_string(), "mode is not there once");
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

    /// Reads `message` as an `M`, and writes what was read.
    fn travelled<M: Message>(message: &Value) -> Result<Value, InvalidMessage> {
        let read = M::read(&message.to_string(), AsOfLimit::None)?;
        Ok(serde_json::to_value(read).unwrap())
    }

    #[test]
    fn every_instant_in_every_message_lies_in_1970_to_9999() {
        type Reader = fn(&Value) -> Result<Value, InvalidMessage>;

        let mut whole = whole();
        // A run is named after its instant, but that is a name.
        whole["run_id"] = json!("a-run");
        let readers: [(Reader, usize); 3] =
            [(travelled::<ScanAccount>, 1), (travelled::<CheckUser>, 3), (travelled::<StaleKeys>, 6)];
        for (read, expected) in readers {
            // The fields of this message alone.
            let message = read(&whole).unwrap();
            let places = instants(&message, "");
            assert_eq!(places.len(), expected, "{places:?}");
            for place in &places {
                let field = place[1..].replace("/0/", "[0]/").replace('/', ".");
                for (instant, is_one) in [
                    ("+262142-12-01T00:00:00Z", false),
                    ("+10000-01-01T00:00:00Z", false),
                    ("9999-12-31T23:59:59Z", true),
                    ("1970-01-01T00:00:00Z", true),
                    ("1969-12-31T23:59:59Z", false),
                    ("-0001-01-01T00:00:00Z", false),
                ] {
                    for mode in ["dry_run", "live"] {
                        let mut changed = message.clone();
                        changed["mode"] = json!(mode);
                        *changed.pointer_mut(place).unwrap() = json!(instant);
                        let wanted = "an instant such as 2026-03-01T06:00:00Z, in the years 1970 to 9999";
                        let expected = if is_one {
                            Ok(changed.clone())
                        } else {
                            Err(InvalidMessage::Unlike { field: field.clone(), wanted: wanted.to_owned() })
                        };
                        assert_eq!(read(&changed), expected, "{place} {instant}");
                    }
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

    /// Longer than IAM lets anything in it be.
    #[test]
    fn a_finding_of_forty_keys_fits_into_a_message() {
        let mut key = stale_keys()["keys"][0].clone();
        key["description"] = json!("語".repeat(256));
        let mut message = whole();
        message["keys"] = json!(vec![key; 40]);
        assert_eq!(read(&message).unwrap().keys.len(), 40);
        assert!(message.to_string().len() < 64 * 1024, "{}", message.to_string().len());
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
        assert_eq!(error.to_string(), "the message is not an object");
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
        /// Of findings that arrive together, those that are mailed are of one date, or of two within six
        /// hours of midnight.
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
        fn a_check_that_is_done_again_makes_no_old_finding(
            as_of_hours_ago in 0_i64..20_000,
            took in 0_i64..300,
        ) {
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
                Err(InvalidMessage::Unlike { field: named, .. }) => prop_assert_eq!(named, field),
                Err(error) => prop_assert!(false, "{}: {}", field, error),
            }
        }
    }
}
