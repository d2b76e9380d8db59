//! Who asks, and what they may do.

use super::answer::{Answer, Unanswered};
use super::line::{Line, Section};

const TITLE: &str = "Caller";

/// Whose credentials these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) arn: String,
    pub(crate) account: String,
}

/// Something that `keynudge scan` asks IAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    ListUsers,
    ListAccessKeys,
    ListUserTags,
    GetAccessKeyLastUsed,
    ListAccountAliases,
    GetAccountSummary,
    GetCredentialReport,
}

/// What trying a permission came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tried {
    /// It may.
    Allowed,
    /// There was nobody to try it on.
    NobodyThere,
    /// None of the users that were looked at has a key to try it on.
    NoKeyThere {
        /// How many were looked at.
        users: usize,
    },
    /// It may, and IAM has made no credential report lately.
    NoReportYet,
}

impl Permission {
    pub(crate) fn action(self) -> &'static str {
        match self {
            Self::ListUsers => "iam:ListUsers",
            Self::ListAccessKeys => "iam:ListAccessKeys",
            Self::ListUserTags => "iam:ListUserTags",
            Self::GetAccessKeyLastUsed => "iam:GetAccessKeyLastUsed",
            Self::ListAccountAliases => "iam:ListAccountAliases",
            Self::GetAccountSummary => "iam:GetAccountSummary",
            Self::GetCredentialReport => "iam:GetCredentialReport",
        }
    }

    /// What a scan lacks without it; none if there is no scan without it.
    fn without_it(self) -> Option<&'static str> {
        match self {
            Self::ListUsers | Self::ListAccessKeys | Self::ListUserTags => None,
            Self::GetAccessKeyLastUsed => Some("a scan cannot tell when keys were last used"),
            Self::ListAccountAliases => Some("mails and reports name the account by its number"),
            Self::GetAccountSummary => Some("a scan cannot tell how much is left to do"),
            Self::GetCredentialReport => Some("--user-filter credential-report does not work"),
        }
    }
}

/// What is said where there is no AWS to ask.
pub(super) fn not_connected(error: &anyhow::Error) -> Section {
    // The outermost is what to do; below it is what was tried.
    let advice = error.to_string();
    let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
    let line = if causes.is_empty() {
        Line::failed("connection", "AWS cannot be asked", advice)
    } else {
        Line::failed("credentials", causes.join(": "), advice)
    };
    Section { title: TITLE, lines: vec![line] }
}

/// What is said where AWS does not take the credentials, or does not answer at all.
pub(super) fn refused(unanswered: &Unanswered) -> Section {
    let line = match unanswered {
        Unanswered::NotAccepted { why } => Line::failed(
            "credentials",
            format!("not accepted: {why}"),
            "sign in again with `aws login` or `aws sso login`, or give another --profile",
        ),
        Unanswered::Failed { action, why } => Line::failed(
            "credentials",
            format!("{action}: {why}"),
            "check the network, --region and --endpoint-url",
        ),
        Unanswered::Denied { action } => Line::failed(
            "credentials",
            format!("{action} is denied"),
            "nobody needs a permission for it: a policy of the organization denies everything here",
        ),
        Unanswered::Missing => {
            Line::failed("credentials", "there is no STS here", "check --region and --endpoint-url")
        }
    };
    Section { title: TITLE, lines: vec![line] }
}

/// Who asks, and whether they may scan.
pub(super) fn section(
    caller: &Caller,
    region: &str,
    permissions: &[(Permission, Answer<Tried>)],
    is_deployed: bool,
) -> Section {
    let Caller { arn, account } = caller;
    let who = Line::ok("credentials", format!("{arn}, account {account}, {region}"));
    let may = permissions.iter().map(|(permission, tried)| may_scan(*permission, tried, is_deployed));
    Section { title: TITLE, lines: [who].into_iter().chain(may).collect() }
}

/// Keynudge itself has roles of its own: where it is deployed, it works whatever the caller may.
fn may_scan(permission: Permission, tried: &Answer<Tried>, is_deployed: bool) -> Line {
    let action = permission.action();
    match tried {
        Ok(Tried::Allowed) => Line::ok(action, "allowed"),
        Ok(Tried::NoReportYet) => Line::ok(action, "allowed; IAM has made no report in the last four hours"),
        Ok(Tried::NobodyThere) => {
            Line::unknown(action, "not tested: no user or key could be listed to try it on")
        }
        Ok(Tried::NoKeyThere { users: 1 }) => Line::unknown(action, "not tested: the only user has no key"),
        Ok(Tried::NoKeyThere { users }) => {
            Line::unknown(action, format!("not tested: none of the first {users} users has a key"))
        }
        Err(Unanswered::Denied { .. }) => {
            let advice = format!("`keynudge scan` asks for {action}: have it allowed");
            match permission.without_it() {
                None if is_deployed => Line::warning(action, "denied: you cannot scan", advice),
                None => Line::failed(action, "denied: you cannot scan", advice),
                Some(loss) => Line::warning(action, format!("denied: {loss}"), advice),
            }
        }
        Err(unanswered) => unanswered.line(action),
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Status;
    use super::*;
    use anyhow::{Context, anyhow};

    fn denied(permission: Permission, is_deployed: bool) -> Status {
        let denied = Err(Unanswered::Denied { action: permission.action() });
        may_scan(permission, &denied, is_deployed).status
    }

    #[test]
    fn what_a_scan_cannot_do_without_is_a_failure_before_deploying() {
        assert_eq!(denied(Permission::ListUsers, false), Status::Failed);
        assert_eq!(denied(Permission::ListUsers, true), Status::Warning);
        assert_eq!(denied(Permission::ListAccountAliases, false), Status::Warning);
    }

    #[test]
    fn what_could_not_be_tried_is_not_said_to_be_denied() {
        assert_eq!(
            may_scan(Permission::ListAccessKeys, &Ok(Tried::NobodyThere), false).status,
            Status::Unknown
        );
        let no_key = Ok(Tried::NoKeyThere { users: 100 });
        let line = may_scan(Permission::GetAccessKeyLastUsed, &no_key, false);
        assert_eq!(
            line,
            Line::unknown("iam:GetAccessKeyLastUsed", "not tested: none of the first 100 users has a key")
        );
        let report = may_scan(Permission::GetCredentialReport, &Ok(Tried::NoReportYet), false);
        assert_eq!(report.status, Status::Ok);
    }

    #[test]
    fn missing_credentials_are_a_line_with_advice() {
        let error = Err::<(), _>(anyhow!("nothing in the chain")).context("sign in").unwrap_err();
        let expected = Line::failed("credentials", "nothing in the chain", "sign in");
        assert_eq!(not_connected(&error).lines, [expected]);
        let expected = Line::failed("connection", "AWS cannot be asked", "no region");
        assert_eq!(not_connected(&anyhow!("no region")).lines, [expected]);
    }
}
