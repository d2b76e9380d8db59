//! `keynudge dlq show`.

use anyhow::Result;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use keynudge_core::ids::UserId;
use serde_json::Value;

use crate::Outcome;
use crate::aws::Aws;
use crate::dlq::filter::Filter;
use crate::dlq::held::{Held, holding};
use crate::dlq::letter::{CRASHED, Content, Failure, Letter, Start};
use crate::dlq::queues::Queues;
use crate::dlq::selection::{report_not_put_back, select};
use crate::interrupt::Interrupt;
use crate::numbers::whole;
use crate::terminal::{self, letters, printable, printable_json, rough};

/// Show letters, and put them back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keynudge dlq show findings --reason call_failed
  # With the message as it is
  keynudge dlq show findings --body
  keynudge dlq show --user jane --json")]
pub(crate) struct Show {
    #[command(flatten)]
    queues: Queues,
    /// Show at most so many letters of each queue
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = whole("letters", 1_usize..))]
    limit: usize,
    /// Show the bodies, too; they hold mail addresses and key ids
    #[arg(long)]
    body: bool,
    /// Print one JSON object per letter, with its body
    #[arg(long, conflicts_with = "body")]
    json: bool,
    // Last, since its heading is for all that follows.
    #[command(flatten)]
    filter: Filter,
}

impl Show {
    pub(crate) async fn run(&self, aws: &Aws) -> Result<Outcome> {
        let places = self.queues.locate(aws).await?;
        let interrupt = Interrupt::listen()?;
        let held: Vec<_> = places.iter().map(|place| Held::new(aws.dead_letters(place))).collect();
        let queues: Vec<_> = places.iter().map(|place| place.label.as_str()).zip(&held).collect();
        let now = Utc::now();
        let reading = select(&queues, &self.filter, self.limit, now, &interrupt);
        let (selection, not_put_back) = holding(&held.iter().collect::<Vec<_>>(), reading).await;
        report_not_put_back(not_put_back);
        for (_, letter) in &selection.letters {
            terminal::print(&if self.json { json(letter)? } else { text(letter, now, self.body) })?;
        }
        if selection.is_full {
            terminal::remark(&format!(
                "Shown: {}. There may be more: raise --limit, or narrow them down.",
                letters(selection.letters.len())
            ));
        }
        Ok(selection.report())
    }
}

/// One line, with the body as it is.
pub(crate) fn json(letter: &Letter) -> Result<String> {
    Ok(printable_json(&serde_json::to_string(letter)?) + "\n")
}

/// A few lines for people, and an empty one.
fn text(letter: &Letter, now: DateTime<Utc>, with_body: bool) -> String {
    let head = [&letter.queue, &letter.failure.reason, &format!("{} old", rough(letter.age(now)))];
    let mut lines = vec![
        printable(&head.map(String::as_str).join("  ")),
        indented(&printable(&what(&letter.content))),
        indented(&printable(&why(&letter.failure))),
    ];
    if with_body {
        lines.extend(body(letter).iter().map(|line| indented(line)));
    }
    lines.join("\n") + "\n\n"
}

/// What it asks for, and for whom.
fn what(content: &Content) -> String {
    let user = match (&content.user_name, &content.user_id) {
        (Some(name), _) => Some(name.as_str()),
        (None, id) => id.as_ref().map(UserId::as_str),
    };
    let called = content.account_name.as_ref().map(|name| format!(" ({})", name.as_str()));
    let parts = [
        Some(content.kind.words().to_owned()),
        content.start.as_ref().map(Start::to_string),
        content.account_id.as_ref().map(|account| format!("account {account}{}", called.unwrap_or_default())),
        user.map(|user| format!("user {user}")),
        content.run_id.as_ref().map(|run| format!("run {run}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Who gave it up, and why.
fn why(failure: &Failure) -> String {
    if failure.reason == CRASHED {
        return "moved by SQS: whoever received it never came to say why; see the functions' logs".to_owned();
    }
    let parts = [
        Some("given up".to_owned()),
        failure.function.as_ref().map(|function| format!(" by {function}")),
        failure.attempts.as_ref().map(|attempts| match attempts.as_str() {
            "1" => " at the first attempt".to_owned(),
            attempts => format!(" after {attempts} attempts"),
        }),
        failure.failed_at.as_ref().map(|failed_at| format!(", {}", to_the_second(failed_at))),
        failure.detail.as_ref().map(|detail| format!(": {detail}")),
    ];
    parts.into_iter().flatten().collect()
}

/// An instant in UTC and without its fraction; anything else as it is.
fn to_the_second(instant: &str) -> String {
    let parsed = DateTime::parse_from_rfc3339(instant);
    parsed.map_or_else(
        |_| instant.to_owned(),
        |instant| instant.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true),
    )
}

/// The body's lines: laid out if it is JSON.
fn body(letter: &Letter) -> Vec<String> {
    let laid_out = serde_json::from_str::<Value>(&letter.body)
        .and_then(|body| serde_json::to_string_pretty(&body))
        .map(|body| body.lines().map(printable_json).collect());
    laid_out.unwrap_or_else(|_| vec![printable(&letter.body)])
}

fn indented(line: &str) -> String {
    format!("  {line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dlq::letter::tests::{check, failed_invocation, finding, letter, now};
    use serde_json::json;

    #[test]
    fn a_letter_is_told_in_three_lines() {
        let attributes = [
            ("reason", "call_failed"),
            ("detail", "iam:ListAccessKeys failed: AccessDenied"),
            ("function", "worker"),
            ("attempts", "7"),
            ("failed_at", "2026-03-01T11:00:00.123456789+00:00"),
        ];
        assert_eq!(
            text(&letter(&check("jane"), &attributes), now(), false),
            "users  call_failed  5 min old\n  \
             a check, account 123456789012, user jane, run 2026-03-01T06:00:00Z\n  \
             given up by worker after 7 attempts, 2026-03-01T11:00:00Z: \
             iam:ListAccessKeys failed: AccessDenied\n\n"
        );
    }

    #[test]
    fn an_account_is_told_by_its_name_too_where_it_has_one() {
        for mut body in [check("jane"), finding()] {
            body["account_name"] = json!("Zahlungen & Löhne");
            let text = text(&letter(&body, &[]), now(), false);
            assert!(text.contains(", account 123456789012 (Zahlungen & Löhne), user jane, "), "{text}");
        }
    }

    #[test]
    fn a_failed_start_says_which() {
        let payload = json!({"as_of": "2026-03-01T06:00:00Z", "mode": "dry_run"});
        let text = text(&letter(&failed_invocation(&payload), &[]), now(), false);
        assert!(text.contains("the start of a run, dry run, as of 2026-03-01T06:00:00Z\n"), "{text}");
    }

    #[test]
    fn a_body_is_shown_only_when_asked_for() {
        let letter = letter(&check("jane"), &[]);
        assert!(!text(&letter, now(), false).contains("arn:aws"));
        assert!(text(&letter, now(), true).contains("\n    \"account_id\": \"123456789012\",\n"));
    }

    #[test]
    fn no_part_of_a_hostile_letter_reaches_the_terminal_as_it_is() {
        let hostile = "\u{1b}[2J\u{9b}\u{202e}\r\n";
        let attributes =
            ["reason", "detail", "function", "attempts", "failed_at"].map(|name| (name, hostile));
        for body in [json!(hostile), json!(json!({ "text": hostile }).to_string())] {
            let letter = letter(&body, &attributes);
            for text in [text(&letter, now(), true), json(&letter).unwrap()] {
                let obeyed = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
                assert!(!text.contains(obeyed), "{text:?}");
            }
        }
    }
}
