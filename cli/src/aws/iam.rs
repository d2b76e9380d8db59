//! The account whose users are looked at: the caller's own, or that of a role.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use keynudge_aws::iam::Iam;
use keynudge_core::failure::{ASSUME_ROLE, CallFailed};
use keynudge_core::ids::AccountId;

use super::errors::{code_of, failed, no_answer, refused};
use super::{Aws, SIGN_IN_AGAIN};
use crate::terminal;

/// The ARN of a role to look at an account with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleArn(String);

/// Why a text is no such ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvalidRoleArn;

impl std::error::Error for InvalidRoleArn {}

impl fmt::Display for InvalidRoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the ARN of a role (arn:aws:iam::123456789012:role/NAME)")
    }
}

impl FromStr for RoleArn {
    type Err = InvalidRoleArn;

    fn from_str(text: &str) -> Result<Self, InvalidRoleArn> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        match parts.as_slice() {
            ["arn", partition, "iam", "", account, role]
                if partition.starts_with("aws")
                    && account.parse::<AccountId>().is_ok()
                    && role.strip_prefix("role/").is_some_and(|name| !name.is_empty())
                    && role.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidRoleArn),
        }
    }
}

/// What the account sees in its own logs of those who come by a role.
const SESSION_NAME: &str = "keynudge-scan-lists-access-keys";

impl Aws {
    /// The same connection, with the rights of a role instead. The role is assumed now, so that it is said at once if it
    /// cannot be, and again before its credentials expire.
    pub(crate) async fn with_role(&self, RoleArn(arn): &RoleArn, external_id: Option<&str>) -> Result<Self> {
        let mut provider =
            AssumeRoleProvider::builder(arn).configure(&self.config).session_name(SESSION_NAME);
        if let Some(external_id) = external_id {
            provider = provider.external_id(external_id);
        }
        let provider = provider.build().await;
        provider.provide_credentials().await.map_err(|error| role_not_assumed(arn, error.into()))?;
        let config = self.config.to_builder();
        let config = config.credentials_provider(SharedCredentialsProvider::new(provider)).build();
        Ok(Self { config, ..self.clone() })
    }

    /// Whose credentials these are. Nobody can be denied to ask.
    pub(crate) async fn account_id(&self) -> Result<AccountId> {
        const CALL: &str = "sts:GetCallerIdentity";
        let answer = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send().await;
        let answer = answer.map_err(|error| failed(CALL, "the caller", error))?;
        let account = answer.account.context("sts:GetCallerIdentity named no account")?;
        account.parse().with_context(|| format!("the account that {CALL} named"))
    }

    /// The account's IAM.
    pub(crate) fn iam(&self) -> Iam {
        Iam::new(&self.config)
    }

    /// The account's IAM, for whoever tries again at a pace of their own: each call is one request.
    pub(crate) fn iam_without_retries(&self) -> Iam {
        let config: SdkConfig = self.config.to_builder().retry_config(RetryConfig::disabled()).build();
        Iam::new(&config)
    }
}

fn role_not_assumed(arn: &str, error: anyhow::Error) -> anyhow::Error {
    let answer = error.chain().find_map(|cause| cause.downcast_ref::<SdkError<AssumeRoleError>>());
    let Some(SdkError::ServiceError(answer)) = answer else {
        return error.context(format!("{ASSUME_ROLE} on {arn} failed"));
    };
    let code = code_of(answer.err(), answer.raw());
    let refused = refused(ASSUME_ROLE, arn, &code, answer.err().message().unwrap_or_default());
    if code == "AccessDenied" {
        return refused
            .context("the role must be there and trust these credentials, and may want an --external-id");
    }
    refused
}

/// What went wrong with a call to IAM on `what`, and what to do about it.
pub(crate) fn iam_failed(error: CallFailed, what: &str) -> anyhow::Error {
    let CallFailed { call, code, source, .. } = error;
    let said = source.as_deref().map(|source| terminal::cause(source)).unwrap_or_default();
    match code.as_str() {
        "credentials" => {
            anyhow!(said).context(format!("{call} has no credentials any more: {SIGN_IN_AGAIN}"))
        }
        "timeout" | "connection" | "no connection" => {
            anyhow!("{code}: {said}").context(no_answer(call, what))
        }
        code => refused(call, what, code, &said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_arn_of_a_role_is_one() {
        for arn in ["arn:aws:iam::123456789012:role/audit", "arn:aws-cn:iam::123456789012:role/ops/audit"] {
            assert!(arn.parse::<RoleArn>().is_ok(), "{arn}");
        }
        for text in [
            "audit",
            "arn:aws:iam::123456789012:user/audit",
            "arn:aws:iam::1234:role/audit",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/a b",
            "arn:aws:sts::123456789012:assumed-role/audit/session",
        ] {
            assert_eq!(text.parse::<RoleArn>(), Err(InvalidRoleArn), "{text}");
        }
    }
}
