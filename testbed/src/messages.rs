//! The functions' messages, for functions that are given work without those that come before them.

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::aws::Account;
use crate::population::Owner;

/// A run, as its messages name it.
#[derive(Clone, Debug)]
pub struct RunOf<'a> {
    /// The account it is about.
    pub account: &'a Account,
    /// Its id.
    pub id: &'a str,
}

impl RunOf<'_> {
    /// What the producer takes: an account to scan.
    #[must_use]
    pub fn scan_account(&self) -> Value {
        json!({
            "v": 1,
            "run_id": self.id,
            "as_of": now(),
            "mode": "live",
            "account_id": self.account.as_str(),
        })
    }

    /// What the worker takes: a user to check.
    #[must_use]
    pub fn check_user(&self, owner: &Owner) -> Value {
        self.with(json!({ "user": self.user(owner) }))
    }

    /// What the notifier takes: an owner to mail, at this address and about these of the keys.
    #[must_use]
    pub fn finding(&self, owner: &Owner, to: &str, keys: &[usize]) -> Value {
        let keys = keys.iter().map(|&at| {
            let key = &owner.user.keys[at];
            json!({ "id": key.id, "created_at": key.created_at, "age_days": (Utc::now() - key.created_at).num_days() })
        });
        self.with(json!({
            "user": self.user(owner),
            "recipient": { "to": to, "found_by": "tag" },
            "keys": keys.collect::<Vec<_>>(),
            "stage": 1,
            "checked_at": now(),
        }))
    }

    fn user(&self, owner: &Owner) -> Value {
        let (user, account) = (&owner.user, self.account);
        json!({
            "name": user.name,
            "id": user.id,
            "arn": format!("arn:aws:iam::{account}:user{}{}", user.path, user.name),
            "created_at": user.created_at,
        })
    }

    /// What all messages of the run have, and these members.
    fn with(&self, members: Value) -> Value {
        let mut message = self.scan_account();
        if let (Value::Object(message), Value::Object(members)) = (&mut message, members) {
            message.extend(members);
        }
        message
    }
}

/// Now, as messages have it.
fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}
