//! A scan as a page: one file, for people who decide, to read on any screen and on paper.

use std::cmp::Reverse;

use anyhow::{Context, Result};
use chrono::{DateTime, NaiveDate, Utc};
use keynudge_core::audience::SkipReason;
use keynudge_core::contact::ContactSource;
use keynudge_core::keys::{LastUsed, StaleKey};
use keynudge_pages::Figure;
use keynudge_pages::ages::AgeChart;
use serde::Serialize;

use crate::scan::remarks::refused_exemption;
use crate::scan::report::{Report, StaleOwner, Telling, Users};
use crate::terminal::grouped;

const TEMPLATE: &str = include_str!("../../templates/scan.html");

/// Where one band of ages ends and the next begins, apart from the age from which keys are old.
const BANDS_FROM_DAYS: [u32; 4] = [90, 180, YEAR, 2 * YEAR];
const YEAR: u32 = 365;

/// A key that nothing used for a quarter is hardly needed.
const UNUSED_AFTER_DAYS: i64 = 90;

/// More rows than these are folded away, so that what follows can be found.
const ROWS_UNFOLDED_MAX: usize = 50;

const DAY: &str = "%Y-%m-%d";

/// The report as one HTML page, which loads nothing and runs nothing.
pub(crate) fn render(report: &Report) -> Result<String> {
    keynudge_pages::render(TEMPLATE, &Page::new(report)).context("making a page of the report")
}

#[derive(Serialize)]
struct Page<'a> {
    headline: String,
    account_id: &'a str,
    as_of: String,
    alert_after_days: u32,
    contact_tag_option: String,
    is_incomplete: bool,
    remarks: &'a [String],
    next: Next,
    figures: Vec<Figure>,
    chart: AgeChart,
    bands: Vec<Band<'a>>,
    without_contact: Option<Folded<ShownOwner<'a>>>,
    any_passed_over: bool,
    exempt: Option<Folded<ShownOwner<'a>>>,
    unused: Option<Folded<UnusedKey<'a>>>,
    unused_after_days: i64,
    never_used_said: String,
    users: Vec<ShownUsers>,
    listed: String,
    version: &'static str,
}

/// How many there are of those with whom there is something to do next.
#[derive(Serialize)]
struct Next {
    mailed: Option<String>,
    without_contact: Option<String>,
    unused: Option<String>,
    never_signed_in: Option<String>,
    /// Everybody was checked, and no old key was found.
    is_clean: bool,
}

/// Owners whose oldest keys are about as old.
#[derive(Serialize)]
struct Band<'a> {
    ages: String,
    open: bool,
    owners_said: String,
    keys_said: String,
    owners: Vec<ShownOwner<'a>>,
}

/// Rows that may be folded away, and how many of what they are.
#[derive(Serialize)]
struct Folded<Row> {
    open: bool,
    said: String,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct ShownOwner<'a> {
    name: Vec<&'a str>,
    keys: Vec<ShownKey<'a>>,
    told: Told<'a>,
    passed_over: u32,
    refused_exemption: Option<&'static str>,
    exempt_until: Option<String>,
}

/// Who would be told of an owner's keys, or that nobody would; and why.
#[derive(Serialize)]
struct Told<'a> {
    who: Option<Vec<&'a str>>,
    why: String,
    /// Whether nobody would be for want of an address, which is to be mended.
    unreachable: bool,
}

#[derive(Serialize)]
struct ShownKey<'a> {
    id: &'a str,
    description: Option<&'a str>,
    age: String,
    created: String,
    last_used: String,
    used_for: Option<String>,
    unused: bool,
}

#[derive(Serialize)]
struct UnusedKey<'a> {
    owner: Vec<&'a str>,
    key: ShownKey<'a>,
}

#[derive(Serialize)]
struct ShownUsers {
    what: &'static str,
    users: String,
}

