//! Who is left alone, and until when.

use chrono::{DateTime, NaiveDate, Utc};

use crate::tags::Tags;

/// The tag that exempts a user, with a date (`YYYY-MM-DD`) as its value.
pub const EXEMPT_UNTIL_TAG: &str = "keynudge:exempt-until";

/// What a user's tags say about exemption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exemption {
    /// There is none, or it has ended.
    None,
    /// The user is left alone through this day (UTC).
    Until(NaiveDate),
    /// The tag holds no date. It exempts nobody: a slip of the pen must not silence a key for ever.
    Invalid,
}

impl Exemption {
    /// What `tags` say at `as_of`.
    #[must_use]
    pub fn of(tags: &Tags, as_of: DateTime<Utc>) -> Self {
        let Some(value) = tags.get(EXEMPT_UNTIL_TAG) else {
            return Self::None;
        };
        match parse_date(value.trim()) {
            Some(until) if as_of.date_naive() <= until => Self::Until(until),
            Some(_) => Self::None,
            None => Self::Invalid,
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

    fn at(as_of: &str, tag: &str) -> Exemption {
        Exemption::of(&Tags::from_iter([(EXEMPT_UNTIL_TAG, tag)]), as_of.parse().unwrap())
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
        assert_eq!(Exemption::of(&Tags::default(), "2026-03-01T00:00:00Z".parse().unwrap()), Exemption::None);
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
            assert_eq!(at("2026-02-01T00:00:00Z", tag), Exemption::Invalid, "{tag}");
        }
    }

    #[test]
    fn blanks_around_the_date_are_forgiven() {
        assert!(matches!(at("2026-02-01T00:00:00Z", " 2026-03-01 "), Exemption::Until(_)));
    }
}
