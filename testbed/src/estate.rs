//! The accounts that Keynudge looks after: one, or an organization of many.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::aws::Account;
use crate::deployment::Parameters;
use crate::pipeline::Patience;
use crate::population::Population;
use crate::simulated_iam::account::{Role, Settings};
use crate::simulated_iam::{SimulatedIam, TokenBucket};
use crate::simulated_organization::{Member, Organization};

/// An account holds no more users than this, and IAM raises that quota for nobody.
pub const USERS_PER_ACCOUNT_MAX: usize = 5_000;

/// The role Keynudge finds in the other accounts, and what it has to know to get it.
const ROLE: &str = "keynudge-member";
const EXTERNAL_ID: &str = "keynudge-testbed";

/// What the accounts are called, again and again with another number.
const TEAMS: [&str; 6] = ["Payments", "Data platform", "Mobile", "Search", "Logistics", "Customer care"];
const STAGES: [&str; 3] = ["production", "staging", "sandbox"];

/// Checking a user takes a call or two, and three where there is something to tell.
const CALLS_PER_USER: u32 = 3;
/// The least that is checked in a second, however slow the machine.
pub const USERS_PER_SECOND_MIN: u32 = 20;
/// Who is held back by an account's few calls is seen to move all the same; the rest is for slow machines.
const STANDSTILL: Duration = Duration::from_mins(5);

/// What accounts to make.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many there are.
    pub accounts: u32,
    /// How many users are in them.
    pub users: usize,
    /// How many of the users are owners of a stale key.
    pub stale: usize,
    /// Makes other users, if it is another number.
    pub seed: u64,
    /// How many of the accounts do not let Keynudge in.
    pub denied: u32,
    /// How many of the accounts allow few calls.
    pub throttled: u32,
    /// How many calls a second those allow.
    pub throttled_rate: NonZeroU32,
}

impl Plan {
    /// Accounts that are nothing special.
    #[must_use]
    pub fn ordinary(accounts: u32, users: usize, stale: usize) -> Self {
        Self { accounts, users, stale, seed: 1, denied: 0, throttled: 0, throttled_rate: NonZeroU32::MIN }
    }
}

/// How an account treats Keynudge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it should.
    Ordinary,
    /// It allows few calls.
    Throttled,
    /// It has no role for Keynudge.
    Denied,
}

/// One account.
#[derive(Clone, Debug)]
pub struct Estate {
    /// Its number.
    pub account: Account,
    /// What the organization calls it.
    pub name: String,
    /// What its administrators call it; half of the accounts have that.
    pub alias: Option<String>,
    /// How it treats Keynudge.
    pub kind: Kind,
    /// Its users.
    pub population: Population,
}

/// All accounts. Keynudge is in the first.
#[derive(Clone, Debug)]
pub struct Estates {
    /// All of them.
    pub all: Vec<Estate>,
    throttled_rate: NonZeroU32,
}

impl Estates {
    /// Users and owners of stale keys are evenly split. The last accounts are those that are denied or throttled. The users
    /// of each are made by `population`, which takes how many there are, how many of them are owners of stale keys, and a
    /// seed.
    pub fn of(plan: &Plan, population: impl Fn(usize, usize, u64) -> Population) -> Self {
        let count = plan.accounts as usize;
        let part = |of: usize, at: usize| of * (at + 1) / count - of * at / count;
        let estates = (1..=plan.accounts).zip(0..).map(|(n, at)| {
            let users = part(plan.users, at);
            let stale = part(plan.stale, at).min(users);
            let name = name(at);
            Estate {
                account: Account::nth(n),
                alias: (at % 2 == 0).then(|| name.to_lowercase().replace(' ', "-")),
                name,
                kind: kind(plan, plan.accounts - n),
                population: population(users, stale, plan.seed.wrapping_add(at as u64)),
            }
        });
        Self { all: estates.collect(), throttled_rate: plan.throttled_rate }
    }

    /// Whether there is more than one.
    #[must_use]
    pub fn is_organization(&self) -> bool {
        self.all.len() > 1
    }

    /// The account Keynudge is deployed into.
    #[must_use]
    pub fn home(&self) -> &Account {
        &self.all[0].account
    }

    /// The users of those accounts that let Keynudge in: whoever else is mailed is mailed by mistake.
    #[must_use]
    pub fn population(&self) -> Population {
        let admitted = self.all.iter().filter(|estate| estate.kind != Kind::Denied);
        Population::union(admitted.map(|estate| &estate.population))
    }

