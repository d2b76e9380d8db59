//! What a scan came to. Kept small: users without stale keys are only counted.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use keynudge_core::audience::SkipReason;
use keynudge_core::contact::Recipient;
use keynudge_core::exemption::RefusedExemption;
use keynudge_core::ids::{AccountId, AccountName, UserId, UserName};
use keynudge_core::keys::StaleKey;
use keynudge_pages::ages::AgeCounts;

/// What a scan came to, whole or as far as it got.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) account_id: AccountId,
    /// Its alias.
    pub(crate) account_name: Option<AccountName>,
    /// The instant that ages are judged at.
    pub(crate) as_of: DateTime<Utc>,
    /// The age from which an active key is stale.
    pub(crate) alert_after_days: u32,
    /// The tag that holds an owner's address.
    pub(crate) contact_tag: String,
    /// Why it is not about all users, where it is not: `interrupted`, or what failed.
    pub(crate) incomplete: Option<String>,
    /// What its reader has to know beside the owners, a sentence or two each; in every format, and on stderr.
    pub(crate) remarks: Vec<String>,
    /// Whether the list of users was read to its end. If not, there are users that no count knows of.
    pub(crate) listed_whole: bool,
    /// How many users IAM says the account has, where that may be asked.
    pub(crate) users_in_account: Option<usize>,
    /// Users who could not be checked, the first [`MISSED_MAX`] of them.
    pub(crate) missed: Vec<Missed>,
    pub(crate) users: Users,
    /// The keys of all users who were checked.
    pub(crate) ages: AgeCounts,
    /// Users of Bedrock's API keys who have an active access key, by name: nobody makes one on purpose.
    pub(crate) of_bedrock_api_keys: Vec<UserName>,
    /// Owners of stale keys, those of the oldest first.
    pub(crate) owners: Vec<StaleOwner>,
}

/// So many of those who could not be checked are named; `Users::not_checked` counts all.
pub(crate) const MISSED_MAX: usize = 20;

/// A user who could not be checked.
#[derive(Debug, Clone)]
pub(crate) struct Missed {
    /// What IAM calls them, which may be anything.
    pub(crate) user_name: String,
    /// Why, and what to do about it.
    pub(crate) reason: String,
}

/// How many users there are: `listed` = the skipped + unreadable + checked + not checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Users {
    pub(crate) listed: usize,
    /// Those who are not what IAM says its users are.
    pub(crate) unreadable: usize,
    pub(crate) skipped: BTreeMap<SkipReason, usize>,
    /// Those whose keys were looked at, and those who were gone by then.
    pub(crate) checked: usize,
    /// Those whose keys could not be read, or were not yet.
    pub(crate) not_checked: usize,
}

impl Users {
    /// Those of whom nothing more is to be known.
    pub(crate) fn done(&self) -> usize {
        self.skipped.values().sum::<usize>() + self.unreadable + self.checked
    }
}

/// Owners of stale keys by what would be done about them; all of them together are all owners.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OwnerCounts {
    pub(crate) mailed: usize,
    pub(crate) without_contact: usize,
    pub(crate) exempt: usize,
    pub(crate) not_tagged: usize,
}

impl Report {
    /// The owners, counted.
    pub(crate) fn owner_counts(&self) -> OwnerCounts {
        let mut counts = OwnerCounts::default();
        for owner in &self.owners {
            *match owner.telling {
                Telling::Mail(_) => &mut counts.mailed,
                Telling::WithoutContact => &mut counts.without_contact,
                Telling::ExemptUntil(_) => &mut counts.exempt,
                Telling::NotTagged => &mut counts.not_tagged,
            } += 1;
        }
        counts
    }

    /// How many users the account has, where that is known and not all of them were listed.
    pub(crate) fn users_beyond_the_list(&self) -> Option<usize> {
        self.users_in_account.filter(|users| !self.listed_whole && *users > self.users.listed)
    }

    /// How many addresses were passed over.
    pub(crate) fn passed_over(&self) -> u32 {
        self.owners.iter().map(|owner| owner.passed_over).sum()
    }

    /// Whether there is anybody whose keys are an operator's concern: stale, in the audience, and not exempt.
    pub(crate) fn has_stale_owners(&self) -> bool {
        let counts = self.owner_counts();
        counts.mailed + counts.without_contact > 0
    }
}

/// Somebody with stale keys.
#[derive(Debug, Clone)]
pub(crate) struct StaleOwner {
    pub(crate) user_name: UserName,
    pub(crate) user_id: UserId,
    /// The oldest first.
    pub(crate) keys: Vec<StaleKey>,
    pub(crate) telling: Telling,
    /// How many addresses were passed over.
    pub(crate) passed_over: u32,
    /// Why the exemption tag exempts nobody.
    pub(crate) refused_exemption: Option<RefusedExemption>,
}

/// What a deployment would do about a stale owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Mail them.
    Mail(Recipient),
    /// Nothing: no address leads to them.
    WithoutContact,
    /// Nothing through this day (UTC).
    ExemptUntil(NaiveDate),
    /// Nothing: the audience is those with the contact tag.
    NotTagged,
}

/// The report of a scan that found nobody, for tests to fill in.
#[cfg(test)]
pub(crate) fn empty() -> Report {
    Report {
        account_id: "111122223333".parse().unwrap(),
        account_name: None,
        as_of: keynudge_testing::now(),
        alert_after_days: 90,
        contact_tag: "keynudge:contact".to_owned(),
        incomplete: None,
        remarks: vec![],
        listed_whole: true,
        users_in_account: None,
        missed: vec![],
        users: Users::default(),
        ages: AgeCounts::default(),
        of_bedrock_api_keys: vec![],
        owners: vec![],
    }
}
