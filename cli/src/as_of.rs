//! The instant that keys' ages are judged at, as people type it.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};

/// An instant (RFC 3339), or a date, which means its last second (UTC): whoever's keys become stale on that day is among the
/// owners.
pub(crate) fn as_of(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let instant = if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        day.and_time(last_second()).and_utc()
    } else {
        let instant = DateTime::parse_from_rfc3339(text);
        let instant =
            instant.map_err(|_| "neither a date (2026-12-31) nor an instant (2026-12-31T06:00:00Z)")?;
        instant.to_utc()
    };
    // What lies beyond is written in another way, which not everything reads.
    if !(1970..=9999).contains(&instant.year()) {
        return Err("not between the years 1970 and 9999");
    }
    Ok(instant)
}

fn last_second() -> NaiveTime {
    NaiveTime::from_hms_opt(23, 59, 59).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_day_to_the_last_second_and_an_instant_is_itself() {
        let as_of = |text| as_of(text).map(|instant| instant.to_rfc3339());
        assert_eq!(as_of("2026-03-01").unwrap(), "2026-03-01T23:59:59+00:00");
        assert_eq!(as_of("2026-03-01T06:00:00+02:00").unwrap(), "2026-03-01T04:00:00+00:00");
        for text in
            ["", "today", "2026-02-30", "2026-03-01T06:00:00", "01.03.2026", "+12026-03-01", "1969-12-31"]
        {
            assert!(as_of(text).is_err(), "{text}");
        }
    }
}
