//! IAM: an account's users, and what is known of their keys. Reads only.

use aws_config::SdkConfig;
use aws_sdk_iam::Client;
use aws_sdk_iam::config::Builder;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iam::operation::get_credential_report::GetCredentialReportError;
use aws_sdk_iam::types;
use chrono::{DateTime, Utc};
use keynudge_core::failure::CallFailed;
use keynudge_core::ids::{AccessKeyId, AccountName, Line, UserName};
use keynudge_core::keys::{AccessKey, KeyStatus, LastUsed};
use keynudge_core::messages::User;
use keynudge_core::ports::{
    AccountAliases, CredentialReports, KeyStore, ListedUser, RawReport, ReportState, UnreadableUser,
    UserDirectory, UserPage,
};
use keynudge_core::tags::Tags;

use crate::failure::{Unusable, call_failed, unusable};

/// The largest page IAM serves; without it, pages have 100 entries (IAM API, `MaxItems`).
const MAX_ITEMS: i32 = 1_000;

/// How many pages of one user's keys or tags are read. IAM allows two keys and 50 tags, so one page holds them all;
/// the bound is for an endpoint that always claims to have more.
const MAX_PAGES: usize = 10;

/// The IAM of one account.
#[derive(Debug, Clone)]
pub struct Iam {
    client: Client,
}

impl Iam {
    /// The IAM that `config`'s credentials belong to.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self::with(Builder::from(config))
    }

    /// The IAM that a client set up like this asks.
    pub(crate) fn with(config: Builder) -> Self {
        Self { client: Client::from_conf(config.build()) }
    }
}

impl Iam {
    /// How many users the account has, to tell how far through them one is.
    pub async fn user_count(&self) -> Result<usize, CallFailed> {
        const CALL: &str = "iam:GetAccountSummary";
        let answer = self.client.get_account_summary().send().await;
        let summary = answer.map_err(|error| call_failed(CALL, error))?.summary_map.unwrap_or_default();
        let users = summary.get(&types::SummaryKeyType::Users).and_then(|users| usize::try_from(*users).ok());
        users.ok_or_else(|| unusable(CALL, Unusable::Missing("Users")))
    }

    /// The user of this name; `None` if the account has none.
    pub async fn user(&self, name: &UserName) -> Result<Option<ListedUser>, CallFailed> {
        const CALL: &str = "iam:GetUser";
        let answer = unless_gone(CALL, self.client.get_user().user_name(name.as_str()).send().await)?;
        let Some(answer) = answer else {
            return Ok(None);
        };
        let user = answer.user.ok_or_else(|| unusable(CALL, Unusable::Missing("User")))?;
        listed_user(user).map(Some).map_err(|error| unusable(CALL, error))
    }
}

impl UserDirectory for Iam {
    async fn users_page(&self, marker: Option<&str>) -> Result<UserPage, CallFailed> {
        const CALL: &str = "iam:ListUsers";
        let page = self
            .client
            .list_users()
            .max_items(MAX_ITEMS)
            .set_marker(marker.map(str::to_owned))
            .send()
            .await
            .map_err(|error| call_failed(CALL, error))?;
        let (mut users, mut unreadable) = (Vec::with_capacity(page.users.len()), Vec::new());
        for user in page.users {
            let (name, id) = (user.user_name.clone(), user.user_id.parse().ok());
            match listed_user(user) {
                Ok(user) => users.push(user),
                Err(error) => unreadable.push(UnreadableUser { name, id, problem: error.to_string() }),
            }
        }
        Ok(UserPage { users, unreadable, next: next_marker(CALL, page.is_truncated, page.marker)? })
    }
}

