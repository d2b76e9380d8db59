//! Organizations: which accounts there are, and in which units.
//!
//! The [simulated IAM](crate::simulated_iam) serves it on its own port, to the management account and those who stand in
//! for it. It answers what the functions ask: `ListAccounts`, `ListAccountsForParent` and
//! `ListOrganizationalUnitsForParent`, in pages of twenty at most.
//!
//! # Layout
//!
//! * `operations`: the operations, from a request to an answer or a refusal.

mod operations;
#[cfg(test)]
mod tests;

use crate::aws::Account;
pub(crate) use operations::{TARGET, answer};

/// The root of every organization: the unit that all others are in.
pub const ROOT: &str = "r-ab12";

/// More entries are on no page.
const PAGE_MAX: usize = 20;

/// An organization.
#[derive(Clone, Debug)]
pub struct Organization {
    /// The account that manages it.
    pub management: Account,
    /// The other accounts that may ask about it.
    pub delegated_administrators: Vec<Account>,
    /// Its units, but for the root.
    pub units: Vec<Unit>,
    /// Its accounts, among them the one that manages it.
    pub members: Vec<Member>,
    /// How many entries a page holds at most, if fewer than a caller asks for. Organizations may do that at any time.
    pub page_max: usize,
    /// Whether the first page of every list is empty. Organizations may do that, too.
    pub begins_empty: bool,
}

/// A unit of an organization.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Such as `ou-ab12-11111111`.
    pub id: String,
    /// The unit it is in.
    pub parent: String,
    /// Its name.
    pub name: String,
}

/// An account of an organization.
#[derive(Clone, Debug)]
pub struct Member {
    /// The account.
    pub account: Account,
    /// What the organization calls it.
    pub name: String,
    /// The unit it is in.
    pub unit: String,
    /// Whether it can be used.
    pub state: State,
}

/// What an account of an organization can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In use.
    Active,
    /// AWS keeps it from being used.
    Suspended,
    /// About to be closed.
    PendingClosure,
    /// Closed, and not gone yet.
    Closed,
}

impl Organization {
    /// An organization of these accounts; the first manages it.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn of(members: Vec<Member>) -> Self {
        let management = members.first().expect("an organization has an account").account.clone();
        Self {
            management,
            delegated_administrators: Vec::new(),
            units: Vec::new(),
            members,
            page_max: PAGE_MAX,
            begins_empty: false,
        }
    }

    /// Whether the account belongs to it.
    pub(crate) fn has(&self, account: &Account) -> bool {
        self.members.iter().any(|member| member.account == *account)
    }

    fn may_be_seen_by(&self, account: &Account) -> bool {
        self.management == *account || self.delegated_administrators.contains(account)
    }

    fn has_unit(&self, id: &str) -> bool {
        id == ROOT || self.units.iter().any(|unit| unit.id == id)
    }
}

impl Unit {
    /// A unit of that name, in another.
    #[must_use]
    pub fn new(id: &str, parent: &str, name: &str) -> Self {
        Self { id: id.to_owned(), parent: parent.to_owned(), name: name.to_owned() }
    }
}

impl Member {
    /// An account in use, directly in the root.
    #[must_use]
    pub fn new(account: Account, name: &str) -> Self {
        Self { account, name: name.to_owned(), unit: ROOT.to_owned(), state: State::Active }
    }

    /// The same in another unit.
    #[must_use]
    pub fn in_unit(self, unit: &str) -> Self {
        Self { unit: unit.to_owned(), ..self }
    }
}
