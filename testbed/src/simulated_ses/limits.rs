//! Rate and daily quota of each account, by a clock that can be moved on; and whether an account's senders
//! keep to the rate.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::RateLimiter;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;

use super::{Options, TokenBucket};
use crate::aws::Account;
use crate::simulated_clock::SimulatedClock;

const DAY: Duration = Duration::from_hours(24);

/// What `GetSendQuota` says of an account without limits.
const UNLIMITED: f64 = -1.0;

/// What an account has run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Rate,
    Day,
}

type Rates = RateLimiter<Account, DashMapStateStore<Account>, SimulatedClock, NoOpMiddleware<Nanos>>;

/// The limits of all accounts.
pub(super) struct Limits {
    pub(super) clock: SimulatedClock,
    rate: Option<TokenBucket>,
    per_day: Option<u32>,
    rates: Option<Rates>,
    /// When each account mailed whom, as far as that is less than a day ago.
    sent: Mutex<HashMap<Account, VecDeque<Duration>>>,
    pace: Mutex<HashMap<Account, Pace>>,
}

/// How an account's senders keep to its rate.
///
/// A sender asks for the rate before its first mail and shares it with the others: it sends a first mail at
/// once, and from then on no faster than its share. So, at any time, no more mails can have arrived than
/// there are senders, and as many as the rate makes since the first of them asked. A busy machine delays
/// mails, and never brings them forward: the bound holds however processes are scheduled, while mails may
/// well be throttled that were late.
#[derive(Debug, Default)]
struct Pace {
    /// How often somebody asked for the rate, and when that was for the first time.
    asked: u64,
    first_asked: Option<Duration>,
    /// Mails that arrived, whether SES took them or not.
    mails: u64,
    /// By how many they exceeded the bound at most.
    too_many: u64,
}

impl Pace {
    fn asks(&mut self, now: Duration) {
        self.asked += 1;
        self.first_asked.get_or_insert(now);
    }

    fn sends(&mut self, now: Duration, per_second: u32) {
        self.mails += 1;
        let since = now.saturating_sub(self.first_asked.unwrap_or(now));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole mails")]
        let by_rate = (since.as_secs_f64() * f64::from(per_second)) as u64;
        self.too_many = self.too_many.max(self.mails.saturating_sub(self.asked + by_rate));
    }
}

impl Limits {
    pub(super) fn new(options: &Options) -> Self {
        let Options { rate, per_day, ref clock, .. } = *options;
        let rates = rate.map(|bucket| RateLimiter::dashmap_with_clock(bucket.quota(), clock.clone()));
        let clock = clock.clone();
        Self { clock, rate, per_day, rates, sent: Mutex::default(), pace: Mutex::default() }
    }

    /// Lets a mail pass and counts it, or says which limit it meets.
    pub(super) fn admit(&self, account: &Account, recipients: usize) -> Result<(), Limit> {
        if let Some(bucket) = self.rate {
            self.pace_of(account, |pace, now| pace.sends(now, bucket.rate.get()));
        }
        if self.rates.as_ref().is_some_and(|rates| rates.check_key(account).is_err()) {
            return Err(Limit::Rate);
        }
        let Some(per_day) = self.per_day else { return Ok(()) };
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
        self.pace_of(account, Pace::asks);
        let sent = self.with_last_day(account, |sent, _| sent.len());
        let per_day = self.per_day.map_or(UNLIMITED, f64::from);
        // SES has no account without a rate; this one is beyond what the testbed could reach.
        let per_second = self.rate.map_or(10_000.0, |bucket| f64::from(bucket.rate.get()));
        [per_day, per_second, f64::from(u32::try_from(sent).unwrap_or(u32::MAX))]
    }

    /// By how many mails the account's senders were ahead of its rate, at most.
    pub(super) fn too_many(&self, account: &Account) -> u64 {
        self.pace_of(account, |pace, _| pace.too_many)
    }

    fn pace_of<T>(&self, account: &Account, f: impl FnOnce(&mut Pace, Duration) -> T) -> T {
        let mut paces = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        f(paces.entry(account.clone()).or_default(), self.clock.elapsed())
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
