//! STS: getting into another account by a role of it, and the credentials one has then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::account::Role;
use super::answers::{
    AssumeRoleResult, AssumedRoleUser, Credentials, GetCallerIdentityResult, Refusal, date,
};
use super::operations::{Parameters, required};
use crate::aws::Account;
use crate::query_server::{Credential, temporary_key_id};

/// The role a request wants to assume.
pub(super) struct Wanted<'a> {
    arn: &'a str,
    pub(super) account: Account,
    name: &'a str,
    session_name: &'a str,
    external_id: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    pub(super) fn of(parameters: &'a Parameters) -> Result<Self, Refusal> {
        let arn = required(parameters, "RoleArn", "roleArn")?;
        let session_name = required(parameters, "RoleSessionName", "roleSessionName")?;
        let parts = arn.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(":role/"));
        let role = parts.and_then(|(account, name)| Some((account.parse().ok()?, name)));
        let (account, name) = role.ok_or_else(|| Refusal::validation(format!("{arn} is invalid")))?;
        let external_id = parameters.get("ExternalId").map(String::as_str);
        Ok(Self { arn, account, name, session_name, external_id })
    }

    /// Whether the account has a role that lets `caller` in like this. STS does not say what was wrong.
    pub(super) fn admit(&self, caller: &Account, role: Option<&Role>) -> Result<(), Refusal> {
        let fits = |role: &&Role| {
            let knows = role.external_id.is_none() || role.external_id.as_deref() == self.external_id;
            role.name == self.name && role.trusts == *caller && knows
        };
        role.filter(fits).map(drop).ok_or_else(|| Refusal::role_denied(caller, self.arn))
    }
}

/// Who a caller is; anybody may ask.
pub(super) fn identity(caller: &Account) -> GetCallerIdentityResult {
    GetCallerIdentityResult {
        arn: format!("arn:aws:iam::{caller}:user/caller"),
        user_id: format!("AIDA{caller}CALL"),
        account: caller.to_string(),
    }
}

/// The credentials that were handed out.
pub(super) struct Sessions {
    lifetime: Duration,
    expirations: Mutex<HashMap<String, DateTime<Utc>>>,
}

impl Sessions {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { lifetime, expirations: Mutex::default() }
    }

    pub(super) fn begin(&self, wanted: &Wanted<'_>) -> AssumeRoleResult {
        let mut expirations = self.expirations.lock().unwrap_or_else(PoisonError::into_inner);
        let access_key_id = temporary_key_id(&wanted.account, expirations.len());
        let expiration = Utc::now() + self.lifetime;
        expirations.insert(access_key_id.clone(), expiration);
        let Wanted { account, name, session_name, .. } = wanted;
        AssumeRoleResult {
            assumed_role_user: AssumedRoleUser {
                assumed_role_id: format!("AROASIMULATEDROLE0000:{session_name}"),
                arn: format!("arn:aws:sts::{account}:assumed-role/{name}/{session_name}"),
            },
            credentials: Credentials {
                access_key_id,
                secret_access_key: "any",
                session_token: "any",
                expiration: date(expiration),
            },
        }
    }

    /// Refuses temporary credentials that are not, or no longer, good.
    pub(super) fn check(&self, credential: &Credential<'_>) -> Result<(), Refusal> {
        if !credential.is_temporary() {
            return Ok(());
        }
        let expirations = self.expirations.lock().unwrap_or_else(PoisonError::into_inner);
        match expirations.get(credential.access_key_id) {
            Some(expiration) if *expiration > Utc::now() => Ok(()),
            Some(_) => Err(Refusal::expired_credentials()),
            None => Err(Refusal::unknown_credentials()),
        }
    }
}
