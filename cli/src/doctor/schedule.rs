//! Whether runs start by themselves, and what they would do.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::answer::{Answer, Unanswered};
use super::deployment::{Deployment, lacks, name_in};
use super::firings::longest_gap;
use super::line::{Line, Section};
use crate::rules::Settings;

const TITLE: &str = "Schedule";

/// What the template's default for the alarm leaves for a scan to be done.
const GRACE_HOURS: i64 = 2;

/// The template's own maximum: CloudWatch looks back for a week.
const ALARM_HOURS_MAX: i64 = 168;

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
    if let Some(Ok(schedule)) = schedule {
        lines.extend(gaps(schedule, deployment, now));
    }
    lines.extend(recipients(deployment));
    lines.extend(mailboxes(deployment));
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
        Some(at) if at + TimeDelta::days(1) < now.naive_utc() => {
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

/// Whether the alarm "did not run" waits for longer than there is no run by itself.
fn gaps(schedule: &Schedule, deployment: &Deployment, now: DateTime<Utc>) -> Option<Line> {
    const CHECK: &str = "gaps";
    let alarm: i64 = deployment.parameter("DidNotRunAfterHours")?.parse().ok()?;
    if !schedule.is_enabled {
        return None;
    }
    // Where clocks are put back, a gap is an hour longer. The alarm counts from the end of one scan to the
    // end of the next.
    let has_fixed_steps =
        schedule.expression.starts_with("rate") || matches!(&*schedule.time_zone, "" | "UTC");
    let put_back = i64::from(!has_fixed_steps);
    let allowed = TimeDelta::try_hours(alarm - put_back)? - TimeDelta::minutes(1);
    let gap = match longest_gap(&schedule.expression, now.naive_utc(), allowed) {
        Ok(Some(gap)) => gap,
        Ok(None) => {
            let message = format!("less than the {alarm} h after which the alarm goes off");
            return Some(Line::ok(CHECK, message));
        }
        Err(_) if once(&schedule.expression).is_some() => return None,
        Err(_) => {
            let message = format!("not known: cannot read {}", schedule.expression);
            return Some(Line::unknown(CHECK, message));
        }
    };
    let after = gap.after.format("%A, %Y-%m-%d %H:%M");
    let Some(length) = gap.length else {
        let advice = "deploy with a ScheduleExpression that fires again, such as cron(0 6 * * ? *)";
        return Some(Line::warning(CHECK, format!("no run after {after}"), advice));
    };
    let hours = (length + TimeDelta::minutes(59)).num_hours() + put_back;
    let message = format!(
        "up to {hours} h without a run (from {after}), and the alarm goes off after {alarm} h (DidNotRunAfterHours)"
    );
    let advice = match hours + GRACE_HOURS {
        enough @ ..=ALARM_HOURS_MAX => {
            format!("deploy with DidNotRunAfterHours={enough}, or with a schedule that fires more often")
        }
        _ => format!(
            "deploy with a schedule that fires more often, or make an alarm of your own: DidNotRunAfterHours is at most \
             {ALARM_HOURS_MAX}"
        ),
    };
    Some(Line::warning(CHECK, message, advice))
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

/// Mailboxes for which the functions do not start.
fn mailboxes(deployment: &Deployment) -> Vec<Line> {
    let settings = Settings { given: &|_| None, parameters: &deployment.parameters };
    let Ok(allowed) = settings.allowed_recipients() else {
        return vec![Line::failed("mailboxes", "AllowedDomains or ExcludedRecipients cannot be read", ALLOW)];
    };
    let refused = ["REDIRECT_ALL_TO", "REPLY_TO", "FALLBACK_CONTACT"]
        .into_iter()
        .filter_map(|name| settings.read(|vars| vars.mailbox(name, &allowed)).err());
    refused.map(|error| Line::failed("mailboxes", error.to_string(), ALLOW)).collect()
}

const ALLOW: &str = "correct it, or allow it by AllowedDomains: with such a mailbox, functions do not start";

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
    fn a_mailbox_for_which_no_function_starts_is_found_before_one_fails() {
        let sender = ("Sender", "keynudge@corp.example");
        assert_eq!(mailboxes(&deployment(&[sender, ("RedirectAllTo", "pilot@corp.example")])).len(), 0);
        for parameter in ["RedirectAllTo", "ReplyTo", "FallbackContact"] {
            let lines = mailboxes(&deployment(&[sender, (parameter, "pilot@elsewhere.example")]));
            let [line] = lines.try_into().unwrap();
            assert!(format!("{line:?}").contains(parameter), "{line:?}");
        }
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
    fn an_alarm_that_would_go_off_every_saturday_is_told_before_it_does() {
        let gaps = |expression: &str, time_zone: &str, hours: &str| {
            let schedule =
                Schedule { expression: expression.to_owned(), time_zone: time_zone.to_owned(), ..schedule() };
            super::gaps(&schedule, &deployment(&[("DidNotRunAfterHours", hours)]), now())
        };
        let line = gaps("cron(0 9 ? * MON-FRI *)", "UTC", "26").unwrap();
        assert_eq!(line.status, Status::Warning);
        assert_eq!(
            line.message,
            "up to 72 h without a run (from Friday, 2026-03-06 09:00), and the alarm goes off after 26 h (DidNotRunAfterHours)"
        );
        assert!(line.advice.unwrap().contains("DidNotRunAfterHours=74"));
        for (expression, time_zone, hours, status) in [
            ("cron(0 9 ? * MON-FRI *)", "UTC", "74", Status::Ok),
            ("cron(0 6 * * ? *)", "UTC", "26", Status::Ok),
            ("cron(0 6 * * ? *)", "Europe/Berlin", "26", Status::Ok),
            ("cron(0 6 * * ? *)", "UTC", "25", Status::Ok),
            // A day has 25 hours once a year.
            ("cron(0 6 * * ? *)", "Europe/Berlin", "25", Status::Warning),
            ("rate(7 days)", "UTC", "168", Status::Warning),
            ("cron(0 6 * * ? 2026)", "UTC", "26", Status::Warning),
        ] {
            let line = gaps(expression, time_zone, hours).unwrap();
            assert_eq!(line.status, status, "{expression} {time_zone} {hours}: {}", line.message);
        }
        let own_alarm = gaps("rate(7 days)", "UTC", "168").unwrap().advice.unwrap();
        assert!(own_alarm.contains("an alarm of your own"), "{own_alarm}");
        assert_eq!(gaps("at(2999-12-31T00:00:00)", "UTC", "26"), None);
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
