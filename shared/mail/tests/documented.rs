//! `docs/MAIL.md` says what there is: every variable with its type and an example, and templates that are fit to be used.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;

use chrono::NaiveDate;
use keynudge_core::mail::{Part, Reminder, ReminderSettings};
use keynudge_mail::{Templates, file_name, made_up};
use serde_json::Value;
use tempfile::TempDir;

fn documentation() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/MAIL.md");
    fs::read_to_string(path).unwrap()
}

/// Made-up reminders of every kind, with and without the settings that may be left out.
fn reminders() -> Vec<Reminder> {
    let bare = ReminderSettings {
        alert_after_days: NonZeroU32::new(90).unwrap(),
        remind_every_days: NonZeroU32::new(7).unwrap(),
        max_exemption_days: NonZeroU32::new(90).unwrap(),
        support_contact: None,
        organization_name: None,
        policy_link: None,
        redirect_all_to: None,
    };
    let full = ReminderSettings {
        support_contact: Some("cloud-help@example.com".parse().unwrap()),
        organization_name: Some("Example & Sons".parse().unwrap()),
        policy_link: Some("https://wiki.example.com/access-keys".parse().unwrap()),
        ..bare.clone()
    };
    let words = ReminderSettings { support_contact: Some("#cloud-help".parse().unwrap()), ..bare.clone() };
    let kinds = made_up("2026-01-15T12:00:00Z".parse().unwrap());
    kinds.iter().flat_map(|kind| [&bare, &full, &words].map(|settings| kind.reminder(settings))).collect()
}

/// What is seen of one variable.
#[derive(Default)]
struct Seen {
    times: usize,
    is_none: bool,
    kinds: BTreeSet<&'static str>,
    values: BTreeSet<String>,
}

/// Looks at a value and at all within it.
fn look(path: &str, value: &Value, seen: &mut BTreeMap<String, Seen>) {
    let variable = seen.entry(path.to_owned()).or_default();
    variable.times += 1;
    match value {
        Value::Null => variable.is_none = true,
        Value::Object(fields) => {
            variable.kinds.insert("group");
            for (name, field) in fields {
                look(format!("{path}.{name}").trim_start_matches('.'), field, seen);
            }
        }
        Value::Array(items) => {
            variable.kinds.insert("list");
            for item in items {
                look(&format!("{path}[]"), item, seen);
            }
        }
        Value::String(text) => {
            variable.kinds.insert(if text.parse::<NaiveDate>().is_ok() { "day" } else { "text" });
            variable.values.insert(text.clone());
        }
        Value::Bool(yes) => {
            variable.kinds.insert("yes or no");
            variable.values.insert(yes.to_string());
        }
        scalar @ Value::Number(_) => {
            variable.kinds.insert("number");
            variable.values.insert(scalar.to_string());
        }
    }
}

/// The type of a variable as the documentation has it. `None` for what only holds others.
fn kind(path: &str, all: &BTreeMap<String, Seen>) -> Option<String> {
    let seen = &all[path];
    let kinds: Vec<_> = seen.kinds.iter().copied().collect();
    let [kind] = kinds[..] else { panic!("{path} is {kinds:?}") };
    if path.is_empty() || kind == "list" || (kind == "group" && !seen.is_none) {
        return None;
    }
    let holder = path.rsplit_once('.').map_or("", |(holder, _)| holder);
    // What is in a group that may be none is there whenever the group is.
    let is_missing = !all[holder].is_none && seen.times < all[holder].times;
    let or = |so: bool, word: &'static str| if so { word } else { "" };
    Some(format!("{kind}{}{}", or(seen.is_none, " or none"), or(is_missing, " or missing")))
}

#[test]
fn every_variable_is_documented_with_its_type_and_a_true_example() {
    let mut seen = BTreeMap::new();
    for reminder in reminders() {
        look("", &serde_json::to_value(reminder).unwrap(), &mut seen);
    }
    let there: BTreeMap<&str, String> =
        seen.keys().filter_map(|path| Some((path.as_str(), kind(path, &seen)?))).collect();

    let text = documentation();
    let (_, section) = text.split_once("\n## Variables\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut documented = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let path = cells[0].trim_end_matches('`');
        documented.insert(path, cells[1].to_owned());
        let example = cells[2].trim_matches('`');
        if !cells[1].starts_with("group") {
            assert!(
                seen[path].values.contains(example),
                "{path}: {example} is none of {:?}",
                seen[path].values
            );
        }
    }
    assert_eq!(documented, there);
}

#[test]
fn the_documented_example_is_fit_to_be_used() {
    let text = documentation();
    let directory = TempDir::new().unwrap();
    for part in Part::ALL {
        let (_, rest) = text.split_once(&format!("`keynudge/{}`:\n\n```jinja\n", file_name(part))).unwrap();
        let (source, _) = rest.split_once("```").unwrap();
        fs::write(directory.path().join(file_name(part)), source).unwrap();
    }
    let templates = Templates::own(directory.path());
    let templates = templates.unwrap_or_else(|problems| panic!("{problems:#?}"));
    for reminder in reminders() {
        let rendered = templates.render(&reminder).unwrap();
        assert!(!rendered.is_fallback && rendered.mail.subject.contains("AWS-Zugriffsschlüssel"));
    }
}
