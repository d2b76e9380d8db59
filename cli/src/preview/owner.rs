//! The mail that the owner of a real user's keys would get: the same rules, in the same order, as in a run.

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use keynudge_core::audience::SkipReason;
use keynudge_core::check::{self, HeldBack, OwnerOfStaleKeys, OwnerRules, UserKeys};
use keynudge_core::exemption::RefusedExemption;
use keynudge_core::failure::CallFailed;
use keynudge_core::ids::{AccountId, AccountName, UserName};
use keynudge_core::keys::{AccessKey, KeyStatus, age_days};
use keynudge_core::listing::ListingRules;
use keynudge_core::messages::{Mode, Run, StaleKeys};
use keynudge_core::ports::{AccountAliases, ListedUser};

use crate::aws::Aws;
use crate::aws::iam::iam_failed;
use crate::rules::Rules;
use crate::terminal;

/// What a user's keys come to.
pub(crate) enum Looked {
    /// A mail, and perhaps a reason why a run would not send it.
    Mail(Box<StaleKeys>, Vec<String>),
    /// No mail, and why not: each reason by itself.
    Nothing(Vec<String>),
}

/// Looks at the keys of the user called `name`, judged at `as_of`.
pub(crate) async fn look(aws: &Aws, name: &UserName, rules: &Rules, as_of: DateTime<Utc>) -> Result<Looked> {
    let iam = aws.iam();
    let Some(listed) = iam.user(name).await.map_err(|error| about(error, name))? else {
        return Ok(nobody(name));
    };
    let keys =
        check::keys_of(&iam, name, &rules.staleness, as_of).await.map_err(|error| about(error, name))?;
    let UserKeys { all, stale: mut keys } = keys.unwrap_or_default();
    if keys.is_empty() {
        return Ok(Looked::Nothing(vec![not_stale(name, &all, rules, as_of)]));
    }
    let owner = check::owner_of(&iam, name, &rules.owner, as_of).await;
    let Some(owner) = owner.map_err(|error| about(error, name))? else {
        return Ok(nobody(name));
    };
    let mut objections = objections(&listed, &owner, rules, as_of);
    let Some(recipient) = owner.contact.recipient.clone() else {
        objections.push(format!(
            "No mail: no address is known for {}. Give the user a tag {} with an allowed one, or have a \
             --default-domain or a --fallback-contact.",
            name.as_str(),
            rules.owner.contact.tag
        ));
        return Ok(Looked::Nothing(objections));
    };
    for error in owner.fill_in(&iam, &mut keys).await {
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
        refused_exemption: owner.refused_exemption,
        checked_at: as_of,
        found_at: None,
    };
    Ok(Looked::Mail(Box::new(finding), objections))
}

fn nobody(name: &UserName) -> Looked {
    let name = name.as_str();
    let why = format!("There is no IAM user {name} in this account: check --profile, or the name.");
    Looked::Nothing(vec![why])
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

/// What keeps a run from telling this owner, or from telling them where they would expect it, though their keys are stale.
fn objections(
    listed: &ListedUser,
    owner: &OwnerOfStaleKeys,
    rules: &Rules,
    as_of: DateTime<Utc>,
) -> Vec<String> {
    let name = listed.user.name.as_str();
    let Rules { path_prefix, staleness, owner: OwnerRules { audience, contact, max_exemption_days } } =
        rules.clone();
    let skipped = ListingRules { audience, path_prefix, staleness }.skips(listed, as_of, None);
    let skipped = skipped.map(|reason| match reason {
        SkipReason::NeverSignedIn => format!(
            "{name} never signed in to the console, and a run skips such users (--audience signed-in-users)."
        ),
        SkipReason::OutsidePath => {
            format!("{name} is under the path {}, and a run skips such users.", listed.path)
        }
        _ => format!("{name} is younger than a stale key, and a run skips such users."),
    });
    let held_back = owner.held_back.map(|reason| match reason {
        HeldBack::NotTagged => format!("{name} has no tag {}, and a run skips such users.", contact.tag),
        HeldBack::ExemptUntil(day) => format!("{name} is exempt until {day}: no run tells them before."),
    });
    let refused = owner.refused_exemption.map(|refused| match refused {
        RefusedExemption::NotADate => {
            format!("The exemption tag of {name} holds no date (YYYY-MM-DD), and exempts nobody.")
        }
        RefusedExemption::TooFarAhead => format!(
            "The exemption tag of {name} names a day more than {max_exemption_days} days ahead, and exempts nobody."
        ),
    });
    let passed_over = (owner.contact.passed_over > 0).then(|| {
        let count = owner.contact.passed_over;
        format!("Addresses of {name} that were passed over, as none, or as in no allowed domain: {count}.")
    });
    [skipped, held_back, refused, passed_over].into_iter().flatten().collect()
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
