//! Keeping to a rate that is shared with others: with the other instances of the function, and with everybody else in
//! the account.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use keynudge_core::failure::{CallFailed, FailureClass};
use tokio::time::{Instant, sleep, sleep_until};

/// How long nobody gets a turn after the service had enough, the first time in a row; doubled each time after that.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One instance's share of a rate.
pub struct Pace {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
    clock: TokioClock,
    pause: Pause,
}

/// How long a service is left alone that had enough: longer each time in a row.
pub struct Pause {
    until: Cell<Option<Instant>>,
    next: Cell<Duration>,
}

impl Default for Pause {
    fn default() -> Self {
        Self { until: Cell::new(None), next: Cell::new(FIRST_PAUSE) }
    }
}

impl Pause {
    /// When the last pause ends, or has ended; `None` before the first.
    pub fn until(&self) -> Option<Instant> {
        self.until.get()
    }

    /// Whether there is a pause now.
    pub fn is_on(&self) -> bool {
        self.until.get().is_some_and(|until| until > Instant::now())
    }

    /// The service had enough. Calls that were under way when a pause began only say so once more.
    pub fn begin(&self) {
        if !self.is_on() {
            let pause = self.next.get();
            self.until.set(Some(Instant::now() + pause));
            self.next.set(LONGEST_PAUSE.min(2 * pause));
        }
    }

    /// The service is all right: the next pause is a short one.
    pub fn reset(&self) {
        self.next.set(FIRST_PAUSE);
    }
}

impl Pace {
    /// The share that one of `instances` has of `per_second`; `None` for a rate that is not above zero. After a rest, each
    /// makes up for up to `burst` calls at once, of which the first is due anyway.
    #[must_use]
    pub fn share(per_second: f64, instances: u32, burst: NonZeroU32) -> Option<Self> {
        let period = Duration::try_from_secs_f64(f64::from(instances.max(1)) / per_second).ok()?;
        let clock = TokioClock { started: Instant::now() };
        let quota = Quota::with_period(period.max(Duration::from_nanos(1)))?.allow_burst(burst);
        let limiter = RateLimiter::direct_with_clock(quota, clock);
        if let Some(saved_up) = NonZeroU32::new(burst.get() - 1) {
            // An instance that has just started has not rested.
            let _taken = limiter.check_n(saved_up);
        }
        Some(Self { limiter, clock, pause: Pause::default() })
    }

    /// Waits for one's turn to make a call.
    pub async fn turn(&self) {
        loop {
            if let Some(until) = self.pause.until() {
                sleep_until(until).await;
            }
            match self.limiter.check() {
                Ok(()) if !self.pause.is_on() => return,
                Ok(()) => {}
                Err(not_until) => sleep(not_until.wait_time_from(self.clock.now())).await,
            }
        }
    }

    /// Hears what came of a call, and gives nobody a turn for a while if the service has enough all the same.
    pub fn heed<T>(&self, result: &Result<T, CallFailed>) {
        match result {
            Err(error) if error.class == FailureClass::Retry => self.pause.begin(),
            _ => self.pause.reset(),
        }
    }
}

/// Tokio's clock, which tests can stop.
#[derive(Debug, Clone, Copy)]
struct TokioClock {
    started: Instant,
}

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.started.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    async fn seconds(work: impl Future) -> f64 {
        let started = Instant::now();
        work.await;
        started.elapsed().as_secs_f64()
    }

    async fn turns(pace: &Pace, count: usize) -> f64 {
        seconds(join_all((0..count).map(|_| pace.turn()))).await
    }

    fn failed(class: FailureClass) -> Result<(), CallFailed> {
        Err(CallFailed { call: "test:Call", class, code: String::new(), source: None })
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_keeps_to_its_share_of_the_rate() {
        let pace = Pace::share(10.0, 2, ONE).unwrap();
        let taken = turns(&pace, 51).await;
        assert!((9.99..10.2).contains(&taken), "50 calls after the first, at 5 a second: {taken}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_over_at_its_last_instant() {
        let pause = Pause::default();
        pause.begin();
        assert!(pause.is_on());
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(!pause.is_on());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waited_for_one_pause_waits_for_the_next_if_that_begins_at_once() {
        let pace = Pace::share(100.0, 1, ONE).unwrap();
        pace.heed(&failed(FailureClass::Retry));
        let refused_again = async {
            sleep(FIRST_PAUSE).await;
            pace.heed(&failed(FailureClass::Retry));
        };
        let taken = seconds(futures::future::join(refused_again, pace.turn())).await;
        assert!(taken >= 3.0 * FIRST_PAUSE.as_secs_f64(), "the second pause is twice as long: {taken} s");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_burst_is_saved_up_while_nobody_asks() {
        for burst in [1, 4] {
            let pace = Pace::share(1.0, 1, burst.try_into().unwrap()).unwrap();
            assert!(
                (0.9..1.1).contains(&turns(&pace, 2).await),
                "nothing was saved up before the first call"
            );
            tokio::time::advance(Duration::from_mins(1)).await;
            let taken = turns(&pace, burst as usize + 2).await;
            assert!((1.9..2.1).contains(&taken), "two more than at once: {taken} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_has_enough_is_left_alone_for_longer_and_longer() {
        let pace = Pace::share(1_000.0, 1, ONE).unwrap();
        for at_least in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            pace.heed(&failed(FailureClass::Retry));
            let waited = turns(&pace, 1).await;
            assert!((at_least..at_least + 0.1).contains(&waited), "{waited} s");
        }
        pace.heed(&Ok::<(), CallFailed>(()));
        pace.heed(&failed(FailureClass::Retry));
        assert!(turns(&pace, 1).await < 1.1, "it was all right again in between");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_for_those_who_wait_already() {
        let pace = Pace::share(10.0, 1, ONE).unwrap();
        pace.turn().await;
        let waiting = pace.turn();
        let waited =
            seconds(async { futures::join!(waiting, async { pace.heed(&failed(FailureClass::Retry)) }) });
        assert!(waited.await >= 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_service_that_has_enough_makes_a_pause() {
        let pace = Pace::share(1_000.0, 1, ONE).unwrap();
        pace.heed(&failed(FailureClass::Operator));
        assert!(turns(&pace, 1).await < 0.1);
    }

    #[test]
    fn no_rate_is_no_pace() {
        assert!(Pace::share(0.0, 2, ONE).is_none() && Pace::share(-1.0, 2, ONE).is_none());
    }
}