impl KeyStore for Iam {
    async fn access_keys(&self, user: &UserName) -> Result<Option<Vec<AccessKey>>, CallFailed> {
        const CALL: &str = "iam:ListAccessKeys";
        whole_list(CALL, async |marker| {
            let call = self.client.list_access_keys().user_name(user.as_str()).set_marker(marker);
            let Some(page) = unless_gone(CALL, call.send().await)? else {
                return Ok(None);
            };
            let keys = page.access_key_metadata.iter().map(access_key).collect::<Result<Vec<_>, _>>();
            let keys = keys.map_err(|error| unusable(CALL, error))?;
            Ok(Some((keys, next_marker(CALL, page.is_truncated, page.marker)?)))
        })
        .await
    }

    async fn tags(&self, user: &UserName) -> Result<Option<Tags>, CallFailed> {
        const CALL: &str = "iam:ListUserTags";
        let tags = whole_list(CALL, async |marker| {
            let call = self.client.list_user_tags().user_name(user.as_str()).set_marker(marker);
            let Some(page) = unless_gone(CALL, call.send().await)? else {
                return Ok(None);
            };
            let tags = page.tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
            Ok(Some((tags, next_marker(CALL, page.is_truncated, page.marker)?)))
        })
        .await?;
        Ok(tags.map(Tags::from_iter))
    }

    async fn last_used(&self, key: &AccessKeyId) -> Result<LastUsed, CallFailed> {
        const CALL: &str = "iam:GetAccessKeyLastUsed";
        let answer = self
            .client
            .get_access_key_last_used()
            .access_key_id(key.as_str())
            .send()
            .await
            .map_err(|error| call_failed(CALL, error))?;
        let last_used = answer
            .access_key_last_used
            .ok_or_else(|| unusable(CALL, Unusable::Missing("AccessKeyLastUsed")))?;
        last_use(&last_used).map_err(|error| unusable(CALL, error))
    }
}

impl AccountAliases for Iam {
    async fn alias(&self) -> Result<Option<AccountName>, CallFailed> {
        const CALL: &str = "iam:ListAccountAliases";
        let aliases = whole_list(CALL, async |marker| {
            let page = self.client.list_account_aliases().set_marker(marker).send().await;
            let page = page.map_err(|error| call_failed(CALL, error))?;
            Ok(Some((page.account_aliases, next_marker(CALL, page.is_truncated, page.marker)?)))
        })
        .await?;
        Ok(aliases.and_then(|aliases| aliases.into_iter().next()?.try_into().ok()))
    }
}

impl CredentialReports for Iam {
    async fn generate_report(&self) -> Result<ReportState, CallFailed> {
        const CALL: &str = "iam:GenerateCredentialReport";
        let answer = self.client.generate_credential_report().send().await;
        let answer = answer.map_err(|error| call_failed(CALL, error))?;
        Ok(match answer.state {
            Some(types::ReportStateType::Complete) => ReportState::Complete,
            _ => ReportState::InProgress,
        })
    }

    async fn report(&self) -> Result<Option<RawReport>, CallFailed> {
        const CALL: &str = "iam:GetCredentialReport";
        match self.client.get_credential_report().send().await {
            Ok(answer) => {
                let content = answer.content.ok_or_else(|| unusable(CALL, Unusable::Missing("Content")))?;
                let generated_at = answer.generated_time.and_then(|at| instant(&at).ok());
                Ok(Some(RawReport { content: content.into_inner(), generated_at }))
            }
            Err(error) if error.as_service_error().is_some_and(has_no_report) => Ok(None),
            Err(error) => Err(call_failed(CALL, error)),
        }
    }
}

/// Whether IAM has no report to give: there was none, it is not ready, or it is more than four hours old.
fn has_no_report(error: &GetCredentialReportError) -> bool {
    error.is_credential_report_not_present_exception()
        || error.is_credential_report_not_ready_exception()
        || error.is_credential_report_expired_exception()
}

