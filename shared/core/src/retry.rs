//! When a record that is not done is tried again, and when it is given up.
//!
//! The budget is time, not attempts: an hour's disturbance costs nobody a reminder. The queues' own limit on receives is
//! there for functions that crash before they can decide anything; the delays below stay far from it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::failure::FailureClass;

/// What a record is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// A service or a network that has a bad moment.
    Service,
    /// An operator who has to repair something.
    Operator,
    /// This instant, at which somebody else is done with it.
    Instant(DateTime<Utc>),
    /// SES's word on a mail whose answer was lost; at this instant nobody expects it any more.
    Outcome(DateTime<Utc>),
    /// This instant, at which it may be its turn: its account's service has enough to do until then.
    Turn(DateTime<Utc>),
    /// The same, after a call to that service has failed.
    Refused(DateTime<Utc>),
    /// Another invocation: this one had no time for it.
    Invocation,
}

/// How long records wait, and for how long they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// A record this old is given up when it fails again.
    pub give_up_after: TimeDelta,
    /// How long a record waits for a service the first time; doubled each time it was received again.
    pub first_delay: Duration,
    /// No delay that grows is longer.
    pub longest_delay: Duration,
    /// How long a record waits for an operator, each time.
    pub operator_delay: Duration,
}

/// Since when a record is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordTimes {
    /// When it was sent to its queue: SQS's `SentTimestamp`.
    pub sent_at: DateTime<Utc>,
    /// When its keys were first found stale, if its finding was sent back.
    pub found_at: Option<DateTime<Utc>>,
    /// When a function first got it: SQS's `ApproximateFirstReceiveTimestamp`.
    pub first_received_at: DateTime<Utc>,
}

/// How long to try a record at least. Otherwise a finding that was sent back or replayed days after its keys
/// were first found stale would be given up at its first failure.
const TRIED_AT_LEAST: TimeDelta = TimeDelta::hours(1);

/// Delays are shortened by up to a quarter, so that what failed together does not come back together.
const JITTER: f64 = 0.25;

/// SQS lets a message be invisible for 12 hours from when it was received, and refuses more instead of shortening it.
/// An hour covers the time since.
const LONGEST_POSSIBLE: Duration = Duration::from_hours(11);

/// A record that had no turn comes back after one to five seconds. One that had none many times waits longer, twice as
/// long with every ten receives: SQS moves what was received too often, and that record did nothing wrong.
const NEXT_TURN: Duration = Duration::from_secs(1);
const NEXT_TURN_SPREAD: Duration = Duration::from_secs(4);
const RECEIVES_PER_DOUBLING: u32 = 10;
const RECEIVES_PER_DOUBLING_IN_LINE: u32 = 40;
const LONGEST_NEXT_TURN: Duration = Duration::from_mins(15);

impl WaitFor {
    /// Whether the record failed. Otherwise it only had no turn yet, and its time does not run out.
    #[must_use]
    pub fn is_failure(self) -> bool {
        self.class().is_some()
    }

    /// The class of the failure that makes the record wait; none if it has not failed.
    #[must_use]
    pub fn class(self) -> Option<FailureClass> {
        match self {
            Self::Service | Self::Refused(_) => Some(FailureClass::Retry),
            Self::Operator => Some(FailureClass::Operator),
            Self::Outcome(_) => Some(FailureClass::Unknown),
            Self::Instant(_) | Self::Turn(_) | Self::Invocation => None,
        }
    }
}

impl RetryPolicy {
    /// Whether to give up a record that failed now. A finding that was sent back to be checked again is a new
    /// record, but its time still counts from `found_at`. Every record is tried for an hour before it is
    /// given up. That hour starts when a function first receives it, not when it is sent. It includes the time
    /// in which the record waits for a claim that somebody else holds.
    #[must_use]
    pub fn gives_up(&self, times: RecordTimes, now: DateTime<Utc>) -> bool {
        let RecordTimes { sent_at, found_at, first_received_at } = times;
        let since = found_at.map_or(sent_at, |found_at| found_at.min(sent_at));
        now - since > self.give_up_after && now - first_received_at > TRIED_AT_LEAST.min(self.give_up_after)
    }

    /// How long a record that was received `receives` times stays away, in whole seconds as SQS counts them. `random` is
    /// between 0 and 1.
    #[must_use]
    pub fn delay(&self, wait_for: WaitFor, receives: u32, now: DateTime<Utc>, random: f64) -> Duration {
        let delay = match wait_for {
            WaitFor::Service => self.service_delay(receives).mul_f64(1.0 - JITTER * random),
            WaitFor::Operator => self.operator_delay.mul_f64(1.0 - JITTER * random),
            WaitFor::Instant(instant) | WaitFor::Outcome(instant) => {
                (instant - now).to_std().unwrap_or_default() + next_turn(receives, random)
            }
            WaitFor::Turn(instant) | WaitFor::Refused(instant) => {
                // SQS counts whole seconds; a moment early would be too early.
                let place = (instant - now).to_std().unwrap_or_default() + Duration::from_millis(999);
                place.saturating_mul(line_factor(receives))
            }
            WaitFor::Invocation => next_turn(receives, random),
        };
        Duration::from_secs(delay.min(LONGEST_POSSIBLE).as_secs().max(1))
    }

