//! Whether runs start by themselves, and what they would do.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Deserialize;

use super::answer::{Answer, Unanswered};
use super::deployment::{Deployment, lacks, name_in};
use super::line::{Line, Section};

const TITLE: &str = "Schedule";

/// The schedule, as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) is_enabled: bool,
    pub(crate) expression: String,
    pub(crate) time_zone: String,
    pub(crate) ends: Option<DateTime<Utc>>,
    /// The ARN of what it starts.
    pub(crate) target: String,
    /// What it says to it.
    pub(crate) input: String,
    /// The ARN of the queue for what it could not start.
    pub(crate) dead_letter_queue: Option<String>,
}

/// What there is to say of a stack's schedule.
pub(super) fn section(
    deployment: &Deployment,
    schedule: Option<&Answer<Schedule>>,
    now: DateTime<Utc>,
) -> Section {
    let mut lines = match schedule {
        None => vec![lacks("state", "ScheduleName")],
        Some(Ok(schedule)) => vec![
            state(schedule, deployment, now),
            target(schedule, deployment),
            mode(schedule, deployment),
            dead_letter_queue(schedule, deployment),
        ],
        Some(Err(Unanswered::Missing)) => vec![Line::failed(
            "state",
            "it was deleted: no run starts by itself",
            put_back(
                "make it again as infra/template.yaml has it (aws scheduler create-schedule); a deployment cannot",
            ),
        )],
        Some(Err(unanswered)) => vec![unanswered.line("state")],
    };
    lines.extend(recipients(deployment));
    lines.extend(testbed_settings(deployment));
    Section { title: TITLE, lines }
}

fn put_back(what: &str) -> String {
    format!("{what}: CloudFormation does not see what was changed behind its back")
}

fn state(schedule: &Schedule, deployment: &Deployment, now: DateTime<Utc>) -> Line {
    const CHECK: &str = "state";
    let when = format!("{} {}", schedule.expression, schedule.time_zone);
    if !schedule.is_enabled {
        return if deployment.parameter("ScheduleState") == Some("DISABLED") {
            let advice = "deploy with ScheduleState=ENABLED when runs are to start";
            Line::warning(CHECK, format!("off, as the stack was told: {when}"), advice)
        } else {
            let advice = put_back("deploy with ScheduleState=DISABLED, then with ScheduleState=ENABLED");
            Line::failed(CHECK, format!("somebody switched it off: {when}"), advice)
        };
    }
    if schedule.ends.is_some_and(|ends| ends <= now) {
        return Line::failed(
            CHECK,
            format!("its end date has passed: {when}"),
            "take the end date out of it",
        );
    }
    match once(&schedule.expression) {
        // In the schedule's time zone; a day is more than any two are apart.
        Some(at) if at + chrono::TimeDelta::days(1) < now.naive_utc() => {
            let advice = "deploy with a ScheduleExpression such as cron(0 6 * * ? *)";
            Line::failed(CHECK, format!("its only time has passed: {when}"), advice)
        }
        Some(_) => {
            let advice = "for runs every day, deploy with a ScheduleExpression such as cron(0 6 * * ? *)";
            Line::warning(CHECK, format!("on, for one run only: {when}"), advice)
        }
        None => Line::ok(CHECK, format!("on: {when}")),
    }
}

/// The time of a schedule that fires once: `at(2026-03-01T06:00:00)`.
fn once(expression: &str) -> Option<NaiveDateTime> {
    expression.strip_prefix("at(")?.strip_suffix(')')?.parse().ok()
}

fn target(schedule: &Schedule, deployment: &Deployment) -> Line {
    const CHECK: &str = "target";
    let Some(producer) = deployment.output("ProducerFunctionName") else {
        return lacks(CHECK, "ProducerFunctionName");
    };
    if schedule.target.contains(":function:") && name_in(&schedule.target) == producer {
        return Line::ok(CHECK, producer);
    }
    let message = format!("it starts {}, and not {producer}", schedule.target);
    Line::failed(CHECK, message, put_back("give the schedule the producer's ARN again"))
}

/// What the schedule has the producer do.
#[derive(Deserialize)]
struct Input {
    as_of: String,
    mode: String,
}

fn mode(schedule: &Schedule, deployment: &Deployment) -> Line {
    const CHECK: &str = "mode";
    let again = || put_back("deploy with the other Mode, then with the right one");
    let Ok(Input { as_of, mode }) = serde_json::from_str(&schedule.input) else {
        let message = format!("the producer will not understand {:?}", schedule.input);
        return Line::failed(CHECK, message, again());
    };
    if as_of != "<aws.scheduler.scheduled-time>" {
        let message = format!("each run is as of {as_of:?}, and not of its own time");
        return Line::failed(CHECK, message, again());
    }
    match mode.as_str() {
        "live" => Line::ok(CHECK, "live: runs mail"),
        "dry_run" if deployment.region.starts_with("cn-") => {
            Line::ok(CHECK, "dry_run: there is no SES in China")
        }
        "dry_run" => Line::warning(
            CHECK,
            "dry_run: runs count, and mail nobody",
            "deploy with Mode=live when mails are meant",
        ),
        _ => Line::failed(CHECK, format!("the producer knows no mode {mode:?}"), again()),
    }
}

