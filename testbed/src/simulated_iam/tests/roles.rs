//! STS: who gets into which account, and for how long.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{ListUsersResponse, users};
use crate::aws::{Account, Client, IAM, STS};
use crate::simulated_clock::SimulatedClock;
use crate::simulated_iam::account::{Role, Settings};
use crate::simulated_iam::{Calls, Options, SimulatedIam, TokenBucket};
use crate::{Error, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;

const MEMBER: &str = "arn:aws:iam::100000000002:role/keynudge-member";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResponse {
    assume_role_result: AssumeRoleResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResult {
    credentials: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
}

/// An account with three users that lets the first account in, and the first account.
struct Testbed {
    iam: SimulatedIam,
    caller: Client,
    member: Account,
}

impl Testbed {
    fn with(options: &Options, settings: Settings) -> Self {
        let iam = SimulatedIam::start(options).unwrap();
        let [caller, member] = [1, 2].map(Account::nth);
        iam.set_users(&member, users(3));
        iam.set_account(&member, settings);
        Self { caller: Client::new(iam.endpoint(), caller), iam, member }
    }

    async fn assume(&self, parameters: &[(&str, &str)]) -> Result<String> {
        let named = [("RoleSessionName", "keynudge-test")];
        let response = self.caller.query(STS, "AssumeRole", &[&named, parameters].concat()).await;
        response.map(|answer: AssumeRoleResponse| answer.assume_role_result.credentials.access_key_id)
    }

    /// What is answered to a call with these credentials.
    async fn raw(&self, access_key_id: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        let credential =
            format!("AWS4-HMAC-SHA256 Credential={access_key_id}/20260101/us-east-1/iam/aws4_request");
        let request = crate::aws::http_client().post(self.iam.endpoint()).form(parameters);
        let answer = request.header("authorization", credential).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

fn letting_in(external_id: Option<&str>) -> Settings {
    let external_id = external_id.map(str::to_owned);
    let role = Role { name: "keynudge-member".to_owned(), external_id, trusts: Account::nth(1) };
    Settings { role: Some(role), ..Settings::default() }
}

fn code(result: Result<String>) -> String {
    match result {
        Err(Error::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_role_leads_to_the_users_of_its_account() {
    let testbed = Testbed::with(&Options::default(), letting_in(Some("secret")));
    let id = testbed.assume(&[("RoleArn", MEMBER), ("ExternalId", "secret")]).await.unwrap();
    assert_eq!(id.len(), 20, "{id}");
    let (status, xml) = testbed.raw(&id, &[("Action", "ListUsers")]).await;
    let answer: ListUsersResponse = quick_xml::de::from_str(&xml).unwrap();
    assert_eq!((status, answer.list_users_result.users.member.len()), (200, 3));
    let calls = testbed.iam.calls(&testbed.member);
    let once = Calls { answered: 1, throttled: 0 };
    assert_eq!((calls["AssumeRole"], calls["ListUsers"]), (once, once));
}

#[tokio::test]
async fn whoever_does_not_fit_the_role_is_denied_it() {
    let testbed = Testbed::with(&Options::default(), letting_in(Some("secret")));
    let stranger = Client::new(testbed.iam.endpoint(), Account::nth(3));
    let right = [("RoleArn", MEMBER), ("RoleSessionName", "s1"), ("ExternalId", "secret")];
    let denied = stranger.query::<IgnoredAny>(STS, "AssumeRole", &right).await.unwrap_err();
    assert!(denied.to_string().contains("AccessDenied"), "{denied}");
    for (arn, external_id) in [
        (MEMBER, "guessed"),
        ("arn:aws:iam::100000000002:role/other", "secret"),
        ("arn:aws:iam::100000000009:role/keynudge-member", "secret"),
    ] {
        let denied = testbed.assume(&[("RoleArn", arn), ("ExternalId", external_id)]).await;
        assert_eq!(code(denied), "AccessDenied", "{arn} {external_id}");
    }
    assert_eq!(code(testbed.assume(&[("RoleArn", MEMBER)]).await), "AccessDenied");
}

#[tokio::test]
async fn credentials_that_are_over_or_made_up_are_refused() {
    let options = Options { session: Duration::ZERO, ..Options::default() };
    let testbed = Testbed::with(&options, letting_in(None));
    let expired = testbed.assume(&[("RoleArn", MEMBER)]).await.unwrap();
    for (id, code) in [(&*expired, "ExpiredToken"), ("ASIA1000000000027777", "InvalidClientTokenId")] {
        let (status, xml) = testbed.raw(id, &[("Action", "ListUsers")]).await;
        assert_eq!(status, 403, "{xml}");
        assert!(xml.contains(&format!("<Code>{code}</Code>")), "{xml}");
    }
}

#[tokio::test]
async fn an_account_may_have_a_bucket_of_its_own() {
    let limit = TokenBucket { rate: NonZeroU32::MIN, burst: NonZeroU32::MIN };
    let settings = Settings { limit: Some(limit), ..Settings::default() };
    let options = Options { clock: SimulatedClock::standing(), ..Options::default() };
    let testbed = Testbed::with(&options, settings);
    let member = Client::new(testbed.iam.endpoint(), testbed.member.clone());
    for client in [&testbed.caller, &testbed.caller, &member] {
        client.query::<IgnoredAny>(IAM, "ListUsers", &[]).await.unwrap();
    }
    let throttled = member.query::<IgnoredAny>(IAM, "ListUsers", &[]).await.unwrap_err();
    assert!(throttled.to_string().contains("Throttling"), "{throttled}");
}

#[tokio::test]
async fn what_is_denied_is_refused_as_iam_does_and_the_rest_is_answered() {
    let settings = Settings { denied: ["ListUsers".to_owned()].into(), ..letting_in(None) };
    let testbed = Testbed::with(&Options::default(), settings);
    let member = testbed.member.as_str();
    let (status, xml) = testbed.raw(member, &[("Action", "ListUsers")]).await;
    assert_eq!(status, 403);
    assert!(xml.contains("<Code>AccessDenied</Code>") && xml.contains("perform: iam:ListUsers "), "{xml}");
    assert_eq!(testbed.raw(member, &[("Action", "ListAccountAliases")]).await.0, 200);
}

#[tokio::test]
async fn roles_and_aliases_are_written_as_aws_writes_them() {
    let alias = Some("corp-payments".to_owned());
    let testbed = Testbed::with(&Options::default(), Settings { alias, ..letting_in(None) });
    let sts = [("Version", "2011-06-15"), ("Action", "AssumeRole"), ("RoleSessionName", "s1")];
    let mut wire = Vec::new();
    for (caller, parameters) in [
        ("100000000001", [&sts[..], &[("RoleArn", MEMBER)]].concat()),
        ("100000000003", [&sts[..], &[("RoleArn", MEMBER)]].concat()),
        ("100000000001", sts.to_vec()),
        ("100000000001", vec![("Version", "2011-06-15"), ("Action", "GetFederationToken")]),
        ("100000000002", vec![("Version", "2011-06-15"), ("Action", "GetCallerIdentity")]),
        ("100000000002", vec![("Action", "ListAccountAliases")]),
        ("100000000002", vec![("Action", "GetAccountSummary")]),
        ("100000000001", vec![("Action", "ListAccountAliases")]),
    ] {
        let (status, xml) = testbed.raw(caller, &parameters).await;
        wire.push(format!("{status} {}", without_expiration(&xml).replace("><", ">\n<")));
    }
    insta::assert_snapshot!(wire.join("\n\n"));
}

/// The answer without the one thing in it that is never the same.
fn without_expiration(xml: &str) -> String {
    match (xml.find("<Expiration>"), xml.find("</Expiration>")) {
        (Some(start), Some(end)) => format!("{}<Expiration>{}", &xml[..start], &xml[end..]),
        _ => xml.to_owned(),
    }
}
