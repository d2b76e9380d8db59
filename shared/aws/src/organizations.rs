//! Organizations: which accounts there are, and the units they are in. Reads only.

use aws_config::SdkConfig;
use aws_sdk_organizations::Client;
use aws_sdk_organizations::types::{self, AccountState, AccountStatus};
use keynudge_core::accounts::Account;
use keynudge_core::failure::CallFailed;
use keynudge_core::ids::{AccountName, UnitId};
use keynudge_core::ports::{Organization, Page};

use crate::failure::{Unusable, call_failed, unusable};

/// The largest page Organizations serves (Organizations API, `MaxResults`).
const MAX_RESULTS: i32 = 20;

/// The organization of one account, which is its management account or a delegated administrator: nobody else is told.
#[derive(Debug, Clone)]
pub struct Organizations {
    client: Client,
}

impl Organizations {
    /// The organization that `config`'s credentials belong to.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }
}

/// Of the accounts, only those that are active: nobody signs in to any other.
impl Organization for Organizations {
    async fn accounts_page(
        &self,
        unit: Option<&UnitId>,
        token: Option<&str>,
    ) -> Result<Page<Account>, CallFailed> {
        let token = token.map(str::to_owned);
        let (call, accounts, next) = match unit {
            None => {
                const CALL: &str = "organizations:ListAccounts";
                let page = self.client.list_accounts().max_results(MAX_RESULTS).set_next_token(token);
                let page = page.send().await.map_err(|error| call_failed(CALL, error))?;
                (CALL, page.accounts, page.next_token)
            }
            Some(unit) => {
                const CALL: &str = "organizations:ListAccountsForParent";
                let page = self.client.list_accounts_for_parent().parent_id(unit.as_str());
                let page = page.max_results(MAX_RESULTS).set_next_token(token);
                let page = page.send().await.map_err(|error| call_failed(CALL, error))?;
                (CALL, page.accounts, page.next_token)
            }
        };
        let accounts = accounts.unwrap_or_default().into_iter().map(account);
        let accounts = accounts.filter_map(Result::transpose).collect::<Result<_, _>>();
        Ok(Page { entries: accounts.map_err(|error| unusable(call, error))?, next })
    }

    async fn units_page(&self, unit: &UnitId, token: Option<&str>) -> Result<Page<UnitId>, CallFailed> {
        const CALL: &str = "organizations:ListOrganizationalUnitsForParent";
        let page = self
            .client
            .list_organizational_units_for_parent()
            .parent_id(unit.as_str())
            .max_results(MAX_RESULTS)
            .set_next_token(token.map(str::to_owned))
            .send()
            .await
            .map_err(|error| call_failed(CALL, error))?;
        let units = page.organizational_units.unwrap_or_default().into_iter();
        let units = units.map(|unit| Ok(unit.id.ok_or(Unusable::Missing("Id"))?.try_into()?));
        let units = units.collect::<Result<_, _>>().map_err(|error| unusable(CALL, error))?;
        Ok(Page { entries: units, next: page.next_token })
    }
}

/// The account, if it is active.
fn account(account: types::Account) -> Result<Option<Account>, Unusable> {
    if !is_active(&account)? {
        return Ok(None);
    }
    let id = account.id.ok_or(Unusable::Missing("Id"))?.try_into()?;
    let name = account.name.and_then(|name| AccountName::try_from(name).ok());
    Ok(Some(Account { id, name }))
}

