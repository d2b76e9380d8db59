//! The simulated IAM over HTTP, as the functions see it.

mod credential_report;
mod denied_users;
mod roles;

use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::directory::{AccessKey, LastUse, Tag, User};
use super::{Calls, Options, SimulatedIam, TokenBucket};
use crate::Error;
use crate::aws::{Account, Client, IAM};
use crate::deployment::Members;
use crate::simulated_clock::SimulatedClock;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListUsersResponse {
    list_users_result: ListUsersResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListUsersResult {
    users: Members<UserElement>,
    is_truncated: bool,
    marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UserElement {
    user_name: String,
}

struct Testbed {
    iam: SimulatedIam,
    client: Client,
}

impl Testbed {
    fn with(options: &Options, users: Vec<User>) -> Self {
        let iam = SimulatedIam::start(options).unwrap();
        let account = Account::nth(1);
        iam.set_users(&account, users);
        let client = Client::new(iam.endpoint(), account);
        Self { iam, client }
    }

    async fn list_users(&self, parameters: &[(&str, &str)]) -> crate::Result<ListUsersResult> {
        let response: ListUsersResponse = self.client.query(IAM, "ListUsers", parameters).await?;
        Ok(response.list_users_result)
    }

    /// The answer as it is on the wire.
    async fn raw(&self, parameters: &[(&str, &str)]) -> (u16, String) {
        let request = crate::aws::http_client().post(self.iam.endpoint()).form(parameters);
        let credential = format!("AWS4-HMAC-SHA256 Credential={}/x", self.client.account());
        let answer = request.header("authorization", credential).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn user(name: &str, path: &str) -> User {
    User {
        name: name.to_owned(),
        path: path.to_owned(),
        id: format!("AIDA{name}"),
        created_at: at("2024-05-06T07:08:09Z"),
        password_last_used: None,
        password_deleted: false,
        tags: Vec::new(),
        keys: Vec::new(),
    }
}

fn users(count: usize) -> Vec<User> {
    (0..count).map(|n| user(&format!("user-{n:05}"), "/")).collect()
}

fn refused(result: crate::Result<ListUsersResult>) -> (String, String) {
    match result.map(|_| ()) {
        Err(Error::Refused { code, message, .. }) => (code, message),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn pages_are_as_long_as_asked_and_lead_to_every_user_once() {
    let testbed = Testbed::with(&Options::default(), users(2_345));
    let mut names = Vec::new();
    let mut lengths = Vec::new();
    let mut marker = None;
    loop {
        let mut parameters = vec![("MaxItems", "1000")];
        parameters.extend(marker.as_deref().map(|marker| ("Marker", marker)));
        let page = testbed.list_users(&parameters).await.unwrap();
        assert_eq!(page.is_truncated, page.marker.is_some());
        lengths.push(page.users.member.len());
        names.extend(page.users.member.into_iter().map(|user| user.user_name));
        let Some(next) = page.marker else { break };
        marker = Some(next);
    }
    assert_eq!(lengths, [1000, 1000, 345]);
    let expected: Vec<String> = users(2_345).into_iter().map(|user| user.name).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_page_holds_a_hundred_users_unless_asked_otherwise() {
    let testbed = Testbed::with(&Options::default(), users(101));
    let page = testbed.list_users(&[]).await.unwrap();
    assert_eq!((page.users.member.len(), page.is_truncated), (100, true));
}

#[tokio::test]
async fn a_filtered_page_may_be_empty_and_still_not_the_last() {
    let everybody = vec![user("a", "/robots/"), user("b", "/staff/")];
    let testbed = Testbed::with(&Options::default(), everybody);
    let parameters = [("MaxItems", "1"), ("PathPrefix", "/staff/")];
    let page = testbed.list_users(&parameters).await.unwrap();
    assert_eq!((page.users.member.len(), page.is_truncated), (0, true));
}

#[tokio::test]
async fn bad_input_is_a_validation_error() {
    let testbed = Testbed::with(&Options::default(), users(1));
    for bad in [
        ("MaxItems", "0"),
        ("MaxItems", "1001"),
        ("MaxItems", "many"),
        ("Marker", "made-up"),
        ("Marker", "page-from-2"),
        ("PathPrefix", "staff"),
    ] {
        let (code, _) = refused(testbed.list_users(&[bad]).await);
        assert_eq!(code, "ValidationError", "{bad:?}");
    }
}

#[tokio::test]
async fn an_account_sees_its_own_users_only() {
    let testbed = Testbed::with(&Options::default(), users(3));
    let other = Client::new(testbed.iam.endpoint(), Account::nth(2));
    let response: ListUsersResponse = other.query(IAM, "ListUsers", &[]).await.unwrap();
    assert!(response.list_users_result.users.member.is_empty());
}

#[tokio::test]
async fn users_keys_tags_and_last_use_are_written_as_iam_writes_them() {
    let mut ada = user("ada", "/staff/");
    ada.password_last_used = Some(at("2026-01-02T03:04:05Z"));
    ada.tags.push(Tag { key: "team".to_owned(), value: "Zürich & Köln".to_owned() });
    for (id, active) in [("AKIAUSED", true), ("AKIANEVERUSED", false)] {
        let created_at = at("2025-05-06T07:08:09Z");
        ada.keys.push(AccessKey { id: id.to_owned(), active, created_at, last_used: None });
    }
    ada.keys[0].last_used = Some(LastUse {
        at: at("2026-02-03T04:05:06Z"),
        region: "eu-central-1".to_owned(),
        service: "s3".to_owned(),
    });
    let testbed = Testbed::with(&Options::default(), vec![ada]);

    let mut wire = Vec::new();
    for parameters in [
        [("Action", "ListUsers"), ("MaxItems", "10")],
        [("Action", "GetUser"), ("UserName", "ada")],
        [("Action", "ListAccessKeys"), ("UserName", "ada")],
        [("Action", "ListUserTags"), ("UserName", "ada")],
        [("Action", "GetAccessKeyLastUsed"), ("AccessKeyId", "AKIAUSED")],
        [("Action", "GetAccessKeyLastUsed"), ("AccessKeyId", "AKIANEVERUSED")],
        [("Action", "ListAccessKeys"), ("UserName", "nobody")],
        [("Action", "ListAccessKeys"), ("UserName", "")],
        [("Action", "DeleteUser"), ("UserName", "ada")],
    ] {
        let (status, xml) = testbed.raw(&parameters).await;
        wire.push(format!("{status} {}", xml.replace("><", ">\n<")));
    }
    insta::assert_snapshot!(wire.join("\n\n"));
}

#[tokio::test]
async fn a_drained_bucket_throttles_as_iam_does_and_each_account_has_its_own() {
    let few = NonZeroU32::new(5).unwrap();
    let limit = Some(TokenBucket { rate: NonZeroU32::MIN, burst: few });
    let testbed =
        Testbed::with(&Options { limit, clock: SimulatedClock::standing(), ..Options::default() }, users(1));
    for _ in 0..5 {
        testbed.list_users(&[]).await.unwrap();
    }
    let (code, message) = refused(testbed.list_users(&[]).await);
    assert_eq!((code.as_str(), message.as_str()), ("Throttling", "Rate exceeded"));
    assert_eq!(testbed.raw(&[("Action", "ListUsers")]).await.0, 400);

    let other = Client::new(testbed.iam.endpoint(), Account::nth(2));
    let answered = other.query::<ListUsersResponse>(IAM, "ListUsers", &[]).await;
    assert!(answered.is_ok());
    let calls = testbed.iam.calls(testbed.client.account());
    assert_eq!(calls["ListUsers"], Calls { answered: 5, throttled: 2 });
}