/// All entries of a list that one user's keys or tags make; `None` as soon as a page says the user is gone.
async fn whole_list<T>(
    call: &'static str,
    page: impl AsyncFn(Option<String>) -> Result<Option<(Vec<T>, Option<String>)>, CallFailed>,
) -> Result<Option<Vec<T>>, CallFailed> {
    let mut list = Vec::new();
    let mut marker = None;
    for _ in 0..MAX_PAGES {
        let Some((entries, next)) = page(marker).await? else {
            return Ok(None);
        };
        list.extend(entries);
        if next.is_none() {
            return Ok(Some(list));
        }
        marker = next;
    }
    Err(unusable(call, Unusable::Endless))
}

/// Turns the error of a user who does not exist (any more) into `None`.
fn unless_gone<T, E>(
    call: &'static str,
    answer: Result<T, SdkError<E, aws_sdk_iam::config::http::HttpResponse>>,
) -> Result<Option<T>, CallFailed>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code() == Some("NoSuchEntity") => Ok(None),
        Err(error) => Err(call_failed(call, error)),
    }
}

/// The marker of the next page. Only `IsTruncated` says whether there is one: pages may come short, even empty.
fn next_marker(
    call: &'static str,
    truncated: bool,
    marker: Option<String>,
) -> Result<Option<String>, CallFailed> {
    match (truncated, marker) {
        (false, _) => Ok(None),
        (true, Some(marker)) => Ok(Some(marker)),
        (true, None) => Err(unusable(call, Unusable::Missing("Marker"))),
    }
}

fn listed_user(user: types::User) -> Result<ListedUser, Unusable> {
    Ok(ListedUser {
        path: user.path,
        user: User {
            name: user.user_name.try_into()?,
            id: user.user_id.try_into()?,
            arn: user.arn.try_into()?,
            created_at: instant(&user.create_date)?,
            password_last_used: user.password_last_used.as_ref().map(instant).transpose()?,
        },
    })
}

fn access_key(key: &types::AccessKeyMetadata) -> Result<AccessKey, Unusable> {
    Ok(AccessKey {
        id: key.access_key_id.as_deref().ok_or(Unusable::Missing("AccessKeyId"))?.parse()?,
        status: match key.status.as_ref().ok_or(Unusable::Missing("Status"))? {
            types::StatusType::Active => KeyStatus::Active,
            _ => KeyStatus::Inactive,
        },
        created_at: instant(key.create_date.as_ref().ok_or(Unusable::Missing("CreateDate"))?)?,
    })
}

fn last_use(last_used: &types::AccessKeyLastUsed) -> Result<LastUsed, Unusable> {
    let Some(at) = &last_used.last_used_date else {
        return Ok(LastUsed::Never);
    };
    let line = |text: &str| Line::try_from(text.to_owned());
    Ok(LastUsed::At {
        at: instant(at)?,
        service: line(&last_used.service_name)?,
        region: line(&last_used.region)?,
    })
}

