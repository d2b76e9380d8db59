//! Exemption of a user from reminders, by a tag with a date.

use std::num::NonZeroU32;

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::tags::Tags;
use crate::wire::Text;

/// The tag that exempts a user, with a date (`YYYY-MM-DD`) as its value.
pub const EXEMPT_UNTIL_TAG: &str = "keynudge:exempt-until";

/// What a user's tags say about exemption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exemption {
    /// There is none, or it has ended.
    None,
    /// The user gets no reminder through this day (UTC).
    Until(NaiveDate),
    /// The tag exempts nobody.
    Refused(RefusedExemption),
}

/// Why an exemption tag exempts nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedExemption {
    /// It holds no date: a slip of the pen must not silence a key for ever.
    NotADate,
    /// Its date is further ahead than an exemption may last. AWS's own policy for users who manage their access keys lets them
    /// tag themselves. A tag has no date of its own, so counting a later date as the latest one would exempt for ever.
    TooFarAhead,
}

impl<'de> Deserialize<'de> for RefusedExemption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| match text {
            "not_a_date" => Some(Self::NotADate),
            "too_far_ahead" => Some(Self::TooFarAhead),
            _ => None,
        };
        deserializer.deserialize_str(Text { wanted: "not_a_date or too_far_ahead", read })
    }
}

impl Exemption {
    /// What `tags` say at `as_of`. An exemption ends at most `max_days` after that day.
    #[must_use]
    pub fn of(tags: &Tags, as_of: DateTime<Utc>, max_days: NonZeroU32) -> Self {
        let Some(value) = tags.get(EXEMPT_UNTIL_TAG) else {
            return Self::None;
        };
        let today = as_of.date_naive();
        let last_day = today.checked_add_days(Days::new(max_days.get().into())).unwrap_or(NaiveDate::MAX);
        match parse_date(value.trim()) {
            Some(until) if until < today => Self::None,
            Some(until) if until <= last_day => Self::Until(until),
            Some(_) => Self::Refused(RefusedExemption::TooFarAhead),
            None => Self::Refused(RefusedExemption::NotADate),
        }
    }
}

/// Exactly `YYYY-MM-DD`; chrono alone would take `2026-1-5` and `+12026-01-05`, too.
fn parse_date(text: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (date.format("%Y-%m-%d").to_string() == text && text.len() == 10).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_DAYS: NonZeroU32 = NonZeroU32::new(90).unwrap();

    fn at(as_of: &str, tag: &str) -> Exemption {
        Exemption::of(&Tags::from_iter([(EXEMPT_UNTIL_TAG, tag)]), as_of.parse().unwrap(), MAX_DAYS)
    }

    #[test]
    fn an_exemption_holds_through_its_day_and_ends_by_itself() {
        let until = Exemption::Until(NaiveDate::from_ymd_opt(2026, 3, 1).unwrap());
        assert_eq!(at("2026-02-01T00:00:00Z", "2026-03-01"), until);
        assert_eq!(at("2026-03-01T23:59:59Z", "2026-03-01"), until);
        assert_eq!(at("2026-03-02T00:00:00Z", "2026-03-01"), Exemption::None);
    }

    #[test]
    fn without_the_tag_nobody_is_exempt() {
        let as_of = "2026-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(Exemption::of(&Tags::default(), as_of, MAX_DAYS), Exemption::None);
    }

    #[test]
    fn a_tag_without_a_date_exempts_nobody_and_says_so() {
        for tag in [
            "",
            "forever",
            "2026-13-01",
            "2026-3-1",
            "01.03.2026",
            "2026-02-30",
            "+12026-01-01",
            "12026-01-01",
        ] {
            let refused = Exemption::Refused(RefusedExemption::NotADate);
            assert_eq!(at("2026-02-01T00:00:00Z", tag), refused, "{tag}");
        }
    }

    #[test]
    fn a_date_too_far_ahead_exempts_nobody_however_often_it_is_judged() {
        let refused = Exemption::Refused(RefusedExemption::TooFarAhead);
        for as_of in ["2026-03-01T23:59:59Z", "2027-03-01T00:00:00Z", "9998-12-31T00:00:00Z"] {
            assert_eq!(at(as_of, "9999-12-31"), refused, "{as_of}");
        }
        assert!(matches!(at("2026-03-01T23:59:59Z", "2026-05-30"), Exemption::Until(_)), "90 days ahead");
        assert_eq!(at("2026-03-01T23:59:59Z", "2026-05-31"), refused, "91 days ahead");
        // The last days that there are.
        assert!(matches!(at("9999-12-01T00:00:00Z", "9999-12-31"), Exemption::Until(_)));
    }

    #[test]
    fn blanks_around_the_date_are_forgiven() {
        assert!(matches!(at("2026-02-01T00:00:00Z", " 2026-03-01 "), Exemption::Until(_)));
    }
}
