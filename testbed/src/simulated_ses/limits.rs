//! Rate and daily quota of each account, by a clock that can be moved on.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use super::Options;
use crate::aws::Account;

const DAY: Duration = Duration::from_hours(24);

/// What `GetSendQuota` says of an account without limits.
const UNLIMITED: f64 = -1.0;

/// Time since its making, and however much it was moved on.
#[derive(Clone, Debug)]
pub(super) struct MovableClock {
    made: Instant,
    moved_on_ms: Arc<AtomicU64>,
}

impl MovableClock {
    fn new() -> Self {
        Self { made: Instant::now(), moved_on_ms: Arc::default() }
    }

    pub(super) fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.moved_on_ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn elapsed(&self) -> Duration {
        self.made.elapsed() + Duration::from_millis(self.moved_on_ms.load(Ordering::Relaxed))
    }
}

impl Clock for MovableClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.elapsed().into()
    }
}

/// What an account has run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Rate,
    Day,
}

/// The limits of all accounts.
pub(super) struct Limits {
    pub(super) clock: MovableClock,
    options: Options,
    rates: Option<RateLimiter<Account, DashMapStateStore<Account>, MovableClock, NoOpMiddleware<Nanos>>>,
    /// When each account mailed whom, as far as that is less than a day ago.
    sent: Mutex<HashMap<Account, VecDeque<Duration>>>,
}

impl Limits {
    pub(super) fn new(options: &Options) -> Self {
        let clock = MovableClock::new();
        let quota = options.rate.map(|bucket| Quota::per_second(bucket.rate).allow_burst(bucket.burst));
        let rates = quota.map(|quota| RateLimiter::dashmap_with_clock(quota, clock.clone()));
        Self { clock, options: *options, rates, sent: Mutex::default() }
    }

    /// Lets a mail pass and counts it, or says which limit it meets.
    pub(super) fn admit(&self, account: &Account, recipients: usize) -> Result<(), Limit> {
        if self.rates.as_ref().is_some_and(|rates| rates.check_key(account).is_err()) {
            return Err(Limit::Rate);
        }
        let Some(per_day) = self.options.per_day else { return Ok(()) };
        self.with_last_day(account, |sent, now| {
            if sent.len() + recipients > per_day as usize {
                return Err(Limit::Day);
            }
            sent.extend(std::iter::repeat_n(now, recipients));
            Ok(())
        })
    }

    /// What `GetSendQuota` answers: recipients a day, mails a second, recipients in the last 24 hours.
    pub(super) fn quota(&self, account: &Account) -> [f64; 3] {
        let sent = self.with_last_day(account, |sent, _| sent.len());
        let per_day = self.options.per_day.map_or(UNLIMITED, f64::from);
        // SES has no account without a rate; this one is beyond what the testbed could reach.
        let per_second = self.options.rate.map_or(10_000.0, |bucket| f64::from(bucket.rate.get()));
        [per_day, per_second, f64::from(u32::try_from(sent).unwrap_or(u32::MAX))]
    }

    fn with_last_day<T>(
        &self,
        account: &Account,
        f: impl FnOnce(&mut VecDeque<Duration>, Duration) -> T,
    ) -> T {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = sent.entry(account.clone()).or_default();
        let now = self.clock.elapsed();
        while sent.front().is_some_and(|&at| at + DAY <= now) {
            sent.pop_front();
        }
        f(sent, now)
    }
}
