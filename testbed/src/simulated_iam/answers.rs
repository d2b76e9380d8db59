//! IAM's answers, and those of STS, in their XML.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::json;

use crate::aws::Account;
use crate::query_server::refusal_xml;

/// A service that answers in XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Iam,
    Sts,
}

impl Service {
    fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }
}

/// What an operation found.
pub(super) enum Answer {
    Users(ListUsersResult),
    User(GetUserResult),
    AccessKeys(ListAccessKeysResult),
    Tags(ListUserTagsResult),
    LastUsed(GetAccessKeyLastUsedResult),
    Aliases(ListAccountAliasesResult),
    Summary(GetAccountSummaryResult),
    ReportState(GenerateCredentialReportResult),
    Report(GetCredentialReportResult),
    Role(AssumeRoleResult),
    Caller(GetCallerIdentityResult),
}

impl Answer {
    /// The answer's XML; `request_id` is in every answer of AWS.
    pub(super) fn to_xml(&self, request_id: &str) -> Result<String, quick_xml::SeError> {
        match self {
            Self::Users(result) => envelope(Service::Iam, "ListUsers", result, request_id),
            Self::User(result) => envelope(Service::Iam, "GetUser", result, request_id),
            Self::AccessKeys(result) => envelope(Service::Iam, "ListAccessKeys", result, request_id),
            Self::Tags(result) => envelope(Service::Iam, "ListUserTags", result, request_id),
            Self::LastUsed(result) => envelope(Service::Iam, "GetAccessKeyLastUsed", result, request_id),
            Self::Aliases(result) => envelope(Service::Iam, "ListAccountAliases", result, request_id),
            Self::Summary(result) => envelope(Service::Iam, "GetAccountSummary", result, request_id),
            Self::ReportState(result) => {
                envelope(Service::Iam, "GenerateCredentialReport", result, request_id)
            }
            Self::Report(result) => envelope(Service::Iam, "GetCredentialReport", result, request_id),
            Self::Role(result) => envelope(Service::Sts, "AssumeRole", result, request_id),
            Self::Caller(result) => envelope(Service::Sts, "GetCallerIdentity", result, request_id),
        }
    }
}

