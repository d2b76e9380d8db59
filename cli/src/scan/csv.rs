//! The report as CSV (RFC 4180): one row per stale key, for spreadsheets, and then one per remark about the
//! scan.

use anyhow::{Context, Result, anyhow};
use csv::{Terminator, WriterBuilder};
use keynudge_core::contact::Recipient;
use keynudge_core::keys::{LastUsed, StaleKey};

use super::json::{instant, outcome};
use super::remarks::{LAST_USE_UNREADABLE, OF_BEDROCK_API_KEY, refused_exemption};
use super::report::{Report, StaleOwner, Telling};
use super::table::found_by;
use crate::terminal::printable;

const COLUMNS: [&str; 17] = [
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
    "remark",
];

/// The outcome of a row that is a remark about the scan, and about no key.
const REMARK: &str = "remark";

/// A heading, a row for each key, and one for each remark.
pub(super) fn render(report: &Report) -> Result<String> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(COLUMNS).context("writing CSV")?;
    for owner in &report.owners {
        for key in &owner.keys {
            let cells = row(report, owner, key);
            writer.write_record(cells.iter().map(|cell| harmless(cell))).context("writing CSV")?;
        }
    }
    for said in &report.remarks {
        let cells = remark(report, said);
        writer.write_record(cells.iter().map(|cell| harmless(cell))).context("writing CSV")?;
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
        &flags(owner, key),
    ]
    .map(str::to_owned)
}

/// What the remarks say of owners, said of this one.
fn flags(owner: &StaleOwner, key: &StaleKey) -> String {
    let flags = [
        owner.user_name.is_of_bedrock_api_key().then_some(OF_BEDROCK_API_KEY),
        owner.refused_exemption.map(refused_exemption),
        key.last_used.is_none().then_some(LAST_USE_UNREADABLE),
    ];
    flags.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn remark(report: &Report, said: &str) -> [String; COLUMNS.len()] {
    let cell = |column| match column {
        "account_id" => report.account_id.as_str(),
        "account_alias" => report.account_name.as_ref().map_or("", |name| name.as_str()),
        "outcome" => REMARK,
        "remark" => said,
        _ => "",
    };
    COLUMNS.map(|column| cell(column).to_owned())
}

/// The cell as a spreadsheet shows it and runs nothing of it. Excel and its kin take what begins with one of
/// these for a formula (OWASP, "CSV Injection"), also behind blanks and quotes, and names and descriptions
/// may begin with most of them. Where `;` parts columns, as in much of Europe, what follows one begins a cell
/// as well. No tab is left in a printable text.
fn harmless(cell: &str) -> String {
    let begins_a_formula = |part: &str| {
        let begin = part.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\u{feff}'));
        begin.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
    };
    let text = printable(cell);
    let parts = text.split(';');
    let parts = parts.map(|part| if begins_a_formula(part) { format!("'{part}") } else { part.to_owned() });
    parts.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use csv::ReaderBuilder;

    use crate::scan::report;

    /// A report about one key of this description.
    fn described(description: &str) -> Report {
        let key = StaleKey {
            id: "AKIAAAAAAAAAAAAAAAAA".parse().unwrap(),
            created_at: keynudge_testing::now(),
            age_days: 100,
            last_used: None,
            description: Some(description.parse().unwrap()),
        };
        let owner = StaleOwner {
            user_name: "=cmd@example".parse().unwrap(),
            user_id: "AIDAAAAAAAAAAAAAAAAAA".parse().unwrap(),
            keys: vec![key],
            telling: Telling::WithoutContact,
            passed_over: 0,
            refused_exemption: None,
        };
        Report { owners: vec![owner], ..report::empty() }
    }

    /// What a spreadsheet sees in the file that parts columns by this.
    fn cells(csv: &str, delimiter: u8) -> Vec<String> {
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .has_headers(false)
            .from_reader(csv.as_bytes());
        let records = reader.records().map(Result::unwrap);
        records.flat_map(|record| record.iter().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn no_cell_is_a_formula() {
        for description in [
            "=cmd|' /C calc'!A0",
            "+1",
            " -1",
            "@sum(a1)",
            "x;=cmd|' /C calc'!A0",
            "x; \"=cmd",
            "x;y;+1",
            "x;\"\";@sum(a1)",
            "x,=1",
        ] {
            let csv = render(&described(description)).unwrap();
            for delimiter in [b',', b';', b'\t'] {
                let formula =
                    |cell: &&String| cell.trim_start_matches([' ', '"']).starts_with(['=', '+', '-', '@']);
                let cells = cells(&csv, delimiter);
                let formulas: Vec<_> = cells.iter().filter(formula).collect();
                assert!(formulas.is_empty(), "{description:?}, {:?}: {formulas:?}", char::from(delimiter));
            }
        }
    }

    #[test]
    fn what_is_no_formula_stays_as_it_is() {
        for cell in ["jane", "", "jane-doe", "a; b", "x = y", "1+1"] {
            assert_eq!(harmless(cell), cell);
        }
    }
}