    /// How many are of this kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.all.iter().filter(|estate| estate.kind == kind).count()
    }

    /// By key, the position of its account.
    #[must_use]
    pub fn account_of_key(&self) -> BTreeMap<&str, usize> {
        let keys = self.all.iter().enumerate().flat_map(|(at, estate)| {
            let keys = estate.population.keys();
            keys.map(move |key| (key.id.as_str(), at))
        });
        keys.collect()
    }

    /// Has the simulated IAM, STS and Organizations know them.
    pub fn furnish(&self, iam: &SimulatedIam) {
        for estate in &self.all {
            iam.set_users(&estate.account, estate.population.users());
            if self.is_organization() {
                iam.set_account(&estate.account, self.settings(estate));
            }
        }
        if self.is_organization() {
            let members = self.all.iter().map(|estate| Member::new(estate.account.clone(), &estate.name));
            iam.add_organization(Organization::of(members.collect()));
        }
    }

    fn settings(&self, estate: &Estate) -> Settings {
        let rate = self.throttled_rate;
        let role = || Role {
            name: ROLE.to_owned(),
            external_id: Some(EXTERNAL_ID.to_owned()),
            trusts: self.home().clone(),
        };
        Settings {
            role: (estate.kind != Kind::Denied).then(role),
            limit: (estate.kind == Kind::Throttled).then_some(TokenBucket { rate, burst: rate }),
            alias: estate.alias.clone(),
            ..Settings::default()
        }
    }

    /// Has Keynudge look after them.
    #[must_use]
    pub fn parameters(&self, parameters: Parameters) -> Parameters {
        if !self.is_organization() {
            return parameters;
        }
        parameters
            .with("Accounts", "organization")
            .with("MemberRoleName", ROLE)
            .with("ExternalId", EXTERNAL_ID)
    }

    /// How long a run of them may take.
    #[must_use]
    pub fn patience(&self) -> Patience {
        let usual = Patience::default();
        if !self.is_organization() {
            return usual;
        }
        let users = |population: &Population| u32::try_from(population.owners.len()).unwrap_or(u32::MAX);
        let most = |estate: &Estate| users(&estate.population) * CALLS_PER_USER / self.throttled_rate;
        let throttled = self.all.iter().filter(|estate| estate.kind == Kind::Throttled).map(most).max();
        let seconds = users(&self.population()) / USERS_PER_SECOND_MIN + throttled.unwrap_or_default();
        Patience { overall: usual.overall + Duration::from_secs(seconds.into()), standstill: STANDSTILL }
    }
}

/// What the account is that has so many behind it.
fn kind(plan: &Plan, behind: u32) -> Kind {
    if behind < plan.denied {
        Kind::Denied
    } else if behind < plan.denied + plan.throttled {
        Kind::Throttled
    } else {
        Kind::Ordinary
    }
}

fn name(at: usize) -> String {
    let (team, stage) = (TEAMS[at % TEAMS.len()], STAGES[at / TEAMS.len() % STAGES.len()]);
    match at / (TEAMS.len() * STAGES.len()) {
        0 => format!("{team} {stage}"),
        round => format!("{team} {stage} {}", round + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::population::Setting;

    fn estates(plan: Plan) -> Estates {
        Estates::of(&plan, |users, stale, seed| Population::typical(&Setting::default(), users, stale, seed))
    }

    #[test]
    fn users_are_evenly_split_and_nobody_is_left_over() {
        let Estates { all, .. } = estates(Plan::ordinary(7, 1_000, 95));
        let users: Vec<usize> = all.iter().map(|estate| estate.population.owners.len()).collect();
        assert_eq!(users.iter().sum::<usize>(), 1000);
        assert!(users.iter().all(|users| (142..=143).contains(users)), "{users:?}");
        let stale = all.iter().map(|estate| estate.population.totals().stale_owners);
        assert_eq!(stale.sum::<usize>(), 95);
    }

    #[test]
    fn the_last_accounts_are_the_denied_and_the_throttled_ones() {
        use Kind::{Denied, Ordinary, Throttled};
        let all = estates(Plan { denied: 1, throttled: 2, ..Plan::ordinary(5, 50, 5) });
        let kinds: Vec<Kind> = all.all.iter().map(|estate| estate.kind).collect();
        assert_eq!(kinds, [Ordinary, Ordinary, Throttled, Throttled, Denied]);
        assert_eq!(all.population().owners.len(), 40);
    }

    #[test]
    fn accounts_have_names_of_their_own_and_users_keys_of_their_own() {
        let Estates { all, .. } = estates(Plan::ordinary(100, 1_000, 100));
        assert_eq!(all.iter().map(|estate| &estate.name).collect::<BTreeSet<_>>().len(), 100);
        let keys: Vec<&str> = all.iter().flat_map(|one| one.population.keys()).map(|key| &*key.id).collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    }
}
