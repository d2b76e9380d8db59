//! The accounts of a run: those of the scope, as they are when the run starts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keynudge_core::accounts::{Account, Accounts, Scope};
use keynudge_core::failure::CallFailed;
use keynudge_core::ids::{AccountId, UnitId};
use keynudge_core::ports::{Organization, Page};
use keynudge_lambda::deadline::Deadline;

/// A page is only asked for with this much time left: for the call (20 s at most), and for enqueueing the scans.
const TIME_FOR_A_PAGE: Duration = Duration::from_secs(30);

/// More pages than a list can have: an organization has ten thousand accounts at most, twenty to a page, and pages may come
/// short.
const MAX_PAGES: usize = 10_000;

/// Why a run has no accounts. Nothing is enqueued then, since a list that breaks off would leave accounts out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotListed {
    /// The organization does not answer.
    #[error(transparent)]
    Call(#[from] CallFailed),
    /// It answers without an end.
    #[error("the list of accounts has more pages than there can be")]
    Endless,
    /// It answers too slowly.
    #[error("there was no time left to list all accounts")]
    OutOfTime,
    /// Its active accounts are all excluded, or the units have none.
    #[error("no active account is left to look after: see ORGANIZATIONAL_UNITS and EXCLUDE_ACCOUNTS")]
    Nobody,
}

/// The accounts that `scope` means, each once, in the order of their ids.
pub(crate) async fn of(
    scope: &Scope,
    organization: &impl Organization,
    deadline: Deadline,
) -> Result<Vec<Account>, NotListed> {
    let accounts = match scope.accounts() {
        Accounts::Listed(ids) => ids.iter().map(|id| Account { id: id.clone(), name: None }).collect(),
        Accounts::Organization if scope.units().is_empty() || scope.units().iter().any(UnitId::is_root) => {
            all_pages(async |token| organization.accounts_page(None, token).await, deadline).await?
        }
        Accounts::Organization => in_units(scope.units(), organization, deadline).await?,
    };
    let included = accounts.into_iter().filter(|account| !scope.excludes(&account.id));
    let each_once: BTreeMap<AccountId, Account> =
        included.map(|account| (account.id.clone(), account)).collect();
    if each_once.is_empty() { Err(NotListed::Nobody) } else { Ok(each_once.into_values().collect()) }
}

/// The accounts in `units` and in all units below them.
async fn in_units(
    units: &BTreeSet<UnitId>,
    organization: &impl Organization,
    deadline: Deadline,
) -> Result<Vec<Account>, NotListed> {
    let mut accounts = Vec::new();
    let mut seen = BTreeSet::new();
    let mut to_see: Vec<UnitId> = units.iter().cloned().collect();
    while let Some(unit) = to_see.pop() {
        if !seen.insert(unit.clone()) {
            continue;
        }
        let in_unit = async |token: Option<&str>| organization.accounts_page(Some(&unit), token).await;
        accounts.extend(all_pages(in_unit, deadline).await?);
        let below = async |token: Option<&str>| organization.units_page(&unit, token).await;
        to_see.extend(all_pages(below, deadline).await?);
    }
    Ok(accounts)
}

