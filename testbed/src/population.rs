//! Generated IAM users, each with what Keynudge must do about it.
//!
//! A user is made from a [`Profile`], which says what kind of keys it has and how its owner can be reached. What must
//! happen follows from the profile alone: nothing here computes an age or looks for a contact, and none of Keynudge's
//! own code is used, so that this can judge it.
//!
//! The same seed makes the same users.

mod profiles;
mod user;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fastrand::Rng;

use crate::simulated_iam::directory::{AccessKey, User};
pub use profiles::{Contact, Exemption, Keys, Profile};
use user::Maker;

/// How Keynudge is deployed, as far as it decides what happens to a user.
#[derive(Clone, Debug)]
pub struct Setting {
    /// From this age on, a key is stale.
    pub alert_after_days: i64,
    /// Whether users who never signed in are checked too: audience `all`.
    pub everybody: bool,
    /// Where the users are who are checked.
    pub path_prefix: &'static str,
}

impl Default for Setting {
    fn default() -> Self {
        Self { alert_after_days: 90, everybody: false, path_prefix: "/" }
    }
}

/// The domain of the sender, and of whoever may be mailed.
pub const DOMAIN: &str = "corp.example";
/// A domain that must never be mailed.
pub const FOREIGN_DOMAIN: &str = "partner.example";

/// What must happen to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// One mail, to this address, about exactly these of the user's keys, given by their position.
    Mailed {
        /// The address.
        to: String,
        /// The positions.
        keys: Vec<usize>,
    },
    /// Stale keys, and no address that may be mailed.
    WithoutContact,
    /// Stale keys, and exempt.
    Exempt,
    /// Checked, and nothing to tell.
    NotStale,
    /// Not checked: never signed in.
    NeverSignedIn,
    /// Not checked: outside the path prefix.
    OutsidePath,
    /// Not checked: younger than a stale key.
    TooYoung,
}

/// A user, and what must happen to it.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The user.
    pub user: User,
    /// What it was made from.
    pub profile: Profile,
    /// What must happen to it.
    pub expectation: Expectation,
}

impl Owner {
    /// The ids of the keys a mail must name; none if there must be no mail.
    #[must_use]
    pub fn keys_to_mail(&self) -> Vec<&str> {
        let Expectation::Mailed { keys, .. } = &self.expectation else {
            return Vec::new();
        };
        keys.iter().map(|&at| self.user.keys[at].id.as_str()).collect()
    }
}

/// The users of one account, or of several.
#[derive(Clone, Debug)]
pub struct Population {
    /// When they were made: ages are counted back from here.
    pub made_at: DateTime<Utc>,
    /// All of them.
    pub owners: Vec<Owner>,
}

/// How many users must see which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All users.
    pub users: usize,
    /// Those who are in the audience and old enough, and so are checked.
    pub checked: usize,
    /// Checked, with a stale key: to mail, without contact or exempt.
    pub stale_owners: usize,
    /// To mail.
    pub mails: usize,
    /// Without an address that may be mailed.
    pub without_contact: usize,
    /// Exempt.
    pub exempt: usize,
    /// Not checked: never signed in.
    pub never_signed_in: usize,
    /// Not checked: outside the path prefix.
    pub outside_path: usize,
    /// Not checked: younger than a stale key.
    pub too_young: usize,
}

impl Population {
    /// An account as one might find it: `stale` owners with a stale key among `users`, a few of them exempt or without
    /// contact, and all the rest quiet in various ways.
    ///
    /// # Panics
    ///
    /// If more owners are to be stale than there are users.
    #[must_use]
    pub fn typical(setting: &Setting, users: usize, stale: usize, seed: u64) -> Self {
        assert!(stale <= users, "{stale} of {users} users cannot have a stale key");
        let mut rng = Rng::with_seed(seed);
        let mut profiles = profiles::in_shares(&profiles::STALE, stale, &mut rng);
        let quiet = profiles::quiet(setting);
        profiles.extend(profiles::in_shares(&quiet, users - stale, &mut rng));
        rng.shuffle(&mut profiles);
        Self::of(setting, profiles, rng)
    }

