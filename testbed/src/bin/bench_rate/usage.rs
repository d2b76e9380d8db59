//! How a rate was used: calls by second, and what they come to.

use std::collections::BTreeMap;

use keynudge_testbed::simulated_iam::Calls;

/// The calls of each second, from the first second with a call to the last one, those without calls among them.
#[derive(Clone, Debug)]
pub(crate) struct Usage(Vec<Calls>);

impl Usage {
    pub(crate) fn of(by_second: &BTreeMap<u64, Calls>) -> Self {
        let first = by_second.keys().next().copied().unwrap_or_default();
        let last = by_second.keys().next_back().map_or(first, |last| last + 1);
        Self((first..last).map(|second| by_second.get(&second).copied().unwrap_or_default()).collect())
    }

    pub(crate) fn answered(&self) -> Vec<u64> {
        self.0.iter().map(|calls| calls.answered).collect()
    }

    pub(crate) fn throttled(&self) -> Vec<u64> {
        self.0.iter().map(|calls| calls.throttled).collect()
    }

    /// The part of the rate that was used while there was work: in all seconds but the first and the last one, in which work
    /// began and ended. What was throttled used nothing.
    #[expect(clippy::cast_precision_loss, reason = "some thousands of calls in some minutes")]
    pub(crate) fn used(&self, calls_per_second: u32) -> f64 {
        let full = self.0.get(1..self.0.len().saturating_sub(1)).unwrap_or_default();
        if full.is_empty() {
            return 0.0;
        }
        let answered: u64 = full.iter().map(|calls| calls.answered).sum();
        answered as f64 / (f64::from(calls_per_second) * full.len() as f64)
    }

    /// From the first call to the last one, in whole seconds: rather too long than too short.
    pub(crate) fn seconds(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(calls: &[(u64, u64, u64)]) -> Usage {
        let calls = calls.iter();
        let by_second = calls.map(|&(second, answered, throttled)| (second, Calls { answered, throttled }));
        Usage::of(&by_second.collect())
    }

    #[test]
    fn seconds_without_calls_count_and_the_outermost_do_not() {
        let usage = usage(&[(7, 1, 0), (8, 10, 0), (10, 5, 20), (11, 3, 0)]);
        assert_eq!((usage.seconds(), usage.answered()), (5, vec![1, 10, 0, 5, 3]));
        assert_eq!(usage.throttled(), [0, 0, 0, 20, 0]);
        assert!((usage.used(10) - 0.5).abs() < f64::EPSILON, "15 of 30: {}", usage.used(10));
    }

    #[test]
    fn what_took_no_full_second_used_nothing() {
        for usage in [usage(&[]), usage(&[(3, 9, 0)]), usage(&[(3, 9, 0), (4, 1, 0)])] {
            assert!(usage.used(10).abs() < f64::EPSILON);
        }
    }
}
