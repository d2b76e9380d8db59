//! The report as text for people: counts, and a table of the owners.

use std::fmt::Write as _;

use keynudge_core::audience::SkipReason;
use keynudge_core::contact::{ContactSource, Recipient};
use keynudge_core::keys::{LastUsed, StaleKey};

use super::remarks::refused_exemption;
use super::report::{Report, StaleOwner, Telling};
use crate::terminal::{self, grouped, printable};

const HEADER: [&str; 5] = ["USER", "KEYS", "OLDEST KEY", "LAST USED", "WOULD BE MAILED"];
const NUMBERS: [usize; 2] = [1, 2];

/// The text for a terminal of so many `columns`. Without them it is for a file, and contains the remarks that
/// a terminal shows beside it.
pub(super) fn render(report: &Report, columns: Option<usize>) -> String {
    let mut text = terminal::fitted(&head(report), columns);
    if columns.is_none() && !report.remarks.is_empty() {
        text.push('\n');
        text.extend(report.remarks.iter().map(|remark| printable(remark) + "\n"));
    }
    if !report.owners.is_empty() {
        text.push('\n');
        text += &terminal::table_within(columns, &HEADER, &NUMBERS, report.owners.iter().map(row));
    }
    text
}

/// What it came to, on a line.
pub(super) fn summary(report: &Report) -> String {
    let outcomes = outcomes(report).into_iter().map(|(count, what, _)| format!("{} {what}", grouped(count)));
    format!("{}: {}.", owners(report, " owners"), outcomes.collect::<Vec<_>>().join(", "))
}

fn head(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "{what:<10}{}", printable(value));
    };
    let account_id = report.account_id.as_str();
    match &report.account_name {
        Some(name) => line("Account", &format!("{account_id} ({})", name.as_str())),
        None => line("Account", account_id),
    }
    let as_of = report.as_of.format("%Y-%m-%d %H:%M UTC");
    line("As of", &format!("{as_of}; limit: {} days", report.alert_after_days));
    if let Some(reason) = &report.incomplete {
        line("Incomplete", &format!(" {reason}"));
    }
    line("Users", &listed(report));
    for (count, what, meaning) in users(report) {
        line(&format!("{:>7}", grouped(count)), &[what, meaning].concat());
    }
    line("Owners", &owners(report, ""));
    for (count, what, meaning) in outcomes(report) {
        line(&format!("{:>7}", grouped(count)), &[what, meaning].concat());
    }
    if report.passed_over() > 0 {
        let ignored = counted(report.passed_over() as usize, "address", "addresses");
        line("Ignored", &format!("{ignored}: invalid, or domain not allowed"));
    }
    text
}

/// How many of something there are, what it is, and what that means.
type Count = (usize, &'static str, &'static str);

fn listed(report: &Report) -> String {
    let listed = grouped(report.users.listed);
    match (report.listed_whole, report.users_beyond_the_list()) {
        (true, _) => format!("{listed} listed"),
        (false, Some(all)) => format!("{listed} of {} listed", grouped(all)),
        (false, None) => format!("{listed} listed, and others not"),
    }
}

fn users(report: &Report) -> Vec<Count> {
    let users = &report.users;
    let skipped = users.skipped.iter().map(|(reason, count)| {
        let (what, meaning) = why(*reason);
        (*count, what, meaning)
    });
    let others = [(users.unreadable, "not readable", ""), (users.not_checked, "not checked", "")];
    nonzero([(users.checked, "checked", "")].into_iter().chain(skipped).chain(others))
}

fn why(reason: SkipReason) -> (&'static str, &'static str) {
    match reason {
        SkipReason::NeverSignedIn => {
            ("never signed in", ": left out, service users too (--audience all has them)")
        }
        SkipReason::OutsidePath => ("outside the path", ": left out (--path-prefix)"),
        SkipReason::TooYoung => ("too young", ": the user, and so each key, is newer than the limit"),
        SkipReason::NoPassword => ("without a console password", ", by the credential report"),
        SkipReason::NoActiveKey => ("without an active key", ", by the credential report"),
        SkipReason::NoOldKey => ("without an old key", ", by the credential report"),
        SkipReason::NotTagged => ("without the contact tag", ": left out (--audience)"),
    }
}

fn owners(report: &Report, what: &str) -> String {
    match report.owners.len() {
        0 => "none with old keys".to_owned(),
        owners => format!("{}{what} with old keys", grouped(owners)),
    }
}

fn outcomes(report: &Report) -> Vec<Count> {
    let counts = report.owner_counts();
    nonzero([
        (counts.mailed, "would be mailed", ""),
        (counts.without_contact, "without contact", ": no address is known, so they get no mail"),
        (counts.exempt, "exempt", ": their tag keynudge:exempt-until names a later day"),
        (counts.not_tagged, "without the contact tag", ": left out (--audience)"),
    ])
}

fn nonzero(counts: impl IntoIterator<Item = Count>) -> Vec<Count> {
    counts.into_iter().filter(|(count, ..)| *count > 0).collect()
}

