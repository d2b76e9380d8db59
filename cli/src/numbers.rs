//! Whole numbers as command line arguments, with errors that say what is counted.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};
use std::str::FromStr;

/// A parser of whole numbers of `what` within `range`, for clap.
pub(crate) fn whole<T>(
    what: &'static str,
    range: impl RangeBounds<T> + Clone,
) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("not a whole number of {what} ({})", words(&range)))
    }
}

fn words<T: Display>(range: &impl RangeBounds<T>) -> String {
    match (range.start_bound(), range.end_bound()) {
        (Bound::Included(least), Bound::Included(most)) => format!("{least} to {most}"),
        (Bound::Included(least), _) => format!("{least} or more"),
        _ => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    #[test]
    fn a_number_is_whole_and_in_its_range() {
        let days = whole("days", NonZeroU32::MIN..=NonZeroU32::new(36_500).unwrap());
        assert_eq!(days("90").map(NonZeroU32::get), Ok(90));
        for text in ["0", "abc", "", "-1", "1.5", "36501", "99999999999999999999"] {
            assert_eq!(days(text).unwrap_err(), "not a whole number of days (1 to 36500)", "{text}");
        }
        assert_eq!(
            whole("letters", 1_usize..)("no").unwrap_err(),
            "not a whole number of letters (1 or more)"
        );
    }
}
