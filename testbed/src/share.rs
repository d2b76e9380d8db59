//! A part of a whole, as one writes it on a command line.

use std::str::FromStr;

/// A number, or a percentage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    /// So many.
    Count(usize),
    /// So many of a hundred.
    Percent(f64),
}

impl Share {
    /// How many of these it is; never more than there are.
    #[must_use]
    pub fn of(self, all: usize) -> usize {
        match self {
            Self::Count(count) => count.min(all),
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share between 0 and 1 of at most 100,000 users"
            )]
            Self::Percent(percent) => (all as f64 * percent / 100.0).round() as usize,
        }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share = match text.strip_suffix('%') {
            None => text.parse().ok().map(Self::Count),
            Some(number) => {
                let percent = number.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
                percent.map(Self::Percent)
            }
        };
        share.ok_or_else(|| "it must be a number, or a percentage up to 100%".to_owned())
    }
}