    /// Users whom every tool treats alike, for comparing them: `stale` owners with a stale key among `users`, each of whom
    /// has one active key and an address of their own in the contact tag, and nobody is new here. A tool that mails by address
    /// would send one mail to those who share one.
    ///
    /// # Panics
    ///
    /// If more owners are to be stale than there are users.
    #[must_use]
    pub fn plain(users: usize, stale: usize, seed: u64) -> Self {
        assert!(stale <= users, "{stale} of {users} users cannot have a stale key");
        let mut rng = Rng::with_seed(seed);
        let mut profiles = vec![Profile::with(Keys::Stale).reached_by(Contact::OwnTag); stale];
        profiles.resize(users, Profile::with(Keys::Fresh).reached_by(Contact::OwnTag));
        rng.shuffle(&mut profiles);
        let setting = Setting { everybody: true, ..Setting::default() };
        Self::of(&setting, profiles, rng)
    }

    /// Every kind of user the generator knows, equally often.
    #[must_use]
    pub fn mixed(setting: &Setting, users: usize, seed: u64) -> Self {
        let profiles = Profile::every_kind().into_iter().cycle().take(users).collect();
        Self::of(setting, profiles, Rng::with_seed(seed))
    }

    /// Every kind of user that there is where all keys are of one age, equally often: for an IAM that makes
    /// them all now and knows of no sign-in, and a run that judges them at `judged_at`, when all are stale.
    #[must_use]
    pub fn of_one_age(users: usize, seed: u64, judged_at: DateTime<Utc>) -> Self {
        let setting = Setting { everybody: true, ..Setting::default() };
        let kinds = Profile::every_kind().into_iter().filter(|profile| profile.is_of_one_age());
        let profiles: Vec<Profile> = kinds.collect();
        let profiles = profiles.into_iter().cycle().take(users);
        Self::made_at(&setting, profiles.collect(), Rng::with_seed(seed), judged_at)
    }

    /// One user of each of these profiles.
    #[must_use]
    pub fn of_profiles(setting: &Setting, profiles: &[Profile], seed: u64) -> Self {
        Self::of(setting, profiles.to_vec(), Rng::with_seed(seed))
    }

    fn of(setting: &Setting, profiles: Vec<Profile>, rng: Rng) -> Self {
        Self::made_at(setting, profiles, rng, Utc::now())
    }

    fn made_at(setting: &Setting, profiles: Vec<Profile>, rng: Rng, made_at: DateTime<Utc>) -> Self {
        let mut maker = Maker::new(setting, made_at, rng);
        let owners = profiles.into_iter().map(|profile| maker.owner(profile)).collect();
        Self { made_at, owners }
    }

    /// The users of several accounts, in order. Those accounts must have been made from different seeds: keys and user ids
    /// are in one account only, names may be in many.
    ///
    /// # Panics
    ///
    /// If there is no account.
    #[must_use]
    pub fn union<'a>(accounts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut accounts = accounts.into_iter().cloned();
        let mut union = accounts.next().expect("there is an account");
        union.owners.extend(accounts.flat_map(|population| population.owners));
        union
    }

    /// The users alone.
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        self.owners.iter().map(|owner| owner.user.clone()).collect()
    }

    /// Every key there is.
    pub fn keys(&self) -> impl Iterator<Item = &AccessKey> {
        self.owners.iter().flat_map(|owner| &owner.user.keys)
    }

    /// Each key's owner, by the key's id.
    #[must_use]
    pub fn owner_of_key(&self) -> BTreeMap<&str, &Owner> {
        let keys = self
            .owners
            .iter()
            .flat_map(|owner| owner.user.keys.iter().map(move |key| (key.id.as_str(), owner)));
        keys.collect()
    }

    /// How many users must see which end.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { users: self.owners.len(), ..Totals::default() };
        for owner in &self.owners {
            match owner.expectation {
                Expectation::Mailed { .. } => totals.mails += 1,
                Expectation::WithoutContact => totals.without_contact += 1,
                Expectation::Exempt => totals.exempt += 1,
                Expectation::NotStale => {}
                Expectation::NeverSignedIn => totals.never_signed_in += 1,
                Expectation::OutsidePath => totals.outside_path += 1,
                Expectation::TooYoung => totals.too_young += 1,
            }
        }
        let skipped = totals.never_signed_in + totals.outside_path + totals.too_young;
        totals.checked = totals.users - skipped;
        totals.stale_owners = totals.mails + totals.without_contact + totals.exempt;
        totals
    }
}

#[cfg(test)]
mod tests;
