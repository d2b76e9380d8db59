//! What is said of each thing that was looked at: a line, and what to do about it.

use std::fmt::Write as _;

use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;

use crate::terminal::{printable, wrapped};

/// How it stands with a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It does not work.
    Failed,
    /// It works, and will bite.
    Warning,
    /// Nobody can tell, or it does not apply.
    Unknown,
}

impl Status {
    fn sign(self) -> char {
        match self {
            Self::Ok => '✔',
            Self::Failed => '✘',
            Self::Warning => '⚠',
            Self::Unknown => '–',
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Failed => AnsiColor::Red.on_default().bold(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Unknown => Style::new().dimmed(),
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// What was looked at.
    pub(super) check: String,
    pub(super) status: Status,
    /// How it is.
    pub(super) message: String,
    /// What to do. Always there where something failed or will bite.
    pub(super) advice: Option<String>,
}

impl Line {
    pub(super) fn ok(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self { check: check.into(), status: Status::Ok, message: message.into(), advice: None }
    }

    pub(super) fn failed(
        check: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { check: check.into(), status: Status::Failed, message: message.into(), advice }
    }

    pub(super) fn warning(
        check: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { status: Status::Warning, ..Self::failed(check, message, advice) }
    }

    pub(super) fn unknown(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: Status::Unknown, ..Self::ok(check, message) }
    }

    /// Something to do about what cannot be told.
    pub(super) fn advising(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

/// What was looked at, under a heading.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) lines: Vec<Line>,
}

/// Whether something does not work.
pub(super) fn any_failed(sections: &[Section]) -> bool {
    lines(sections).any(|line| line.status == Status::Failed)
}

fn lines(sections: &[Section]) -> impl Iterator<Item = &Line> {
    sections.iter().flat_map(|section| &section.lines)
}

/// For people, on a terminal of so many columns. Aligned, a line each, and what to do below it.
pub(super) fn text(sections: &[Section], in_colour: bool, columns: Option<usize>) -> String {
    let width = lines(sections).map(|line| printable(&line.check).chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for Section { title, lines } in sections {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{title}");
        for line in lines {
            let check = printable(&line.check);
            let padding = width - check.chars().count();
            let sign = painted(line.status, &line.status.sign().to_string(), in_colour);
            let begin = width + 6;
            let message = wrapped(&printable(&on_one_line(&line.message)), begin, begin, columns);
            let _ = writeln!(text, "  {sign} {check}{:padding$}  {message}", "");
            if let Some(advice) = &line.advice {
                // A command stays in one piece, to be copied.
                let columns = columns.filter(|_| !has_command(advice));
                let _ = writeln!(text, "      → {}", wrapped(&printable(advice), 8, 8, columns));
            }
        }
        text.push('\n');
    }
    text + &summary(sections, in_colour)
}

fn has_command(advice: &str) -> bool {
    ["aws ", "keynudge "].iter().any(|program| advice.contains(program))
}

/// Some of the SDK's errors are lists of what was tried.
fn on_one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

fn summary(sections: &[Section], in_colour: bool) -> String {
    let counted = [Status::Ok, Status::Failed, Status::Warning, Status::Unknown].map(|status| {
        let count = lines(sections).filter(|line| line.status == status).count();
        let sign = status.sign();
        // What there is none of does not catch the eye.
        let status = if count == 0 { Status::Unknown } else { status };
        painted(status, &format!("{count} {sign}"), in_colour)
    });
    let verdict = if any_failed(sections) {
        "Something does not work: see ✘."
    } else {
        "Nothing found that does not work."
    };
    format!("{verdict} {}\n", counted.join("  "))
}

fn painted(status: Status, text: &str, in_colour: bool) -> String {
    let style = if in_colour { status.style() } else { Style::new() };
    format!("{style}{text}{style:#}")
}

/// For programs: one JSON object per line of the text.
pub(super) fn json(sections: &[Section]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Object<'a> {
        section: &'a str,
        #[serde(flatten)]
        line: &'a Line,
    }
    let mut json = String::new();
    for Section { title, lines } in sections {
        for line in lines {
            json +=
                &crate::terminal::printable_json(&serde_json::to_string(&Object { section: title, line })?);
            json.push('\n');
        }
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections() -> Vec<Section> {
        vec![
            Section {
                title: "Caller",
                lines: vec![
                    Line::ok("credentials", "tried:\n  arn:aws:iam::123456789012:user/jane"),
                    Line::warning("iam:ListUsers", "denied", "allow it"),
                ],
            },
            Section {
                title: "Stack",
                lines: vec![
                    Line::failed("x", "\u{1b}[2Jbroken", "repair it"),
                    Line::unknown("y", "who knows"),
                ],
            },
        ]
    }

    #[test]
    fn lines_are_aligned_and_say_below_what_to_do() {
        let expected = "\
Caller
  ✔ credentials    tried:; arn:aws:iam::123456789012:user/jane
  ⚠ iam:ListUsers  denied
      → allow it

Stack
  ✘ x              \\u{1b}[2Jbroken
      → repair it
  – y              who knows

Something does not work: see ✘. 1 ✔  1 ✘  1 ⚠  1 –
";
        assert_eq!(text(&sections(), false, None), expected);
    }

    #[test]
    fn colours_are_of_the_signs_alone() {
        let coloured = text(&sections(), true, None);
        assert!(coloured.contains("\u{1b}[32m✔\u{1b}[0m credentials "), "{coloured:?}");
        let plain = coloured.split('\u{1b}').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest));
        assert!(coloured.len() > plain.clone().map(str::len).sum());
    }

    #[test]
    fn without_a_failure_nothing_is_said_to_be_broken() {
        let mut sections = sections();
        assert!(any_failed(&sections));
        sections[1].lines.remove(0);
        assert!(!any_failed(&sections));
        assert!(
            text(&sections, false, None).ends_with("Nothing found that does not work. 1 ✔  0 ✘  1 ⚠  1 –\n")
        );
    }

    #[test]
    fn nothing_exceeds_the_terminal_but_commands_and_no_id_is_broken() {
        let arn = "arn:aws:iam::123456789012:user/a/path/to/jane, account 123456789012, us-east-1";
        let command = "aws sqs set-queue-attributes --region us-east-1 --queue-url https://sqs.us-east-1.amazonaws.com/123456789012/users";
        let lines = vec![
            Line::warning(
                "dead letters: accounts",
                arn,
                "have somebody allow it who may, and look again in an hour or so",
            ),
            Line::failed(
                "users",
                "a message that crashes its function is tried until it is too old, and is lost",
                command,
            ),
        ];
        let text = text(&[Section { title: "Queues", lines }], false, Some(80));
        let too_long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(too_long, [format!("      → {command}")]);
        assert_eq!(text.matches("123456789012,").count(), 1, "{text}");
    }

    #[test]
    fn a_sign_that_stands_for_nothing_does_not_catch_the_eye() {
        let sections = [Section { title: "x", lines: vec![Line::ok("y", "z")] }];
        let summary = summary(&sections, true);
        assert!(
            summary.contains("\u{1b}[2m0 ✘\u{1b}[0m") && summary.contains("\u{1b}[32m1 ✔"),
            "{summary:?}"
        );
    }

    #[test]
    fn json_has_an_object_per_line() {
        let json = json(&sections()).unwrap();
        let lines: Vec<&str> = json.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(
            lines[2],
            r#"{"section":"Stack","check":"x","status":"failed","message":"\u001b[2Jbroken","advice":"repair it"}"#
        );
    }
}
