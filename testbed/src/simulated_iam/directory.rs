//! The users of one account, as IAM keeps them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::aws::Account;

/// An IAM user with its tags and keys.
#[derive(Clone, Debug)]
pub struct User {
    /// Unique in its account.
    pub name: String,
    /// Begins and ends with a slash.
    pub path: String,
    /// Such as `AIDA…`; never used again, even for a user of the same name.
    pub id: String,
    /// When the user was made.
    pub created_at: DateTime<Utc>,
    /// When a password of its was last used to sign in; never.
    pub password_last_used: Option<DateTime<Utc>>,
    /// Whether its password was deleted. IAM still reports its last use then; the credential report does not.
    pub password_deleted: bool,
    /// At most 50.
    pub tags: Vec<Tag>,
    /// At most two.
    pub keys: Vec<AccessKey>,
}

/// A tag of a user.
#[derive(Clone, Debug)]
pub struct Tag {
    /// Up to 128 characters.
    pub key: String,
    /// Up to 256 characters.
    pub value: String,
}

/// An access key.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// Such as `AKIA…`.
    pub id: String,
    /// Whether it can be used.
    pub active: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Its last use; never.
    pub last_used: Option<LastUse>,
}

/// When and for what a key was last used.
#[derive(Clone, Debug)]
pub struct LastUse {
    /// When.
    pub at: DateTime<Utc>,
    /// In which region.
    pub region: String,
    /// For which service.
    pub service: String,
}

/// An account's users in IAM's order, found by name and by key.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) account: Account,
    pub(super) users: Vec<User>,
    by_name: HashMap<String, usize>,
    by_key: HashMap<String, (usize, usize)>,
}

impl Directory {
    pub(super) fn new(account: Account, mut users: Vec<User>) -> Self {
        users.sort_by_cached_key(|user| user.name.to_lowercase());
        let by_name = users.iter().enumerate().map(|(at, user)| (user.name.clone(), at)).collect();
        let keys = users.iter().enumerate().flat_map(|(at, user)| {
            let keys = user.keys.iter().enumerate();
            keys.map(move |(key_at, key)| (key.id.clone(), (at, key_at)))
        });
        let by_key = keys.collect();
        Self { account, users, by_name, by_key }
    }

    pub(super) fn arn(&self, user: &User) -> String {
        format!("arn:aws:iam::{}:user{}{}", self.account, user.path, user.name)
    }

    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.by_name.get(name).map(|&at| &self.users[at])
    }

    pub(super) fn key(&self, id: &str) -> Option<(&User, &AccessKey)> {
        let &(user_at, key_at) = self.by_key.get(id)?;
        let user = &self.users[user_at];
        Some((user, &user.keys[key_at]))
    }
}
