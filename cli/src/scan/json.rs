//! The report as one JSON document. Its field names are what scripts rely on: none is taken away, and none changes its meaning.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use keynudge_core::audience::SkipReason;
use keynudge_core::contact::Recipient;
use keynudge_core::exemption::RefusedExemption;
use keynudge_core::ids::{AccountName, Line, UserName};
use keynudge_core::keys::{LastUsed, StaleKey};
use serde::Serialize;

use super::report::{Missed, Report, StaleOwner, Telling};
use crate::terminal::printable_json;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    account_id: &'a str,
    account_alias: Option<&'a str>,
    as_of: String,
    alert_after_days: u32,
    contact_tag: &'a str,
    complete: bool,
    incomplete_because: Option<&'a str>,
    /// What stderr says beside the report.
    remarks: &'a [String],
    /// Whether all users of the account are among those listed.
    listed_whole: bool,
    /// `null` where that may not be asked.
    users_in_account: Option<usize>,
    /// Some of those not checked.
    missed: Vec<MissedUser<'a>>,
    users: Users,
    stale_owners: StaleOwners,
    stale_keys: usize,
    addresses_passed_over: u32,
    /// Users of Bedrock's API keys who have an active access key.
    bedrock_api_key_users_with_access_keys: Vec<&'a str>,
    owners: Vec<Owner<'a>>,
}

#[derive(Serialize)]
struct MissedUser<'a> {
    user_name: &'a str,
    reason: &'a str,
}

/// `listed` is the sum of all others.
#[derive(Serialize)]
struct Users {
    listed: usize,
    skipped: BTreeMap<&'static str, usize>,
    unreadable: usize,
    checked: usize,
    not_checked: usize,
}

/// `total` is the sum of all others.
#[derive(Serialize)]
struct StaleOwners {
    total: usize,
    mailed: usize,
    without_contact: usize,
    exempt: usize,
    not_tagged: usize,
}

#[derive(Serialize)]
struct Owner<'a> {
    user_name: &'a str,
    user_id: &'a str,
    outcome: &'static str,
    recipient: Option<&'a Recipient>,
    exempt_until: Option<NaiveDate>,
    /// Why the exemption tag exempts nobody.
    refused_exemption: Option<RefusedExemption>,
    addresses_passed_over: u32,
    is_bedrock_api_key_user: bool,
    keys: Vec<Key<'a>>,
}

#[derive(Serialize)]
struct Key<'a> {
    id: &'a str,
    created_at: String,
    age_days: u32,
    /// `null` where that could not be read.
    ever_used: Option<bool>,
    last_used: Option<Use<'a>>,
    description: Option<&'a str>,
}

#[derive(Serialize)]
struct Use<'a> {
    at: String,
    service: &'a str,
    region: &'a str,
}

/// The document, indented.
pub(super) fn render(report: &Report) -> Result<String> {
    let json = serde_json::to_string_pretty(&document(report)).context("writing JSON")?;
    // Line breaks outside of strings are the document's own.
    let lines = json.lines().map(|line| printable_json(line) + "\n");
    Ok(lines.collect())
}

fn document(report: &Report) -> Document<'_> {
    let counts = report.owner_counts();
    let reasons = SkipReason::NOT_ENQUEUED.into_iter();
    let skipped = |reason| report.users.skipped.get(&reason).copied().unwrap_or_default();
    Document {
        version: 1,
        account_id: report.account_id.as_str(),
        account_alias: report.account_name.as_ref().map(AccountName::as_str),
        as_of: instant(report.as_of),
        alert_after_days: report.alert_after_days,
        contact_tag: &report.contact_tag,
        complete: report.incomplete.is_none(),
        incomplete_because: report.incomplete.as_deref(),
        remarks: &report.remarks,
        listed_whole: report.listed_whole,
        users_in_account: report.users_in_account,
        missed: report.missed.iter().map(missed).collect(),
        users: Users {
            listed: report.users.listed,
            skipped: reasons.map(|reason| (name_of(reason), skipped(reason))).collect(),
            unreadable: report.users.unreadable,
            checked: report.users.checked,
            not_checked: report.users.not_checked,
        },
        stale_owners: StaleOwners {
            total: report.owners.len(),
            mailed: counts.mailed,
            without_contact: counts.without_contact,
            exempt: counts.exempt,
            not_tagged: counts.not_tagged,
        },
        stale_keys: report.owners.iter().map(|owner| owner.keys.len()).sum(),
        addresses_passed_over: report.passed_over(),
        bedrock_api_key_users_with_access_keys: report
            .of_bedrock_api_keys
            .iter()
            .map(UserName::as_str)
            .collect(),
        owners: report.owners.iter().map(owner).collect(),
    }
}

fn missed(Missed { user_name, reason }: &Missed) -> MissedUser<'_> {
    MissedUser { user_name: user_name.as_str(), reason }
}

fn owner(owner: &StaleOwner) -> Owner<'_> {
    let (recipient, exempt_until) = match &owner.telling {
        Telling::Mail(recipient) => (Some(recipient), None),
        Telling::ExemptUntil(day) => (None, Some(*day)),
        Telling::WithoutContact | Telling::NotTagged => (None, None),
    };
    Owner {
        user_name: owner.user_name.as_str(),
        user_id: owner.user_id.as_str(),
        outcome: outcome(&owner.telling),
        recipient,
        exempt_until,
        refused_exemption: owner.refused_exemption,
        addresses_passed_over: owner.passed_over,
        is_bedrock_api_key_user: owner.user_name.is_of_bedrock_api_key(),
        keys: owner.keys.iter().map(key).collect(),
    }
}

fn key(key: &StaleKey) -> Key<'_> {
    let last_used = match &key.last_used {
        Some(LastUsed::At { at, service, region }) => {
            Some(Use { at: instant(*at), service: service.as_str(), region: region.as_str() })
        }
        Some(LastUsed::Never) | None => None,
    };
    Key {
        id: key.id.as_str(),
        created_at: instant(key.created_at),
        age_days: key.age_days,
        ever_used: key.last_used.as_ref().map(|last_used| *last_used != LastUsed::Never),
        last_used,
        description: key.description.as_ref().map(Line::as_str),
    }
}

/// What scripts call what would be done about an owner.
pub(super) fn outcome(telling: &Telling) -> &'static str {
    match telling {
        Telling::Mail(_) => "mailed",
        Telling::WithoutContact => "without_contact",
        Telling::ExemptUntil(_) => "exempt",
        Telling::NotTagged => "not_tagged",
    }
}

fn name_of(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::NeverSignedIn => "never_signed_in",
        SkipReason::OutsidePath => "outside_path",
        SkipReason::TooYoung => "too_young",
        SkipReason::NoPassword => "no_password",
        SkipReason::NoActiveKey => "no_active_key",
        SkipReason::NoOldKey => "no_old_key",
        SkipReason::NotTagged => "not_tagged",
    }
}

/// An instant as scripts read it.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
