//! Limits on how many mails go out: for one account in one run, for a day, and while too many of them reach nobody.
//!
//! Contact tags are written by people in the accounts that are looked after. These limits bound what a tag can do to a mailbox,
//! and what all of them can do to SES, which reviews an account from 5 % of bounces on, and may stop its sending at 10 % (SES
//! developer guide, "Using reputation metrics to track bounce and complaint rates").

use std::num::NonZeroU32;

/// The limits that are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailLimits {
    /// Mails about one account's users in one run.
    pub per_account: NonZeroU32,
    /// Mails a day (UTC); without a number, half of what SES lets its account send.
    pub per_day: Option<NonZeroU32>,
}

/// How many mails were begun, this one included, and how many of them reached nobody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MailCounts {
    /// Mails about this account's users in this run.
    pub of_account: u64,
    /// All mails of this day (UTC).
    pub today: u64,
    /// Those of them that bounced, or that somebody complained about.
    pub not_reached_today: u64,
}

/// Why a mail does not go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverLimit {
    /// The account has had its mails of this run. Its other owners are found again by the next run.
    Account,
    /// The day's mails are sent. This one waits for the next day.
    Day,
    /// Too many of the day's mails reached nobody: an operator has to look.
    NotReached,
}

/// Fewer mails than this say nothing about a rate.
const NOT_REACHED_FROM: u64 = 20;

/// In percent of the day's mails.
const NOT_REACHED_MAX: u64 = 5;

impl MailLimits {
    /// Why the mail that was counted last in `counts` does not go out. SES lets its account send `ses_per_day` mails a day;
    /// `None` if it sets no limit.
    #[must_use]
    pub fn refuse(&self, counts: MailCounts, ses_per_day: Option<u64>) -> Option<OverLimit> {
        let MailCounts { of_account, today, not_reached_today } = counts;
        let per_day =
            self.per_day.map_or(ses_per_day.map(|mails| mails.div_ceil(2)), |mails| Some(mails.get().into()));
        let before = today.saturating_sub(1);
        if of_account > u64::from(self.per_account.get()) {
            Some(OverLimit::Account)
        } else if before >= NOT_REACHED_FROM
            && not_reached_today.saturating_mul(100) > before.saturating_mul(NOT_REACHED_MAX)
        {
            Some(OverLimit::NotReached)
        } else if per_day.is_some_and(|per_day| today > per_day) {
            Some(OverLimit::Day)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_account: u32, per_day: Option<u32>) -> MailLimits {
        let not_zero = |number: u32| number.try_into().unwrap();
        MailLimits { per_account: not_zero(per_account), per_day: per_day.map(not_zero) }
    }

    fn counts(of_account: u64, today: u64, not_reached_today: u64) -> MailCounts {
        MailCounts { of_account, today, not_reached_today }
    }

    #[test]
    fn an_account_gets_as_many_mails_as_it_may_and_no_more() {
        let limits = limits(500, None);
        assert_eq!(limits.refuse(counts(500, 500, 0), None), None);
        assert_eq!(limits.refuse(counts(501, 501, 0), None), Some(OverLimit::Account));
    }

    #[test]
    fn a_day_s_mails_are_those_that_are_set_or_half_of_what_ses_allows() {
        for (per_day, ses_per_day, last) in
            [(Some(10), Some(50_000), 10), (None, Some(200), 100), (None, Some(1), 1), (Some(10), None, 10)]
        {
            let limits = limits(500, per_day);
            assert_eq!(limits.refuse(counts(1, last, 0), ses_per_day), None, "{last}");
            assert_eq!(limits.refuse(counts(1, last + 1, 0), ses_per_day), Some(OverLimit::Day), "{last}");
        }
        assert_eq!(limits(500, None).refuse(counts(1, u64::MAX, 0), None), None);
    }

    #[test]
    fn too_many_mails_that_reach_nobody_stop_the_others() {
        let limits = limits(500, None);
        let refuse = |today, not_reached| limits.refuse(counts(1, today, not_reached), None);
        assert_eq!(refuse(20, 19), None, "nineteen mails are too few to judge by");
        assert_eq!(refuse(21, 1), None, "one of twenty is five percent");
        assert_eq!(refuse(21, 2), Some(OverLimit::NotReached));
        assert_eq!(refuse(1_001, 50), None);
        assert_eq!(refuse(1_001, 51), Some(OverLimit::NotReached));
    }
}