impl<'a> Page<'a> {
    fn new(report: &'a Report) -> Self {
        let told = |is: fn(&Telling) -> bool| report.owners.iter().filter(move |owner| is(&owner.telling));
        let mut exempt: Vec<&StaleOwner> =
            told(|telling| matches!(telling, Telling::ExemptUntil(_))).collect();
        exempt.sort_by_key(|owner| exempt_until(owner));
        let shown = |owner: &'a StaleOwner| ShownOwner::new(owner, report.as_of);
        let without_contact = told(|telling| *telling == Telling::WithoutContact);
        let unused = unused(report);
        let never = unused.iter().filter(|(_, key)| key.last_used == Some(LastUsed::Never)).count();
        Self {
            headline: headline(report),
            account_id: report.account_id.as_str(),
            as_of: report.as_of.format("%-d %B %Y, %H:%M UTC").to_string(),
            alert_after_days: report.alert_after_days,
            // Quoted for a shell: a tag's key may hold blanks.
            contact_tag_option: format!("\"Key={},Value=OWNER@EXAMPLE.COM\"", report.contact_tag),
            is_incomplete: report.incomplete.is_some(),
            remarks: &report.remarks,
            next: Next::of(report, unused.len()),
            figures: figures(report, unused.len()),
            chart: AgeChart::new(&report.ages, report.alert_after_days),
            bands: bands(report),
            without_contact: Folded::new(without_contact.map(shown).collect(), "owner"),
            any_passed_over: report.owners.iter().any(|owner| owner.passed_over > 0),
            exempt: Folded::new(exempt.into_iter().map(shown).collect(), "owner"),
            unused: Folded::new(
                unused.into_iter().map(|unused| UnusedKey::new(unused, report.as_of)).collect(),
                "key",
            ),
            unused_after_days: UNUSED_AFTER_DAYS,
            never_used_said: format!("{} of them never used", grouped(never)),
            users: users(&report.users),
            listed: grouped(report.users.listed),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl Next {
    fn of(report: &Report, unused: usize) -> Self {
        let counts = report.owner_counts();
        let some = |count, what| (count > 0).then(|| counted(count, what));
        let never_signed_in = report.users.skipped.get(&SkipReason::NeverSignedIn).copied();
        Self {
            mailed: some(counts.mailed, "owner"),
            without_contact: some(counts.without_contact, "owner"),
            unused: some(unused, "old key"),
            never_signed_in: some(never_signed_in.unwrap_or_default(), "user"),
            is_clean: report.owners.is_empty() && report.incomplete.is_none(),
        }
    }
}

impl<Row> Folded<Row> {
    /// `None` if there are no rows.
    fn new(rows: Vec<Row>, what: &str) -> Option<Self> {
        let open = rows.len() <= ROWS_UNFOLDED_MAX;
        (!rows.is_empty()).then(|| Self { open, said: counted(rows.len(), what), rows })
    }
}

impl<'a> ShownOwner<'a> {
    fn new(owner: &'a StaleOwner, as_of: DateTime<Utc>) -> Self {
        Self {
            name: parts(owner.user_name.as_str()),
            keys: owner.keys.iter().map(|key| ShownKey::new(key, as_of)).collect(),
            told: Told::of(&owner.telling),
            passed_over: owner.passed_over,
            refused_exemption: owner.refused_exemption.map(refused_exemption),
            exempt_until: exempt_until(owner).map(|day| day.format(DAY).to_string()),
        }
    }
}

impl<'a> Told<'a> {
    fn of(telling: &'a Telling) -> Self {
        let nobody = |why| Self { who: None, why, unreachable: *telling == Telling::WithoutContact };
        match telling {
            Telling::Mail(recipient) => {
                let why = match recipient.found_by {
                    ContactSource::Tag => "named by the contact tag",
                    ContactSource::UserName => "the user name is the address",
                    ContactSource::DefaultDomain => "name at the default domain",
                    ContactSource::Fallback => "fallback: no other address is known",
                };
                Self { who: Some(parts(recipient.to.as_str())), why: why.to_owned(), unreachable: false }
            }
            Telling::WithoutContact => nobody("no address is known".to_owned()),
            Telling::ExemptUntil(day) => nobody(format!("exempt until {}", day.format(DAY))),
            Telling::NotTagged => nobody("not in the audience: no contact tag".to_owned()),
        }
    }
}

impl<'a> ShownKey<'a> {
    fn new(key: &'a StaleKey, as_of: DateTime<Utc>) -> Self {
        let (last_used, used_for) = match &key.last_used {
            None => ("not known".to_owned(), None),
            Some(LastUsed::Never) => ("never".to_owned(), None),
            Some(LastUsed::At { at, service, region }) => {
                let region = Some(region.as_str()).filter(|region| *region != "N/A");
                let place = region.map(|region| format!(" in {region}")).unwrap_or_default();
                (at.format(DAY).to_string(), Some(format!("{}{place}", service.as_str())))
            }
        };
        Self {
            id: key.id.as_str(),
            description: key.description.as_ref().map(keynudge_core::ids::Line::as_str),
            age: counted(key.age_days as usize, "day"),
            created: key.created_at.format(DAY).to_string(),
            last_used,
            used_for,
            unused: is_unused(key, now_or(as_of)),
        }
    }
}

impl<'a> UnusedKey<'a> {
    fn new((owner, key): (&'a StaleOwner, &'a StaleKey), as_of: DateTime<Utc>) -> Self {
        Self { owner: parts(owner.user_name.as_str()), key: ShownKey::new(key, as_of) }
    }
}

fn headline(report: &Report) -> String {
    let account = report.account_name.as_ref().map_or(report.account_id.as_str(), |name| name.as_str());
    match report.owners.len() {
        0 => format!("No owners with old access keys in {account}"),
        owners => format!("{} with old access keys in {account}", counted(owners, "owner")),
    }
}

fn figures(report: &Report, unused: usize) -> Vec<Figure> {
    let owners = &report.owners;
    let told = |is: fn(&Telling) -> bool| grouped(owners.iter().filter(|owner| is(&owner.telling)).count());
    let keys = owners.iter().map(|owner| owner.keys.len()).sum();
    let oldest = owners.iter().map(oldest_days).max();
    let mut figures = vec![
        Figure::new("owners with old keys", grouped(owners.len())).with_link("owners").main(),
        Figure::new("would be mailed", told(|telling| matches!(telling, Telling::Mail(_))))
            .with_link("next")
            .main(),
        Figure::new("without contact", told(|telling| *telling == Telling::WithoutContact))
            .with_link("without-contact")
            .main(),
        Figure::new("exempt", told(|telling| matches!(telling, Telling::ExemptUntil(_)))).with_link("exempt"),
        Figure::new("old keys", grouped(keys)).with_link("ages"),
        Figure::new("unused old keys", grouped(unused)).with_link("unused"),
        Figure::new("days: the oldest key", oldest.map_or("–".to_owned(), |days| grouped(days as usize))),
        Figure::new("users checked", grouped(report.users.checked)).with_link("users"),
    ];
    let not_tagged = owners.iter().filter(|owner| owner.telling == Telling::NotTagged).count();
    if not_tagged > 0 {
        figures.push(Figure::new("outside the audience", grouped(not_tagged)));
    }
    figures
}

/// The oldest first, and those that somebody is in.
fn bands(report: &Report) -> Vec<Band<'_>> {
    let later = BANDS_FROM_DAYS.into_iter().filter(|days| *days > report.alert_after_days);
    let mut from: Vec<u32> = [report.alert_after_days].into_iter().chain(later).collect();
    from.reverse();
    let ends = [None].into_iter().chain(from.iter().copied().map(Some));
    let mut rows_unfolded = 0;
    let bands = from.iter().copied().zip(ends).filter_map(|(from, end)| {
        let is_in = |owner: &&StaleOwner| {
            let days = oldest_days(owner);
            days >= from && end.is_none_or(|end| days < end)
        };
        let owners: Vec<_> = report.owners.iter().filter(is_in).collect();
        rows_unfolded += owners.len();
        let keys = owners.iter().map(|owner| owner.keys.len()).sum();
        (!owners.is_empty()).then(|| Band {
            ages: ages(from, end),
            open: rows_unfolded <= ROWS_UNFOLDED_MAX,
            owners_said: counted(owners.len(), "owner"),
            keys_said: counted(keys, "old key"),
            owners: owners.into_iter().map(|owner| ShownOwner::new(owner, report.as_of)).collect(),
        })
    });
    bands.collect()
}

fn ages(from: u32, end: Option<u32>) -> String {
    match (from, end) {
        (YEAR, Some(_)) => "1 to 2 years".to_owned(),
        (_, Some(end)) => format!("{from} to {} days", end - 1),
        (from, None) if from == 2 * YEAR => "2 years and more".to_owned(),
        (from, None) => format!("{} days and more", grouped(from as usize)),
    }
}

fn oldest_days(owner: &StaleOwner) -> u32 {
    owner.keys.iter().map(|key| key.age_days).max().unwrap_or_default()
}

fn exempt_until(owner: &StaleOwner) -> Option<NaiveDate> {
    match owner.telling {
        Telling::ExemptUntil(day) => Some(day),
        _ => None,
    }
}

/// Never used ones first, then those used the longest ago; the oldest first where that is the same.
fn unused(report: &Report) -> Vec<(&StaleOwner, &StaleKey)> {
    let all = report.owners.iter().flat_map(|owner| owner.keys.iter().map(move |key| (owner, key)));
    let mut unused: Vec<_> = all.filter(|(_, key)| is_unused(key, now_or(report.as_of))).collect();
    unused.sort_by_key(|(_, key)| (used_at(key), Reverse(key.age_days)));
    unused
}

/// Judged ahead, a key is as long unused as it is by now: nobody knows what will use it until then.
fn now_or(as_of: DateTime<Utc>) -> DateTime<Utc> {
    as_of.min(Utc::now())
}

/// A key of which it is not known when it was used is not taken for an unused one.
fn is_unused(key: &StaleKey, as_of: DateTime<Utc>) -> bool {
    match &key.last_used {
        None => false,
        Some(LastUsed::Never) => true,
        Some(LastUsed::At { at, .. }) => (as_of - *at).num_days() >= UNUSED_AFTER_DAYS,
    }
}

fn used_at(key: &StaleKey) -> Option<DateTime<Utc>> {
    match key.last_used {
        Some(LastUsed::At { at, .. }) => Some(at),
        None | Some(LastUsed::Never) => None,
    }
}

/// What became of the users listed; the numbers add up to it.
fn users(users: &Users) -> Vec<ShownUsers> {
    let skipped = users.skipped.iter().map(|(reason, users)| (why_skipped(*reason), *users));
    let rows = [("checked", users.checked)].into_iter().chain(skipped).chain([
        ("not checked: could not be read, or not yet", users.not_checked),
        ("not what IAM says its users are", users.unreadable),
    ]);
    let rows = rows.filter(|(_, users)| *users > 0);
    rows.map(|(what, users)| ShownUsers { what, users: grouped(users) }).collect()
}

fn why_skipped(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::NeverSignedIn => "skipped: never signed in to the console, as service users never do",
        SkipReason::OutsidePath => "skipped: under another path",
        SkipReason::TooYoung => "skipped: too young, created within the limit, and so were their keys",
        SkipReason::NoPassword => "skipped: no console password any more, by the credential report",
        SkipReason::NoActiveKey => "skipped: no active key, by the credential report",
        SkipReason::NoOldKey => "skipped: no old key, by the credential report",
        SkipReason::NotTagged => "skipped: no contact tag",
    }
}

/// A name or an address, apart where a line ends best.
fn parts(name: &str) -> Vec<&str> {
    let at = name.find('@').filter(|at| *at > 0);
    at.map_or_else(|| vec![name], |at| vec![&name[..at], &name[at..]])
}

/// `1 owner`, `2 owners`, `3,000 owners`.
fn counted(count: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
