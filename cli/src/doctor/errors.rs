//! What the functions' logs complain of.

use chrono::{DateTime, TimeDelta, Utc};
use keynudge_core::failure::FailureClass;
use serde::Deserialize;

use super::answer::{Answer, Unanswered};
use super::deployment::{Deployment, Part, lacks};
use super::line::{Line, Section};
use crate::terminal::{grouped, rough};

/// A line of a message that says it all.
const MESSAGE_CHARS_MAX: usize = 300;

/// What CloudWatch Logs is to look for, among lines of JSON: errors, ends of invocations that are none,
/// records that were not done, and text that Lambda wrapped. [`Trouble::in_line`] looks closer.
pub(crate) const JSON_PATTERN: &str = r#"{ ($.level = "ERROR") || ($.message = "Error: *") || ($.record.status = "error") || ($.record.status = "failure") || ($.record.status = "timeout") || ($.fields.outcome = "given_back") || ($.fields.outcome = "given_up") }"#;

/// The same among other lines: what a function says that cannot start.
pub(crate) const TEXT_PATTERN: &str = r#"?"Error: " ?"Task timed out" ?"panicked at""#;

/// Classes of failures that pass by themselves: such a record is tried again until they do, or until it is
/// given up.
const PASSING: [&str; 2] = [FailureClass::Retry.as_str(), FailureClass::Unknown.as_str()];

/// A line of a log, as it was printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    pub(crate) at: DateTime<Utc>,
    pub(crate) text: String,
}

/// The lines that may be complaints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) lines: Vec<LogLine>,
    /// Whether there are more than were read.
    pub(crate) is_cut: bool,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble {
    kind: Kind,
    what: String,
    /// The section of the runbook that is about it, where the function names one.
    section: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A function failed as a whole.
    Failure,
    /// It gave a record up, or back to be tried again.
    NotDone,
}

/// A line of JSON, of a function's own or of Lambda's.
#[derive(Deserialize)]
struct Json {
    level: Option<String>,
    /// Text that a function printed as it is: where its log format is JSON, Lambda wraps it.
    message: Option<String>,
    #[serde(default)]
    fields: Fields,
    /// Such as `platform.report`.
    #[serde(rename = "type")]
    of_platform: Option<String>,
    #[serde(default)]
    record: Record,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    message: Option<String>,
    error: Option<String>,
    location: Option<String>,
    /// What is wrong with an organization's templates: with all of them, or with one mail.
    problems: Option<String>,
    problem: Option<String>,
    runbook: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    detail: Option<String>,
    /// What to do about it, as `FailureClass` writes it.
    class: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Record {
    status: Option<String>,
    error_type: Option<String>,
}

impl Trouble {
    /// What a line complains of, if it does.
    fn in_line(text: &str) -> Option<Self> {
        match serde_json::from_str::<Json>(text) {
            Ok(json) => Self::in_json(json),
            Err(_) => Self::in_text(text),
        }
    }

    fn in_json(Json { level, message, fields, of_platform, record }: Json) -> Option<Self> {
        if let Some(outcome) =
            fields.outcome.filter(|outcome| matches!(&**outcome, "given_back" | "given_up"))
        {
            let detail = [fields.reason, fields.detail].into_iter().flatten().collect::<Vec<_>>().join(": ");
            let passes =
                outcome == "given_back" && fields.class.is_some_and(|class| PASSING.contains(&&*class));
            let what = format!("{} ({detail})", outcome.replace('_', " "));
            return (!passes).then_some(Self { kind: Kind::NotDone, what, section: None });
        }
        if let Some(trouble) = message.as_deref().and_then(Self::in_text) {
            return Some(trouble);
        }
        if level.as_deref() == Some("ERROR") {
            let of_fields = [fields.message, fields.error, fields.location, fields.problems, fields.problem];
            let said = [message].into_iter().chain(of_fields).flatten();
            let what = said.collect::<Vec<_>>().join(": ");
            return Some(Self { kind: Kind::Failure, what, section: fields.runbook });
        }
        // Of one invocation, or start, Lambda writes other lines with a status, too.
        let is_report = matches!(of_platform.as_deref(), Some("platform.report" | "platform.initReport"));
        let status = record.status.filter(|status| is_report && status != "success")?;
        let error = record.error_type.map(|error| format!(" ({error})")).unwrap_or_default();
        let what = format!("it ended by {status}{error}");
        Some(Self { kind: Kind::Failure, what, section: None })
    }