fn instant(date: &aws_sdk_iam::primitives::DateTime) -> Result<DateTime<Utc>, Unusable> {
    DateTime::from_timestamp(date.secs(), date.subsec_nanos()).ok_or(Unusable::Date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_http_client::test_util::{NeverClient, StaticReplayClient};
    use keynudge_core::failure::FailureClass;
    use keynudge_core::ids::UserId;

    use crate::replay::{answers, config, requests};

    const THROTTLED: (u16, &str) = (
        400,
        "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>\
         </ErrorResponse>",
    );
    const GONE: (u16, &str) = (
        404,
        "<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>The user with name jane cannot \
         be found.</Message></Error></ErrorResponse>",
    );
    const DENIED: (u16, &str) = (
        403,
        "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error>\
         </ErrorResponse>",
    );

    /// An answer to `action`, with `list` in it and, where there is more, a marker.
    fn page(action: &str, list: &str, marker: Option<&str>) -> (u16, String) {
        let more = marker.map_or("<IsTruncated>false</IsTruncated>".to_owned(), |marker| {
            format!("<IsTruncated>true</IsTruncated><Marker>{marker}</Marker>")
        });
        (200, format!("<{action}Response><{action}Result>{list}{more}</{action}Result></{action}Response>"))
    }

    fn users(names: &[&str]) -> String {
        let user = |name: &&str| {
            format!(
                "<member><Path>/people/</Path><UserName>{name}</UserName><UserId>AIDAAAAAAAAAAAAAAAAA</UserId>\
                 <Arn>arn:aws:iam::123456789012:user/people/{name}</Arn><CreateDate>2024-01-02T03:04:05Z</CreateDate>\
                 <PasswordLastUsed>2026-01-02T03:04:05Z</PasswordLastUsed></member>"
            )
        };
        format!("<Users>{}</Users>", names.iter().map(user).collect::<String>())
    }

    fn keys(keys: &[(&str, &str)]) -> String {
        let key = |(id, status): &(&str, &str)| {
            format!(
                "<member><UserName>jane</UserName><AccessKeyId>{id}</AccessKeyId><Status>{status}</Status>\
                 <CreateDate>2024-01-02T03:04:05Z</CreateDate></member>"
            )
        };
        format!("<AccessKeyMetadata>{}</AccessKeyMetadata>", keys.iter().map(key).collect::<String>())
    }

    async fn iam(client: &StaticReplayClient) -> Iam {
        Iam::new(&config(client.clone()).await)
    }

    fn jane_id() -> UserId {
        "AIDAAAAAAAAAAAAAAAAA".parse().unwrap()
    }

    fn jane() -> UserName {
        "jane".parse().unwrap()
    }

    fn at(instant: &str) -> DateTime<Utc> {
        instant.parse().unwrap()
    }

    #[tokio::test]
    async fn a_page_has_up_to_1000_users_and_leads_to_the_next() {
        let client =
            answers([page("ListUsers", &users(&["jane"]), Some("m1")), page("ListUsers", &users(&[]), None)]);
        let iam = iam(&client).await;
        let first = iam.users_page(None).await.unwrap();
        assert_eq!(first.next.as_deref(), Some("m1"));
        let [ListedUser { user, path }] = first.users.try_into().unwrap();
        assert_eq!((user.name.as_str(), path.as_str()), ("jane", "/people/"));
        assert_eq!(user.arn.as_str(), "arn:aws:iam::123456789012:user/people/jane");
        assert_eq!(user.created_at, at("2024-01-02T03:04:05Z"));
        assert_eq!(user.password_last_used, Some(at("2026-01-02T03:04:05Z")));

        let second = iam.users_page(Some("m1")).await.unwrap();
        assert_eq!((second.users.len(), second.next), (0, None));
        let [(uri, first), (_, second)] = requests(&client).try_into().unwrap();
        assert_eq!(uri, "https://iam.amazonaws.com/");
        assert!(first.contains("Action=ListUsers") && first.contains("MaxItems=1000"), "{first}");
        assert!(!first.contains("Marker") && second.contains("Marker=m1"), "{second}");
    }

    #[tokio::test]
    async fn a_marker_without_truncation_is_the_end_and_truncation_without_a_marker_is_an_error() {
        let marker_left = "<Users/><Marker>m1</Marker>";
        let client = answers([
            page("ListUsers", marker_left, None),
            (200, "<ListUsersResponse><ListUsersResult><Users/><IsTruncated>true</IsTruncated></ListUsersResult>\
                   </ListUsersResponse>".to_owned()),
        ]);
        let iam = iam(&client).await;
        assert_eq!(iam.users_page(None).await.unwrap().next, None);
        assert_eq!(iam.users_page(None).await.unwrap_err().code, "unusable answer");
    }

    #[tokio::test]
    async fn the_account_summary_tells_how_many_users_there_are() {
        let summary = |entries: &str| {
            let result = format!(
                "<GetAccountSummaryResult><SummaryMap>{entries}</SummaryMap></GetAccountSummaryResult>"
            );
            (200, format!("<GetAccountSummaryResponse>{result}</GetAccountSummaryResponse>"))
        };
        let entry = |key: &str, value: &str| format!("<entry><key>{key}</key><value>{value}</value></entry>");
        let client = answers([
            summary(&[entry("UsersQuota", "5000"), entry("Users", "27"), entry("BrandNew", "1")].concat()),
            summary(&entry("UsersQuota", "5000")),
        ]);
        let iam = iam(&client).await;
        assert_eq!(iam.user_count().await.unwrap(), 27);
        assert_eq!(iam.user_count().await.unwrap_err().code, "unusable answer");
        assert!(requests(&client)[0].1.contains("Action=GetAccountSummary"));
    }

    #[tokio::test]
    async fn a_user_who_cannot_be_read_keeps_nobody_else_from_being_listed() {
        let client = answers([page("ListUsers", &users(&["jane", "not a name", "joe"]), None)]);
        let page = iam(&client).await.users_page(None).await.unwrap();
        let names: Vec<_> = page.users.iter().map(|listed| listed.user.name.as_str()).collect();
        assert_eq!(names, ["jane", "joe"]);
        let [unreadable] = page.unreadable.try_into().unwrap();
        assert_eq!((unreadable.name.as_str(), unreadable.id), ("not a name", Some(jane_id())));
        assert_eq!(unreadable.problem, "not an IAM user name (1 to 64 letters, digits or _+=,.@-)");
    }

    /// `CreateUser` takes it (IAM API, `Path`).
    #[tokio::test]
    async fn a_user_whose_path_holds_a_control_character_is_a_user() {
        let users = users(&["jane"]).replace("/people/", "/peo\u{7f}ple/");
        let page = iam(&answers([page("ListUsers", &users, None)])).await.users_page(None).await.unwrap();
        assert_eq!((page.users.len(), page.unreadable), (1, vec![]));
    }

    #[tokio::test]
    async fn an_empty_page_that_is_truncated_leads_on() {
        let client = answers([page("ListUsers", &users(&[]), Some("m1"))]);
        let page = iam(&client).await.users_page(None).await.unwrap();
        assert_eq!((page.users.len(), page.next.as_deref()), (0, Some("m1")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_call_is_repeated_and_then_fails_as_throttled() {
        let owned = |(status, body): (u16, &str)| (status, body.to_owned());
        let client = answers([owned(THROTTLED), page("ListUsers", &users(&["jane"]), None)]);
        assert_eq!(iam(&client).await.users_page(None).await.unwrap().users.len(), 1);

        let client = answers([THROTTLED, THROTTLED, THROTTLED]);
        let error = iam(&client).await.users_page(None).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (FailureClass::Retry, "Throttling"));
        assert_eq!(error.to_string(), "iam:ListUsers failed: Throttling");
        assert_eq!(requests(&client).len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_never_answers_is_a_timeout() {
        let client = NeverClient::new();
        let error = Iam::new(&config(client.clone()).await).access_keys(&jane()).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (FailureClass::Retry, "timeout"));
    }

    #[tokio::test]
    async fn a_missing_permission_is_for_an_operator() {
        let error = iam(&answers([DENIED])).await.access_keys(&jane()).await.unwrap_err();
        assert_eq!((error.class, error.call), (FailureClass::Operator, "iam:ListAccessKeys"));
    }

    #[tokio::test]
    async fn all_pages_of_a_users_keys_are_read() {
        let client = answers([
            page("ListAccessKeys", &keys(&[("AKIAAAAAAAAAAAAAAAA1", "Active")]), Some("m1")),
            page("ListAccessKeys", &keys(&[("AKIAAAAAAAAAAAAAAAA2", "Inactive")]), None),
        ]);
        let keys = iam(&client).await.access_keys(&jane()).await.unwrap().unwrap();
        let key = |id: &str, status| AccessKey {
            id: id.parse().unwrap(),
            status,
            created_at: at("2024-01-02T03:04:05Z"),
        };
        assert_eq!(
            keys,
            [
                key("AKIAAAAAAAAAAAAAAAA1", KeyStatus::Active),
                key("AKIAAAAAAAAAAAAAAAA2", KeyStatus::Inactive)
            ]
        );
        let requests = requests(&client);
        assert!(requests[0].1.contains("UserName=jane") && requests[1].1.contains("Marker=m1"));
    }

    #[tokio::test]
    async fn a_status_that_is_not_active_counts_as_inactive() {
        let client = answers([page("ListAccessKeys", &keys(&[("AKIAAAAAAAAAAAAAAAA1", "Expired")]), None)]);
        let keys = iam(&client).await.access_keys(&jane()).await.unwrap().unwrap();
        assert_eq!(keys[0].status, KeyStatus::Inactive);
    }

    #[tokio::test]
    async fn a_list_that_never_ends_is_an_error() {
        let client = answers(vec![page("ListAccessKeys", &keys(&[]), Some("m")); MAX_PAGES + 1]);
        let error = iam(&client).await.access_keys(&jane()).await.unwrap_err();
        assert_eq!(error.code, "unusable answer");
        assert_eq!(requests(&client).len(), MAX_PAGES);
    }

    #[tokio::test]
    async fn a_user_who_is_gone_has_neither_keys_nor_tags_and_is_no_failure() {
        let iam = iam(&answers([GONE, GONE])).await;
        assert!(iam.access_keys(&jane()).await.unwrap().is_none());
        assert!(iam.tags(&jane()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn all_pages_of_a_users_tags_are_read() {
        let tag = |key: &str| format!("<Tags><member><Key>{key}</Key><Value>é</Value></member></Tags>");
        let client =
            answers([page("ListUserTags", &tag("a"), Some("m1")), page("ListUserTags", &tag("b"), None)]);
        let tags = iam(&client).await.tags(&jane()).await.unwrap().unwrap();
        assert_eq!((tags.get("a"), tags.get("b"), tags.get("c")), (Some("é"), Some("é"), None));
    }

    #[tokio::test]
    async fn a_key_was_last_used_somewhere_or_never() {
        let answer = |used: &str| {
            page(
                "GetAccessKeyLastUsed",
                &format!("<UserName>jane</UserName><AccessKeyLastUsed>{used}</AccessKeyLastUsed>"),
                None,
            )
        };
        let client = answers([
            answer(
                "<LastUsedDate>2026-01-02T03:04:05Z</LastUsedDate><ServiceName>s3</ServiceName>\
                 <Region>eu-west-1</Region>",
            ),
            answer("<ServiceName>N/A</ServiceName><Region>N/A</Region>"),
        ]);
        let iam = iam(&client).await;
        let key: AccessKeyId = "AKIAAAAAAAAAAAAAAAAA".parse().unwrap();
        let line = |text: &str| text.parse::<Line>().unwrap();
        let used =
            LastUsed::At { at: at("2026-01-02T03:04:05Z"), service: line("s3"), region: line("eu-west-1") };
        assert_eq!(iam.last_used(&key).await.unwrap(), used);
        assert_eq!(iam.last_used(&key).await.unwrap(), LastUsed::Never);
    }

    #[tokio::test]
    async fn an_account_has_an_alias_or_none() {
        let aliases = |aliases: &str| {
            page("ListAccountAliases", &format!("<AccountAliases>{aliases}</AccountAliases>"), None)
        };
        let client = answers([
            aliases("<member>acme-shop</member>"),
            aliases(""),
            page("ListAccountAliases", "<AccountAliases/>", Some("m1")),
            aliases("<member>acme-shop</member>"),
        ]);
        let iam = iam(&client).await;
        let acme = Some("acme-shop".parse().unwrap());
        assert_eq!(iam.alias().await.unwrap(), acme);
        assert_eq!(iam.alias().await.unwrap(), None);
        assert_eq!(iam.alias().await.unwrap(), acme, "behind an empty page");
        let requests = requests(&client);
        assert!(requests[0].1.contains("Action=ListAccountAliases") && requests[3].1.contains("Marker=m1"));
    }

    #[tokio::test]
    async fn an_alias_that_may_not_be_asked_for_is_a_failure() {
        let error = iam(&answers([DENIED])).await.alias().await.unwrap_err();
        assert_eq!((error.class, error.call), (FailureClass::Operator, "iam:ListAccountAliases"));
    }

    /// An answer to one of the two calls about the report.
    fn about_report(action: &str, content: &str) -> (u16, String) {
        (200, format!("<{action}Response><{action}Result>{content}</{action}Result></{action}Response>"))
    }

    #[tokio::test]
    async fn a_report_is_complete_when_iam_says_so() {
        let states = ["STARTED", "INPROGRESS", "COMPLETE", "BRANDNEW"];
        let client = answers(states.map(|state| {
            about_report(
                "GenerateCredentialReport",
                &format!("<State>{state}</State><Description>x</Description>"),
            )
        }));
        let iam = iam(&client).await;
        for state in states {
            let expected = if state == "COMPLETE" { ReportState::Complete } else { ReportState::InProgress };
            assert_eq!(iam.generate_report().await.unwrap(), expected, "{state}");
        }
        assert!(requests(&client)[0].1.contains("Action=GenerateCredentialReport"));
    }

    #[tokio::test]
    async fn a_report_is_what_iam_wrote() {
        let content = "<Content>dXNlcixhcm4KasOpLGFybjphd3M=</Content><ReportFormat>text/csv</ReportFormat>\
                       <GeneratedTime>2026-03-01T05:00:00Z</GeneratedTime>";
        let client = answers([
            about_report("GetCredentialReport", content),
            about_report("GetCredentialReport", ""),
            about_report("GetCredentialReport", "<Content>&amp;&amp;&amp;</Content>"),
        ]);
        let iam = iam(&client).await;
        let report = RawReport {
            content: "user,arn\njé,arn:aws".into(),
            generated_at: Some(at("2026-03-01T05:00:00Z")),
        };
        assert_eq!(iam.report().await.unwrap().unwrap(), report);
        assert_eq!(iam.report().await.unwrap_err().code, "unusable answer");
        assert_eq!(iam.report().await.unwrap_err().class, FailureClass::Retry, "not in base64");
        assert!(requests(&client)[0].1.contains("Action=GetCredentialReport"));
    }

    #[tokio::test]
    async fn a_report_that_is_not_there_is_no_failure() {
        let refused = |(status, code): (u16, &str)| {
            let error = format!("<Type>Sender</Type><Code>{code}</Code><Message>Unknown</Message>");
            (status, format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>"))
        };
        let client = answers(
            [(410, "ReportNotPresent"), (404, "ReportInProgress"), (410, "ReportExpired")].map(refused),
        );
        let iam = iam(&client).await;
        for _ in 0..3 {
            assert_eq!(iam.report().await.unwrap(), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_that_may_not_be_had_is_told_from_one_to_ask_for_again() {
        let limit = "<ErrorResponse><Error><Type>Sender</Type><Code>LimitExceeded</Code><Message>no</Message></Error>\
                     </ErrorResponse>";
        let client = answers([DENIED, DENIED, THROTTLED, THROTTLED, THROTTLED, (409, limit)]);
        let iam = iam(&client).await;
        let denied = [iam.generate_report().await.map(drop), iam.report().await.map(drop)];
        for (denied, call) in
            denied.into_iter().zip(["iam:GenerateCredentialReport", "iam:GetCredentialReport"])
        {
            let denied = denied.unwrap_err();
            assert_eq!((denied.class, denied.call), (FailureClass::Operator, call));
        }
        let throttled = iam.generate_report().await.unwrap_err();
        assert_eq!((throttled.class, throttled.code.as_str()), (FailureClass::Retry, "Throttling"));
        let limited = iam.generate_report().await.unwrap_err();
        assert_eq!((limited.class, limited.code.as_str()), (FailureClass::Retry, "LimitExceeded"));
    }
}