fn dead_letter_queue(schedule: &Schedule, deployment: &Deployment) -> Line {
    const CHECK: &str = "dead-letter queue";
    let Some(url) = deployment.output("ScheduleDeadLetterQueueUrl") else {
        return lacks(CHECK, "ScheduleDeadLetterQueueUrl");
    };
    match schedule.dead_letter_queue.as_deref() {
        Some(arn) if name_in(arn) == name_in(url) => Line::ok(CHECK, name_in(url)),
        other => Line::failed(
            CHECK,
            format!("{}, and not {}", other.unwrap_or("none"), name_in(url)),
            put_back(
                "give the schedule that queue again: a run that cannot be started is lost without a trace",
            ),
        ),
    }
}

fn recipients(deployment: &Deployment) -> Option<Line> {
    let to = deployment.parameter("RedirectAllTo")?;
    let advice =
        "deploy with RedirectAllTo=\"\" to mail the owners, all of them: a pilot's mails do not count";
    Some(Line::warning("recipients", format!("pilot: every mail goes to {to}"), advice))
}

fn testbed_settings(deployment: &Deployment) -> Option<Line> {
    let mut set = Vec::new();
    if deployment.parameter("AllowAsOf") == Some("true") {
        set.push("AllowAsOf=true");
    }
    if deployment.is_for_testbeds() {
        set.push("Timing=testbed");
    }
    let message = format!("{}, which testbeds have", set.join(" and "));
    (!set.is_empty()).then(|| {
        Line::warning(
            "settings",
            message,
            "deploy with AllowAsOf=false and Timing=production, but for a testbed",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::deployment::tests::deployment;
    use super::super::line::Status;
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-01T06:00:00Z".parse().unwrap()
    }

    fn schedule() -> Schedule {
        Schedule {
            is_enabled: true,
            expression: "cron(0 6 * * ? *)".to_owned(),
            time_zone: "UTC".to_owned(),
            ends: None,
            target: "arn:aws:lambda:eu-west-1:123456789012:function:ProducerFunctionName".to_owned(),
            input: r#"{"as_of":"<aws.scheduler.scheduled-time>","mode":"live"}"#.to_owned(),
            dead_letter_queue: Some(
                "arn:aws:sqs:eu-west-1:123456789012:ScheduleDeadLetterQueueUrl".to_owned(),
            ),
        }
    }

    fn statuses(schedule: Schedule, parameters: &[(&str, &str)]) -> Vec<(String, Status)> {
        let Section { lines, .. } = section(&deployment(parameters), Some(&Ok(schedule)), now());
        lines
            .into_iter()
            .filter(|line| line.status != Status::Ok)
            .map(|line| (line.check, line.status))
            .collect()
    }

    #[test]
    fn a_schedule_as_the_template_has_it_is_fine() {
        assert_eq!(statuses(schedule(), &[]), []);
    }

    #[test]
    fn who_switched_it_off_makes_the_difference() {
        let off = Schedule { is_enabled: false, ..schedule() };
        assert_eq!(statuses(off.clone(), &[]), [("state".to_owned(), Status::Failed)]);
        assert_eq!(statuses(off, &[("ScheduleState", "DISABLED")]), [("state".to_owned(), Status::Warning)]);
    }

    #[test]
    fn a_time_that_has_passed_does_not_come_again() {
        let at = |at: &str| Schedule { expression: format!("at({at})"), ..schedule() };
        assert_eq!(statuses(at("2026-02-01T06:00:00"), &[]), [("state".to_owned(), Status::Failed)]);
        assert_eq!(statuses(at("2999-12-31T00:00:00"), &[]), [("state".to_owned(), Status::Warning)]);
        let ended = Schedule { ends: Some(now()), ..schedule() };
        assert_eq!(statuses(ended, &[]), [("state".to_owned(), Status::Failed)]);
    }

    #[test]
    fn what_it_starts_and_says_is_the_templates() {
        let other = "arn:aws:lambda:eu-west-1:123456789012:function:other".to_owned();
        assert_eq!(
            statuses(Schedule { target: other, ..schedule() }, &[]),
            [("target".to_owned(), Status::Failed)]
        );
        for (input, status) in [
            ("{}", Status::Failed),
            (r#"{"as_of":"2026-03-01T06:00:00Z","mode":"live"}"#, Status::Failed),
            (r#"{"as_of":"<aws.scheduler.scheduled-time>","mode":"alive"}"#, Status::Failed),
            (r#"{"as_of":"<aws.scheduler.scheduled-time>","mode":"dry_run"}"#, Status::Warning),
        ] {
            let schedule = Schedule { input: input.to_owned(), ..schedule() };
            assert_eq!(statuses(schedule, &[]), [("mode".to_owned(), status)], "{input}");
        }
        let without = Schedule { dead_letter_queue: None, ..schedule() };
        assert_eq!(statuses(without, &[]), [("dead-letter queue".to_owned(), Status::Failed)]);
    }

    #[test]
    fn pilots_and_testbeds_are_named_as_such() {
        let warned = statuses(schedule(), &[("RedirectAllTo", "me@example.com"), ("Timing", "testbed")]);
        assert_eq!(
            warned,
            [("recipients".to_owned(), Status::Warning), ("settings".to_owned(), Status::Warning)]
        );
    }

    #[test]
    fn a_schedule_that_is_gone_is_a_failure_and_one_that_is_not_shown_is_not() {
        let status = |answer| section(&deployment(&[]), Some(&Err(answer)), now()).lines[0].status;
        assert_eq!(status(Unanswered::Missing), Status::Failed);
        assert_eq!(status(Unanswered::Denied { action: "scheduler:GetSchedule" }), Status::Unknown);
    }
}