fn envelope(
    service: Service,
    operation: &str,
    result: &impl Serialize,
    request_id: &str,
) -> Result<String, quick_xml::SeError> {
    let result = quick_xml::se::to_string_with_root(&format!("{operation}Result"), result)?;
    let metadata = ResponseMetadata { request_id: request_id.to_owned() };
    let metadata = quick_xml::se::to_string(&metadata)?;
    let namespace = service.namespace();
    Ok(format!(r#"<{operation}Response xmlns="{namespace}">{result}{metadata}</{operation}Response>"#))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResponseMetadata {
    request_id: String,
}

/// A list in the Query protocol: each of its elements is called `member`.
#[derive(Serialize)]
pub(super) struct Members<T> {
    pub(super) member: Vec<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListUsersResult {
    pub(super) users: Members<UserElement>,
    pub(super) is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) marker: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UserElement {
    pub(super) path: String,
    pub(super) user_name: String,
    pub(super) user_id: String,
    pub(super) arn: String,
    pub(super) create_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) password_last_used: Option<String>,
    /// Lists have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<Members<TagElement>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetUserResult {
    pub(super) user: UserElement,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListAccessKeysResult {
    pub(super) access_key_metadata: Members<AccessKeyElement>,
    pub(super) is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) marker: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AccessKeyElement {
    pub(super) user_name: String,
    pub(super) access_key_id: String,
    pub(super) status: &'static str,
    pub(super) create_date: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListUserTagsResult {
    pub(super) tags: Members<TagElement>,
    pub(super) is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) marker: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagElement {
    pub(super) key: String,
    pub(super) value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetAccessKeyLastUsedResult {
    pub(super) user_name: String,
    pub(super) access_key_last_used: AccessKeyLastUsed,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AccessKeyLastUsed {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_used_date: Option<String>,
    pub(super) service_name: String,
    pub(super) region: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListAccountAliasesResult {
    pub(super) account_aliases: Members<String>,
    pub(super) is_truncated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetAccountSummaryResult {
    pub(super) summary_map: Entries<SummaryEntry>,
}

/// A map in the Query protocol: each of its elements is called `entry`.
#[derive(Serialize)]
pub(super) struct Entries<T> {
    pub(super) entry: Vec<T>,
}

#[derive(Serialize)]
pub(super) struct SummaryEntry {
    pub(super) key: &'static str,
    pub(super) value: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GenerateCredentialReportResult {
    pub(super) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetCredentialReportResult {
    pub(super) content: String,
    pub(super) report_format: &'static str,
    pub(super) generated_time: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AssumeRoleResult {
    pub(super) assumed_role_user: AssumedRoleUser,
    pub(super) credentials: Credentials,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetCallerIdentityResult {
    pub(super) arn: String,
    pub(super) user_id: String,
    pub(super) account: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AssumedRoleUser {
    pub(super) assumed_role_id: String,
    pub(super) arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Credentials {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: &'static str,
    pub(super) session_token: &'static str,
    pub(super) expiration: String,
}

/// A refusal: HTTP status, the service's code and message.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn no_such_user(name: &str) -> Self {
        let message = format!("The user with name {name} cannot be found.");
        Self { status: 404, code: "NoSuchEntity", message }
    }

    pub(super) fn no_such_key(id: &str) -> Self {
        let message = format!("The Access Key with id {id} cannot be found.");
        Self { status: 404, code: "NoSuchEntity", message }
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self { status: 400, code: "ValidationError", message: message.into() }
    }

    pub(super) fn no_such_operation(action: &str, version: &str) -> Self {
        let message = format!("Could not find operation {action} for version {version}");
        Self { status: 400, code: "InvalidAction", message }
    }

    /// IAM says no more than the code of what is wrong with a report.
    pub(super) fn report_not_present() -> Self {
        Self { status: 410, code: "ReportNotPresent", message: String::new() }
    }

    pub(super) fn report_in_progress() -> Self {
        Self { status: 404, code: "ReportInProgress", message: String::new() }
    }

    pub(super) fn report_expired() -> Self {
        Self { status: 410, code: "ReportExpired", message: String::new() }
    }

    pub(super) fn throttled() -> Self {
        Self { status: 400, code: "Throttling", message: "Rate exceeded".to_owned() }
    }

    pub(super) fn no_credentials() -> Self {
        let message = "Request is missing Authentication Token".to_owned();
        Self { status: 403, code: "MissingAuthenticationToken", message }
    }

    pub(super) fn unknown_credentials() -> Self {
        let message = "The security token included in the request is invalid.".to_owned();
        Self { status: 403, code: "InvalidClientTokenId", message }
    }

    pub(super) fn expired_credentials() -> Self {
        let message = "The security token included in the request is expired".to_owned();
        Self { status: 403, code: "ExpiredToken", message }
    }

    /// IAM says who was refused what, and why.
    pub(super) fn denied(caller: &Account, action: &str) -> Self {
        let message = format!(
            "User: arn:aws:iam::{caller}:user/caller is not authorized to perform: iam:{action} on resource: \
             arn:aws:iam::{caller}:user/ because no identity-based policy allows the iam:{action} action"
        );
        Self { status: 403, code: "AccessDenied", message }
    }

    pub(super) fn role_denied(caller: &Account, role_arn: &str) -> Self {
        let user = format!("arn:aws:sts::{caller}:assumed-role/caller/caller");
        let message =
            format!("User: {user} is not authorized to perform: sts:AssumeRole on resource: {role_arn}");
        Self { status: 403, code: "AccessDenied", message }
    }

    /// The same as JSON, as services of that protocol have it.
    pub(super) fn to_json(&self) -> String {
        json!({ "__type": self.code, "message": self.message }).to_string()
    }

    /// The refusal's XML.
    pub(super) fn to_xml(&self, service: Service, request_id: &str) -> Result<String, quick_xml::SeError> {
        refusal_xml(service.namespace(), self.code, &self.message, request_id)
    }
}

/// A date as IAM writes it: `2026-03-01T12:00:00Z`.
pub(super) fn date(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