/// `State` took the place of `Status`, which AWS retired in September 2026; endpoints other than AWS's may have only the
/// latter.
fn is_active(account: &types::Account) -> Result<bool, Unusable> {
    match (&account.state, &account.status) {
        (Some(state), _) => Ok(*state == AccountState::Active),
        (None, Some(status)) => Ok(*status == AccountStatus::Active),
        (None, None) => Err(Unusable::Missing("State")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_config::Region;
    use aws_smithy_http_client::test_util::StaticReplayClient;
    use keynudge_core::failure::FailureClass;
    use serde_json::{Value, json};

    use crate::replay::{answers, config, loader, requests};

    async fn organization(client: &StaticReplayClient) -> Organizations {
        Organizations::new(&config(client.clone()).await)
    }

    fn unit() -> UnitId {
        "ou-ab12-11111111".parse().unwrap()
    }

    fn ids(page: &Page<Account>) -> Vec<&str> {
        page.entries.iter().map(|account| account.id.as_str()).collect()
    }

    /// The page that an answer comes to.
    async fn accounts(answer: Value) -> Result<Page<Account>, CallFailed> {
        organization(&answers([(200, answer.to_string())])).await.accounts_page(None, None).await
    }

    #[tokio::test]
    async fn accounts_come_in_pages_of_20_of_the_whole_organization_or_of_one_unit() {
        let account = |id: &str| json!({"Id": id, "Name": "shop", "State": "ACTIVE"});
        let client = answers([
            (200, json!({"Accounts": [account("111111111111")], "NextToken": "t1"}).to_string()),
            (200, json!({"Accounts": [account("222222222222")]}).to_string()),
            (200, json!({"Accounts": [account("333333333333")], "NextToken": "t2"}).to_string()),
        ]);
        let organization = organization(&client).await;
        let first = organization.accounts_page(None, None).await.unwrap();
        assert_eq!((ids(&first), first.next.as_deref()), (vec!["111111111111"], Some("t1")));
        assert_eq!(first.entries[0].name, Some("shop".parse().unwrap()));
        let last = organization.accounts_page(None, Some("t1")).await.unwrap();
        assert_eq!((ids(&last), last.next.as_deref()), (vec!["222222222222"], None));
        let of_unit = organization.accounts_page(Some(&unit()), Some("t")).await.unwrap();
        assert_eq!((ids(&of_unit), of_unit.next.as_deref()), (vec!["333333333333"], Some("t2")));

        let bodies = requests(&client).into_iter().map(|(_, body)| serde_json::from_str(&body).unwrap());
        let expected = [
            json!({"MaxResults": 20}),
            json!({"MaxResults": 20, "NextToken": "t1"}),
            json!({"MaxResults": 20, "NextToken": "t", "ParentId": "ou-ab12-11111111"}),
        ];
        assert_eq!(bodies.collect::<Vec<Value>>(), expected);
    }

    #[tokio::test]
    async fn units_come_in_pages_of_20() {
        let answer = json!({"OrganizationalUnits": [{"Id": "ou-ab12-22222222"}], "NextToken": "t1"});
        let client = answers([(200, answer.to_string()), (200, "{}".to_owned())]);
        let organization = organization(&client).await;
        let page = organization.units_page(&unit(), None).await.unwrap();
        let below = "ou-ab12-22222222".parse().unwrap();
        assert_eq!(page, Page { entries: vec![below], next: Some("t1".to_owned()) });
        let last = organization.units_page(&unit(), Some("t1")).await.unwrap();
        assert_eq!(last, Page { entries: vec![], next: None });
        let body: Value = serde_json::from_str(&requests(&client)[1].1).unwrap();
        let expected = json!({"ParentId": "ou-ab12-11111111", "MaxResults": 20, "NextToken": "t1"});
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn only_active_accounts_count_whichever_way_that_is_said() {
        let answer = json!({"Accounts": [
            {"Id": "111111111111", "State": "ACTIVE"},
            {"Id": "222222222222", "Status": "ACTIVE"},
            {"Id": "333333333333", "State": "ACTIVE", "Status": "SUSPENDED"},
            {"Id": "444444444444", "State": "PENDING_CLOSURE", "Status": "ACTIVE"},
            {"Id": "555555555555", "State": "CLOSED"},
            {"Id": "666666666666", "Status": "SUSPENDED"},
            {"Id": "777777777777", "State": "BRAND_NEW"},
        ]});
        let page = accounts(answer).await.unwrap();
        assert_eq!(ids(&page), ["111111111111", "222222222222", "333333333333"]);
    }

    #[tokio::test]
    async fn an_empty_page_with_a_token_leads_on() {
        for answer in [json!({"NextToken": "t1"}), json!({"Accounts": [], "NextToken": "t1"})] {
            let page = accounts(answer).await.unwrap();
            assert_eq!((page.entries.len(), page.next.as_deref()), (0, Some("t1")));
        }
    }

    #[tokio::test]
    async fn no_account_is_left_out_because_it_cannot_be_read() {
        for account in [
            json!({"State": "ACTIVE"}),
            json!({"Id": "not an account", "State": "ACTIVE"}),
            json!({"Id": "111111111111"}),
        ] {
            let error = accounts(json!({"Accounts": [account]})).await.unwrap_err();
            assert_eq!(format!("{error:?}"), "organizations:ListAccounts failed: unusable answer (Retry)");
        }
        let units = answers([(200, json!({"OrganizationalUnits": [{"Name": "shop"}]}).to_string())]);
        let error = organization(&units).await.units_page(&unit(), None).await.unwrap_err();
        assert_eq!(error.code, "unusable answer");
    }

    #[tokio::test]
    async fn a_name_that_is_no_line_is_none() {
        let answer = json!({"Accounts": [
            {"Id": "111111111111", "State": "ACTIVE", "Name": "two\nlines"},
            {"Id": "222222222222", "State": "ACTIVE"},
        ]});
        let page = accounts(answer).await.unwrap();
        assert_eq!(ids(&page), ["111111111111", "222222222222"]);
        assert!(page.entries.iter().all(|account| account.name.is_none()));
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_is_for_an_operator_or_passes() {
        use FailureClass::{Operator, Retry};
        for (code, class, requests_made) in [
            ("AccessDeniedException", Operator, 1),
            ("AWSOrganizationsNotInUseException", Operator, 1),
            ("ParentNotFoundException", Operator, 1),
            ("TooManyRequestsException", Retry, 3),
            ("ServiceException", Retry, 1),
        ] {
            let answer = (400, json!({"__type": code, "Message": "jane@example.com"}).to_string());
            let client = answers(vec![answer; 3]);
            let error = organization(&client).await.accounts_page(Some(&unit()), None).await.unwrap_err();
            let call = "organizations:ListAccountsForParent";
            assert_eq!((error.call, error.code.as_str(), error.class), (call, code, class));
            assert_eq!(requests(&client).len(), requests_made, "{code}");
        }
    }

    #[tokio::test]
    async fn an_organization_is_asked_where_its_partition_has_it() {
        for (region, endpoint) in [
            ("eu-west-1", "https://organizations.us-east-1.amazonaws.com/"),
            ("us-gov-east-1", "https://organizations.us-gov-west-1.amazonaws.com/"),
            ("cn-north-1", "https://organizations.cn-northwest-1.amazonaws.com.cn/"),
        ] {
            let client = answers([(200, "{}")]);
            let config = loader().region(Region::new(region)).http_client(client.clone()).load().await;
            Organizations::new(&config).accounts_page(None, None).await.unwrap();
            assert_eq!(requests(&client)[0].0, endpoint);
        }
    }
}
