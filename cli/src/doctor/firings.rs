//! When a schedule fires, by its expression as EventBridge Scheduler reads it.

use chrono::{Days, NaiveDateTime, TimeDelta};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// How far to look: a 29 February comes every four years.
const LOOKAHEAD: Days = Days::new(5 * 366);

/// A time without a firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    /// After this firing, in the schedule's time zone.
    pub(super) after: NaiveDateTime,
    /// How long it lasts; none if there is no further firing.
    pub(super) length: Option<TimeDelta>,
}

/// The expression is neither a rate nor a cron expression that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotRecurring;

/// The longest time without a firing from `from` on, if one is longer than `allowed`. Both are in the
/// schedule's time zone, where its clocks may be put back by an hour.
///
/// An error for an expression that cannot be read here, or that fires once.
pub(super) fn longest_gap(
    expression: &str,
    from: NaiveDateTime,
    allowed: TimeDelta,
) -> Result<Option<Gap>, NotRecurring> {
    if let Some(rate) = arguments(expression, "rate") {
        let length = length_of(rate).ok_or(NotRecurring)?;
        return Ok((length > allowed).then_some(Gap { after: from, length: Some(length) }));
    }
    let cron = arguments(expression, "cron").and_then(cron).ok_or(NotRecurring)?;
    Ok(longest_gap_of(&cron, from, allowed))
}

fn longest_gap_of(cron: &Cron, from: NaiveDateTime, allowed: TimeDelta) -> Option<Gap> {
    let end = from.checked_add_days(LOOKAHEAD)?;
    let next = |after: NaiveDateTime| cron.find_next_occurrence(&after, false).ok();
    let Some(mut at) = next(from) else { return Some(Gap { after: from, length: None }) };
    let mut longest: Option<Gap> = None;
    while at < end {
        // The last of the firings within what is allowed, so that none in between has to be looked at.
        let last = cron.find_previous_occurrence(&(at + allowed), true).ok().filter(|last| *last > at);
        if let Some(last) = last {
            at = last;
            continue;
        }
        let Some(following) = next(at) else { return Some(Gap { after: at, length: None }) };
        let length = following - at;
        if longest.and_then(|gap| gap.length).is_none_or(|longest| length > longest) {
            longest = Some(Gap { after: at, length: Some(length) });
        }
        at = following;
    }
    longest
}

/// `cron(0 6 * * ? *)`: minutes, hours, days of the month, months, days of the week (1 is Sunday), and years.
fn cron(fields: &str) -> Option<Cron> {
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Required)
        .alternative_weekdays(true)
        // 0/15
        .sloppy_ranges(true)
        .build();
    parser.parse(&format!("0 {}", with_a_number_for_the_last_weekday(fields)?)).ok()
}

/// A day of the week `L` is Saturday, the last of a week. croner would read it as no day at all.
fn with_a_number_for_the_last_weekday(fields: &str) -> Option<String> {
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let &[minutes, hours, days, months, weekdays, years] = fields.as_slice() else { return None };
    let weekdays = if weekdays.eq_ignore_ascii_case("L") { "7" } else { weekdays };
    Some([minutes, hours, days, months, weekdays, years].join(" "))
}

/// `rate(12 hours)`.
fn length_of(rate: &str) -> Option<TimeDelta> {
    let (number, unit) = rate.trim().split_once(' ')?;
    let number = number.parse().ok()?;
    match unit.trim().trim_end_matches('s') {
        "minute" => TimeDelta::try_minutes(number),
        "hour" => TimeDelta::try_hours(number),
        "day" => TimeDelta::try_days(number),
        _ => None,
    }
}

fn arguments<'a>(expression: &'a str, function: &str) -> Option<&'a str> {
    expression.trim().strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    /// In hours, from Sunday, 1 March 2026 on; where more than 26 are too many.
    fn hours(expression: &str) -> Option<i64> {
        let gap = longest_gap(expression, at("2026-03-01T06:00:00"), TimeDelta::hours(26)).ok()??;
        Some(gap.length.map_or(i64::MAX, |length| length.num_hours()))
    }

    #[test]
    fn the_longest_time_between_two_firings_is_found() {
        for (expression, expected) in [
            ("cron(0 6 * * ? *)", None),
            ("cron(0/15 * * * ? *)", None),
            ("cron(0 6,18 * * ? *)", None),
            ("rate(12 hours)", None),
            ("rate(1 day)", None),
            ("rate(3 days)", Some(72)),
            // Friday to Monday.
            ("cron(0 9 ? * MON-FRI *)", Some(72)),
            ("cron(0 9 ? * 2-6 *)", Some(72)),
            ("cron(0/30 8-17 ? * MON-FRI *)", Some(62)),
            ("cron(0 9 ? * MON *)", Some(7 * 24)),
            ("cron(0 9 ? * 1 *)", Some(7 * 24)),
            ("cron(0 9 ? * L *)", Some(7 * 24)),
            ("cron(0 6 1 * ? *)", Some(31 * 24)),
            ("cron(0 6 L * ? *)", Some(31 * 24)),
            ("cron(0 6 ? * 2#1 *)", Some(35 * 24)),
            ("cron(0 6 ? * 6L *)", Some(35 * 24)),
            ("cron(0 6 29 2 ? *)", Some(1_461 * 24)),
            // Every day but in August.
            ("cron(0 6 * JAN-JUL,SEP-DEC ? *)", Some(32 * 24)),
            ("cron(0 6 * * ? 2026)", Some(i64::MAX)),
            ("cron(0 6 * * ? 2020)", Some(i64::MAX)),
            ("at(2026-03-02T06:00:00)", None),
            ("cron(nonsense)", None),
            ("", None),
        ] {
            assert_eq!(hours(expression), expected, "{expression}");
        }
        let nearest_weekday = hours("cron(0 6 15W * ? *)").unwrap() / 24;
        assert!((31..=34).contains(&nearest_weekday), "{nearest_weekday}");
    }

    #[test]
    fn a_gap_is_named_by_the_firing_before_it() {
        let gap = longest_gap("cron(0 9 ? * MON-FRI *)", at("2026-03-01T06:00:00"), TimeDelta::hours(26))
            .unwrap()
            .unwrap();
        assert_eq!(gap.after, at("2026-03-06T09:00:00"));
        let last = longest_gap("cron(0 6 * * ? 2026)", at("2026-03-01T06:00:00"), TimeDelta::hours(26))
            .unwrap()
            .unwrap();
        assert_eq!(last, Gap { after: at("2026-12-31T06:00:00"), length: None });
    }
}