async fn all_pages<T>(
    page: impl AsyncFn(Option<&str>) -> Result<Page<T>, CallFailed>,
    deadline: Deadline,
) -> Result<Vec<T>, NotListed> {
    let mut all = Vec::new();
    let mut token = None;
    for _ in 0..MAX_PAGES {
        if deadline.leaves_less_than(TIME_FOR_A_PAGE) {
            return Err(NotListed::OutOfTime);
        }
        let Page { entries, next } = page(token.as_deref()).await?;
        all.extend(entries);
        if next.is_none() {
            return Ok(all);
        }
        token = next;
    }
    Err(NotListed::Endless)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keynudge_core::failure::FailureClass;
    use keynudge_testing::{ACCOUNT, MemoryOrganization, failure, no_time, plenty_of_time};

    const ROOT: &str = "r-ab12";
    const TEAMS: &str = "ou-ab12-teams111";
    const PAYMENTS: &str = "ou-ab12-payments";
    const LABS: &str = "ou-ab12-labs1111";

    fn unit(id: &str) -> UnitId {
        id.parse().unwrap()
    }

    fn account(n: u32) -> Account {
        let id = format!("{n:012}").parse().unwrap();
        Account { id, name: Some(format!("account {n}").parse().unwrap()) }
    }

    /// Root (1 to 3), teams (4 to 6) with payments (7) below, and labs (8).
    fn organization() -> MemoryOrganization {
        let accounts = |range: std::ops::RangeInclusive<u32>| range.map(account).collect();
        MemoryOrganization {
            accounts: [(ROOT, 1..=3), (TEAMS, 4..=6), (PAYMENTS, 7..=7), (LABS, 8..=8)]
                .map(|(id, range)| (unit(id), accounts(range)))
                .into(),
            units: [
                (unit(ROOT), vec![unit(TEAMS), unit(LABS)]),
                // Nobody can make such a circle, and nobody should wait for its end.
                (unit(TEAMS), vec![unit(PAYMENTS), unit(TEAMS)]),
            ]
            .into(),
            refusal: None,
        }
    }

    fn scope(accounts: &str, units: &[&str], excluded: &[u32]) -> Scope {
        let units = units.iter().map(|id| unit(id)).collect();
        let excluded = excluded.iter().map(|n| account(*n).id).collect();
        Scope::new(ACCOUNT.parse().unwrap(), Some(accounts.parse().unwrap()), units, excluded).unwrap()
    }

    async fn listed(scope: &Scope) -> Vec<Account> {
        of(scope, &organization(), plenty_of_time()).await.unwrap()
    }

    fn accounts(numbers: impl IntoIterator<Item = u32>) -> Vec<Account> {
        numbers.into_iter().map(account).collect()
    }

    #[tokio::test]
    async fn an_organization_is_all_its_accounts_page_by_page_but_those_excluded() {
        assert_eq!(listed(&scope("organization", &[], &[])).await, accounts(1..=8));
        assert_eq!(listed(&scope("organization", &[], &[2, 8])).await, accounts([1, 3, 4, 5, 6, 7]));
    }

    #[tokio::test]
    async fn units_are_theirs_and_those_of_the_units_below_each_account_once() {
        assert_eq!(listed(&scope("organization", &[TEAMS], &[])).await, accounts(4..=7));
        assert_eq!(listed(&scope("organization", &[PAYMENTS, TEAMS], &[5])).await, accounts([4, 6, 7]));
        assert_eq!(listed(&scope("organization", &[ROOT], &[])).await, accounts(1..=8));
    }

    #[tokio::test]
    async fn a_list_asks_no_organization() {
        let organization =
            MemoryOrganization { refusal: Some(failure(FailureClass::Operator)), ..organization() };
        let scope = scope("000000000009,000000000004,000000000009", &[], &[]);
        let listed = of(&scope, &organization, no_time()).await.unwrap();
        let ids: Vec<&str> = listed.iter().map(|account| account.id.as_str()).collect();
        assert_eq!(ids, ["000000000004", "000000000009"]);
    }

    #[tokio::test]
    async fn a_list_that_breaks_off_is_none() {
        let refusing = MemoryOrganization { refusal: Some(failure(FailureClass::Retry)), ..organization() };
        let all = scope("organization", &[], &[]);
        assert!(matches!(of(&all, &refusing, plenty_of_time()).await, Err(NotListed::Call(_))));
        assert!(matches!(of(&all, &organization(), no_time()).await, Err(NotListed::OutOfTime)));
    }

    #[tokio::test]
    async fn nobody_left_is_an_error_and_no_run_of_nothing() {
        let labs = scope("organization", &[LABS], &[8]);
        let error = of(&labs, &organization(), plenty_of_time()).await.unwrap_err();
        assert!(error.to_string().contains("EXCLUDE_ACCOUNTS"), "{error}");
    }

    #[tokio::test]
    async fn a_list_without_an_end_is_given_up() {
        let endless = async |_: Option<&str>| Ok(Page::<Account> { entries: vec![], next: Some("1".into()) });
        assert!(matches!(all_pages(endless, plenty_of_time()).await, Err(NotListed::Endless)));
    }
}
