//! Who asks, and what IAM lets them see.

use aws_sdk_iam::types::User;
use futures::{StreamExt, TryStreamExt, stream};

use super::ask;
use crate::aws::Aws;
use crate::doctor::answer::{Answer, Unanswered};
use crate::doctor::caller::{Caller, Permission, Tried};

const WHO: &str = "sts:GetCallerIdentity";

const NOBODY: Answer<Tried> = Ok(Tried::NobodyThere);

/// So many users are looked at for one with a key, and so many of them at once.
const USERS_MAX: u8 = 100;
const USERS_AT_ONCE: usize = 8;

impl Aws {
    /// Whose credentials these are.
    pub(crate) async fn caller(&self) -> Answer<Caller> {
        let answer = ask(WHO, aws_sdk_sts::Client::new(&self.config).get_caller_identity().send()).await?;
        let nobody = || Unanswered::Failed { action: WHO, why: "the answer names nobody".to_owned() };
        Ok(Caller { arn: answer.arn.ok_or_else(nobody)?, account: answer.account.ok_or_else(nobody)? })
    }

    /// What IAM lets the caller see: each is tried once, on one user.
    pub(crate) async fn scan_permissions(&self) -> Vec<(Permission, Answer<Tried>)> {
        let iam = Iam(aws_sdk_iam::Client::new(&self.config));
        let of_users = iam.try_on_a_user();
        let of_account =
            async { futures::join!(iam.try_aliases(), iam.try_summary(), iam.try_credential_report()) };
        let (of_users, (aliases, summary, report)) = futures::join!(of_users, of_account);
        let [users, keys, tags, last_used] = of_users;
        vec![
            (Permission::ListUsers, users),
            (Permission::ListAccessKeys, keys),
            (Permission::ListUserTags, tags),
            (Permission::GetAccessKeyLastUsed, last_used),
            (Permission::ListAccountAliases, aliases),
            (Permission::GetAccountSummary, summary),
            (Permission::GetCredentialReport, report),
        ]
    }
}

struct Iam(aws_sdk_iam::Client);

impl Iam {
    /// Listing users, and a user's keys and tags, and a key's last use.
    async fn try_on_a_user(&self) -> [Answer<Tried>; 4] {
        let action = Permission::ListUsers.action();
        let users = ask(action, self.0.list_users().max_items(USERS_MAX.into()).send()).await;
        let users = match users {
            Ok(answer) => answer.users,
            Err(unanswered) => return [Err(unanswered), NOBODY, NOBODY, NOBODY],
        };
        let Some(user) = users.first() else { return [Ok(Tried::Allowed), NOBODY, NOBODY, NOBODY] };
        let tags = self.0.list_user_tags().user_name(user.user_name());
        let (key_id, tags) =
            futures::join!(self.key_of_one_of(&users), ask(Permission::ListUserTags.action(), tags.send()),);
        let last_used = match &key_id {
            Err(_) => NOBODY,
            Ok(None) => Ok(Tried::NoKeyThere { users: users.len() }),
            Ok(Some(key_id)) => {
                let call = self.0.get_access_key_last_used().access_key_id(key_id);
                tried(ask(Permission::GetAccessKeyLastUsed.action(), call.send()).await)
            }
        };
        [Ok(Tried::Allowed), tried(key_id), tried(tags), last_used]
    }

    /// A key of the first of these users that has one.
    async fn key_of_one_of(&self, users: &[User]) -> Answer<Option<String>> {
        let found = stream::iter(users)
            .map(async |user| {
                let call = self.0.list_access_keys().user_name(user.user_name());
                let answer = match ask(Permission::ListAccessKeys.action(), call.send()).await {
                    // Deleted meanwhile.
                    Err(Unanswered::Missing) => return Ok(None),
                    answer => answer?,
                };
                Ok(answer.access_key_metadata.into_iter().find_map(|key| key.access_key_id))
            })
            .buffered(USERS_AT_ONCE);
        found.try_filter_map(async |key| Ok(key)).boxed_local().try_next().await
    }

    async fn try_aliases(&self) -> Answer<Tried> {
        let call = self.0.list_account_aliases().max_items(1);
        tried(ask(Permission::ListAccountAliases.action(), call.send()).await)
    }

    async fn try_summary(&self) -> Answer<Tried> {
        tried(ask(Permission::GetAccountSummary.action(), self.0.get_account_summary().send()).await)
    }

    /// Reads the report that is there, and asks for none.
    async fn try_credential_report(&self) -> Answer<Tried> {
        let action = Permission::GetCredentialReport.action();
        let mut is_absent = false;
        let answer = ask(action, async {
            let answer = self.0.get_credential_report().send().await;
            is_absent = answer.as_ref().is_err_and(|error| {
                error.as_service_error().is_some_and(|error| {
                    error.is_credential_report_not_present_exception()
                        || error.is_credential_report_expired_exception()
                        || error.is_credential_report_not_ready_exception()
                })
            });
            answer
        })
        .await;
        if is_absent { Ok(Tried::NoReportYet) } else { tried(answer) }
    }
}

/// Whatever was answered, it was allowed. A user or key that went in the meantime is nobody to try it on.
fn tried<T>(answer: Answer<T>) -> Answer<Tried> {
    match answer {
        Ok(_) => Ok(Tried::Allowed),
        Err(Unanswered::Missing) => NOBODY,
        Err(unanswered) => Err(unanswered),
    }
}
