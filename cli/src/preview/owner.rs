//! The mail that the owner of a real user's keys would get: the same rules, in the same order, as in a run.

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use keynudge_core::audience::SkipReason;
use keynudge_core::check::{self, UserKeys};
use keynudge_core::exemption::Exemption;
use keynudge_core::failure::CallFailed;
use keynudge_core::ids::{AccountId, AccountName, UserName};
use keynudge_core::keys::{AccessKey, KeyStatus, age_days};
use keynudge_core::messages::{Mode, Run, StaleKeys};
use keynudge_core::ports::{AccountAliases, KeyStore, ListedUser};
use keynudge_core::tags::Tags;

use crate::aws::Aws;
use crate::aws::iam::iam_failed;
use crate::rules::Rules;
use crate::terminal;

/// What a user's keys come to.
pub(crate) enum Looked {
    /// A mail, and perhaps a reason why a run would not send it.
    Mail(Box<StaleKeys>, Vec<String>),
    /// No mail, and why not.
    Nothing(String),
}

/// Looks at the keys of the user called `name`, judged at `as_of`.
pub(crate) async fn look(aws: &Aws, name: &UserName, rules: &Rules, as_of: DateTime<Utc>) -> Result<Looked> {
    let shown = name.as_str();
    let iam = aws.iam();
    let Some(listed) = iam.user(name).await.map_err(|error| about(error, name))? else {
        return Ok(Looked::Nothing(format!(
            "There is no IAM user {shown} in this account: check --profile, or the name."
        )));
    };
    let keys =
        check::keys_of(&iam, name, &rules.staleness, as_of).await.map_err(|error| about(error, name))?;
    let UserKeys { all, stale: mut keys } = keys.unwrap_or_default();
    if keys.is_empty() {
        return Ok(Looked::Nothing(not_stale(name, &all, rules, as_of)));
    }
    let tags = iam.tags(name).await.map_err(|error| about(error, name))?.unwrap_or_default();
    let objections = objections(&listed, &tags, rules, as_of);
    let Some(recipient) = rules.contact.find(name, &tags).recipient else {
        return Ok(Looked::Nothing(format!(
            "No mail: no address is known for {shown}. Give the user a tag {} with an allowed one, or have a \
             --default-domain or a --fallback-contact.",
            rules.contact.tag
        )));
    };
    for error in check::fill_in(&iam, &mut keys, &tags).await {
        // As in a run, where the mail says so.
        terminal::remark(&format!("The last use of a key is not known: {error}."));
    }
    let finding = StaleKeys {
        run: Run::at(as_of, Mode::DryRun),
        account_id: account_of(&listed)?,
        account_name: alias(&iam).await,
        user: listed.user,
        recipient,
        stage: rules.staleness.stage(&keys),
        keys,
        checked_at: as_of,
        found_at: None,
    };
    Ok(Looked::Mail(Box::new(finding), objections))
}

fn about(error: CallFailed, name: &UserName) -> anyhow::Error {
    iam_failed(error, &format!("user/{}", name.as_str()))
}

fn account_of(listed: &ListedUser) -> Result<AccountId> {
    let account = listed.user.arn.as_str().split(':').nth(4).unwrap_or_default();
    account.parse().context("the user's ARN")
}

/// What the account is called. A mail does without, and so does whoever may not ask.
async fn alias(iam: &impl AccountAliases) -> Option<AccountName> {
    match iam.alias().await {
        Ok(alias) => alias,
        Err(error) => {
            terminal::remark(&format!(
                "The account's alias is not known, which the mail would name: {error}."
            ));
            None
        }
    }
}

/// Why a run would not tell this owner, though their keys are stale.
fn objections(listed: &ListedUser, tags: &Tags, rules: &Rules, as_of: DateTime<Utc>) -> Vec<String> {
    let name = listed.user.name.as_str();
    let skipped =
        rules.audience.skips_listed(&rules.path_prefix, &listed.path, listed.user.password_last_used);
    let skipped = skipped.or_else(|| rules.audience.skips_tagged(&rules.contact.tag, tags));
    let skipped = skipped.map(|reason| match reason {
        SkipReason::NeverSignedIn => format!(
            "{name} never signed in to the console, and a run skips such users (--audience signed-in-users)."
        ),
        SkipReason::NotTagged => {
            format!("{name} has no tag {}, and a run skips such users.", rules.contact.tag)
        }
        _ => format!("{name} is under the path {}, and a run skips such users.", listed.path),
    });
    let exempt = match Exemption::of(tags, as_of) {
        Exemption::Until(day) => Some(format!("{name} is exempt until {day}: no run tells them before.")),
        Exemption::Invalid => {
            Some(format!("{name} has an exemption tag that holds no date, and exempts nobody."))
        }
        Exemption::None => None,
    };
    skipped.into_iter().chain(exempt).collect()
}

/// Until when the user has no stale key, and how to see the mail all the same.
fn not_stale(name: &UserName, keys: &[AccessKey], rules: &Rules, as_of: DateTime<Utc>) -> String {
    let name = name.as_str();
    let days = rules.staleness.alert_after_days().get();
    let active = keys.iter().filter(|key| key.status == KeyStatus::Active);
    let Some(oldest) = active.min_by_key(|key| key.created_at) else {
        return format!("No mail: {name} has no active access key.");
    };
    let age = age_days(oldest.created_at, as_of);
    let aged =
        format!("No mail: {name} has no stale key. The oldest, {}, is {age} days old", oldest.id.as_str());
    match oldest.created_at.checked_add_signed(TimeDelta::days(days.into())).map(|at| at.date_naive()) {
        Some(day) => format!(
            "{aged}, and stale from {day} on, at {days} days. --as-of {day} shows the mail of that day."
        ),
        None => format!("{aged}."),
    }
}