    fn in_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let complains =
            text.starts_with("Error: ") || text.contains("Task timed out") || text.contains("panicked at");
        complains.then(|| Self { kind: Kind::Failure, what: text.to_owned(), section: None })
    }
}

/// What there is to say of the logs of the last `since`.
pub(super) fn section(
    deployment: &Deployment,
    logs: &[(Part, Option<Answer<Log>>)],
    since: TimeDelta,
) -> Section {
    let lines = logs.iter().map(|(part, log)| match log {
        None => lacks(part.label(), part.function_output()),
        Some(Ok(log)) => complaints(*part, log, since, &deployment.stack_argument()),
        Some(Err(Unanswered::Missing)) => Line::failed(
            part.label(),
            format!("its log group is gone: nothing that it says is kept{}", of(deployment, *part)),
            make_again(deployment, *part),
        ),
        Some(Err(unanswered)) => unanswered.line(part.label()),
    });
    Section { title: "Errors", lines: lines.collect() }
}

/// A deployment does not see that it was deleted.
fn make_again(deployment: &Deployment, part: Part) -> String {
    let function = deployment.output(part.function_output()).unwrap_or_default();
    format!(
        "aws logs create-log-group --region {} --log-group-name /aws/lambda/{function}",
        deployment.region
    )
}

fn of(deployment: &Deployment, part: Part) -> String {
    deployment.output(part.function_output()).map(|name| format!(" ({name})")).unwrap_or_default()
}

fn complaints(part: Part, log: &Log, since: TimeDelta, stack: &str) -> Line {
    let label = part.label();
    let troubles = || log.lines.iter().filter_map(|line| Some((line.at, Trouble::in_line(&line.text)?)));
    let of = |kind| troubles().filter(move |(_, trouble)| trouble.kind == kind);
    let described = |kind: Kind| {
        let count = of(kind).count();
        let (at, last) = of(kind).max_by_key(|(at, _)| *at)?;
        // Logs are read from their beginning on.
        let (more, which) = if log.is_cut { ("at least ", "one") } else { ("", "the last") };
        let at = at.format("%Y-%m-%d %H:%M:%S");
        let what = shortened(&last.what);
        let message = format!("{more}{} in {}, {which} at {at} UTC: {what}", grouped(count), rough(since));
        Some((message, last.section))
    };
    if let Some((message, section)) = described(Kind::Failure) {
        let section = section.unwrap_or_else(|| format!("{label}-errors"));
        let advice =
            format!("infra/RUNBOOK.md#{section}; after the repair: keynudge doctor{stack} --since 10m");
        return Line::failed(label, message, advice);
    }
    match described(Kind::NotDone) {
        Some((message, _)) => {
            let advice = "infra/RUNBOOK.md#reasons-of-dead-letters says what to do about each reason";
            Line::warning(label, message, advice)
        }
        None if log.is_cut => Line::unknown(label, "too much was logged to read it all"),
        None => Line::ok(label, format!("none in {}", rough(since))),
    }
}

fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(MESSAGE_CHARS_MAX).collect();
    if chars.next().is_none() { start } else { format!("{start}…") }
}

#[cfg(test)]
mod tests {
    use super::super::line::Status;
    use super::*;

    fn line(at: &str, text: &str) -> LogLine {
        LogLine { at: format!("2026-03-01T{at}:00Z").parse().unwrap(), text: text.to_owned() }
    }

    fn judged(lines: &[LogLine]) -> Line {
        let log = Log { lines: lines.to_vec(), is_cut: false };
        complaints(Part::Notifier, &log, TimeDelta::days(1), "")
    }

    fn what(text: &str) -> Option<String> {
        Trouble::in_line(text).map(|trouble| trouble.what)
    }

    const DENIED: &str = r#"{"timestamp":"2026-03-01T08:00:00.000000Z","level":"WARN","fields":{"message":"record not done","outcome":"given_back","reason":"call_failed","detail":"ses:SendEmail failed: MessageRejected","class":"operator","user_id":"AIDA"}}"#;

