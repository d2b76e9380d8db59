//! Which accounts a deployment looks after.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::ids::{AccountId, AccountName, InvalidId, PartitionName, RoleName, UnitId};

/// An account, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name, where one is known.
    pub name: Option<AccountName>,
}

/// Where the accounts come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accounts {
    /// These.
    Listed(BTreeSet<AccountId>),
    /// Whatever accounts the organization has when a run starts.
    Organization,
}

/// What stands for [`Accounts::Organization`] among settings.
const ORGANIZATION: &str = "organization";

impl FromStr for Accounts {
    type Err = InvalidId;

    /// `organization`, or account ids separated by commas.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.trim() == ORGANIZATION {
            return Ok(Self::Organization);
        }
        let ids = text.split(',').map(str::trim).filter(|id| !id.is_empty());
        ids.map(str::parse).collect::<Result<_, _>>().map(Self::Listed)
    }
}

/// The accounts of one deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    own: AccountId,
    accounts: Accounts,
    units: BTreeSet<UnitId>,
    excluded: BTreeSet<AccountId>,
}

/// What cannot be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScope {
    /// Units of an organization, and no organization.
    #[error("organizational units are only for the accounts of an organization")]
    UnitsWithoutOrganization,
    /// A list of which nothing is left.
    #[error("every account is excluded")]
    NobodyLeft,
}

impl Scope {
    /// Looks after `accounts`, or after `own`, the account it runs in, where none are given; of an organization, only
    /// after those in `units` or in units below them, if any are given; and never after those `excluded`.
    pub fn new(
        own: AccountId,
        accounts: Option<Accounts>,
        units: BTreeSet<UnitId>,
        excluded: BTreeSet<AccountId>,
    ) -> Result<Self, InvalidScope> {
        let accounts = accounts.unwrap_or_else(|| Accounts::Listed([own.clone()].into()));
        let scope = Self { own, accounts, units, excluded };
        if let Accounts::Listed(ids) = &scope.accounts {
            if !scope.units.is_empty() {
                return Err(InvalidScope::UnitsWithoutOrganization);
            }
            if ids.is_subset(&scope.excluded) {
                return Err(InvalidScope::NobodyLeft);
            }
        }
        Ok(scope)
    }

    /// The account it runs in. It needs no role to ask that one.
    #[must_use]
    pub fn own(&self) -> &AccountId {
        &self.own
    }

    /// Where the accounts come from.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The units of the organization to look in; none for all of it.
    #[must_use]
    pub fn units(&self) -> &BTreeSet<UnitId> {
        &self.units
    }

    /// Whether `account` is not looked after, whatever else is said.
    #[must_use]
    pub fn excludes(&self, account: &AccountId) -> bool {
        self.excluded.contains(account)
    }

    /// Whether a message about `account` can be one of this deployment's. Which accounts an organization has is known when a
    /// run starts, and not asked again for each message.
    #[must_use]
    pub fn contains(&self, account: &AccountId) -> bool {
        let listed = match &self.accounts {
            Accounts::Listed(ids) => ids.contains(account),
            Accounts::Organization => true,
        };
        listed && !self.excludes(account)
    }

    /// Whether any account but its own can be meant.
    #[must_use]
    pub fn leaves_own_account(&self) -> bool {
        match &self.accounts {
            Accounts::Listed(ids) => ids.iter().any(|id| *id != self.own && !self.excludes(id)),
            Accounts::Organization => true,
        }
    }
}

/// The role that lets a function into other accounts, by the same name in each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRole {
    /// The partition all of the accounts are in.
    pub partition: PartitionName,
    /// Its name.
    pub name: RoleName,
    /// What the role may ask for besides. No secret (IAM user guide, "Access to AWS accounts owned by third parties").
    pub external_id: Option<String>,
    /// What it is assumed for.
    pub session: RoleSession,
}

/// A session of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleSession {
    /// What it is for, as the account's own logs show it.
    pub name: &'static str,
    /// The IAM actions it may take, whatever the role allows: an account's administrators may attach more to it.
    pub actions: &'static [&'static str],
}

impl MemberRole {
    /// The role of one account.
    #[must_use]
    pub fn arn(&self, account_id: &AccountId) -> String {
        format!("arn:{}:iam::{account_id}:role/{}", self.partition, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "123456789012";
    const OTHER: &str = "210987654321";

    fn id(text: &str) -> AccountId {
        text.parse().unwrap()
    }

    fn scope(accounts: &str, units: &[&str], excluded: &[&str]) -> Result<Scope, InvalidScope> {
        let accounts = (!accounts.is_empty()).then(|| accounts.parse().unwrap());
        let units = units.iter().map(|unit| unit.parse().unwrap()).collect();
        Scope::new(id(OWN), accounts, units, excluded.iter().map(|text| id(text)).collect())
    }

    #[test]
    fn without_any_it_is_the_account_it_runs_in() {
        let scope = scope("", &[], &[]).unwrap();
        assert_eq!((scope.contains(&id(OWN)), scope.contains(&id(OTHER))), (true, false));
        assert!(!scope.leaves_own_account());
    }

    #[test]
    fn a_list_is_what_it_says_and_nothing_else() {
        let scope = scope(" 210987654321 , 111111111111,", &[], &["111111111111"]).unwrap();
        assert!(scope.contains(&id(OTHER)) && scope.leaves_own_account());
        assert!(!scope.contains(&id(OWN)) && !scope.contains(&id("111111111111")));
    }

    #[test]
    fn a_list_whose_other_accounts_are_all_excluded_needs_no_role() {
        let scope = scope("123456789012,210987654321", &[], &[OTHER]).unwrap();
        assert!(scope.contains(&id(OWN)) && !scope.leaves_own_account());
    }

    #[test]
    fn blanks_around_the_word_for_an_organization_are_forgiven() {
        assert_eq!(" organization ".parse(), Ok(Accounts::Organization));
    }

    #[test]
    fn of_an_organization_any_account_may_be_meant_but_those_excluded() {
        let scope = scope("organization", &["r-ab12", "ou-ab12-11111111"], &[OTHER]).unwrap();
        assert!(scope.contains(&id(OWN)) && scope.contains(&id("111111111111")));
        assert!(!scope.contains(&id(OTHER)) && scope.leaves_own_account());
        assert_eq!(scope.units().len(), 2);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(scope("", &["r-ab12"], &[]), Err(InvalidScope::UnitsWithoutOrganization));
        assert_eq!(scope("", &[], &[OWN]), Err(InvalidScope::NobodyLeft));
        assert!("organisation".parse::<Accounts>().is_err() && "12345".parse::<Accounts>().is_err());
    }

    #[test]
    fn a_role_is_in_its_accounts_partition() {
        for partition in ["aws", "aws-cn", "aws-us-gov"] {
            let role = MemberRole {
                partition: partition.parse().unwrap(),
                name: "keynudge-member".parse().unwrap(),
                external_id: None,
                session: RoleSession { name: "why", actions: &[] },
            };
            assert_eq!(role.arn(&id(OTHER)), format!("arn:{partition}:iam::{OTHER}:role/keynudge-member"));
        }
    }

    #[test]
    fn nothing_but_commas_is_nobody() {
        assert_eq!(scope(" , ", &[], &[]), Err(InvalidScope::NobodyLeft));
    }
}
