//! The report as CSV (RFC 4180): one row per stale key, for spreadsheets.

use anyhow::{Context, Result, anyhow};
use csv::{Terminator, WriterBuilder};
use keynudge_core::contact::Recipient;
use keynudge_core::keys::{LastUsed, StaleKey};

use super::json::{instant, outcome};
use super::report::{Report, StaleOwner, Telling};
use super::table::found_by;
use crate::terminal::printable;

const COLUMNS: [&str; 16] = [
    "account_id",
    "account_alias",
    "as_of",
    "user_name",
    "user_id",
    "key_id",
    "key_created_at",
    "key_age_days",
    "key_last_used",
    "key_last_used_service",
    "key_last_used_region",
    "key_description",
    "outcome",
    "recipient",
    "recipient_found_by",
    "exempt_until",
];

/// A heading, and a row for each key.
pub(super) fn render(report: &Report) -> Result<String> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(COLUMNS).context("writing CSV")?;
    for owner in &report.owners {
        for key in &owner.keys {
            let cells = row(report, owner, key);
            writer.write_record(cells.iter().map(|cell| harmless(cell))).context("writing CSV")?;
        }
    }
    let csv = writer.into_inner().map_err(|error| anyhow!("writing CSV: {error}"))?;
    String::from_utf8(csv).context("writing CSV")
}

fn row(report: &Report, owner: &StaleOwner, key: &StaleKey) -> [String; COLUMNS.len()] {
    let (used, service, region) = match &key.last_used {
        None => (String::new(), "", ""),
        Some(LastUsed::Never) => ("never".to_owned(), "", ""),
        Some(LastUsed::At { at, service, region }) => (instant(*at), service.as_str(), region.as_str()),
    };
    let (recipient, source, exempt_until) = match &owner.telling {
        Telling::Mail(Recipient { to, found_by: by }) => (to.as_str(), found_by(*by), String::new()),
        Telling::ExemptUntil(day) => ("", "", day.to_string()),
        Telling::WithoutContact | Telling::NotTagged => ("", "", String::new()),
    };
    [
        report.account_id.as_str(),
        report.account_name.as_ref().map_or("", |name| name.as_str()),
        &instant(report.as_of),
        owner.user_name.as_str(),
        owner.user_id.as_str(),
        key.id.as_str(),
        &instant(key.created_at),
        &key.age_days.to_string(),
        &used,
        service,
        region,
        key.description.as_ref().map_or("", |text| text.as_str()),
        outcome(&owner.telling),
        recipient,
        source,
        &exempt_until,
    ]
    .map(str::to_owned)
}

/// The cell as a spreadsheet shows it and runs nothing of it: Excel and its kin take what begins with one of these for a
/// formula (OWASP, "CSV Injection"), also behind blanks, and a name of a user of IAM may begin with most of them.
fn harmless(cell: &str) -> String {
    let text = printable(cell);
    if text.trim_start().starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (cell, harmless_cell) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@sum(a1)", "'@sum(a1)"),
            (" =1", "' =1"),
            ("\t=1", "\\u{9}=1"),
            ("jane", "jane"),
            ("", ""),
        ] {
            assert_eq!(harmless(cell), harmless_cell);
        }
    }
}