    #[test]
    fn errors_and_ends_that_are_none_are_told_from_the_rest() {
        assert_eq!(
            what(r#"{"level":"ERROR","fields":{"message":"panicked","location":"src/handler.rs:7"}}"#)
                .unwrap(),
            "panicked: src/handler.rs:7"
        );
        assert_eq!(
            what(r#"{"time":"t","type":"platform.report","record":{"requestId":"1","status":"timeout"}}"#)
                .unwrap(),
            "it ended by timeout"
        );
        assert_eq!(
            what(r#"{"type":"platform.initReport","record":{"status":"error","errorType":"Runtime.ExitError"}}"#).unwrap(),
            "it ended by error (Runtime.ExitError)"
        );
        assert_eq!(what("Error: SENDER is missing\n").unwrap(), "Error: SENDER is missing");
        for quiet in [
            r#"{"type":"platform.report","record":{"status":"success"}}"#,
            r#"{"type":"platform.runtimeDone","record":{"status":"timeout"}}"#,
            r#"{"level":"INFO","fields":{"message":"sent","outcome":"sent"}}"#,
            r#"{"level":"WARN","fields":{"message":"last use not known","error":"denied"}}"#,
            r#"{"_aws":{"Timestamp":1},"RecordsGivenBack":1}"#,
            "START RequestId: 1",
        ] {
            assert_eq!(what(quiet), None, "{quiet}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_no_complaint_until_it_is_given_up() {
        assert_eq!(what(DENIED).unwrap(), "given back (call_failed: ses:SendEmail failed: MessageRejected)");
        for (class, code) in [("retry", "HTTP 503"), ("retry", "ServiceFailure"), ("unknown", "timeout")] {
            let passing = DENIED.replace("MessageRejected", code).replace("operator", class);
            assert_eq!(what(&passing), None, "{code}");
            assert!(what(&passing.replace("given_back", "given_up")).is_some(), "{code}");
        }
        // Not the words decide.
        assert!(what(&DENIED.replace("MessageRejected", "Throttling")).is_some());
    }

    #[test]
    fn a_function_that_cannot_start_names_its_variable_however_its_line_reached_the_log() {
        for text in [
            "Error: WORKER_CONCURRENCY: invalid digit",
            r#"{"timestamp":"2026-03-01T06:00:00Z","level":"INFO","message":"Error: WORKER_CONCURRENCY: invalid digit"}"#,
            r#"{"timestamp":"2026-03-01T06:00:00Z","level":"ERROR","fields":{"message":"the function cannot run","error":"WORKER_CONCURRENCY: invalid digit"}}"#,
        ] {
            let line = judged(&[line("06:00", text)]);
            assert_eq!(line.status, Status::Failed, "{text}");
            assert!(line.message.contains("WORKER_CONCURRENCY: invalid digit"), "{}", line.message);
        }
        let wrapped = |message: &str| format!(r#"{{"timestamp":"t","level":"INFO","message":"{message}"}}"#);
        assert!(what(&wrapped("2026-03-01T06:00:10Z 1 Task timed out after 10.00 seconds")).is_some());
        assert_eq!(what(&wrapped("all is well")), None);
    }

    #[test]
    fn the_newest_failure_is_told_with_how_many_there_were() {
        let failed =
            |at, what: &str| line(at, &format!(r#"{{"level":"ERROR","fields":{{"message":"{what}"}}}}"#));
        let line = judged(&[failed("06:00", "first"), failed("07:00", "second"), line("08:00", DENIED)]);
        assert_eq!(line.status, Status::Failed);
        assert_eq!(line.message, "2 in 1 d, the last at 2026-03-01 07:00:00 UTC: second");
        assert!(line.advice.unwrap().starts_with("infra/RUNBOOK.md#notifier-errors"));
    }

    #[test]
    fn unusable_templates_lead_to_the_runbook_s_section_about_them() {
        let unusable = r#"{"level":"ERROR","fields":{"message":"cannot be used","runbook":"templates-unusable","problems":"a.txt:1: b"}}"#;
        let judged = judged(&[line("06:00", unusable)]);
        assert!(judged.message.ends_with("cannot be used: a.txt:1: b"), "{}", judged.message);
        assert!(judged.advice.unwrap().starts_with("infra/RUNBOOK.md#templates-unusable; "));
    }

    #[test]
    fn records_that_were_not_done_are_a_warning() {
        assert_eq!(judged(&[line("08:00", DENIED)]).status, Status::Warning);
        assert_eq!(judged(&[]).status, Status::Ok);
    }

    #[test]
    fn the_runbook_has_the_sections_that_are_named() {
        let runbook = include_str!("../../../infra/RUNBOOK.md");
        for heading in
            ["Producer errors", "Worker errors", "Notifier errors", "Feedback errors", "Templates unusable"]
        {
            assert!(runbook.contains(&format!("\n### {heading}\n")), "{heading}");
        }
        for heading in ["Reasons of dead letters", "Restoring the ledger"] {
            assert!(runbook.contains(&format!("\n## {heading}\n")), "{heading}");
        }
    }
}