    /// The first delay, doubled with each receive after the first, up to the longest.
    fn service_delay(&self, receives: u32) -> Duration {
        let factor = 2_u32.checked_pow(receives.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_delay.saturating_mul(factor).min(self.longest_delay)
    }
}

fn next_turn(receives: u32, random: f64) -> Duration {
    let factor = 2_u32.checked_pow(receives / RECEIVES_PER_DOUBLING).unwrap_or(u32::MAX);
    (NEXT_TURN + NEXT_TURN_SPREAD.mul_f64(random)).saturating_mul(factor).min(LONGEST_NEXT_TURN)
}

/// A place in line is minutes away at most. A record that has come back to it many times waits longer, twice as long with
/// every forty receives, so that SQS does not move it in the days for which it is tried.
fn line_factor(receives: u32) -> u32 {
    2_u32.checked_pow(receives / RECEIVES_PER_DOUBLING_IN_LINE).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2026-03-01T06:00:00Z".parse().unwrap()
    }

    /// As the template has it for findings.
    fn policy() -> RetryPolicy {
        RetryPolicy {
            give_up_after: TimeDelta::days(4),
            first_delay: Duration::from_secs(10),
            longest_delay: Duration::from_hours(4),
            operator_delay: Duration::from_hours(1),
        }
    }

    fn delay(wait_for: WaitFor, receives: u32, random: f64) -> u64 {
        policy().delay(wait_for, receives, now(), random).as_secs()
    }

    #[test]
    fn a_service_is_waited_for_longer_each_time_up_to_a_limit() {
        let delays: Vec<u64> =
            [1, 2, 3, 11, 12, 40].map(|receives| delay(WaitFor::Service, receives, 0.0)).into();
        assert_eq!(delays, [10, 20, 40, 10_240, 14_400, 14_400]);
        assert_eq!(delay(WaitFor::Service, 0, 0.0), 10, "a count that SQS did not send");
    }

    #[test]
    fn an_operator_is_waited_for_hourly() {
        assert_eq!([1, 10, 100].map(|receives| delay(WaitFor::Operator, receives, 0.0)), [3_600; 3]);
    }

    #[test]
    fn what_failed_together_does_not_come_back_together() {
        assert_eq!(delay(WaitFor::Operator, 1, 1.0), 2_700);
        assert_eq!(delay(WaitFor::Service, 3, 1.0), 30);
    }

    #[test]
    fn an_instant_is_waited_for_and_a_little_longer() {
        let lease = WaitFor::Instant(now() + TimeDelta::minutes(15));
        assert_eq!((delay(lease, 1, 0.0), delay(lease, 9, 1.0)), (901, 905));
        assert_eq!(delay(WaitFor::Instant(now() - TimeDelta::hours(1)), 1, 0.0), 1, "it has passed");
        assert_eq!(delay(WaitFor::Instant(now() + TimeDelta::days(2)), 1, 0.0), 11 * 3_600, "SQS's limit");
    }

    #[test]
    fn what_there_was_no_time_for_comes_back_in_one_to_five_seconds() {
        assert_eq!((delay(WaitFor::Invocation, 1, 0.0), delay(WaitFor::Invocation, 9, 1.0)), (1, 5));
    }

    #[test]
    fn what_had_no_turn_again_and_again_waits_longer() {
        let delays = [10, 20, 50, 100, 400].map(|receives| delay(WaitFor::Invocation, receives, 1.0));
        assert_eq!(delays, [10, 20, 160, 900, 900]);
    }

    #[test]
    fn only_what_failed_runs_out_of_time() {
        let failures = [WaitFor::Service, WaitFor::Operator, WaitFor::Outcome(now())];
        assert!(failures.iter().all(|wait_for| wait_for.is_failure()));
        assert!(!WaitFor::Invocation.is_failure() && !WaitFor::Instant(now()).is_failure());
    }

    #[test]
    fn a_log_can_tell_what_passes_by_itself_from_what_somebody_has_to_mend() {
        let class = |wait_for: WaitFor| wait_for.class().map(FailureClass::as_str);
        for passing in [WaitFor::Service, WaitFor::Refused(now())] {
            assert_eq!(class(passing), Some("retry"));
        }
        assert_eq!(class(WaitFor::Outcome(now())), Some("unknown"));
        assert_eq!(class(WaitFor::Operator), Some("operator"));
        for waiting in [WaitFor::Invocation, WaitFor::Turn(now()), WaitFor::Instant(now())] {
            assert_eq!(class(waiting), None);
        }
    }

