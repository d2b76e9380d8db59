//! The simulated Organizations over HTTP, as the functions see it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Member, Organization, ROOT, State, Unit};
use crate::aws::{Account, Client, ORGANIZATIONS};
use crate::simulated_iam::{Options, SimulatedIam};
use crate::{Error, Result};

const PRODUCTION: &str = "ou-ab12-11111111";
const PAYMENTS: &str = "ou-ab12-22222222";

struct Testbed {
    iam: SimulatedIam,
}

impl Testbed {
    fn with(organization: Organization) -> Self {
        let iam = SimulatedIam::start(&Options::default()).unwrap();
        iam.add_organization(organization);
        Self { iam }
    }

    async fn ask(&self, caller: u32, operation: &str, request: &Value) -> Result<Value> {
        let client = Client::new(self.iam.endpoint(), Account::nth(caller));
        client.json(ORGANIZATIONS, operation, request).await
    }

    /// The ids on all pages, and how long the pages were.
    async fn all(&self, operation: &str, list: &str, mut request: Value) -> (Vec<String>, Vec<usize>) {
        let (mut ids, mut lengths) = (Vec::new(), Vec::new());
        loop {
            let page = self.ask(1, operation, &request).await.unwrap();
            let entries = page[list].as_array().unwrap();
            lengths.push(entries.len());
            ids.extend(entries.iter().map(|entry| entry["Id"].as_str().unwrap().to_owned()));
            match &page["NextToken"] {
                Value::Null => return (ids, lengths),
                token => request["NextToken"] = token.clone(),
            }
        }
    }
}

fn members(count: u32) -> Vec<Member> {
    (1..=count).map(|n| Member::new(Account::nth(n), &format!("Account {n}"))).collect()
}

fn ids(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| member.account.to_string()).collect()
}

/// With members by their names. Whether `serde_json` has them like that or as they came depends on what else is built.
fn in_order(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| (name, in_order(value)));
            members.collect::<BTreeMap<_, _>>().into_iter().collect()
        }
        Value::Array(elements) => elements.into_iter().map(in_order).collect(),
        other => other,
    }
}

fn code(result: Result<Value>) -> String {
    match result {
        Err(Error::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn pages_lead_to_every_account_once_however_short_they_are() {
    let usual = Organization::of(members(45));
    let short = Organization { page_max: 17, begins_empty: true, ..usual.clone() };
    for (organization, expected) in [(usual, vec![20, 20, 5]), (short, vec![0, 17, 17, 11])] {
        let testbed = Testbed::with(organization);
        let (found, lengths) = testbed.all("ListAccounts", "Accounts", json!({})).await;
        assert_eq!((found, lengths), (ids(&members(45)), expected));
    }
}

#[tokio::test]
async fn a_unit_shows_what_is_directly_in_it() {
    let mut accounts = members(4);
    accounts[1].unit = PRODUCTION.to_owned();
    accounts[2].unit = PAYMENTS.to_owned();
    accounts[3].unit = PAYMENTS.to_owned();
    let units = vec![Unit::new(PRODUCTION, ROOT, "Production"), Unit::new(PAYMENTS, PRODUCTION, "Payments")];
    let testbed = Testbed::with(Organization { units, ..Organization::of(accounts.clone()) });
    for (parent, units, accounts) in [
        (ROOT, &[PRODUCTION][..], &accounts[..1]),
        (PRODUCTION, &[PAYMENTS][..], &accounts[1..2]),
        (PAYMENTS, &[], &accounts[2..]),
    ] {
        let request = json!({ "ParentId": parent, "MaxResults": 1 });
        let (found, _) =
            testbed.all("ListOrganizationalUnitsForParent", "OrganizationalUnits", request.clone()).await;
        assert_eq!(found, units, "{parent}");
        let (found, _) = testbed.all("ListAccountsForParent", "Accounts", request).await;
        assert_eq!(found, ids(accounts), "{parent}");
    }
}

#[tokio::test]
async fn the_management_account_and_its_delegates_may_ask_and_nobody_else() {
    let delegated_administrators = vec![Account::nth(2)];
    let organization = Organization { delegated_administrators, ..Organization::of(members(3)) };
    let testbed = Testbed::with(organization);
    for caller in [1, 2] {
        testbed.ask(caller, "ListAccounts", &json!({})).await.unwrap();
    }
    assert_eq!(code(testbed.ask(3, "ListAccounts", &json!({})).await), "AccessDeniedException");
    assert_eq!(code(testbed.ask(4, "ListAccounts", &json!({})).await), "AWSOrganizationsNotInUseException");
    assert_eq!(testbed.iam.calls(&Account::nth(3))["ListAccounts"].answered, 1);
}

#[tokio::test]
async fn what_is_not_there_or_cannot_be_is_refused() {
    let testbed = Testbed::with(Organization::of(members(1)));
    let elsewhere = json!({ "ParentId": PAYMENTS });
    let refused = testbed.ask(1, "ListAccountsForParent", &elsewhere).await;
    assert_eq!(code(refused), "ParentNotFoundException");
    for bad in [json!({ "MaxResults": 21 }), json!({ "MaxResults": 0 }), json!({ "NextToken": "made-up" })] {
        let refused = testbed.ask(1, "ListAccounts", &bad).await;
        assert_eq!(code(refused), "InvalidInputException", "{bad}");
    }
}

#[tokio::test]
async fn accounts_and_units_are_written_as_organizations_writes_them() {
    let mut accounts = members(4);
    for (member, state) in
        accounts.iter_mut().skip(1).zip([State::Suspended, State::PendingClosure, State::Closed])
    {
        member.state = state;
    }
    let units = vec![Unit::new(PRODUCTION, ROOT, "Production")];
    let testbed = Testbed::with(Organization { units, ..Organization::of(accounts) });
    let mut wire = Vec::new();
    for (operation, request) in [
        ("ListAccounts", json!({ "MaxResults": 3 })),
        ("ListAccounts", json!({ "NextToken": "entries-from-3" })),
        ("ListOrganizationalUnitsForParent", json!({ "ParentId": ROOT })),
    ] {
        let answer = testbed.ask(1, operation, &request).await.unwrap();
        wire.push(serde_json::to_string_pretty(&in_order(answer)).unwrap());
    }
    insta::assert_snapshot!(wire.join("\n\n"));
}
