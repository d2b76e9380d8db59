//! The report as text for people: what it came to, and a table of the owners.

use std::fmt::Write as _;

use keynudge_core::audience::SkipReason;
use keynudge_core::contact::{ContactSource, Recipient};
use keynudge_core::keys::{LastUsed, StaleKey};

use super::report::{Report, StaleOwner, Telling};
use crate::terminal::{self, grouped, printable};

const HEADER: [&str; 5] = ["USER", "OLDEST KEY", "KEYS", "LAST USED", "WOULD TELL"];
const NUMBERS: [usize; 2] = [1, 2];

/// The text.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{what:<14}{}", printable(value));
    };
    let account_id = report.account_id.as_str();
    match &report.account_name {
        Some(name) => line("Account", &format!("{account_id} ({})", name.as_str())),
        None => line("Account", account_id),
    }
    let as_of = report.as_of.format("%Y-%m-%d %H:%M UTC");
    line("As of", &format!("{as_of}; keys are stale from {} days on", report.alert_after_days));
    line("Users", &users(report));
    line("Stale owners", &owners(report));
    if report.passed_over() > 0 {
        let passed_over = counted(report.passed_over() as usize, "address", "addresses");
        line("Passed over", &format!("{passed_over}: no address at all, or not in an allowed domain"));
    }
    if let Some(said) = report.about_bedrock_api_keys() {
        line("Look into", &said);
    }
    if let Some(reason) = &report.incomplete {
        line("Incomplete", reason);
    }
    if !report.owners.is_empty() {
        text.push('\n');
        text += &terminal::table(&HEADER, &NUMBERS, report.owners.iter().map(row));
    }
    text
}

fn users(report: &Report) -> String {
    let users = &report.users;
    let mut parts = vec![format!("{} checked", grouped(users.checked))];
    let skipped = users.skipped.iter().map(|(reason, count)| (*count, words(*reason)));
    let others = [(users.unreadable, "not readable"), (users.not_checked, "not checked")];
    parts.extend(nonzero(skipped.chain(others)));
    let listed = grouped(users.listed);
    let listed = match (report.listed_whole, report.users_beyond_the_list()) {
        (true, _) => format!("{listed} listed"),
        (false, Some(all)) => format!("{listed} of {} listed", grouped(all)),
        (false, None) => format!("{listed} listed, and others not"),
    };
    format!("{listed}: {}", parts.join(", "))
}

fn owners(report: &Report) -> String {
    if report.owners.is_empty() {
        return "none".to_owned();
    }
    let counts = report.owner_counts();
    let parts = nonzero([
        (counts.mailed, "would be mailed"),
        (counts.without_contact, "without contact"),
        (counts.exempt, "exempt"),
        (counts.not_tagged, "without the contact tag"),
    ]);
    format!("{}: {}", grouped(report.owners.len()), parts.collect::<Vec<_>>().join(", "))
}

fn nonzero<'a>(counts: impl IntoIterator<Item = (usize, &'a str)>) -> impl Iterator<Item = String> {
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    counts.map(|(count, what)| format!("{} {what}", grouped(count)))
}

fn words(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::NeverSignedIn => "never signed in",
        SkipReason::OutsidePath => "outside the path",
        SkipReason::TooYoung => "too young",
        SkipReason::NoPassword => "without a console password",
        SkipReason::NoActiveKey => "without an active key",
        SkipReason::NoOldKey => "without an old key",
        SkipReason::NotTagged => "without the contact tag",
    }
}

fn row(owner: &StaleOwner) -> Vec<String> {
    let oldest = owner.keys.first().map_or(0, |key| key.age_days);
    vec![
        owner.user_name.as_str().to_owned(),
        format!("{} d", grouped(oldest as usize)),
        owner.keys.len().to_string(),
        last_used(&owner.keys),
        would_tell(&owner.telling),
    ]
}

/// The latest use of all keys. Where one is not known, it may have been later than those that are.
fn last_used(keys: &[StaleKey]) -> String {
    let uses = keys.iter().filter_map(|key| match &key.last_used {
        Some(LastUsed::At { at, service, .. }) => Some((at, service.as_str())),
        Some(LastUsed::Never) | None => None,
    });
    match uses.max() {
        Some((at, service)) => format!("{} {service}", at.format("%Y-%m-%d")),
        None if keys.iter().all(|key| key.last_used.is_some()) => "never".to_owned(),
        None => "not known".to_owned(),
    }
}

fn would_tell(telling: &Telling) -> String {
    match telling {
        Telling::Mail(Recipient { to, found_by: by }) => format!("{} ({})", to.as_str(), found_by(*by)),
        Telling::WithoutContact => "nobody: no address".to_owned(),
        Telling::ExemptUntil(day) => format!("nobody: exempt until {day}"),
        Telling::NotTagged => "nobody: no contact tag".to_owned(),
    }
}

/// How an address was found.
pub(super) fn found_by(source: ContactSource) -> &'static str {
    match source {
        ContactSource::Tag => "contact tag",
        ContactSource::UserName => "user name",
        ContactSource::DefaultDomain => "default domain",
        ContactSource::Fallback => "fallback",
    }
}

/// `1 address`, `2 addresses`.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    use keynudge_pages::ages::AgeCounts;

    use crate::scan::report::Users;

    #[test]
    fn a_list_that_was_not_read_to_its_end_says_so() {
        let mut report = Report {
            account_id: "111122223333".parse().unwrap(),
            account_name: None,
            as_of: keynudge_testing::now(),
            alert_after_days: 90,
            contact_tag: "keynudge:contact".to_owned(),
            incomplete: Some("interrupted".to_owned()),
            listed_whole: false,
            users_in_account: Some(5_000),
            missed: vec![],
            users: Users { listed: 1_200, checked: 1_190, not_checked: 10, ..Users::default() },
            ages: AgeCounts::default(),
            of_bedrock_api_keys: vec![],
            owners: vec![],
        };
        assert_eq!(users(&report), "1,200 of 5,000 listed: 1,190 checked, 10 not checked");
        report.users_in_account = None;
        assert_eq!(users(&report), "1,200 listed, and others not: 1,190 checked, 10 not checked");
        report.listed_whole = true;
        assert_eq!(users(&report), "1,200 listed: 1,190 checked, 10 not checked");
    }
}