fn row(owner: &StaleOwner) -> Vec<String> {
    let oldest = owner.keys.first();
    vec![
        owner.user_name.as_str().to_owned(),
        owner.keys.len().to_string(),
        format!("{} d", grouped(oldest.map_or(0, |key| key.age_days as usize))),
        oldest.map(last_used).unwrap_or_default(),
        would_be_mailed(owner),
    ]
}

fn last_used(key: &StaleKey) -> String {
    match &key.last_used {
        Some(LastUsed::At { at, service, .. }) => format!("{} {}", at.format("%Y-%m-%d"), service.as_str()),
        Some(LastUsed::Never) => "never".to_owned(),
        None => "not known".to_owned(),
    }
}

fn would_be_mailed(owner: &StaleOwner) -> String {
    let outcome = match &owner.telling {
        Telling::Mail(Recipient { to, found_by }) => {
            let by = match found_by {
                ContactSource::Tag => "tag",
                ContactSource::UserName => "name",
                ContactSource::DefaultDomain => "domain",
                ContactSource::Fallback => "fallback",
            };
            format!("{} ({by})", to.as_str())
        }
        Telling::WithoutContact => "no: no address".to_owned(),
        Telling::ExemptUntil(day) => format!("no: exempt until {day}"),
        Telling::NotTagged => "no: no contact tag".to_owned(),
    };
    match owner.refused_exemption {
        Some(refused) => format!("{outcome}; {}", refused_exemption(refused)),
        None => outcome,
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

    use chrono::TimeDelta;
    use keynudge_core::exemption::RefusedExemption;
    use unicode_width::UnicodeWidthStr;

    use crate::scan::report::{self, OwnerCounts, Users};

    fn report() -> Report {
        Report { users_in_account: Some(5_000), ..report::empty() }
    }

    fn key(age_days: u32, last_used: Option<LastUsed>) -> StaleKey {
        let created_at = keynudge_testing::now() - TimeDelta::days(age_days.into());
        StaleKey {
            id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
            created_at,
            age_days,
            last_used,
            description: None,
        }
    }

    #[test]
    fn a_list_that_was_not_read_to_its_end_says_so() {
        let users = Users { listed: 1_200, checked: 1_190, not_checked: 10, ..Users::default() };
        let mut report = Report { users, listed_whole: false, ..report() };
        assert_eq!(listed(&report), "1,200 of 5,000 listed");
        report.users_in_account = None;
        assert_eq!(listed(&report), "1,200 listed, and others not");
        report.listed_whole = true;
        assert_eq!(listed(&report), "1,200 listed");
    }

    #[test]
    fn the_last_use_beside_the_oldest_keys_age_is_its_own() {
        let used = LastUsed::At {
            at: "2026-03-01T00:00:00Z".parse().unwrap(),
            service: "s3".parse().unwrap(),
            region: "eu-west-1".parse().unwrap(),
        };
        let owner = StaleOwner {
            user_name: "jane".parse().unwrap(),
            user_id: "AIDA0000000000000001".parse().unwrap(),
            keys: vec![key(400, Some(LastUsed::Never)), key(100, Some(used))],
            telling: Telling::WithoutContact,
            passed_over: 0,
            refused_exemption: Some(RefusedExemption::NotADate),
        };
        let expected = ["jane", "2", "400 d", "never", "no: no address; exemption tag without a date"];
        assert_eq!(row(&owner), expected);
    }

    /// With every line that there may be, and names as long as IAM allows.
    #[test]
    fn no_line_is_wider_than_a_terminal_of_80_columns() {
        let reasons = SkipReason::NOT_ENQUEUED.into_iter().chain([SkipReason::NotTagged]);
        let recipient = |found_by| Recipient {
            to: format!("{}@corp.example", "y".repeat(64)).parse().unwrap(),
            found_by,
        };
        let tellings = [
            Telling::Mail(recipient(ContactSource::Fallback)),
            Telling::WithoutContact,
            Telling::ExemptUntil("2026-12-31".parse().unwrap()),
            Telling::NotTagged,
        ];
        let owners = tellings.map(|telling| StaleOwner {
            user_name: "x".repeat(64).parse().unwrap(),
            user_id: "AIDA0000000000000001".parse().unwrap(),
            keys: vec![key(9_999, None)],
            telling,
            passed_over: 1_000,
            refused_exemption: Some(RefusedExemption::NotADate),
        });
        let users = Users {
            listed: 1_000_000,
            unreadable: 1,
            skipped: reasons.map(|reason| (reason, 100_000)).collect(),
            checked: 1,
            not_checked: 1,
        };
        let account_name = Some("a".repeat(63).parse().unwrap());
        let report = Report { account_name, users, listed_whole: false, owners: owners.into(), ..report() };
        let OwnerCounts { mailed, without_contact, exempt, not_tagged } = report.owner_counts();
        assert_eq!([mailed, without_contact, exempt, not_tagged], [1; 4]);
        let text = render(&report, Some(80));
        let too_wide: Vec<&str> = text.lines().filter(|line| line.width() > 80).collect();
        assert_eq!(too_wide, [""; 0]);
        assert!(
            text.contains("never signed in: left out, service users too (--audience all has them)"),
            "{text}"
        );
    }
}