    fn received_when_sent(sent_at: DateTime<Utc>, found_at: Option<DateTime<Utc>>) -> RecordTimes {
        RecordTimes { sent_at, found_at, first_received_at: sent_at }
    }

    #[test]
    fn a_record_is_given_up_when_its_time_is_over() {
        let four_days = now() + TimeDelta::days(4);
        assert!(!policy().gives_up(received_when_sent(now(), None), four_days));
        assert!(policy().gives_up(received_when_sent(now(), None), four_days + TimeDelta::milliseconds(1)));
        let ahead = received_when_sent(now() + TimeDelta::hours(1), None);
        assert!(!policy().gives_up(ahead, now()), "a clock that is behind");
    }

    #[test]
    fn what_was_sent_back_is_no_younger_for_it_and_is_tried_for_an_hour_all_the_same() {
        let gives_up = |found_days_ago, sent_minutes_ago| {
            let found_at = now() - TimeDelta::days(found_days_ago);
            let sent_at = now() - TimeDelta::minutes(sent_minutes_ago);
            policy().gives_up(received_when_sent(sent_at, Some(found_at)), now())
        };
        assert_eq!([0, 30, 60, 61].map(|minutes| gives_up(9, minutes)), [false, false, false, true]);
        assert!(!gives_up(3, 24 * 60), "its days are not over");
        assert!(gives_up(-1, 5 * 24 * 60), "a finding that says it comes from tomorrow");
        let hasty = RetryPolicy { give_up_after: TimeDelta::minutes(2), ..policy() };
        let long_ago = Some(now() - TimeDelta::days(9));
        let sent = received_when_sent(now() - TimeDelta::minutes(3), long_ago);
        assert!(hasty.gives_up(sent, now()), "no longer than any other");
    }

    #[test]
    fn waiting_on_a_queue_is_not_trying() {
        let long_ago = now() - TimeDelta::days(9);
        let sent = received_when_sent(now() - TimeDelta::hours(3), Some(long_ago));
        assert!(policy().gives_up(sent, now()));
        assert!(!policy().gives_up(RecordTimes { first_received_at: now(), ..sent }, now()));
    }

    proptest! {
        /// Tried at its own delays, nothing is given up in its first hour, or before its time is over.
        #[test]
        fn no_record_is_given_up_before_its_time(
            found_hours_ago in 0_i64..2_000,
            random in 0.0..1.0,
            wait_for in prop::sample::select(vec![WaitFor::Service, WaitFor::Operator]),
        ) {
            let found_at = now() - TimeDelta::hours(found_hours_ago);
            let (mut at, mut receives) = (now(), 1);
            while !policy().gives_up(received_when_sent(now(), Some(found_at)), at) {
                at += policy().delay(wait_for, receives, at, random);
                receives += 1;
            }
            prop_assert!(at - now() > TimeDelta::hours(1) && at - found_at > TimeDelta::days(4));
            prop_assert!(receives < 150);
        }
    }

    /// The findings queue moves what was received 500 times. That is for functions that crash.
    #[test]
    fn a_record_is_received_far_fewer_than_500_times_before_its_time_is_over() {
        for wait_for in [WaitFor::Service, WaitFor::Operator] {
            let mut at = now();
            let mut receives = 1;
            while !policy().gives_up(received_when_sent(now(), None), at) {
                at += policy().delay(wait_for, receives, at, 1.0);
                receives += 1;
            }
            assert!((30..150).contains(&receives), "{wait_for:?}: {receives}");
        }
    }

    #[test]
    fn a_place_in_line_is_kept_to_the_second_and_never_early() {
        for wait_for in [WaitFor::Turn, WaitFor::Refused] {
            let delay = |millis| {
                policy().delay(wait_for(now() + TimeDelta::milliseconds(millis)), 1, now(), 0.5).as_secs()
            };
            assert_eq!((delay(6_000), delay(6_500), delay(0), delay(-9_000)), (6, 7, 1, 1));
        }
        assert!(WaitFor::Refused(now()).is_failure() && !WaitFor::Turn(now()).is_failure());
    }

    /// The line is half its length at least where it is long; the template lets users be received 250 times.
    #[test]
    fn whoever_stands_in_line_for_days_is_not_received_too_often() {
        let (mut since, mut receives) = (now(), 0);
        while since < now() + TimeDelta::minutes(2_880) {
            receives += 1;
            let place = since + TimeDelta::seconds(90);
            since += policy().delay(WaitFor::Refused(place), receives, since, 0.5);
        }
        assert!(receives < 240, "{receives}");
    }
}
