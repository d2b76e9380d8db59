//! The demo's accounts: one, or an organization of many.

use std::collections::BTreeMap;
use std::time::Duration;

use keynudge_testbed::aws::Account;
use keynudge_testbed::deployment::Parameters;
use keynudge_testbed::pipeline::Patience;
use keynudge_testbed::population::{Population, Setting};
use keynudge_testbed::simulated_iam::account::{Role, Settings};
use keynudge_testbed::simulated_iam::{SimulatedIam, TokenBucket};
use keynudge_testbed::simulated_organization::{Member, Organization};

use crate::options::Options;

/// The role Keynudge finds in the other accounts, and what it has to know to get it.
const ROLE: &str = "keynudge-member";
const EXTERNAL_ID: &str = "keynudge-demo";

/// What the accounts are called, again and again with another number.
const TEAMS: [&str; 6] = ["Payments", "Data platform", "Mobile", "Search", "Logistics", "Customer care"];
const STAGES: [&str; 3] = ["production", "staging", "sandbox"];

/// Checking a user takes a call or two, and three where there is something to tell.
const CALLS_PER_USER: u32 = 3;
/// The least that is checked in a second, however slow the machine.
const USERS_PER_SECOND_MIN: u32 = 20;
/// Who is held back by an account's few calls is seen to move all the same; the rest is for slow machines.
const STANDSTILL: Duration = Duration::from_mins(5);

/// How an account treats Keynudge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ordinary,
    /// It allows few calls.
    Throttled,
    /// It has no role for Keynudge.
    Denied,
}

/// One account.
pub(crate) struct Estate {
    pub(crate) account: Account,
    /// What the organization calls it.
    pub(crate) name: String,
    /// What its administrators call it; half of the accounts have that.
    pub(crate) alias: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) population: Population,
}

/// All accounts. Keynudge is in the first.
pub(crate) struct Estates(pub(crate) Vec<Estate>);

impl Estates {
    /// Users and owners of stale keys are evenly split. The last accounts are those that are denied or throttled.
    pub(crate) fn of(options: &Options, setting: &Setting) -> Self {
        let count = options.accounts as usize;
        let part = |of: usize, at: usize| of * (at + 1) / count - of * at / count;
        let estates = (1..=options.accounts).zip(0..).map(|(n, at)| {
            let users = part(options.users, at);
            let stale = part(options.stale_owners(), at).min(users);
            let name = name(at);
            Estate {
                account: Account::nth(n),
                alias: (at % 2 == 0).then(|| name.to_lowercase().replace(' ', "-")),
                name,
                kind: kind(options, options.accounts - n),
                population: Population::typical(setting, users, stale, options.seed.wrapping_add(at as u64)),
            }
        });
        Self(estates.collect())
    }

    pub(crate) fn is_organization(&self) -> bool {
        self.0.len() > 1
    }

    /// The account Keynudge is deployed into.
    pub(crate) fn home(&self) -> &Account {
        &self.0[0].account
    }

    /// The users of those accounts that let Keynudge in: whoever else is mailed is mailed by mistake.
    pub(crate) fn population(&self) -> Population {
        let admitted = self.0.iter().filter(|estate| estate.kind != Kind::Denied);
        Population::union(admitted.map(|estate| &estate.population))
    }

    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.0.iter().filter(|estate| estate.kind == kind).count()
    }

    /// By key, the position of its account.
    pub(crate) fn account_of_key(&self) -> BTreeMap<&str, usize> {
        let keys = self.0.iter().enumerate().flat_map(|(at, estate)| {
            let keys = estate.population.keys();
            keys.map(move |key| (key.id.as_str(), at))
        });
        keys.collect()
    }

    /// Has the simulated IAM, STS and Organizations know them.
    pub(crate) fn furnish(&self, iam: &SimulatedIam, options: &Options) {
        for estate in &self.0 {
            iam.set_users(&estate.account, estate.population.users());
            if self.is_organization() {
                iam.set_account(&estate.account, self.settings(estate, options));
            }
        }
        if self.is_organization() {
            let members = self.0.iter().map(|estate| Member::new(estate.account.clone(), &estate.name));
            iam.add_organization(Organization::of(members.collect()));
        }
    }

    fn settings(&self, estate: &Estate, options: &Options) -> Settings {
        let rate = options.throttled_rate;
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
    pub(crate) fn parameters(&self, parameters: Parameters) -> Parameters {
        if !self.is_organization() {
            return parameters;
        }
        parameters
            .with("Accounts", "organization")
            .with("MemberRoleName", ROLE)
            .with("ExternalId", EXTERNAL_ID)
    }

    /// How long a run of them may take.
    pub(crate) fn patience(&self, options: &Options) -> Patience {
        let usual = Patience::default();
        if !self.is_organization() {
            return usual;
        }
        let users = |population: &Population| u32::try_from(population.owners.len()).unwrap_or(u32::MAX);
        let most = |estate: &Estate| users(&estate.population) * CALLS_PER_USER / options.throttled_rate;
        let throttled = self.0.iter().filter(|estate| estate.kind == Kind::Throttled).map(most).max();
        let seconds = users(&self.population()) / USERS_PER_SECOND_MIN + throttled.unwrap_or_default();
        Patience { overall: usual.overall + Duration::from_secs(seconds.into()), standstill: STANDSTILL }
    }
}

/// What the account is that has so many behind it.
fn kind(options: &Options, behind: u32) -> Kind {
    if behind < options.denied {
        Kind::Denied
    } else if behind < options.denied + options.throttled {
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

    use clap::Parser;

    use super::*;

    fn estates(arguments: &[&str]) -> Estates {
        let options = Options::try_parse_from([&["demo"], arguments].concat()).unwrap();
        Estates::of(&options, &Setting::default())
    }

    #[test]
    fn users_are_evenly_split_and_nobody_is_left_over() {
        let Estates(all) = estates(&["--accounts", "7", "--users", "1000", "--stale", "95"]);
        let users: Vec<usize> = all.iter().map(|estate| estate.population.owners.len()).collect();
        assert_eq!(users.iter().sum::<usize>(), 1000);
        assert!(users.iter().all(|users| (142..=143).contains(users)), "{users:?}");
        let stale = all.iter().map(|estate| estate.population.totals().stale_owners);
        assert_eq!(stale.sum::<usize>(), 95);
    }

    #[test]
    fn the_last_accounts_are_the_denied_and_the_throttled_ones() {
        use Kind::{Denied, Ordinary, Throttled};
        let all = estates(&["--accounts", "5", "--users", "50", "--denied", "1", "--throttled", "2"]);
        let kinds: Vec<Kind> = all.0.iter().map(|estate| estate.kind).collect();
        assert_eq!(kinds, [Ordinary, Ordinary, Throttled, Throttled, Denied]);
        assert_eq!(all.population().owners.len(), 40);
    }

    #[test]
    fn accounts_have_names_of_their_own_and_users_keys_of_their_own() {
        let Estates(all) = estates(&["--accounts", "100", "--users", "1000"]);
        assert_eq!(all.iter().map(|estate| &estate.name).collect::<BTreeSet<_>>().len(), 100);
        let keys: Vec<&str> = all.iter().flat_map(|one| one.population.keys()).map(|key| &*key.id).collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    }
}
