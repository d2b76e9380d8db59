//! One IAM user, and who is asked about their keys.

use anyhow::{Context, Result};
use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_sdk_iam::primitives;
use chrono::{DateTime, Utc};
use keynudge_aws::iam::Iam;
use keynudge_core::failure::CallFailed;
use keynudge_core::ids::UserName;
use keynudge_core::messages::User;
use keynudge_core::ports::ListedUser;

use super::Aws;
use super::errors::{failed, refused};

impl Aws {
    /// The account's IAM.
    pub(crate) fn iam(&self) -> Iam {
        Iam::new(self.config())
    }

    /// The user called `name`; `None` if the account has none.
    pub(crate) async fn user(&self, name: &UserName) -> Result<Option<ListedUser>> {
        let client = aws_sdk_iam::Client::new(self.config());
        let answer = match client.get_user().user_name(name.as_str()).send().await {
            Err(error) if error.code() == Some("NoSuchEntity") => return Ok(None),
            answer => {
                answer.map_err(|error| failed("iam:GetUser", &format!("user/{}", name.as_str()), error))?
            }
        };
        let user = answer.user.context("iam:GetUser says nothing of the user")?;
        let listed = ListedUser {
            user: User {
                name: user.user_name.try_into()?,
                id: user.user_id.try_into()?,
                arn: user.arn.try_into()?,
                created_at: instant(&user.create_date)?,
                password_last_used: user.password_last_used.as_ref().map(instant).transpose()?,
            },
            path: user.path,
        };
        Ok(Some(listed))
    }
}

fn instant(date: &primitives::DateTime) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp(date.secs(), date.subsec_nanos()).context("iam:GetUser: a date is out of range")
}

/// What went wrong with a port's call on `what`, and what to do about it.
pub(crate) fn advised(error: CallFailed, what: &str) -> anyhow::Error {
    match error.source {
        Some(source) => {
            let source = anyhow::Error::new(source);
            source.context(refused(error.call, what, &error.code, "").to_string())
        }
        None => refused(error.call, what, &error.code, ""),
    }
}
